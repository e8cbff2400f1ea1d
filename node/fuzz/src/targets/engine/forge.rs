//! Messages that the other validators could send: right, wrong, and signed either way.

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_engine::Input;
use trustnet_engine::block::{Block, Commit, evidence_hash, proposal_sign_bytes, txs_root};
use trustnet_engine::evidence::Evidence;
use trustnet_engine::mempool::{short_id, tx_id};
use trustnet_engine::message::{
    Heartbeat, Holding, Message, Status, SyncResponse, WireCertificate, WireProposal, WireVote,
    heartbeat_sign_bytes,
};
use trustnet_ledger::codec;
use trustnet_ledger::crypto::{Hash32, Signature};
use trustnet_ledger::{Action, Category};

use super::{Machine, own_key};
use crate::script::Script;
use crate::verdicts;
use crate::world::{self, CHAIN_ID, KEYS, VALIDATORS};

/// Blocks kept for one height.
const MAX_BLOCKS: usize = 6;

impl Machine {
    /// A transaction of one of the validators' operators, or any bytes.
    pub(super) fn some_tx(&self, script: &mut Script<'_>) -> Bytes {
        let byte = script.byte();
        if byte >= 240 {
            return Bytes::copy_from_slice(script.bytes());
        }
        let (from, to) = (usize::from(byte) % VALIDATORS, usize::from(byte >> 2) % VALIDATORS);
        let key = &KEYS[from].operator;
        let nonce = self.mirror.ledger().nonce_of(&key.public()) + 1 + u64::from(byte >> 6);
        let action = Action::Rate {
            from: world::validator_id(from),
            to: world::validator_id(to),
            stars: 1 + byte % 5,
            category: Category::Honesty,
            reason: String::new(),
        };
        let tx = world::signed(key, nonce, self.mirror.ledger().time_ms(), action);
        let mut bytes = tx.bytes().to_vec();
        if byte % 32 == 31
            && let Some(last) = bytes.last_mut()
        {
            *last ^= 1;
        }
        bytes.into()
    }

    /// Builds a block on the chain, and may spoil it.
    pub(super) fn make_block(&mut self, script: &mut Script<'_>) {
        let count = script.below(4);
        let txs: Vec<Bytes> = (0..count).map(|_| self.some_tx(script)).collect();
        let decoded: Vec<_> =
            txs.iter().filter_map(|tx| trustnet_ledger::SignedTransaction::decode(tx).ok()).collect();
        let mut block = world::next_block(&self.mirror, &decoded, self.now.unix_ms.min(1 << 50));
        if script.byte() % 4 == 3 {
            spoil(script, &mut block, &txs);
        }
        if self.blocks.len() == MAX_BLOCKS {
            self.blocks.remove(0);
        }
        self.blocks.push(block);
    }

    fn some_block(&self, script: &mut Script<'_>) -> Option<&Block> {
        let byte = usize::from(script.byte());
        self.blocks.get(byte % self.blocks.len().max(1))
    }

    /// A value to vote for: a block, nil, or one that nobody has.
    fn some_value(&self, script: &mut Script<'_>) -> Option<Hash32> {
        match script.byte() {
            255 => Some(Hash32([7; 32])),
            200..=254 => None,
            byte => {
                let at = usize::from(byte) % self.blocks.len().max(1);
                self.blocks.get(at).map(|block| block.header.id())
            }
        }
    }

    /// Mostly the height being decided.
    fn some_height(&self, script: &mut Script<'_>) -> u64 {
        let height = self.mirror.next_height();
        match script.byte() {
            255 => u64::MAX,
            254 => 0,
            253 => height.saturating_sub(1),
            248..=252 => height + 1,
            247 => script.number(),
            _ => height,
        }
    }

    /// Mostly a low round.
    fn some_round(script: &mut Script<'_>) -> u32 {
        match script.byte() {
            255 => u32::MAX,
            254 => script.number() as u32,
            byte => u32::from(byte % 4),
        }
    }

    /// The vote as its validator signs it; ours, and those of strangers, get a signature that does not hold.
    fn wire_vote(&self, vote: &bft::Vote) -> WireVote {
        let own = self.mirror.position(&own_key()) == Some(vote.validator);
        let signature = if own { None } else { world::sign_vote(&self.mirror, vote) };
        WireVote {
            precommit: vote.kind == bft::VoteKind::Precommit,
            height: vote.height,
            round: vote.round,
            value: vote.value.map(|value| Hash32(value.0)),
            validator: vote.validator,
            signature: signature.unwrap_or(Signature([1; 64])),
        }
    }

