//! A chain of blocks made by hand, for tests of the ledger.

use std::collections::BTreeMap;

use trustnet_ledger::crypto::{PublicKey, SecretKey};
use trustnet_ledger::{
    Action, BlockContext, Category, CategoryWeights, Execution, Genesis, GenesisValidator, KeyProof, KeyRole,
    Ledger, LedgerEvent, NodeId, NodeKind, NodeView, Observation, Params, SignedTransaction, Transaction,
    TxError,
};

/// The chain's id.
pub const CHAIN_ID: &str = "test-1";
/// The genesis begins at midnight, on the first day of a month: 2026-06-01 00:00 UTC.
pub const START_MS: u64 = 1_780_272_000_000;
pub const HOUR_MS: u64 = 3_600_000;
pub const DAY_MS: u64 = 24 * HOUR_MS;

/// The key of a role of a node: operator 0, node 1, validator 2.
pub fn key(node: &str, role: u8) -> SecretKey {
    let seed = trustnet_ledger::crypto::hash("test key", &[&[role], node.as_bytes()]);
    SecretKey::from_seed(&seed.0)
}

pub fn validator_name(n: usize) -> String {
    format!("val-{n}")
}

pub fn genesis(validators: usize) -> Genesis {
    let validator = |n: usize| {
        let name = validator_name(n);
        GenesisValidator {
            owner: String::new(),
            operator: key(&name, 0).public(),
            node_key: key(&name, 1).public(),
            validator_key: key(&name, 2).public(),
            power: 10,
            name,
        }
    };
    Genesis {
        version: 1,
        chain_id: CHAIN_ID.into(),
        time_ms: START_MS,
        validators: (0..validators).map(validator).collect(),
        roots: Vec::new(),
        category_weights: CategoryWeights::default(),
        params: Params::default(),
    }
}

/// What the next block brings besides transactions.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    pub signers: Vec<PublicKey>,
    pub previous_tx_count: u32,
    pub offenders: Vec<PublicKey>,
}

/// A ledger with its genesis, its nonces and every leaf that it handed out.
#[derive(Clone)]
pub struct Chain {
    pub genesis: Genesis,
    pub ledger: Ledger,
    pub stored: BTreeMap<Vec<u8>, Vec<u8>>,
    pub events: Vec<LedgerEvent>,
}

impl Chain {
    pub fn new(validators: usize) -> Self {
        Self::from_genesis(genesis(validators))
    }

    pub fn from_genesis(genesis: Genesis) -> Self {
        let ledger = Ledger::genesis(&genesis).unwrap();
        Self { genesis, ledger, stored: BTreeMap::new(), events: Vec::new() }
    }

    #[allow(clippy::unused_self)]
    pub fn tx(&self, signer: &SecretKey, nonce: u64, time_ms: u64, action: Action) -> SignedTransaction {
        let tx = Transaction { signer: signer.public(), nonce, time_ms, action };
        SignedTransaction::sign(tx, signer, CHAIN_ID)
    }

    /// A transaction with the signer's next nonce, dated at the last block.
    pub fn next_tx(&self, signer: &SecretKey, action: Action) -> SignedTransaction {
        self.tx(signer, self.ledger.nonce_of(&signer.public()) + 1, self.ledger.time_ms(), action)
    }

    pub fn execute(
        &self,
        time_ms: u64,
        extra: &Extra,
        txs: &[SignedTransaction],
    ) -> Result<Execution, TxError> {
        let mut draft = self.ledger.begin(&BlockContext {
            height: self.ledger.height() + 1,
            time_ms,
            signers: &extra.signers,
            previous_tx_count: extra.previous_tx_count,
            offenders: &extra.offenders,
        });
        for tx in txs {
            draft.apply(tx)?;
        }
        Ok(draft.finish())
    }

    pub fn commit(&mut self, execution: Execution) {
        self.events.clone_from(&execution.events);
        let root = execution.state_root;
        for (key, value) in self.ledger.commit(execution) {
            match value {
                Some(value) => self.stored.insert(key, value),
                None => self.stored.remove(&key),
            };
        }
        assert_eq!(self.ledger.state_root(), root);
    }

    /// A block at a time.
    pub fn block_at(
        &mut self,
        time_ms: u64,
        extra: &Extra,
        txs: &[SignedTransaction],
    ) -> Result<(), TxError> {
        let execution = self.execute(time_ms, extra, txs)?;
        self.commit(execution);
        Ok(())
    }

    /// A block one second after the last.
    pub fn block(&mut self, txs: &[SignedTransaction]) -> Result<(), TxError> {
        self.block_at(self.ledger.time_ms() + 1_000, &Extra::default(), txs)
    }

