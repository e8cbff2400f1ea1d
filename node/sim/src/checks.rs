//! What must hold after every event.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use trustnet_engine::block::CommittedBlock;
use trustnet_engine::evidence::Evidence;
use trustnet_engine::mempool::{MAX_POOL_BYTES, MAX_POOL_TXS};
use trustnet_engine::message::{MAX_MESSAGE_BYTES, Message, WireProposal, WireVote};
use trustnet_engine::view::Held;
use trustnet_ledger::crypto::{Hash32, PublicKey};
use trustnet_ledger::signed::SignedTransaction;

/// Candidates that an engine may hold (`engine/src/candidates.rs`).
const MAX_CANDIDATES: usize = 16;
/// Early messages of a peer (`engine/src/peers.rs`).
const MAX_EARLY_MESSAGES: usize = 32;
/// Signature jobs under way: transactions that wait for their check (`engine/src/jobs.rs`), and candidates.
const MAX_JOBS: usize = 4_096 + MAX_CANDIDATES;

/// A slot in which a key may sign once: height, round, and 0 proposal, 1 prevote, 2 precommit.
type Slot = (PublicKey, u64, u32, u8);
/// What was signed there: value, and the proof-of-lock round of a proposal.
type Signed = (Option<Hash32>, Option<u32>);

/// The one chain that all must agree on.
#[derive(Default)]
pub struct Checks {
    /// Id, state root and transactions of each height, as first decided anywhere.
    chain: Vec<(Hash32, Hash32)>,
    nonces: HashMap<PublicKey, u64>,
    committed: HashSet<Hash32>,
    signed: HashMap<Slot, Signed>,
    heights: BTreeMap<usize, u64>,
    /// Keys that are not promised to sign once: Byzantine ones, and copies of one card.
    unbound: BTreeSet<PublicKey>,
    /// Transactions that nobody signed.
    pub forged: HashSet<Hash32>,
    /// Slots that unbound keys signed twice.
    pub double_signs: u64,
    /// Keys that evidence on the chain names.
    pub convicted: BTreeSet<PublicKey>,
}

impl Checks {
    /// From now on this key may sign twice.
    pub fn unbind(&mut self, key: PublicKey) {
        self.unbound.insert(key);
    }

    /// Height that has been decided somewhere.
    pub fn height(&self) -> u64 {
        self.chain.len() as u64
    }

    /// Whether a transaction is committed.
    pub fn is_committed(&self, id: &Hash32) -> bool {
        self.committed.contains(id)
    }

    /// The block id of a decided height.
    pub fn id_at(&self, height: u64) -> Option<Hash32> {
        self.chain.get(usize::try_from(height.checked_sub(1)?).ok()?).map(|(id, _)| *id)
    }

    /// No honest key signs two things for one slot.
    ///
    /// # Errors
    /// What was signed twice.
    pub fn on_vote(&mut self, key: PublicKey, vote: &WireVote) -> Result<(), String> {
        let slot = (key, vote.height, vote.round, 1 + u8::from(vote.precommit));
        self.note(slot, (vote.value, None))
    }

    /// The same for proposals.
    ///
    /// # Errors
    /// What was proposed twice.
    pub fn on_proposal(&mut self, key: PublicKey, proposal: &WireProposal) -> Result<(), String> {
        let slot = (key, proposal.header.height, proposal.round, 0);
        self.note(slot, (Some(proposal.header.id()), proposal.pol_round))
    }

    fn note(&mut self, slot: Slot, signed: Signed) -> Result<(), String> {
        let first = *self.signed.entry(slot).or_insert(signed);
        if first == signed {
            return Ok(());
        }
        if self.unbound.contains(&slot.0) {
            self.double_signs += 1;
            return Ok(());
        }
        let kind = ["proposal", "prevote", "precommit"][usize::from(slot.3)];
        Err(format!(
            "double sign: key {} at height {} round {}, {kind}: first {first:?}, then {signed:?}",
            slot.0, slot.1, slot.2
        ))
    }

    /// A machine boots at this height: it must not have forgotten what its disk promised.
    pub fn on_boot(&mut self, machine: usize, height: u64) {
        self.heights.insert(machine, height);
    }

