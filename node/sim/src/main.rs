//! Simulates networks by the thousand: `trustnet-sim --seeds 1000`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use trustnet_sim::expect::{MIN_RUNS, expect_all};
use trustnet_sim::plan::Plan;
use trustnet_sim::series::{Series, Summary, run_series};
use trustnet_sim::shrink::{run_caught, shrink};
use trustnet_sim::tally::Group;
use trustnet_sim::timeline::Timeline;
use trustnet_sim::{size, twins};

/// A failing run is made smaller for at most this long.
const SHRINK_LIMIT: Duration = Duration::from_secs(60);
/// Failures of one series after which it stops.
const MOST_FAILURES: usize = 20;
/// Lines of a shrunk run that are shown.
const SHOWN_LINES: usize = 80;

/// Simulates whole networks, each in one thread and virtual time, each decided by one seed.
///
/// Every network runs the product's own replicas. First anything goes wrong: lost messages, partitions, power
/// cuts, damaged disks, wrong clocks, Byzantine validators with less than a third of the power. Then a random
/// core of more than two thirds is healed and must go on, and at last all must agree.
#[derive(Parser)]
#[command(version, about, long_about)]
struct Args {
    /// How many networks to simulate.
    #[arg(long, default_value_t = 100, value_name = "N")]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,
    /// Validators of each network (4 to 20).
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20))]
    nodes: u64,
    /// Threads [default: all processors].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Stop after so many minutes, whatever is left.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,
    /// Replay one network and show its timeline.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["twins", "size"])]
    seed: Option<u64>,
    /// With --seed: parts of it to leave out, as a failing series names them.
    #[arg(long, value_name = "PART,PART", value_delimiter = ',', requires = "seed")]
    without: Vec<String>,
    /// Enumerate networks of 4 with two copies of one key (Twins, arXiv 2004.10617).
    #[arg(long, conflicts_with = "size")]
    twins: bool,
    /// Measure networks of 4, 7, 16, 31, 64 and 100 validators with links of 50 ms.
    #[arg(long)]
    size: bool,
    /// With --twins: split this many first rounds (1 to 3).
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3))]
    rounds: u32,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.size {
        return size::report(args.json);
    }
    if args.twins {
        return twins::report(args.rounds, args.json);
    }
    if let Some(seed) = args.seed {
        return replay(seed, &args);
    }
    // The message of a panic is part of the violation; a trace for each would bury it. A replay shows it.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let summary = run_series(Series {
        from: args.from,
        count: args.seeds,
        nodes: args.nodes as usize,
        jobs: args.jobs.unwrap_or(processors),
        limit: args.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
        most_failures: MOST_FAILURES,
    });
    conclude(summary, &args, started.elapsed())
}

/// Shows one run.
fn replay(seed: u64, args: &Args) -> ExitCode {
    let mut plan = Plan::draw(seed, args.nodes as usize);
    for part in &args.without {
        if !plan.leave_out(part) {
            let parts: Vec<String> = plan.parts().into_iter().map(|(name, _)| name).collect();
            eprintln!("error: seed {seed} has no part '{part}'; it has: {}", parts.join(", "));
            return ExitCode::from(2);
        }
    }
    println!("seed {seed}, {} validators of power {:?}", plan.powers.len(), plan.powers);
    for (name, what) in plan.parts() {
        if !args.without.contains(&name) {
            println!("  {name:<24} {what}");
        }
    }
    println!();
    let outcome = run_caught(&plan, Timeline::on());
    for line in outcome.timeline.lines() {
        println!("{line}");
    }
    match outcome.violation {
        None => {
            println!(
                "\nall held, for {:.1} virtual seconds",
                Duration::from_millis(outcome.virtual_ms).as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Some(what) => {
            println!("\n{what}");
            ExitCode::FAILURE
        }
    }
}

fn conclude(mut summary: Summary, args: &Args, took: Duration) -> ExitCode {
    let full = summary.runs >= MIN_RUNS && args.nodes == 7;
    if full {
        expect_all(&mut summary.tally);
    }
    let never = summary.tally.never_ran();
    if args.json {
        print_json(&summary, &never, took);
    } else {
        print_text(&summary, &never, took);
        for (seed, what) in summary.failures.iter().take(1) {
            explain(*seed, what, args);
        }
    }
    if summary.failures.is_empty() && never.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The smallest run that fails like `seed`, and how to see it again.
fn explain(seed: u64, what: &str, args: &Args) {
    eprintln!("\nlooking for the smallest part of seed {seed} that fails ...");
    let small = shrink(&Plan::draw(seed, args.nodes as usize), what, SHRINK_LIMIT);
    let outcome = run_caught(&small.plan, Timeline::on());
    let lines = outcome.timeline.lines();
    println!("\nThe end of the smallest run that fails like seed {seed}:");
    for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
        println!("{line}");
    }
    println!("\n{}", small.violation);
    let nodes = if args.nodes == 7 { String::new() } else { format!(" --nodes {}", args.nodes) };
    let without = if small.without.is_empty() {
        String::new()
    } else {
        format!(" --without {}", small.without.join(","))
    };
    println!("\nSee it whole:\n  cargo run --release -p trustnet-sim -- --seed {seed}{nodes}{without}");
}

fn print_text(summary: &Summary, never: &[String], took: Duration) {
    for group in [Group::Fault, Group::Byzantine, Group::Rule, Group::Defence, Group::Work] {
        println!("\n{}", group.title());
        for (name, count) in summary.tally.of(group) {
            println!("  {count:>12}  {name}");
        }
    }
    let (runs, failed) = (summary.runs, summary.failures.len());
    println!(
        "\n{runs} networks, {:.0} virtual minutes in {:.0} s ({} a minute)",
        Duration::from_millis(summary.virtual_ms).as_secs_f64() / 60.0,
        took.as_secs_f64(),
        u128::from(runs) * 60_000 / took.as_millis().max(1)
    );
    for what in never {
        println!("never ran: {what}");
    }
    for (seed, what) in &summary.failures {
        println!("failed: seed {seed}: {what}");
    }
    println!("{} passed, {failed} failed", runs - failed as u64);
}

fn print_json(summary: &Summary, never: &[String], took: Duration) {
    let groups = [Group::Fault, Group::Byzantine, Group::Rule, Group::Defence, Group::Work];
    let counts: serde_json::Map<String, serde_json::Value> = groups
        .into_iter()
        .map(|group| {
            let of: serde_json::Map<String, serde_json::Value> =
                summary.tally.of(group).map(|(name, count)| (name.to_owned(), count.into())).collect();
            (group.title().to_owned(), of.into())
        })
        .collect();
    let failures: Vec<serde_json::Value> = summary
        .failures
        .iter()
        .map(|(seed, what)| serde_json::json!({ "seed": seed, "violation": what }))
        .collect();
    let report = serde_json::json!({
        "networks": summary.runs,
        "virtual_ms": summary.virtual_ms,
        "seconds": took.as_secs_f64(),
        "failures": failures,
        "never_ran": never,
        "exercised": counts,
    });
    println!("{report:#}");
}
