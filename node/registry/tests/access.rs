//! Who may do what, as clients see it: logins, tokens, rights in every place, and limits.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{Read as _, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, OCI_MANIFEST, Server, connect, content, image, sha256};
use ed25519_dalek::SigningKey;
use trustnet_registry::access::{Action, Actions, Claims, Scope, issue};
use trustnet_registry::{Options, OsFiles};

/// Of few rounds, so that the tests are quick. The passwords are "alice secret" and "bob secret".
const USERS: &str = r#"
[[user]]
name = "alice"
password = "$pbkdf2-sha256$i=10000$MDEyMzQ1Njc4OWFiY2RlZg$aqgdwqYezaPOdUdF7yCjmalkJN8QcFbaEkvrr2L5He0"
[[user]]
name = "bob"
password = "$pbkdf2-sha256$i=10000$MDEyMzQ1Njc4OWFiY2RlZg$2mzFDTXFTtBV5/QR+uM/O5FyW4jBZDiHV+q1hJZoc00"
"#;

const RULES: &str = r#"
[[rule]]
who = ["alice"]
repositories = ["team/*"]
actions = ["pull", "push", "delete"]
[[rule]]
who = ["bob"]
repositories = ["bob/*", "team/shared"]
actions = ["pull", "push"]
[[rule]]
who = ["bob"]
repositories = ["team/read"]
actions = ["pull"]
"#;

fn closed() -> String {
    format!("[access]\nanonymous = []\n{USERS}{RULES}")
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn alice() -> String {
    basic("alice", "alice secret")
}

fn bob() -> String {
    basic("bob", "bob secret")
}

fn send(server: &Server, who: &str, method: &str, path: &str, body: &[u8]) -> Answer {
    let mut headers = vec![("Content-Type", OCI_MANIFEST)];
    if !who.is_empty() {
        headers.push(("Authorization", who));
    }
    server.request(method, path, &headers, body)
}

/// Pushes an image; gives its text.
fn push(server: &Server, who: &str, repo: &str, tag: &str, seed: u64) -> String {
    let (config, layer) = (content(seed, 50), content(seed + 1_000, 500));
    for blob in [&config, &layer] {
        let path = format!("/v2/{repo}/blobs/uploads/?digest={}", sha256(blob));
        send(server, who, "POST", &path, blob).expect(201);
    }
    let text = image(&config, &[&layer], "");
    send(server, who, "PUT", &format!("/v2/{repo}/manifests/{tag}"), text.as_bytes()).expect(201);
    text
}

/// Every way into a repository: method, path, what the right is.
fn ways(repo: &str) -> Vec<(&'static str, String, &'static str)> {
    let digest = sha256(b"x");
    let upload = "00000000-0000-4000-8000-000000000000";
    vec![
        ("GET", format!("/v2/{repo}/manifests/v1"), "pull"),
        ("HEAD", format!("/v2/{repo}/manifests/{digest}"), "pull"),
        ("GET", format!("/v2/{repo}/blobs/{digest}"), "pull"),
        ("HEAD", format!("/v2/{repo}/blobs/{digest}"), "pull"),
        ("GET", format!("/v2/{repo}/tags/list"), "pull"),
        ("GET", format!("/v2/{repo}/referrers/{digest}"), "pull"),
        ("POST", format!("/v2/{repo}/blobs/uploads/"), "push"),
        ("POST", format!("/v2/{repo}/blobs/uploads/?digest={digest}"), "push"),
        ("POST", format!("/v2/{repo}/blobs/uploads/?mount={digest}&from=team/x"), "push"),
        ("GET", format!("/v2/{repo}/blobs/uploads/{upload}"), "push"),
        ("PATCH", format!("/v2/{repo}/blobs/uploads/{upload}"), "push"),
        ("PUT", format!("/v2/{repo}/blobs/uploads/{upload}?digest={digest}"), "push"),
        ("DELETE", format!("/v2/{repo}/blobs/uploads/{upload}"), "push"),
        ("PUT", format!("/v2/{repo}/manifests/v1"), "push"),
        ("PUT", format!("/v2/{repo}/manifests/{digest}?tag=v1"), "push"),
        ("DELETE", format!("/v2/{repo}/manifests/v1"), "delete"),
        ("DELETE", format!("/v2/{repo}/manifests/{digest}"), "delete"),
        ("DELETE", format!("/v2/{repo}/blobs/{digest}"), "delete"),
    ]
}

#[test]
fn without_a_login_every_way_asks_for_one() {
    let server = Server::governed(&closed());
    let mut all = ways("team/app");
    all.push(("GET", "/v2/".to_owned(), ""));
    all.push(("GET", "/token".to_owned(), ""));
    for (method, path, _) in all {
        for who in ["", &basic("", ""), &basic("alice", "wrong"), "Nonsense x"] {
            let answer = send(&server, who, method, &path, b"x");
            // After a few wrong passwords it is too many.
            if answer.status == 429 {
                assert!(answer.header("retry-after").is_some());
                continue;
            }
            let answer = answer.expect(401);
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Basic realm=\"trustnet-registry\""),
                "{path}"
            );
            if method != "HEAD" {
                assert_eq!(answer.json()["errors"][0]["code"], "UNAUTHORIZED");
            }
        }
    }
    server.get("/health").expect(200);
    assert!(!server.dir.path().join("repositories/team").exists());
}

