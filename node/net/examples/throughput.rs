//! Measures two nodes on loopback: frames a second in each class, and how long a large frame takes.
//!
//! `cargo run --release -p trustnet-net --example throughput`

#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use trustnet_ledger::crypto::{Hash32, SecretKey};
use trustnet_net::{Class, Config, Event, Network, PeerId, QueueLimit, Rate, SendOutcome};

const FRAMES: usize = 500_000;
const FRAME_BYTES: usize = 200;
const LARGE_BYTES: usize = 1 << 20;
const ROUNDS: usize = 100;
const IDLE: Duration = Duration::from_secs(10);

fn config(seed: u8) -> Config {
    let secret = SecretKey::from_seed(&[seed; 32]);
    let mut config = Config::new(secret, "127.0.0.1:0".parse().unwrap(), Hash32([0; 32]), "bench");
    // The rates for strangers are not what is measured.
    let fast = Rate { burst: u32::MAX / 16, per_second: u32::MAX / 16 };
    config.limits.frames_from_peer = fast;
    config.limits.bytes_from_peer = fast;
    let deep = QueueLimit { frames: FRAMES, bytes: FRAMES * FRAME_BYTES };
    config.limits.consensus_queue = deep;
    config.limits.gossip_queue = deep;
    config
}

async fn up(events: &mut mpsc::Receiver<Event>) {
    while !matches!(events.recv().await, Some(Event::Up { .. })) {}
}

async fn frame(events: &mut mpsc::Receiver<Event>) -> Bytes {
    loop {
        if let Event::Frame { bytes, .. } = events.recv().await.unwrap() {
            return bytes;
        }
    }
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (a, mut a_events) = Network::start(config(1)).await.unwrap();
    let mut b_config = config(2);
    b_config.static_peers = vec![format!("{}@{}", a.id(), a.local_addr())];
    let (b, mut b_events) = Network::start(b_config).await.unwrap();
    up(&mut a_events).await;
    up(&mut b_events).await;
    let (to_a, to_b): (PeerId, PeerId) = (a.id(), b.id());

    for class in [Class::Consensus, Class::Gossip] {
        let payload = Bytes::from(vec![7; FRAME_BYTES]);
        let (start, busy) = (Instant::now(), cpu());
        let sender = b.clone();
        let sending = tokio::spawn(async move {
            for n in 0..FRAMES {
                assert_eq!(sender.send(&to_a, class, payload.clone()), SendOutcome::Queued);
                if n % 256 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        for _ in 0..FRAMES {
            frame(&mut a_events).await;
        }
        sending.await.unwrap();
        let (took, busy) = (start.elapsed(), cpu().saturating_sub(busy));
        println!(
            "{class:?}: {:.0} frames of {FRAME_BYTES} B a second, {:.2} us of CPU a frame (both sides)",
            FRAMES as f64 / took.as_secs_f64(),
            busy.as_secs_f64() * 1e6 / FRAMES as f64
        );
    }

    for (name, len) in [("200 B", FRAME_BYTES), ("1 MiB", LARGE_BYTES), ("2 MiB", 2 * LARGE_BYTES)] {
        let payload = Bytes::from(vec![7; len]);
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let start = Instant::now();
            b.send(&to_a, Class::Consensus, payload.clone());
            frame(&mut a_events).await;
            times.push(start.elapsed());
            a.send(&to_b, Class::Consensus, Bytes::new());
            frame(&mut b_events).await;
        }
        times.sort_unstable();
        println!(
            "{name} consensus frame, one way: p50 {:?}, p99 {:?}",
            times[ROUNDS / 2],
            times[ROUNDS * 99 / 100]
        );
    }

    let responder = a.clone();
    let answering = tokio::spawn(async move {
        let answer = Bytes::from(vec![7; LARGE_BYTES]);
        while let Some(event) = a_events.recv().await {
            if let Event::Request { token, .. } = event {
                responder.respond(token, answer.clone());
            }
        }
    });
    let mut times = Vec::with_capacity(ROUNDS);
    for tag in 0..ROUNDS as u64 {
        let start = Instant::now();
        b.request(&to_a, Bytes::from_static(b"block"), tag);
        while !matches!(b_events.recv().await.unwrap(), Event::Response { result: Ok(_), .. }) {}
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("1 MiB answer to a request: p50 {:?}", times[ROUNDS / 2]);

    let busy = cpu();
    tokio::time::sleep(IDLE).await;
    println!("idle for {IDLE:?}: {:?} of CPU", cpu().saturating_sub(busy));
    a.shutdown().await;
    b.shutdown().await;
    answering.await.unwrap();
}
