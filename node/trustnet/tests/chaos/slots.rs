//! One value per slot: every signature that anybody has seen, and whether two contradict each other.

use std::collections::HashMap;
use std::fmt;

use trustnet_bft as bft;
use trustnet_engine::block::{proposal_sign_bytes, vote_sign_bytes};
use trustnet_engine::message::{Message, WireCertificate, WireProposal, WireVote};
use trustnet_engine::signer::SignRecord;
use trustnet_ledger::crypto::{Hash32, PublicKey, Signature};

/// Rounds of a height in which [`Slots::signers`] looks.
const MAX_ROUND_LOOKED_AT: u32 = 32;

/// What a validator may sign once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub validator: u16,
    pub height: u64,
    pub round: u32,
    pub step: Step,
}

/// The kinds of signatures of consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Proposal,
    Prevote,
    Precommit,
}

/// What was signed in a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// A block, or nil.
    pub value: Option<Hash32>,
    /// Of a proposal: the round of its proof of lock.
    pub pol_round: Option<u32>,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            None => write!(f, "nil"),
            Some(value) => write!(f, "{}", &value.to_string()[..12]),
        }?;
        self.pol_round.map_or(Ok(()), |round| write!(f, " of round {round}"))
    }
}

/// Every signature seen.
pub struct Slots {
    chain_id: String,
    /// Of the nodes, in their order.
    nodes: Vec<PublicKey>,
    /// Of the validators, by position.
    keys: Vec<PublicKey>,
    seen: HashMap<Slot, (Signed, String)>,
    contradictions: Vec<String>,
    /// Signatures that were checked and held, from peers' messages and from blocks.
    pub checked: usize,
}

impl Slots {
    /// For a chain whose nodes have these validator keys and all the same power: their positions are in the order
    /// of the keys.
    pub fn new(chain_id: &str, nodes: Vec<PublicKey>) -> Self {
        let mut keys = nodes.clone();
        keys.sort_unstable();
        let chain_id = chain_id.to_owned();
        Self { chain_id, nodes, keys, seen: HashMap::new(), contradictions: Vec::new(), checked: 0 }
    }

    /// Notes what was signed in a slot, as `source` tells.
    pub fn note(&mut self, slot: Slot, signed: Signed, source: &str) {
        let (first, told_by) = self.seen.entry(slot).or_insert_with(|| (signed, source.to_owned()));
        if *first != signed {
            self.contradictions.push(format!(
                "validator {} signed two {:?}s at height {} round {}: {first:?} ({told_by}) and {signed:?} ({source})",
                slot.validator, slot.step, slot.height, slot.round
            ));
        }
    }

    /// What contradicts, in words.
    pub fn contradictions(&self) -> &[String] {
        &self.contradictions
    }

    /// How many slots were seen signed.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// How many validators were seen to have taken a step at a height, in any round.
    pub fn signers(&self, height: u64, step: Step) -> usize {
        let signed = |validator: &usize| {
            (0..=MAX_ROUND_LOOKED_AT).any(|round| {
                self.seen.contains_key(&Slot { validator: *validator as u16, height, round, step })
            })
        };
        (0..self.keys.len()).filter(signed).count()
    }

    /// Notes every signature of consensus in a message. Says what is wrong with the message, if anything is.
    pub fn note_message(&mut self, message: &Message, source: &str) -> Result<(), String> {
        match message {
            Message::Vote(vote) => self.note_vote(vote, source),
            Message::Certificate(certificate) => self.note_certificate(certificate, source),
            Message::Proposal(proposal) => self.note_proposal(proposal, source),
            Message::Evidence(evidence) => {
                Err(format!("{source} passes on evidence of double-signing: {evidence:?}"))
            }
            _ => Ok(()),
        }
    }

    fn note_vote(&mut self, wire: &WireVote, source: &str) -> Result<(), String> {
        let vote = bft::Vote {
            kind: if wire.precommit { bft::VoteKind::Precommit } else { bft::VoteKind::Prevote },
            height: wire.height,
            round: wire.round,
            value: wire.value.map(|value| bft::ValueId(value.0)),
            validator: wire.validator,
        };
        self.note_signed_vote(&vote, &wire.signature, source)
    }

    /// Notes a vote whose signature is checked here.
    pub fn note_signed_vote(
        &mut self,
        vote: &bft::Vote,
        signature: &Signature,
        source: &str,
    ) -> Result<(), String> {
        let step = match vote.kind {
            bft::VoteKind::Prevote => Step::Prevote,
            bft::VoteKind::Precommit => Step::Precommit,
        };
        let slot = Slot { validator: vote.validator, height: vote.height, round: vote.round, step };
        let signed = Signed { value: vote.value.map(|value| Hash32(value.0)), pol_round: None };
        self.note_checked(slot, signed, source, signature, |chain_id| vote_sign_bytes(chain_id, vote))
    }

    fn note_certificate(&mut self, wire: &WireCertificate, source: &str) -> Result<(), String> {
        for (validator, signature) in &wire.signatures {
            let vote = WireVote {
                precommit: wire.precommit,
                height: wire.height,
                round: wire.round,
                value: wire.value,
                validator: *validator,
                signature: *signature,
            };
            self.note_vote(&vote, source)?;
        }
        Ok(())
    }

