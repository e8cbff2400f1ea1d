//! Transactions that wait for a block: bounded, in order of arrival, and in order of nonce per signer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use trustnet_ledger::crypto::{Hash32, PublicKey, domain, hash};
use trustnet_ledger::signed::SignedTransaction;
use trustnet_ledger::tx::Action;
use trustnet_ledger::tx_error::TxError;

use crate::message::ShortId;

/// The most transactions that wait.
pub const MAX_POOL_TXS: usize = 20_000;
/// The most bytes of transactions that wait.
pub const MAX_POOL_BYTES: usize = 16 * 1024 * 1024;
/// How far ahead of its account a nonce may be, and so how many transactions of one signer wait.
pub const MAX_NONCE_AHEAD: u64 = 64;

/// A transaction whose predecessors do not come is forgotten after this long.
pub const MAX_PARKED_MS: u64 = 60_000;
/// Any other is forgotten after this long: no leader could use it.
pub const MAX_WAITING_MS: u64 = 600_000;

/// Why the pool did not take a transaction that is otherwise fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Too much waits already.
    #[error("the node's pool of waiting transactions is full; try again in a second")]
    Full,
    /// This very transaction waits already.
    #[error("this transaction is already waiting")]
    Known,
    /// Another transaction of the signer waits with this nonce.
    #[error("another transaction of this signer with nonce {0} is already waiting; use the next nonce")]
    NonceTaken(u64),
    /// The nonce is too far ahead.
    #[error("nonce {nonce} is too far ahead: the next one is {next}, and at most {MAX_NONCE_AHEAD} may wait")]
    TooFarAhead {
        /// The transaction's nonce.
        nonce: u64,
        /// The account's next nonce.
        next: u64,
    },
}

/// A decoded transaction with the very bytes that came, shared with whoever sends or packs them.
#[derive(Clone, Debug)]
pub struct PoolTx {
    /// The transaction.
    pub signed: SignedTransaction,
    /// Its bytes.
    pub bytes: Bytes,
}

impl PoolTx {
    /// Decodes a transaction.
    ///
    /// # Errors
    /// [`TxError`] when the bytes are not a transaction.
    pub fn decode(bytes: &Bytes) -> Result<Self, TxError> {
        Ok(Self { signed: SignedTransaction::decode(bytes)?, bytes: bytes.clone() })
    }

    /// Its id.
    pub fn id(&self) -> Hash32 {
        self.signed.id()
    }

    /// Its signer.
    pub fn signer(&self) -> PublicKey {
        self.signed.tx.signer
    }
}

/// Id of a transaction's bytes.
pub fn tx_id(bytes: &[u8]) -> Hash32 {
    hash(domain::TX_ID, &[bytes])
}

/// A waiting transaction.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The transaction.
    pub tx: Arc<PoolTx>,
    /// When it came, monotonic milliseconds.
    pub since_ms: u64,
}

#[derive(Default)]
struct AccountQueue {
    /// The nonce that the ledger expects next.
    next: u64,
    by_nonce: BTreeMap<u64, u64>,
}

impl AccountQueue {
    fn is_ready(&self) -> bool {
        self.by_nonce.contains_key(&self.next)
    }
}

/// The pool.
#[derive(Default)]
pub struct Mempool {
    by_arrival: BTreeMap<u64, Waiting>,
    by_id: HashMap<Hash32, u64>,
    by_short_id: HashMap<ShortId, u64>,
    accounts: BTreeMap<PublicKey, AccountQueue>,
    ready_regular: BTreeSet<PublicKey>,
    ready_attesters: BTreeSet<PublicKey>,
    arrivals: u64,
    bytes: usize,
}

/// First eight bytes of a transaction's id.
pub fn short_id(id: &Hash32) -> ShortId {
    let mut short = [0; 8];
    short.copy_from_slice(&id.0[..8]);
    short
}

fn is_attestation(tx: &PoolTx) -> bool {
    matches!(tx.signed.tx.action, Action::Attest { .. })
}

