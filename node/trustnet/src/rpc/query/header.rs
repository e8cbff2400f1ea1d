//! `/header`: our own header of a block, of which `CometBFT`'s shapes show only parts.

use serde::{Deserialize, Serialize};
use trustnet_engine::block::Header;
use trustnet_ledger::codec;
use trustnet_ledger::crypto::Hash32;

use super::{Answer, CODE_NO_BLOCK, QueryError, argument, to_json};
use crate::rpc::error::RpcError;
use crate::rpc::state::Rpc;

/// Which block.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Argument {
    /// The last block's when there is none.
    height: Option<u64>,
}

/// The answer: BLAKE3 over the text of `trustnet_ledger::crypto::domain::BLOCK_ID` and `bytes` is `id`.
#[derive(Serialize)]
struct OwnHeader {
    id: Hash32,
    header: Header,
    /// The header's encoding, hex.
    bytes: String,
}

impl Rpc {
    /// `/header` of `/abci_query`.
    pub(super) async fn own_header(&self, data: &[u8]) -> Result<Answer, RpcError> {
        let tip = self.ledger_height().await?;
        let argument: Argument = match argument(data) {
            Ok(argument) => argument,
            Err(error) => return Ok((Err(error), tip)),
        };
        let height = argument.height.unwrap_or(tip);
        let Some(at) = self.block_at(height).await? else {
            let log = format!("block {height} is not here; the last block is {tip}");
            return Ok((Err(QueryError { code: CODE_NO_BLOCK, log }), tip));
        };
        let header = at.block.header;
        let bytes = hex::encode(codec::encode(&header));
        Ok((to_json(&OwnHeader { id: at.id, header, bytes }), tip))
    }
}
