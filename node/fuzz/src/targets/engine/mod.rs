//! One replica among three validators whose keys the fuzzer holds: they sign what the script says, to whomever it says,
//! together as well as against each other, while clocks jump, disks fill in and the process dies between two outputs.
//!
//! Even so the replica never panics, never signs two things for one slot, lets nothing out before its record is durable,
//! and commits only valid blocks with a commit that holds, one after the other.

mod carry;
mod forge;
mod seeds;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use trustnet_engine::block::{Block, Commit};
use trustnet_engine::chain::Chain;
use trustnet_engine::message::Message;
use trustnet_engine::{Config, Engine, Input, Now, Output, Recovered, SignerState, TimerId, Timing};
use trustnet_ledger::codec;
use trustnet_ledger::crypto::{Hash32, PublicKey, SignatureCheck};

use crate::script::Script;
use crate::world::{self, GENESIS, KEYS, SEED, START_MS, VALIDATORS, VERIFIER};

pub use seeds::seeds;

/// The most steps of one run.
const MAX_STEPS: usize = 160;
/// This replica is the first genesis validator.
const ME: usize = 0;

/// What survives a crash.
#[derive(Clone, Default)]
struct Disk {
    signer: Option<Vec<u8>>,
    lost: bool,
    committed: Vec<(Bytes, Bytes)>,
    candidates: BTreeMap<Hash32, Bytes>,
}

/// The replica and all that surrounds it.
struct Machine {
    engine: Engine,
    disk: Disk,
    now: Now,
    timers: BTreeMap<TimerId, u64>,
    jobs: VecDeque<(u64, Vec<SignatureCheck>)>,
    requests: VecDeque<(PublicKey, u64)>,
    /// The chain as the replica has told of it.
    mirror: Chain,
    /// Blocks for the height being decided.
    blocks: Vec<Block>,
    /// The last message that was made, for changing it.
    last_made: Bytes,
    /// What the replica has signed, by height, round and kind.
    votes: BTreeMap<(u64, u32, bool), Option<Hash32>>,
    proposals: BTreeMap<(u64, u32), (Hash32, Option<u32>)>,
    tokens: BTreeSet<u64>,
    next_token: u64,
    halted: bool,
    /// Outputs that are still carried out before the process dies.
    dies_after: Option<usize>,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let first = script.byte() % 16;
    let mut machine = Machine::new(first == 15);
    if first < 14 {
        // It has heard what others saw of it; otherwise it is still listening.
        machine.feed(Input::Timer(TimerId::Listen));
    }
    for _ in 0..MAX_STEPS {
        if script.is_over() {
            break;
        }
        machine.act(&mut script);
    }
}

/// The node key of a peer; the last one belongs to nobody on the chain.
fn peer_key(index: usize) -> PublicKey {
    KEYS.get(index).map_or_else(|| world::secret(2, 99).public(), |keys| keys.node.public())
}

/// The replica's own voting key.
fn own_key() -> PublicKey {
    static KEY: LazyLock<PublicKey> = LazyLock::new(|| KEYS[ME].validator.public());
    *KEY
}

fn boot(disk: &Disk) -> Engine {
    let config = Config {
        genesis: Arc::clone(&GENESIS),
        node_key: KEYS[ME].node.clone(),
        validator_key: Some(KEYS[ME].validator.clone()),
        timing: Timing::default(),
        verifier: Arc::clone(&VERIFIER),
        seed: SEED,
    };
    let signer = match (&disk.signer, disk.lost) {
        (_, true) => SignerState::Lost,
        (None, false) => SignerState::Fresh,
        (Some(record), false) => SignerState::Known(record.clone()),
    };
    let mut engine =
        Engine::new(config, Recovered { leaves: Vec::new(), signer }).expect("the genesis holds");
    for (block, commit) in &disk.committed {
        let block = Block::decode(block).expect("a stored block decodes");
        let commit: Commit = codec::decode(commit, commit.len()).expect("a stored commit decodes");
        engine.replay(&block, &commit).expect("what was committed is executed again");
    }
    engine
}

impl Machine {
    fn new(lost: bool) -> Self {
        let disk = Disk { lost, ..Disk::default() };
        let mut machine = Self {
            engine: boot(&disk),
            disk,
            now: Now { mono_ms: 1_000, unix_ms: START_MS },
            timers: BTreeMap::new(),
            jobs: VecDeque::new(),
            requests: VecDeque::new(),
            mirror: world::new_chain(),
            blocks: Vec::new(),
            last_made: Bytes::new(),
            votes: BTreeMap::new(),
            proposals: BTreeMap::new(),
            tokens: BTreeSet::new(),
            next_token: 0,
            halted: false,
            dies_after: None,
        };
        machine.start();
        for peer in 1..VALIDATORS {
            machine.feed(Input::PeerUp(peer_key(peer)));
        }
        machine
    }

