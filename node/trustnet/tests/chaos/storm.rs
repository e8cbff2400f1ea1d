//! Carries out the acts of a plan, and requires that the network lives through each of them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use trustnet::config::Level;

use crate::audit;
use crate::common::{Place, TestNet, wait_or};
use crate::disk;
use crate::lan::Lan;
use crate::load::Load;
use crate::plan::{Act, Cut, NODES, Wish, others, plan};
use crate::recorder::Recorder;
use crate::slots::Slots;

/// After any act, once everything runs and every link holds, each node must have a new block within this time.
pub const RECOVERY: Duration = Duration::from_secs(20);
/// While one node is away, the others must decide a block within this time.
pub const ONE_AWAY: Duration = Duration::from_secs(15);
/// What was sent before a cut may still make a block in this time.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// Ports are searched from here on.
const BASE_PORT: u16 = 42_000;
/// Port of the recorder in the local network.
const RECORDER_PORT: u16 = 26_700;
/// Between two acts, at most, so that the next one comes at any moment of a block's life.
const PAUSE_MS: u64 = 150;

/// What was done and how it went.
#[derive(Default)]
pub struct Tally {
    pub kills: usize,
    pub stops: usize,
    pub cuts: usize,
    pub longest_recovery: Duration,
    longest_of: String,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, stops, cuts, longest_recovery, longest_of } = self;
        write!(
            f,
            "{kills} kills, {stops} stops, {cuts} cuts; longest recovery {longest_recovery:.1?} after: {longest_of}"
        )
    }
}

/// A network under attack.
pub struct Storm {
    seed: u64,
    net: TestNet,
    lan: Option<Lan>,
    slots: Arc<Mutex<Slots>>,
    recorder: Recorder,
    tally: Tally,
    began: Instant,
}

