//! Four real nodes on this machine: throughput, latency, and what an idle network writes.
//!
//! `cargo bench -p trustnet --bench network` prints a table; docs/BENCHMARKS.md explains it.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::format_push_string, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{TestNet, written_bytes};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trustnet");
/// Ratings handed in one after the other for the latencies.
const LIGHT_RATINGS: usize = 200;
/// Ratings for the throughput.
const HEAVY_RATINGS: u64 = 20_000;
/// Accounts that hand them in: each has at most 64 under way.
const RATERS: usize = 400;
/// How long the idle network is watched.
const IDLE: Duration = Duration::from_secs(90);

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn main() {
    // `cargo test --benches` runs this with --test: compiling it is the test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let mut net = TestNet::start(PROGRAM, 4, 42_000);
    let ids = net.ids();
    latencies(&mut net, &ids);
    throughput(&net);
    idle(&net);
}

fn latencies(net: &mut TestNet, ids: &[trustnet_ledger::NodeId]) {
    let (mut commit, mut visible) = (Vec::new(), Vec::new());
    for turn in 0..LIGHT_RATINGS {
        let from = turn % 4;
        let tx = net.rating(ids, from, (from + 1) % 4, 1 + (turn % 5) as u8);
        let start = Instant::now();
        let answer = net.commit(&tx, from).unwrap();
        assert_eq!(answer.code, 0, "{}", answer.log);
        commit.push(start.elapsed().as_secs_f64() * 1e3);
        while !(0..4).all(|i| net.has_tx(i, &tx)) {}
        visible.push(start.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(20));
    }
    commit.sort_by(f64::total_cmp);
    visible.sort_by(f64::total_cmp);
    println!(
        "commit latency, light load   p50 {:6.1} ms   p99 {:6.1} ms",
        percentile(&commit, 50),
        percentile(&commit, 99)
    );
    println!(
        "visible on all four nodes    p50 {:6.1} ms   p99 {:6.1} ms",
        percentile(&visible, 50),
        percentile(&visible, 99)
    );
}

/// A ratings file of `RATERS` people, imported by the program itself.
fn throughput(net: &TestNet) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ratings.csv");
    let mut text = String::new();
    let people = RATERS as u64;
    for i in 0..HEAVY_RATINGS {
        let (from, step) = (i % people, 1 + i / people);
        let to = (from + step) % people;
        text.push_str(&format!("{},{},{},{}\n", from + 1, to + 1, 1 + i % 9, 1_400_000_000 + i));
    }
    std::fs::write(&file, text).unwrap();
    let written: u64 = (0..4).map(|i| written_bytes(net.pid(i))).sum();
    let first = net.height(0);
    let start = Instant::now();
    let status = std::process::Command::new(PROGRAM)
        .args(["import", "--json", "--rpc", &net.network.nodes[0].url(), "--seed-file"])
        .arg(dir.path().join("seed"))
        .arg(&file)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let seconds = start.elapsed().as_secs_f64();
    let blocks = net.height(0) - first;
    let txs = HEAVY_RATINGS + people;
    let written = (0..4).map(|i| written_bytes(net.pid(i))).sum::<u64>() - written;
    println!(
        "throughput                   {:.0} committed transactions/s ({txs} in {seconds:.1} s)",
        txs as f64 / seconds
    );
    println!("block interval under load    {:.0} ms ({blocks} blocks)", seconds * 1e3 / blocks as f64);
    println!(
        "written to disk              {:.0} bytes a transaction and node",
        written as f64 / txs as f64 / 4.0
    );
}

fn idle(net: &TestNet) {
    // The last checkpoint comes up to 60 s after the last block.
    std::thread::sleep(Duration::from_secs(65));
    let height = net.height(0);
    let before: u64 = (0..4).map(|i| written_bytes(net.pid(i))).sum();
    std::thread::sleep(IDLE);
    let written = (0..4).map(|i| written_bytes(net.pid(i))).sum::<u64>() - before;
    let blocks = net.height(0) - height;
    println!(
        "idle for {} s               {blocks} blocks, {written} bytes written by four nodes",
        IDLE.as_secs()
    );
}
