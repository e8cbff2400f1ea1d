//! A network of engines in one thread: virtual time, a model of the disk, and links that can be cut.
#![allow(dead_code, clippy::unwrap_used, clippy::cast_possible_wrap)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use trustnet_engine::block::{Block, Commit, CommittedBlock};
use trustnet_engine::io::{Persist, SubmitError};
use trustnet_engine::message::{Message, SyncResponse};
use trustnet_engine::{Config, Engine, Input, Now, Output, Recovered, SignerState, TimerId, Timing};
use trustnet_ledger::codec;
use trustnet_ledger::crypto::{Hash32, PublicKey, SecretKey, verify_many};
use trustnet_ledger::genesis::{CategoryWeights, Genesis, GenesisValidator};
use trustnet_ledger::ids::NodeId;
use trustnet_ledger::node::NodeKind;
use trustnet_ledger::params::Params;
use trustnet_ledger::rating::Category;
use trustnet_ledger::signed::SignedTransaction;
use trustnet_ledger::tx::{Action, Transaction};

/// Start of virtual time: 2026-11-20, five minutes into an hour, so that no attestation is due at once.
pub const START_UNIX_MS: u64 = 1_795_000_000_000 / 3_600_000 * 3_600_000 + 300_000;

pub fn secret(role: u8, index: usize) -> SecretKey {
    let mut seed = [role; 32];
    seed[0] = index as u8;
    SecretKey::from_seed(&seed)
}

pub fn genesis(count: usize) -> Genesis {
    let validators = (0..count)
        .map(|i| GenesisValidator {
            name: format!("node-{}", i + 1),
            owner: String::new(),
            operator: secret(1, i).public(),
            node_key: secret(2, i).public(),
            validator_key: secret(3, i).public(),
            power: 10,
        })
        .collect();
    Genesis {
        version: 1,
        chain_id: "test".into(),
        time_ms: START_UNIX_MS - 1_000,
        validators,
        roots: Vec::new(),
        category_weights: CategoryWeights::default(),
        params: Params::default(),
    }
}

/// What survives a crash.
#[derive(Clone, Default)]
pub struct DiskModel {
    pub signer: Option<Vec<u8>>,
    pub lost: bool,
    pub committed: BTreeMap<u64, (Bytes, Bytes)>,
    pub candidates: BTreeMap<Hash32, Bytes>,
}

pub struct Replica {
    pub engine: Option<Engine>,
    pub disk: DiskModel,
    pub timers: BTreeMap<TimerId, u64>,
    pub finals: Vec<Arc<CommittedBlock>>,
    pub submitted: BTreeMap<u64, Result<Hash32, SubmitError>>,
    pub punished: Vec<(PublicKey, &'static str)>,
    pub halted: Option<String>,
    /// Every message that it signed, to look for double votes.
    pub sent: Vec<Message>,
    pub unix_skew_ms: i64,
}

pub struct Cluster {
    pub genesis: Arc<Genesis>,
    pub replicas: Vec<Replica>,
    pub now_ms: u64,
    pub delay_ms: u64,
    /// Directed links that drop everything.
    pub cut: BTreeSet<(usize, usize)>,
    /// Messages that are lost on the way, by sender and receiver.
    pub loses: Option<fn(usize, usize, &Message) -> bool>,
    /// Messages that were sent: from, to, what.
    pub wire: Vec<(usize, usize, Message)>,
    /// Nodes that never answer a request, as a stopped process does.
    pub unresponsive: BTreeSet<usize>,
    queue: BTreeMap<(u64, u64), (usize, Input)>,
    seq: u64,
    next_token: u64,
    nonces: BTreeMap<PublicKey, u64>,
    requests: BTreeMap<u64, (usize, usize, u64)>,
}

impl Cluster {
    pub fn new(count: usize) -> Self {
        Self::with_genesis(genesis(count))
    }