impl Storm {
    /// Makes and starts the nodes: in `lan`, or all on loopback.
    pub fn gather(program: &str, lan: Option<Lan>) -> Self {
        let mut net = TestNet::create(program, NODES, BASE_PORT);
        let genesis = net.genesis();
        let keys = genesis.validators.iter().map(|validator| validator.validator_key).collect();
        let slots = Arc::new(Mutex::new(Slots::new(&genesis.chain_id, keys)));
        let listen = match lan {
            Some(_) => SocketAddr::from((Lan::OWN, RECORDER_PORT)),
            None => SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let recorder = Recorder::start(listen, &genesis, slots.clone());
        let places: Vec<Place> = match &lan {
            Some(lan) => (0..NODES).map(|node| lan.place(node)).collect(),
            None => vec![Place::loopback(); NODES],
        };
        net.settle(places, &[recorder.address().to_owned()], Level::Debug);
        net.boot_all();
        Self { seed: 0, net, lan, slots, recorder, tally: Tally::default(), began: Instant::now() }
    }

    /// All acts of the plan under load, then the reckoning.
    pub fn rage(mut self, wish: Wish) {
        self.seed = wish.seed;
        let acts = plan(wish);
        let load = Load::start(&self.net, self.seed);
        self.recover("the start");
        let mut dice = crate::dice::Dice::new(self.seed, 1);
        for (number, act) in acts.iter().enumerate() {
            std::thread::sleep(dice.millis(0, PAUSE_MS));
            let took = self.carry_out(act);
            if took > self.tally.longest_recovery {
                self.tally.longest_recovery = took;
                self.tally.longest_of = format!("act {}, {act}", number + 1);
            }
            say(&format!(
                "[{:6.1}s] seed {} act {}/{}: {act}; back after {took:.1?}; height {}, {} acknowledged",
                self.began.elapsed().as_secs_f32(),
                self.seed,
                number + 1,
                acts.len(),
                self.height_of(0).unwrap_or(0),
                load.acknowledged(),
            ));
            self.check_signatures();
        }
        self.reckon(load);
    }

    /// Does one thing to the network, undoes it, and says how long the network then took to go on.
    fn carry_out(&mut self, act: &Act) -> Duration {
        match act {
            Act::Kill { victims, down, again, others_go_on } => {
                self.kill(victims);
                std::thread::sleep(*down);
                if *others_go_on {
                    self.must_go_on(&others(victims));
                }
                self.boot(victims);
                if let Some(again) = again {
                    std::thread::sleep(*again);
                    self.kill(victims);
                    self.boot(victims);
                }
            }
            Act::Stop { victims, held } => {
                self.signal(victims, Signal::STOP);
                let begun = Instant::now();
                if victims.len() == 1 {
                    self.must_go_on(&others(victims));
                }
                std::thread::sleep(held.saturating_sub(begun.elapsed()));
                self.signal(victims, Signal::CONT);
                self.tally.stops += victims.len();
            }
            Act::Cut { cut, held, kill } => self.cut(*cut, *held, *kill),
        }
        self.recover(&act.to_string())
    }

    fn cut(&mut self, cut: Cut, held: Duration, kill: Option<usize>) {
        self.lan.as_ref().unwrap().cut(cut);
        let begun = Instant::now();
        if let Some(victim) = kill {
            self.kill(&[victim]);
            self.boot(&[victim]);
        }
        std::thread::sleep(UNDER_WAY);
        let heights = |nodes: &[usize]| nodes.iter().map(|node| self.height_of(*node)).collect::<Vec<_>>();
        let frozen = if kill.is_none() { cut.frozen() } else { Vec::new() };
        let before = heights(&frozen);
        // A node that is killed while another one is away is one too many, until it is back.
        self.must_go_on(&cut.core());
        std::thread::sleep(held.saturating_sub(begun.elapsed()));
        assert_eq!(heights(&frozen), before, "seed {}: {cut:?} does not cut nodes {frozen:?} off", self.seed);
        self.lan.as_ref().unwrap().heal();
        self.tally.cuts += 1;
    }

    /// SIGKILL, and a look at what the victims had written down.
    fn kill(&mut self, victims: &[usize]) {
        self.net.kill_together(victims);
        self.tally.kills += victims.len();
        let mut slots = self.slots.lock().unwrap();
        for &node in victims {
            for record in disk::vote_lock(&self.net.data_dir(node)) {
                slots.note_record(node, &record, &format!("vote.lock of node {node} when it was killed"));
            }
        }
    }

    fn boot(&mut self, nodes: &[usize]) {
        for &node in nodes {
            self.net.boot(node);
        }
    }

    fn signal(&self, nodes: &[usize], signal: Signal) {
        for &node in nodes {
            let pid = Pid::from_raw(self.net.pid(node) as i32).unwrap();
            kill_process(pid, signal).unwrap();
        }
    }

    fn height_of(&self, node: usize) -> Option<u64> {
        self.net
            .status(node)
            .and_then(|status| status["sync_info"]["latest_block_height"].as_str()?.parse().ok())
    }

    /// Some of these nodes must decide a new block in time.
    fn must_go_on(&self, nodes: &[usize]) {
        let highest = |storm: &Self| nodes.iter().filter_map(|node| storm.height_of(*node)).max();
        let Some(before) = highest(self) else { return };
        let goes_on = || highest(self).is_some_and(|height| height > before);
        wait_or(ONE_AWAY, goes_on, || self.story(&format!("nodes {nodes:?} decide a block after {before}")));
    }

    /// Everything is as it should be again: every node must come to a block that nobody had yet.
    fn recover(&mut self, after: &str) -> Duration {
        let begun = Instant::now();
        let mut before = None;
        let is_back = || {
            let heights: Vec<Option<u64>> = (0..NODES).map(|node| self.height_of(node)).collect();
            let highest = heights.iter().flatten().max().copied();
            before = before.or(highest);
            before.is_some_and(|before| {
                heights.iter().all(|height| height.is_some_and(|height| height > before))
            })
        };
        wait_or(RECOVERY, is_back, || self.story(&format!("every node has a new block after {after}")));
        for node in 0..NODES {
            assert!(!self.net.has_ended(node), "node {node} has ended: {}", self.net.log(node));
        }
        begun.elapsed()
    }

    /// What a failure says: how to see it again, and where the nodes are.
    fn story(&self, what: &str) -> String {
        let logs: String =
            (0..NODES).map(|node| format!("\n--- node {node}:\n{}", self.net.log(node))).collect();
        format!("{what} (replay with TRUSTNET_CHAOS_SEED={}){logs}", self.seed)
    }

    fn check_signatures(&self) {
        let slots = self.slots.lock().unwrap();
        assert!(slots.contradictions().is_empty(), "seed {}: {:#?}", self.seed, slots.contradictions());
        let fault = self.recorder.fault();
        assert_eq!(fault, None, "seed {}", self.seed);
    }

    fn reckon(mut self, load: Load) {
        let (acknowledged, refusals) = load.finish();
        self.net.check_agreement();
        let height = self.net.all_at_same_height().unwrap();
        let mut slots = self.slots.lock().unwrap();
        let mut found = audit::chains(&self.net, height, &acknowledged, &mut slots);
        drop(slots);
        for node in 0..NODES {
            self.net.stop(node);
        }
        found.records = audit::disks(&self.net, &mut self.slots.lock().unwrap());
        self.check_signatures();
        let complaints = audit::complaints(&self.net);
        assert!(complaints.is_empty(), "seed {}: {complaints:#?}", self.seed);
        let slots = self.slots.lock().unwrap();
        say(&format!(
            "storm over, seed {} in {:.0?}: {}\n  {} transactions acknowledged, {} on the chain, {} heights, the same on all {NODES} nodes\n  \
             {} signatures checked of {} slots, none signed twice; the recorder got {} messages and saw a quorum's votes of {} heights; {} signer records read\n  \
             answers other than acknowledgements: {refusals:#?}",
            self.seed,
            self.began.elapsed(),
            self.tally,
            acknowledged.len(),
            found.txs,
            found.height,
            slots.checked,
            slots.len(),
            self.recorder.messages(),
            found.heights_overheard,
            found.records,
        ));
        assert!(acknowledged.len() >= self.tally.kills, "there was hardly any load");
        assert!(found.records as u64 > found.height, "the nodes wrote down too little");
        assert!(found.heights_overheard * 10 > found.height * 9, "the recorder missed too much");
    }
}

/// Speaks past the test harness, which keeps what a passing test prints to itself.
pub fn say(line: &str) {
    use std::io::Write as _;
    // Nobody reading is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}
