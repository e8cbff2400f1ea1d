//! The ledger: a state, its tree, and the way from one block to the next.

use std::collections::BTreeMap;

use crate::chain::Chain;
use crate::codec::CodecError;
use crate::crypto::Hash32;
use crate::draft;
pub use crate::draft::{BlockContext, Draft, Execution};
use crate::genesis::{Genesis, GenesisError};
use crate::ids::NodeIndex;
use crate::leaves::{self, Leaf};
pub use crate::node::ValidatorEntry;
use crate::node::{Node, NodeKind, NodeStatus, StatusReason};
use crate::params::Params;
use crate::rating::{Rating, RatingKey};
use crate::rules::{self, When};
use crate::signed::SignedTransaction;
use crate::state::State;
use crate::tree::{Change, Proof, Tree};
use crate::trust::epoch as trust_epoch;
use crate::tx_error::TxError;
use crate::work::Work;

/// The state of a chain after its last block.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) chain: Chain,
    pub(crate) state: State,
    tree: Tree,
    validators: Vec<ValidatorEntry>,
    /// Nothing of this ledger has been handed out for storing yet.
    unstored: bool,
}

/// Why a checkpoint cannot be loaded. The way out is always the same: move the data directory away
/// and fetch the chain from peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The genesis is refused.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A leaf cannot be read.
    #[error("the stored state is damaged: leaf {key} cannot be read ({reason}); fetch the chain anew")]
    Leaf {
        /// Its key, hex.
        key: String,
        /// What is wrong.
        reason: CodecError,
    },
    /// Leaves are missing or contradict each other.
    #[error("the stored state is damaged: {0}; fetch the chain anew")]
    Inconsistent(&'static str),
    /// The leaves are another chain's.
    #[error(
        "the stored state is of the chain with genesis {found}, not {expected}; use the right data directory"
    )]
    OtherChain {
        /// Genesis of the leaves.
        found: Hash32,
        /// Genesis asked for.
        expected: Hash32,
    },
    /// The leaves do not add up to the root they were stored with.
    #[error("the stored state is damaged: its root is {computed}, stored was {stored}; fetch the chain anew")]
    Root {
        /// Root of the leaves.
        computed: Hash32,
        /// Root stored with them.
        stored: Hash32,
    },
}

impl Ledger {
    /// The ledger at height 0: the genesis validators are ACTIVE, trust is computed.
    ///
    /// # Errors
    /// [`GenesisError`] when the genesis breaks a rule.
    pub fn genesis(genesis: &Genesis) -> Result<Self, GenesisError> {
        genesis.validate()?;
        let chain = Chain::new(genesis);
        let empty = State::default();
        let mut work = Work::over(&chain, &empty);
        work.meta.genesis = chain.genesis;
        work.meta.time_ms = genesis.time_ms;
        // The epoch in which the chain begins is attested in the next; all before it never were.
        work.meta.settled_epochs = work.epoch();
        work.meta.settled_days = crate::calendar::day_of(genesis.time_ms);
        for validator in &genesis.validators {
            work.add_node(Node {
                id: genesis.validator_id(validator),
                name: validator.name.clone(),
                owner: validator.owner.clone(),
                kind: NodeKind::Validator,
                status: NodeStatus::Active,
                status_reason: StatusReason::Genesis,
                status_since_ms: genesis.time_ms,
                operator: validator.operator,
                node_key: Some(validator.node_key),
                validator_key: Some(validator.validator_key),
                registered_ms: genesis.time_ms,
                registration_nonce: 0,
                power: validator.power,
            });
        }
        trust_epoch::recompute(&mut work);
        let Execution { changes, tree, validators, .. } = draft::seal(work, &Tree::default(), 0);
        let mut state = State::default();
        state.absorb(changes);
        Ok(Self { chain, state, tree, validators, unstored: true })
    }

