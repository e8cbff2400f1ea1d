//! Proposals of others: from the compact form to a judged block.

use std::sync::Arc;

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_ledger::crypto::{Hash32, PublicKey, SignatureCheck};
use trustnet_ledger::signed::SignedTransaction;

use crate::block::{Block, Header, proposal_sign_bytes};
use crate::candidates::{Partial, Stage, Taken};
use crate::consensus::Feed;
use crate::engine::Engine;
use crate::io::Output;
use crate::jobs::Job;
use crate::mempool::{short_id, tx_id};
use crate::message::{Message, WireProposal};
use crate::uptime::Misbehaviour;

/// Rounds ahead of ours from which a proposal is looked at.
const MAX_ROUNDS_AHEAD: u32 = 6;
/// A proposer's clock may be this far ahead of ours.
pub const MAX_CLOCK_AHEAD_MS: u64 = 5_000;
/// A fresh proposal may be this old by our clock in round 0; each further round allows as much again.
pub const MAX_PROPOSAL_AGE_MS: u64 = 10_000;

impl Engine {
    pub(crate) fn on_proposal(&mut self, peer: PublicKey, wire: &WireProposal, bytes: &Bytes) {
        if !self.is_current(peer, wire.header.height, bytes) {
            return;
        }
        let round = wire.round;
        if round < self.core.round() || round > self.core.round().saturating_add(MAX_ROUNDS_AHEAD) {
            return;
        }
        if self.core.proposer(round) != wire.proposer {
            return self.punish(peer, Misbehaviour::NetworkAbuse, "sent a proposal out of turn");
        }
        let id = wire.header.id();
        let proposal = bft::Proposal {
            height: wire.header.height,
            round,
            value: bft::ValueId(id.0),
            pol_round: wire.pol_round,
            proposer: wire.proposer,
        };
        let signed = bft::SignedProposal { proposal, signature: bft::Signature(wire.signature.0) };
        let known = self.core.proposal(round) == Some(signed);
        if !known {
            let key = self.chain.deciders().get(usize::from(wire.proposer)).map(|(key, _)| *key);
            let message = proposal_sign_bytes(self.chain.chain_id(), &proposal);
            if !key.is_some_and(|key| self.config.verifier.verify(&key, &message, &wire.signature)) {
                return self.punish(
                    peer,
                    Misbehaviour::NetworkAbuse,
                    "sent a proposal with a wrong signature",
                );
            }
        }
        if !wire.fits_header() {
            return self.punish(
                peer,
                Misbehaviour::NetworkAbuse,
                "sent a proposal whose parts do not fit its header",
            );
        }
        self.candidates.forget_rounds_below(self.core.round());
        if !self.candidates.admits(round, id) {
            return;
        }
        self.begin_height_if_able();
        if let Some(polka) = &wire.polka
            && Some(polka.round) == wire.pol_round
            && polka.height == proposal.height
            && !polka.precommit
        {
            self.take_certificate(peer, polka);
        }
        let timely = wire.pol_round.is_some() || self.is_timely(&wire.header, round);
        self.take_candidate(peer, id, wire);
        if let Some(candidate) = self.candidates.get_mut(&id)
            && !known
        {
            candidate.wait(signed, timely);
        }
        self.settle(id);
    }

    /// Proposer-based time: a fresh block's time must be near this node's clock. A block that is proposed
    /// again after two thirds prevoted for it was judged then, and is not judged again.
    fn is_timely(&self, header: &Header, round: u32) -> bool {
        let age_ms = MAX_PROPOSAL_AGE_MS.saturating_mul(u64::from(round) + 1);
        let follows_last_block = header.time_ms == self.chain.ledger().time_ms() + 1;
        header.time_ms <= self.now.unix_ms.saturating_add(MAX_CLOCK_AHEAD_MS)
            && (follows_last_block || header.time_ms.saturating_add(age_ms) >= self.now.unix_ms)
    }

    /// Makes sure the proposal's block is a candidate, and asks the peer for what is missing of it.
    fn take_candidate(&mut self, peer: PublicKey, id: Hash32, wire: &WireProposal) {
        if self.candidates.get(&id).is_none() {
            let pool = &self.pool;
            let partial = Partial::new(wire, |short| pool.by_short_id(short).map(|tx| tx.bytes.clone()));
            self.candidates.insert(id, Stage::Partial(partial), self.blocks_to_keep());
        }
        if let Some(candidate) = self.candidates.get(&id)
            && let Stage::Partial(partial) = &candidate.stage
        {
            let positions = partial.missing();
            self.ask_for_txs(peer, id, positions);
        }
        self.complete(peer, id);
    }

    fn ask_for_txs(&mut self, peer: PublicKey, block: Hash32, positions: Vec<u16>) {
        if !positions.is_empty() {
            self.send(peer, Message::GetBlockTxs { block, positions });
        }
    }

