//! Pushes, pulls, attachments, deletes and collections at once: nobody is ever told of a blob that is gone.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{OCI_MANIFEST, Server, content, image, sha256, subject};
use trustnet_registry::{Depth, Limits, Options, Policy};

/// How long the soak takes; `REGISTRY_SOAK_SECONDS` makes it longer.
fn soak_time() -> Duration {
    let seconds = std::env::var("REGISTRY_SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

/// As short as a push may take here, so that much is collected.
const LEASE: Duration = Duration::from_millis(500);

/// A push as clients do it: asks for each blob first, and sends only what is missing.
fn push(server: &Server, repo: &str, tag: &str, seed: u64, about: &str) -> String {
    loop {
        let start = Instant::now();
        let (status, text) = try_push(server, repo, tag, seed, about);
        if status == 201 {
            return text;
        }
        // Something went that the client had been told of. That is fair after the time of a lease only.
        assert!(start.elapsed() > LEASE, "{status} after {:?}", start.elapsed());
    }
}

fn try_push(server: &Server, repo: &str, tag: &str, seed: u64, about: &str) -> (u16, String) {
    let (config, layer) = (content(seed % 40, 100), content(1_000 + seed % 60, 90_000));
    for blob in [&config, &layer] {
        let path = format!("/v2/{repo}/blobs/{}", sha256(blob));
        match server.head(&path).status {
            200 => {}
            404 if seed.is_multiple_of(3) => {
                let path = format!("/v2/{repo}/blobs/uploads/?mount={}", sha256(blob));
                let answer = server.request("POST", &path, &[], b"");
                if answer.status == 202 {
                    let at = answer.header("location").unwrap();
                    server.request("PUT", &format!("{at}?digest={}", sha256(blob)), &[], blob).expect(201);
                }
            }
            404 => {
                server.push_blob(repo, blob);
            }
            status => panic!("{status}"),
        }
    }
    let text = image(&config, &[&layer], about);
    (server.put_manifest(repo, tag, OCI_MANIFEST, &text).status, text)
}

#[test]
fn nothing_goes_that_a_client_was_told_of() {
    let options = Options { lease: LEASE, ..Options::default() };
    let server = Server::with(Limits::default(), &options);
    let stop = AtomicBool::new(false);
    let (pushes, pulls, attached, collected) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let until = Instant::now() + soak_time();
    let policy = Policy {
        untagged: Some(Duration::from_millis(500)),
        quarantine: Duration::from_millis(100),
        journal_bytes: 10_000,
    };
    thread::scope(|scope| {
        let (server, stop) = (&server, &stop);
        let (pushes, pulls, attached, collected) = (&pushes, &pulls, &attached, &collected);
        let workers: Vec<_> = (0..4_u64)
            .map(|worker| {
                scope.spawn(move || {
                    let mut round = worker;
                    while Instant::now() < until {
                        let repo = format!("r{}", round % 3);
                        let tag = format!("w{worker}");
                        let text = push(server, &repo, &tag, round, "");
                        pushes.fetch_add(1, Ordering::Relaxed);
                        // What was just pushed is there, whole.
                        let pulled = server.get(&format!("/v2/{repo}/manifests/{tag}")).expect(200);
                        assert_eq!(pulled.body, text.as_bytes());
                        for blob in [content(round % 40, 100), content(1_000 + round % 60, 90_000)] {
                            let answer =
                                server.get(&format!("/v2/{repo}/blobs/{}", sha256(&blob))).expect(200);
                            assert_eq!(answer.body, blob);
                        }
                        pulls.fetch_add(1, Ordering::Relaxed);
                        if round % 2 == 0 {
                            push(server, &repo, &format!("att{worker}"), round + 1, &subject(&text));
                            let path = format!("/v2/{repo}/referrers/{}", sha256(text.as_bytes()));
                            let list = server.get(&path).expect(200).json();
                            assert!(!list["manifests"].as_array().unwrap().is_empty());
                            attached.fetch_add(1, Ordering::Relaxed);
                        }
                        if round % 5 == 4 {
                            server.delete(&format!("/v2/{repo}/manifests/{tag}")).expect(202);
                        }
                        if round % 7 == 6 {
                            // So that leases end.
                            thread::sleep(Duration::from_millis(300));
                        }
                        round += 4;
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let done = server.store().collect(&policy).unwrap();
                collected
                    .fetch_add(done.manifests + done.links + done.files + done.purged, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Some(scrubbed) = server.store().scrub_next(Depth::Digest, &mut |_| true).unwrap() {
                    assert!(!scrubbed.is_damaged, "{scrubbed:?}");
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        let results: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok), "a worker failed");
    });
    let (pushes, pulls, attached, collected) =
        (pushes.into_inner(), pulls.into_inner(), attached.into_inner(), collected.into_inner());
    println!("{pushes} pushes, {pulls} pulls, {attached} attached, {collected} collected");
    assert!(pushes > 20 && collected > 20, "{pushes} pushes, {collected} collected");
    assert!(server.store().damaged().unwrap().is_empty());
}