    /// The ledger of a checkpoint: the leaves that [`Ledger::commit`] returned from the first block on,
    /// merged, without the deleted ones, in any order.
    ///
    /// # Errors
    /// [`LoadError`] when the leaves are not a complete, undamaged state of this chain.
    pub fn load(
        genesis: &Genesis,
        leaves: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, LoadError> {
        genesis.validate()?;
        let chain = Chain::new(genesis);
        let mut loading = Loading::default();
        let mut changes: Vec<Change> = Vec::new();
        for (key, value) in leaves {
            let leaf = leaves::parse(&key, &value)
                .map_err(|reason| LoadError::Leaf { key: hex::encode(&key), reason })?;
            loading.put(leaf)?;
            if !leaves::is_beside_the_tree(&key) {
                changes.push((key, Some(value)));
            }
        }
        let tree = Tree::default().with(&changes);
        drop(changes);
        let (state, stored) = loading.finish()?;
        if state.meta.genesis != chain.genesis {
            return Err(LoadError::OtherChain { found: state.meta.genesis, expected: chain.genesis });
        }
        let computed = tree.root();
        if stored != computed {
            return Err(LoadError::Root { computed, stored });
        }
        let validators = draft::validators_of(&Work::over(&chain, &state));
        Ok(Self { chain, state, tree, validators, unstored: false })
    }

    /// All leaves, with the seal: a whole checkpoint.
    pub fn leaves(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
        std::iter::once(leaves::seal(&self.state_root())).chain(self.state.leaves())
    }

    /// Height of the last block; 0 at the genesis.
    pub fn height(&self) -> u64 {
        self.state.meta.height
    }

    /// Time of the last block, Unix milliseconds.
    pub fn time_ms(&self) -> u64 {
        self.state.meta.time_ms
    }

    /// Root of the state tree.
    pub fn state_root(&self) -> Hash32 {
        self.tree.root()
    }

    /// RFC 6962 root of the log of all transactions.
    pub fn log_root(&self) -> [u8; 32] {
        self.state.log.root()
    }

    /// Transactions in the log.
    pub fn log_size(&self) -> u64 {
        self.state.log.size()
    }

    /// The chain's id.
    pub fn chain_id(&self) -> &str {
        &self.chain.id
    }

    /// Hash of the genesis.
    pub fn genesis_hash(&self) -> Hash32 {
        self.chain.genesis
    }

    /// The numbers that the genesis fixed.
    pub fn params(&self) -> &Params {
        &self.chain.params
    }

    /// The validators that decide the next height: power descending, then by voting key. They are the
    /// ACTIVE ones; when the rules have banned the last of them, the last set stays in office.
    pub fn validators(&self) -> &[ValidatorEntry] {
        &self.validators
    }

    /// Whether a transaction could run some time soon, for the mempool. Its nonce must not be used yet;
    /// gaps are the mempool's business. With `pending_nonce` (the highest nonce that waits, or the
    /// transaction's own) a transaction that is not its signer's next passes also if earlier ones may
    /// still make it possible. Times are not looked at, signatures neither.
    ///
    /// # Errors
    /// Why it cannot run.
    pub fn check(&self, tx: &SignedTransaction, pending_nonce: Option<u64>) -> Result<(), TxError> {
        let work = Work::over(&self.chain, &self.state);
        match rules::judge(&work, tx, When::Waiting) {
            Ok(_) => Ok(()),
            Err(error) => {
                let is_next = tx.tx.nonce == self.nonce_of(&tx.tx.signer).saturating_add(1);
                if pending_nonce.is_some() && !is_next && error.may_heal() { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Begins a block: applies the rules at its start. The ledger stays as it is.
    pub fn begin(&self, ctx: &BlockContext<'_>) -> Draft<'_> {
        Draft::begin(Work::over(&self.chain, &self.state), &self.tree, ctx)
    }

    /// Takes an executed block over and returns the leaves to store: those that changed, `None` for
    /// those that are gone. The first block after the genesis returns all leaves.
    ///
    /// # Panics
    /// When the execution was begun over another state than the present one: a mistake in the
    /// calling program, after which nothing it says about the chain would be true.
    pub fn commit(&mut self, execution: Execution) -> Vec<Change> {
        assert_eq!(
            execution.parent_root,
            self.state_root(),
            "a block was executed over another state than the one it is committed to"
        );
        let Execution { changes, tree, validators, mut leaves, state_root, .. } = execution;
        self.state.absorb(changes);
        self.tree = tree;
        self.validators = validators;
        if std::mem::take(&mut self.unstored) {
            return self.leaves().map(|(key, value)| (key, Some(value))).collect();
        }
        let (key, value) = leaves::seal(&state_root);
        leaves.push((key, Some(value)));
        leaves
    }

    /// The value of a leaf of the state tree.
    pub fn leaf(&self, key: &[u8]) -> Option<&[u8]> {
        self.tree.get(key)
    }

    /// The proof of a leaf's value, or of its absence, under [`Ledger::state_root`].
    pub fn prove(&self, key: &[u8]) -> Proof {
        self.tree.prove(key)
    }
}

/// A state while its leaves come in, in any order.
#[derive(Default)]
struct Loading {
    state: State,
    seal: Option<Hash32>,
    meta: bool,
    nodes: BTreeMap<NodeIndex, Node>,
    ratings: BTreeMap<RatingKey, BTreeMap<u32, Rating>>,
}

impl Loading {
    fn put(&mut self, leaf: Leaf) -> Result<(), LoadError> {
        let state = &mut self.state;
        let twice = match leaf {
            Leaf::Seal(root) => self.seal.replace(root).is_some(),
            Leaf::Meta(meta) => {
                state.meta = meta;
                std::mem::replace(&mut self.meta, true)
            }
            Leaf::Log(log) => {
                state.log = log;
                false
            }
            Leaf::Account(key, account) => state.accounts.insert(key, account).is_some(),
            Leaf::Node(index, node) => self.nodes.insert(index, *node).is_some(),
            Leaf::Reputation(index, reputation) => state.reputations.insert(index, reputation).is_some(),
            Leaf::Trust(index, trust) => state.trust.insert(index, trust).is_some(),
            Leaf::Rating(key, count, rating) => {
                self.ratings.entry(key).or_default().insert(count, rating).is_some()
            }
            Leaf::Attestation(key, seen) => state.attestations.insert(key, seen).is_some(),
            Leaf::Admission(node, consents) => state.admissions.insert(node, consents).is_some(),
            Leaf::Members(members) => {
                state.members = members;
                false
            }
        };
        if twice { Err(LoadError::Inconsistent("a leaf came twice")) } else { Ok(()) }
    }

    /// Builds the indexes and checks that all parts fit; returns the root that was stored.
    fn finish(self) -> Result<(State, Hash32), LoadError> {
        let Self { mut state, seal, meta, nodes, ratings } = self;
        let stored = seal.filter(|_| meta).ok_or(LoadError::Inconsistent("it has no height and root"))?;
        let count = state.meta.nodes;
        let complete = nodes.len() == count as usize && nodes.keys().copied().eq(0..count);
        if !complete || !state.reputations.keys().eq(nodes.keys()) {
            return Err(LoadError::Inconsistent("nodes are missing"));
        }
        for (index, node) in nodes {
            state.put_node(index, node);
        }
        for (key, list) in ratings {
            if key.from >= count || key.to >= count || !list.keys().copied().eq(0..list.len() as u32) {
                return Err(LoadError::Inconsistent("ratings are missing"));
            }
            state.put_ratings(key, list.into_values().collect());
        }
        if state.trust.keys().any(|index| *index >= count) || state.members.is_empty() {
            return Err(LoadError::Inconsistent("trust or validators are missing"));
        }
        state.rank();
        Ok((state, stored))
    }
}
