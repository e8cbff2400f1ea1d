//! Versions of Alpine's packages, and what a package demands of another's.
//!
//! A version is `1.2.3`, then perhaps a letter, suffixes such as `_rc1` or `_p2`, and a revision `-r0`. The order is
//! that of apk: a number counts as a number unless it begins with 0, `_alpha` to `_rc` come before nothing, `_cvs` to
//! `_p` after it.

use std::cmp::Ordering;

/// A version, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    numbers: Vec<String>,
    letter: Option<char>,
    suffixes: Vec<(i8, u64)>,
    revision: u64,
    has_revision: bool,
}

const SUFFIXES: [(&str, i8); 9] = [
    ("alpha", -4),
    ("beta", -3),
    ("pre", -2),
    ("rc", -1),
    ("cvs", 1),
    ("svn", 2),
    ("git", 3),
    ("hg", 4),
    ("p", 5),
];

impl Version {
    /// A version from its text; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (text, revision) = match text.split_once("-r") {
            Some((text, revision)) => (text, Some(revision.parse().ok()?)),
            None => (text, None),
        };
        // A commit's hash has no order.
        let text = text.split_once('~').map_or(text, |(text, _)| text);
        let mut parts = text.split('_');
        let mut main = parts.next()?;
        let letter = main.chars().last().filter(char::is_ascii_lowercase);
        if letter.is_some() {
            main = &main[..main.len() - 1];
        }
        let numbers: Vec<String> = main.split('.').map(str::to_owned).collect();
        let is_number = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !numbers.iter().all(is_number) {
            return None;
        }
        let suffixes = parts.map(suffix).collect::<Option<_>>()?;
        Some(Self {
            numbers,
            letter,
            suffixes,
            revision: revision.unwrap_or(0),
            has_revision: revision.is_some(),
        })
    }

    /// Whether this version begins as `short` does: what `~` demands.
    #[must_use]
    pub fn begins_as(&self, short: &Self) -> bool {
        if short.has_revision {
            return self == short;
        }
        if short.letter.is_some() || !short.suffixes.is_empty() {
            return Self { revision: 0, has_revision: false, ..self.clone() } == *short;
        }
        self.numbers.starts_with(&short.numbers)
    }
}

fn suffix(text: &str) -> Option<(i8, u64)> {
    let digits = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (name, number) = text.split_at(digits);
    let (_, rank) = SUFFIXES.iter().find(|(known, _)| *known == name)?;
    let number = if number.is_empty() { 0 } else { number.parse().ok()? };
    Some((*rank, number))
}

/// Digits as a number of any length.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        for (place, (a, b)) in self.numbers.iter().zip(&other.numbers).enumerate() {
            let fraction = place > 0 && (a.starts_with('0') || b.starts_with('0'));
            let order = if fraction { a.cmp(b) } else { compare_numbers(a, b) };
            if order.is_ne() {
                return order;
            }
        }
        let longest = self.suffixes.len().max(other.suffixes.len());
        let at = |version: &Self, place: usize| version.suffixes.get(place).copied().unwrap_or((0, 0));
        self.numbers
            .len()
            .cmp(&other.numbers.len())
            .then(self.letter.cmp(&other.letter))
            .then_with(|| {
                (0..longest)
                    .map(|place| at(self, place).cmp(&at(other, place)))
                    .find(|o| o.is_ne())
                    .unwrap_or(Ordering::Equal)
            })
            .then(self.revision.cmp(&other.revision))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is demanded: a name, and perhaps which versions of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// A package, or what packages provide: `so:libc.musl-aarch64.so.1`, `cmd:sh`, `/bin/sh`.
    pub name: String,
    /// It must not be there.
    pub conflict: bool,
    bound: Option<(Bound, Version)>,
    text: String,
}

/// Which versions are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    /// How they may compare with the one that is named.
    orders: Vec<Ordering>,
    /// Whether those that begin as it does are meant as well.
    fuzzy: bool,
}

impl Demand {
    /// A demand as it stands in an index: `name`, `name>=1.2`, `name~1.2`, `!name`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (conflict, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let split = rest.find(['<', '>', '=', '~']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(split);
        let version = rest.trim_start_matches(['<', '>', '=', '~']);
        let operator = &rest[..rest.len() - version.len()];
        let bound = if operator.is_empty() {
            None
        } else {
            let orders = operator.chars().filter_map(|sign| match sign {
                '<' => Some(Ordering::Less),
                '=' => Some(Ordering::Equal),
                '>' => Some(Ordering::Greater),
                _ => None,
            });
            let bound = Bound { orders: orders.collect(), fuzzy: operator.contains('~') };
            Some((bound, Version::parse(version)?))
        };
        let known = operator.len() <= 2 && operator != "><" && operator != "<>" && operator != "==";
        (known && !name.is_empty()).then(|| Self {
            name: name.to_owned(),
            conflict,
            bound,
            text: text.to_owned(),
        })
    }

    /// Whether this version of the name will do. `None`: it is provided without a version.
    #[must_use]
    pub fn accepts(&self, version: Option<&str>) -> bool {
        let Some((bound, wanted)) = &self.bound else { return true };
        let Some(version) = version.and_then(Version::parse) else { return false };
        bound.fuzzy && version.begins_as(wanted) || bound.orders.contains(&version.cmp(wanted))
    }
}

impl std::fmt::Display for Demand {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_order_that_apk_gives_them() {
        let ascending = [
            "0.9",
            "1.0_alpha",
            "1.0_beta1",
            "1.0_pre2",
            "1.0_rc1",
            "1.0_rc2",
            "1.0",
            "1.0-r1",
            "1.0-r10",
            "1.0_git20240101",
            "1.0_p1",
            "1.0_p1-r2",
            "1.0a",
            "1.0.1",
            "1.01",
            "1.1",
            "1.2",
            "1.10",
            "2",
            "10",
        ];
        for (place, a) in ascending.iter().enumerate() {
            for b in &ascending[place + 1..] {
                assert!(Version::parse(a).unwrap() < Version::parse(b).unwrap(), "{a} < {b}");
            }
        }
        for bad in ["", "x", "1.", "1._p", "1.0_new", "1.0-rx", "1..2", "1.0A"] {
            assert!(Version::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_demand_takes_what_it_says() {
        for (demand, yes, no) in [
            ("a=1.2-r0", "1.2-r0", "1.2-r1"),
            ("a>=1.2", "1.2-r0", "1.1"),
            ("a>1.2", "1.3", "1.2"),
            ("a<2", "1.9_p1", "2"),
            ("a<=2", "2", "2.0.1"),
            ("a~1.2", "1.2.7-r3", "1.20"),
            ("a=~1.2_rc1", "1.2_rc1-r3", "1.2"),
        ] {
            let demand = Demand::parse(demand).unwrap();
            assert!(demand.accepts(Some(yes)), "{demand} takes {yes}");
            assert!(!demand.accepts(Some(no)), "{demand} does not take {no}");
            assert!(!demand.accepts(None), "{demand} needs a version");
        }
        let any = Demand::parse("so:libmnl.so.0").unwrap();
        assert!(any.accepts(None) && any.accepts(Some("0.2.0")) && !any.conflict);
        assert!(Demand::parse("!a<2").unwrap().conflict);
        for bad in ["", "!", "=1", "a=", "a=x", "a><1", "a<>1", "a>=<1"] {
            assert!(Demand::parse(bad).is_none(), "{bad}");
        }
    }
}