    fn note_proposal(&mut self, wire: &WireProposal, source: &str) -> Result<(), String> {
        let (height, value) = (wire.header.height, wire.header.id());
        let slot = Slot { validator: wire.proposer, height, round: wire.round, step: Step::Proposal };
        let proposal = bft::Proposal {
            height,
            round: wire.round,
            value: bft::ValueId(value.0),
            pol_round: wire.pol_round,
            proposer: wire.proposer,
        };
        let signed = Signed { value: Some(value), pol_round: wire.pol_round };
        self.note_checked(slot, signed, source, &wire.signature, |chain_id| {
            proposal_sign_bytes(chain_id, &proposal)
        })?;
        wire.polka.iter().try_for_each(|polka| self.note_certificate(polka, source))
    }

    fn note_checked(
        &mut self,
        slot: Slot,
        signed: Signed,
        source: &str,
        signature: &Signature,
        message: impl FnOnce(&str) -> Vec<u8>,
    ) -> Result<(), String> {
        if self.seen.get(&slot).is_some_and(|(known, _)| *known == signed) {
            return Ok(());
        }
        let key = self.keys.get(usize::from(slot.validator));
        if !key.is_some_and(|key| key.verify(&message(&self.chain_id), signature)) {
            return Err(format!("{source} gave a signature that does not hold: {slot:?} {signed:?}"));
        }
        self.checked += 1;
        self.note(slot, signed, source);
        Ok(())
    }

    /// Notes what a signer record on the disk of a node says was signed: it binds the validator whether or not a
    /// signature has left the machine.
    pub fn note_record(&mut self, node: usize, record: &SignRecord, source: &str) {
        let validator = self.keys.iter().position(|key| *key == self.nodes[node]).unwrap() as u16;
        let slot = |step| Slot { validator, height: record.height, round: record.round, step };
        if let Some((value, pol_round)) = record.proposed {
            self.note(slot(Step::Proposal), Signed { value: Some(value), pol_round }, source);
        }
        for (step, vote) in [(Step::Prevote, record.prevoted), (Step::Precommit, record.precommitted)] {
            if let Some(value) = vote {
                self.note(slot(step), Signed { value, pol_round: None }, source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use trustnet_ledger::crypto::SecretKey;

    use super::*;

    fn slots() -> (Slots, Vec<SecretKey>) {
        let mut keys: Vec<SecretKey> = (1..=4).map(|n| SecretKey::from_seed(&[n; 32])).collect();
        let nodes = keys.iter().map(SecretKey::public).collect();
        keys.sort_by_key(SecretKey::public);
        (Slots::new("c", nodes), keys)
    }

    fn vote(key: &SecretKey, validator: u16, value: Option<u8>, round: u32) -> Message {
        let core = bft::Vote {
            kind: bft::VoteKind::Precommit,
            height: 5,
            round,
            value: value.map(|byte| bft::ValueId([byte; 32])),
            validator,
        };
        Message::Vote(WireVote {
            precommit: true,
            height: 5,
            round,
            value: value.map(|byte| Hash32([byte; 32])),
            validator,
            signature: key.sign(&vote_sign_bytes("c", &core)),
        })
    }

    #[test]
    fn two_values_in_one_slot_contradict_whoever_tells_of_them() {
        let (mut slots, keys) = slots();
        for (validator, value, round) in [(0, Some(1), 0), (1, Some(2), 0), (0, Some(2), 1), (0, Some(1), 0)]
        {
            let message = vote(&keys[usize::from(validator)], validator, value, round);
            slots.note_message(&message, "a").unwrap();
        }
        assert_eq!((slots.contradictions().len(), slots.len(), slots.checked), (0, 3, 3));
        slots.note_message(&vote(&keys[0], 0, None, 0), "b").unwrap();
        assert_eq!(slots.contradictions().len(), 1);
        let told = &slots.contradictions()[0];
        assert!(
            told.contains("height 5 round 0") && told.contains("(a)") && told.contains("nil (b)"),
            "{told}"
        );
        assert_eq!(slots.signers(5, Step::Precommit), 2);
    }

    #[test]
    fn a_record_on_disk_contradicts_a_vote_on_the_wire() {
        let (mut slots, keys) = slots();
        let node = (1..=4).position(|n| SecretKey::from_seed(&[n; 32]).public() == keys[2].public()).unwrap();
        slots.note_message(&vote(&keys[2], 2, Some(7), 3), "wire").unwrap();
        let mut record = SignRecord {
            version: 1,
            height: 5,
            round: 3,
            proposed: Some((Hash32([7; 32]), None)),
            prevoted: Some(Some(Hash32([7; 32]))),
            precommitted: Some(Some(Hash32([7; 32]))),
            locked: None,
            valid: None,
            polka: Vec::new(),
        };
        slots.note_record(node, &record, "disk");
        assert_eq!(slots.contradictions().len(), 0);
        record.precommitted = Some(None);
        slots.note_record(node, &record, "disk");
        record.proposed = Some((Hash32([7; 32]), Some(1)));
        slots.note_record(node, &record, "disk");
        assert_eq!(slots.contradictions().len(), 3, "the precommit twice, the proposal once");
    }

    #[test]
    fn a_forged_signature_is_told_and_does_not_count() {
        let (mut slots, keys) = slots();
        assert!(slots.note_message(&vote(&keys[1], 0, Some(1), 0), "liar").is_err());
        assert!(slots.note_message(&vote(&keys[1], 9, Some(1), 0), "liar").is_err());
        assert_eq!(slots.len(), 0);
    }
}