impl Mempool {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.by_arrival.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.by_arrival.is_empty()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that wait, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (Hash32, &Bytes)> {
        self.by_arrival.values().map(|waiting| (waiting.tx.id(), &waiting.tx.bytes))
    }

    /// Whether a transaction waits.
    pub fn contains(&self, id: &Hash32) -> bool {
        self.by_id.contains_key(id)
    }

    /// The waiting transaction with this short id.
    pub fn by_short_id(&self, short: &ShortId) -> Option<&Arc<PoolTx>> {
        self.by_short_id.get(short).and_then(|arrival| self.by_arrival.get(arrival)).map(|w| &w.tx)
    }

    /// Whether a transaction other than an attestation could go into the next block.
    pub fn has_ready_regular(&self) -> bool {
        !self.ready_regular.is_empty()
    }

    /// How many signers have an attestation that could go into the next block.
    pub fn ready_attesters(&self) -> usize {
        self.ready_attesters.len()
    }

    /// Whether an attestation of `signer` waits.
    pub fn has_attestation_of(&self, signer: &PublicKey) -> bool {
        self.accounts.get(signer).is_some_and(|queue| {
            queue.by_nonce.values().any(|arrival| is_attestation(&self.by_arrival[arrival].tx))
        })
    }

    /// The nonce that a new transaction of `signer` should use: after all that wait without a gap.
    pub fn next_nonce(&self, signer: &PublicKey, ledger_nonce: u64) -> u64 {
        let mut next = ledger_nonce + 1;
        if let Some(queue) = self.accounts.get(signer) {
            while queue.by_nonce.contains_key(&next) {
                next += 1;
            }
        }
        next
    }

    /// Whether the pool would take `tx` when its signer's account stands at `ledger_nonce`.
    ///
    /// # Errors
    /// [`PoolError`] when it would not.
    pub fn check(&self, tx: &PoolTx, ledger_nonce: u64) -> Result<(), PoolError> {
        if self.contains(&tx.id()) {
            return Err(PoolError::Known);
        }
        let (nonce, next) = (tx.signed.tx.nonce, ledger_nonce + 1);
        if nonce >= next.saturating_add(MAX_NONCE_AHEAD) {
            return Err(PoolError::TooFarAhead { nonce, next });
        }
        if self.accounts.get(&tx.signer()).is_some_and(|queue| queue.by_nonce.contains_key(&nonce)) {
            return Err(PoolError::NonceTaken(nonce));
        }
        if self.len() >= MAX_POOL_TXS || self.bytes + tx.bytes.len() > MAX_POOL_BYTES {
            return Err(PoolError::Full);
        }
        Ok(())
    }

    /// Takes a transaction whose signature and state checks have passed.
    ///
    /// # Errors
    /// [`PoolError`] as in [`Mempool::check`].
    pub fn insert(&mut self, tx: Arc<PoolTx>, ledger_nonce: u64, now_ms: u64) -> Result<(), PoolError> {
        self.check(&tx, ledger_nonce)?;
        let arrival = self.arrivals;
        self.arrivals += 1;
        let id = tx.id();
        self.by_id.insert(id, arrival);
        self.by_short_id.insert(short_id(&id), arrival);
        self.bytes += tx.bytes.len();
        let signer = tx.signer();
        let queue = self.accounts.entry(signer).or_default();
        queue.next = ledger_nonce + 1;
        queue.by_nonce.insert(tx.signed.tx.nonce, arrival);
        self.by_arrival.insert(arrival, Waiting { tx, since_ms: now_ms });
        self.refresh(&signer);
        Ok(())
    }

