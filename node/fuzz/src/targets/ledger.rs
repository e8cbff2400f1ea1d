//! The ledger under blocks of arbitrary transactions.
//!
//! A block that is refused, or only begun, changes nothing; a transaction that is refused leaves the draft as it was;
//! the same block gives the same roots twice; nonces count; reputations, scores and powers stay in their bounds; and
//! what was handed out for storing loads into the same ledger.

use std::collections::BTreeMap;

use trustnet_ledger::crypto::{PublicKey, SecretKey, Signature};
use trustnet_ledger::{
    Action, BlockContext, Category, Execution, Genesis, KeyProof, KeyRole, Ledger, NodeId, NodeKind,
    NodeStatus, NodeView, Observation, SignedTransaction, Transaction, tree,
};

use crate::script::Script;
use crate::world::{self, CHAIN_ID, GENESIS, KEYS, VALIDATORS};

const MAX_BLOCKS: usize = 24;
const MAX_TXS: usize = 24;
/// People and newcomers who may sign, besides the validators' operators and voting keys.
const STRANGERS: u8 = 8;
const DAY_MS: u64 = 86_400_000;
/// All voting power together stays below this.
const MAX_TOTAL_POWER: u64 = 1 << 40;

struct Machine {
    genesis: Genesis,
    ledger: Ledger,
    stored: BTreeMap<Vec<u8>, Vec<u8>>,
    signers: Vec<SecretKey>,
}

/// A block, as the script made it.
struct Block {
    time_ms: u64,
    signers: Vec<PublicKey>,
    offenders: Vec<PublicKey>,
    previous_tx_count: u32,
    txs: Vec<SignedTransaction>,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut machine = Machine::new(&mut script);
    for _ in 0..MAX_BLOCKS {
        if script.is_over() {
            break;
        }
        let block = machine.block(&mut script);
        machine.take(&block, script.byte() % 8 == 7);
    }
    machine.check_storage(&mut script);
}

fn genesis(script: &mut Script<'_>) -> Genesis {
    let mut genesis = Genesis::clone(&GENESIS);
    genesis.validators.truncate(1 + script.below(VALIDATORS));
    for validator in &mut genesis.validators {
        validator.power = 1 + script.number() % 1_000_000;
    }
    let params = &mut genesis.params;
    params.epoch_ms = script.pick(&[3_600_000, 60_000, DAY_MS]);
    params.heartbeat_ms = params.epoch_ms / script.pick(&[120, 1, 10]);
    params.attestation_grace_ms = params.epoch_ms / 60;
    params.trust_epoch_blocks = script.pick(&[100, 1, 3]);
    params.initial_reputation = script.pick(&[50_000, 10_000, 100_000]);
    genesis
}

impl Machine {
    fn new(script: &mut Script<'_>) -> Self {
        let genesis = genesis(script);
        let ledger = Ledger::genesis(&genesis).expect("the genesis holds");
        let mut signers: Vec<SecretKey> = KEYS.iter().map(|keys| keys.operator.clone()).collect();
        signers.extend(KEYS.iter().map(|keys| keys.validator.clone()));
        signers.extend((0..STRANGERS).map(|index| world::secret(7, index)));
        signers.extend((0..STRANGERS).map(|index| world::secret(9, index)));
        Self { genesis, ledger, stored: BTreeMap::new(), signers }
    }

    fn block(&self, script: &mut Script<'_>) -> Block {
        let epoch_ms = self.genesis.params.epoch_ms;
        let ahead_ms = match script.byte() % 16 {
            0..=7 => 1_000,
            8 | 9 => epoch_ms,
            10 => 2 * epoch_ms,
            11 => DAY_MS,
            12 => 31 * DAY_MS,
            13 => 366 * DAY_MS,
            14 => script.number() % (1 << 45),
            _ => 0,
        };
        let time_ms = self.ledger.time_ms().saturating_add(ahead_ms);
        let validators: Vec<PublicKey> = self.ledger.validators().iter().map(|v| v.validator_key).collect();
        let some = |mask: u8| {
            let chosen = validators.iter().enumerate().filter(move |(at, _)| mask & (1 << (at % 8)) != 0);
            chosen.map(|(_, key)| *key).collect::<Vec<_>>()
        };
        let signers = some(script.byte());
        let previous_tx_count = script.number() as u32;
        let offenders = if script.byte() % 16 == 15 { some(script.byte()) } else { Vec::new() };
        let mut nonces = BTreeMap::new();
        let count = script.below(MAX_TXS);
        let txs = (0..count).filter_map(|_| self.tx(script, time_ms, &mut nonces)).collect();
        Block { time_ms, signers, offenders, previous_tx_count, txs }
    }

