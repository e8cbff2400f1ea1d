//! Which packages it takes: what is wanted, what that needs, and so on.
//!
//! The choice depends on the indices only. Of several packages that would do, the first by this order is taken: one that
//! is taken already, one of an earlier repository, one of that very name, the higher priority, the newer version, the
//! name.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::index::{Entry, Index};
use super::version::{Demand, Version};

/// A package and the number of its repository.
pub type Choice<'a> = (usize, &'a Entry);

/// The most packages that may be looked at before it is given up: demands may contradict each other in a circle.
const MAX_STEPS: usize = 100_000;

/// Why the demands cannot be met.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResolveError {
    /// Nothing provides it.
    #[error("{by} needs {demand}, which no repository of this Alpine has{}", hint(.left_out))]
    Missing {
        /// Who needs it.
        by: String,
        /// What.
        demand: String,
        /// Packages of that name that could not be read, and why.
        left_out: Vec<String>,
    },
    /// What was taken does not go together.
    #[error(
        "{by} does not go together with what else is needed: {demand}; refresh: trustnet-image lock --base alpine"
    )]
    Conflict {
        /// Who demands it.
        by: String,
        /// What.
        demand: String,
    },
}

fn hint(packages: &[String]) -> String {
    let list = packages.join("; ");
    if list.is_empty() { list } else { format!(" (left out as malformed: {list})") }
}

/// Packages by what they provide: their name and more, with or without a version.
struct Providers<'a> {
    by_name: BTreeMap<&'a str, Vec<(Choice<'a>, Option<&'a str>)>>,
    repositories: &'a [&'a Index],
}

impl<'a> Providers<'a> {
    fn new(repositories: &'a [&'a Index]) -> Self {
        let mut by_name: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (number, index) in repositories.iter().enumerate() {
            for entry in &index.entries {
                by_name.entry(&entry.name).or_default().push(((number, entry), Some(entry.version.as_str())));
                for (name, version) in &entry.provides {
                    by_name.entry(name).or_default().push(((number, entry), version.as_deref()));
                }
            }
        }
        Self { by_name, repositories }
    }

    /// All that meet a demand.
    fn meet(&self, demand: &Demand) -> impl Iterator<Item = Choice<'a>> {
        let all = self.by_name.get(demand.name.as_str()).into_iter().flatten();
        all.filter(|(_, version)| demand.accepts(*version)).map(|(choice, _)| *choice)
    }

    fn best(&self, demand: &Demand, by: &str) -> Result<Choice<'a>, ResolveError> {
        let best = self.meet(demand).min_by_key(|(number, entry)| {
            let version = Version::parse(&entry.version);
            (*number, entry.name != demand.name, Reverse(entry.priority), Reverse(version), &entry.name)
        });
        best.ok_or_else(|| {
            let left_out = self.repositories.iter().flat_map(|index| &index.left_out);
            let quoted = format!("{:?}", demand.name);
            ResolveError::Missing {
                by: by.to_owned(),
                demand: demand.to_string(),
                left_out: left_out.filter(|text| text.starts_with(&quoted)).cloned().collect(),
            }
        })
    }
}

/// Whether a package meets a demand.
fn meets(entry: &Entry, demand: &Demand) -> bool {
    let named = entry.name == demand.name && demand.accepts(Some(&entry.version));
    named
        || entry
            .provides
            .iter()
            .any(|(name, version)| *name == demand.name && demand.accepts(version.as_deref()))
}

/// The packages that meet `wanted`, with all that they need, by name. `by` is who wants them.
///
/// # Errors
/// [`ResolveError`].
pub fn resolve<'a>(
    repositories: &'a [&'a Index],
    wanted: &[Demand],
    by: &str,
) -> Result<BTreeMap<&'a str, Choice<'a>>, ResolveError> {
    let providers = Providers::new(repositories);
    let mut taken: BTreeMap<&str, Choice<'_>> = BTreeMap::new();
    let mut open: Vec<(String, Demand)> =
        wanted.iter().rev().map(|demand| (by.to_owned(), demand.clone())).collect();
    let mut steps = 0;
    loop {
        while let Some((by, demand)) = open.pop() {
            steps += 1;
            if demand.conflict || taken.values().any(|(_, entry)| meets(entry, &demand)) {
                continue;
            }
            let (number, entry) = providers.best(&demand, &by)?;
            if steps > MAX_STEPS {
                return Err(ResolveError::Conflict { by, demand: demand.to_string() });
            }
            // One of the same name that does not do is replaced; whether the first who took it can live with this one is
            // seen in the end.
            taken.insert(&entry.name, (number, entry));
            open.extend(entry.depends.iter().rev().map(|demand| (entry.name.clone(), demand.clone())));
        }
        let Some(next) = installed_by_itself(repositories, &taken) else { break };
        taken.insert(&next.1.name, next);
        open.extend(next.1.depends.iter().rev().map(|demand| (next.1.name.clone(), demand.clone())));
    }
    check(&taken)?;
    Ok(taken)
}

/// A package that apk would install because of others that are there, such as the `OpenRC` service of a program.
fn installed_by_itself<'a>(
    repositories: &'a [&'a Index],
    taken: &BTreeMap<&str, Choice<'a>>,
) -> Option<Choice<'a>> {
    let all = repositories
        .iter()
        .enumerate()
        .flat_map(|(number, index)| index.entries.iter().map(move |entry| (number, entry)));
    let has = |demand: &Demand| taken.values().any(|(_, entry)| meets(entry, demand));
    let mut due = all.filter(|(_, entry)| {
        !entry.install_if.is_empty()
            && !taken.contains_key(entry.name.as_str())
            && entry.install_if.iter().all(|demand| demand.conflict != has(demand))
    });
    due.next()
}

