#![allow(clippy::unwrap_used)]

use axum::http::Request;

use super::*;

fn parts(headers: &[(&str, &str)]) -> Parts {
    let request =
        headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

#[test]
fn what_requests_want() {
    let path = |path: &str| Route::parse(path).unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let id = "ffffffff-ffff-4fff-bfff-ffffffffffff";
    for (method, text, expected) in [
        (Method::GET, "/v2/".to_owned(), None),
        (Method::GET, "/token".to_owned(), None),
        (Method::GET, "/v2/a/manifests/x".to_owned(), Some(Action::Pull)),
        (Method::HEAD, format!("/v2/a/blobs/{digest}"), Some(Action::Pull)),
        (Method::GET, "/v2/a/tags/list".to_owned(), Some(Action::Pull)),
        (Method::GET, format!("/v2/a/referrers/{digest}"), Some(Action::Pull)),
        (Method::PUT, "/v2/a/manifests/x".to_owned(), Some(Action::Push)),
        (Method::POST, "/v2/a/blobs/uploads/".to_owned(), Some(Action::Push)),
        (Method::GET, format!("/v2/a/blobs/uploads/{id}"), Some(Action::Push)),
        (Method::DELETE, format!("/v2/a/blobs/uploads/{id}"), Some(Action::Push)),
        (Method::DELETE, format!("/v2/a/blobs/{digest}"), Some(Action::Delete)),
        (Method::DELETE, "/v2/a/manifests/x".to_owned(), Some(Action::Delete)),
    ] {
        assert!(path(&text).knows(&method), "{method} {text}");
        assert_eq!(wanted(&path(&text), &method).map(|(_, action)| action), expected, "{method} {text}");
    }
}

#[test]
fn scopes_as_clients_ask_for_them() {
    let of = |text: &str| {
        let scopes = scopes(&Upstreams::default(), &Query::parse(Some(text)).unwrap())?;
        Ok::<_, RegistryError>(
            scopes
                .iter()
                .map(|scope| format!("{}:{}", scope.repositories, scope.actions))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(of("service=x&account=y").unwrap(), [""; 0]);
    assert_eq!(of("scope=repository:a/b:pull").unwrap(), ["a/b:pull"]);
    assert_eq!(
        of("scope=repository:a:pull,push&scope=repository:b:pull").unwrap(),
        ["a:pull,push", "b:pull"]
    );
    assert_eq!(of("scope=repository:a:pull+repository:b:*").unwrap(), ["a:pull", "b:pull,push,delete"]);
    assert_eq!(of("scope=registry:catalog:*&scope=repository:A:pull&scope=&scope=x").unwrap(), [""; 0]);
    assert_eq!(of("scope=repository:*:pull").unwrap(), [""; 0], "no patterns");
    assert!(of(&"scope=repository:a:pull&".repeat(MAX_SCOPES + 1)).is_err());
}

#[test]
fn one_authorization_at_most() {
    assert_eq!(authorization(&parts(&[]).headers).unwrap(), None);
    assert_eq!(authorization(&parts(&[("Authorization", "Basic x")]).headers).unwrap(), Some("Basic x"));
    let two = parts(&[("Authorization", "Basic x"), ("Authorization", "Basic y")]);
    assert!(authorization(&two.headers).is_err());
}

#[test]
fn hosts_that_would_break_out_of_the_challenge() {
    let access = Access::default();
    for host in ["a\"", "a,b", "a/b", "a b", "", &"x".repeat(300)] {
        assert_eq!(base_url(&access, &parts(&[("Host", host)])), None, "{host}");
    }
    assert_eq!(base_url(&access, &parts(&[])), None);
    for host in ["registry.local:8000", "[fd10:1234::2]:8000"] {
        assert_eq!(base_url(&access, &parts(&[("Host", host)])), Some(format!("http://{host}")));
    }
    let mut encrypted = parts(&[("Host", "x:8053")]);
    let address = "10.0.0.1:5".parse().unwrap();
    encrypted.extensions.insert(Peer { address, is_tls: true });
    assert_eq!(base_url(&access, &encrypted).as_deref(), Some("https://x:8053"));
}