    /// One transaction in its own block, with the signer's next nonce.
    pub fn run(&mut self, signer: &SecretKey, action: Action) -> Result<(), TxError> {
        let tx = self.next_tx(signer, action);
        self.block(&[tx])
    }

    pub fn registration(&self, name: &str, kind: NodeKind, nonce: u64, time_ms: u64) -> SignedTransaction {
        let operator = key(name, 0);
        let proof = |role: KeyRole| {
            let secret = key(name, role as u8);
            KeyProof::sign(&secret, role, CHAIN_ID, &operator.public(), nonce, time_ms)
        };
        let action = Action::Register {
            name: name.into(),
            owner: format!("owner of {name}"),
            kind,
            node_key: (kind != NodeKind::User).then(|| proof(KeyRole::Node)),
            validator_key: (kind == NodeKind::Validator).then(|| proof(KeyRole::Validator)),
        };
        self.tx(&operator, nonce, time_ms, action)
    }

    pub fn register(&mut self, name: &str, kind: NodeKind) -> Result<(), TxError> {
        let nonce = self.ledger.nonce_of(&key(name, 0).public()) + 1;
        let tx = self.registration(name, kind, nonce, self.ledger.time_ms());
        self.block(&[tx])
    }

    pub fn id(&self, name: &str) -> NodeId {
        self.node(name).id
    }

    pub fn node(&self, name: &str) -> NodeView {
        self.ledger.node_by_name(name).unwrap_or_else(|| panic!("no node {name}"))
    }

    pub fn rating(&self, from: &str, to: &str, stars: u8, category: Category) -> Action {
        Action::Rate { from: self.id(from), to: self.id(to), stars, category, reason: String::new() }
    }

    pub fn rate(&mut self, from: &str, to: &str, stars: u8) -> Result<(), TxError> {
        let action = self.rating(from, to, stars, Category::Honesty);
        self.run(&key(from, 0), action)
    }

    pub fn admit(&mut self, node: &str, validator: &str) -> Result<(), TxError> {
        let action = Action::Admit { node: self.id(node), validator: self.id(validator) };
        self.run(&key(validator, 0), action)
    }

    /// An attestation by a validator's voting key.
    pub fn attestation(
        &self,
        validator: &str,
        epoch: u64,
        observations: Vec<Observation>,
    ) -> SignedTransaction {
        let action = Action::Attest { validator: self.id(validator), epoch, observations };
        let signer = key(validator, 2);
        self.tx(&signer, self.ledger.nonce_of(&signer.public()) + 1, (epoch + 1) * HOUR_MS, action)
    }

    /// The epochs that follow the last block's, each attested alike by all genesis validators, with
    /// one block per epoch.
    pub fn attest_epochs(&mut self, count: usize, observations: &[Observation]) {
        for _ in 0..count {
            let epoch = self.ledger.epoch_of(self.ledger.time_ms());
            let txs: Vec<SignedTransaction> = (0..self.genesis.validators.len())
                .map(|n| self.attestation(&validator_name(n), epoch, observations.to_vec()))
                .collect();
            self.block_at((epoch + 1) * HOUR_MS + 60_000, &Extra::default(), &txs).unwrap();
        }
    }

    /// Whether the leaves handed out so far load into this very ledger.
    pub fn assert_reloads(&self) {
        let loaded = Ledger::load(&self.genesis, self.stored.clone().into_iter()).unwrap();
        assert_same(&loaded, &self.ledger);
    }
}

/// Two ledgers say the same.
pub fn assert_same(a: &Ledger, b: &Ledger) {
    assert_eq!(a.state_root(), b.state_root());
    assert_eq!((a.height(), a.time_ms()), (b.height(), b.time_ms()));
    assert_eq!((a.log_root(), a.log_size()), (b.log_root(), b.log_size()));
    assert_eq!(a.validators(), b.validators());
    assert_eq!(a.nodes(None, usize::MAX), b.nodes(None, usize::MAX));
    assert_eq!(a.expected_heartbeaters(), b.expected_heartbeaters());
    assert_eq!(a.trust_at(None), b.trust_at(None));
    assert!(a.leaves().eq(b.leaves()));
    for node in a.nodes(None, usize::MAX) {
        assert_eq!(a.why(node.index), b.why(node.index));
        assert_eq!(a.account(&node.operator), b.account(&node.operator));
        for direction in [trustnet_ledger::Direction::In, trustnet_ledger::Direction::Out] {
            let page = |l: &Ledger| l.ratings_of(node.index, direction, None, 5_000, true);
            assert_eq!(page(a), page(b));
        }
    }
}

pub fn saw(node: u32, heartbeats: u8) -> Observation {
    Observation { node, heartbeats, invalid: 0, abuse: 0 }
}
