//! Reading blocks: from the disk on the engine's thread, decoded off it.

use serde_json::{Value, json};
use trustnet_engine::block::{Block, Commit, Header};
use trustnet_engine::chain::Tip;
use trustnet_ledger::crypto::{Hash32, PublicKey};
use trustnet_store::StoredBlock;

use super::args::Args;
use super::error::RpcError;
use super::http::Reply;
use super::limits::MAX_BLOCK_METAS;
use super::sets::Deciders;
use super::state::Rpc;
use super::views::block::{self, Previous};
use super::views::header;
use super::views::status::BlockPoint;

/// A block as this node has it.
pub(super) struct BlockAt {
    /// Its id.
    pub id: Hash32,
    /// The block.
    pub block: Block,
    /// Length of its encoding, in bytes.
    pub size: usize,
}

/// What `/status` says of a block.
pub(super) fn point_of(id: &Hash32, header: &Header) -> BlockPoint {
    BlockPoint { id: *id, state_root: header.state_root, height: header.height, time_ms: header.time_ms }
}

/// What `/status` says of the last block.
pub(super) fn point_of_tip(tip: &Tip) -> BlockPoint {
    tip.header.as_ref().map_or_else(BlockPoint::default, |header| point_of(&tip.id, header))
}

fn decode(stored: &StoredBlock, height: u64) -> Result<BlockAt, RpcError> {
    let block = Block::decode(&stored.block).map_err(|error| {
        RpcError::Internal(format!("block {height} on this node's disk cannot be read: {error}"))
    })?;
    Ok(BlockAt { id: Hash32(stored.hash), block, size: stored.block.len() })
}

impl Rpc {
    /// The block of a height, if this node has it.
    pub(super) async fn block_at(&self, height: u64) -> Result<Option<BlockAt>, RpcError> {
        let stored = self.ask(move |view| view.store.block(height)).await?;
        let stored = stored.map_err(|error| RpcError::Internal(error.to_string()))?;
        stored.map(|stored| decode(&stored, height)).transpose()
    }

    /// The tip of the chain.
    pub(super) async fn tip(&self) -> Result<Tip, RpcError> {
        self.ask(|view| view.engine.tip().clone()).await
    }

    /// The height that is asked for, checked against what there is; `latest` when none is named.
    pub(super) fn height(args: &Args, latest: u64) -> Result<u64, RpcError> {
        let Some(given) = args.int("height")? else { return Ok(latest) };
        match u64::try_from(given) {
            Ok(height) if height > latest => Err(RpcError::Internal(format!(
                "height {height} must be less than or equal to the current blockchain height {latest}"
            ))),
            Ok(height) if height > 0 => Ok(height),
            _ => Err(RpcError::Internal(format!("height must be greater than 0, but got {given}"))),
        }
    }

    /// The block of a height that should be here.
    async fn require(&self, height: u64, tip: u64) -> Result<BlockAt, RpcError> {
        if tip == 0 {
            return Err(RpcError::Internal(
                "there is no block yet; the chain begins with its first transaction".to_owned(),
            ));
        }
        if let Some(found) = self.block_at(height).await? {
            return Ok(found);
        }
        let lowest = self.earliest(tip).await?.height;
        Err(RpcError::Internal(format!("height {height} is not available, lowest height is {lowest}")))
    }

    /// Who decided the block with this header.
    pub(super) async fn deciders_of(&self, header: &Header) -> Result<Option<Deciders>, RpcError> {
        if let Some(known) = self.sets.read().await.get(&header.validators) {
            return Ok(Some(known));
        }
        self.learn_sets().await.map_err(|gone| RpcError::Server(gone.to_string()))?;
        Ok(self.sets.read().await.get(&header.validators))
    }

    async fn show(&self, at: BlockAt) -> Result<Value, RpcError> {
        let before = match at.block.header.height {
            0 | 1 => None,
            height => self.block_at(height - 1).await?,
        };
        let Some(before) = before else {
            let deciders: Option<&[PublicKey]> = (at.block.header.height == 1).then_some(&[]);
            let previous = Previous { time_ms: 0, deciders };
            return Ok(block::block(&at.id, &at.block, self.chain_id(), previous));
        };
        let keys = keys(self.deciders_of(&before.block.header).await?);
        let previous = Previous { time_ms: before.block.header.time_ms, deciders: keys.as_deref() };
        Ok(block::block(&at.id, &at.block, self.chain_id(), previous))
    }

    /// `/block`
    pub(super) async fn block(&self, args: &Args) -> Result<Reply, RpcError> {
        let tip = self.tip().await?.height();
        let height = Self::height(args, tip)?;
        let at = self.require(height, tip).await?;
        Ok(Reply { value: self.show(at).await?, immutable: args.int("height")?.is_some() })
    }

    /// `/block_by_hash`
    pub(super) async fn block_by_hash(&self, args: &Args) -> Result<Reply, RpcError> {
        match self.find_by_hash(args.hash("hash")?).await? {
            Some(at) => Ok(Reply { value: self.show(at).await?, immutable: true }),
            None => Ok(Reply::now(block::no_block())),
        }
    }

    async fn find_by_hash(&self, hash: [u8; 32]) -> Result<Option<BlockAt>, RpcError> {
        let height = self
            .ask(move |view| view.store.block_height_by_hash(hash))
            .await?
            .map_err(|error| RpcError::Internal(error.to_string()))?;
        let Some(height) = height else { return Ok(None) };
        Ok(self.block_at(height).await?.filter(|at| at.id.0 == hash))
    }