    /// Agreement, validity and order, when a machine finds a block final. True when it is the first.
    ///
    /// # Errors
    /// What does not hold.
    pub fn on_final(&mut self, machine: usize, done: &CommittedBlock) -> Result<bool, String> {
        let header = &done.block.header;
        let last = self.heights.insert(machine, header.height).unwrap_or(0);
        if header.height != last + 1 {
            return Err(format!("heights: machine {machine} finds {} final after {last}", header.height));
        }
        let place = header.height as usize - 1;
        match self.chain.get(place) {
            Some(known) if *known == (done.id, header.state_root) => return Ok(false),
            Some((id, root)) => {
                return Err(format!(
                    "agreement: at height {} machine {machine} has block {} with state {}, others {id} with {root}",
                    header.height, done.id, header.state_root
                ));
            }
            None if place == self.chain.len() => {}
            None => return Err(format!("heights: {} is final before its predecessor", header.height)),
        }
        if place > 0 && header.last_block != self.chain[place - 1].0 {
            return Err(format!("validity: block {} does not follow its predecessor", header.height));
        }
        self.chain.push((done.id, header.state_root));
        for bytes in &done.block.txs {
            let tx = SignedTransaction::decode(bytes).map_err(|error| format!("validity: {error}"))?;
            let id = tx.id();
            if !self.committed.insert(id) {
                return Err(format!("exactly once: transaction {id} is committed twice"));
            }
            if self.forged.contains(&id) {
                return Err(format!("validity: transaction {id} was never signed by {}", tx.tx.signer));
            }
            let nonce = self.nonces.entry(tx.tx.signer).or_default();
            if tx.tx.nonce != *nonce + 1 {
                return Err(format!("nonces: {} of {} after {nonce}", tx.tx.nonce, tx.tx.signer));
            }
            *nonce = tx.tx.nonce;
        }
        for culprit in done.block.evidence.iter().map(Evidence::validator) {
            if !self.unbound.contains(&culprit) {
                return Err(format!("evidence: honest validator {culprit} is convicted"));
            }
            self.convicted.insert(culprit);
        }
        Ok(true)
    }

    /// Memory that others' messages take is bounded, whatever they do.
    ///
    /// # Errors
    /// What is too much.
    pub fn on_held(&self, held: &Held, seats: usize) -> Result<(), String> {
        let bounded = held.candidates <= MAX_CANDIDATES
            && held.early_messages <= MAX_EARLY_MESSAGES
            && held.early_bytes <= MAX_MESSAGE_BYTES
            && held.pool_txs <= MAX_POOL_TXS
            && held.pool_bytes <= MAX_POOL_BYTES
            && held.jobs <= MAX_JOBS
            && held.validators <= seats;
        if bounded { Ok(()) } else { Err(format!("memory: {held:?}")) }
    }

    /// What an honest machine sends.
    ///
    /// # Errors
    /// What must not be sent.
    pub fn on_sent(
        &mut self,
        key: PublicKey,
        position: Option<u16>,
        message: &Message,
    ) -> Result<(), String> {
        match message {
            Message::Vote(vote) if position == Some(vote.validator) => self.on_vote(key, vote),
            Message::Proposal(proposal) if position == Some(proposal.proposer) => {
                self.on_proposal(key, proposal)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trustnet_ledger::crypto::{SecretKey, Signature};

    fn vote(round: u32, value: Option<u8>) -> WireVote {
        WireVote {
            precommit: true,
            height: 4,
            round,
            value: value.map(|byte| Hash32([byte; 32])),
            validator: 0,
            signature: Signature([0; 64]),
        }
    }

    #[test]
    fn an_honest_key_that_signs_two_values_for_a_slot_is_found_out() {
        let key = SecretKey::from_seed(&[1; 32]).public();
        let mut checks = Checks::default();
        assert_eq!(checks.on_vote(key, &vote(0, Some(1))), Ok(()));
        assert_eq!(checks.on_vote(key, &vote(0, Some(1))), Ok(()), "the same again");
        assert_eq!(checks.on_vote(key, &vote(1, None)), Ok(()), "another round");
        let mut prevote = vote(0, None);
        prevote.precommit = false;
        assert_eq!(checks.on_vote(key, &prevote), Ok(()), "another step");
        assert!(checks.on_vote(key, &vote(0, None)).unwrap_err().starts_with("double sign"));
        checks.unbind(key);
        assert_eq!(checks.on_vote(key, &vote(0, Some(2))), Ok(()));
        assert_eq!(checks.double_signs, 1);
    }

    #[test]
    fn memory_beyond_a_bound_is_found_out() {
        let checks = Checks::default();
        assert_eq!(checks.on_held(&Held::default(), 4), Ok(()));
        for held in [
            Held { candidates: 17, ..Held::default() },
            Held { early_messages: 33, ..Held::default() },
            Held { pool_txs: MAX_POOL_TXS + 1, ..Held::default() },
            Held { validators: 5, ..Held::default() },
        ] {
            assert!(checks.on_held(&held, 4).is_err(), "{held:?}");
        }
    }
}
