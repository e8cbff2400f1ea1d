//! Blocks that are proposed for the current height, from first sight to judgement.
//!
//! A proposal names its transactions by short ids; what the pool lacks is asked from whoever sent the
//! proposal. Bounded: few candidates, and each at most one block large.
//!
//! The header is signed, the list of short ids is not: who passes a proposal on can put wrong ones in. And a short id
//! can stand for two transactions. So what was gathered by short ids may be wrong without anybody's proven fault. Then
//! all of it is dropped, and from there on only an answer counts that has the whole block and fits the header.

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
    Invalid(Arc<Block>),
}

/// A block whose transactions are being gathered.
pub struct Partial {
    header: crate::block::Header,
    last_commit: crate::block::Commit,
    evidence: Vec<crate::evidence::Evidence>,
    short_ids: Vec<ShortId>,
    txs: Vec<Option<Bytes>>,
    bytes: usize,
    whole: bool,
}

/// What came of transactions that a peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nothing in them is amiss.
    Fine,
    /// They cannot be told from wrong ones: ask for the whole block.
    AskForAll,
    /// All of a block, but not of this one: the sender made them up.
    Wrong,
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
            whole: false,
        }
    }

    /// Positions of the transactions that are missing.
    pub fn missing(&self) -> Vec<u16> {
        (0u16..).zip(&self.txs).filter(|(_, tx)| tx.is_none()).map(|(position, _)| position).collect()
    }

    /// Takes transactions that a peer sent. They come in the order of the block, but answer an earlier question: others
    /// may have filled some of the places meanwhile.
    pub fn fill(&mut self, txs: Vec<Bytes>, id_of: impl Fn(&[u8]) -> ShortId) -> Taken {
        if self.whole {
            return self.fill_whole(txs);
        }
        let mut next = 0;
        for tx in txs {
            let id = id_of(&tx);
            let Some(offset) = self.short_ids[next..].iter().position(|short| *short == id) else {
                return self.demand_whole();
            };
            let place = &mut self.txs[next + offset];
            next += offset + 1;
            if place.is_none() {
                if tx.len() > MAX_TX_BYTES || self.bytes + tx.len() > MAX_BLOCK_BYTES {
                    return self.demand_whole();
                }
                self.bytes += tx.len();
                *place = Some(tx);
            }
        }
        Taken::Fine
    }

    /// Takes a whole block's transactions, or none.
    fn fill_whole(&mut self, txs: Vec<Bytes>) -> Taken {
        if txs.len() != self.txs.len() {
            // An answer to an earlier question.
            return Taken::Fine;
        }
        let bytes = txs.iter().map(Bytes::len).sum::<usize>();
        if bytes > MAX_BLOCK_BYTES || !self.block(txs.clone()).matches_header() {
            return Taken::Wrong;
        }
        self.bytes = bytes;
        self.txs = txs.into_iter().map(Some).collect();
        Taken::Fine
    }

    /// Drops what was gathered; from now on only a whole block counts.
    pub fn demand_whole(&mut self) -> Taken {
        self.txs.fill(None);
        self.bytes = 0;
        self.whole = true;
        Taken::AskForAll
    }

    fn block(&self, txs: Vec<Bytes>) -> Block {
        Block {
            header: self.header.clone(),
            last_commit: self.last_commit.clone(),
            evidence: self.evidence.clone(),
            txs,
        }
    }

    /// The block, when nothing is missing.
    pub fn complete(&self) -> Option<Block> {
        Some(self.block(self.txs.iter().cloned().collect::<Option<Vec<Bytes>>>()?))
    }
}

/// A block and the proposals that wait for it.
pub struct Candidate {
    /// How far it is.
    pub stage: Stage,
    /// Proposals of it that the core has not been told, and whether each came in time.
    pub waiting: Vec<(bft::SignedProposal, bool)>,
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

    /// Adds a candidate; when there are too many, the oldest that is not valid goes, else the oldest that is not
    /// among `keep`.
    pub fn insert(&mut self, id: Hash32, stage: Stage, keep: [Option<Hash32>; 2]) -> &mut Candidate {
        if self.by_id.len() >= MAX_CANDIDATES {
            let others = || self.by_id.iter().filter(|(id, _)| !keep.contains(&Some(**id)));
            let oldest = others()
                .filter(|(_, candidate)| !matches!(candidate.stage, Stage::Valid { .. }))
                .min_by_key(|(_, candidate)| candidate.age)
                .or_else(|| others().min_by_key(|(_, candidate)| candidate.age))
                .map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.by_id.remove(&oldest);
            }
        }
        self.seen += 1;
        let age = self.seen;
        self.by_id.entry(id).or_insert(Candidate { stage, waiting: Vec::new(), age })
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
            Stage::Checking(block) | Stage::Valid { block, .. } | Stage::Invalid(block) => Some(block),
            Stage::Partial(_) => None,
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

#[cfg(test)]
#[path = "candidates_tests.rs"]
mod tests;
