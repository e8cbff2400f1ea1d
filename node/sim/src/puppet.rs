//! A Byzantine validator: a real replica whose every message passes through here on its way out.
//!
//! It holds its own key and signs what it likes; it holds nobody else's.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_engine::block::{proposal_sign_bytes, vote_sign_bytes};
use trustnet_engine::message::{Message, Status, WireCertificate, WireProposal, WireVote};
use trustnet_ledger::crypto::{Hash32, Signature};
use trustnet_ledger::signed::SignedTransaction;
use trustnet_ledger::tx::{Action, Observation};

use crate::behaviour::Behaviour;
use crate::dice::Dice;
use crate::seats::{CHAIN_ID, Seat};
use crate::tally::{Group, Tally};

/// How many messages of others it remembers, to bend or replay.
const MAX_HEARD: usize = 64;

/// Where the puppet's replica stands.
#[derive(Clone, Copy)]
pub struct View {
    /// Height being decided.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// Its place among the validators.
    pub position: Option<u16>,
    /// How many validators there are.
    pub validators: usize,
}

/// One Byzantine machine.
pub struct Puppet {
    pub(crate) seat: Seat,
    pub(crate) behaviours: BTreeSet<Behaviour>,
    pub(crate) dice: Dice,
    /// Which peers are told the truth, a bit for each seat.
    half: u128,
    /// Values proposed lately.
    pub(crate) values: VecDeque<Hash32>,
    /// Messages of others.
    pub(crate) heard: VecDeque<Bytes>,
    /// Proposals of its own.
    pub(crate) proposals: VecDeque<WireProposal>,
}

impl Puppet {
    /// A puppet of `seat` that does `behaviours`.
    pub fn new(seat: Seat, behaviours: BTreeSet<Behaviour>, mut dice: Dice) -> Self {
        let half = u128::from(dice.any());
        let (values, heard, proposals) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { seat, behaviours, dice, half, values, heard, proposals }
    }

    /// Whether it does this.
    pub fn does(&self, behaviour: Behaviour) -> bool {
        self.behaviours.contains(&behaviour)
    }

    fn favours(&self, to: usize) -> bool {
        self.half >> (to % 64) & 1 == 1
    }

    pub(crate) fn sign_vote(&self, mut wire: WireVote) -> WireVote {
        let vote = bft::Vote {
            kind: if wire.precommit { bft::VoteKind::Precommit } else { bft::VoteKind::Prevote },
            height: wire.height,
            round: wire.round,
            value: wire.value.map(|value| bft::ValueId(value.0)),
            validator: wire.validator,
        };
        wire.signature = self.seat.validator.sign(&vote_sign_bytes(CHAIN_ID, &vote));
        wire
    }

    pub(crate) fn sign_proposal(&self, mut wire: WireProposal) -> WireProposal {
        let proposal = bft::Proposal {
            height: wire.header.height,
            round: wire.round,
            value: bft::ValueId(wire.header.id().0),
            pol_round: wire.pol_round,
            proposer: wire.proposer,
        };
        wire.signature = self.seat.validator.sign(&proposal_sign_bytes(CHAIN_ID, &proposal));
        wire
    }

    /// Looks at a message on its way in. False: the replica shall not see it, for it would fall silent at the
    /// sight of its own second votes.
    pub fn hear(&mut self, bytes: &Bytes, view: View) -> bool {
        if self.heard.len() >= MAX_HEARD {
            self.heard.pop_front();
        }
        self.heard.push_back(bytes.clone());
        match Message::decode(bytes) {
            Ok(Message::Proposal(proposal)) => {
                self.remember(proposal.header.id());
                true
            }
            Ok(Message::Vote(vote)) => view.position != Some(vote.validator),
            Ok(Message::Evidence(_)) => false,
            Ok(Message::Status(status)) => status.your_vote.is_none(),
            _ => true,
        }
    }

    fn remember(&mut self, value: Hash32) {
        if !self.values.contains(&value) {
            if self.values.len() >= 8 {
                self.values.pop_front();
            }
            self.values.push_back(value);
        }
    }

