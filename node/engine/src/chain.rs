//! The chain as this node has it: the ledger, its tip, and the validators that decide the next height.
//!
//! Builds blocks, judges blocks, and appends decided ones. Knows no rounds, votes or peers.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trustnet_bft as bft;
use trustnet_ledger::codec;
use trustnet_ledger::crypto::{Hash32, PublicKey, SignatureCheck, domain, hash};
use trustnet_ledger::draft::{BlockContext, Execution};
use trustnet_ledger::genesis::{Genesis, GenesisError};
use trustnet_ledger::ledger::{Ledger, LoadError};
use trustnet_ledger::signed::SignedTransaction;
use trustnet_ledger::tx_error::TxError;

use crate::block::{
    BLOCK_VERSION, Block, Commit, CommitError, Header, MAX_BLOCK_BYTES, MAX_BLOCK_EVIDENCE,
    MAX_BLOCK_TX_BYTES, MAX_BLOCK_TXS, MAX_VALIDATORS, certificate_checks, evidence_hash, txs_root,
};
use crate::evidence::{Evidence, MAX_EVIDENCE_AGE_BLOCKS};
use crate::io::Leaves;
use crate::mempool::{Mempool, Take};
use crate::verifier::Verifier;

/// Leaf under which the engine keeps the tip beside the ledger's own leaves. Ledger tags are below 0xff.
pub const TIP_LEAF: &[u8] = b"\xfftip";

/// The last committed block, without its transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// Its id; zero before height 1.
    pub id: Hash32,
    /// Its header; `None` before height 1.
    pub header: Option<Header>,
    /// The commit that decided it.
    pub commit: Commit,
    /// Who decided it: the commit's positions point into this.
    pub deciders: Vec<(PublicKey, u64)>,
}

impl Tip {
    /// Height of the tip.
    pub fn height(&self) -> u64 {
        self.header.as_ref().map_or(0, |header| header.height)
    }
}

/// Why a block was judged invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// A field of the header is not what it must be.
    #[error("the header's {0} is not what it must be")]
    Header(&'static str),
    /// The parts are not those that the header names, or more than a block may hold.
    #[error("the parts of the block do not match its header or are too large")]
    Parts,
    /// The commit of the previous block does not hold.
    #[error(transparent)]
    LastCommit(#[from] CommitError),
    /// Evidence does not prove what it claims, or is stale.
    #[error("a piece of evidence does not hold")]
    Evidence,
    /// A transaction cannot be decoded.
    #[error("transaction {position} is malformed: {error}")]
    Transaction {
        /// Position in the block.
        position: usize,
        /// Why.
        error: TxError,
    },
    /// A signature is wrong.
    #[error("transaction {0} has a wrong signature")]
    Signature(usize),
    /// Executing it gives another result than its header says. When more than two thirds decided it all
    /// the same, this node's state is wrong.
    #[error("executing the block gives another {0} than its header says")]
    Diverges(&'static str),
}

/// Why a chain could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The genesis does not hold.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The stored state cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The stored tip cannot be read.
    #[error(
        "the stored tip of the chain is damaged; stop the node, run `trustnet repair`: it makes the state again from the log, or lets the node fetch the chain from its peers"
    )]
    Tip,
}

/// The chain as this node has it.
pub struct Chain {
    genesis_hash: Hash32,
    chain_id: String,
    ledger: Ledger,
    tip: Tip,
    deciders: Vec<(PublicKey, u64)>,
    set: bft::ValidatorSet<MAX_VALIDATORS>,
    verified_commit: Option<Hash32>,
    verifier: Arc<dyn Verifier>,
}

/// A block and what executing it gives.
pub struct Built {
    /// The block.
    pub block: Block,
    /// What it does.
    pub execution: Execution,
    /// Transactions of the pool that no longer apply.
    pub refused: Vec<(Hash32, TxError)>,
}

