//! The bytes that other nodes, disks and clients depend on. A change here is a new version of a format.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_engine::block::{
    BLOCK_VERSION, Block, Commit, Header, evidence_hash, proposal_sign_bytes, txs_root, vote_sign_bytes,
};
use trustnet_engine::evidence::Evidence;
use trustnet_engine::message::{
    Heartbeat, Holding, Message, Status, SyncRequest, SyncResponse, WireVote, heartbeat_sign_bytes,
};
use trustnet_engine::sign_record::{Precommit, SignRecord};
use trustnet_ledger::codec;
use trustnet_ledger::crypto::{Hash32, PublicKey, Signature};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Long encodings are pinned by their hash.
fn digest(bytes: &[u8]) -> String {
    trustnet_ledger::crypto::hash("golden", &[bytes]).to_string()[..16].to_owned()
}

fn header() -> Header {
    Header {
        version: BLOCK_VERSION,
        genesis: Hash32([1; 32]),
        height: 300,
        time_ms: 1_795_000_000_000,
        last_block: Hash32([2; 32]),
        last_commit: commit().hash(),
        txs_root: txs_root(&[Bytes::from_static(b"tx")]),
        tx_count: 1,
        evidence: evidence_hash(&[]),
        validators: Hash32([3; 32]),
        next_validators: Hash32([4; 32]),
        state_root: Hash32([5; 32]),
        log_root: Hash32([6; 32]),
        log_size: 7,
        results: Hash32([8; 32]),
        proposer: PublicKey([9; 32]),
    }
}

fn commit() -> Commit {
    Commit {
        height: 299,
        round: 1,
        block: Hash32([2; 32]),
        signatures: vec![(0, Signature([7; 64])), (3, Signature([8; 64]))],
    }
}

#[test]
fn what_votes_and_proposals_sign() {
    let vote = bft::Vote {
        kind: bft::VoteKind::Precommit,
        height: 258,
        round: 3,
        value: Some(bft::ValueId([0xaa; 32])),
        validator: 9,
    };
    let expected = [
        &b"trustnet sign precommit"[..],
        &[4],
        b"test",
        &[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 1],
        &[0xaa; 32],
    ]
    .concat();
    assert_eq!(vote_sign_bytes("test", &vote), expected);
    let nil = bft::Vote { kind: bft::VoteKind::Prevote, value: None, ..vote };
    let expected =
        [&b"trustnet sign prevote"[..], &[4], b"test", &[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0], &[0; 32]]
            .concat();
    assert_eq!(vote_sign_bytes("test", &nil), expected);
    let proposal = bft::Proposal {
        height: 258,
        round: 3,
        value: bft::ValueId([0xbb; 32]),
        pol_round: Some(2),
        proposer: 0,
    };
    let expected = [
        &b"trustnet sign proposal"[..],
        &[4],
        b"test",
        &[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3],
        &[0xbb; 32],
        &[1, 0, 0, 0, 2],
    ]
    .concat();
    assert_eq!(proposal_sign_bytes("test", &proposal), expected);
    let expected =
        [&b"trustnet sign heartbeat"[..], &[4], b"test", &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6]]
            .concat();
    assert_eq!(heartbeat_sign_bytes("test", 5, 6), expected);
}

#[test]
fn headers_commits_blocks_and_evidence() {
    assert_eq!(codec::encode(&header()).len(), 363);
    assert_eq!(digest(&codec::encode(&header())), "478dd93e75d92656");
    assert_eq!(header().id().to_string()[..16], *"ec836e63d1bc80d2");
    assert_eq!(hex(&codec::encode(&commit())[..4]), "ab020102");
    assert_eq!(digest(&codec::encode(&commit())), "43669369c1c5be8d");
    let block = Block {
        header: header(),
        last_commit: commit(),
        evidence: Vec::new(),
        txs: vec![Bytes::from_static(b"tx")],
    };
    assert!(block.matches_header());
    assert_eq!(digest(&block.encode()), "bcaf9ab34dd5ee16");
    assert_eq!(Block::decode(&block.encode()).unwrap(), block);
    let evidence = Evidence::Votes {
        validator: PublicKey([9; 32]),
        precommit: true,
        height: 5,
        round: 0,
        votes: [(None, Signature([1; 64])), (Some([2; 32]), Signature([3; 64]))],
    };
    assert_eq!(digest(&codec::encode(&evidence)), "7f30eaa48c875763");
}

#[test]
fn messages() {
    let vote = Message::Vote(WireVote {
        precommit: true,
        height: 300,
        round: 1,
        value: None,
        validator: 2,
        signature: Signature([0; 64]),
    });
    assert_eq!(hex(&vote.encode()[..8]), "010201ac02010002");
    let status = Message::Status(Status {
        height: 300,
        block: Hash32([0; 32]),
        earliest: 1,
        round: Some(2),
        your_vote: Some((300, 1)),
    });
    let expected = format!("0100ac02{}01010201ac0201", "00".repeat(32));
    assert_eq!(hex(&status.encode()), expected);
    let heartbeat = Message::Heartbeat(Heartbeat { slot: 1, height: 2, signature: Signature([0; 64]) });
    assert_eq!(hex(&heartbeat.encode()[..4]), "01080102");
    let holding = Message::Holding(Holding {
        height: 1,
        round: 0,
        proposal: true,
        prevotes: [5, 0],
        precommits: [0, 0],
    });
    assert_eq!(hex(&holding.encode()), "010401000105000000");
    assert_eq!(hex(&Message::Txs(vec![Bytes::from_static(b"x")]).encode()), "0107010178");
    assert_eq!(hex(&SyncRequest { from: 300, count: 16 }.encode()), "01ac0210");
    let response = SyncResponse { blocks: vec![(Bytes::from_static(b"b"), Bytes::from_static(b"c"))] };
    assert_eq!(hex(&response.encode()), "010101620163");
}

#[test]
fn messages_of_another_version_or_with_trailing_bytes_are_refused() {
    let mut bytes = Message::Txs(Vec::new()).encode().to_vec();
    assert!(Message::decode(&bytes).is_ok());
    bytes.push(0);
    assert!(Message::decode(&bytes).is_err());
    bytes.pop();
    bytes[0] = 2;
    assert!(Message::decode(&bytes).is_err());
    assert!(Message::decode(&[]).is_err());
}

#[test]
fn the_signer_record() {
    let record = SignRecord {
        version: 2,
        height: 300,
        round: 1,
        proposed: None,
        prevoted: Some(None),
        precommitted: None,
        locked: None,
        valid: None,
        polka: Vec::new(),
        before: None,
    };
    assert_eq!(hex(&record.encode()), "02ac02010001000000000000");
    let before = Some(Precommit { height: 299, round: 2, block: Hash32([7; 32]) });
    let encoded = SignRecord { before, ..record.clone() }.encode();
    assert_eq!(hex(&encoded), format!("02ac02010001000000000001ab0202{}", "07".repeat(32)));
    assert_eq!(SignRecord::decode(&record.encode()).unwrap(), record);
}