    /// A transaction; mostly with its signer's next nonce and at the block's time.
    fn tx(
        &self,
        script: &mut Script<'_>,
        block_ms: u64,
        nonces: &mut BTreeMap<PublicKey, u64>,
    ) -> Option<SignedTransaction> {
        let op = script.byte();
        if op == 255 {
            return SignedTransaction::decode(script.bytes()).ok();
        }
        let signer = script.pick(&self.signers);
        let public = signer.public();
        let known = nonces.entry(public).or_insert_with(|| self.ledger.nonce_of(&public));
        let (nonce, time_ms) = match op >> 4 {
            15 => (script.number(), block_ms),
            14 => (known.saturating_add(1), script.number()),
            _ => (known.saturating_add(1), block_ms),
        };
        *known = nonce;
        let action = self.action(script, op & 15, &public, nonce, time_ms);
        // The caller of the ledger has checked signatures; so none is needed.
        let tx = Transaction { signer: public, nonce, time_ms, action };
        Some(SignedTransaction::from_parts(tx, Signature([0; 64])))
    }

    fn action(
        &self,
        script: &mut Script<'_>,
        op: u8,
        signer: &PublicKey,
        nonce: u64,
        time_ms: u64,
    ) -> Action {
        match op {
            0 | 1 => Self::registration(script, signer, nonce, time_ms),
            2..=6 => Action::Rate {
                from: if op & 1 == 0 { self.own_node(signer) } else { self.node(script) },
                to: self.node(script),
                stars: script.byte() % 7,
                category: script.pick(&Category::ALL),
                reason: String::from_utf8_lossy(&script.bytes()[..0]).into_owned(),
            },
            7 => Action::Start { node: self.own_node(signer) },
            8 => Action::Admit { node: self.node(script), validator: self.own_node(signer) },
            9 => Action::Ready { node: self.own_node(signer) },
            10 => Action::Pause { node: self.own_node(signer) },
            11 => Action::Resume { node: self.own_node(signer) },
            12 if script.flag() => Action::Destroy { node: self.own_node(signer) },
            12 => Action::Destroy { node: self.node(script) },
            _ => {
                let epoch = self.ledger.epoch_of(time_ms).saturating_sub(1);
                let epoch = if op == 15 { script.number() } else { epoch };
                let validator = if op == 14 { self.node(script) } else { self.own_node(signer) };
                let count = script.below(12) as u32;
                let observations = (0..count)
                    .map(|node| Observation {
                        node: if op == 15 { script.number() as u32 } else { node },
                        heartbeats: script.byte() % 122,
                        invalid: script.byte() / 64,
                        abuse: script.byte() / 64,
                    })
                    .collect();
                Action::Attest { validator, epoch, observations }
            }
        }
    }

    fn registration(script: &mut Script<'_>, signer: &PublicKey, nonce: u64, time_ms: u64) -> Action {
        let kinds =
            [NodeKind::User, NodeKind::Validator, NodeKind::Service, NodeKind::Archive, NodeKind::Rpc];
        let (kind, keys) = (script.pick(&kinds), script.byte() % STRANGERS);
        let proof = |role: KeyRole| {
            let secret = world::secret(if role == KeyRole::Node { 8 } else { 9 }, keys);
            KeyProof::sign(&secret, role, CHAIN_ID, signer, nonce, time_ms)
        };
        let odd = script.byte() % 16 == 15;
        Action::Register {
            name: format!("n{}", script.byte() % 32),
            owner: String::new(),
            kind,
            node_key: ((kind != NodeKind::User) != odd).then(|| proof(KeyRole::Node)),
            validator_key: (kind == NodeKind::Validator).then(|| proof(KeyRole::Validator)),
        }
    }

    /// Any node, or none that there is.
    fn node(&self, script: &mut Script<'_>) -> NodeId {
        let count = self.ledger.node_count();
        let index = u32::from(script.byte()) % (count + 1);
        self.ledger.node_by_index(index).map_or(NodeId::default(), |node| node.id)
    }

