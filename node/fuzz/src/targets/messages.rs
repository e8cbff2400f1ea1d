//! What engines send each other, and what they store.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use trustnet_bft as bft;
use trustnet_engine::block::{Block, Commit, Header, MAX_COMMIT_BYTES, proposal_sign_bytes};
use trustnet_engine::chain::Tip;
use trustnet_engine::evidence::Evidence;
use trustnet_engine::mempool::{short_id, tx_id};
use trustnet_engine::message::{
    Heartbeat, Holding, Message, Status, SyncRequest, SyncResponse, WireCertificate, WireProposal, WireVote,
    heartbeat_sign_bytes,
};
use trustnet_engine::signer::SignRecord;
use trustnet_ledger::codec;

use crate::memory::bounded;
use crate::world::{CHAIN_ID, HISTORY, KEYS, VERIFIER};

/// The longest input that is made by repeating a byte: what a stream of the network lets through.
const MAX_STRETCHED_BYTES: usize = 2 * 1024 * 1024;
/// In the first byte: the last four bytes say which byte is repeated how often at the end.
const STRETCHED: u8 = 0x80;

const MESSAGE: u8 = 0;
const BLOCK: u8 = 1;
const COMMIT: u8 = 2;
const SYNC_REQUEST: u8 = 3;
const SYNC_RESPONSE: u8 = 4;
const SIGN_RECORD: u8 = 5;
const EVIDENCE: u8 = 6;
const TIP: u8 = 7;
const KINDS: u8 = 8;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    if kind & STRETCHED == 0 {
        decode(kind, rest);
    } else if let Some((head, &[byte, a, b, c])) = rest.split_last_chunk::<4>() {
        let count = u32::from_be_bytes([0, a, b, c]) as usize % MAX_STRETCHED_BYTES;
        let mut bytes = head.to_vec();
        bytes.resize(head.len() + count, byte);
        decode(kind & !STRETCHED, &bytes);
    }
}

fn decode(kind: u8, bytes: &[u8]) {
    match kind % KINDS {
        MESSAGE => {
            if let Ok(message) = bounded(bytes, || Message::decode(bytes)) {
                assert_eq!(message.encode(), bytes, "one message has one encoding");
                let _ = message.class();
            }
        }
        BLOCK => {
            if let Ok(block) = bounded(bytes, || Block::decode(bytes)) {
                assert_eq!(block.encode(), bytes, "one block has one encoding");
                let _ = block.matches_header();
            }
        }
        COMMIT => {
            if let Some(commit) = canonical::<Commit>(bytes, MAX_COMMIT_BYTES)
                && let Some(certificate) = commit.to_certificate()
            {
                assert_eq!(Commit::from_certificate(&certificate), commit);
            }
        }
        SYNC_REQUEST => {
            if let Ok(request) = bounded(bytes, || SyncRequest::decode(bytes)) {
                assert_eq!(request.encode(), bytes);
            }
        }
        SYNC_RESPONSE => {
            if let Ok(response) = bounded(bytes, || SyncResponse::decode(bytes)) {
                assert_eq!(response.encode(), bytes);
            }
        }
        SIGN_RECORD => {
            if let Ok(record) = bounded(bytes, || SignRecord::decode(bytes)) {
                assert_eq!(record.encode(), bytes);
                let memory = record.memory();
                assert_eq!((memory.height, memory.round), (record.height, record.round));
                let _ = record.polka_certificate();
            }
        }
        EVIDENCE => {
            if let Some(evidence) = canonical::<Evidence>(bytes, 1_024) {
                let _ =
                    (evidence.height(), evidence.validator(), evidence.proves(CHAIN_ID, VERIFIER.as_ref()));
            }
        }
        _ => drop(canonical::<Tip>(bytes, bytes.len())),
    }
}

