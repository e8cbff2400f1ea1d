//! Keeps web pages out of a registry that is open to its own machine.
//!
//! Such a registry asks nobody who they are: that they reach its port is enough. A browser on the machine reaches it too, and
//! does what pages of strangers tell it. Any page may send what needs no question first (a form, a `POST` of plain text: an
//! upload begins with that), and a page whose name means 127.0.0.1 for a while ("DNS rebinding") may even read the answers.
//! Browsers say so themselves: who sends `Origin`, or a `Sec-Fetch-Site` of another site, is a page; and the `Host` of a
//! rebound page is the stranger's name. No client of registries sends the first two, and all of them know this one by an
//! address or by a name of its machine.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};

use crate::error::{RegistryError, Result};
use crate::image::shown;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What containers call the machine that they run on.
const CONTAINER_HOSTS: [&str; 2] = ["host.docker.internal", "host.containers.internal"];

/// The host of a `Host` header, without its port; `None` if it is none.
fn host_of(value: &str) -> Option<&str> {
    let (host, port) = match value.rsplit_once(':') {
        // The last colon of an address in brackets may be its own.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (value, ""),
    };
    port.bytes().all(|byte| byte.is_ascii_digit()).then_some(host)
}

/// Whether a host is one that this machine goes by, and no stranger's name can be.
fn is_own(host: &str, machine: &str) -> bool {
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(address) = in_brackets {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let plain = |name: &str| name.trim().trim_end_matches('.').to_ascii_lowercase();
    let (host, machine) = (plain(host), plain(machine));
    let short = machine.split('.').next().unwrap_or_default();
    let bare = host.strip_suffix(".local").unwrap_or(&host);
    host == "localhost"
        || host.ends_with(".localhost")
        || CONTAINER_HOSTS.contains(&host.as_str())
        || !short.is_empty() && (host == machine || bare == machine || bare == short)
}

fn denied(why: &str) -> Result<()> {
    let who = "this registry is open to the programs of its own machine";
    Err(RegistryError::Denied(format!("{who} and {why}, or say in registry.toml who may do what")))
}

/// Refuses a request that a web page sends, or may have sent, to a registry on `machine`.
///
/// One without a `Host` comes from no browser.
///
/// # Errors
/// [`RegistryError::Denied`], with what to do.
pub(super) fn refuse_pages(headers: &HeaderMap, machine: &str) -> Result<()> {
    let is_here = |value: &[u8]| value == b"same-origin" || value == b"none";
    let is_page = headers.contains_key(ORIGIN)
        || !headers.get_all(FETCH_SITE).iter().all(|site| is_here(site.as_bytes()));
    if is_page {
        return denied("takes nothing from web pages; use a client of registries");
    }
    for value in headers.get_all(HOST) {
        let host = value.to_str().ok().and_then(host_of);
        if !host.is_some_and(|host| is_own(host, machine)) {
            let name = shown(&String::from_utf8_lossy(value.as_bytes()));
            return denied(&format!("does not answer to {name:?}; use localhost or 127.0.0.1"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// Headers and their values.
    type Lines<'a> = &'a [(&'a str, &'a [u8])];

    fn is_taken(machine: &str, lines: Lines<'_>) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        refuse_pages(&headers, machine).is_ok()
    }

    #[test]
    fn names_of_the_machine_and_others() {
        let cases: &[(&str, bool)] = &[
            ("127.0.0.1", true),
            ("127.0.0.1:8000", true),
            ("127.0.0.1:", true),
            ("192.0.2.7:8053", true),
            ("[::1]", true),
            ("[::1]:8000", true),
            ("localhost", true),
            ("LOCALHOST.:8000", true),
            ("registry.localhost:8000", true),
            ("pi", true),
            ("Pi.local:8000", true),
            ("pi.local.", true),
            ("pi.lan", true),
            ("pi.lan.local", true),
            ("host.docker.internal:8000", true),
            ("host.containers.internal", true),
            // Strangers, however much like one of the above.
            ("", false),
            (":8000", false),
            (".", false),
            (".local", false),
            ("rebound.example", false),
            ("rebound.example:8000", false),
            ("127.0.0.1.rebound.example", false),
            ("localhost.rebound.example", false),
            ("notlocalhost", false),
            ("pi.rebound.example", false),
            ("lan", false),
            ("other.local", false),
            ("x.host.docker.internal", false),
            ("127.0.0.1:8000@rebound.example", false),
            ("rebound.example#:8000]", false),
            ("[::1].rebound.example", false),
            ("[rebound.example]", false),
            ("[127.0.0.1]", false),
            ("127.0.0.1:x", false),
            ("127.1", false),
            ("0x7f000001", false),
        ];
        for (host, expected) in cases {
            assert_eq!(is_taken("pi.lan", &[("host", host.as_bytes())]), *expected, "{host}");
        }
        assert!(is_taken("pi", &[]), "without a host");
        assert!(is_taken("pi", &[("host", b"pi")]) && is_taken("PI.", &[("host", b"pi.local")]));
        assert!(!is_taken("", &[("host", b"")]) && !is_taken("", &[("host", b".local")]));
        assert!(!is_taken("pi", &[("host", b"pi\xff")]));
        assert!(!is_taken("pi", &[("host", b"pi"), ("host", b"rebound.example")]), "each counts");
    }

    #[test]
    fn pages_and_programs() {
        let cases: &[(Lines<'_>, bool)] = &[
            (&[("host", b"localhost")], true),
            (&[("host", b"localhost"), ("sec-fetch-site", b"none")], true),
            (&[("host", b"localhost"), ("sec-fetch-site", b"same-origin")], true),
            // Another port of the same machine is another site's page.
            (&[("host", b"localhost"), ("sec-fetch-site", b"same-site")], false),
            (&[("host", b"localhost"), ("sec-fetch-site", b"cross-site")], false),
            (
                &[("host", b"localhost"), ("sec-fetch-site", b"none"), ("sec-fetch-site", b"cross-site")],
                false,
            ),
            (&[("host", b"localhost"), ("sec-fetch-site", b"")], false),
            (&[("host", b"localhost"), ("sec-fetch-site", b"\xff")], false),
            (&[("host", b"localhost"), ("origin", b"https://stranger.example")], false),
            (&[("host", b"localhost"), ("origin", b"http://localhost")], false),
            (&[("host", b"localhost"), ("origin", b"null")], false),
            (&[("origin", b"null")], false),
        ];
        for (lines, expected) in cases {
            assert_eq!(is_taken("pi", lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn the_answer_says_what_to_do() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_bytes(&[b'x'; 10_000]).unwrap());
        let error = refuse_pages(&headers, "pi").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("\"xxx") && text.contains("127.0.0.1") && text.contains("registry.toml"),
            "{text}"
        );
        assert!(text.len() < 1_000);
        assert_eq!((error.status().as_u16(), error.code()), (403, "DENIED"));
    }
}
