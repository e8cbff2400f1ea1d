//! Certificates of a public authority, from pebble: Let's Encrypt's own server for tests, as strict as the real one.
//!
//! `.ci/registry-acme` gets pebble and runs this. Where it is not at hand, the tests that need it say so and do nothing;
//! with `TRUSTNET_REQUIRE_PEBBLE` set they fail instead.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/secure.rs"]
mod secure;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::*;
use secure::Client;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use trustnet_registry::{
    Acme, AcmeError, AcmeSettings, Certificates, Directory, Extras, Keeper, Limits, Names, Options, Pace,
    Proof, now_seconds, serve_challenges,
};

const HOST: &str = "registry.example.test";
const DAY: u64 = 24 * 60 * 60;
const PATIENCE: Duration = Duration::from_secs(30);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn pebble_program() -> Option<PathBuf> {
    let named = std::env::var_os("TRUSTNET_PEBBLE").map(PathBuf::from);
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("pebble")).find(|program| program.exists())
    };
    let found = named.filter(|program| program.exists()).or_else(on_path);
    if found.is_none() {
        assert!(std::env::var_os("TRUSTNET_REQUIRE_PEBBLE").is_none(), "pebble is required and not here");
        eprintln!("NOT RUN: pebble is not installed (run .ci/registry-acme), so ACME is not checked");
    }
    found
}

/// What a name server answers for which every name is this machine.
fn name_answer(question: &[u8]) -> Option<Vec<u8>> {
    // The name ends with an empty part; the type and the class follow.
    let end = 12 + question.iter().skip(12).position(|byte| *byte == 0)? + 5;
    let is_address = question.get(end - 4..end - 2)? == [0, 1];
    let mut answer = question.get(..end)?.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[4..12].copy_from_slice(&[0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    if is_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

/// That name server, which is asked in both ways.
fn name_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(addr).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut question) {
            if let Some(answer) = name_answer(&question[..len]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || drop(answer_names(stream)));
        }
    });
    addr
}

fn answer_names(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    loop {
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut question)?;
        let Some(answer) = name_answer(&question) else { return Ok(()) };
        stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes())?;
        stream.write_all(&answer)?;
    }
}

/// An authority that runs until it is dropped.
struct Pebble {
    process: Child,
    dir: TempDir,
    /// Where it looks for answers over HTTP, and within a handshake.
    http_port: u16,
    tls_port: u16,
    directory: String,
    management: SocketAddr,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Pebble {
    fn start() -> Option<Self> {
        let program = pebble_program()?;
        let dir = tempfile::tempdir().unwrap();
        // Its own certificate is by an authority like ours, too.
        Keeper::open(dir.path(), &Names::of_machine("", &[], &[]).unwrap(), now_seconds()).unwrap();
        let (port, management_port, http_port, tls_port) =
            (free_port(), free_port(), free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management_port}"),
            "certificate": dir.path().join("tls/server.pem"),
            "privateKey": dir.path().join("tls/server.key"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "domainBlocklist": ["blocked.example.test"],
            "retryAfter": { "authz": 1, "order": 1 },
            "keyAlgorithm": "ecdsa",
            "profiles": { "default": { "description": "as usual", "validityPeriod": 90 * DAY } },
        }});
        let config_path = dir.path().join("pebble.json");
        fs::write(&config_path, config.to_string()).unwrap();
        let log = fs::File::create(dir.path().join("pebble.log")).unwrap();
        let mut command = Command::new(program);
        command.arg("-strict").arg("-config").arg(&config_path);
        command.arg("-dnsserver").arg(name_server().to_string());
        // No waiting for its own sake; and now and then a nonce is refused, as it happens.
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "5");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap();
        let pebble = Self {
            process,
            http_port,
            tls_port,
            directory: format!("https://localhost:{port}/dir"),
            management: ([127, 0, 0, 1], management_port).into(),
            dir,
        };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err()
            || TcpStream::connect(pebble.management).is_err()
        {
            assert!(Instant::now() < until, "pebble did not start: {}", pebble.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(pebble)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("pebble.log")).unwrap_or_default()
    }

    /// The root of its certificates, in a file.
    fn root(&self) -> PathBuf {
        let alpn = vec![b"http/1.1".to_vec()];
        let client = Client { alpn, ..Client::trusting(&self.dir.path().join("tls/ca.pem")) };
        let root = client.get(self.management, "localhost", "/roots/0").unwrap().expect(200).body;
        let path = self.dir.path().join("root.pem");
        fs::write(&path, root).unwrap();
        path
    }

    fn settings(&self, proof: Proof) -> AcmeSettings {
        AcmeSettings {
            names: vec![HOST.to_owned(), format!("other.{HOST}")],
            agree_to_terms: true,
            contact: Some("a@example.test".to_owned()),
            directory: Directory::Url(self.directory.clone()),
            roots: Some(self.dir.path().join("tls/ca.pem")),
            proof,
            listen: None,
        }
    }

    fn accounts(&self) -> usize {
        self.log().matches(" accounts in memory").count()
    }
}