    /// What goes to `to` instead of `message`, and after how many milliseconds.
    pub fn twist(
        &mut self,
        to: usize,
        message: &Message,
        view: View,
        tally: &mut Tally,
    ) -> Vec<(u64, Message)> {
        use Behaviour as B;
        let mut did = |behaviour: B| tally.note(Group::Byzantine, behaviour.name());
        let consensus = matches!(message, Message::Vote(_) | Message::Proposal(_) | Message::Certificate(_));
        if consensus && self.does(B::Silent) {
            did(B::Silent);
            return Vec::new();
        }
        if consensus && self.does(B::Selective) && !self.favours(to) {
            did(B::Selective);
            return Vec::new();
        }
        match message {
            Message::Vote(vote) => {
                let mut vote = vote.clone();
                if self.does(B::StaleVotes) && vote.round > 0 {
                    did(B::StaleVotes);
                    vote.value = self.dice.pick(self.values.make_contiguous()).copied();
                    vote = self.sign_vote(vote);
                }
                if self.does(B::TwoVotes) && !self.favours(to) {
                    did(B::TwoVotes);
                    vote.value = match vote.value {
                        Some(_) => None,
                        None => self.values.back().copied(),
                    };
                    vote = self.sign_vote(vote);
                }
                if self.does(B::HiddenLock) {
                    did(B::HiddenLock);
                    let confidant = (vote.height + u64::from(vote.round)) as usize % view.validators.max(1);
                    if vote.precommit || to != confidant {
                        return Vec::new();
                    }
                    return vec![(self.dice.between(0, 600), Message::Vote(vote))];
                }
                vec![(0, Message::Vote(vote))]
            }
            Message::Proposal(proposal) => {
                self.remember(proposal.header.id());
                let own = view.position == Some(proposal.proposer);
                let mut proposal = (**proposal).clone();
                if self.does(B::HiddenLock) && proposal.polka.is_some() {
                    did(B::HiddenLock);
                    proposal.polka = None;
                }
                if own {
                    if self.does(B::InvalidBlocks) {
                        did(B::InvalidBlocks);
                        proposal = self.invalid(proposal);
                    }
                    if self.does(B::TwoProposals) && !self.favours(to) {
                        did(B::TwoProposals);
                        proposal.header.time_ms += 1;
                        proposal = self.sign_proposal(proposal);
                        self.remember(proposal.header.id());
                    }
                    if self.proposals.len() >= 4 {
                        self.proposals.pop_front();
                    }
                    self.proposals.push_back(proposal.clone());
                }
                vec![(0, Message::Proposal(Box::new(proposal)))]
            }
            Message::Txs(txs) if self.does(B::FalseAttestation) => {
                let txs = txs.iter().map(|tx| self.false_attestation(tx, &mut did)).collect();
                vec![(0, Message::Txs(txs))]
            }
            Message::Status(status) if self.does(B::LyingStatus) => {
                did(B::LyingStatus);
                vec![(0, Message::Status(self.lie(status.clone())))]
            }
            other => vec![(0, other.clone())],
        }
    }

    pub(crate) fn lie(&mut self, mut status: Status) -> Status {
        status.height = match self.dice.below(4) {
            0 => status.height + self.dice.between(1, 3),
            1 => u64::MAX,
            2 => status.height + 1_000,
            _ => 0,
        };
        status.round = [None, Some(0), Some(u32::MAX), Some(7)][self.dice.below(4)];
        status.your_vote = [None, Some((status.height, 3)), Some((u64::MAX, u32::MAX))][self.dice.below(3)];
        status
    }

    /// A block that breaks one rule, signed.
    fn invalid(&mut self, mut proposal: WireProposal) -> WireProposal {
        let header = &mut proposal.header;
        match self.dice.below(9) {
            0 => header.state_root.0[0] ^= 1,
            1 => header.log_size += 1,
            2 => header.time_ms = header.time_ms.saturating_sub(86_400_000),
            3 => header.next_validators.0[5] ^= 1,
            4 => header.last_block.0[1] ^= 1,
            5 => header.proposer.0[0] ^= 1,
            6 => header.version = 2,
            7 => {
                proposal.txs.reverse();
                proposal.txs.push([7; 8]);
                header.tx_count += 1;
            }
            _ => proposal.last_commit.signatures.truncate(1),
        }
        self.sign_proposal(proposal)
    }

    fn false_attestation(&mut self, bytes: &Bytes, did: &mut impl FnMut(Behaviour)) -> Bytes {
        let Ok(mut signed) = SignedTransaction::decode(bytes) else { return bytes.clone() };
        let own = signed.tx.signer == self.seat.validator_key;
        let Action::Attest { observations, .. } = &mut signed.tx.action else { return bytes.clone() };
        if !own {
            return bytes.clone();
        }
        did(Behaviour::FalseAttestation);
        for seen in observations.iter_mut() {
            let (heartbeats, invalid, abuse) =
                [(0, 255, 255), (10, 0, 0), (seen.heartbeats, 9, 9)][self.dice.below(3)];
            *seen = Observation { node: seen.node, heartbeats, invalid, abuse };
        }
        let lie = SignedTransaction::sign(signed.tx, &self.seat.validator, CHAIN_ID);
        Bytes::copy_from_slice(lie.bytes())
    }

    /// A certificate that does not hold: too few, doubled, strangers, or signatures of something else.
    pub(crate) fn false_certificate(&mut self, view: View, position: u16) -> Message {
        let value = self.values.back().copied();
        let precommit = self.dice.chance(700);
        let mut signatures: Vec<(u16, Signature)> = (0..view.validators as u16)
            .map(|index| {
                let vote = WireVote {
                    precommit,
                    height: view.height,
                    round: view.round,
                    value,
                    validator: index,
                    signature: Signature([0; 64]),
                };
                (index, self.sign_vote(vote).signature)
            })
            .collect();
        match self.dice.below(4) {
            0 => signatures.retain(|(index, _)| *index == position),
            1 => signatures = vec![signatures[usize::from(position) % signatures.len()]; signatures.len()],
            2 => signatures.push((u16::MAX, Signature([1; 64]))),
            _ => {}
        }
        Message::Certificate(WireCertificate {
            precommit,
            height: view.height,
            round: view.round,
            value,
            signatures,
        })
    }
}
