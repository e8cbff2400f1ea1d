//! Which method does what.

use std::sync::Arc;

use serde_json::json;

use super::args::Args;
use super::error::RpcError;
use super::http::{Caller, Reply};
use super::methods::{Method, Name};
use super::state::Rpc;

impl Rpc {
    /// The function that carries out calls for [`super::http::Http`].
    pub(super) fn caller(self: Arc<Self>) -> Caller {
        Arc::new(move |method: &'static Method, args| {
            let rpc = Arc::clone(&self);
            Box::pin(async move { rpc.call(method.name, &args).await })
        })
    }

    async fn call(&self, name: Name, args: &Args) -> Result<Reply, RpcError> {
        match name {
            // These wait for others and hold nothing large meanwhile, so they take no place.
            Name::BroadcastTxSync => return self.broadcast_sync(args).await,
            Name::BroadcastTxAsync => return self.broadcast_async(args),
            Name::BroadcastTxCommit => return self.broadcast_commit(args).await,
            _ => {}
        }
        let _place = self.active.acquire().await;
        match name {
            Name::AbciInfo => self.abci_info().await,
            Name::AbciQuery => self.abci_query(args).await,
            Name::Block => self.block(args).await,
            Name::BlockByHash => self.block_by_hash(args).await,
            Name::Blockchain => self.blockchain(args).await,
            Name::Commit => self.commit(args).await,
            Name::ConsensusParams => self.consensus_params(args).await,
            Name::ConsensusState => self.consensus_state().await,
            Name::EthBlockNumber => self.eth_block_number().await,
            Name::EthChainId => Ok(self.eth_chain_id()),
            Name::Genesis => Ok(self.genesis()),
            Name::Header => self.header(args).await,
            Name::HeaderByHash => self.header_by_hash(args).await,
            Name::Health => Ok(Reply::now(json!({}))),
            Name::NetInfo => self.net_info().await,
            Name::NetVersion => Ok(self.net_version()),
            Name::NumUnconfirmedTxs => self.num_unconfirmed().await,
            Name::Status => self.status().await,
            Name::Tx => self.tx(args).await,
            Name::UnconfirmedTxs => self.unconfirmed(args).await,
            Name::Validators => self.validators(args).await,
            Name::Web3ClientVersion => Ok(self.client_version()),
            Name::BroadcastTxSync | Name::BroadcastTxAsync | Name::BroadcastTxCommit => {
                Err(RpcError::MethodNotFound)
            }
        }
    }
}
