//! What a Byzantine validator does unasked: floods, garbage, forgeries and lies.

use bytes::Bytes;
use trustnet_engine::message::{Heartbeat, Holding, Message, Status, SyncRequest, SyncResponse, WireVote};
use trustnet_ledger::crypto::{Hash32, PublicKey, Signature};
use trustnet_ledger::ids::NodeId;
use trustnet_ledger::rating::Category;
use trustnet_ledger::signed::SignedTransaction;
use trustnet_ledger::tx::{Action, Transaction};

use crate::behaviour::Behaviour;
use crate::puppet::{Puppet, View};
use crate::tally::{Group, Tally};

/// Messages of one kind sent at a time.
const BURST: u64 = 6;

/// What leaves a Byzantine machine.
pub enum Deed {
    /// A message, whole or not.
    Bytes(Bytes),
    /// A request for blocks.
    Request(Bytes),
}

/// Whom a forged transaction names.
pub struct Victim {
    /// The operator whose signature is forged.
    pub operator: PublicKey,
    /// Its node.
    pub from: NodeId,
    /// A node that it would rate.
    pub to: NodeId,
    /// Its next nonce.
    pub nonce: u64,
    /// Its clock.
    pub time_ms: u64,
}

impl Puppet {
    /// Things to send to one peer now. `forged` gets the transactions that must never be committed.
    pub fn mischief(
        &mut self,
        view: View,
        victim: &Victim,
        forged: &mut Vec<Hash32>,
        tally: &mut Tally,
    ) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for behaviour in self.behaviours.clone() {
            let before = deeds.len();
            for _ in 0..self.dice.between(1, BURST) {
                self.one(behaviour, view, victim, forged, &mut deeds);
            }
            if deeds.len() > before {
                tally.add(Group::Byzantine, behaviour.name(), (deeds.len() - before) as u64);
            }
        }
        deeds
    }

    fn one(
        &mut self,
        behaviour: Behaviour,
        view: View,
        victim: &Victim,
        forged: &mut Vec<Hash32>,
        deeds: &mut Vec<Deed>,
    ) {
        let mut say = |message: Message| deeds.push(Deed::Bytes(message.encode()));
        match behaviour {
            Behaviour::Garbage => deeds.push(Deed::Bytes(self.garbage())),
            Behaviour::Replay => {
                let old = self.dice.pick(self.heard.make_contiguous()).cloned();
                deeds.extend(old.map(Deed::Bytes));
            }
            Behaviour::FarFuture => {
                let Some(validator) = view.position else { return };
                let height = view.height + [0, 1, 2, 1_000, u64::MAX / 2][self.dice.below(5)];
                let round = [1, 2, 9, 5_000, u32::MAX][self.dice.below(5)].max(view.round);
                let value = self.values.back().copied();
                let signature = Signature([0; 64]);
                let precommit = self.dice.chance(500);
                let vote = WireVote { precommit, height, round, value, validator, signature };
                say(Message::Vote(self.sign_vote(vote)));
            }
            Behaviour::ProposalFlood => {
                let Some(mut proposal) = self.proposals.back().cloned() else { return };
                proposal.header.time_ms += self.dice.between(1, 1_000);
                proposal.txs.push([self.dice.any() as u8; 8]);
                proposal.header.tx_count += 1;
                say(Message::Proposal(Box::new(self.sign_proposal(proposal))));
            }
            Behaviour::FalseCertificates => {
                let Some(position) = view.position else { return };
                say(self.false_certificate(view, position));
            }
            Behaviour::LyingStatus => {
                let status = Status {
                    height: view.height,
                    block: Hash32([9; 32]),
                    earliest: 1,
                    round: Some(0),
                    your_vote: None,
                };
                let status = self.lie(status);
                say(Message::Status(status));
            }
            Behaviour::ForgedTxs => say(self.forged(victim, forged)),
            Behaviour::Pester => {
                let positions: Vec<u16> = (0..self.dice.between(0, 40) as u16).collect();
                let block = self.values.back().copied().unwrap_or_default();
                let none = [0; 2];
                let (height, round) = (view.height - self.dice.between(0, 1), self.dice.below(3) as u32);
                match self.dice.below(5) {
                    0 => say(Message::GetBlockTxs { block, positions }),
                    // Made-up transactions for another's block: the second time, when all of them were asked for, it is
                    // plain that they are.
                    1 if positions.len().is_multiple_of(2) => {
                        let Some(proposal) = self.proposals.back() else { return };
                        let txs = vec![Bytes::from_static(b"no"); proposal.txs.len()];
                        let block = proposal.header.id();
                        say(Message::BlockTxs { block, txs: txs.clone() });
                        say(Message::BlockTxs { block, txs });
                    }
                    // Another's proposal, with transactions that are not its own: only the header is signed.
                    1 => {
                        let Some(mut proposal) = self.proposals.back().cloned() else { return };
                        proposal.txs.iter_mut().for_each(|short| short[0] ^= 1);
                        say(Message::Proposal(Box::new(proposal)));
                    }
                    2 => say(Message::Holding(Holding {
                        height,
                        round,
                        proposal: false,
                        prevotes: none,
                        precommits: none,
                    })),
                    3 => say(Message::Heartbeat(Heartbeat {
                        slot: self.dice.any(),
                        height: view.height + self.dice.between(0, 9),
                        signature: Signature([3; 64]),
                    })),
                    _ => {
                        let request = SyncRequest { from: self.dice.between(0, 9), count: u32::MAX };
                        deeds.push(Deed::Request(request.encode()));
                    }
                }
            }
            _ => {}
        }
    }

    fn garbage(&mut self) -> Bytes {
        let old = self.dice.pick(self.heard.make_contiguous()).cloned();
        match old {
            Some(old) if self.dice.chance(600) => {
                let mut bent = old.to_vec();
                let at = self.dice.below(bent.len());
                if let Some(byte) = bent.get_mut(at) {
                    *byte ^= 1 << self.dice.below(8);
                }
                if self.dice.chance(200) {
                    bent.truncate(at);
                }
                bent.into()
            }
            _ => self.dice.bytes(300).into(),
        }
    }

    /// A transaction in another's name.
    fn forged(&mut self, victim: &Victim, forged: &mut Vec<Hash32>) -> Message {
        let tx = Transaction {
            signer: victim.operator,
            nonce: victim.nonce + self.dice.between(0, 2),
            time_ms: victim.time_ms,
            action: Action::Rate {
                from: victim.from,
                to: victim.to,
                stars: 1,
                category: Category::Honesty,
                reason: "forged".into(),
            },
        };
        let mut signature = [0; 64];
        let noise = self.dice.bytes(64);
        signature[..noise.len()].copy_from_slice(&noise);
        let tx = SignedTransaction::from_parts(tx, Signature(signature));
        forged.push(tx.id());
        Message::Txs(vec![Bytes::copy_from_slice(tx.bytes())])
    }

    /// What it answers instead of honest blocks. `None`: nothing at all.
    pub fn sync_answer(&mut self, honest: SyncResponse, tally: &mut Tally) -> Option<Bytes> {
        if !self.does(Behaviour::LyingSync) {
            return Some(honest.encode());
        }
        tally.note(Group::Byzantine, Behaviour::LyingSync.name());
        let mut blocks = honest.blocks;
        match self.dice.below(7) {
            0 => return None,
            1 => return Some(self.dice.bytes(200).into()),
            2 => blocks.clear(),
            3 => blocks.reverse(),
            4 => {
                let commits: Vec<Bytes> = blocks.iter().map(|(_, commit)| commit.clone()).collect();
                for ((_, commit), other) in blocks.iter_mut().zip(commits.into_iter().rev()) {
                    *commit = other;
                }
            }
            _ => {
                let which = self.dice.below(blocks.len());
                if let Some((block, commit)) = blocks.get_mut(which) {
                    let target = if self.dice.chance(500) { block } else { commit };
                    let mut bent = target.to_vec();
                    let at = self.dice.below(bent.len());
                    if let Some(byte) = bent.get_mut(at) {
                        *byte ^= 1 << self.dice.below(8);
                    }
                    *target = bent.into();
                }
            }
        }
        Some(SyncResponse { blocks }.encode())
    }
}
