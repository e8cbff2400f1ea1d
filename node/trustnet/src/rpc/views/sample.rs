//! A small chain with fixed keys and times, for the tests of the shapes.

use bytes::Bytes;
use trustnet_engine::block::{BLOCK_VERSION, Block, Commit, Header, evidence_hash, txs_root};
use trustnet_engine::evidence::Evidence;
use trustnet_ledger::crypto::{Hash32, PublicKey, SecretKey, Signature};
use trustnet_ledger::genesis::{Genesis, GenesisValidator};

/// Its id.
pub const CHAIN: &str = "sample-1";
/// When it begins, Unix milliseconds.
pub const BEGIN_MS: u64 = 1_790_000_000_000;

/// A key that is the same in every test.
pub fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed(&[seed; 32]).public()
}

/// Four validators.
pub fn deciders() -> Vec<(PublicKey, u64)> {
    (1..=4).map(|seed| (key(seed), 10)).collect()
}

/// Their keys.
pub fn keys() -> Vec<PublicKey> {
    deciders().iter().map(|(key, _)| *key).collect()
}

/// The commit of a block by all but the second validator.
pub fn commit_of(block: &Block) -> Commit {
    Commit {
        height: block.header.height,
        round: 1,
        block: block.header.id(),
        signatures: [0, 2, 3].map(|position: u16| (position, Signature([position as u8 + 1; 64]))).to_vec(),
    }
}

/// The block after `previous` with these transactions and this evidence.
pub fn block(previous: Option<&Block>, txs: &[&'static [u8]], evidence: Vec<Evidence>) -> Block {
    let txs: Vec<Bytes> = txs.iter().map(|tx| Bytes::from_static(tx)).collect();
    let height = previous.map_or(0, |block| block.header.height) + 1;
    let last_commit = previous.map_or_else(Commit::none, commit_of);
    let header = Header {
        version: BLOCK_VERSION,
        genesis: Hash32([1; 32]),
        height,
        time_ms: BEGIN_MS + height * 1_500,
        last_block: previous.map_or_else(Hash32::default, |block| block.header.id()),
        last_commit: last_commit.hash(),
        txs_root: txs_root(&txs),
        tx_count: txs.len() as u32,
        evidence: evidence_hash(&evidence),
        validators: Hash32([2; 32]),
        next_validators: Hash32([3; 32]),
        state_root: Hash32([4; 32]),
        log_root: Hash32([5; 32]),
        log_size: 7,
        results: Hash32([6; 32]),
        proposer: key(1),
    };
    Block { header, last_commit, evidence, txs }
}

/// A double vote and a double proposal of the third validator.
pub fn evidence() -> Vec<Evidence> {
    vec![
        Evidence::Votes {
            validator: key(3),
            precommit: true,
            height: 1,
            round: 0,
            votes: [(None, Signature([8; 64])), (Some([9; 32]), Signature([9; 64]))],
        },
        Evidence::Proposals {
            validator: key(3),
            height: 1,
            round: 0,
            proposals: [([7; 32], None, Signature([7; 64])), ([9; 32], Some(0), Signature([9; 64]))],
        },
    ]
}

/// A genesis of the four validators.
pub fn genesis() -> Genesis {
    Genesis {
        version: 1,
        chain_id: CHAIN.to_owned(),
        time_ms: BEGIN_MS,
        validators: (1..=4)
            .map(|seed| GenesisValidator {
                name: format!("node-{seed}"),
                owner: String::new(),
                operator: key(seed + 20),
                node_key: key(seed + 10),
                validator_key: key(seed),
                power: 10,
            })
            .collect(),
        roots: Vec::new(),
        category_weights: trustnet_ledger::genesis::CategoryWeights::default(),
        params: trustnet_ledger::params::Params::default(),
    }
}