fn validators_hash(validators: &[(PublicKey, u64)]) -> Hash32 {
    hash(domain::VALIDATORS, &[&codec::encode(&validators)])
}

fn keys_and_powers(ledger_validators: &[trustnet_ledger::draft::ValidatorEntry]) -> Vec<(PublicKey, u64)> {
    ledger_validators.iter().map(|v| (v.validator_key, v.power)).collect()
}

fn powers(validators: &[(PublicKey, u64)]) -> bft::ValidatorSet<MAX_VALIDATORS> {
    let powers: Vec<u64> = validators.iter().map(|(_, power)| *power).collect();
    bft::ValidatorSet::new(&powers)
        .expect("genesis and ledger keep the set between 1 and MAX_VALIDATORS members")
}

impl Chain {
    /// A chain at height 0. `verifier` judges signatures.
    ///
    /// # Errors
    /// [`ChainError::Genesis`] when the genesis does not hold.
    pub fn genesis(genesis: &Genesis, verifier: Arc<dyn Verifier>) -> Result<Self, ChainError> {
        let tip = Tip { id: Hash32::default(), header: None, commit: Commit::none(), deciders: Vec::new() };
        Ok(Self::new(genesis, Ledger::genesis(genesis)?, tip, verifier))
    }

    /// A chain as its last checkpoint left it; without leaves, at height 0.
    ///
    /// # Errors
    /// [`ChainError`] when the stored leaves cannot be read.
    pub fn load(
        genesis: &Genesis,
        leaves: Vec<(Vec<u8>, Vec<u8>)>,
        verifier: Arc<dyn Verifier>,
    ) -> Result<Self, ChainError> {
        if leaves.is_empty() {
            return Self::genesis(genesis, verifier);
        }
        let (tip, rest): (Vec<_>, Vec<_>) = leaves.into_iter().partition(|(key, _)| key == TIP_LEAF);
        let bytes = &tip.first().ok_or(ChainError::Tip)?.1;
        let tip: Tip = codec::decode(bytes, bytes.len()).map_err(|_| ChainError::Tip)?;
        let ledger = Ledger::load(genesis, rest.into_iter())?;
        if ledger.height() != tip.height() {
            return Err(ChainError::Tip);
        }
        Ok(Self::new(genesis, ledger, tip, verifier))
    }

    fn new(genesis: &Genesis, ledger: Ledger, tip: Tip, verifier: Arc<dyn Verifier>) -> Self {
        let deciders = keys_and_powers(ledger.validators());
        let set = powers(&deciders);
        let chain_id = genesis.chain_id.clone();
        Self {
            genesis_hash: genesis.hash(),
            chain_id,
            ledger,
            tip,
            deciders,
            set,
            verified_commit: None,
            verifier,
        }
    }

    /// The ledger at the tip.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The last committed block.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The chain's id.
    pub fn chain_id(&self) -> &str {
        &self.chain_id
    }

    /// The height to be decided next.
    pub fn next_height(&self) -> u64 {
        self.tip.height() + 1
    }

    /// Keys and powers of those who decide it, in the order of their positions.
    pub fn deciders(&self) -> &[(PublicKey, u64)] {
        &self.deciders
    }

    /// The same as the core's set.
    pub fn set(&self) -> &bft::ValidatorSet<MAX_VALIDATORS> {
        &self.set
    }

    /// Position of a validator key among the deciders.
    pub fn position(&self, key: &PublicKey) -> Option<u16> {
        self.deciders.iter().position(|(k, _)| k == key).and_then(|i| u16::try_from(i).ok())
    }