    /// The same vote by each validator whose bit is set: the shortest way through a round.
    pub(super) fn ballot(&mut self, script: &mut Script<'_>) {
        let (kind, round, value, who) =
            (kind(script), Self::some_round(script), self.some_value(script), script.byte());
        let height = self.mirror.next_height();
        for validator in (0..VALIDATORS as u16).filter(|position| who & (1 << position) != 0) {
            let value = value.map(|id| bft::ValueId(id.0));
            let message = Message::Vote(self.wire_vote(&bft::Vote { kind, height, round, value, validator }));
            self.last_made = message.encode();
            let (peer, bytes) = (super::peer_key(1 + usize::from(validator) % 3), self.last_made.clone());
            self.feed(Input::Message { peer, bytes });
        }
    }

    fn certificate(&self, script: &mut Script<'_>, kind: bft::VoteKind, round: u32) -> WireCertificate {
        let (height, value, who) = (self.some_height(script), self.some_value(script), script.byte());
        let mut signatures: Vec<(u16, Signature)> = (0..VALIDATORS as u16)
            .filter(|position| who & (1 << position) != 0)
            .map(|validator| {
                let value = value.map(|id| bft::ValueId(id.0));
                let vote = bft::Vote { kind, height, round, value, validator };
                (validator, self.wire_vote(&vote).signature)
            })
            .collect();
        if who & 0x80 != 0 {
            signatures.push((u16::from(script.byte()), Signature([script.byte(); 64])));
        }
        WireCertificate { precommit: kind == bft::VoteKind::Precommit, height, round, value, signatures }
    }

    /// A message of the kind that `op` names.
    pub(super) fn forge(&mut self, script: &mut Script<'_>, op: u8) -> Option<Message> {
        Some(match op % 32 {
            22..=24 => self.proposal(script)?,
            25 => {
                let kind = kind(script);
                let round = Self::some_round(script);
                Message::Certificate(self.certificate(script, kind, round))
            }
            26 => {
                let (kind, height, round) =
                    (kind(script), self.some_height(script), Self::some_round(script));
                let value = self.some_value(script).map(|id| bft::ValueId(id.0));
                let validator = u16::from(script.byte());
                let validator = if validator < 200 { validator % VALIDATORS as u16 } else { validator };
                Message::Vote(self.wire_vote(&bft::Vote { kind, height, round, value, validator }))
            }
            27 => match op >> 5 {
                0..=3 => self.status(script),
                _ => Message::Holding(Holding {
                    height: self.some_height(script),
                    round: Self::some_round(script),
                    proposal: script.flag(),
                    prevotes: [script.number(), 0],
                    precommits: [script.number(), script.number()],
                }),
            },
            28 => {
                let block = self.some_value(script).unwrap_or_default();
                let positions = (0..script.below(4)).map(|at| at as u16 * 7 % 5).collect();
                Message::GetBlockTxs { block, positions }
            }
            29 => {
                let block = self.some_block(script)?;
                let (block, mut txs) = (block.header.id(), block.txs.clone());
                if script.flag() {
                    txs.push(self.some_tx(script));
                }
                Message::BlockTxs { block, txs }
            }
            30 => Message::Txs((0..=script.below(3)).map(|_| self.some_tx(script)).collect()),
            _ => match op >> 5 {
                0..=3 => self.heartbeat(script),
                _ => Message::Evidence(vec![self.evidence(script)]),
            },
        })
    }

    fn proposal(&self, script: &mut Script<'_>) -> Option<Message> {
        let block = self.some_block(script)?;
        let round = Self::some_round(script);
        let (height, id) = (block.header.height, block.header.id());
        let pol_round = script.flag().then(|| Self::some_round(script));
        let in_turn = self.mirror.set().proposer(self.mirror.next_height(), round);
        let proposer = if script.byte() % 16 == 15 { script.byte() % 5 } else { in_turn as u8 };
        let value = bft::ValueId(id.0);
        let proposal = bft::Proposal { height, round, value, pol_round, proposer: u16::from(proposer) };
        let (key, _) = *self.mirror.deciders().get(usize::from(proposer))?;
        let message = proposal_sign_bytes(CHAIN_ID, &proposal);
        let secret = world::validator_secret(&key).filter(|secret| secret.public() != own_key());
        let polka = pol_round.map(|round| self.certificate(script, bft::VoteKind::Prevote, round));
        Some(Message::Proposal(Box::new(WireProposal {
            round,
            pol_round,
            proposer: u16::from(proposer),
            signature: secret.map_or(Signature([2; 64]), |secret| verdicts::sign(secret, &message)),
            header: block.header.clone(),
            last_commit: block.last_commit.clone(),
            evidence: block.evidence.clone(),
            txs: block.txs.iter().map(|tx| short_id(&tx_id(tx))).collect(),
            polka,
        })))
    }