#[test]
fn rights_are_asked_for_in_every_place() {
    let server = Server::governed(&closed());
    push(&server, &alice(), "team/read", "v1", 1);
    for (repo, has) in
        [("team/read", &["pull"][..]), ("team/shared", &["pull", "push"]), ("team/secret", &[])]
    {
        for (method, path, right) in ways(repo) {
            let answer = send(&server, &bob(), method, &path, b"x");
            if has.contains(&right) {
                assert!(answer.status != 401 && answer.status != 403, "{method} {path}: {}", answer.status);
            } else {
                let answer = answer.expect(403);
                assert!(
                    method == "HEAD" || answer.json()["errors"][0]["code"] == "DENIED",
                    "{method} {path}"
                );
            }
        }
    }
    send(&server, &alice(), "GET", "/v2/team/read/manifests/v1", b"").expect(200);
    send(&server, &alice(), "DELETE", "/v2/team/read/manifests/v1", b"").expect(202);
}

#[test]
fn what_may_not_be_pulled_is_as_if_it_were_not_there() {
    let server = Server::governed(&closed());
    push(&server, &alice(), "team/app", "v1", 1);
    for who in ["", &bob()] {
        for (method, path, _) in ways("team/app") {
            let there = send(&server, who, method, &path, b"x");
            let nowhere = send(&server, who, method, &path.replacen("team/app", "team/nil", 1), b"x");
            assert_eq!(there.status, nowhere.status, "{method} {path}");
            let text = String::from_utf8(there.body).unwrap().replace("team/app", "team/nil");
            assert_eq!(text, String::from_utf8(nowhere.body).unwrap(), "{method} {path}");
            let headers = |answer: &[(String, String)]| {
                let stable = answer.iter().filter(|(name, _)| name != "date" && name != "content-length");
                stable.cloned().collect::<Vec<_>>()
            };
            assert_eq!(headers(&there.headers), headers(&nowhere.headers), "{method} {path}");
        }
    }
}

#[test]
fn blobs_are_mounted_only_from_where_they_may_be_pulled() {
    let server = Server::governed(&closed());
    let (secret, shared) = (content(1, 300), content(3, 300));
    for (repo, blob) in [("team/secret", &secret), ("team/shared", &shared)] {
        let path = format!("/v2/{repo}/blobs/uploads/?digest={}", sha256(blob));
        send(&server, &alice(), "POST", &path, blob).expect(201);
    }
    let mount = |who: &str, blob: &[u8], from: &str| {
        let path = format!("/v2/bob/app/blobs/uploads/?mount={}{from}", sha256(blob));
        send(&server, who, "POST", &path, b"").status
    };
    // 202: upload it, as if nobody had it.
    for from in ["&from=team/secret", "", "&from=team/nothing", "&from="] {
        assert_eq!(mount(&bob(), &secret, from), 202, "{from}");
    }
    send(&server, &bob(), "GET", &format!("/v2/bob/app/blobs/{}", sha256(&secret)), b"").expect(404);
    assert_eq!(mount(&bob(), &shared, "&from=team/shared"), 201);
    assert_eq!(mount(&bob(), &shared, ""), 201);
    send(&server, &bob(), "GET", &format!("/v2/bob/app/blobs/{}", sha256(&shared)), b"").expect(200);
    assert_eq!(mount(&alice(), &secret, "&from=team/secret"), 403);
}