    /// Builds the next block from what waits.
    pub fn build(&self, pool: &Mempool, evidence: &[Evidence], proposer: PublicKey, unix_ms: u64) -> Built {
        let time_ms = unix_ms.max(self.ledger.time_ms() + 1);
        let evidence: Vec<Evidence> = evidence
            .iter()
            .filter(|evidence| self.evidence_holds(evidence))
            .take(MAX_BLOCK_EVIDENCE)
            .cloned()
            .collect();
        let signers = self.signers_of(&self.tip.commit);
        let offenders: Vec<PublicKey> = evidence.iter().map(Evidence::validator).collect();
        let mut draft = self.ledger.begin(&self.context(time_ms, &signers, &offenders));
        let mut txs: Vec<Bytes> = Vec::new();
        let mut refused = Vec::new();
        let mut bytes = 0;
        pool.fill(|tx| {
            if txs.len() >= MAX_BLOCK_TXS || bytes + tx.bytes.len() > MAX_BLOCK_TX_BYTES {
                return Take::Full;
            }
            match draft.apply(&tx.signed) {
                Ok(()) => {
                    bytes += tx.bytes.len();
                    txs.push(tx.bytes.clone());
                    Take::Taken
                }
                Err(error) => {
                    refused.push((tx.id(), error));
                    Take::Refused
                }
            }
        });
        let execution = draft.finish();
        let header = Header {
            version: BLOCK_VERSION,
            genesis: self.genesis_hash,
            height: self.next_height(),
            time_ms,
            last_block: self.tip.id,
            last_commit: self.tip.commit.hash(),
            txs_root: txs_root(&txs),
            tx_count: txs.len() as u32,
            evidence: evidence_hash(&evidence),
            validators: validators_hash(&self.deciders),
            next_validators: validators_hash(&keys_and_powers(&execution.validators)),
            state_root: execution.state_root,
            log_root: Hash32(execution.log_root),
            log_size: execution.log_size,
            results: execution.results_hash,
            proposer,
        };
        Built {
            block: Block { header, last_commit: self.tip.commit.clone(), evidence, txs },
            execution,
            refused,
        }
    }

