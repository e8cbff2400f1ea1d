//! `/block`, `/block_by_hash`, `/blockchain`, `/commit`, `/header`.

use serde_json::{Value, json};
use trustnet_engine::block::{Block, Commit, Header};
use trustnet_ledger::crypto::{Hash32, PublicKey};

use super::commit::commit;
use super::evidence::evidence;
use super::header::{block_id, header};
use crate::rpc::encode::{base64, int};

/// What a block's commit of its predecessor needs to know of that predecessor.
#[derive(Clone, Copy, Debug)]
pub struct Previous<'a> {
    /// Its time, Unix milliseconds; 0 before height 1.
    pub time_ms: u64,
    /// Who decided it, if known; nobody before height 1.
    pub deciders: Option<&'a [PublicKey]>,
}

/// A block with its id.
pub fn block(id: &Hash32, block: &Block, chain_id: &str, previous: Previous<'_>) -> Value {
    let txs: Vec<String> = block.txs.iter().map(base64).collect();
    json!({
        "block_id": block_id(id),
        "block": {
            "header": header(&block.header, chain_id),
            "data": { "txs": txs },
            "evidence": evidence(&block.evidence, block.header.time_ms),
            "last_commit": commit(&block.last_commit, previous.time_ms, previous.deciders),
        },
    })
}

/// The answer to a hash that no block has.
pub fn no_block() -> Value {
    json!({ "block_id": block_id(&Hash32::default()), "block": null })
}

/// A block in short: `size` is the length of its encoding in bytes.
pub fn block_meta(id: &Hash32, block: &Block, chain_id: &str, size: usize) -> Value {
    json!({
        "block_id": block_id(id),
        "block_size": int(size),
        "header": header(&block.header, chain_id),
        "num_txs": int(block.txs.len()),
    })
}

/// A list of blocks in short, the highest first.
pub fn blockchain(last_height: u64, metas: &[Value]) -> Value {
    json!({ "last_height": int(last_height), "block_metas": metas })
}

/// A header with its commit. `canonical` once the next block carries the commit.
pub fn signed_header(
    of: &Header,
    by: &Commit,
    chain_id: &str,
    deciders: Option<&[PublicKey]>,
    canonical: bool,
) -> Value {
    json!({
        "signed_header": { "header": header(of, chain_id), "commit": commit(by, of.time_ms, deciders) },
        "canonical": canonical,
    })
}
