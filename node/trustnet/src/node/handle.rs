//! The way from clients to the engine: reads, transactions, and news of blocks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, oneshot};
use trustnet_engine::Engine;
use trustnet_engine::block::CommittedBlock;
use trustnet_engine::io::SubmitError as EngineSubmitError;
use trustnet_engine::mempool::PoolError;
use trustnet_ledger::crypto::{Hash32, PublicKey};
use trustnet_ledger::genesis::Genesis;
use trustnet_ledger::tx_error::TxError;
use trustnet_net::Network;
use trustnet_store::{OsDir, Store};

/// The most requests of clients that wait for the engine; more are refused as busy.
pub const MAX_WAITING_COMMANDS: usize = 4_096;
/// How many blocks a listener may lag behind before it misses some.
pub const MAX_BLOCKS_BEHIND: usize = 64;

/// What a node knows of itself.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Name for people.
    pub name: String,
    /// Its identity.
    pub node_key: PublicKey,
    /// Its validator key, if it has one.
    pub validator_key: Option<PublicKey>,
    /// Where peers reach it.
    pub p2p_listen: SocketAddr,
    /// Where clients reach it.
    pub rpc_listen: SocketAddr,
    /// When the process started.
    pub started: Instant,
    /// The chain's genesis.
    pub genesis: Arc<Genesis>,
    /// Version of the program.
    pub version: &'static str,
}

/// What a read sees: everything, for a moment.
pub struct NodeView<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The disk.
    pub store: &'a Store<OsDir>,
    /// The network.
    pub net: &'a Network,
    /// The node.
    pub info: &'a NodeInfo,
}

/// The node has stopped, or has too much to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeGone {
    /// Too many requests wait.
    #[error("the node has too many requests to answer; try again in a second")]
    Busy,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopped,
}

/// Why a transaction was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The ledger would refuse it.
    #[error(transparent)]
    Refused(#[from] TxError),
    /// The pool is full.
    #[error("the node's pool of waiting transactions is full; try again in a second")]
    PoolFull,
    /// The pool did not take it for another reason.
    #[error("{0}")]
    Pool(PoolError),
    /// It waits already.
    #[error("this transaction is already waiting")]
    AlreadyKnown(Hash32),
    /// The node has too much to do.
    #[error("the node has too many requests to answer; try again in a second")]
    Busy,
    /// The node is stopping.
    #[error("the node is stopping")]
    Gone,
}

impl SubmitError {
    /// The code for clients: the ledger's own, or one from 1,000 on for reasons of this node.
    pub fn code(&self) -> u32 {
        match self {
            Self::Refused(error) => error.code(),
            Self::PoolFull => 1_000,
            Self::Pool(_) => 1_001,
            Self::AlreadyKnown(_) => 1_002,
            Self::Busy => 1_003,
            Self::Gone => 1_004,
        }
    }
}

/// A read that runs on the engine's thread.
pub(super) type Read = Box<dyn FnOnce(&NodeView<'_>) + Send>;
/// Where the fate of a transaction is told.
pub(super) type SubmitReply = oneshot::Sender<Result<Hash32, EngineSubmitError>>;

/// What clients ask of the engine's thread.
pub(super) enum Command {
    Read(Read),
    Submit(Bytes, SubmitReply),
}

/// A client's connection to the node. Cheap to clone.
#[derive(Clone)]
pub struct NodeHandle {
    commands: mpsc::Sender<Command>,
    committed: broadcast::Sender<Arc<CommittedBlock>>,
}

impl NodeHandle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        committed: broadcast::Sender<Arc<CommittedBlock>>,
    ) -> Self {
        Self { commands, committed }
    }

    /// Runs a short read on the engine's thread.
    ///
    /// # Errors
    /// [`NodeGone`] when the node is busy or stopping.
    pub async fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&NodeView<'_>) -> T + Send + 'static,
    ) -> Result<T, NodeGone> {
        let (reply, answer) = oneshot::channel();
        let read: Read = Box::new(move |view| {
            // A client that no longer waits is no fault.
            let _ = reply.send(read(view));
        });
        self.give(Command::Read(read))?;
        answer.await.map_err(|_| NodeGone::Stopped)
    }

    /// Hands in a signed transaction; answers after the pool's checks.
    ///
    /// # Errors
    /// [`SubmitError`] says why it was not taken.
    pub async fn submit(&self, tx: Bytes) -> Result<Hash32, SubmitError> {
        let id = trustnet_engine::mempool::tx_id(&tx);
        let (reply, answer) = oneshot::channel();
        self.give(Command::Submit(tx, reply)).map_err(|gone| match gone {
            NodeGone::Busy => SubmitError::Busy,
            NodeGone::Stopped => SubmitError::Gone,
        })?;
        match answer.await {
            Ok(Ok(id)) => Ok(id),
            Ok(Err(EngineSubmitError::Refused(error))) => Err(SubmitError::Refused(error)),
            Ok(Err(EngineSubmitError::Pool(PoolError::Full))) => Err(SubmitError::PoolFull),
            Ok(Err(EngineSubmitError::Pool(PoolError::Known))) => Err(SubmitError::AlreadyKnown(id)),
            Ok(Err(EngineSubmitError::Pool(error))) => Err(SubmitError::Pool(error)),
            Err(_) => Err(SubmitError::Gone),
        }
    }

    /// News of final blocks.
    pub fn committed(&self) -> broadcast::Receiver<Arc<CommittedBlock>> {
        self.committed.subscribe()
    }

    fn give(&self, command: Command) -> Result<(), NodeGone> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NodeGone::Busy,
            mpsc::error::TrySendError::Closed(_) => NodeGone::Stopped,
        })
    }
}
