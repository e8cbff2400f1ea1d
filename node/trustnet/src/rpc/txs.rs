//! Handing transactions in, waiting for their block, and finding them again.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use trustnet_engine::block::CommittedBlock;
use trustnet_engine::mempool::tx_id;
use trustnet_ledger::crypto::Hash32;

use super::args::Args;
use super::blocks::BlockAt;
use super::encode::{base64, hex_upper};
use super::error::RpcError;
use super::http::Reply;
use super::state::Rpc;
use super::views::broadcast::{self, Checked};
use super::views::page::per_page;
use super::views::tx;
use crate::node::SubmitError;

/// Transactions whose ids begin alike that are looked at; more than one is a rarity.
const MAX_CANDIDATES: usize = 8;

impl Rpc {
    async fn submit(&self, bytes: Bytes) -> Checked {
        let id = tx_id(&bytes);
        match self.handle.submit(bytes).await {
            Ok(id) => Checked { id, code: 0, log: String::new() },
            // Sending a transaction twice is no mistake: it still counts once.
            Err(known @ SubmitError::AlreadyKnown(id)) => Checked { id, code: 0, log: known.to_string() },
            Err(error) => Checked { id, code: error.code(), log: error.to_string() },
        }
    }

    /// `/broadcast_tx_sync`
    pub(super) async fn broadcast_sync(&self, args: &Args) -> Result<Reply, RpcError> {
        let checked = self.submit(args.base64("tx")?.into()).await;
        Ok(Reply::now(broadcast::broadcast(&checked)))
    }

    /// `/broadcast_tx_async`: answers before the pool's verdict.
    pub(super) fn broadcast_async(&self, args: &Args) -> Result<Reply, RpcError> {
        let bytes = Bytes::from(args.base64("tx")?);
        let id = tx_id(&bytes);
        let handle = self.handle.clone();
        tokio::spawn(async move { handle.submit(bytes).await });
        Ok(Reply::now(broadcast::broadcast(&Checked { id, code: 0, log: String::new() })))
    }

    /// `/broadcast_tx_commit`
    pub(super) async fn broadcast_commit(&self, args: &Args) -> Result<Reply, RpcError> {
        let bytes = Bytes::from(args.base64("tx")?);
        let Ok(_place) = self.waiters.try_acquire() else {
            return Err(RpcError::Server(
                "too many calls wait for their block; use broadcast_tx_sync and ask for the transaction"
                    .to_owned(),
            ));
        };
        // Listen first: the block may be there before the verdict is read.
        let blocks = self.handle.committed();
        let checked = self.submit(bytes.clone()).await;
        if checked.code != 0 {
            // A replay of a transaction that succeeded is told where it is.
            let height = match self.find_tx(checked.id).await? {
                Some((at, _)) => at.block.header.height,
                None => return Ok(Reply::now(broadcast::broadcast_commit(&checked, 0))),
            };
            let checked = Checked { code: 0, log: "already in a block".to_owned(), ..checked };
            return Ok(Reply::now(broadcast::broadcast_commit(&checked, height)));
        }
        match timeout(self.limits.commit_wait, self.wait_for(blocks, checked.id, &bytes)).await {
            Ok(height) => Ok(Reply::now(broadcast::broadcast_commit(&checked, height?))),
            Err(_) => {
                Err(RpcError::Internal("timed out waiting for tx to be included in a block".to_owned()))
            }
        }
    }

    /// The height of the block that holds the transaction, once there is one.
    async fn wait_for(
        &self,
        mut blocks: Receiver<Arc<CommittedBlock>>,
        id: Hash32,
        bytes: &Bytes,
    ) -> Result<u64, RpcError> {
        loop {
            match blocks.recv().await {
                Ok(committed) if committed.block.txs.contains(bytes) => {
                    return Ok(committed.block.header.height);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    if let Some((at, _)) = self.find_tx(id).await? {
                        return Ok(at.block.header.height);
                    }
                }
                Err(RecvError::Closed) => return Err(RpcError::Server("the node is stopping".to_owned())),
            }
        }
    }

    /// The block of a transaction, and its position there.
    async fn find_tx(&self, id: Hash32) -> Result<Option<(BlockAt, usize)>, RpcError> {
        let prefix = trustnet_engine::mempool::short_id(&id);
        let places = self
            .ask(move |view| view.store.find_tx(prefix))
            .await?
            .map_err(|error| RpcError::Internal(error.to_string()))?;
        for (height, index) in places.into_iter().take(MAX_CANDIDATES) {
            let index = index as usize;
            let Some(at) = self.block_at(height).await? else { continue };
            if at.block.txs.get(index).is_some_and(|tx| tx_id(tx) == id) {
                return Ok(Some((at, index)));
            }
        }
        Ok(None)
    }

    /// `/tx`
    pub(super) async fn tx(&self, args: &Args) -> Result<Reply, RpcError> {
        let (id, prove) = (Hash32(args.hash("hash")?), args.bool("prove")?);
        let found = self.find_tx(id).await?;
        let value = found.and_then(|(at, index)| tx::tx(&id, &at.block, index, prove));
        let value = value.ok_or_else(|| RpcError::Internal(format!("tx ({}) not found", hex_upper(id.0))))?;
        Ok(Reply { value, immutable: true })
    }

    /// `/unconfirmed_txs`
    pub(super) async fn unconfirmed(&self, args: &Args) -> Result<Reply, RpcError> {
        let limit = per_page(args.int("limit")?);
        let (total, bytes, txs) = self
            .ask(move |view| {
                let pool = view.engine.pool();
                let txs: Vec<Bytes> = pool.iter().take(limit).map(|(_, tx)| tx.clone()).collect();
                (pool.len(), pool.bytes(), txs)
            })
            .await?;
        let txs: Vec<String> = txs.iter().map(base64).collect();
        Ok(Reply::now(tx::unconfirmed(total, bytes, Some(&txs))))
    }

    /// `/num_unconfirmed_txs`
    pub(super) async fn num_unconfirmed(&self) -> Result<Reply, RpcError> {
        let (total, bytes) = self.ask(|view| (view.engine.pool().len(), view.engine.pool().bytes())).await?;
        Ok(Reply::now(tx::unconfirmed(total, bytes, None)))
    }
}