#[test]
fn uploads_belong_to_who_started_them() {
    let mut server = Server::governed(&closed());
    let start = send(&server, &alice(), "POST", "/v2/team/shared/blobs/uploads/", b"").expect(202);
    let at = start.header("location").unwrap().to_owned();
    send(&server, &alice(), "PATCH", &at, b"begin").expect(202);
    let end = format!("{at}?digest={}", sha256(b"begin"));
    let others_get_nothing = |server: &Server| {
        for (method, path) in [("GET", &at), ("PATCH", &at), ("PUT", &end), ("DELETE", &at)] {
            send(server, &bob(), method, path, b"").refused(404, "BLOB_UPLOAD_UNKNOWN");
        }
    };
    others_get_nothing(&server);
    // Whose it is, is not forgotten in a restart.
    server.restart_governed();
    others_get_nothing(&server);
    send(&server, &alice(), "GET", &at, b"").expect(204);
    send(&server, &alice(), "PUT", &end, b"").expect(201);
}

#[test]
fn nobody_opens_every_upload() {
    let dir = tempfile::tempdir().unwrap();
    let (files, options) = (OsFiles::new(dir.path()), Options { max_sessions: 4, ..Options::default() });
    let server = Server::governed_on(dir, files, &closed(), &options);
    let start = |who: &str| send(&server, who, "POST", "/v2/team/shared/blobs/uploads/", b"");
    let at = start(&alice()).expect(202).header("location").unwrap().to_owned();
    start(&alice()).expect(202);
    start(&alice()).refused(429, "TOOMANYREQUESTS");
    start(&bob()).expect(202);
    send(&server, &alice(), "DELETE", &at, b"").expect(204);
    start(&alice()).expect(202);
}

