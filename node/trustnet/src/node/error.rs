//! Why a node could not start or had to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

use trustnet_engine::chain::{ChainError, InvalidBlock};
use trustnet_ledger::genesis::GenesisError;
use trustnet_net::NetError;
use trustnet_store::StoreError;

use crate::home::HomeError;

/// Why a node could not start or had to stop. Each message names the next step.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The home directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The genesis file.
    #[error("{}: {error}", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: GenesisError,
    },
    /// The genesis file cannot be read.
    #[error("cannot read the genesis file {}: {error}; copy it from a node of the network or make one with `trustnet init`", path.display())]
    NoGenesis {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The log contradicts the state.
    #[error("block {height} of this node's own log does not fit its state ({}): {error}; stop the node, run `trustnet repair`: it makes the state again from the log, or lets the node fetch the chain from its peers", data.display())]
    Replay {
        /// Height of the block.
        height: u64,
        /// Why.
        error: InvalidBlock,
        /// The data directory.
        data: PathBuf,
    },
    /// A block in the log cannot be read.
    #[error("block {height} of this node's own log cannot be read ({}); stop the node, run `trustnet repair`: it lets the node fetch the chain from its peers again", data.display())]
    Unreadable {
        /// Height of the block.
        height: u64,
        /// The data directory.
        data: PathBuf,
    },
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The RPC's port.
    #[error(
        "cannot listen for RPC on {addr}: {error}; set another address under [rpc] listen in config.toml, or stop what uses it (`ss -ltnp`)"
    )]
    RpcListen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The engine stopped for good.
    #[error("{0}")]
    Halted(String),
    /// The operating system refused a thread or randomness.
    #[error("the operating system refused {what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        error: String,
    },
}

impl RunError {
    /// Whether `trustnet repair` is the way out.
    pub fn is_repairable(&self) -> bool {
        match self {
            Self::Store(error) => matches!(
                error,
                StoreError::DamagedMiddle { .. }
                    | StoreError::MissingSegment { .. }
                    | StoreError::State { .. }
                    | StoreError::StateDamaged { .. }
                    | StoreError::Damaged { .. }
                    | StoreError::HalfRepaired { .. }
            ),
            Self::Chain(error) => !matches!(error, ChainError::Genesis(_)),
            Self::Replay { .. } | Self::Unreadable { .. } => true,
            _ => false,
        }
    }
}
