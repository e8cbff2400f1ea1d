//! Going on after a restart with what the disk remembers of an undecided height.
//!
//! The signer record and the block log are written together, and a power cut may tear them apart. A record whose write
//! was torn counts as signed, because damage to an acknowledged one looks the same; so a record can be there without
//! what it rests on:
//!
//! * without the commit of the height before, which was to become durable in the same flush: nothing is signed there
//!   any more, but the precommit that ended that height is said again, and so the commit comes again;
//! * without the block that was precommitted: this validator goes on in the next round, unlocked.

use trustnet_bft as bft;
use trustnet_ledger::crypto::Hash32;

use crate::candidates::Stage;
use crate::consensus::{Feed, wire_vote};
use crate::engine::Engine;
use crate::message::Message;
use crate::sign_record::SignRecord;
use crate::signer::Signer;

impl Engine {
    fn record(&self) -> Option<&SignRecord> {
        self.signer.as_ref().and_then(Signer::record)
    }

    /// Blocks of the current height which the signer record names and which must be handed to [`Engine::start`], if the
    /// log holds them.
    pub fn wanted_candidates(&self) -> Vec<Hash32> {
        let Some(record) = self.record() else { return Vec::new() };
        if let Some(last) = record.before.filter(|last| last.height == self.chain.next_height()) {
            return vec![last.block];
        }
        if record.height != self.chain.next_height() {
            return Vec::new();
        }
        let locks = [record.locked, record.valid].into_iter().flatten().map(|(_, id)| id);
        let proposed = record.proposed.map(|(id, _)| id);
        let mut wanted: Vec<Hash32> = locks.chain(proposed).chain(record.precommitted.flatten()).collect();
        wanted.sort();
        wanted.dedup();
        wanted
    }

    /// Whether a restored signer record says that this height was under way.
    pub(crate) fn must_resume(&self) -> bool {
        let height = self.chain.next_height();
        let repeats = |record: &SignRecord| record.before.is_some_and(|last| last.height == height);
        self.record().is_some_and(|record| record.height == height || repeats(record))
    }

    /// Whether this validator has signed at a height beyond the one being decided.
    pub(crate) fn has_signed_beyond(&self) -> bool {
        self.signer.as_ref().is_some_and(|signer| signer.is_beyond(self.core.height()))
    }

    /// Takes the voice from the core, or gives it back: it has none while this validator must be silent, and none at a
    /// height beyond which it has signed.
    pub(crate) fn update_voice(&mut self) {
        let silent = self.silence.is_silent() || self.has_signed_beyond();
        self.core.silence(silent);
    }

    /// Says the precommit again with which this validator went on from this height, if the log has lost its commit.
    pub(crate) fn repeat_precommit(&mut self) {
        let Some(me) = self.position() else { return };
        let Some(signer) = self.signer.as_ref().filter(|_| !self.silence.is_silent()) else { return };
        if let Some(signed) = signer.repeat_precommit(self.core.height(), me) {
            self.broadcast(Message::Vote(wire_vote(&signed)));
            self.drive(Feed::Vote(signed));
        }
    }

    /// Whether the block of a precommit is held, so that it goes to the disk with the vote, or is there.
    pub(crate) fn holds_precommitted(&self, vote: &bft::Vote) -> bool {
        let Some(id) = vote.value.filter(|_| vote.kind == bft::VoteKind::Precommit) else { return true };
        let id = Hash32(id.0);
        let held = || self.candidates.get(&id).is_some_and(|held| matches!(held.stage, Stage::Valid { .. }));
        self.stored_candidate == Some(id) || held()
    }

    /// Blocks that must stay at hand, whatever else is proposed.
    pub(crate) fn blocks_to_keep(&self) -> [Option<Hash32>; 2] {
        [self.core.locked(), self.core.valid()].map(|held| held.map(|(_, value)| Hash32(value.0)))
    }

    /// Goes on in the next round, unlocked, when the last signature was a precommit whose block is not in the log.
    ///
    /// The two go to the disk in one record, so its write was torn, and then the precommit never left this machine; or
    /// the card has damaged it, and then this validator counts among the faulty. A lock on it would stand for ever if
    /// nobody else has the block, as in a chain of one. The polka that the precommit answered shows that no block of an
    /// earlier lock was or will be decided, so that lock need not come back either (arXiv 1807.04938, lemma 3).
    pub(crate) fn pass_over_lost_block(&mut self) {
        let height = self.core.height();
        let Some(record) = self.record().filter(|record| record.height == height) else { return };
        let Some(block) = record.precommitted.flatten() else { return };
        if self.candidates.block(&block).is_some() {
            return;
        }
        let memory = bft::Memory {
            height,
            round: record.round.saturating_add(1),
            step: bft::Step::Propose,
            proposed: None,
            prevoted: None,
            precommitted: None,
            locked: None,
            valid: None,
        };
        tracing::warn!(height, round = record.round, %block, "the last vote was torn from its block; not repeated");
        let me = self.position();
        *self.core = bft::Core::restore(self.chain.set().clone(), me, memory);
        self.update_voice();
    }
}
