//! Drives the consensus core: feeds it, signs what it wants signed, and finishes heights.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_ledger::crypto::{Hash32, Signature};
use trustnet_ledger::draft::Execution;
use trustnet_ledger::signed::SignedTransaction;
use trustnet_ledger::tx_error::TxError;

use crate::block::{Block, Commit, CommittedBlock, MAX_VALIDATORS};
use crate::candidates::Stage;
use crate::engine::Engine;
use crate::evidence::Evidence;
use crate::io::{Final, Output, Persist, TimerId, consensus_timer};
use crate::mempool::{short_id, tx_id};
use crate::message::{Message, Status, WireCertificate, WireProposal, WireVote};
use crate::signer::{Lock, Refusal, Signer};

/// A block with more transactions than this counts as load, and the next one keeps the pace.
const PACE_FROM_TXS: u32 = 16;

/// Something to tell the core. Owned, so that it can wait in a queue.
pub(crate) enum Feed {
    Start,
    Proposal(bft::SignedProposal, bool),
    Vote(bft::SignedVote),
    Certificate(Box<bft::Certificate<MAX_VALIDATORS>>),
    Value(u32, bft::ValueId),
    Timeout(bft::Timeout),
}

impl Engine {
    /// Moves on as far as possible without further input.
    pub(crate) fn advance(&mut self) {
        while !self.halted {
            if let Some((_, value)) = self.core.decided() {
                if !self.finish_decided(Hash32(value.0)) {
                    self.consider_sync();
                    return;
                }
            } else if !self.started
                && self.wants_block()
                && !self.sync.is_behind()
                && !self.silence.is_listening()
            {
                self.begin_height();
            } else if !(self.started && self.value_wanted.is_some() && self.try_propose()) {
                return;
            }
        }
    }

    /// Whether there is something to agree on. An idle network agrees on nothing and writes nothing.
    pub(crate) fn wants_block(&self) -> bool {
        self.pool.has_ready_regular() || !self.evidence.is_empty() || self.attestations_are_due()
    }

    /// Whether a restored signer record says that this height was under way.
    pub(crate) fn must_resume(&self) -> bool {
        let record = self.signer.as_ref().and_then(Signer::record);
        record.is_some_and(|record| record.height == self.chain.next_height())
    }

    /// Prepares the core for the chain's next height.
    pub(crate) fn enter_height(&mut self) {
        let (height, me) = (self.chain.next_height(), self.position());
        let set = self.chain.set().clone();
        match self.signer.as_ref().and_then(Signer::record) {
            Some(record) if record.height == height => {
                *self.core = bft::Core::restore(set, me, record.memory());
            }
            _ if self.core.height() + 1 == height => self.core.next_height(set, me),
            _ => *self.core = bft::Core::new(height, set, me),
        }
        self.core.silence(self.silence.is_silent());
        self.started = false;
        self.begin_after_listening = false;
        self.value_wanted = None;
        self.stored_candidate = None;
        self.candidates.clear();
        self.height_since_unix_ms = self.now.unix_ms;
    }

    /// Begins round 0 (or the restored round) of the current height.
    pub(crate) fn begin_height(&mut self) {
        if self.started {
            return;
        }
        if self.silence.is_listening() {
            self.begin_after_listening = true;
            return;
        }
        self.started = true;
        self.height_since_unix_ms = self.now.unix_ms;
        self.set_timer(TimerId::Repair, self.config.timing.repair_ms);
        let height = self.core.height();
        let record = self.signer.as_ref().and_then(Signer::record).filter(|record| record.height == height);
        if let Some(polka) = record.and_then(crate::signer::SignRecord::polka_certificate) {
            self.drive(Feed::Certificate(Box::new(polka)));
        }
        self.drive(Feed::Start);
    }

    /// Feeds the core, and all that follows from it, then lets signatures out.
    pub(crate) fn drive(&mut self, first: Feed) {
        let mut queue = VecDeque::from([first]);
        let mut sends = Vec::new();
        let mut actions = std::mem::take(&mut self.actions);
        while let Some(feed) = queue.pop_front() {
            let event = match &feed {
                Feed::Start => bft::Event::Start,
                Feed::Proposal(proposal, valid) => {
                    bft::Event::Proposal { proposal: *proposal, valid: *valid }
                }
                Feed::Vote(vote) => bft::Event::Vote(*vote),
                Feed::Certificate(certificate) => bft::Event::Certificate(certificate),
                Feed::Value(round, value) => bft::Event::Value { round: *round, value: *value },
                Feed::Timeout(timeout) => bft::Event::Timeout(*timeout),
            };
            self.core.step(event, &mut actions);
            for action in actions.iter() {
                self.act(action, &mut queue, &mut sends);
            }
        }
        self.actions = actions;
        self.release(sends);
    }

