//! What a registry wants to see first, as its `WWW-Authenticate` headers say (RFC 9110, section 11.6.1).

use axum::http::{HeaderMap, header};

/// Longest header that is read, in bytes.
const MAX_HEADER_BYTES: usize = 4 * 1024;
/// Most parameters that are read.
const MAX_PARAMETERS: usize = 32;

/// One way to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password.
    Basic,
    /// A token, to be had at `realm`.
    Bearer { realm: String, service: Option<String> },
}

/// Reads words, quoted texts and separators.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn skip(&mut self, separators: &[char]) {
        self.0 = self.0.trim_start_matches(separators);
    }

    fn word(&mut self) -> Option<&'a str> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c);
        let end = self.0.find(|c| !is_word(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.0.strip_prefix('"')?.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => {
                    self.0 = &self.0[at + 2..];
                    return Some(text);
                }
                (_, '\\') => text.push(chars.next()?.1),
                (_, c) => text.push(c),
            }
        }
    }
}

/// Reads one header, which may hold several challenges; what cannot be read ends it.
fn read(text: &str, found: &mut Vec<(String, Vec<(String, String)>)>) -> Option<()> {
    let mut reader = Reader(text);
    let mut count = 0;
    loop {
        reader.skip(&[' ', '\t', ',']);
        let word = reader.word()?.to_ascii_lowercase();
        reader.skip(&[' ', '\t']);
        if let Some(rest) = reader.0.strip_prefix('=') {
            reader.0 = rest;
            reader.skip(&[' ', '\t']);
            let value = if reader.0.starts_with('"') { reader.quoted()? } else { reader.word()?.to_owned() };
            count += 1;
            if count > MAX_PARAMETERS {
                return None;
            }
            found.last_mut()?.1.push((word, value));
        } else {
            count += 1;
            if count > MAX_PARAMETERS {
                return None;
            }
            found.push((word, Vec::new()));
        }
    }
}

/// The first challenge that can be met, tokens before passwords.
pub(super) fn choose(headers: &HeaderMap) -> Option<Challenge> {
    let mut found = Vec::new();
    for value in headers.get_all(header::WWW_AUTHENTICATE).iter().take(4) {
        if let Some(text) = value.to_str().ok().filter(|text| text.len() <= MAX_HEADER_BYTES) {
            read(text, &mut found);
        }
    }
    let bearer = found.iter().filter(|(scheme, _)| scheme == "bearer").find_map(|(_, parameters)| {
        let get =
            |name: &str| parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        Some(Challenge::Bearer { realm: get("realm")?, service: get("service") })
    });
    bearer.or_else(|| found.iter().any(|(scheme, _)| scheme == "basic").then_some(Challenge::Basic))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn chosen(texts: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(header::WWW_AUTHENTICATE, text.parse().unwrap());
        }
        choose(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn as_registries_write_them() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/alpine:pull\"";
        assert_eq!(chosen(&[hub]), Some(bearer("https://auth.docker.io/token", Some("registry.docker.io"))));
        assert_eq!(
            chosen(&["bearer Realm = \"https://a/\" , error=\"x\""]),
            Some(bearer("https://a/", None))
        );
        assert_eq!(chosen(&["Bearer realm=https://a/token"]), Some(bearer("https://a/token", None)));
        assert_eq!(chosen(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(
            chosen(&["Basic realm=\"x, y\", Bearer realm=\"https://a\""]),
            Some(bearer("https://a", None))
        );
        assert_eq!(chosen(&["Basic", "Bearer realm=\"https://a\""]), Some(bearer("https://a", None)));
        assert_eq!(chosen(&["Bearer realm=\"a\\\"b\""]), Some(bearer("a\"b", None)));
    }

    #[test]
    fn what_makes_no_sense_is_no_challenge() {
        let many = format!("Bearer {}realm=\"https://a\"", "x=\"y\",".repeat(MAX_PARAMETERS));
        let long = format!("Bearer x=\"{}\",realm=\"https://a\"", "y".repeat(MAX_HEADER_BYTES));
        for bad in [
            "",
            "Bearer",
            "Bearer realm",
            "Bearer realm=",
            "Bearer realm=\"https://a",
            "realm=\"https://a\"",
            "Negotiate",
            "Bearer realm=\"x\\",
            "=",
            "\"",
            &many,
            &long,
        ] {
            assert_eq!(chosen(&[bad]), None, "{bad}");
        }
        assert_eq!(chosen(&[]), None);
    }
}
