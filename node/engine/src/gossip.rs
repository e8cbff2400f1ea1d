//! Transactions on their way into the pool, and from it to the next leaders.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use trustnet_ledger::crypto::{Hash32, PublicKey, hash};
use trustnet_ledger::signed::SignedTransaction;
use trustnet_ledger::tx_error::TxError;

use crate::engine::Engine;
use crate::io::{Output, SubmitError, TimerId};
use crate::jobs::{Job, Origin};
use crate::mempool::{PoolError, PoolTx, tx_id};
use crate::message::{MAX_GOSSIP_BYTES, MAX_GOSSIP_TXS, Message};
use crate::uptime::Misbehaviour;

/// A transaction's time may be this far ahead of this node's clock; it waits until a block's time is there.
pub const MAX_TX_AHEAD_MS: u64 = 10_000;
/// Leaders of this many coming heights get a transaction at once.
const LEADERS_AHEAD: u64 = 3;
/// And this many other validators, so that no leader alone can hold it back.
const OTHERS: usize = 2;

impl Engine {
    pub(crate) fn on_submit(&mut self, token: u64, bytes: &Bytes) {
        if let Err(error) = self.take_in(Origin::Client(token), bytes) {
            self.out.push(Output::Submitted { token, result: Err(error) });
        }
    }