    fn act(&mut self, action: &bft::Action, queue: &mut VecDeque<Feed>, sends: &mut Vec<Message>) {
        match action {
            bft::Action::GetValue { round, .. } => self.value_wanted = Some(*round),
            // A proposal of before a crash whose block went with it. Those who hold the block show it to us again;
            // until then it must not count as one that we can vouch for, or we would lock what nobody can show.
            bft::Action::Propose(proposal) if self.candidates.block(&Hash32(proposal.value.0)).is_none() => {}
            bft::Action::Propose(proposal) => {
                let (memory, polka) = self.lock();
                let Some(signer) = &mut self.signer else { return };
                match signer.sign_proposal(proposal, &Lock { memory: &memory, polka: polka.as_deref() }) {
                    Ok(signature) => {
                        let signed = bft::SignedProposal {
                            proposal: *proposal,
                            signature: bft::Signature(signature.0),
                        };
                        sends.extend(
                            self.wire_proposal(&signed).map(|wire| Message::Proposal(Box::new(wire))),
                        );
                        queue.push_back(Feed::Proposal(signed, true));
                    }
                    Err(refusal) => self.on_refusal(refusal),
                }
            }
            bft::Action::Vote(vote) => {
                let (memory, polka) = self.lock();
                let Some(signer) = &mut self.signer else { return };
                match signer.sign_vote(vote, &Lock { memory: &memory, polka: polka.as_deref() }) {
                    Ok(signature) => {
                        let signed = bft::SignedVote { vote: *vote, signature: bft::Signature(signature.0) };
                        sends.push(Message::Vote(wire_vote(&signed)));
                        queue.push_back(Feed::Vote(signed));
                    }
                    Err(refusal) => self.on_refusal(refusal),
                }
            }
            bft::Action::Schedule(timeout) => {
                let after_ms = self.timeout_ms(timeout.step, timeout.round);
                self.set_timer(consensus_timer(*timeout), after_ms);
            }
            bft::Action::NewRound { round } => {
                self.value_wanted = None;
                self.stats.highest_round = self.stats.highest_round.max(*round);
                if *round > 0 {
                    tracing::debug!(height = self.core.height(), round, "next round");
                }
            }
            bft::Action::Decide { .. } => {}
            bft::Action::Equivocation { first, second } => {
                if let Some((key, _)) = self.chain.deciders().get(usize::from(first.vote.validator)) {
                    self.add_evidence(Evidence::from_votes(*key, first, second));
                }
            }
            bft::Action::ProposalEquivocation { first, second } => {
                if let Some((key, _)) = self.chain.deciders().get(usize::from(first.proposal.proposer)) {
                    self.add_evidence(Evidence::from_proposals(*key, first, second));
                }
            }
        }
    }

    /// What the core is locked on, and the proof of its valid value.
    fn lock(&self) -> (bft::Memory, Option<Box<bft::Certificate<MAX_VALIDATORS>>>) {
        let memory = self.core.memory();
        let polka = memory.valid.and_then(|(round, _)| self.core.polka_certificate(round)).map(Box::new);
        (memory, polka)
    }

    fn on_refusal(&mut self, refusal: Refusal) {
        if refusal != Refusal::BelowFloor {
            self.stats.refused_signatures += 1;
        }
        tracing::warn!(height = self.core.height(), round = self.core.round(), %refusal, "not signed");
    }

    /// Makes the signer record durable, then lets signed messages out.
    fn release(&mut self, sends: Vec<Message>) {
        if sends.is_empty() {
            return;
        }
        if let Some(record) = self.signer.as_ref().and_then(Signer::record) {
            let bytes = record.encode();
            if self.persisted_record.as_ref() != Some(&bytes) {
                let precommitted =
                    record.precommitted.flatten().filter(|id| self.stored_candidate != Some(*id));
                let with_block = precommitted.and_then(|id| match &self.candidates.get(&id)?.stage {
                    Stage::Valid { bytes, .. } => Some((id, bytes.clone())),
                    _ => None,
                });
                let persist = if let Some((id, block)) = with_block {
                    self.stored_candidate = Some(id);
                    Persist::SignerWithBlock { record: bytes.clone(), height: record.height, id, block }
                } else {
                    Persist::Signer(bytes.clone())
                };
                self.persisted_record = Some(bytes);
                self.out.push(Output::Persist(persist));
            }
        }
        for message in sends {
            self.broadcast(message);
        }
    }