#[test]
fn anonymous_pull_and_a_login_for_more() {
    let server = Server::governed(&format!("{USERS}{RULES}"));
    push(&server, &alice(), "team/app", "v1", 1);
    // Who just asks may pull.
    server.get("/v2/team/app/manifests/v1").expect(200);
    // But the answer that decides whether clients ever log in says how.
    let answer = server.get("/v2/").expect(401);
    let challenge = answer.header("www-authenticate").unwrap();
    let expected = "Bearer realm=\"http://localhost/token\",service=\"trustnet-registry\"";
    assert!(challenge.starts_with(expected), "{challenge}");
    let token_for = |who: &str, query: &str| {
        let answer =
            send(&server, who, "GET", &format!("/token?service=trustnet-registry{query}"), b"").expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let json = answer.json();
        assert_eq!(json["token"], json["access_token"]);
        format!("Bearer {}", json["token"].as_str().unwrap())
    };
    // As docker pulls without a login.
    let token = token_for("", "&scope=repository:team/app:pull");
    send(&server, &token, "GET", "/v2/", b"").expect(200);
    send(&server, &token, "GET", "/v2/team/app/manifests/v1", b"").expect(200);
    let answer = send(&server, &token, "POST", "/v2/team/app/blobs/uploads/", b"").expect(401);
    assert!(answer.header("www-authenticate").unwrap().contains("scope=\"repository:team/app:pull,push\""));
    // As docker logs in, and pushes.
    let token = token_for(&alice(), "&account=alice&offline_token=true");
    send(&server, &token, "GET", "/v2/", b"").expect(200);
    let token = token_for(&alice(), "&scope=repository:team/app:pull,push");
    push(&server, &token, "team/app", "v2", 3);
    let answer =
        send(&server, &token, "DELETE", "/v2/team/app/manifests/v2", b"").refused(401, "UNAUTHORIZED");
    assert!(answer.header("www-authenticate").unwrap().contains("error=\"insufficient_scope\""));
    let token = token_for(&alice(), "&scope=repository:team/app:*");
    send(&server, &token, "DELETE", "/v2/team/app/manifests/v2", b"").expect(202);
    // A mount needs a token for both ends, and says so; without the right it is as if nothing were there.
    let layer = sha256(&content(1_001, 500));
    let mount = |who: &str, from: &str| {
        let path = format!("/v2/team/copy/blobs/uploads/?mount={layer}&from={from}");
        send(&server, who, "POST", &path, b"")
    };
    let token = token_for(&alice(), "&scope=repository:team/copy:pull,push");
    let answer = mount(&token, "team/app").refused(401, "UNAUTHORIZED");
    let both =
        "scope=\"repository:team/copy:pull,push repository:team/app:pull\",error=\"insufficient_scope\"";
    assert!(answer.header("www-authenticate").unwrap().ends_with(both));
    mount(&alice(), "elsewhere").expect(202);
    let token = token_for(&alice(), "&scope=repository:team/copy:pull,push&scope=repository:team/app:pull");
    mount(&token, "team/app").expect(201);
    // A scope gives nothing that the rules do not.
    let token = token_for(&bob(), "&scope=repository:team/app:pull,push");
    send(&server, &token, "POST", "/v2/team/app/blobs/uploads/", b"").refused(403, "DENIED");
    send(&server, &basic("alice", "wrong"), "GET", "/token", b"").refused(401, "UNAUTHORIZED");
    send(&server, "Bearer tnr1.x.y", "GET", "/v2/team/app/manifests/v1", b"").refused(401, "UNAUTHORIZED");
    // Passwords work without any token, too.
    push(&server, &alice(), "team/app", "v3", 5);
    server.request("POST", "/token", &[], b"grant_type=password").refused(405, "UNSUPPORTED");
}

#[test]
fn where_a_login_changes_nothing_none_is_asked_for() {
    let server = Server::governed("");
    server.get("/v2/").expect(200);
    server.request("POST", "/v2/a/blobs/uploads/", &[], b"").refused(401, "UNAUTHORIZED");
    let open = Server::start();
    open.get("/v2/").expect(200);
    send(&open, &basic("whoever", "whatever"), "GET", "/v2/", b"").expect(200);
}

#[test]
fn tokens_of_a_trusted_key() {
    let key = SigningKey::from_bytes(&[5; 32]);
    let public = hex::encode(key.verifying_key().to_bytes());
    let settings = |more: &str| {
        format!(
            "[access]\nanonymous = []\n[[key]]\nname = \"node\"\npublic = \"{public}\"\n{more}\n[[rule]]\n\
             who = [\"keys\"]\nrepositories = [\"team/*\"]\nactions = [\"pull\", \"push\"]\n"
        )
    };
    let server = Server::governed(&settings(""));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = |repositories: &str, actions: Actions| Claims {
        subject: "ci".to_owned(),
        issued: now,
        expires: now + 600,
        scopes: vec![Scope { repositories: repositories.parse().unwrap(), actions }],
        audience: String::new(),
        nonce: [0; 16],
    };
    let token = issue(&key, &claims("team/app", Actions::ALL)).unwrap();
    let (bearer, login) = (format!("Bearer {token}"), basic("keeper", &token));
    for who in [&bearer, &login] {
        send(&server, who, "GET", "/v2/", b"").expect(200);
        push(&server, who, "team/app", "v1", 1);
        send(&server, who, "GET", "/v2/team/other/manifests/v1", b"").refused(403, "DENIED");
        // The rules let the key delete nothing, whatever its token says.
        send(&server, who, "DELETE", "/v2/team/app/manifests/v1", b"").refused(403, "DENIED");
    }
    let answer = send(&server, &login, "GET", "/token?scope=repository:team/app:pull", b"").expect(200);
    assert_eq!(answer.json()["token"], token.as_str(), "whoever has a token goes on with that");
    let reader = issue(&key, &claims("team/*", Action::Pull.into())).unwrap();
    let reader = format!("Bearer {reader}");
    send(&server, &reader, "GET", "/v2/team/app/manifests/v1", b"").expect(200);
    send(&server, &reader, "PUT", "/v2/team/app/manifests/v2", b"{}").refused(403, "DENIED");
    let elsewhere = Claims { audience: "other:8053".to_owned(), ..claims("team/*", Actions::ALL) };
    let elsewhere = format!("Bearer {}", issue(&key, &elsewhere).unwrap());
    let refused = send(&server, &elsewhere, "GET", "/v2/", b"").refused(401, "UNAUTHORIZED");
    assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("other:8053"));
    // Revoked while it is remembered.
    server.change_settings(&settings("revoked_before = 2100-01-01T00:00:00Z"));
    send(&server, &bearer, "GET", "/v2/team/app/manifests/v1", b"").refused(401, "UNAUTHORIZED");
}

