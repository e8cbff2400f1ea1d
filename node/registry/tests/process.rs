//! A registry in a process of its own: killed while it serves, and measured while clients do their worst.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use common::{OCI_MANIFEST, connect, content, image, read_answer, request, sha256};
use trustnet_registry::{Algorithm, Digest, Hasher, Limits, Options, OsFiles, Registry, Store, serve};

const DIR_VARIABLE: &str = "TRUSTNET_REGISTRY_PROCESS_TEST_DIR";
const KILLS: u64 = 5;
/// The bound for one upload, in KiB: 12 MB.
const ONE_UPLOAD_KIB: u64 = 12_000_000 / 1024;
/// The bound for eight at once, in KiB. They must work within 64 MB, with room for the system's cache of the disk.
const EIGHT_UPLOADS_KIB: u64 = 32_000_000 / 1024;

/// Runs in the child process only: serves until it is killed.
#[test]
fn the_child_that_serves() {
    let Ok(dir) = std::env::var(DIR_VARIABLE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Arc::new(Store::open(OsFiles::new(dir), &Options::default()).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        eprintln!("serves at {}", listener.local_addr().unwrap());
        serve(listener, Registry::new(store, Limits::default())).await.unwrap();
    });
}

struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_child_that_serves", "--nocapture", "--test-threads=1"])
            .env(DIR_VARIABLE, dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let addr =
            lines.find_map(|line| line.strip_prefix("serves at ").map(|addr| addr.parse().unwrap())).unwrap();
        // Whatever else it says must not fill the pipe.
        thread::spawn(move || lines.for_each(drop));
        Self { child, addr }
    }

    #[cfg(target_os = "linux")]
    /// Most memory that was resident, in KiB.
    fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request of which the server may die.
fn try_request(addr: SocketAddr, method: &str, path: &str, kind: &str, body: &[u8]) -> Option<u16> {
    let mut stream = std::net::TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = Mutex::new(Vec::new());
    for kill in 0..KILLS {
        let mut process = Process::start(dir.path());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for worker in 0..3_u64 {
                let (stop, acknowledged, addr) = (&stop, &acknowledged, process.addr);
                scope.spawn(move || {
                    let mut round = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let seed = kill * 1_000_000 + worker * 10_000 + round;
                        round += 1;
                        let (config, layer) = (content(seed, 60), content(seed + 5_000, 150_000));
                        let blobs = [&config, &layer].into_iter().all(|blob| {
                            let path = format!("/v2/a/blobs/uploads/?digest={}", sha256(blob));
                            try_request(addr, "POST", &path, "a/b", blob) == Some(201)
                        });
                        let (text, tag) = (image(&config, &[&layer], ""), format!("t{seed}"));
                        let path = format!("/v2/a/manifests/{tag}");
                        if blobs
                            && try_request(addr, "PUT", &path, OCI_MANIFEST, text.as_bytes()) == Some(201)
                        {
                            let mut list = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                            list.push((tag, text, sha256(&layer)));
                        }
                    }
                });
            }
            thread::sleep(Duration::from_millis(300 + 170 * kill));
            process.child.kill().unwrap();
            process.child.wait().unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        let process = Process::start(dir.path());
        let list = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        for (tag, text, layer) in list.iter() {
            let answer =
                request(process.addr, "GET", &format!("/v2/a/manifests/{tag}"), &[], b"").expect(200);
            assert_eq!(answer.body, text.as_bytes(), "{tag}");
            let answer = request(process.addr, "GET", &format!("/v2/a/blobs/{layer}"), &[], b"").expect(200);
            assert_eq!(sha256(&answer.body), *layer, "{tag}");
        }
    }
    let count = acknowledged.into_inner().unwrap_or_else(PoisonError::into_inner).len();
    println!("{count} images acknowledged, {KILLS} kills");
    assert!(count > 0);
}

#[cfg(target_os = "linux")]
/// Pushes `len` bytes without ever holding them.
fn push_large(addr: SocketAddr, seed: u64, len: usize) -> Digest {
    let part = content(seed, 1_000_000);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    (0..len / part.len()).for_each(|_| hasher.update(&part));
    let digest = hasher.finish();
    let at = request(addr, "POST", "/v2/large/blobs/uploads/", &[], b"")
        .expect(202)
        .header("location")
        .unwrap()
        .to_owned();
    let mut stream = connect(addr);
    let head = format!(
        "PUT {at}?digest={digest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    (0..len / part.len()).for_each(|_| stream.write_all(&part).unwrap());
    read_answer(&mut stream, false).expect(201);
    digest
}

#[cfg(target_os = "linux")]
/// How many million bytes the larger pushes have; `REGISTRY_LARGE_MB` makes them larger.
fn large_mb() -> usize {
    std::env::var("REGISTRY_LARGE_MB").ok().and_then(|mb| mb.parse().ok()).unwrap_or(60)
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded_by_limits_not_by_clients() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let addr = process.addr;
    let start = process.peak_kib();
    let digest = push_large(addr, 1, 200_000_000);
    let one = process.peak_kib();
    let answer = request(addr, "GET", &format!("/v2/large/blobs/{digest}"), &[], b"").expect(200);
    assert_eq!(sha256(&answer.body), digest);
    drop(answer);
    let pulled = process.peak_kib();
    thread::scope(|scope| {
        for seed in 0..8 {
            scope.spawn(move || push_large(addr, 10 + seed, large_mb() * 1_000_000));
        }
    });
    let eight = process.peak_kib();
    println!(
        "peak in KiB: {start} at the start, {one} after a push of 200 MB, {pulled} after its pull, {eight} after eight pushes of {} MB at once",
        large_mb()
    );
    assert!(one < ONE_UPLOAD_KIB, "{one} KiB for one push");
    assert!(eight < EIGHT_UPLOADS_KIB, "{eight} KiB for eight pushes");
}
