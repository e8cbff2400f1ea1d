//! A registry on a port of its own, and the smallest HTTP client that can misbehave.

#![allow(dead_code, clippy::unwrap_used)]

pub mod archive;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use trustnet_registry::{
    Algorithm, Certificates, Digest, Extras, Files, Limits, LiveSettings, Options, OsFiles, Registry, Store,
    serve, serve_tls,
};

/// No test waits longer for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A registry that runs until it is dropped.
pub struct Server {
    pub dir: TempDir,
    pub addr: SocketAddr,
    store: Option<Arc<Store>>,
    registry: Option<Arc<Registry>>,
    runtime: Option<Runtime>,
}

/// A listener of the runtime's kind, and where it is.
fn listen(port: u16) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

type Running = (SocketAddr, Arc<Store>, Arc<Registry>, Runtime);

fn run(files: impl Files, limits: Limits, options: &Options, extras: Extras) -> Running {
    let (listener, addr) = listen(0);
    let store = Arc::new(Store::open(files, options).unwrap());
    let registry = Registry::with(Arc::clone(&store), limits, extras);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .unwrap();
    let served = Arc::clone(&registry);
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        serve(listener, served).await.unwrap();
    });
    (addr, store, registry, runtime)
}

fn run_governed(dir: &TempDir, files: impl Files, options: &Options) -> Running {
    let settings = LiveSettings::follow(dir.path().join("registry.toml")).unwrap();
    let limits = settings.now().limits.apply(&Limits::default());
    run(files, limits, options, Extras { settings, ..Extras::default() })
}

impl Server {
    pub fn start() -> Self {
        Self::with(Limits::default(), &Options::default())
    }

    pub fn with(limits: Limits, options: &Options) -> Self {
        Self::with_extras(limits, options, Extras::default())
    }

