//! The first block that this node still has.

use std::sync::Mutex;

use super::blocks::point_of;
use super::error::RpcError;
use super::state::Rpc;
use super::views::status::BlockPoint;

/// So many blocks later the answer is looked up again: blocks are pruned now and then, in bulk.
const GOOD_FOR_BLOCKS: u64 = 256;

/// The last answer, and the height of the chain at that time.
#[derive(Debug, Default)]
pub struct Earliest(Mutex<Option<(BlockPoint, u64)>>);

impl Earliest {
    fn cached(&self, tip: u64) -> Option<BlockPoint> {
        let cached = self.0.lock().ok()?;
        cached.filter(|(_, at)| (*at..*at + GOOD_FOR_BLOCKS).contains(&tip)).map(|(point, _)| point)
    }

    fn keep(&self, point: BlockPoint, tip: u64) {
        if let Ok(mut cached) = self.0.lock() {
            *cached = Some((point, tip));
        }
    }
}

impl Rpc {
    /// The first block that is still here, of a chain whose last block is `tip`.
    pub(super) async fn earliest(&self, tip: u64) -> Result<BlockPoint, RpcError> {
        if tip == 0 {
            return Ok(BlockPoint::default());
        }
        if let Some(point) = self.earliest.cached(tip) {
            return Ok(point);
        }
        // Pruning cuts from below, so what is here is one stretch that ends at the tip.
        let (mut gone, mut here) = (0, tip);
        let mut found = self.block_at(1).await?;
        if found.is_some() {
            here = 1;
        } else {
            while here - gone > 1 {
                let middle = gone + (here - gone) / 2;
                match self.block_at(middle).await? {
                    Some(block) => (here, found) = (middle, Some(block)),
                    None => gone = middle,
                }
            }
            if here == tip {
                found = self.block_at(tip).await?;
            }
        }
        let point = found.map_or_else(BlockPoint::default, |at| point_of(&at.id, &at.block.header));
        if point.height == here {
            self.earliest.keep(point, tip);
        }
        Ok(point)
    }
}