    fn status(&self, script: &mut Script<'_>) -> Message {
        Message::Status(Status {
            height: self.some_height(script).saturating_sub(1),
            block: self.some_value(script).unwrap_or_default(),
            earliest: script.number(),
            round: script.flag().then(|| Self::some_round(script)),
            your_vote: script.flag().then(|| (self.some_height(script), Self::some_round(script))),
        })
    }

    fn heartbeat(&self, script: &mut Script<'_>) -> Message {
        let who = script.below(VALIDATORS);
        let slot = match script.byte() {
            255 => u64::MAX,
            byte => (self.now.unix_ms / 30_000 + u64::from(byte % 8)).saturating_sub(4),
        };
        let height = self.some_height(script);
        let signature = verdicts::sign(&KEYS[who].node, &heartbeat_sign_bytes(CHAIN_ID, slot, height));
        Message::Heartbeat(Heartbeat { slot, height, signature })
    }

    /// Two votes of one slot by another validator.
    fn evidence(&self, script: &mut Script<'_>) -> Evidence {
        let secret = &KEYS[1 + script.below(VALIDATORS - 1)].validator;
        let (kind, height, round) = (kind(script), self.some_height(script), Self::some_round(script));
        let vote = |value: Option<Hash32>| {
            let value = value.map(|id| bft::ValueId(id.0));
            let vote = bft::Vote { kind, height, round, value, validator: 0 };
            let signature = verdicts::sign(secret, &trustnet_engine::block::vote_sign_bytes(CHAIN_ID, &vote));
            bft::SignedVote { vote, signature: bft::Signature(signature.0) }
        };
        Evidence::from_votes(secret.public(), &vote(None), &vote(Some(Hash32([script.byte(); 32]))))
    }

    /// Answers the oldest request for blocks.
    pub(super) fn answer_sync(&mut self, script: &mut Script<'_>) {
        let Some((peer, tag)) = self.requests.pop_front() else { return };
        let bytes = match script.byte() % 8 {
            6 => Some(Bytes::copy_from_slice(script.bytes())),
            7 => None,
            count => {
                let blocks = (0..=count % 2).filter_map(|_| self.synced(script)).collect();
                Some(SyncResponse { blocks }.encode())
            }
        };
        self.feed(Input::SyncResponse { peer, tag, bytes });
    }

    fn synced(&self, script: &mut Script<'_>) -> Option<(Bytes, Bytes)> {
        let block = self.some_block(script)?;
        // Without our own signature: we sign for ourselves.
        let own = self.mirror.position(&own_key()).unwrap_or(VALIDATORS as u16);
        let who = !script.byte() & !(1 << own);
        let round = Self::some_round(script);
        let mut commit: Commit = world::commit(&self.mirror, block.header.id(), round, who);
        if script.byte() % 8 == 7 {
            commit.height = script.number();
        }
        Some((block.encode(), codec::encode(&commit).into()))
    }
}

fn kind(script: &mut Script<'_>) -> bft::VoteKind {
    if script.flag() { bft::VoteKind::Precommit } else { bft::VoteKind::Prevote }
}

/// Makes a block wrong in one way; the header names its parts all the same, unless that is the way.
fn spoil(script: &mut Script<'_>, block: &mut Block, txs: &[Bytes]) {
    let odd = Hash32([script.byte(); 32]);
    let what = script.byte() % 16;
    match what {
        0 => block.txs.extend_from_slice(txs),
        1 => block.txs.push(Bytes::copy_from_slice(script.bytes())),
        2 => block.txs.reverse(),
        3 => block.header.time_ms = script.number(),
        4 => block.header.state_root = odd,
        5 => block.header.results = odd,
        6 => block.header.log_size = script.number(),
        7 => block.header.next_validators = odd,
        8 => block.header.validators = odd,
        9 => block.header.last_block = odd,
        10 => block.header.proposer.0 = odd.0,
        11 => block.header.height = script.number(),
        12 => block.last_commit.round = script.number() as u32,
        13 => drop(block.last_commit.signatures.pop()),
        14 => block.header.genesis = odd,
        _ => block.header.version = script.byte(),
    }
    block.header.tx_count = block.txs.len() as u32;
    block.header.txs_root = txs_root(&block.txs);
    block.header.last_commit = block.last_commit.hash();
    block.header.evidence = evidence_hash(&block.evidence);
    if script.byte() % 8 == 7 {
        block.header.txs_root = odd;
    }
}