/// Whether all that was taken goes together.
fn check(taken: &BTreeMap<&str, Choice<'_>>) -> Result<(), ResolveError> {
    for (_, entry) in taken.values() {
        for demand in &entry.depends {
            let others = || taken.values().filter(|(_, other)| other.name != entry.name);
            let fits = if demand.conflict {
                !others().any(|(_, other)| meets(other, demand))
            } else {
                taken.values().any(|(_, other)| meets(other, demand))
            };
            if !fits {
                return Err(ResolveError::Conflict { by: entry.name.clone(), demand: demand.to_string() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::alpine::testing::Apk;

    fn index(packages: &[Apk]) -> Index {
        Index { entries: packages.iter().map(Apk::entry).collect(), left_out: Vec::new() }
    }

    fn names(repositories: &[&Index], wanted: &[&str]) -> Result<Vec<String>, ResolveError> {
        let wanted: Vec<_> = wanted.iter().map(|text| Demand::parse(text).unwrap()).collect();
        let chosen = resolve(repositories, &wanted, "the test")?;
        Ok(chosen.values().map(|(number, entry)| format!("{number}:{}", entry.file())).collect())
    }

    #[test]
    fn what_is_needed_comes_along_from_the_first_repository_that_has_it() {
        let medium = index(&[Apk::new("musl", "1-r0").provides("so:libc.so=1"), Apk::new("zlib", "1-r0")]);
        let mirror = index(&[
            Apk::new("nftables", "1-r0").needs("so:libc.so so:libmnl.so.0"),
            Apk::new("nftables-openrc", "1-r0").install_if("openrc nftables=1-r0"),
            Apk::new("libmnl", "2-r0").provides("so:libmnl.so.0=0.2").needs("musl"),
            Apk::new("musl", "2-r0").provides("so:libc.so=1"),
            Apk::new("openrc", "1-r0"),
        ]);
        assert_eq!(
            names(&[&medium, &mirror], &["nftables"]).unwrap(),
            ["1:libmnl-2-r0.apk", "0:musl-1-r0.apk", "1:nftables-1-r0.apk"]
        );
        let with_service = names(&[&medium, &mirror], &["openrc", "nftables"]).unwrap();
        assert!(with_service.contains(&"1:nftables-openrc-1-r0.apk".to_owned()), "{with_service:?}");
    }

    #[test]
    fn a_newer_version_replaces_the_mediums_where_it_is_demanded() {
        let medium = index(&[Apk::new("lib", "1-r0"), Apk::new("user", "1-r0").needs("lib")]);
        let mirror = index(&[Apk::new("lib", "2-r0"), Apk::new("tool", "2-r0").needs("lib=2-r0")]);
        assert_eq!(
            names(&[&medium, &mirror], &["user", "tool"]).unwrap(),
            ["1:lib-2-r0.apk", "1:tool-2-r0.apk", "0:user-1-r0.apk"]
        );
        let strict = index(&[Apk::new("lib", "1-r0"), Apk::new("user", "1-r0").needs("lib<2")]);
        let error = names(&[&strict, &mirror], &["user", "tool"]).unwrap_err();
        assert!(matches!(error, ResolveError::Conflict { .. }), "{error}");
    }

    #[test]
    fn among_equals_priority_then_version_then_name_decides() {
        let all = index(&[
            Apk::new("b", "1-r0").provides("editor=1"),
            Apk::new("a", "1-r0").provides("editor=1"),
            Apk::new("c", "1-r0").provides("editor=1").priority(5),
        ]);
        assert_eq!(names(&[&all], &["editor"]).unwrap(), ["0:c-1-r0.apk"]);
        let equal =
            index(&[Apk::new("b", "1-r0").provides("editor"), Apk::new("a", "1-r0").provides("editor")]);
        assert_eq!(names(&[&equal], &["editor"]).unwrap(), ["0:a-1-r0.apk"]);
        assert_eq!(names(&[&equal], &["b", "editor"]).unwrap(), ["0:b-1-r0.apk"], "taken already");
    }

    #[test]
    fn what_is_missing_and_who_needs_it_is_named() {
        let mut all = index(&[Apk::new("tool", "1-r0").needs("lib>=2"), Apk::new("lib", "1-r0")]);
        let error = names(&[&all], &["tool"]).unwrap_err();
        assert!(error.to_string().starts_with("tool needs lib>=2, which no repository"), "{error}");
        all.left_out.push("\"gone\" has no size".into());
        let error = names(&[&all], &["gone"]).unwrap_err();
        assert!(
            error.to_string().contains("the test needs gone") && error.to_string().contains("no size"),
            "{error}"
        );
        let hostile = index(&[Apk::new("a", "1-r0").needs("!b"), Apk::new("b", "1-r0")]);
        assert!(matches!(names(&[&hostile], &["a", "b"]), Err(ResolveError::Conflict { .. })));
    }

    #[test]
    fn demands_in_a_circle_come_to_an_end() {
        let all = index(&[Apk::new("a", "1-r0").needs("b"), Apk::new("b", "1-r0").needs("a")]);
        assert_eq!(names(&[&all], &["a"]).unwrap().len(), 2);
        let hostile = index(&[
            Apk::new("a", "1-r0").needs("x=1"),
            Apk::new("x", "1").needs("y=2"),
            Apk::new("y", "2").needs("x=2"),
            Apk::new("x", "2").needs("y=1"),
            Apk::new("y", "1").needs("x=1"),
        ]);
        assert!(matches!(names(&[&hostile], &["a"]), Err(ResolveError::Conflict { .. })));
    }
}