#[test]
fn settings_are_followed_and_mistakes_change_nothing() {
    let server = Server::governed(&closed());
    push(&server, &alice(), "team/app", "v1", 1);
    server.get("/v2/team/app/manifests/v1").expect(401);
    server.change_settings("[access]\nanonymous = [\"pul\"]");
    server.get("/v2/team/app/manifests/v1").expect(401);
    send(&server, &alice(), "GET", "/v2/team/app/manifests/v1", b"").expect(200);
    server.change_settings(USERS);
    server.get("/v2/team/app/manifests/v1").expect(200);
    send(&server, &alice(), "PUT", "/v2/team/app/manifests/v1", b"{}").refused(403, "DENIED");
    // A user who has gone.
    server.change_settings("[access]\nanonymous = []");
    send(&server, &alice(), "GET", "/v2/team/app/manifests/v1", b"").refused(401, "UNAUTHORIZED");
}

#[test]
fn who_asks_too_often_waits() {
    let server = Server::governed(&format!("{USERS}{RULES}\n[limits]\nrequests_per_second = 1\nburst = 5"));
    let statuses: Vec<u16> = (0..10).map(|_| server.get("/v2/a/tags/list").status).collect();
    assert!(statuses[..5].iter().all(|status| *status == 404), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    let answer = server.get("/v2/a/tags/list").refused(429, "TOOMANYREQUESTS");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    // A user is counted as such, and the operator can always look.
    send(&server, &alice(), "GET", "/v2/team/a/tags/list", b"").refused(404, "NAME_UNKNOWN");
    server.get("/health").expect(200);
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(server.get("/v2/a/tags/list").status, 404);
}

#[test]
fn guessing_is_slowed_down() {
    let server = Server::governed(&closed());
    send(&server, &alice(), "GET", "/v2/", b"").expect(200);
    let guess = |number: u32| send(&server, &basic("alice", &format!("guess {number}")), "GET", "/v2/", b"");
    let statuses: Vec<u16> = (0..8).map(|number| guess(number).status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    assert!(guess(9).refused(429, "TOOMANYREQUESTS").header("retry-after").is_some());
    send(&server, &alice(), "GET", "/v2/", b"").expect(200);
}

#[test]
fn one_address_does_not_get_every_connection() {
    let server = Server::governed("[limits]\nconnections = 4\nconnections_per_address = 3");
    let mut held: Vec<_> = (0..3).map(|_| connect(server.addr)).collect();
    for stream in &mut held {
        // Answered: the connection has its place.
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
    }
    let mut more = connect(server.addr);
    let _ = more.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut bytes = Vec::new();
    let closed = more.read_to_end(&mut bytes);
    assert!(bytes.is_empty(), "{closed:?}");
    drop(held);
    let until = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let mut again = connect(server.addr);
        let _ = again.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut bytes = Vec::new();
        if again.read_to_end(&mut bytes).is_ok() && bytes.starts_with(b"HTTP/1.1 200") {
            break;
        }
        assert!(std::time::Instant::now() < until, "the places did not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
}
