//! Pulls through the registry: who is told passwords and tokens, where redirects may lead, and what an upstream can make
//! nobody believe of the blobs of others.

#![allow(clippy::unwrap_used)]

#[path = "common/cache.rs"]
mod cache;
mod common;
#[path = "common/elsewhere.rs"]
mod elsewhere;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use cache::*;
use common::*;
use elsewhere::{Elsewhere, Reply};
use trustnet_registry::{Limits, UpstreamSettings};

#[test]
fn tokens_are_fetched_once_and_shown_to_the_upstream_only() {
    let (text, config, layer) = one_image(1);
    let (served, blob) = (text.clone(), layer.clone());
    let tokens = Elsewhere::start(move |asked| {
        let is_known = asked.header("authorization") == Some("Basic dTpw");
        if is_known { Reply::ok(r#"{"token":"t0ken","expires_in":300}"#) } else { Reply::new(401, "{}") }
    });
    let cdn = Elsewhere::start(move |_| Reply::ok(blob.clone()));
    let (realm, content) = (tokens.url(), cdn.url());
    let inner = plain(&served, &[&config]);
    let upstream = Elsewhere::start(move |asked| {
        if asked.header("authorization") != Some("Bearer t0ken") {
            let challenge =
                format!("Bearer realm=\"{realm}/token?x=1\",service=\"up\",scope=\"repository:evil:*\"");
            return Reply::new(401, "{}").with("WWW-Authenticate", challenge);
        }
        match inner(asked) {
            reply if reply.status == 404 => Reply::redirect(format!("{content}/blob?signature=s")),
            reply => reply,
        }
    });
    let known = UpstreamSettings {
        username: Some("u".into()),
        password: Some("p".into()),
        ..settings(&upstream.url())
    };
    let server = cache_with(known, Limits::default());
    assert_eq!(server.get(&path("manifests/v1")).expect(200).body, text.as_bytes());
    server.get(&path(format_args!("blobs/{}", sha256(&config)))).expect(200);
    assert_eq!(server.get(&path(format_args!("blobs/{}", sha256(&layer)))).expect(200).body, layer);
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1, "one token for all of it");
    assert_eq!(asked[0].path, "/token?x=1&service=up&scope=repository%3Aa%2Fb%3Apull", "our own scope");
    assert_eq!(cdn.asked().len(), 1);
    assert_eq!(cdn.asked()[0].header("authorization"), None, "the token is nobody else's");

    cache(&upstream.url()).get(&path("manifests/v1")).refused(403, "DENIED");
}

#[test]
fn passwords_where_no_tokens_are_wanted() {
    let (text, ..) = one_image(1);
    let inner = plain(&text, &[]);
    let upstream = Elsewhere::start(move |asked| match asked.header("authorization") {
        Some("Basic dTpw") => inner(asked),
        _ => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("password"), "p\n").unwrap();
    let known = UpstreamSettings {
        username: Some("u".into()),
        password_file: Some(dir.path().join("password")),
        ..settings(&upstream.url())
    };
    cache_with(known, Limits::default()).get(&path("manifests/v1")).expect(200);
    cache(&upstream.url()).get(&path("manifests/v1")).refused(403, "DENIED");
}

#[test]
fn token_servers_that_make_no_sense() {
    let realm = Arc::new(Mutex::new(String::new()));
    let answer = Arc::new(Mutex::new(Reply::ok("")));
    let (said, given) = (Arc::clone(&realm), Arc::clone(&answer));
    let upstream = Elsewhere::start(move |asked| {
        if asked.path.starts_with("/token") {
            return given.lock().unwrap().clone();
        }
        Reply::new(401, "").with("WWW-Authenticate", said.lock().unwrap().clone())
    });
    let own = format!("Bearer realm=\"{}/token\"", upstream.url());
    let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(100_000));
    let cases: [(&str, Reply, u16); 10] = [
        (&own, Reply::ok(""), 502),
        (&own, Reply::ok("{}"), 502),
        (&own, Reply::ok(long), 502),
        (&own, Reply::new(500, ""), 502),
        (&own, Reply::new(404, ""), 502),
        (&own, Reply::new(403, ""), 403),
        // A token that is not accepted: asked for once, not in a loop.
        (&own, Reply::ok(r#"{"token":"t"}"#), 403),
        ("Negotiate", Reply::ok(""), 403),
        ("Bearer realm=\"file:///etc/passwd\"", Reply::ok(""), 502),
        // From this machine's upstream to a network that this machine happens to be in.
        ("Bearer realm=\"http://10.0.0.1/token\"", Reply::ok(""), 502),
    ];
    for (index, (challenge, reply, status)) in cases.into_iter().enumerate() {
        (*realm.lock().unwrap(), *answer.lock().unwrap()) = (challenge.to_owned(), reply);
        let before = upstream.asked().len();
        let answer = cache(&upstream.url()).get(&path("manifests/v1"));
        assert_eq!(answer.status, status, "case {index}: {}", String::from_utf8_lossy(&answer.body));
        assert!(upstream.asked().len() - before <= 3, "case {index}");
    }
}

#[test]
fn redirects_are_bounded_and_lead_nowhere_inside() {
    let to = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&to);
    let upstream = Elsewhere::start(move |_| Reply::redirect(said.lock().unwrap().clone()));
    let digest = sha256(b"x");
    let own = format!("{}/again", upstream.url());
    for (location, why) in [
        (own.as_str(), "more than 5 redirects"),
        ("/again", "more than 5 redirects"),
        ("", "is not a URL"),
        ("ftp://a/", "neither https:// nor http://"),
        ("http://169.254.169.254/latest/meta-data/", "must not lead"),
        ("http://10.0.0.1/", "must not lead"),
        ("http://[fe80::1]/", "must not lead"),
        ("http://0.0.0.0/", "must not lead"),
        ("http://[::ffff:10.0.0.1]/", "must not lead"),
    ] {
        location.clone_into(&mut to.lock().unwrap());
        let server = cache(&upstream.url());
        let answer = server.get(&path(format_args!("blobs/{digest}"))).refused(502, "UNKNOWN");
        let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(why), "{location}: {message}");
        server.expect_no_uploads();
    }
}

#[test]
fn what_another_repository_holds_is_shown_only_on_the_upstreams_word() {
    let secret = content(9, 200_000);
    let digest = sha256(&secret);
    let is_there = Arc::new(AtomicBool::new(false));
    let there = Arc::clone(&is_there);
    let len = secret.len();
    let upstream =
        Elsewhere::start(move |asked| match (there.load(Ordering::SeqCst), asked.method.as_str()) {
            (true, "HEAD") => Reply::ok("").saying(len),
            _ => Reply::new(404, "{}"),
        });
    let server = cache(&upstream.url());
    server.push_blob("secret", &secret);
    let at = path(format_args!("blobs/{digest}"));
    server.get(&at).refused(404, "BLOB_UNKNOWN");
    is_there.store(true, Ordering::SeqCst);
    assert_eq!(server.get(&at).expect(200).body, secret);
    assert_eq!(upstream.count("GET", "/blobs/"), 0, "it need not be sent again");
}

#[test]
fn a_manifest_that_lies_about_a_length_costs_nobody_a_blob() {
    let blob = content(9, 5_000);
    let lie = image(&content(8, 10), &[&blob], "").replace("\"size\":5000", "\"size\":4999");
    let upstream = Elsewhere::start(plain(&lie, &[]));
    let mut server = cache(&upstream.url());
    server.push_blob("own", &blob);
    server.get(&path("manifests/v1")).expect(200);
    std::fs::remove_file(server.dir.path().join("metadata.redb")).unwrap();
    server.restart();
    let at = format!("/v2/own/blobs/{}", sha256(&blob));
    assert_eq!(server.get(&at).expect(200).body, blob);
    assert!(server.store().damaged().unwrap().is_empty());
}

#[test]
fn a_manifest_that_names_somebody_elses_blob_does_not_get_it_when_the_metadata_is_made_again() {
    let secret = content(9, 5_000);
    let (config, at) = (content(8, 10), path(format_args!("blobs/{}", sha256(&secret))));
    let upstream = Elsewhere::start(plain(&image(&config, &[&secret], ""), &[&config]));
    let url = upstream.url();
    let mut server = cache(&url);
    server.push_blob("secret", &secret);
    server.get(&path("manifests/v1")).expect(200);
    server.get(&at).refused(404, "BLOB_UNKNOWN");
    std::fs::remove_file(server.dir.path().join("metadata.redb")).unwrap();
    server.restart_with(extras(settings(&url)));
    server.get(&at).refused(404, "BLOB_UNKNOWN");
    server.get(&path("manifests/v1")).expect(200);
}
