//! Blocks that are proposed for the current height, from first sight to judgement.
//!
//! A proposal names its transactions by short ids; what the pool lacks is asked from whoever sent the
//! proposal. Bounded: few candidates, and each at most one block large.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_ledger::crypto::Hash32;
use trustnet_ledger::draft::Execution;
use trustnet_ledger::signed::MAX_TX_BYTES;

use crate::block::{Block, MAX_BLOCK_BYTES};
use crate::message::{ShortId, WireProposal};

/// The most blocks of one height that are held at a time.
const MAX_CANDIDATES: usize = 16;
/// The most blocks that the proposer of one round can bring in. Times the rounds that are looked at, less than
/// [`MAX_CANDIDATES`]: so none of these drives out another.
const MAX_BLOCKS_A_ROUND: usize = 2;
/// The most proposals that wait for one block.
const MAX_WAITING: usize = 16;

/// How far a candidate has come.
pub enum Stage {
    /// Transactions are missing.
    Partial(Partial),
    /// Complete; signatures are being checked.
    Checking(Arc<Block>),
    /// Judged valid.
    Valid {
        /// The block.
        block: Arc<Block>,
        /// Its encoding.
        bytes: Bytes,
        /// What it does.
        execution: Execution,
    },
    /// Judged invalid.
    Invalid(Option<Arc<Block>>),
}

/// A block whose transactions are being gathered.
pub struct Partial {
    header: crate::block::Header,
    last_commit: crate::block::Commit,
    evidence: Vec<crate::evidence::Evidence>,
    short_ids: Vec<ShortId>,
    txs: Vec<Option<Bytes>>,
    bytes: usize,
}

impl Partial {
    /// The block of a proposal, with what `find` knows of its transactions.
    pub fn new(proposal: &WireProposal, find: impl Fn(&ShortId) -> Option<Bytes>) -> Self {
        let txs: Vec<Option<Bytes>> = proposal.txs.iter().map(find).collect();
        Self {
            header: proposal.header.clone(),
            last_commit: proposal.last_commit.clone(),
            evidence: proposal.evidence.clone(),
            short_ids: proposal.txs.clone(),
            bytes: txs.iter().flatten().map(Bytes::len).sum(),
            txs,
        }
    }

    /// Positions of the transactions that are missing.
    pub fn missing(&self) -> Vec<u16> {
        (0u16..).zip(&self.txs).filter(|(_, tx)| tx.is_none()).map(|(position, _)| position).collect()
    }

    /// Takes transactions for the missing positions, in order; those that are not what was asked for are
    /// left out. Returns whether all that came was wanted.
    pub fn fill(&mut self, txs: Vec<Bytes>, id_of: impl Fn(&[u8]) -> ShortId) -> bool {
        let mut all_wanted = true;
        let mut positions = self.missing().into_iter();
        for tx in txs {
            let Some(position) = positions.next().map(usize::from) else { return false };
            let fits = tx.len() <= MAX_TX_BYTES && self.bytes + tx.len() <= MAX_BLOCK_BYTES;
            if fits && id_of(&tx) == self.short_ids[position] {
                self.bytes += tx.len();
                self.txs[position] = Some(tx);
            } else {
                all_wanted = false;
            }
        }
        all_wanted
    }

    /// Forgets all transactions: a short id stood for another transaction than the proposer meant.
    pub fn clear(&mut self) {
        self.txs.fill(None);
        self.bytes = 0;
    }

    /// The block, when nothing is missing.
    pub fn complete(&self) -> Option<Block> {
        let txs = self.txs.iter().cloned().collect::<Option<Vec<Bytes>>>()?;
        Some(Block {
            header: self.header.clone(),
            last_commit: self.last_commit.clone(),
            evidence: self.evidence.clone(),
            txs,
        })
    }
}

/// A block and the proposals that wait for it.
pub struct Candidate {
    /// How far it is.
    pub stage: Stage,
    /// Proposals of it that the core has not been told, and whether each came in time.
    pub waiting: Vec<(bft::SignedProposal, bool)>,
    /// Whether its transactions were fetched anew after a clash of short ids.
    pub refetched: bool,
    /// Order of first sight.
    age: u64,
}

/// The candidates of the current height.
#[derive(Default)]
pub struct Candidates {
    by_id: BTreeMap<Hash32, Candidate>,
    by_round: BTreeMap<u32, Vec<Hash32>>,
    seen: u64,
}

impl Candidates {
    /// Forgets all: the height is decided.
    pub fn clear(&mut self) {
        self.by_id.clear();
        self.by_round.clear();
    }

    /// A candidate.
    pub fn get(&self, id: &Hash32) -> Option<&Candidate> {
        self.by_id.get(id)
    }

    /// A candidate, to change.
    pub fn get_mut(&mut self, id: &Hash32) -> Option<&mut Candidate> {
        self.by_id.get_mut(id)
    }

    /// Whether a proposal of `round` may bring a block in: one of those that it has brought, or one of its first
    /// two. Two prove that the proposer is false; with more it could drive others' blocks out.
    pub fn admits(&mut self, round: u32, id: Hash32) -> bool {
        let ids = self.by_round.entry(round).or_default();
        if !ids.contains(&id) && ids.len() < MAX_BLOCKS_A_ROUND {
            ids.push(id);
        }
        ids.contains(&id)
    }

    /// Forgets which proposals came in rounds before `round`.
    pub fn forget_rounds_below(&mut self, round: u32) {
        self.by_round = self.by_round.split_off(&round);
    }

    /// Adds a candidate; when there are too many, the oldest that is not valid goes.
    pub fn insert(&mut self, id: Hash32, stage: Stage) -> &mut Candidate {
        if self.by_id.len() >= MAX_CANDIDATES {
            let oldest = self
                .by_id
                .iter()
                .filter(|(_, candidate)| !matches!(candidate.stage, Stage::Valid { .. }))
                .min_by_key(|(_, candidate)| candidate.age)
                .or_else(|| self.by_id.iter().min_by_key(|(_, candidate)| candidate.age))
                .map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.by_id.remove(&oldest);
            }
        }
        self.seen += 1;
        let age = self.seen;
        self.by_id.entry(id).or_insert(Candidate { stage, waiting: Vec::new(), refetched: false, age })
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Removes a candidate.
    pub fn remove(&mut self, id: &Hash32) -> Option<Candidate> {
        self.by_id.remove(id)
    }

    /// The block of a candidate that is complete.
    pub fn block(&self, id: &Hash32) -> Option<&Arc<Block>> {
        match &self.by_id.get(id)?.stage {
            Stage::Checking(block) | Stage::Valid { block, .. } | Stage::Invalid(Some(block)) => Some(block),
            Stage::Partial(_) | Stage::Invalid(None) => None,
        }
    }
}

impl Candidate {
    /// Remembers a proposal until the block is judged.
    pub fn wait(&mut self, proposal: bft::SignedProposal, timely: bool) {
        if self.waiting.len() < MAX_WAITING && !self.waiting.iter().any(|(other, _)| *other == proposal) {
            self.waiting.push((proposal, timely));
        }
    }
}
