//! The JSON-RPC server on port 26657: `CometBFT` 0.38's shapes, and a few of Ethereum's methods.
//!
//! `POST /` takes JSON-RPC 2.0, single or in batches of up to 512; `GET /method?name=value` takes URI
//! calls (answered with id -1); `GET /` lists the methods. Strings in a URI stand in quotes (bare ones
//! are understood too), bytes as `0x` and hex or as a quoted text; in JSON `tx` and `hash` are base64
//! (`hash` may be 64 hex digits), `data` is hex. 64-bit numbers are texts, hashes and addresses
//! capital hex, keys, signatures and transactions base64, times RFC 3339.
//!
//! # How our chain shows in `CometBFT`'s shapes
//!
//! Hashes are ours (BLAKE3, 32 bytes) and cover our own bytes, so a light client of `CometBFT` cannot
//! recompute them; every field has its place and length, so that its parsers are content.
//!
//! | Field | What stands there |
//! |---|---|
//! | `block_id.hash` | the block's id: hash of our header (query `/header` gives all of it) |
//! | `block_id.parts` | total 1 and the same hash: blocks are not cut into parts |
//! | `header.last_commit_hash` | hash of the previous block's commit as this block carries it |
//! | `header.data_hash` | RFC 6962 root (SHA-256) over the block's transactions |
//! | `header.validators_hash`, `next_validators_hash` | hash of the keys and powers that decide this and the next height |
//! | `header.consensus_hash` | hash of the genesis: it fixes all parameters |
//! | `header.app_hash` | state root **after this block** (`CometBFT`: after the one before) |
//! | `header.last_results_hash` | hash of **this block's** results |
//! | `header.evidence_hash` | hash of this block's evidence |
//! | `header.proposer_address` | address of the validator that built the block |
//! | addresses | first 20 bytes of BLAKE3("trustnet address" and the key); node ids likewise, in small letters |
//! | `commit.signatures` | one for each validator in the set's order, flag 2 or 1 (absent); votes carry no time, so `timestamp` is the block's; empty if this node no longer knows who decided a block from before its start |
//! | signatures | over our own layout (see `trustnet_engine::block::vote_sign_bytes`) |
//! | `evidence` | double votes as duplicate-vote evidence (powers 0); double proposals beside them under `proposals` |
//! | `validators[].proposer_priority` | always 0: who proposes follows from powers, height and round alone |
//! | `tx_result` | code 0, no gas, no events: blocks hold only transactions that succeed |
//! | `tx.proof` | RFC 6962 inclusion proof, `leaf_hash` over the transaction's bytes, `aunts` from leaf to root |
//! | `node_info.version` | 0.38.17: by it clients choose their dialect; the program's own version stands in `/abci_info` |
//! | `node_info.other.node_key` | the whole node key, 64 hex digits, for `<key>@host:port` |
//! | `node_info.channels` | 010203: our streams for consensus, gossip and control |
//! | `genesis.app_state` | our own genesis file, whole |
//! | `eth_chainId` | first four bytes of the genesis hash, without the topmost bit |
//!
//! `broadcast_tx_*` answer with the ledger's code (code space `trustnet`), or one from 1,000 on for
//! reasons of this node. A transaction that waits already is answered with code 0: sending it again is
//! no mistake. A batch of one is answered with a list of one (`CometBFT`: with a bare object).
//!
//! # Limits
//!
//! [`RpcLimits`] bounds connections, bodies, batches, answers, calls and their times; arguments are read
//! into a flat form, so that nesting costs no memory; trust is computed once at a time, off the
//! engine's thread.

mod args;
mod batch;
mod blocks;
mod calls;
mod earliest;
mod encode;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod http;
mod info;
mod join;
mod jsonrpc;
mod limits;
mod methods;
mod query;
mod server;
mod sets;
mod state;
mod txs;
mod uri;
mod views;

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use self::http::Http;
use self::state::Rpc;
use crate::node::NodeHandle;

pub use limits::RpcLimits;

/// Serves the RPC of a node until the task is dropped or the node stops.
///
/// # Errors
/// When the node is gone before the server begins, or the listener fails for good.
pub async fn serve(listener: TcpListener, handle: NodeHandle, limits: RpcLimits) -> io::Result<()> {
    let rpc = Rpc::new(handle, limits.clone()).await.map_err(io::Error::other)?;
    let rpc = Arc::new(rpc);
    let http = Arc::new(Http::new(Arc::clone(&rpc).caller(), limits));
    tokio::select! {
        served = server::serve_http(listener, http) => served,
        () = follow(&rpc) => Ok(()),
    }
}

/// Remembers every validator set that comes into force, until the node stops.
async fn follow(rpc: &Rpc) {
    let mut blocks = rpc.handle.committed();
    loop {
        match blocks.recv().await {
            Ok(committed) => {
                let header = &committed.block.header;
                if header.next_validators == header.validators {
                    continue;
                }
                // A node that is busy just now is asked again when a block with an unknown set is shown.
                if rpc.learn_sets().await.is_err() {
                    tracing::debug!(height = header.height, "the new validators could not be asked for");
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod live_tests;
