//! What each message of a peer does. Order of checks: cheap ones first, signatures last.

use trustnet_bft as bft;
use trustnet_ledger::crypto::{Hash32, PublicKey};

use bytes::Bytes;

use crate::block::{MAX_VALIDATORS, certificate_checks, vote_sign_bytes};
use crate::consensus::{Feed, wire_certificate, wire_vote};
use crate::engine::Engine;
use crate::io::{Output, TimerId};
use crate::message::{Holding, Message, Status, WireCertificate, WireVote};
use crate::silence::Report;
use crate::uptime::Misbehaviour;

/// A peer that asks for help with the last height again gets it this long after the last time, and not sooner: it costs
/// the peer a few bytes to ask, and us a whole certificate to answer.
const HELP_AGAIN_MS: u64 = 500;

impl Engine {
    pub(crate) fn on_message(&mut self, peer: PublicKey, bytes: &Bytes) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%peer, %error, "malformed message");
                return self.punish(peer, Misbehaviour::NetworkAbuse, "sent a malformed message");
            }
        };
        match message {
            Message::Status(status) => self.on_status(peer, status),
            Message::Proposal(proposal) => self.on_proposal(peer, &proposal, bytes),
            Message::Vote(vote) => self.on_vote(peer, &vote, bytes),
            Message::Certificate(certificate) => self.on_certificate(peer, &certificate, bytes),
            Message::Holding(holding) => self.on_holding(peer, &holding),
            Message::GetBlockTxs { block, positions } => self.on_get_block_txs(peer, block, &positions),
            Message::BlockTxs { block, txs } => self.on_block_txs(peer, block, txs),
            Message::Txs(txs) => self.on_gossip(peer, txs),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(peer, &heartbeat),
            Message::Evidence(evidence) => {
                for evidence in evidence {
                    self.add_evidence(evidence);
                }
            }
        }
    }

    pub(crate) fn punish(&mut self, peer: PublicKey, what: Misbehaviour, reason: &'static str) {
        self.uptime.misbehaved(peer, what, self.now.unix_ms);
        self.out.push(Output::Punish { peer, points: crate::io::penalty(what), reason });
    }

    /// Sorts a consensus message by its height: true when it is for the height being decided.
    pub(crate) fn is_current(&mut self, peer: PublicKey, height: u64, bytes: &Bytes) -> bool {
        let current = self.chain.next_height();
        if height == current {
            return self.core.decided().is_none();
        }
        if height == current + 1
            && let Some(known) = self.peers.get_mut(&peer)
        {
            known.keep_early(height, bytes.clone());
        }
        if height > current {
            self.note_height(peer, height - 1);
        } else if height + 1 == current {
            // The peer still decides what is decided here: the commit lets it go on.
            self.help_laggard(peer);
        }
        false
    }

    fn help_laggard(&mut self, peer: PublicKey) {
        let height = self.chain.tip().height();
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.helped_at_height == height {
            return;
        }
        known.helped_at_height = height;
        known.help_again_ms = self.now.mono_ms + HELP_AGAIN_MS;
        if let Some(mut certificate) = self.chain.tip().commit.to_certificate() {
            certificate.kind = bft::VoteKind::Precommit;
            self.send(peer, Message::Certificate(wire_certificate(&certificate)));
        }
        let status = self.status_for(&peer);
        self.send(peer, Message::Status(status));
    }

    fn on_status(&mut self, peer: PublicKey, status: Status) {
        let validator = self.chain.ledger().validators().iter().find(|v| v.node_key == peer);
        if let Some(key) = validator.map(|v| v.validator_key) {
            let report = Report { height: status.height.saturating_add(1), our_vote: status.your_vote };
            self.silence.report(key, report);
            self.notice_unknown_votes();
            self.ask_for_own_votes(peer, report.our_vote);
        }
        let height = status.height;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.status = Some(status);
        }
        self.note_height(peer, height);
        self.end_amnesia_if_told();
        self.end_listening_if_told();
    }

    fn on_vote(&mut self, peer: PublicKey, wire: &WireVote, bytes: &Bytes) {
        if !self.is_current(peer, wire.height, bytes) {
            return;
        }
        let Some((key, _)) = self.chain.deciders().get(usize::from(wire.validator)).copied() else {
            return self.punish(peer, Misbehaviour::NetworkAbuse, "sent a vote of a stranger");
        };
        let signed = bft::SignedVote { vote: core_vote(wire), signature: bft::Signature(wire.signature.0) };
        if !self.core.is_new(&signed.vote) {
            return;
        }
        let message = vote_sign_bytes(self.chain.chain_id(), &signed.vote);
        if !self.config.verifier.verify(&key, &message, &wire.signature) {
            return self.punish(peer, Misbehaviour::NetworkAbuse, "sent a vote with a wrong signature");
        }
        let seen = self.seen_votes.entry(key).or_default();
        *seen = (*seen).max((wire.height, wire.round));
        if self.position() == Some(wire.validator) {
            self.check_own_vote(wire);
        }
        self.begin_height_if_able();
        self.drive(Feed::Vote(signed));
    }

    pub(crate) fn on_certificate(&mut self, peer: PublicKey, wire: &WireCertificate, bytes: &Bytes) {
        if self.is_current(peer, wire.height, bytes) {
            self.take_certificate(peer, wire);
        }
    }

    /// Feeds a certificate of the current height to the core, when it is new and holds.
    pub(crate) fn take_certificate(&mut self, peer: PublicKey, wire: &WireCertificate) {
        let Some(certificate) = core_certificate(wire) else { return };
        if !self.core.is_new_certificate(&certificate) {
            return;
        }
        let keys: Vec<PublicKey> = self.chain.deciders().iter().map(|(key, _)| *key).collect();
        let checks = certificate
            .check_shape(self.chain.set())
            .ok()
            .and_then(|()| certificate_checks(self.chain.chain_id(), &certificate, &keys));
        let holds = checks.is_some_and(|checks| self.config.verifier.all_valid(&checks));
        if !holds {
            return self.punish(peer, Misbehaviour::NetworkAbuse, "sent a certificate that does not hold");
        }
        self.begin_height_if_able();
        self.drive(Feed::Certificate(Box::new(certificate)));
    }

    /// Others are deciding this height: take part, unless blocks must be fetched first.
    pub(crate) fn begin_height_if_able(&mut self) {
        if !self.sync.is_behind() {
            self.begin_height();
        }
    }

    /// While a height is undecided: tell neighbours what is held, so that they push what is not. Decided, and still
    /// without the block: tell them of the decision. It may be known here alone, and those who hold the block wait for
    /// votes that will never come; with it they commit, and give the block away.
    pub(crate) fn on_repair_timer(&mut self) {
        if !self.started {
            return;
        }
        if let Some(certificate) = self.core.commit_certificate() {
            self.broadcast(Message::Certificate(wire_certificate(&certificate)));
            return self.set_timer(TimerId::Repair, self.config.timing.repair_ms);
        }
        let round = self.core.round();
        let holding = Holding {
            height: self.core.height(),
            round,
            proposal: self.holds_proposal(round),
            prevotes: self.held_votes(bft::VoteKind::Prevote, round),
            precommits: self.held_votes(bft::VoteKind::Precommit, round),
        };
        self.broadcast(Message::Holding(holding));
        self.notice_standstill();
        self.set_timer(TimerId::Repair, self.config.timing.repair_ms);
    }

    /// Bit i is set when the vote of validator i is held.
    fn held_votes(&self, kind: bft::VoteKind, round: u32) -> [u64; MAX_VALIDATORS / 64] {
        let mut words = [0; MAX_VALIDATORS / 64];
        for signed in self.core.votes(kind, round) {
            let index = usize::from(signed.vote.validator);
            words[index / 64] |= 1 << (index % 64);
        }
        words
    }

    fn holds_proposal(&self, round: u32) -> bool {
        self.core
            .proposal(round)
            .is_some_and(|signed| self.candidates.block(&Hash32(signed.proposal.value.0)).is_some())
    }

    /// Pushes to a neighbour what it lacks of its round.
    fn on_holding(&mut self, peer: PublicKey, holding: &Holding) {
        let current = self.chain.next_height();
        if holding.height.checked_add(1) == Some(current) {
            if let Some(known) = self.peers.get_mut(&peer)
                && self.now.mono_ms >= known.help_again_ms
            {
                known.helped_at_height = 0;
            }
            return self.help_laggard(peer);
        }
        if holding.height != current {
            return;
        }
        let round = holding.round;
        let mut messages = Vec::new();
        if !holding.proposal {
            let wire = self.core.proposal(round).and_then(|signed| self.wire_proposal(&signed));
            messages.extend(wire.map(|wire| Message::Proposal(Box::new(wire))));
        }
        for (kind, held) in
            [(bft::VoteKind::Prevote, &holding.prevotes), (bft::VoteKind::Precommit, &holding.precommits)]
        {
            let lacking = self.core.votes(kind, round).filter(|signed| {
                let index = usize::from(signed.vote.validator);
                held.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) == 0)
            });
            messages.extend(lacking.map(|signed| Message::Vote(wire_vote(&signed))));
        }
        // A peer in an earlier round learns of ours from our votes; f + 1 of those let it skip ahead.
        let ours = self.core.round();
        if ours > round {
            for kind in [bft::VoteKind::Prevote, bft::VoteKind::Precommit] {
                messages.extend(self.core.votes(kind, ours).map(|signed| Message::Vote(wire_vote(&signed))));
            }
        }
        for message in messages {
            self.send(peer, message);
        }
    }
}

fn core_vote(wire: &WireVote) -> bft::Vote {
    bft::Vote {
        kind: if wire.precommit { bft::VoteKind::Precommit } else { bft::VoteKind::Prevote },
        height: wire.height,
        round: wire.round,
        value: wire.value.map(|hash| bft::ValueId(hash.0)),
        validator: wire.validator,
    }
}

fn core_certificate(wire: &WireCertificate) -> Option<bft::Certificate<MAX_VALIDATORS>> {
    let mut signatures = heapless::Vec::new();
    for (index, signature) in &wire.signatures {
        signatures.push((*index, bft::Signature(signature.0))).ok()?;
    }
    Some(bft::Certificate {
        kind: if wire.precommit { bft::VoteKind::Precommit } else { bft::VoteKind::Prevote },
        height: wire.height,
        round: wire.round,
        value: wire.value.map(|hash| bft::ValueId(hash.0)),
        signatures,
    })
}
