//! A node that stands still, for trustnet-fuzz: it answers reads and refuses every transaction, so that the same
//! question always has the same answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{broadcast, mpsc};
use trustnet_engine::block::{Block, Commit};
use trustnet_engine::verifier::Ed25519;
use trustnet_engine::{Config, Engine, Input, Now, Output, Recovered, SignerState, Timing};
use trustnet_ledger::codec;
use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::genesis::Genesis;
use trustnet_net::Network;
use trustnet_store::{Options, OsDir, Store};

use super::engine_thread::note_txs;
use super::handle::{Command, MAX_BLOCKS_BEHIND, MAX_WAITING_COMMANDS, NodeHandle, NodeInfo, NodeView};

/// A node with these blocks, whose data lie in `folder`. Call it within a runtime: the network needs one.
///
/// # Panics
/// When anything fails: the caller hands in blocks that hold and a folder that can be written.
pub async fn still_node(
    folder: &Path,
    genesis: &Arc<Genesis>,
    node_key: SecretKey,
    validator_key: SecretKey,
    blocks: &[(Block, Commit)],
) -> NodeHandle {
    let chain = genesis.hash();
    let dir = OsDir::new(folder);
    // Small segments: sixteen megabytes of zeros for a handful of blocks would only take time.
    let options = Options { segment_bytes: 1024 * 1024, background_spare: false, ..Options::default() };
    trustnet_store::initialise(&dir, options, chain.0).expect("an empty folder takes a store");
    let (mut store, _) = Store::open(dir, options, chain.0).expect("a new store opens");
    let config = Config {
        genesis: Arc::clone(genesis),
        node_key: node_key.clone(),
        validator_key: Some(validator_key.clone()),
        timing: Timing::default(),
        verifier: Arc::new(Ed25519::new([0; 32])),
        seed: [0; 32],
    };
    let recovered = Recovered { leaves: Vec::new(), signer: SignerState::Fresh };
    let mut engine = Engine::new(config, recovered).expect("a genesis that holds gives an engine");
    for (block, commit) in blocks {
        let (height, id) = (block.header.height, block.header.id());
        engine.replay(block, commit).expect("the blocks hold");
        store.append_block(height, id.0, &block.encode()).expect("a block is stored");
        store.append_commit(height, id.0, &codec::encode(commit)).expect("a commit is stored");
        let ids: Vec<_> = block.txs.iter().map(|tx| trustnet_engine::mempool::tx_id(tx)).collect();
        note_txs(&mut store, height, &ids);
    }
    let listen = "127.0.0.1:0".parse().expect("an address");
    let net = trustnet_net::Config::new(node_key.clone(), listen, chain, genesis.chain_id.clone());
    let net = Network::start(net).await.expect("a loopback port is free").0;
    let info = NodeInfo {
        name: "node-1".to_owned(),
        node_key: node_key.public(),
        validator_key: Some(validator_key.public()),
        p2p_listen: listen,
        rpc_listen: listen,
        started: Instant::now(),
        genesis: Arc::clone(genesis),
        version: env!("CARGO_PKG_VERSION"),
    };
    let (commands, mut inbox) = mpsc::channel(MAX_WAITING_COMMANDS);
    let (committed, _) = broadcast::channel(MAX_BLOCKS_BEHIND);
    std::thread::spawn(move || {
        while let Some(command) = inbox.blocking_recv() {
            match command {
                Command::Read(read) => {
                    read(&NodeView { engine: &engine, store: &store, net: &net, info: &info });
                }
                Command::Submit(bytes, reply) => {
                    let result = refuse(&mut engine, bytes);
                    let _ = reply.send(result);
                }
            }
        }
    });
    NodeHandle::new(commands, committed)
}

/// All checks of a transaction but that of its signature, which never holds here.
fn refuse(
    engine: &mut Engine,
    bytes: bytes::Bytes,
) -> Result<trustnet_ledger::crypto::Hash32, trustnet_engine::io::SubmitError> {
    let now = Now { mono_ms: 0, unix_ms: engine.ledger().time_ms() + 1_000 };
    let mut inputs = vec![Input::Submit { token: 0, bytes }, Input::Flush];
    while !inputs.is_empty() {
        for output in engine.step(now, inputs.remove(0)) {
            match output {
                Output::Verify { job, checks } => {
                    inputs.push(Input::Verified { job, results: vec![false; checks.len()] });
                }
                Output::Submitted { result, .. } => return result,
                _ => {}
            }
        }
    }
    panic!("a transaction that was handed in must be answered");
}