    pub fn with_extras(limits: Limits, options: &Options, extras: Extras) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (addr, store, registry, runtime) = run(OsFiles::new(dir.path()), limits, options, extras);
        Self { dir, addr, store: Some(store), registry: Some(registry), runtime: Some(runtime) }
    }

    /// Serves the same over TLS, too; gives where.
    pub fn serve_tls(&self, certificates: Arc<Certificates>) -> SocketAddr {
        self.serve_tls_on(0, certificates)
    }

    /// As [`Server::serve_tls`], on a port that somebody else chose.
    pub fn serve_tls_on(&self, port: u16, certificates: Arc<Certificates>) -> SocketAddr {
        let (listener, addr) = listen(port);
        let registry = Arc::clone(self.registry.as_ref().unwrap());
        self.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            serve_tls(listener, registry, &certificates).await.unwrap();
        });
        addr
    }

    /// Lets something run for as long as it does.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.as_ref().unwrap().spawn(task);
    }

    /// A registry that follows `settings`, which stand in `registry.toml` in its directory.
    pub fn governed(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = OsFiles::new(dir.path());
        Self::governed_on(dir, files, settings, &Options::default())
    }

    /// The same, on files of the test's own, which stand in `dir`.
    pub fn governed_on(dir: TempDir, files: impl Files, settings: &str, options: &Options) -> Self {
        std::fs::write(dir.path().join("registry.toml"), settings).unwrap();
        let (addr, store, registry, runtime) = run_governed(&dir, files, options);
        Self { dir, addr, store: Some(store), registry: Some(registry), runtime: Some(runtime) }
    }

    /// Ends one that is governed and starts another one on the same directory.
    pub fn restart_governed(&mut self) {
        self.end();
        self.begin(run_governed(&self.dir, OsFiles::new(self.dir.path()), &Options::default()));
    }

    /// Changes the settings, and waits until they are looked at.
    pub fn change_settings(&self, settings: &str) {
        let path = self.dir.path().join("registry.toml");
        std::fs::write(path.with_extension("new"), settings).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
        std::thread::sleep(Duration::from_millis(1_100));
    }

    /// A registry on files of the test's own, which stand in `dir`.
    pub fn on(dir: TempDir, files: impl Files, options: &Options) -> Self {
        Self::on_with(dir, files, options, Extras::default())
    }

    /// The same, with what else a registry may have.
    pub fn on_with(dir: TempDir, files: impl Files, options: &Options, extras: Extras) -> Self {
        let (addr, store, registry, runtime) = run(files, Limits::default(), options, extras);
        Self { dir, addr, store: Some(store), registry: Some(registry), runtime: Some(runtime) }
    }

    /// Ends it and starts another one on the same directory.
    pub fn restart(&mut self) {
        self.restart_with(Extras::default());
    }

    pub fn restart_with(&mut self, extras: Extras) {
        self.end();
        self.begin(run(OsFiles::new(self.dir.path()), Limits::default(), &Options::default(), extras));
    }

    fn end(&mut self) {
        self.runtime.take().unwrap().shutdown_timeout(PATIENCE);
        // The old registry holds the store, and that the directory's lock.
        (self.store, self.registry) = (None, None);
    }

    fn begin(&mut self, (addr, store, registry, runtime): Running) {
        self.addr = addr;
        (self.store, self.registry, self.runtime) = (Some(store), Some(registry), Some(runtime));
    }

    /// Waits until nothing is left of uploads.
    pub fn expect_no_uploads(&self) {
        let until = Instant::now() + PATIENCE;
        while std::fs::read_dir(self.dir.path().join("uploads")).unwrap().count() > 0 {
            assert!(Instant::now() < until, "something is left of an upload");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn shared_store(&self) -> Arc<Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        request(self.addr, method, path, headers, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    pub fn head(&self, path: &str) -> Answer {
        self.request("HEAD", path, &[], b"")
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, &[], b"")
    }

    /// Pushes a blob in one request.
    pub fn push_blob(&self, repo: &str, content: &[u8]) -> Digest {
        let digest = sha256(content);
        let path = format!("/v2/{repo}/blobs/uploads/?digest={digest}");
        self.request("POST", &path, &[], content).expect(201);
        digest
    }

    /// Starts an upload; gives its address.
    pub fn start_upload(&self, repo: &str) -> String {
        let answer = self.request("POST", &format!("/v2/{repo}/blobs/uploads/"), &[], b"");
        answer.expect(202).header("location").unwrap().to_owned()
    }

    pub fn put_manifest(&self, repo: &str, reference: &str, kind: &str, text: &str) -> Answer {
        let path = format!("/v2/{repo}/manifests/{reference}");
        self.request("PUT", &path, &[("Content-Type", kind)], text.as_bytes())
    }

    /// Pushes an image with its blobs; gives its text.
    pub fn push_image(&self, repo: &str, reference: &str, seed: u64) -> String {
        let (config, layer) = (content(seed, 50), content(seed + 1_000, 500));
        self.push_blob(repo, &config);
        self.push_blob(repo, &layer);
        let text = image(&config, &[&layer], "");
        self.put_manifest(repo, reference, OCI_MANIFEST, &text).expect(201);
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

pub const OCI_MANIFEST: &str = trustnet_registry::OCI_MANIFEST;
pub const OCI_INDEX: &str = trustnet_registry::OCI_INDEX;

/// What a server said.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the whole body came.
    pub is_whole: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    /// Expects an error in the specification's form.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json()["errors"][0]["code"], code);
        answer
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub fn request(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = connect(addr);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding")) {
        write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head += "\r\n";
    // A server that refuses early may close while we send; its answer counts.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    read_answer(&mut stream, method == "HEAD")
}

pub fn read_answer(stream: &mut impl Read, is_head: bool) -> Answer {
    try_read_answer(stream, is_head).expect("no answer")
}

/// As [`read_answer`]; `None` if the connection ends before anything came.
pub fn try_read_answer(stream: &mut impl Read, is_head: bool) -> Option<Answer> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?;
    let status = status.parse().unwrap();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let len =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, len)| len.parse().unwrap());
    let mut body = Vec::new();
    let mut is_whole = true;
    if !is_head && headers.iter().any(|(name, _)| name == "transfer-encoding") {
        is_whole = read_chunks(&mut reader, &mut body).is_some();
    } else if !is_head {
        is_whole = reader.take(len).read_to_end(&mut body).is_ok() && body.len() as u64 == len;
    }
    Some(Answer { status, headers, body, is_whole })
}

/// Reads a body of chunks; `None` if its end does not come.
fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let len = u64::from_str_radix(line.trim_end(), 16).ok()?;
        let before = body.len() as u64;
        reader.by_ref().take(len).read_to_end(body).ok()?;
        if body.len() as u64 != before + len {
            return None;
        }
        line.clear();
        reader.read_line(&mut line).ok()?;
        if len == 0 {
            return Some(());
        }
    }
}

pub fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

pub fn sha512(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha512, content)
}

/// Bytes that are not the same anywhere.
pub fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

pub fn descriptor(kind: &str, digest: &Digest, len: usize) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{len}}}"#)
}

pub fn layer(content: &[u8]) -> String {
    descriptor("application/vnd.oci.image.layer.v1.tar", &sha256(content), content.len())
}

/// An image manifest with more members at its end.
pub fn image(config: &[u8], layers: &[&[u8]], more: &str) -> String {
    let layers: Vec<_> = layers.iter().map(|content| layer(content)).collect();
    let config = descriptor("application/vnd.oci.image.config.v1+json", &sha256(config), config.len());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{}]{more}}}"#,
        layers.join(",")
    )
}

pub fn index(manifests: &[&str], more: &str) -> String {
    let kind = |text: &&str| if text.contains("\"manifests\"") { OCI_INDEX } else { OCI_MANIFEST };
    let all: Vec<_> =
        manifests.iter().map(|text| descriptor(kind(text), &sha256(text.as_bytes()), text.len())).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]{more}}}"#, all.join(","))
}

pub fn subject(text: &str) -> String {
    format!(r#","subject":{}"#, descriptor(OCI_MANIFEST, &sha256(text.as_bytes()), text.len()))
}