    pub(crate) fn on_get_block_txs(&mut self, peer: PublicKey, block: Hash32, positions: &[u16]) {
        let Some(held) = self.candidates.block(&block) else { return };
        let txs: Option<Vec<Bytes>> =
            positions.iter().map(|position| held.txs.get(usize::from(*position)).cloned()).collect();
        match txs {
            Some(txs) => self.send(peer, Message::BlockTxs { block, txs }),
            None => {
                self.punish(peer, Misbehaviour::NetworkAbuse, "asked for transactions that a block has not");
            }
        }
    }

    pub(crate) fn on_block_txs(&mut self, peer: PublicKey, block: Hash32, txs: Vec<Bytes>) {
        let Some(candidate) = self.candidates.get_mut(&block) else { return };
        let Stage::Partial(partial) = &mut candidate.stage else { return };
        match partial.fill(txs, |tx| short_id(&tx_id(tx))) {
            Taken::Fine => {}
            Taken::AskForAll => {
                let positions = partial.missing();
                self.ask_for_txs(peer, block, positions);
            }
            Taken::Wrong => {
                self.punish(peer, Misbehaviour::NetworkAbuse, "sent other transactions than the block's");
            }
        }
        self.complete(peer, block);
        self.settle(block);
    }

    /// When a candidate's transactions are all there, has their signatures checked.
    fn complete(&mut self, peer: PublicKey, id: Hash32) {
        let Some(candidate) = self.candidates.get_mut(&id) else { return };
        let Stage::Partial(partial) = &mut candidate.stage else { return };
        let Some(block) = partial.complete() else { return };
        if !block.matches_header() {
            partial.demand_whole();
            let positions = partial.missing();
            return self.ask_for_txs(peer, id, positions);
        }
        let block = Arc::new(block);
        let (mut checks, mut tx_ids): (Vec<SignatureCheck>, Vec<Hash32>) = (Vec::new(), Vec::new());
        for bytes in &block.txs {
            let id_of_tx = tx_id(bytes);
            if self.verified.contains(&id_of_tx) {
                continue;
            }
            let Ok(tx) = SignedTransaction::decode(bytes) else {
                candidate.stage = Stage::Invalid(block);
                return;
            };
            checks.push(tx.signature_check(self.chain.chain_id()));
            tx_ids.push(id_of_tx);
        }
        candidate.stage = Stage::Checking(block);
        if checks.is_empty() {
            self.judge(id);
        } else {
            let job = self.jobs.start(Job::Candidate { block: id, tx_ids });
            self.out.push(Output::Verify { job, checks });
        }
    }

    pub(crate) fn on_candidate_verified(&mut self, id: Hash32, tx_ids: Vec<Hash32>, results: &[bool]) {
        let all_valid = results.len() == tx_ids.len() && results.iter().all(|valid| *valid);
        if all_valid {
            for tx_id in tx_ids {
                self.verified.insert(tx_id);
            }
            self.judge(id);
        } else if let Some(candidate) = self.candidates.get_mut(&id)
            && let Stage::Checking(block) = &candidate.stage
        {
            candidate.stage = Stage::Invalid(Arc::clone(block));
        }
        self.settle(id);
    }

    /// Executes a complete candidate whose signatures hold.
    fn judge(&mut self, id: Hash32) {
        let Some(block) = self.candidates.get(&id).and_then(|candidate| match &candidate.stage {
            Stage::Checking(block) => Some(Arc::clone(block)),
            _ => None,
        }) else {
            return;
        };
        let stage = match self.chain.validate(&block) {
            Ok(execution) => Stage::Valid { bytes: Block::encode(&block), block, execution },
            Err(error) => {
                tracing::warn!(height = block.header.height, block = %id, %error, "an invalid block was proposed");
                Stage::Invalid(block)
            }
        };
        if let Some(candidate) = self.candidates.get_mut(&id) {
            candidate.stage = stage;
        }
    }

    /// Tells the core of the proposals whose block has been judged.
    fn settle(&mut self, id: Hash32) {
        let Some(candidate) = self.candidates.get_mut(&id) else { return };
        let valid = match candidate.stage {
            Stage::Valid { .. } => true,
            Stage::Invalid(_) => false,
            Stage::Partial(_) | Stage::Checking(_) => return,
        };
        let waiting = std::mem::take(&mut candidate.waiting);
        let fault = (!valid).then(|| waiting.first().map(|(signed, _)| signed.proposal.proposer)).flatten();
        for (signed, timely) in waiting {
            self.drive(Feed::Proposal(signed, valid && timely));
        }
        if let Some(proposer) = fault {
            self.note_invalid_proposal(proposer);
        }
    }

    /// A proposer that signs an invalid block answers for it as for an invalid transaction.
    fn note_invalid_proposal(&mut self, proposer: u16) {
        let key = self.chain.deciders().get(usize::from(proposer)).map(|(key, _)| *key);
        let validators = self.chain.ledger().validators();
        let node = key.and_then(|key| validators.iter().find(|v| v.validator_key == key)).map(|v| v.node_key);
        if let Some(node) = node {
            self.uptime.misbehaved(node, Misbehaviour::InvalidTransaction, self.now.unix_ms);
        }
    }
}