    /// Judges a block for the next height whose transactions' signatures have been checked.
    ///
    /// # Errors
    /// [`InvalidBlock`] says what is wrong with it.
    pub fn validate(&mut self, block: &Block) -> Result<Execution, InvalidBlock> {
        let header = &block.header;
        let must =
            |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(InvalidBlock::Header(what)) };
        must(header.version == BLOCK_VERSION, "version")?;
        must(header.genesis == self.genesis_hash, "genesis")?;
        must(header.height == self.next_height(), "height")?;
        must(header.last_block == self.tip.id, "last block")?;
        must(header.time_ms > self.ledger.time_ms(), "time")?;
        must(header.validators == validators_hash(&self.deciders), "validators")?;
        must(self.position(&header.proposer).is_some(), "proposer")?;
        let too_large = block.txs.len() > MAX_BLOCK_TXS || codec::encode(block).len() > MAX_BLOCK_BYTES;
        if too_large || !block.matches_header() {
            return Err(InvalidBlock::Parts);
        }
        self.check_last_commit(&block.last_commit)?;
        if block.evidence.len() > MAX_BLOCK_EVIDENCE || !self.all_evidence_holds(&block.evidence) {
            return Err(InvalidBlock::Evidence);
        }
        let signers = self.signers_of(&block.last_commit);
        let offenders: Vec<PublicKey> = block.evidence.iter().map(Evidence::validator).collect();
        let mut draft = self.ledger.begin(&self.context(header.time_ms, &signers, &offenders));
        for (position, bytes) in block.txs.iter().enumerate() {
            SignedTransaction::decode(bytes)
                .and_then(|tx| draft.apply(&tx))
                .map_err(|error| InvalidBlock::Transaction { position, error })?;
        }
        let execution = draft.finish();
        let same =
            |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(InvalidBlock::Diverges(what)) };
        same(header.results == execution.results_hash, "result")?;
        same(header.log_root.0 == execution.log_root && header.log_size == execution.log_size, "log root")?;
        let next = validators_hash(&keys_and_powers(&execution.validators));
        same(header.next_validators == next, "set of validators")?;
        same(header.state_root == execution.state_root, "state root")?;
        Ok(execution)
    }

    /// Checks that `commit` decides the block `id` at the next height.
    ///
    /// # Errors
    /// [`CommitError`] says what is wrong with it.
    pub fn check_commit(&self, commit: &Commit, id: Hash32) -> Result<(), CommitError> {
        if commit.height != self.next_height() || commit.block != id {
            return Err(CommitError::OtherBlock(self.next_height()));
        }
        self.check_certificate(commit, &self.deciders, &self.set)
    }

    /// Appends a decided block. Returns the leaves that it changes, the tip's among them.
    pub fn append(&mut self, block: &Block, commit: &Commit, execution: Execution) -> Leaves {
        let mut leaves = self.ledger.commit(execution);
        self.verified_commit = Some(commit.hash());
        self.tip = Tip {
            id: commit.block,
            header: Some(block.header.clone()),
            commit: commit.clone(),
            deciders: std::mem::take(&mut self.deciders),
        };
        self.deciders = keys_and_powers(self.ledger.validators());
        if self.deciders != self.tip.deciders {
            self.set = powers(&self.deciders);
        }
        leaves.push((TIP_LEAF.to_vec(), Some(codec::encode(&self.tip))));
        leaves
    }

    fn context<'a>(
        &self,
        time_ms: u64,
        signers: &'a [PublicKey],
        offenders: &'a [PublicKey],
    ) -> BlockContext<'a> {
        BlockContext {
            height: self.next_height(),
            time_ms,
            signers,
            previous_tx_count: self.tip.header.as_ref().map_or(0, |header| header.tx_count),
            offenders,
        }
    }

    fn signers_of(&self, commit: &Commit) -> Vec<PublicKey> {
        commit
            .signatures
            .iter()
            .filter_map(|(position, _)| self.tip.deciders.get(usize::from(*position)).map(|(key, _)| *key))
            .collect()
    }

    fn check_last_commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        let hash = commit.hash();
        if self.verified_commit == Some(hash) {
            return Ok(());
        }
        if commit.height != self.tip.height() || commit.block != self.tip.id {
            return Err(CommitError::OtherBlock(self.tip.height()));
        }
        if commit.height > 0 {
            self.check_certificate(commit, &self.tip.deciders, &powers(&self.tip.deciders))?;
        } else if *commit != Commit::none() {
            return Err(CommitError::OtherBlock(0));
        }
        self.verified_commit = Some(hash);
        Ok(())
    }

    fn check_certificate(
        &self,
        commit: &Commit,
        deciders: &[(PublicKey, u64)],
        set: &bft::ValidatorSet<MAX_VALIDATORS>,
    ) -> Result<(), CommitError> {
        let certificate = commit.to_certificate().ok_or(CommitError::Power(commit.height))?;
        certificate.check_shape(set).map_err(|_| CommitError::Power(commit.height))?;
        let keys: Vec<PublicKey> = deciders.iter().map(|(key, _)| *key).collect();
        let checks: Vec<SignatureCheck> = certificate_checks(&self.chain_id, &certificate, &keys)
            .ok_or(CommitError::Power(commit.height))?;
        if self.verifier.all_valid(&checks) { Ok(()) } else { Err(CommitError::Signature(commit.height)) }
    }

    fn all_evidence_holds(&self, evidence: &[Evidence]) -> bool {
        let distinct: std::collections::BTreeSet<PublicKey> =
            evidence.iter().map(Evidence::validator).collect();
        distinct.len() == evidence.len() && evidence.iter().all(|evidence| self.evidence_holds(evidence))
    }

    /// Whether evidence proves a fault of a validator that the ledger can still punish.
    pub fn evidence_holds(&self, evidence: &Evidence) -> bool {
        let height = evidence.height();
        height <= self.next_height()
            && height + MAX_EVIDENCE_AGE_BLOCKS > self.tip.height()
            && self.ledger.can_be_punished(&evidence.validator())
            && evidence.proves(&self.chain_id, &*self.verifier)
    }
}
