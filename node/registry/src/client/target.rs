//! URLs, as far as we follow them: scheme, host, port, path and query.

use std::fmt;

use axum::http::Uri;

use super::ClientError;

/// Longest URL that is followed, in bytes. Those of content networks carry signatures of a kilobyte or two.
const MAX_URL_BYTES: usize = 8 * 1024;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) is_https: bool,
    /// In lowercase, an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Begins with a slash, holds the query.
    pub(crate) path: String,
}

fn refuse(url: &str, why: &str) -> ClientError {
    // What stands after the path may be a secret.
    let shown: String = url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect();
    ClientError::Target(format!("{shown:?} {why}"))
}

impl Target {
    /// Reads `https://host[:port][/path][?query]`, or the same with `http`.
    pub(crate) fn parse(url: &str) -> Result<Self, ClientError> {
        if url.len() > MAX_URL_BYTES {
            return Err(refuse(url, "is too long for a URL"));
        }
        let url = url.split('#').next().unwrap_or(url);
        let uri: Uri = url.parse().map_err(|_| refuse(url, "is not a URL"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refuse(url, "begins with neither https:// nor http://")),
        };
        let authority = uri.authority().ok_or_else(|| refuse(url, "names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse(url, "holds a user name; credentials have their own settings"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(refuse(url, "names no host"));
        }
        let port =
            match authority.port() {
                Some(port) => port.as_u16(),
                None if authority.as_str().ends_with(']') || !authority.as_str().contains(':') => {
                    if is_https { 443 } else { 80 }
                }
                None if authority.as_str().rsplit(':').next().is_some_and(str::is_empty) => {
                    return Err(refuse(url, "has an empty port"));
                }
                None => return Err(refuse(url, "has a port that is none")),
            };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { is_https, host, port, path })
    }

    /// Where an answer from here leads that says `location`.
    pub(crate) fn join(&self, location: &str) -> Result<Self, ClientError> {
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme()));
        }
        if location.starts_with('/') {
            return Self::parse(&format!("{}://{}{location}", self.scheme(), self.authority()));
        }
        // Relative to a folder: nobody does that here.
        Self::parse(location)
    }

    /// The same place with another path.
    pub(crate) fn with_path(&self, path: String) -> Self {
        Self { path, ..self.clone() }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Host and port as the `Host` header has them.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.is_https { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// Whether both are the same server: what may see the same credentials.
    pub(crate) fn is_same_server(&self, other: &Self) -> bool {
        (self.is_https, &self.host, self.port) == (other.is_https, &other.host, other.port)
    }
}

impl fmt::Display for Target {
    /// Without the query, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{}://{}{path}", self.scheme(), self.authority())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, expected) in [
            ("https://Registry-1.Docker.io", (true, "registry-1.docker.io", 443, "/")),
            ("http://127.0.0.1:5000/v2/?a=b#c", (false, "127.0.0.1", 5000, "/v2/?a=b")),
            ("https://[2001:db8::1]:8053/x", (true, "2001:db8::1", 8053, "/x")),
            ("https://[2001:db8::1]/x", (true, "2001:db8::1", 443, "/x")),
            ("https://a?b=c", (true, "a", 443, "/?b=c")),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.is_https, &*target.host, target.port, &*target.path), expected, "{url}");
        }
        let long = format!("https://a/{}", "x".repeat(MAX_URL_BYTES));
        for bad in [
            "",
            "a",
            "/a",
            "ftp://a",
            "file:///etc/passwd",
            "https://",
            "https:///a",
            "https://u:p@a/",
            "https://a:99999/",
            "https://a:/",
            "https://a b/",
            "https://a/\n",
            "unix:/run/x",
            &long,
        ] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn redirects() {
        let from = Target::parse("https://a.example:8443/v2/x/blobs/y").unwrap();
        for (location, expected) in [
            ("https://cdn.example/z?sig=1", "https://cdn.example/z"),
            ("/z?sig=1", "https://a.example:8443/z"),
            ("//b.example/z", "https://b.example/z"),
            ("http://b.example/z", "http://b.example/z"),
        ] {
            assert_eq!(from.join(location).unwrap().to_string(), expected);
        }
        for bad in ["", "z", "../z", "javascript:x", "//", "ftp://b/"] {
            assert!(from.join(bad).is_err(), "{bad:?}");
        }
        assert!(from.is_same_server(&from.join("/other").unwrap()));
        for other in ["https://a.example/z", "http://a.example:8443/z", "https://b.example:8443/z"] {
            assert!(!from.is_same_server(&from.join(other).unwrap()), "{other}");
        }
    }

    #[test]
    fn secrets_of_a_query_are_not_told() {
        let error = Target::parse("ftp://a/b?token=secret").unwrap_err();
        assert!(!error.to_string().contains("secret"));
        assert!(!Target::parse("https://a/b?token=secret").unwrap().to_string().contains("secret"));
    }
}
