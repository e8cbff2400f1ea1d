//! Signature checks that run on another core, and what waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use trustnet_ledger::crypto::{Hash32, PublicKey};

use crate::mempool::PoolTx;

/// The most transactions whose signatures wait to be checked; more are refused or dropped.
pub const MAX_UNVERIFIED_TXS: usize = 4_096;

/// Where a transaction came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of this node, who waits for an answer under this token.
    Client(u64),
    /// A peer.
    Peer(PublicKey),
    /// This node itself.
    Own,
}

/// What a finished check is for.
pub enum Job {
    /// Transactions for the pool.
    Pool(Vec<(Origin, Arc<PoolTx>)>),
    /// A proposed block: the ids of the transactions that were checked.
    Candidate {
        /// The block.
        block: Hash32,
        /// The transactions, in the order of the checks.
        tx_ids: Vec<Hash32>,
    },
}

/// Jobs under way, and transactions gathered for the next one.
#[derive(Default)]
pub struct Jobs {
    running: BTreeMap<u64, Job>,
    next: u64,
    gathered: Vec<(Origin, Arc<PoolTx>)>,
    unverified: usize,
}

impl Jobs {
    /// Starts a job; its name comes back with the results.
    pub fn start(&mut self, job: Job) -> u64 {
        let name = self.next;
        self.next += 1;
        self.running.insert(name, job);
        name
    }

    /// Takes a finished job.
    pub fn finish(&mut self, name: u64) -> Option<Job> {
        let job = self.running.remove(&name)?;
        if let Job::Pool(txs) = &job {
            self.unverified -= txs.len();
        }
        Some(job)
    }

    /// Adds a transaction to the next batch. Returns false when too many wait.
    pub fn gather(&mut self, origin: Origin, tx: Arc<PoolTx>) -> bool {
        if self.unverified >= MAX_UNVERIFIED_TXS {
            return false;
        }
        self.unverified += 1;
        self.gathered.push((origin, tx));
        true
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Takes the gathered batch.
    pub fn take_gathered(&mut self) -> Vec<(Origin, Arc<PoolTx>)> {
        std::mem::take(&mut self.gathered)
    }
}