    fn start(&mut self) {
        let wanted = self.engine.wanted_candidates();
        let held = wanted.iter().filter_map(|id| self.disk.candidates.get(id));
        let held = held.map(|bytes| Block::decode(bytes).expect("a stored block decodes")).collect();
        let outputs = self.engine.start(self.now, held);
        self.carry_out(outputs);
    }

    /// Ends the process and starts it again from the disk.
    fn restart(&mut self) {
        self.dies_after = None;
        self.halted = false;
        self.timers.clear();
        self.jobs.clear();
        self.requests.clear();
        self.tokens.clear();
        self.now.mono_ms += 10;
        self.engine = boot(&self.disk);
        self.start();
    }

    /// One decision of the script.
    fn act(&mut self, script: &mut Script<'_>) {
        let op = script.byte();
        match op % 32 {
            0 => self.pass(script),
            1..=3 => self.fire(script),
            4 => self.feed(Input::Flush),
            5 | 6 => self.verify(),
            7 => self.client(script),
            8 => {
                let peer = peer_key(script.below(VALIDATORS + 1));
                self.feed(if op & 32 == 0 { Input::PeerUp(peer) } else { Input::PeerDown(peer) });
            }
            9 => self.restart(),
            10 => self.dies_after = Some(script.below(8)),
            11 => self.lose_record(script),
            12..=14 => self.make_block(script),
            15 | 16 => self.answer_sync(script),
            17 => {
                let (peer, bytes) =
                    (peer_key(script.below(VALIDATORS + 1)), Bytes::copy_from_slice(script.bytes()));
                self.feed(Input::SyncRequest { peer, bytes, token: 7 });
            }
            18 => {
                let bytes = Bytes::copy_from_slice(script.bytes());
                self.deliver_bytes(script, bytes);
            }
            19 => {
                let mut bytes = self.last_made.to_vec();
                let (at, by) = (script.number() as usize, script.byte());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add(by);
                }
                self.deliver_bytes(script, bytes.into());
            }
            20 | 21 => self.ballot(script),
            _ => {
                if let Some(message) = self.forge(script, op) {
                    self.deliver(script, &message);
                }
            }
        }
    }

    fn pass(&mut self, script: &mut Script<'_>) {
        self.now.mono_ms += script.number() % (1 << 40);
        self.now.unix_ms = match script.byte() {
            255 => script.number(),
            254 => 0,
            _ => START_MS + self.now.mono_ms,
        };
    }

    /// Lets a timer fire: one that was set, or any other.
    fn fire(&mut self, script: &mut Script<'_>) {
        let byte = script.byte();
        let set =
            self.timers.iter().nth(usize::from(byte) % self.timers.len().max(1)).map(|(id, at)| (*id, *at));
        let (id, at) = match set {
            Some(set) if byte < 240 => set,
            _ => {
                let (height, round) = (script.number(), script.number() as u32);
                (TimerId::Consensus { height, round, step: script.byte() }, 0)
            }
        };
        self.timers.remove(&id);
        let waited_ms = at.saturating_sub(self.now.mono_ms);
        self.now.mono_ms += waited_ms;
        self.now.unix_ms = self.now.unix_ms.saturating_add(waited_ms);
        self.feed(Input::Timer(id));
    }

    /// Answers the oldest job of signature checks.
    fn verify(&mut self) {
        if let Some((job, checks)) = self.jobs.pop_front() {
            let holds =
                |check: &SignatureCheck| VERIFIER.verify(&check.key, &check.message, &check.signature);
            let results = checks.iter().map(holds).collect();
            self.feed(Input::Verified { job, results });
        }
    }

    /// A client hands something in.
    fn client(&mut self, script: &mut Script<'_>) {
        let bytes = self.some_tx(script);
        let token = self.next_token;
        self.next_token += 1;
        self.tokens.insert(token);
        self.feed(Input::Submit { token, bytes });
    }

    /// The card is replaced: what was signed is forgotten, here and in the check of it.
    fn lose_record(&mut self, script: &mut Script<'_>) {
        self.disk.lost = true;
        self.disk.candidates.clear();
        if script.flag() {
            self.disk.committed.clear();
            self.mirror = world::new_chain();
            self.blocks.clear();
        }
        self.votes.clear();
        self.proposals.clear();
        self.restart();
    }

    fn deliver(&mut self, script: &mut Script<'_>, message: &Message) {
        self.last_made = message.encode();
        self.deliver_bytes(script, self.last_made.clone());
    }

    fn deliver_bytes(&mut self, script: &mut Script<'_>, bytes: Bytes) {
        let peer = peer_key(1 + script.below(VALIDATORS));
        self.feed(Input::Message { peer, bytes });
    }

    fn feed(&mut self, input: Input) {
        let outputs: Vec<Output> = self.engine.step(self.now, input);
        assert!(!self.halted || outputs.is_empty(), "a halted engine goes on");
        self.carry_out(outputs);
    }
}