    /// The last node that the signer runs, or whose voting key it is.
    fn own_node(&self, signer: &PublicKey) -> NodeId {
        let operated = self.ledger.account(signer).nodes.last().copied();
        operated.or_else(|| Some(self.ledger.node_by_key(signer)?.id)).unwrap_or_default()
    }

    /// Executes a block as a proposer does, leaving out what fails.
    fn execute(&self, block: &Block, txs: &[SignedTransaction]) -> (Execution, Vec<usize>) {
        let mut draft = self.ledger.begin(&BlockContext {
            height: self.ledger.height() + 1,
            time_ms: block.time_ms,
            signers: &block.signers,
            previous_tx_count: block.previous_tx_count,
            offenders: &block.offenders,
        });
        let mut taken = Vec::new();
        for (index, tx) in txs.iter().enumerate() {
            match draft.apply(tx) {
                Ok(()) => taken.push(index),
                Err(error) => assert!(error.code() != 0 && !error.to_string().is_empty()),
            }
        }
        assert_eq!(draft.tx_count() as usize, taken.len());
        (draft.finish(), taken)
    }

    /// Executes a block twice, and commits it unless it is to be dropped.
    fn take(&mut self, block: &Block, dropped: bool) {
        let before = Self::summary(&self.ledger);
        for tx in &block.txs {
            let _ = (tx.check_shape(), self.ledger.check(tx, None), self.ledger.check(tx, Some(tx.tx.nonce)));
        }
        let (first, taken) = self.execute(block, &block.txs);
        let good: Vec<SignedTransaction> = taken.iter().map(|index| block.txs[*index].clone()).collect();
        let (second, all) = self.execute(block, &good);
        assert_eq!(all.len(), good.len(), "what a proposer packs, others accept");
        assert_same(&first, &second);
        assert_eq!(Self::summary(&self.ledger), before, "a block that is only executed changes nothing");
        if dropped {
            return;
        }
        let mut nonces: BTreeMap<PublicKey, u64> = BTreeMap::new();
        for tx in &good {
            let nonce = nonces.entry(tx.tx.signer).or_insert_with(|| self.ledger.nonce_of(&tx.tx.signer));
            *nonce += 1;
            assert_eq!(tx.tx.nonce, *nonce, "nonces count");
        }
        let nodes: Vec<NodeView> = self.ledger.nodes(None, usize::MAX);
        let (log_size, root) = (self.ledger.log_size(), second.state_root);
        let validators = second.validators.clone();
        for (key, value) in self.ledger.commit(second) {
            match value {
                Some(value) => self.stored.insert(key, value),
                None => self.stored.remove(&key),
            };
        }
        assert_eq!((self.ledger.state_root(), self.ledger.validators()), (root, validators.as_slice()));
        assert_eq!(self.ledger.log_size(), log_size + good.len() as u64);
        for (signer, nonce) in nonces {
            assert_eq!(self.ledger.nonce_of(&signer), nonce);
        }
        self.check_bounds(&nodes);
    }

    fn summary(ledger: &Ledger) -> impl PartialEq + std::fmt::Debug + use<> {
        let ledger_now = (ledger.height(), ledger.time_ms(), ledger.state_root(), ledger.log_root());
        (
            ledger_now,
            ledger.nodes(None, usize::MAX),
            ledger.validators().to_vec(),
            ledger.expected_heartbeaters(),
        )
    }

    fn check_bounds(&self, before: &[NodeView]) {
        let ledger = &self.ledger;
        let validators = ledger.validators();
        assert!(!validators.is_empty() && validators.len() <= 128);
        assert!(validators.iter().all(|v| v.power > 0));
        assert!(validators.iter().map(|v| v.power).sum::<u64>() < MAX_TOTAL_POWER);
        let now = ledger.nodes(None, usize::MAX);
        for (old, new) in before.iter().zip(&now) {
            assert_eq!(
                (old.id, &old.name, old.operator, old.kind),
                (new.id, &new.name, new.operator, new.kind)
            );
            let stays = matches!(old.status, NodeStatus::Destroyed | NodeStatus::Banned);
            assert!(!stays || old.status == new.status, "{old:?} became {new:?}");
            assert!(old.txs_validated <= new.txs_validated && old.missed_heartbeats <= new.missed_heartbeats);
        }
        for node in &now {
            assert!(node.reputation_mp <= 100_000 && node.ledger_mp <= 100_000, "{node:?}");
            assert!((-2_500..=500).contains(&node.peer_centi), "{node:?}");
            assert!(node.gained_this_month_mp <= 5_000, "{node:?}");
            assert!(node.trust.score <= 10_000 && node.trust.confidence <= 100, "{node:?}");
            assert!(
                node.trust.weight <= 65_536 && node.trust.categories.iter().all(|c| *c <= 10_000),
                "{node:?}"
            );
            assert!(node.stars_mean_milli.is_none_or(|mean| (1_000..=5_000).contains(&mean)), "{node:?}");
            assert!(node.uptime.is_none_or(|uptime| uptime <= 1_000), "{node:?}");
        }
    }