/// A registry whose TLS port is where the authority looks.
struct Place {
    server: Server,
    certificates: Arc<Certificates>,
    addr: SocketAddr,
}

fn place(pebble: &Pebble) -> Place {
    let server = Server::with_extras(Limits::default(), &Options::default(), Extras::default());
    let keeper =
        Keeper::open(server.dir.path(), &Names::of_machine("pi", &[], &[]).unwrap(), now_seconds()).unwrap();
    let certificates = keeper.certificates();
    let addr = server.serve_tls_on(pebble.tls_port, Arc::clone(&certificates));
    Place { server, certificates, addr }
}

fn open(place: &Place, settings: &AcmeSettings) -> Acme {
    let certificates = Arc::clone(&place.certificates);
    Acme::open(place.server.dir.path(), settings, certificates, Pace::default()).unwrap()
}

/// Serves the answers at the port where the authority looks for them, until it is dropped.
struct Answering(Option<Runtime>);

impl Answering {
    fn start(pebble: &Pebble, acme: &Acme) -> Self {
        let (challenges, port) = (acme.challenges(), pebble.http_port);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            serve_challenges(listener, challenges, &Limits::default()).await.unwrap();
        });
        Self(Some(runtime))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_timeout(PATIENCE);
    }
}

fn check(acme: &mut Acme, now: u64) -> Result<u64, AcmeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), acme.check(now)).await.unwrap() })
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn attempts(place: &Place) -> serde_json::Value {
    let text = fs::read(place.server.dir.path().join("tls/acme-attempts.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn a_certificate_is_ordered_kept_shown_and_renewed() {
    let Some(pebble) = Pebble::start() else { return };
    let place = place(&pebble);
    let settings = pebble.settings(Proof::Http);
    let mut acme = open(&place, &settings);
    let answering = Answering::start(&pebble, &acme);
    let public = Client::trusting(&pebble.root());
    assert!(public.get(place.addr, HOST, "/v2/").is_err(), "nothing public is there yet");
    let now = now_seconds();
    let checked = check(&mut acme, now);
    assert!(checked.is_ok(), "{checked:?}\n{}", pebble.log());
    // It begins now, not when the order did.
    let now = now_seconds();
    assert!(acme.is_valid(now) && !acme.is_valid(now + 91 * DAY));
    for host in [HOST, &format!("other.{HOST}")] {
        public.get(place.addr, host, "/v2/").unwrap().expect(200);
    }
    // Those who know us by another name see what they know.
    let own = Client::trusting(&place.server.dir.path().join("tls/ca.pem"));
    own.get(place.addr, "pi.local", "/v2/").unwrap().expect(200);
    let file = |name: &str| place.server.dir.path().join("tls").join(name);
    assert_eq!((mode(&file("acme.pem")), mode(&file("acme-account.json"))), (0o600, 0o600));
    let first = fs::read(file("acme.pem")).unwrap();

    // A restart asks for nothing.
    let mut acme = open(&place, &settings);
    assert!(acme.is_valid(now));
    assert!(check(&mut acme, now + DAY).unwrap() > 50 * DAY);
    assert_eq!(fs::read(file("acme.pem")).unwrap(), first);

    // When a third is left it is renewed, by the same account.
    drop(answering);
    let _answering = Answering::start(&pebble, &acme);
    let later = now + 61 * DAY;
    let renewed = check(&mut acme, later);
    assert!(renewed.is_ok(), "{renewed:?}\n{}", pebble.log());
    let second = fs::read(file("acme.pem")).unwrap();
    assert_ne!(second, first);
    assert_eq!(pebble.accounts(), 1, "{}", pebble.log());

    // A damaged one is set aside, and not asked for again at once.
    fs::write(file("acme.pem"), &second[..second.len() / 2]).unwrap();
    let mut acme = open(&place, &settings);
    assert!(!acme.is_valid(later) && file("acme.pem.damaged-1").exists());
    assert!(check(&mut acme, later + 60).unwrap() > DAY);
}

#[test]
fn the_proof_within_the_handshake() {
    let Some(pebble) = Pebble::start() else { return };
    let place = place(&pebble);
    let mut acme = open(&place, &pebble.settings(Proof::TlsAlpn));
    let checked = check(&mut acme, now_seconds());
    assert!(checked.is_ok(), "{checked:?}\n{}", pebble.log());
    Client::trusting(&pebble.root()).get(place.addr, HOST, "/v2/").unwrap().expect(200);
    // The answers are gone again.
    let alpn = vec![b"acme-tls/1".to_vec()];
    let asking = Client { alpn, ..Client::trusting(&pebble.root()) };
    assert!(asking.connect(place.addr, HOST).is_err());
}

#[test]
fn a_proof_that_is_not_found_is_told_and_not_tried_again_at_once() {
    let Some(pebble) = Pebble::start() else { return };
    let place = place(&pebble);
    // Nobody answers at the port.
    let mut acme = open(&place, &pebble.settings(Proof::Http));
    let now = now_seconds();
    let error = check(&mut acme, now).unwrap_err();
    assert!(error.to_string().contains("port 80"), "{error}");
    let orders = || pebble.log().matches("new-order").count() + pebble.log().matches("/order-plz").count();
    let before = orders();
    for seconds in [1, 60, 14 * 60] {
        assert!(check(&mut acme, now + seconds).unwrap() > 0);
    }
    // Not even after a restart.
    let mut acme = open(&place, &pebble.settings(Proof::Http));
    assert!(check(&mut acme, now + 60).unwrap() > 13 * 60);
    assert_eq!((orders(), attempts(&place)["failures"].as_u64()), (before, Some(1)));
    let own = Client::trusting(&place.server.dir.path().join("tls/ca.pem"));
    own.get(place.addr, "pi", "/v2/").unwrap().expect(200);
}

#[test]
fn a_name_that_the_authority_does_not_sign() {
    let Some(pebble) = Pebble::start() else { return };
    let place = place(&pebble);
    let settings =
        AcmeSettings { names: vec!["blocked.example.test".to_owned()], ..pebble.settings(Proof::Http) };
    let mut acme = open(&place, &settings);
    assert!(matches!(check(&mut acme, now_seconds()), Err(AcmeError::Protocol(_))), "{}", pebble.log());
}

/// Settings for an authority at a port where there is none, or one that is not to be trusted.
fn unreachable(dir: &Path, port: u16) -> AcmeSettings {
    AcmeSettings {
        names: vec![HOST.to_owned()],
        agree_to_terms: true,
        contact: None,
        directory: Directory::Url(format!("https://localhost:{port}/dir")),
        roots: Some(dir.join("tls/ca.pem")),
        proof: Proof::Http,
        listen: None,
    }
}

#[test]
fn without_an_authority_the_own_certificate_serves_on() {
    let server = Server::start();
    let names = Names::of_machine("pi", &[], &[]).unwrap();
    let keeper = Keeper::open(server.dir.path(), &names, now_seconds()).unwrap();
    let addr = server.serve_tls(keeper.certificates());
    // Nobody there; somebody whom the settings do not trust; somebody who is no authority.
    let other = tempfile::tempdir().unwrap();
    Keeper::open(other.path(), &names, now_seconds()).unwrap();
    for (port, roots) in
        [(free_port(), server.dir.path()), (addr.port(), other.path()), (addr.port(), server.dir.path())]
    {
        let dir = tempfile::tempdir().unwrap();
        let settings = unreachable(roots, port);
        let mut acme = Acme::open(dir.path(), &settings, keeper.certificates(), Pace::default()).unwrap();
        let now = now_seconds();
        assert!(matches!(check(&mut acme, now), Err(AcmeError::Protocol(_))));
        assert!((14 * 60..=17 * 60).contains(&check(&mut acme, now + 30).unwrap()));
        assert!(!acme.is_valid(now));
        let own = Client::trusting(&server.dir.path().join("tls/ca.pem"));
        own.get(addr, HOST, "/v2/").unwrap_err();
        own.get(addr, "pi", "/v2/").unwrap().expect(200);
    }
}

#[test]
fn nothing_is_asked_before_the_clock_is_set_or_the_terms_agreed_to() {
    let server = Server::start();
    let certificates = Arc::new(Certificates::default());
    let settings = unreachable(server.dir.path(), free_port());
    let names = Names::of_machine("pi", &[], &[]).unwrap();
    Keeper::open(server.dir.path(), &names, now_seconds()).unwrap();
    let open = |settings: &AcmeSettings| {
        Acme::open(server.dir.path(), settings, Arc::clone(&certificates), Pace::default())
    };
    let mut acme = open(&settings).unwrap();
    assert_eq!(check(&mut acme, 60).unwrap(), 60);
    assert!(!server.dir.path().join("tls/acme-attempts.json").exists());
    let refused = AcmeSettings { agree_to_terms: false, ..settings.clone() };
    assert!(matches!(open(&refused), Err(AcmeError::Settings(_))));
    // What was tried cannot be read: the careful reading is that it failed just now.
    fs::write(server.dir.path().join("tls/acme-attempts.json"), "damaged").unwrap();
    assert!(check(&mut open(&settings).unwrap(), now_seconds()).unwrap() > 10 * 60);
}
