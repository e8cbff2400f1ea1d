//! The signing room: the only place that holds the validator key, and nothing else.
//!
//! It signs one value per (height, round, step) and never goes back, whatever the rest of the engine
//! asks for. The caller makes [`Signer::record`] durable before a signature leaves the node.

use trustnet_bft as bft;
use trustnet_ledger::crypto::{Hash32, PublicKey, SecretKey, Signature};

use crate::block::{MAX_VALIDATORS, proposal_sign_bytes, vote_sign_bytes};
use crate::sign_record::{MAX_POLKA_SIGNATURES, SIGN_RECORD_VERSION, SignRecord};

/// Why a signature was refused. Seeing one means that the rest of the engine is wrong or was misled;
/// silence is the safe answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The slot lies before the last signed one.
    #[error("this validator has already signed at a later height or round")]
    Earlier,
    /// Something else was signed in this slot.
    #[error("this validator has already signed something else in this height, round and step")]
    Contradicts,
    /// The signer record was lost and the slot may have been signed before.
    #[error("the signer record was lost and this round may have been signed before")]
    BelowFloor,
}

/// Holds the validator key and the record of what it signed.
pub struct Signer {
    key: SecretKey,
    chain_id: String,
    record: Option<SignRecord>,
    floor: Option<(u64, u32)>,
}

impl Signer {
    /// A signer that continues after `record`.
    pub fn new(key: SecretKey, chain_id: &str, record: Option<SignRecord>) -> Self {
        Self { key, chain_id: chain_id.to_owned(), record, floor: None }
    }

    /// The validator's public key.
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// What was signed last.
    pub fn record(&self) -> Option<&SignRecord> {
        self.record.as_ref()
    }

    /// After the record was lost: takes a vote of ours that a peer gave back as signed.
    pub fn adopt(&mut self, height: u64, round: u32, precommit: bool, value: Option<Hash32>) {
        let Ok(mut record) = self.slot(height, round) else { return };
        let slot = if precommit { &mut record.precommitted } else { &mut record.prevoted };
        if slot.is_none() {
            *slot = Some(value);
        }
        if let (true, Some(id)) = (precommit, value) {
            record.locked = Some((round, id));
            record.valid = Some((round, id));
        }
        self.record = Some(record);
    }

    /// Refuses every slot up to and with (`height`, `round`) from here on.
    pub fn raise_floor(&mut self, height: u64, round: u32) {
        self.floor = self.floor.max(Some((height, round)));
    }

    /// The last slot that was signed, or up to which nothing is signed.
    pub fn last_slot(&self) -> (u64, u32) {
        let signed = self.record.as_ref().map(|record| (record.height, record.round));
        signed.max(self.floor).unwrap_or((0, 0))
    }

    /// Whether a slot is refused because the signer record was lost.
    pub fn is_below_floor(&self, height: u64, round: u32) -> bool {
        self.floor.is_some_and(|floor| (height, round) <= floor)
    }

    /// Signs a transaction of the validator itself (its attestations of uptime).
    pub fn sign_transaction(&self, message: &[u8]) -> Signature {
        self.key.sign(message)
    }

    /// Signs a vote, once per slot. `lock` is the core's, for the record.
    ///
    /// # Errors
    /// [`Refusal`] when the slot lies behind or was used for something else.
    pub fn sign_vote(&mut self, vote: &bft::Vote, lock: &Lock<'_>) -> Result<Signature, Refusal> {
        let value = vote.value.map(|value| Hash32(value.0));
        let mut record = self.slot(vote.height, vote.round)?;
        let taken = match vote.kind {
            bft::VoteKind::Prevote if record.prevoted.is_none() && record.precommitted.is_some() => {
                return Err(Refusal::Earlier);
            }
            bft::VoteKind::Prevote => &mut record.prevoted,
            bft::VoteKind::Precommit => &mut record.precommitted,
        };
        if taken.is_some_and(|signed| signed != value) {
            return Err(Refusal::Contradicts);
        }
        *taken = Some(value);
        self.remember(record, lock);
        Ok(self.key.sign(&vote_sign_bytes(&self.chain_id, vote)))
    }

    /// The precommit for a block with which this validator went on from `height`, signed again.
    pub fn repeat_precommit(&self, height: u64, validator: u16) -> Option<bft::SignedVote> {
        let last = self.record.as_ref()?.before.filter(|last| last.height == height)?;
        let vote = bft::Vote {
            kind: bft::VoteKind::Precommit,
            height,
            round: last.round,
            value: Some(bft::ValueId(last.block.0)),
            validator,
        };
        let signature = self.key.sign(&vote_sign_bytes(&self.chain_id, &vote));
        Some(bft::SignedVote { vote, signature: bft::Signature(signature.0) })
    }

    /// Whether the record is of a height beyond `height`: nothing may be signed there, for the log has lost what
    /// this validator once knew of it.
    pub fn is_beyond(&self, height: u64) -> bool {
        self.record.as_ref().is_some_and(|record| record.height > height)
    }