fn canonical<T: Serialize + DeserializeOwned>(bytes: &[u8], max: usize) -> Option<T> {
    let value = bounded(bytes, || codec::decode::<T>(bytes, max)).ok()?;
    assert_eq!(codec::encode(&value), bytes, "one value has one encoding");
    Some(value)
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let (block, commit) = &HISTORY[2];
    let id = block.header.id();
    let mut seeds = Vec::new();
    let mut put = |kind: u8, bytes: &[u8]| seeds.push([&[kind], bytes].concat());
    for message in messages(block, commit) {
        put(MESSAGE, &message.encode());
    }
    put(BLOCK, &block.encode());
    put(BLOCK, &Block { txs: Vec::new(), ..block.clone() }.encode());
    put(COMMIT, &codec::encode(commit));
    put(COMMIT, &codec::encode(&Commit::none()));
    put(SYNC_REQUEST, &SyncRequest { from: 300, count: 256 }.encode());
    let blocks: Vec<(Bytes, Bytes)> =
        HISTORY[..2].iter().map(|(block, commit)| (block.encode(), codec::encode(commit).into())).collect();
    put(SYNC_RESPONSE, &SyncResponse { blocks }.encode());
    put(SIGN_RECORD, &sign_record(id.0).encode());
    for evidence in evidence() {
        put(EVIDENCE, &codec::encode(&evidence));
    }
    let (key, power) = (KEYS[0].validator.public(), 10);
    let tip =
        Tip { id, header: Some(block.header.clone()), commit: commit.clone(), deciders: vec![(key, power)] };
    put(TIP, &codec::encode(&tip));
    // Announces two thousand empty transactions, and holds them.
    put(MESSAGE | STRETCHED, &[1, 7, 0xd0, 0x0f, 0, 0, 0x07, 0xd0]);
    put(SYNC_RESPONSE | STRETCHED, &[1, 0x80, 0x02, 0, 0, 0x02, 0]);
    seeds
}

/// One of each kind.
fn messages(block: &Block, commit: &Commit) -> Vec<Message> {
    let header: &Header = &block.header;
    let (height, id) = (header.height, header.id());
    let signature = commit.signatures[0].1;
    let proposal =
        bft::Proposal { height, round: 0, value: bft::ValueId(id.0), pol_round: None, proposer: 2 };
    let polka = WireCertificate {
        precommit: false,
        height,
        round: 0,
        value: Some(id),
        signatures: commit.signatures.clone(),
    };
    let wire = WireProposal {
        round: 1,
        pol_round: Some(0),
        proposer: 2,
        signature: KEYS[2].validator.sign(&proposal_sign_bytes(CHAIN_ID, &proposal)),
        header: header.clone(),
        last_commit: block.last_commit.clone(),
        evidence: evidence(),
        txs: block.txs.iter().map(|tx| short_id(&tx_id(tx))).collect(),
        polka: Some(polka.clone()),
    };
    let vote = |value| WireVote { precommit: true, height, round: 0, value, validator: 1, signature };
    let (slot, heard) = (59_833_343, 300);
    let heartbeat = KEYS[1].node.sign(&heartbeat_sign_bytes(CHAIN_ID, slot, heard));
    vec![
        Message::Status(Status {
            height,
            block: id,
            earliest: 1,
            round: Some(2),
            your_vote: Some((height, 1)),
        }),
        Message::Proposal(Box::new(wire)),
        Message::Vote(vote(Some(id))),
        Message::Vote(vote(None)),
        Message::Certificate(polka),
        Message::Holding(Holding { height, round: 1, proposal: true, prevotes: [7, 0], precommits: [1, 0] }),
        Message::GetBlockTxs { block: id, positions: vec![0, 2, 300] },
        Message::BlockTxs { block: id, txs: block.txs.clone() },
        Message::Txs(block.txs[..2].to_vec()),
        Message::Heartbeat(Heartbeat { slot, height: heard, signature: heartbeat }),
        Message::Evidence(evidence()),
    ]
}

fn evidence() -> Vec<Evidence> {
    let key = &KEYS[3].validator;
    let vote = |value: Option<u8>| {
        let value = value.map(|byte| bft::ValueId([byte; 32]));
        let vote = bft::Vote { kind: bft::VoteKind::Prevote, height: 2, round: 1, value, validator: 3 };
        let signature = key.sign(&trustnet_engine::block::vote_sign_bytes(CHAIN_ID, &vote));
        bft::SignedVote { vote, signature: bft::Signature(signature.0) }
    };
    let proposal = |byte, pol_round| {
        let value = bft::ValueId([byte; 32]);
        let proposal = bft::Proposal { height: 2, round: 1, value, pol_round, proposer: 3 };
        let signature = key.sign(&proposal_sign_bytes(CHAIN_ID, &proposal));
        bft::SignedProposal { proposal, signature: bft::Signature(signature.0) }
    };
    vec![
        Evidence::from_votes(key.public(), &vote(None), &vote(Some(1))),
        Evidence::from_proposals(key.public(), &proposal(1, None), &proposal(1, Some(0))),
    ]
}

fn sign_record(id: [u8; 32]) -> SignRecord {
    let id = trustnet_ledger::crypto::Hash32(id);
    SignRecord {
        version: 1,
        height: 3,
        round: 2,
        proposed: Some((id, Some(1))),
        prevoted: Some(Some(id)),
        precommitted: Some(None),
        locked: Some((1, id)),
        valid: Some((1, id)),
        polka: HISTORY[2].1.signatures.clone(),
    }
}