    pub fn with_genesis(genesis: Genesis) -> Self {
        let count = genesis.validators.len();
        let replicas = (0..count)
            .map(|_| Replica {
                engine: None,
                disk: DiskModel::default(),
                timers: BTreeMap::new(),
                finals: Vec::new(),
                submitted: BTreeMap::new(),
                punished: Vec::new(),
                halted: None,
                sent: Vec::new(),
                unix_skew_ms: 0,
            })
            .collect();
        let mut cluster = Self {
            genesis: Arc::new(genesis),
            replicas,
            now_ms: 1_000,
            delay_ms: 2,
            cut: BTreeSet::new(),
            loses: None,
            wire: Vec::new(),
            unresponsive: BTreeSet::new(),
            queue: BTreeMap::new(),
            seq: 0,
            next_token: 0,
            nonces: BTreeMap::new(),
            requests: BTreeMap::new(),
        };
        for i in 0..count {
            cluster.boot(i);
        }
        cluster
    }

    pub fn config(&self, i: usize) -> Config {
        Config {
            genesis: Arc::clone(&self.genesis),
            node_key: secret(2, i),
            validator_key: Some(secret(3, i)),
            timing: Timing::default(),
            verifier: Arc::new(trustnet_engine::verifier::Ed25519::new([i as u8; 32])),
            seed: [i as u8; 32],
        }
    }

    pub fn key(i: usize) -> PublicKey {
        secret(2, i).public()
    }

    fn index(&self, key: &PublicKey) -> Option<usize> {
        (0..self.replicas.len()).find(|i| Self::key(*i) == *key)
    }

    pub fn now(&self, i: usize) -> Now {
        let unix = START_UNIX_MS as i64 + self.now_ms as i64 + self.replicas[i].unix_skew_ms;
        Now { mono_ms: self.now_ms, unix_ms: u64::try_from(unix).unwrap_or(0) }
    }

    /// Starts a replica from its disk, and connects it with all that run.
    pub fn boot(&mut self, i: usize) {
        // Booting takes longer than noticing that a connection is gone.
        self.run(self.delay_ms + 2);
        let disk = self.replicas[i].disk.clone();
        let signer = match (disk.lost, &disk.signer) {
            (true, _) => SignerState::Lost,
            (false, None) => SignerState::Fresh,
            (false, Some(record)) => SignerState::Known(record.clone()),
        };
        let mut engine = Engine::new(self.config(i), Recovered { leaves: Vec::new(), signer }).unwrap();
        for (block, commit) in disk.committed.values() {
            let block = Block::decode(block).unwrap();
            let commit: Commit = codec::decode(commit, commit.len()).unwrap();
            engine.replay(&block, &commit).unwrap();
        }
        let wanted = engine.wanted_candidates();
        let held = wanted.iter().filter_map(|id| disk.candidates.get(id)).map(|b| Block::decode(b).unwrap());
        let outputs = engine.start(self.now(i), held.collect());
        self.replicas[i].engine = Some(engine);
        self.replicas[i].timers.clear();
        self.carry_out(i, outputs);
        for j in 0..self.replicas.len() {
            if j != i && self.replicas[j].engine.is_some() {
                self.push(0, i, Input::PeerUp(Self::key(j)));
                self.push(0, j, Input::PeerUp(Self::key(i)));
            }
        }
    }

    /// A newcomer's registration: what a chain of one, in which nobody can rate anybody, can do.
    pub fn registration(name: &str) -> SignedTransaction {
        let key = SecretKey::from_seed(&trustnet_ledger::crypto::hash("newcomer", &[name.as_bytes()]).0);
        let action = Action::Register {
            name: name.into(),
            owner: String::new(),
            kind: NodeKind::User,
            node_key: None,
            validator_key: None,
        };
        let tx = Transaction { signer: key.public(), nonce: 1, time_ms: START_UNIX_MS, action };
        SignedTransaction::sign(tx, &key, "test")
    }

    /// Stops a replica at once; what its disk holds stays.
    pub fn kill(&mut self, i: usize) {
        self.replicas[i].engine = None;
        self.queue.retain(|_, (to, _)| *to != i);
        // What is on the wire arrives before the others notice.
        let after_ms = self.delay_ms + 1;
        for j in 0..self.replicas.len() {
            if j != i {
                self.push(after_ms, j, Input::PeerDown(Self::key(i)));
            }
        }
    }