    /// `/header`
    pub(super) async fn header(&self, args: &Args) -> Result<Reply, RpcError> {
        let tip = self.tip().await?.height();
        let at = self.require(Self::height(args, tip)?, tip).await?;
        let value = json!({ "header": header::header(&at.block.header, self.chain_id()) });
        Ok(Reply { value, immutable: args.int("height")?.is_some() })
    }

    /// `/header_by_hash`
    pub(super) async fn header_by_hash(&self, args: &Args) -> Result<Reply, RpcError> {
        let found = self.find_by_hash(args.hash("hash")?).await?;
        let shown = found.as_ref().map(|at| header::header(&at.block.header, self.chain_id()));
        Ok(Reply { immutable: shown.is_some(), value: json!({ "header": shown }) })
    }

    /// `/commit`
    pub(super) async fn commit(&self, args: &Args) -> Result<Reply, RpcError> {
        let tip = self.tip().await?;
        let height = Self::height(args, tip.height())?;
        let at = self.require(height, tip.height()).await?;
        let next = if height < tip.height() { self.block_at(height + 1).await? } else { None };
        let canonical = next.is_some();
        let by: Commit = match next {
            Some(next) => next.block.last_commit,
            None if height == tip.height() => tip.commit,
            None => {
                return Err(RpcError::Internal(format!("the commit of height {height} is not available")));
            }
        };
        let header = &at.block.header;
        let deciders = keys(self.deciders_of(header).await?);
        let value = block::signed_header(header, &by, self.chain_id(), deciders.as_deref(), canonical);
        Ok(Reply { value, immutable: canonical && args.int("height")?.is_some() })
    }

    /// `/blockchain`
    pub(super) async fn blockchain(&self, args: &Args) -> Result<Reply, RpcError> {
        let tip = self.tip().await?.height();
        let base = self.earliest(tip).await?.height;
        let (min, max) = range(args.int("minHeight")?, args.int("maxHeight")?, base, tip)?;
        let mut metas = Vec::new();
        for height in (min..=max).rev() {
            let Some(at) = self.block_at(height).await? else { break };
            metas.push(block::block_meta(&at.id, &at.block, self.chain_id(), at.size));
        }
        Ok(Reply::now(block::blockchain(tip, &metas)))
    }
}

fn keys(deciders: Option<Deciders>) -> Option<Vec<PublicKey>> {
    deciders.map(|deciders| deciders.iter().map(|(key, _)| *key).collect())
}

/// The heights that `/blockchain` shows, as `CometBFT` chooses them: the top of the range, at most
/// [`MAX_BLOCK_METAS`]. An empty chain gives an empty range.
fn range(min: Option<i64>, max: Option<i64>, base: u64, tip: u64) -> Result<(u64, u64), RpcError> {
    let given = |value: Option<i64>| {
        u64::try_from(value.unwrap_or(0))
            .map_err(|_| RpcError::Internal("heights must be non-negative".to_owned()))
    };
    let (min, max) = (given(min)?, given(max)?);
    if tip == 0 {
        return Ok((1, 0));
    }
    let max = if max == 0 { tip } else { max.min(tip) };
    let min = min.max(1).max(base).max((max + 1).saturating_sub(MAX_BLOCK_METAS));
    if min > max {
        return Err(RpcError::Internal(format!("min height {min} can't be greater than max height {max}")));
    }
    Ok((min, max))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rpc::args::Params;

    fn args(height: &str) -> Args {
        let params: Params = serde_json::from_str(&format!("[{height}]")).unwrap();
        Args::bind(params, &["height"]).unwrap()
    }

    #[test]
    fn heights_are_checked_in_cometbfts_words() {
        assert_eq!(Rpc::height(&args("null"), 9).unwrap(), 9);
        assert_eq!(Rpc::height(&args("\"9\""), 9).unwrap(), 9);
        let error = |height: &str| Rpc::height(&args(height), 9).unwrap_err().data().to_owned();
        assert_eq!(error("0"), "height must be greater than 0, but got 0");
        assert_eq!(error("-3"), "height must be greater than 0, but got -3");
        assert_eq!(error("10"), "height 10 must be less than or equal to the current blockchain height 9");
    }

    #[test]
    fn the_range_of_blockchain_is_its_top_part() {
        let range = |min, max| range(Some(min), Some(max), 1, 100);
        assert_eq!(range(0, 0).unwrap(), (81, 100));
        assert_eq!(range(1, 10).unwrap(), (1, 10));
        assert_eq!(range(1, 50).unwrap(), (31, 50));
        assert_eq!(range(95, 1_000).unwrap(), (95, 100));
        assert!(range(-1, 5).is_err());
        assert!(
            range(60, 50).unwrap_err().data().contains("min height 60 can't be greater than max height 50")
        );
        assert!(range(i64::MAX, i64::MAX).is_err());
    }

    #[test]
    fn a_pruned_or_empty_chain_has_its_range_too() {
        assert_eq!(range(None, None, 90, 100).unwrap(), (90, 100));
        assert!(range(Some(1), Some(80), 90, 100).is_err());
        assert_eq!(range(None, None, 0, 0).unwrap(), (1, 0));
    }
}
