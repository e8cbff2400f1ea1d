//! Runs simulated networks by the thousand.

use trustnet_sim::liveness::run;
use trustnet_sim::plan::Plan;
use trustnet_sim::timeline::Timeline;

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (from, count) = (args[0], args[1]);
    let started = std::time::Instant::now();
    let mut tally = trustnet_sim::tally::Tally::default();
    let mut bad = 0;
    for seed in from..from + count {
        let one = std::time::Instant::now();
        let timeline = if count == 1 { Timeline::on() } else { Timeline::off() };
        let outcome = run(Plan::draw(seed, 7), timeline);
        tally.merge(&outcome.tally);
        for line in outcome.timeline.lines() {
            println!("{line}");
        }
        if let Some(what) = outcome.violation {
            bad += 1;
            println!("seed {seed}: {what} ({} ms virtual, {:?})", outcome.virtual_ms, one.elapsed());
        }
        if one.elapsed().as_millis() > 2000 { println!("seed {seed} slow {:?}", one.elapsed()); }
    }
    use trustnet_sim::tally::Group::*;
    for group in [Fault, Byzantine, Rule, Defence, Work] {
        println!("{}", group.title());
        for (name, n) in tally.of(group) { println!("  {n:>9} {name}"); }
    }
    println!("{bad} bad of {count} in {:?}", started.elapsed());
}