    pub(crate) fn on_gossip(&mut self, peer: PublicKey, txs: Vec<Bytes>) {
        for bytes in txs {
            match self.take_in(Origin::Peer(peer), &bytes) {
                Err(SubmitError::Refused(error)) if is_never_valid(&error) => {
                    return self.punish(
                        peer,
                        Misbehaviour::InvalidTransaction,
                        "sent a malformed transaction",
                    );
                }
                // What fails against the state may have been right when the peer sent it.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// All checks that need no signature, then on to the next batch of signature checks.
    fn take_in(&mut self, origin: Origin, bytes: &Bytes) -> Result<(), SubmitError> {
        let id = tx_id(bytes);
        if self.pool.contains(&id) {
            return Err(PoolError::Known.into());
        }
        let tx = PoolTx::decode(bytes)?;
        tx.signed.check_shape()?;
        if tx.signed.tx.time_ms > self.now.unix_ms.saturating_add(MAX_TX_AHEAD_MS) {
            return Err(
                TxError::FutureDated { time_ms: tx.signed.tx.time_ms, block_ms: self.now.unix_ms }.into()
            );
        }
        self.check_state(&tx)?;
        let tx = Arc::new(tx);
        if self.verified.contains(&id) {
            return self.admit(origin, tx);
        }
        if self.jobs.gather(origin, tx) { Ok(()) } else { Err(PoolError::Full.into()) }
    }

    fn check_state(&self, tx: &PoolTx) -> Result<(), SubmitError> {
        let nonce = self.chain.ledger().nonce_of(&tx.signer());
        self.pool.check(tx, nonce)?;
        // What comes before it in the signer's own order may wait here, or be on its way.
        self.chain.ledger().check(&tx.signed, tx.signed.tx.nonce.checked_sub(1))?;
        Ok(())
    }

    /// Puts a transaction whose signature holds into the pool.
    fn admit(&mut self, origin: Origin, tx: Arc<PoolTx>) -> Result<(), SubmitError> {
        self.check_state(&tx)?;
        let nonce = self.chain.ledger().nonce_of(&tx.signer());
        let (id, bytes) = (tx.id(), tx.bytes.clone());
        self.pool.insert(tx, nonce, self.now.mono_ms)?;
        // The node that first sees a transaction passes it on; validators do not echo what peers send.
        let passes_on = !matches!(origin, Origin::Peer(_)) || self.position().is_none();
        if passes_on {
            self.fresh_txs.push(bytes);
        }
        if let Origin::Client(token) = origin {
            self.out.push(Output::Submitted { token, result: Ok(id) });
        }
        Ok(())
    }

    /// Takes in a transaction of this node itself (its attestation).
    pub(crate) fn submit_own(&mut self, tx: SignedTransaction) {
        self.verified.insert(tx.id());
        let bytes = Bytes::copy_from_slice(tx.bytes());
        if let Err(error) = self.admit(Origin::Own, Arc::new(PoolTx { signed: tx, bytes })) {
            tracing::warn!(%error, "this node's own transaction was not taken");
        }
    }

    /// Sends what was gathered: one job of signature checks, and fresh transactions to the leaders.
    pub(crate) fn flush_gathered(&mut self) {
        let gathered = self.jobs.take_gathered();
        if !gathered.is_empty() {
            let checks =
                gathered.iter().map(|(_, tx)| tx.signed.signature_check(self.chain.chain_id())).collect();
            let job = self.jobs.start(Job::Pool(gathered));
            self.out.push(Output::Verify { job, checks });
        }
        let fresh = std::mem::take(&mut self.fresh_txs);
        if !fresh.is_empty() {
            let targets = self.gossip_targets();
            self.send_txs(&fresh, &targets);
        }
    }

    pub(crate) fn on_verified(&mut self, job: u64, results: &[bool]) {
        match self.jobs.finish(job) {
            Some(Job::Pool(txs)) => {
                for ((origin, tx), valid) in txs.into_iter().zip(results) {
                    self.on_pool_verified(origin, tx, *valid);
                }
            }
            Some(Job::Candidate { block, tx_ids }) => self.on_candidate_verified(block, tx_ids, results),
            None => {}
        }
    }

    fn on_pool_verified(&mut self, origin: Origin, tx: Arc<PoolTx>, valid: bool) {
        let result = if valid {
            self.verified.insert(tx.id());
            self.admit(origin, tx)
        } else {
            Err(TxError::BadSignature.into())
        };
        match (origin, result) {
            (Origin::Client(token), Err(error)) => {
                self.out.push(Output::Submitted { token, result: Err(error) });
            }
            (Origin::Peer(peer), Err(SubmitError::Refused(TxError::BadSignature))) => {
                self.punish(
                    peer,
                    Misbehaviour::InvalidTransaction,
                    "sent a transaction with a wrong signature",
                );
            }
            _ => {}
        }
    }

    /// Transactions that have waited long are offered to all validators: a leader may not have got them.
    pub(crate) fn on_regossip_timer(&mut self) {
        let regossip_ms = self.config.timing.regossip_ms;
        self.pool.expire(self.now.mono_ms);
        if !self.pool.is_empty() {
            let before_ms = self.now.mono_ms.saturating_sub(regossip_ms);
            let waiting = self.pool.waiting_since(before_ms, MAX_GOSSIP_TXS);
            let txs: Vec<Bytes> = waiting.iter().map(|tx| tx.bytes.clone()).collect();
            let targets = self.connected_validators();
            self.send_txs(&txs, &targets);
        }
        self.set_timer(TimerId::Regossip, regossip_ms);
    }

    fn send_txs(&mut self, txs: &[Bytes], targets: &[PublicKey]) {
        let mut batch: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        let mut batches = Vec::new();
        for tx in txs {
            if batch.len() >= MAX_GOSSIP_TXS || bytes + tx.len() > MAX_GOSSIP_BYTES {
                batches.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes += tx.len();
            batch.push(tx.clone());
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        for batch in batches {
            for target in targets {
                self.send(*target, Message::Txs(batch.clone()));
            }
        }
    }

    fn connected_validators(&self) -> Vec<PublicKey> {
        let own = self.config.node_key.public();
        let validators = self.chain.ledger().validators().iter().map(|v| v.node_key);
        let connected: Vec<PublicKey> =
            validators.filter(|key| *key != own && self.peers.contains_key(key)).collect();
        if connected.is_empty() { self.peers.keys().copied().collect() } else { connected }
    }

    /// The next leaders and a few others.
    fn gossip_targets(&self) -> Vec<PublicKey> {
        let connected = self.connected_validators();
        if connected.len() <= LEADERS_AHEAD as usize + OTHERS {
            return connected;
        }
        let validators = self.chain.ledger().validators();
        let height = self.chain.next_height();
        let leaders: BTreeSet<PublicKey> = (0..LEADERS_AHEAD)
            .filter_map(|ahead| {
                let index = self.chain.set().proposer(height + ahead, self.core.round());
                let (key, _) = self.chain.deciders().get(usize::from(index))?;
                validators.iter().find(|v| v.validator_key == *key).map(|v| v.node_key)
            })
            .collect();
        let mut others: Vec<PublicKey> =
            connected.iter().filter(|key| !leaders.contains(key)).copied().collect();
        let lot = |key: &PublicKey| -> Hash32 {
            hash("gossip lot", &[&self.config.seed, &height.to_be_bytes(), &key.0])
        };
        others.sort_by_cached_key(lot);
        others.truncate(OTHERS);
        connected.into_iter().filter(|key| leaders.contains(key) || others.contains(key)).collect()
    }
}

/// Whether no node can ever have taken such a transaction, so that whoever passes it on is at fault.
fn is_never_valid(error: &TxError) -> bool {
    matches!(error, TxError::Malformed(_) | TxError::TooLarge { .. } | TxError::BadSignature)
}