    /// Transactions as a block may take them: by arrival, each signer's in order of nonce, without gaps.
    /// `take` says whether a transaction was taken; after a refusal the signer's later ones are left out.
    pub fn fill(&self, mut take: impl FnMut(&Arc<PoolTx>) -> Take) {
        let mut next: HashMap<PublicKey, u64> = HashMap::new();
        for (&arrival, waiting) in &self.by_arrival {
            let signer = waiting.tx.signer();
            let Some(queue) = self.accounts.get(&signer) else { continue };
            let next = next.entry(signer).or_insert(queue.next);
            if waiting.tx.signed.tx.nonce != *next {
                continue;
            }
            // Later nonces that arrived earlier were passed over; they follow now.
            let mut nonce = *next;
            while let Some(&position) = queue.by_nonce.get(&nonce) {
                if position > arrival {
                    break;
                }
                match take(&self.by_arrival[&position].tx) {
                    Take::Taken => nonce += 1,
                    Take::Refused => {
                        nonce = u64::MAX;
                        break;
                    }
                    Take::Full => return,
                }
            }
            *next = nonce;
        }
    }

    /// Forgets one transaction.
    pub fn remove(&mut self, id: &Hash32) {
        if let Some(arrival) = self.by_id.get(id).copied() {
            self.remove_arrival(arrival);
        }
    }

    /// After a block: `signer`'s account stands at `ledger_nonce`; what that makes stale is forgotten.
    pub fn advance(&mut self, signer: &PublicKey, ledger_nonce: u64) {
        let Some(queue) = self.accounts.get_mut(signer) else { return };
        queue.next = ledger_nonce + 1;
        let stale: Vec<u64> = queue.by_nonce.range(..=ledger_nonce).map(|(_, arrival)| *arrival).collect();
        for arrival in stale {
            self.remove_arrival(arrival);
        }
        self.refresh(signer);
    }

    /// Forgets what has waited too long. A gap in the nonces that nobody fills must not hold a place.
    pub fn expire(&mut self, now_ms: u64) {
        let stale: Vec<u64> = self
            .by_arrival
            .iter()
            .filter(|(_, waiting)| {
                let parked = self.accounts.get(&waiting.tx.signer()).is_some_and(|queue| !queue.is_ready());
                let limit_ms = if parked { MAX_PARKED_MS } else { MAX_WAITING_MS };
                now_ms.saturating_sub(waiting.since_ms) > limit_ms
            })
            .map(|(arrival, _)| *arrival)
            .collect();
        for arrival in stale {
            self.remove_arrival(arrival);
        }
    }

    /// Transactions that have waited since before `before_ms`, oldest first, at most `count`.
    pub fn waiting_since(&self, before_ms: u64, count: usize) -> Vec<Arc<PoolTx>> {
        self.by_arrival
            .values()
            .take_while(|waiting| waiting.since_ms < before_ms)
            .take(count)
            .map(|waiting| Arc::clone(&waiting.tx))
            .collect()
    }

    fn remove_arrival(&mut self, arrival: u64) {
        let Some(waiting) = self.by_arrival.remove(&arrival) else { return };
        let id = waiting.tx.id();
        self.by_id.remove(&id);
        if self.by_short_id.get(&short_id(&id)) == Some(&arrival) {
            self.by_short_id.remove(&short_id(&id));
        }
        self.bytes -= waiting.tx.bytes.len();
        let signer = waiting.tx.signer();
        if let Some(queue) = self.accounts.get_mut(&signer) {
            queue.by_nonce.remove(&waiting.tx.signed.tx.nonce);
            if queue.by_nonce.is_empty() {
                self.accounts.remove(&signer);
            }
        }
        self.refresh(&signer);
    }

    fn refresh(&mut self, signer: &PublicKey) {
        self.ready_regular.remove(signer);
        self.ready_attesters.remove(signer);
        let Some(queue) = self.accounts.get(signer).filter(|queue| queue.is_ready()) else { return };
        let first = &self.by_arrival[&queue.by_nonce[&queue.next]].tx;
        let ready = if is_attestation(first) { &mut self.ready_attesters } else { &mut self.ready_regular };
        ready.insert(*signer);
    }
}

/// What a block builder did with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// It is in the block.
    Taken,
    /// It does not apply.
    Refused,
    /// There is no more room.
    Full,
}
