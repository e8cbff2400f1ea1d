//! Carries out what the replica wants, and checks it.

use trustnet_bft as bft;
use trustnet_engine::Output;
use trustnet_engine::block::{Block, CommittedBlock, proposal_sign_bytes, vote_sign_bytes};
use trustnet_engine::io::{Final, Persist};
use trustnet_engine::message::{MAX_MESSAGE_BYTES, Message, WireProposal, WireVote};
use trustnet_engine::signer::SignRecord;
use trustnet_ledger::SignedTransaction;
use trustnet_ledger::codec;
use trustnet_ledger::crypto::Hash32;

use super::{Machine, own_key};
use crate::world::{CHAIN_ID, VERIFIER};

/// More outputs of one step than any input could ask for.
const MAX_OUTPUTS: usize = 2_000;

impl Machine {
    pub(super) fn carry_out(&mut self, outputs: Vec<Output>) {
        assert!(outputs.len() <= MAX_OUTPUTS, "{} outputs of one step", outputs.len());
        for output in outputs {
            if let Some(left) = &mut self.dies_after {
                if *left == 0 {
                    return self.restart();
                }
                *left -= 1;
            }
            self.carry_out_one(output);
        }
    }

    fn carry_out_one(&mut self, output: Output) {
        match output {
            Output::Persist(Persist::Signer(record)) => self.persist(record),
            Output::Persist(Persist::SignerWithBlock { record, height, id, block }) => {
                let read = Block::decode(&block).expect("a block that is stored decodes");
                assert_eq!((read.header.height, read.header.id()), (height, id));
                self.disk.candidates.insert(id, block);
                self.persist(record);
            }
            Output::Send(_, message) | Output::Broadcast(message, _) => self.check_message(&message),
            Output::Request { peer, request, tag } => {
                assert_eq!(request.from, self.mirror.next_height(), "asked for the next block");
                self.requests.push_back((peer, tag));
            }
            Output::SetTimer(id, at) => {
                assert!(at >= self.now.mono_ms, "a timer in the past: {id:?}");
                self.timers.insert(id, at);
            }
            Output::Verify { job, checks } => {
                assert!(!checks.is_empty());
                self.jobs.push_back((job, checks));
            }
            Output::Final(done) => self.finish(*done),
            Output::Submitted { token, .. } => {
                assert!(self.tokens.remove(&token), "answered twice, or never asked");
            }
            Output::Punish { points, .. } => assert!(points > 0),
            Output::ServeBlocks { request, .. } => assert!(request.count <= 256),
            Output::Validators(keys) => assert!(!keys.is_empty()),
            Output::Halt(why) => {
                assert!(!why.is_empty());
                self.halted = true;
            }
        }
    }

    /// The record on the disk never goes back.
    fn persist(&mut self, record: Vec<u8>) {
        let new = SignRecord::decode(&record).expect("a record that is stored decodes");
        if let Some(old) = self.record() {
            assert!((new.height, new.round) >= (old.height, old.round), "back from {old:?} to {new:?}");
        }
        self.disk.signer = Some(record);
        self.disk.lost = false;
    }

    fn record(&self) -> Option<SignRecord> {
        let bytes = self.disk.signer.as_ref().filter(|_| !self.disk.lost)?;
        Some(SignRecord::decode(bytes).expect("a stored record decodes"))
    }

    /// What leaves the node is well formed, and what it signs is signed once and on record.
    fn check_message(&mut self, message: &Message) {
        let bytes = message.encode();
        assert!(bytes.len() <= MAX_MESSAGE_BYTES);
        assert_eq!(Message::decode(&bytes).as_ref(), Ok(message), "others can read what we send");
        match message {
            Message::Vote(vote) => self.check_vote(vote),
            Message::Proposal(proposal) => self.check_proposal(proposal),
            _ => {}
        }
    }

    fn check_vote(&mut self, wire: &WireVote) {
        let vote = bft::Vote {
            kind: if wire.precommit { bft::VoteKind::Precommit } else { bft::VoteKind::Prevote },
            height: wire.height,
            round: wire.round,
            value: wire.value.map(|id| bft::ValueId(id.0)),
            validator: wire.validator,
        };
        if !VERIFIER.verify(&own_key(), &vote_sign_bytes(CHAIN_ID, &vote), &wire.signature) {
            return;
        }
        let slot = (wire.height, wire.round, wire.precommit);
        let known = *self.votes.entry(slot).or_insert(wire.value);
        assert_eq!(known, wire.value, "two votes in slot {slot:?}");
        let record = self.record().expect("a vote left before any record");
        if (record.height, record.round) == (wire.height, wire.round) {
            let recorded = if wire.precommit { record.precommitted } else { record.prevoted };
            assert_eq!(recorded, Some(wire.value), "a vote left before its record: {record:?}");
        } else {
            assert!((record.height, record.round) > (wire.height, wire.round), "not on record: {record:?}");
        }
    }

    fn check_proposal(&mut self, wire: &WireProposal) {
        let (height, id) = (wire.header.height, wire.header.id());
        let proposal = bft::Proposal {
            height,
            round: wire.round,
            value: bft::ValueId(id.0),
            pol_round: wire.pol_round,
            proposer: wire.proposer,
        };
        if !VERIFIER.verify(&own_key(), &proposal_sign_bytes(CHAIN_ID, &proposal), &wire.signature) {
            return;
        }
        let slot = (height, wire.round);
        let known = *self.proposals.entry(slot).or_insert((id, wire.pol_round));
        assert_eq!(known, (id, wire.pol_round), "two proposals in slot {slot:?}");
        let record = self.record().expect("a proposal left before any record");
        assert!((record.height, record.round) >= slot, "not on record: {record:?}");
    }

    /// A block is final: it follows the one before, holds, and carries a commit that holds.
    fn finish(&mut self, done: Final) {
        let CommittedBlock { id, block, commit } = &*done.committed;
        assert_eq!(*id, block.header.id());
        assert_eq!(done.bytes, block.encode());
        assert_eq!(block.header.height, self.mirror.next_height(), "one height after the other");
        assert!(!done.stored || self.disk.candidates.contains_key(id), "said to be stored, and is not");
        self.mirror.check_commit(commit, *id).expect("a block is committed by more than two thirds");
        let checks: Vec<_> = block
            .txs
            .iter()
            .map(|tx| SignedTransaction::decode(tx).expect("transactions of a block decode"))
            .map(|tx| tx.signature_check(CHAIN_ID))
            .collect();
        assert!(VERIFIER.all_valid(&checks), "an unsigned transaction is committed");
        let execution = self.mirror.validate(block).expect("a committed block is valid");
        let leaves = self.mirror.append(block, commit, execution);
        assert_eq!(leaves, done.leaves);
        let ids: Vec<Hash32> = block.txs.iter().map(|tx| trustnet_engine::mempool::tx_id(tx)).collect();
        assert_eq!(ids, done.tx_ids);
        self.disk.committed.push((done.bytes, codec::encode(commit).into()));
        self.disk.candidates.clear();
        self.blocks.clear();
    }
}
