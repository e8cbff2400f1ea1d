//! A whole registry, started as the program starts it.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/elsewhere.rs"]
mod elsewhere;
#[path = "common/secure.rs"]
mod secure;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{connect, content, request, sha256};
use elsewhere::{Elsewhere, Reply};
use secure::Client;
use tokio::runtime::Runtime;
use trustnet_registry::access::{Action, Actions, Claims, RepoPattern, Scope, SigningKey, issue};
use trustnet_registry::{Options, OsFiles, Rules, Running, Setup, StartError, Store, start};

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn setup(dir: &Path, rules: Rules) -> Setup {
    let mut setup = Setup::new(dir, anywhere());
    setup.rules = rules;
    setup.machine = || ("pi".to_owned(), vec!["192.0.2.7".parse().unwrap()]);
    setup
}

fn refusal(runtime: &Runtime, setup: Setup) -> StartError {
    match runtime.block_on(start(setup)) {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

fn token(key: &SigningKey) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let actions = Actions::NONE.with(Action::Pull.into()).with(Action::Push.into());
    let scope = Scope { repositories: "team/*".parse::<RepoPattern>().unwrap(), actions };
    let claims = Claims {
        subject: "keeper".to_owned(),
        issued: now,
        expires: now + 60,
        scopes: vec![scope],
        audience: String::new(),
        nonce: [1; 16],
    };
    issue(key, &claims).unwrap()
}

#[test]
fn without_settings_everybody_pulls_and_a_token_of_a_trusted_node_pushes() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let key = SigningKey::from_bytes(&[3; 32]);
    let mut setup = setup(dir.path(), Rules::Keys(vec![key.verifying_key().to_bytes()]));
    setup.tls = Some(anywhere());
    let running: Running = runtime.block_on(start(setup)).unwrap();
    let (plain, tls) = (running.address(), running.tls_address().unwrap());
    let push = |repo: &str, headers: &[(&str, &str)]| {
        request(plain, "POST", &format!("/v2/{repo}/blobs/uploads/"), headers, b"").status
    };
    let authorization = format!("Bearer {}", token(&key));
    let stranger = format!("Bearer {}", token(&SigningKey::from_bytes(&[4; 32])));
    assert_eq!(push("team/a", &[]), 401);
    assert_eq!(push("team/a", &[("Authorization", &stranger)]), 401);
    assert_eq!(push("team/a", &[("Authorization", &authorization)]), 202);
    assert_eq!(push("other", &[("Authorization", &authorization)]), 403);
    // Pulling needs no login; there is nothing yet.
    request(plain, "GET", "/v2/team/a/tags/list", &[], b"").refused(404, "NAME_UNKNOWN");
    // The certificate is for the machine.
    let client = Client::trusting(&dir.path().join("tls/ca.pem"));
    for name in ["pi", "pi.local", "localhost"] {
        client.get(tls, name, "/health").unwrap().expect(200);
    }
    assert!(client.get(tls, "elsewhere", "/health").is_err());
    runtime.block_on(running.stop());
    assert!(std::net::TcpStream::connect(tls).is_err());
}

#[test]
fn settings_say_where_it_listens_and_what_it_copies() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let file = dir.path().join("registry.toml");
    let text = "[access]\nanonymous = [\"pull\", \"push\"]\n[tls]\nlisten = \"127.0.0.1:0\"\nnames = [\"registry.lan\"]\n\
                [[upstream]]\nprefix = \"up\"\nurl = \"http://127.0.0.1:1\"\n";
    std::fs::write(&file, text).unwrap();
    let running = runtime.block_on(start(setup(dir.path(), Rules::File(file)))).unwrap();
    let client = Client::trusting(&dir.path().join("tls/ca.pem"));
    client.get(running.tls_address().unwrap(), "registry.lan", "/v2/").unwrap().expect(200);
    request(running.address(), "POST", "/v2/up/a/blobs/uploads/", &[], b"").expect(405);
    request(running.address(), "POST", "/v2/a/blobs/uploads/", &[], b"").expect(202);
    assert!(running.store().damaged().unwrap().is_empty());
    runtime.block_on(running.stop());
}

#[test]
fn what_is_fetched_for_nobody_any_more_ends_with_the_registry() {
    let (dir, runtime, layer) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap(), content(1, 700_000));
    let path = format!("/v2/up/a/blobs/{}", sha256(&layer));
    // Longer than anybody would wait here.
    let upstream =
        Elsewhere::start(move |_| Reply::ok(&*layer).pausing_after(600_000, Duration::from_secs(200)));
    let file = dir.path().join("registry.toml");
    let text = "[access]\nanonymous = [\"pull\"]\n[[upstream]]\nprefix = \"up\"\n";
    std::fs::write(&file, format!("{text}url = \"{}\"\n", upstream.url())).unwrap();
    let running = runtime.block_on(start(setup(dir.path(), Rules::File(file)))).unwrap();
    let mut client = connect(running.address());
    write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    client.read_exact(&mut [0; 10_000]).unwrap();
    drop(client);
    runtime.block_on(running.stop());
    // Nobody has it any more, and nothing of the fetch is left.
    Store::open(OsFiles::new(dir.path()), &Options::default()).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_served() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let file = dir.path().join("registry.toml");
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        refusal(&runtime, setup(dir.path(), Rules::File(file.clone())))
    };
    let error = with("[acess]\n");
    assert!(
        matches!(&error, StartError::Settings(_)) && error.to_string().contains("registry.toml:1"),
        "{error}"
    );
    let error = with("[[upstream]]\nprefix = \"up\"\nurl = \"ftp://x\"\n");
    assert!(matches!(&error, StartError::Upstream(_)), "{error}");
    let error = with("[tls]\nlisten = \"127.0.0.1:0\"\nnames = [\"no name\"]\n");
    assert!(matches!(&error, StartError::Tls(_)), "{error}");
    let error = with("[tls]\nlisten = \"127.0.0.1:0\"\n[tls.acme]\nnames = [\"r.example.org\"]\n");
    assert!(matches!(&error, StartError::Acme(_)) && error.to_string().contains("terms"), "{error}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut busy = setup(dir.path(), Rules::Open);
    busy.listen = taken.local_addr().unwrap();
    let error = refusal(&runtime, busy);
    assert!(matches!(&error, StartError::Registry(_)), "{error}");
    let weak = Rules::Keys(vec![[0; 32]]);
    assert!(matches!(refusal(&runtime, setup(dir.path(), weak)), StartError::Settings(_)));
}
