//! What the node says of itself, its peers, its validators and its consensus.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::args::Args;
use super::blocks::point_of_tip;
use super::error::RpcError;
use super::http::Reply;
use super::state::Rpc;
use super::views::net_info::{PeerShown, net_info};
use super::views::node_info::NodeShown;
use super::views::page::Page;
use super::views::status::{Status, status};
use super::views::validators::validators;
use super::views::{abci, consensus, genesis};

impl Rpc {
    /// `/status`
    pub(super) async fn status(&self) -> Result<Reply, RpcError> {
        let key = self.info.validator_key;
        let (latest, catching_up, power) = self
            .ask(move |view| {
                let power = view.engine.deciders().iter().find(|(decider, _)| Some(*decider) == key);
                (
                    point_of_tip(view.engine.tip()),
                    view.engine.catching_up(),
                    power.map_or(0, |(_, power)| *power),
                )
            })
            .await?;
        let earliest = self.earliest(latest.height).await?;
        let shown = Status {
            node: NodeShown {
                node_key: &self.info.node_key,
                listen: self.info.p2p_listen.to_string(),
                network: self.chain_id(),
                moniker: &self.info.name,
                rpc: self.info.rpc_listen.to_string(),
            },
            latest,
            earliest,
            catching_up,
            validator_key: key.as_ref().unwrap_or(&self.info.node_key),
            power,
        };
        Ok(Reply::now(status(&shown)))
    }

    /// `/net_info`
    pub(super) async fn net_info(&self) -> Result<Reply, RpcError> {
        let peers: Vec<_> = self
            .ask(|view| {
                let named = |peer: trustnet_net::PeerInfo| {
                    let name = view.engine.ledger().node_by_key(&peer.id.0).map(|node| node.name.clone());
                    (peer, name.unwrap_or_default())
                };
                view.net.peers().into_iter().map(named).collect()
            })
            .await?;
        let now = unix_ms();
        let shown: Vec<PeerShown> = peers
            .into_iter()
            .map(|(peer, moniker)| {
                let connected_ms = u64::try_from(peer.since.elapsed().as_millis()).unwrap_or(u64::MAX);
                PeerShown {
                    node_key: peer.id.0,
                    moniker,
                    addr: peer.addr,
                    outbound: peer.outbound,
                    since_unix_ms: now.saturating_sub(connected_ms),
                    connected_ms,
                    sent: (peer.sent_bytes, peer.sent_frames),
                    received: (peer.received_bytes, peer.received_frames),
                    waiting: peer.queues.map(|queue| queue.frames),
                }
            })
            .collect();
        Ok(Reply::now(net_info(&self.info.p2p_listen, &shown, self.chain_id())))
    }

    /// `/validators`
    pub(super) async fn validators(&self, args: &Args) -> Result<Reply, RpcError> {
        let (tip, next) =
            self.ask(|view| (view.engine.tip().height(), view.engine.deciders().to_vec())).await?;
        let height = Self::height(args, tip + 1)?;
        let set = if height == tip + 1 {
            next
        } else {
            let missing = || {
                RpcError::Internal(format!(
                    "the validators of height {height} are not known to this node any more; ask for a later height"
                ))
            };
            let at = self.block_at(height).await?.ok_or_else(missing)?;
            self.deciders_of(&at.block.header).await?.ok_or_else(missing)?.to_vec()
        };
        let page = Page::new(args.int("page")?, args.int("per_page")?, set.len())?;
        Ok(Reply { value: validators(height, &set, page), immutable: args.int("height")?.is_some() })
    }

    /// `/consensus_state`
    pub(super) async fn consensus_state(&self) -> Result<Reply, RpcError> {
        let (state, deciders) =
            self.ask(|view| (view.engine.round_state(), view.engine.deciders().to_vec())).await?;
        Ok(Reply::now(consensus::consensus_state(&state, &deciders)))
    }

    /// `/consensus_params`
    pub(super) async fn consensus_params(&self, args: &Args) -> Result<Reply, RpcError> {
        let height = Self::height(args, self.tip().await?.height() + 1)?;
        let value = genesis::consensus_params_at(height);
        Ok(Reply { value, immutable: args.int("height")?.is_some() })
    }

    /// `/abci_info`
    pub(super) async fn abci_info(&self) -> Result<Reply, RpcError> {
        let (height, root) =
            self.ask(|view| (view.engine.ledger().height(), view.engine.ledger().state_root())).await?;
        Ok(Reply::now(abci::info(self.info.version, height, &root)))
    }

    /// `/genesis`
    pub(super) fn genesis(&self) -> Reply {
        Reply { value: self.genesis.clone(), immutable: true }
    }

    /// `eth_blockNumber`
    pub(super) async fn eth_block_number(&self) -> Result<Reply, RpcError> {
        let height = self.ask(|view| view.engine.tip().height()).await?;
        Ok(Reply::now(quantity(height)))
    }

    /// `eth_chainId`
    pub(super) fn eth_chain_id(&self) -> Reply {
        Reply { value: quantity(eth_chain_id(self.info.genesis.hash().0).into()), immutable: true }
    }

    /// `net_version`: the same number in decimal.
    pub(super) fn net_version(&self) -> Reply {
        Reply { value: eth_chain_id(self.info.genesis.hash().0).to_string().into(), immutable: true }
    }

    /// `web3_clientVersion`
    pub(super) fn client_version(&self) -> Reply {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        Reply::now(json!(format!("TrustNet/v{}/{os}-{arch}/rust", self.info.version)))
    }
}

/// Ethereum's form of a number: hex without leading zeros.
fn quantity(number: u64) -> Value {
    format!("0x{number:x}").into()
}

/// The first four bytes of the genesis hash without the topmost bit: wallets keep chain ids in 31 bits.
fn eth_chain_id(genesis_hash: [u8; 32]) -> u32 {
    let [a, b, c, d, ..] = genesis_hash;
    u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff
}

/// The system's time, Unix milliseconds.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_no_leading_zeros() {
        assert_eq!([0, 1, 255, 4_096].map(quantity), ["0x0", "0x1", "0xff", "0x1000"]);
    }

    #[test]
    fn the_chain_id_is_the_head_of_the_genesis_hash_in_31_bits() {
        let mut hash = [0xff; 32];
        assert_eq!(eth_chain_id(hash), 0x7fff_ffff);
        hash[..4].copy_from_slice(&[0x81, 0x02, 0x03, 0x04]);
        assert_eq!(eth_chain_id(hash), 0x0102_0304);
    }
}