    /// Signs a proposal, once per round.
    ///
    /// # Errors
    /// [`Refusal`] when the round lies behind or another proposal was signed in it.
    pub fn sign_proposal(&mut self, proposal: &bft::Proposal, lock: &Lock<'_>) -> Result<Signature, Refusal> {
        let mut record = self.slot(proposal.height, proposal.round)?;
        let signed = (Hash32(proposal.value.0), proposal.pol_round);
        if record.proposed.is_some_and(|other| other != signed) {
            return Err(Refusal::Contradicts);
        }
        record.proposed = Some(signed);
        self.remember(record, lock);
        Ok(self.key.sign(&proposal_sign_bytes(&self.chain_id, proposal)))
    }

    /// The record of a slot's round: the last one, or a fresh one for a later round.
    fn slot(&self, height: u64, round: u32) -> Result<SignRecord, Refusal> {
        if self.is_below_floor(height, round) {
            return Err(Refusal::BelowFloor);
        }
        match &self.record {
            Some(last) if (height, round) < (last.height, last.round) => Err(Refusal::Earlier),
            Some(last) if (height, round) == (last.height, last.round) => Ok(last.clone()),
            last => Ok(SignRecord {
                version: SIGN_RECORD_VERSION,
                height,
                round,
                proposed: None,
                prevoted: None,
                precommitted: None,
                locked: None,
                valid: None,
                polka: Vec::new(),
                before: last
                    .as_ref()
                    .and_then(|last| if last.height < height { last.precommit() } else { last.before }),
            }),
        }
    }

    fn remember(&mut self, mut record: SignRecord, lock: &Lock<'_>) {
        if lock.memory.height == record.height {
            record.locked = lock.memory.locked.map(|(round, value)| (round, Hash32(value.0)));
            record.valid = lock.memory.valid.map(|(round, value)| (round, Hash32(value.0)));
            record.polka = lock
                .polka
                .filter(|polka| polka.signatures.len() <= MAX_POLKA_SIGNATURES)
                .map(|polka| polka.signatures.iter().map(|(i, s)| (*i, Signature(s.0))).collect())
                .unwrap_or_default();
        }
        self.record = Some(record);
    }
}