    fn timeout_ms(&self, step: bft::Step, round: u32) -> u64 {
        let timing = &self.config.timing;
        let base = if step == bft::Step::Propose { timing.propose_ms } else { timing.vote_ms };
        timing.delta_ms.saturating_mul(u64::from(round)).saturating_add(base).min(timing.max_ms)
    }

    pub(crate) fn on_consensus_timer(&mut self, height: u64, round: u32, step: u8) {
        if !self.started || height != self.core.height() {
            return;
        }
        let step = match step {
            0 => bft::Step::Propose,
            1 => bft::Step::Prevote,
            _ => bft::Step::Precommit,
        };
        self.drive(Feed::Timeout(bft::Timeout { height, round, step }));
    }

    /// Builds and proposes a block, if it is time and there is something to put into it.
    fn try_propose(&mut self) -> bool {
        let (Some(round), Some(signer)) = (self.value_wanted, &self.signer) else { return false };
        if !self.wants_block() || self.silence.is_silent() {
            return false;
        }
        let loaded = self.chain.tip().header.as_ref().is_some_and(|header| header.tx_count > PACE_FROM_TXS);
        let earliest_ms = self.last_commit_mono_ms + self.config.timing.pace_ms;
        if loaded && round == 0 && self.now.mono_ms < earliest_ms {
            self.set_timer(TimerId::Pace, earliest_ms - self.now.mono_ms);
            return false;
        }
        let evidence: Vec<Evidence> = self.evidence.values().cloned().collect();
        let built = self.chain.build(&self.pool, &evidence, signer.public(), self.now.unix_ms);
        for (id, error) in built.refused {
            if !may_apply_later(&error) {
                self.pool.remove(&id);
            }
        }
        self.evidence.retain(|_, evidence| self.chain.evidence_holds(evidence));
        if built.block.txs.is_empty() && built.block.evidence.is_empty() {
            return false;
        }
        let id = built.block.header.id();
        let bytes = built.block.encode();
        let stage = Stage::Valid { block: Arc::new(built.block), bytes, execution: built.execution };
        self.candidates.insert(id, stage);
        self.value_wanted = None;
        self.drive(Feed::Value(round, bft::ValueId(id.0)));
        true
    }

    /// The compact form of a proposal whose block is held.
    pub(crate) fn wire_proposal(&self, signed: &bft::SignedProposal) -> Option<WireProposal> {
        let block = self.candidates.block(&Hash32(signed.proposal.value.0))?;
        let polka = signed.proposal.pol_round.and_then(|round| self.core.polka_certificate(round));
        Some(WireProposal {
            round: signed.proposal.round,
            pol_round: signed.proposal.pol_round,
            proposer: signed.proposal.proposer,
            signature: Signature(signed.signature.0),
            header: block.header.clone(),
            last_commit: block.last_commit.clone(),
            evidence: block.evidence.clone(),
            txs: block.txs.iter().map(|tx| short_id(&tx_id(tx))).collect(),
            polka: polka.map(|certificate| wire_certificate(&certificate)),
        })
    }

    /// Appends the block that the core decided. Returns false when it must be fetched first.
    fn finish_decided(&mut self, id: Hash32) -> bool {
        let Some(certificate) = self.core.commit_certificate() else { return false };
        let Some(candidate) = self.candidates.remove(&id) else { return false };
        let commit = Commit::from_certificate(&certificate);
        match candidate.stage {
            Stage::Valid { block, bytes, execution } => {
                let stored = self.stored_candidate == Some(id);
                self.append(&block, bytes, commit, execution, stored);
                true
            }
            Stage::Invalid(Some(block)) => {
                // More than two thirds executed it and found it right: then this node's state is wrong.
                match self.chain.validate(&block) {
                    Ok(execution) => {
                        let bytes = block.encode();
                        self.append(&block, bytes, commit, execution, false);
                    }
                    Err(error) => self.halt(diverged(block.header.height, &error.to_string())),
                }
                true
            }
            other @ (Stage::Partial(_) | Stage::Checking(_) | Stage::Invalid(None)) => {
                self.candidates.insert(id, other);
                false
            }
        }
    }