    pub fn push(&mut self, after_ms: u64, to: usize, input: Input) {
        self.seq += 1;
        self.queue.insert((self.now_ms + after_ms, self.seq), (to, input));
    }

    /// Runs for `ms` of virtual time.
    pub fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.step_until(end) {}
        self.now_ms = end;
    }

    /// Runs until `done`, at most `ms`. Panics when it did not come to that.
    pub fn run_until(&mut self, ms: u64, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now_ms + ms;
        while !done(self) {
            assert!(self.step_until(end), "not within {ms} ms: {what}; heights {:?}", self.heights());
        }
    }

    fn step_until(&mut self, end: u64) -> bool {
        let message = self.queue.keys().next().map(|(at, _)| *at);
        let timer = self
            .replicas
            .iter()
            .enumerate()
            .filter(|(_, replica)| replica.engine.is_some())
            .flat_map(|(i, replica)| replica.timers.iter().map(move |(id, at)| (*at, i, *id)))
            .min();
        let timer_first = match (message, timer) {
            (None, None) => return false,
            (Some(message), Some((timer, ..))) => timer < message,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        let at = if timer_first { timer.unwrap().0 } else { message.unwrap() };
        if at > end {
            return false;
        }
        self.now_ms = self.now_ms.max(at);
        let (i, input) = if timer_first {
            let (_, i, id) = timer.unwrap();
            self.replicas[i].timers.remove(&id);
            (i, Input::Timer(id))
        } else {
            self.queue.pop_first().unwrap().1
        };
        self.feed(i, input);
        true
    }

    pub fn feed(&mut self, i: usize, input: Input) {
        for input in [input, Input::Flush] {
            let now = self.now(i);
            let Some(engine) = &mut self.replicas[i].engine else { return };
            let outputs = engine.step(now, input);
            self.carry_out(i, outputs);
        }
    }

    fn transmit(&mut self, from: usize, to: usize, message: &Message) {
        self.wire.push((from, to, message.clone()));
        let lost = self.cut.contains(&(from, to)) || self.loses.is_some_and(|loses| loses(from, to, message));
        if self.replicas[to].engine.is_some() && !lost {
            let bytes = message.encode();
            let delay_ms = self.delay_ms;
            self.push(delay_ms, to, Input::Message { peer: Self::key(from), bytes });
        }
    }

    fn carry_out(&mut self, i: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Persist(Persist::Signer(record)) => self.replicas[i].disk.signer = Some(record),
                Output::Persist(Persist::SignerWithBlock { record, id, block, .. }) => {
                    self.replicas[i].disk.signer = Some(record);
                    self.replicas[i].disk.candidates.insert(id, block);
                }
                Output::Send(key, message) => {
                    if let Some(to) = self.index(&key) {
                        self.transmit(i, to, &message);
                    }
                }
                Output::Broadcast(message, except) => {
                    if matches!(message, Message::Vote(_) | Message::Proposal(_)) {
                        self.replicas[i].sent.push(message.clone());
                    }
                    for to in 0..self.replicas.len() {
                        if to != i && Some(Self::key(to)) != except {
                            self.transmit(i, to, &message);
                        }
                    }
                }
                Output::Request { peer, request, tag } => {
                    let Some(to) = self.index(&peer) else { continue };
                    if self.unresponsive.contains(&to) {
                        continue;
                    }
                    if self.replicas[to].engine.is_none() || self.cut.contains(&(i, to)) {
                        let delay_ms = self.delay_ms;
                        self.push(delay_ms, i, Input::SyncResponse { peer, tag, bytes: None });
                        continue;
                    }
                    self.next_token += 1;
                    self.requests.insert(self.next_token, (i, to, tag));
                    let input = Input::SyncRequest {
                        peer: Self::key(i),
                        bytes: request.encode(),
                        token: self.next_token,
                    };
                    let delay_ms = self.delay_ms;
                    self.push(delay_ms, to, input);
                }
                Output::ServeBlocks { token, request } => {
                    let (asker, server, tag) = self.requests.remove(&token).unwrap();
                    let committed = &self.replicas[server].disk.committed;
                    let blocks = (request.from..)
                        .take(request.count as usize)
                        .map_while(|height| committed.get(&height).cloned())
                        .collect();
                    let bytes = Some(SyncResponse { blocks }.encode());
                    let delay_ms = self.delay_ms;
                    self.push(delay_ms, asker, Input::SyncResponse { peer: Self::key(server), tag, bytes });
                }
                Output::SetTimer(id, at) => {
                    self.replicas[i].timers.insert(id, at);
                }
                Output::Verify { job, checks } => {
                    let results = verify_many(&checks, [9; 32]);
                    self.push(0, i, Input::Verified { job, results });
                }
                Output::Final(done) => {
                    let replica = &mut self.replicas[i];
                    let height = done.committed.block.header.height;
                    if done.stored {
                        assert!(replica.disk.candidates.contains_key(&done.committed.id));
                    }
                    let commit = codec::encode(&done.committed.commit);
                    replica.disk.committed.insert(height, (done.bytes, commit.into()));
                    replica.finals.push(done.committed);
                }
                Output::Submitted { token, result } => {
                    self.replicas[i].submitted.insert(token, result);
                }
                Output::Punish { peer, reason, .. } => self.replicas[i].punished.push((peer, reason)),
                Output::Validators(_) => {}
                Output::Halt(why) => self.replicas[i].halted = Some(why),
            }
        }
    }

    pub fn node_id(&self, i: usize) -> NodeId {
        self.genesis.validator_id(&self.genesis.validators[i])
    }

    /// A rating of validator `to` by validator `from`'s operator, with the next nonce.
    pub fn rating(&mut self, from: usize, to: usize) -> SignedTransaction {
        let key = secret(1, from);
        let nonce = self.nonces.entry(key.public()).or_default();
        *nonce += 1;
        let tx = Transaction {
            signer: key.public(),
            nonce: *nonce,
            time_ms: START_UNIX_MS + self.now_ms,
            action: Action::Rate {
                from: self.node_id(from),
                to: self.node_id(to),
                stars: 5,
                category: Category::Honesty,
                reason: String::new(),
            },
        };
        SignedTransaction::sign(tx, &key, "test")
    }

    pub fn submit(&mut self, at: usize, tx: &SignedTransaction) -> u64 {
        self.next_token += 1;
        let token = self.next_token;
        self.push(0, at, Input::Submit { token, bytes: Bytes::copy_from_slice(tx.bytes()) });
        token
    }

    pub fn height(&self, i: usize) -> u64 {
        self.replicas[i].engine.as_ref().map_or(0, |engine| engine.tip().height())
    }

    pub fn heights(&self) -> Vec<u64> {
        (0..self.replicas.len()).map(|i| self.height(i)).collect()
    }

    pub fn committed_txs(&self, i: usize) -> usize {
        self.replicas[i]
            .disk
            .committed
            .values()
            .map(|(block, _)| Block::decode(block).unwrap().txs.len())
            .sum()
    }

    /// One block id and state root per height, everywhere; nobody signed two things for one slot.
    pub fn check_safety(&self) {
        let mut ids: BTreeMap<u64, Hash32> = BTreeMap::new();
        for (i, replica) in self.replicas.iter().enumerate() {
            assert_eq!(replica.halted, None, "replica {i}");
            for (height, (block, _)) in &replica.disk.committed {
                let id = Block::decode(block).unwrap().header.id();
                assert_eq!(*ids.entry(*height).or_insert(id), id, "replica {i} height {height}");
            }
            let mut votes = BTreeMap::new();
            for message in &replica.sent {
                if let Message::Vote(vote) = message {
                    let slot = (vote.height, vote.round, vote.precommit);
                    let first = votes.entry(slot).or_insert(vote.value);
                    assert_eq!(*first, vote.value, "replica {i} signed twice for {slot:?}");
                }
            }
            assert_eq!(replica.engine.as_ref().map_or(0, |engine| engine.stats().refused_signatures), 0);
        }
    }
}