    /// What was handed out for storing is the whole state, and every leaf of it has its proof.
    fn check_storage(&self, script: &mut Script<'_>) {
        if self.stored.is_empty() {
            return;
        }
        assert!(self.ledger.leaves().collect::<BTreeMap<_, _>>() == self.stored, "leaves were left out");
        let loaded =
            Ledger::load(&self.genesis, self.stored.clone().into_iter()).expect("a checkpoint loads");
        assert_eq!(Self::summary(&loaded), Self::summary(&self.ledger));
        assert_eq!(loaded.trust_at(None), self.ledger.trust_at(None));
        let chosen = script.below(self.stored.len().min(256));
        for (key, value) in self.stored.iter().skip(1).skip(chosen).take(3) {
            let proof = self.ledger.prove(key);
            assert!(tree::verify(&self.ledger.state_root(), key, Some(value), &proof));
        }
        for node in loaded.nodes(None, usize::MAX) {
            assert_eq!(loaded.why(node.index), self.ledger.why(node.index));
        }
    }
}

fn assert_same(a: &Execution, b: &Execution) {
    assert_eq!((a.height, a.time_ms, a.tx_count), (b.height, b.time_ms, b.tx_count));
    assert_eq!(a.events, b.events, "a refused transaction left traces");
    assert_eq!((a.state_root, a.results_hash), (b.state_root, b.results_hash));
    assert_eq!((a.log_root, a.log_size), (b.log_root, b.log_size));
    assert_eq!(a.validators, b.validators);
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let head = [3, 9, 9, 9, 9, 0, 0, 1, 0];
    let block =
        |time: u8, txs: &[&[u8]]| [&[time, 15, 4, 0, txs.len() as u8][..], &txs.concat(), &[0]].concat();
    let register = |signer: u8, kind: u8, keys: u8, name: u8| vec![0, signer, kind, keys, 0, name];
    let rate = |signer: u8, to: u8, stars: u8| vec![2, signer, to, stars, 2, 0];
    let own = |op: u8, signer: u8| vec![op, signer];
    let attest = |signer: u8| vec![13, signer, 4, 120, 0, 0, 100, 0, 0, 120, 64, 0, 7, 0, 64];
    let ratings = block(0, &[&rate(0, 1, 5), &rate(1, 2, 1), &rate(2, 3, 4)]);
    let people = block(0, &[&register(8, 0, 0, 1), &register(9, 2, 1, 2), &own(7, 9), &own(9, 9)]);
    let joins = [
        block(0, &[&register(10, 1, 2, 3)]),
        block(0, &[&[8, 0, 4], &[8, 1, 4], &[8, 2, 4]]),
        block(0, &[&own(9, 10), &own(10, 0), &own(11, 0), &[12, 1, 1]]),
    ]
    .concat();
    let uptime = [
        block(8, &[&attest(4), &attest(5), &attest(6), &attest(7)]),
        block(11, &[&rate(0, 2, 2)]),
        block(10, &[]),
    ]
    .concat();
    let crime = [&[0, 15, 4, 15, 1, 0][..], &[0]].concat();
    let with = |parts: &[&[u8]]| [&head, parts.concat().as_slice()].concat();
    vec![
        with(&[&ratings]),
        with(&[&people, &ratings]),
        with(&[&joins]),
        with(&[&ratings, &uptime]),
        with(&[&crime, &ratings, &crime]),
        with(&[&people, &joins, &ratings, &uptime, &crime]),
    ]
}
