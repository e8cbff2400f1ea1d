//! What others saw of this validator: asked after a start, and after the signer record was lost.

use trustnet_ledger::crypto::PublicKey;

use crate::block::MAX_VALIDATORS;
use crate::engine::Engine;
use crate::io::TimerId;
use crate::message::{Holding, Message, WireVote};
use crate::silence::Told;

/// A peer is asked for the same vote of ours again after this long. Its answer may be a status that names the vote once
/// more: asked again at once, two nodes would fill the link between them.
const ASK_AGAIN_MS: u64 = 500;

impl Engine {
    /// Before its first signature a validator hears what others saw of it: the disk may hold an old backup.
    pub(crate) fn listen_first(&mut self) {
        if self.position().is_none() || self.chain.deciders().len() < 2 || self.silence.is_lost() {
            return;
        }
        self.silence.listen();
        self.update_voice();
        self.set_timer(TimerId::Listen, self.config.timing.listen_ms);
    }

    pub(crate) fn on_listen_timer(&mut self) {
        if self.sync.is_behind() {
            return self.set_timer(TimerId::Listen, self.config.timing.listen_ms);
        }
        self.end_listening();
    }

    /// Stops listening when enough have told, and none of them of a vote that we know nothing of.
    pub(crate) fn end_listening_if_told(&mut self) {
        let Some(signer) = self.signer.as_ref().filter(|_| self.silence.is_listening()) else { return };
        let height = self.chain.next_height();
        let told = Told { deciders: self.chain.deciders(), set: self.chain.set(), record: None };
        let enough = self.silence.has_heard_enough(height, &signer.public(), &told);
        let unknown = self.silence.hears_of_votes_beyond(signer.last_slot(), height);
        if enough && !unknown && !self.sync.is_behind() {
            self.end_listening();
        }
    }

    fn end_listening(&mut self) {
        if !self.silence.is_listening() {
            return;
        }
        self.silence.stop_listening();
        self.update_voice();
        if std::mem::take(&mut self.begin_after_listening) {
            self.begin_height();
        }
    }

    /// Looks whether others have seen votes of ours that we know nothing of.
    pub(crate) fn notice_unknown_votes(&mut self) {
        let Some(signer) = &self.signer else { return };
        let told = Told { deciders: self.chain.deciders(), set: self.chain.set(), record: None };
        if self.silence.notice_votes_beyond(signer.last_slot(), &signer.public(), &told) {
            tracing::error!("others have seen votes of this validator that its own record does not know");
            self.update_voice();
        }
    }

    /// Ends the silence after a lost signer record, once enough validators have told where they are.
    pub(crate) fn end_amnesia_if_told(&mut self) {
        if !self.silence.is_lost() || self.sync.is_behind() {
            return;
        }
        let Some(signer) = &mut self.signer else { return };
        let (own, height) = (signer.public(), self.chain.next_height());
        let told = Told {
            deciders: self.chain.deciders(),
            set: self.chain.set(),
            record: signer.record().map(|record| (record.height, record.round)),
        };
        let end = self.silence.end_of_amnesia(height, &own, &told);
        if let Some((height, round)) = end {
            signer.raise_floor(height, round);
            tracing::warn!(height, round, "the signer record was lost; voting again after this round");
            if self.must_resume() && !self.started {
                self.enter_height();
                self.begin_height();
            }
            self.update_voice();
        }
    }

    /// At a new height: asks those who have told of votes of ours there.
    pub(crate) fn ask_again_for_own_votes(&mut self) {
        if !self.silence.is_lost() && !self.silence.is_listening() {
            return;
        }
        let peers: Vec<(PublicKey, Option<(u64, u32)>)> = self
            .peers
            .iter()
            .filter_map(|(peer, known)| Some((*peer, known.status.as_ref()?.your_vote)))
            .collect();
        for (peer, our_vote) in peers {
            self.ask_for_own_votes(peer, our_vote);
        }
    }

    /// A peer that saw votes of ours in this height, which we have lost or know nothing of, gives them back when
    /// it hears that we hold none.
    pub(crate) fn ask_for_own_votes(&mut self, peer: PublicKey, our_vote: Option<(u64, u32)>) {
        let height = self.chain.next_height();
        let Some(vote @ (_, round)) = our_vote.filter(|(of, _)| *of == height) else { return };
        let known = self.signer.as_ref().is_none_or(|signer| (height, round) <= signer.last_slot());
        if !self.silence.is_lost() && (!self.silence.is_listening() || known) {
            return;
        }
        let now_ms = self.now.mono_ms;
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.asked_for_vote.is_some_and(|(of, at_ms)| of == vote && now_ms < at_ms + ASK_AGAIN_MS) {
            return;
        }
        known.asked_for_vote = Some((vote, now_ms));
        let none = [0; MAX_VALIDATORS / 64];
        let holding = Holding { height, round, proposal: false, prevotes: none, precommits: none };
        self.send(peer, Message::Holding(holding));
    }

    /// A vote by our own key that we did not sign means a second machine with this key (a cloned card).
    pub(crate) fn check_own_vote(&mut self, wire: &WireVote) {
        let Some(signer) = &mut self.signer else { return };
        if self.silence.is_lost() {
            signer.adopt(wire.height, wire.round, wire.precommit, wire.value);
            return self.end_amnesia_if_told();
        }
        let ours = signer.record().is_some_and(|record| {
            let slot = if wire.precommit { record.precommitted } else { record.prevoted };
            match (wire.height, wire.round).cmp(&(record.height, record.round)) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => slot == Some(wire.value),
                std::cmp::Ordering::Greater => false,
            }
        });
        let after_amnesia = signer.is_below_floor(wire.height, wire.round);
        if !ours && self.silence.is_listening() {
            tracing::warn!(
                height = wire.height,
                round = wire.round,
                "this validator has signed more than its disk knows: the disk was put back to an older state"
            );
            signer.adopt(wire.height, wire.round, wire.precommit, wire.value);
            self.silence.lose_record();
            self.end_listening();
            return self.end_amnesia_if_told();
        }
        if !ours && !after_amnesia {
            tracing::error!(
                height = wire.height,
                round = wire.round,
                "another machine signs with this validator's key; this one is silent from here on"
            );
            self.silence.notice_clone();
            self.update_voice();
        }
    }
}
