//! What the server keeps between calls.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{RwLock, Semaphore};
use trustnet_ledger::ledger::Ledger;

use super::earliest::Earliest;
use super::error::RpcError;
use super::limits::RpcLimits;
use super::sets::ValidatorSets;
use super::views;
use crate::node::{NodeGone, NodeHandle, NodeInfo, NodeView};

/// The server's side of the node.
pub struct Rpc {
    /// The node.
    pub(super) handle: NodeHandle,
    /// What it knows of itself.
    pub(super) info: NodeInfo,
    /// Limits.
    pub(super) limits: RpcLimits,
    /// Places for calls that read the chain.
    pub(super) active: Semaphore,
    /// Places for calls that wait for a block.
    pub(super) waiters: Semaphore,
    /// The one place for computing trust.
    pub(super) trust: Arc<Semaphore>,
    /// Who decided which heights.
    pub(super) sets: RwLock<ValidatorSets>,
    /// The first block that is still here.
    pub(super) earliest: Earliest,
    /// The answer of `/genesis`.
    pub(super) genesis: Value,
}

impl Rpc {
    /// Asks the node for what never changes.
    ///
    /// # Errors
    /// [`NodeGone`] when the node is busy or stopping.
    pub async fn new(handle: NodeHandle, limits: RpcLimits) -> Result<Self, NodeGone> {
        let info = handle.ask(|view| view.info.clone()).await?;
        let mut sets = ValidatorSets::default();
        if let Ok(ledger) = Ledger::genesis(&info.genesis) {
            sets.learn(ledger.validators().iter().map(|v| (v.validator_key, v.power)).collect());
        }
        let rpc = Self {
            active: Semaphore::new(limits.max_active_calls.max(1)),
            waiters: Semaphore::new(limits.max_commit_waiters.max(1)),
            trust: Arc::new(Semaphore::new(1)),
            sets: RwLock::new(sets),
            earliest: Earliest::default(),
            genesis: views::genesis::genesis(&info.genesis),
            handle,
            info,
            limits,
        };
        rpc.learn_sets().await?;
        Ok(rpc)
    }

    /// The chain's id.
    pub(super) fn chain_id(&self) -> &str {
        &self.info.genesis.chain_id
    }

    /// Runs a short read on the engine's thread.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&NodeView<'_>) -> T + Send + 'static,
    ) -> Result<T, RpcError> {
        self.handle.ask(read).await.map_err(|gone| RpcError::Server(gone.to_string()))
    }

    /// Remembers who decides the next height and who decided the last.
    pub(super) async fn learn_sets(&self) -> Result<(), NodeGone> {
        let (next, last) = self
            .handle
            .ask(|view| (view.engine.deciders().to_vec(), view.engine.tip().deciders.clone()))
            .await?;
        let mut sets = self.sets.write().await;
        sets.learn(last);
        sets.learn(next);
        Ok(())
    }
}