    /// Appends a decided and executed block, however it came, and enters the next height.
    pub(crate) fn append(
        &mut self,
        block: &Block,
        bytes: Bytes,
        commit: Commit,
        execution: Execution,
        stored: bool,
    ) {
        let leaves = self.chain.append(block, &commit, execution);
        let mut tx_ids = Vec::with_capacity(block.txs.len());
        for tx in &block.txs {
            tx_ids.push(tx_id(tx));
            if let Ok(tx) = SignedTransaction::decode(tx) {
                self.pool.advance(&tx.tx.signer, tx.tx.nonce);
            }
        }
        for evidence in &block.evidence {
            self.evidence.remove(&evidence.validator());
        }
        self.stats.txs_committed += block.txs.len() as u64;
        self.stats.blocks_committed += 1;
        self.stats.last_block_interval_ms = self.now.mono_ms.saturating_sub(self.last_commit_mono_ms);
        self.last_commit_mono_ms = self.now.mono_ms;
        let members_changed = block.header.validators != block.header.next_validators;
        let committed = CommittedBlock { id: commit.block, block: block.clone(), commit };
        self.out.push(Output::Final(Box::new(Final {
            committed: Arc::new(committed),
            bytes,
            stored,
            tx_ids,
            leaves,
        })));
        if members_changed {
            self.announce_validators();
        }
        self.enter_height();
        self.tell_followers();
        self.update_behind();
        self.ask_again_for_own_votes();
        self.end_amnesia_if_told();
        self.end_listening_if_told();
        self.replay_early();
    }

    /// Peers that do not take part in consensus learn of a block from a status.
    fn tell_followers(&mut self) {
        let validators: std::collections::BTreeSet<_> =
            self.chain.ledger().validators().iter().map(|v| v.node_key).collect();
        let followers: Vec<_> =
            self.peers.keys().filter(|peer| !validators.contains(peer)).copied().collect();
        for peer in followers {
            let status: Status = self.status_for(&peer);
            self.send(peer, Message::Status(status));
        }
    }

    fn replay_early(&mut self) {
        let height = self.chain.next_height();
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for peer in peers {
            let due = self.peers.get_mut(&peer).map(|known| known.take_early(height)).unwrap_or_default();
            for bytes in due {
                // A height that is decided on the way makes the rest late; on_message sorts that out.
                self.on_message(peer, &bytes);
            }
        }
    }

    /// Takes in a proof of double-signing and passes it on once.
    pub(crate) fn add_evidence(&mut self, evidence: Evidence) {
        let culprit = evidence.validator();
        if self.evidence.contains_key(&culprit) || !self.chain.evidence_holds(&evidence) {
            return;
        }
        tracing::warn!(validator = %culprit, height = evidence.height(), "a validator signed twice for one slot");
        self.evidence.insert(culprit, evidence.clone());
        self.broadcast(Message::Evidence(vec![evidence]));
    }
}

/// Why a node stops whose state contradicts a decided block.
pub(crate) fn diverged(height: u64, error: &str) -> String {
    format!(
        "block {height} was decided by more than two thirds of the validators, but here {error}; this node's state is \
         damaged: stop it, move its data directory away and start it again to fetch the chain from its peers"
    )
}

pub(crate) fn wire_vote(signed: &bft::SignedVote) -> WireVote {
    WireVote {
        precommit: signed.vote.kind == bft::VoteKind::Precommit,
        height: signed.vote.height,
        round: signed.vote.round,
        value: signed.vote.value.map(|value| Hash32(value.0)),
        validator: signed.vote.validator,
        signature: Signature(signed.signature.0),
    }
}

pub(crate) fn wire_certificate(certificate: &bft::Certificate<MAX_VALIDATORS>) -> WireCertificate {
    WireCertificate {
        precommit: certificate.kind == bft::VoteKind::Precommit,
        height: certificate.height,
        round: certificate.round,
        value: certificate.value.map(|value| Hash32(value.0)),
        signatures: certificate.signatures.iter().map(|(i, s)| (*i, Signature(s.0))).collect(),
    }
}

/// Whether a transaction that does not apply in this block may in a later one.
fn may_apply_later(error: &TxError) -> bool {
    matches!(error, TxError::FutureDated { .. } | TxError::NonceGap { .. })
}