/// What the core is locked on when it wants a signature.
#[derive(Clone, Copy)]
pub struct Lock<'a> {
    /// The core's memory.
    pub memory: &'a bft::Memory,
    /// The prevotes of its valid round.
    pub polka: Option<&'a bft::Certificate<MAX_VALIDATORS>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign_record::MAX_SIGN_RECORD_BYTES;

    const A: bft::ValueId = bft::ValueId([1; 32]);
    const B: bft::ValueId = bft::ValueId([2; 32]);

    fn signer() -> Signer {
        Signer::new(SecretKey::from_seed(&[7; 32]), "test", None)
    }

    fn memory(height: u64, round: u32) -> bft::Memory {
        bft::Memory {
            height,
            round,
            step: bft::Step::Propose,
            proposed: None,
            prevoted: None,
            precommitted: None,
            locked: None,
            valid: None,
        }
    }

    fn lock(memory: &bft::Memory) -> Lock<'_> {
        Lock { memory, polka: None }
    }

    fn vote(kind: bft::VoteKind, height: u64, round: u32, value: Option<bft::ValueId>) -> bft::Vote {
        bft::Vote { kind, height, round, value, validator: 0 }
    }

    #[test]
    fn one_slot_takes_one_value_and_gives_the_same_signature_again() {
        let mut signer = signer();
        let prevote = vote(bft::VoteKind::Prevote, 5, 1, Some(A));
        let first = signer.sign_vote(&prevote, &lock(&memory(5, 1))).unwrap();
        assert_eq!(signer.sign_vote(&prevote, &lock(&memory(5, 1))).unwrap(), first);
        for other in [Some(B), None] {
            let vote = vote(bft::VoteKind::Prevote, 5, 1, other);
            assert_eq!(signer.sign_vote(&vote, &lock(&memory(5, 1))), Err(Refusal::Contradicts));
        }
    }

    #[test]
    fn earlier_rounds_heights_and_steps_are_refused() {
        let mut signer = signer();
        signer.sign_vote(&vote(bft::VoteKind::Precommit, 5, 1, None), &lock(&memory(5, 1))).unwrap();
        for (kind, height, round) in
            [(bft::VoteKind::Prevote, 5, 1), (bft::VoteKind::Precommit, 5, 0), (bft::VoteKind::Prevote, 4, 9)]
        {
            let refused = signer.sign_vote(&vote(kind, height, round, None), &lock(&memory(height, round)));
            assert_eq!(refused, Err(Refusal::Earlier));
        }
    }

    #[test]
    fn a_second_proposal_in_a_round_is_refused_also_with_another_lock_round() {
        let mut signer = signer();
        let proposal = bft::Proposal { height: 3, round: 2, value: A, pol_round: None, proposer: 0 };
        signer.sign_proposal(&proposal, &lock(&memory(3, 2))).unwrap();
        let other = bft::Proposal { pol_round: Some(1), ..proposal };
        assert_eq!(signer.sign_proposal(&other, &lock(&memory(3, 2))), Err(Refusal::Contradicts));
    }

    #[test]
    fn a_record_survives_its_encoding_and_keeps_the_lock() {
        let mut signer = signer();
        let mut with_lock = memory(9, 4);
        with_lock.locked = Some((3, A));
        with_lock.valid = Some((4, B));
        signer.sign_vote(&vote(bft::VoteKind::Precommit, 9, 4, Some(B)), &lock(&with_lock)).unwrap();
        let record = SignRecord::decode(&signer.record().unwrap().encode()).unwrap();
        assert_eq!(record.memory().locked, Some((3, A)));
        assert_eq!(record.memory().valid, Some((4, B)));
        let mut after_crash = Signer::new(SecretKey::from_seed(&[7; 32]), "test", Some(record));
        let contradiction = vote(bft::VoteKind::Precommit, 9, 4, None);
        assert_eq!(after_crash.sign_vote(&contradiction, &lock(&with_lock)), Err(Refusal::Contradicts));
    }

    #[test]
    fn the_precommit_that_ended_a_height_can_be_said_again_and_no_other() {
        let mut signer = signer();
        let precommit = vote(bft::VoteKind::Precommit, 5, 1, Some(A));
        let said = signer.sign_vote(&precommit, &lock(&memory(5, 1))).unwrap();
        assert_eq!(signer.repeat_precommit(5, 0), None, "still at that height");
        for (round, kind) in
            [(0, bft::VoteKind::Prevote), (0, bft::VoteKind::Precommit), (3, bft::VoteKind::Prevote)]
        {
            signer.sign_vote(&vote(kind, 6, round, None), &lock(&memory(6, round))).unwrap();
            let again = signer.repeat_precommit(5, 0).unwrap();
            assert_eq!((again.vote, again.signature.0), (precommit, said.0));
        }
        assert!(signer.is_beyond(5) && !signer.is_beyond(6));
        assert_eq!(signer.repeat_precommit(4, 0), None);
        signer.sign_vote(&vote(bft::VoteKind::Prevote, 7, 0, None), &lock(&memory(7, 0))).unwrap();
        assert_eq!(signer.repeat_precommit(5, 0), None);
        assert_eq!(signer.repeat_precommit(6, 0), None, "nil decides nothing");
    }

    #[test]
    fn a_record_of_another_version_or_length_is_refused() {
        let mut signer = signer();
        signer.sign_vote(&vote(bft::VoteKind::Prevote, 5, 1, Some(A)), &lock(&memory(5, 1))).unwrap();
        let record = signer.record().unwrap();
        let bytes = record.encode();
        assert_eq!(SignRecord::decode(&bytes).as_ref(), Ok(record));
        for version in (0..=u8::MAX).filter(|version| *version != SIGN_RECORD_VERSION) {
            let mut other = bytes.clone();
            other[0] = version;
            assert!(SignRecord::decode(&other).is_err(), "{version}");
        }
        assert!(SignRecord::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(SignRecord::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn the_largest_record_fits_its_page_and_gives_its_polka_back() {
        let mut signatures = heapless::Vec::new();
        for index in 0..MAX_POLKA_SIGNATURES as u16 {
            signatures.push((1_000 + index, bft::Signature([9; 64]))).unwrap();
        }
        let polka = bft::Certificate {
            kind: bft::VoteKind::Prevote,
            height: 9,
            round: 4,
            value: Some(B),
            signatures,
        };
        let mut memory = memory(9, 4);
        memory.locked = Some((4, B));
        memory.valid = Some((4, B));
        let mut signer = signer();
        let earlier = vote(bft::VoteKind::Precommit, 8, u32::MAX, Some(A));
        signer.sign_vote(&earlier, &lock(&self::memory(8, u32::MAX))).unwrap();
        let precommit = vote(bft::VoteKind::Precommit, 9, 4, Some(B));
        signer.sign_vote(&precommit, &Lock { memory: &memory, polka: Some(&polka) }).unwrap();
        let bytes = signer.record().unwrap().encode();
        assert!(bytes.len() <= MAX_SIGN_RECORD_BYTES, "{} bytes", bytes.len());
        assert_eq!(SignRecord::decode(&bytes).unwrap().polka_certificate(), Some(polka));
    }

    #[test]
    fn nothing_is_signed_at_or_below_the_floor() {
        let mut signer = signer();
        signer.raise_floor(7, 2);
        let below = vote(bft::VoteKind::Prevote, 7, 2, None);
        assert_eq!(signer.sign_vote(&below, &lock(&memory(7, 2))), Err(Refusal::BelowFloor));
        assert!(signer.sign_vote(&vote(bft::VoteKind::Prevote, 7, 3, None), &lock(&memory(7, 3))).is_ok());
    }
}
