//! Fetching blocks that others have committed already.
//!
//! One peer is asked at a time, and another one when it does not answer soon. Every block is checked as if a
//! stranger sent it: it must follow the tip, carry a commit of more than two thirds of the power, and execute to
//! what its header says.

use bytes::Bytes;
use trustnet_ledger::codec;
use trustnet_ledger::crypto::{Hash32, PublicKey, SignatureCheck};
use trustnet_ledger::signed::SignedTransaction;

use crate::block::{Block, Commit, MAX_COMMIT_BYTES};
use crate::chain::InvalidBlock;
use crate::consensus::diverged;
use crate::engine::Engine;
use crate::io::{Output, TimerId};
use crate::mempool::tx_id;
use crate::message::{MAX_SYNC_BLOCKS, SyncRequest, SyncResponse};
use crate::uptime::Misbehaviour;

/// A peer that is one block ahead may only be faster; this long the block is awaited through consensus.
const ONE_AHEAD_GRACE_MS: u64 = 250;
/// A peer that could not help is not asked again for this long.
const RETRY_MS: u64 = 1_000;
/// A peer that has not answered after this long may have stopped without a word: another one is asked as well.
/// The network gives up much later, because a large answer over a slow line takes its time.
const PATIENCE_MS: u64 = 2_000;
/// The most peers that owe an answer; of more, the one asked first is forgotten.
const MAX_ASKED: usize = 3;

/// A peer that owes an answer.
struct Asked {
    peer: PublicKey,
    tag: u64,
    since_ms: u64,
}

/// State of block sync.
#[derive(Default)]
pub struct Sync {
    /// In the order of asking.
    asked: Vec<Asked>,
    next_tag: u64,
    behind: bool,
    ahead_since_ms: Option<u64>,
}

impl Sync {
    /// Whether validators with more than a third of the power have committed more than the height being decided here.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// A peer is gone, and with it what it was asked.
    pub fn peer_gone(&mut self, peer: &PublicKey) {
        self.asked.retain(|asked| asked.peer != *peer);
    }
}

/// Why a block of a sync answer was not taken.
enum Refused {
    /// The peer is at fault.
    Peer(&'static str),
    /// This node is at fault, and must stop.
    Own(String),
}

impl Engine {
    /// A peer has shown that it has committed `height`.
    pub(crate) fn note_height(&mut self, peer: PublicKey, height: u64) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.height = known.height.max(height);
        self.update_behind();
    }

    /// Decides anew whether this node is behind, and acts on it.
    pub(crate) fn update_behind(&mut self) {
        let tip = self.chain.tip().height();
        let highest = self.peers.values().map(|peer| peer.height).max().unwrap_or(0);
        if highest <= tip {
            self.sync.ahead_since_ms = None;
        } else if self.sync.ahead_since_ms.is_none() {
            self.sync.ahead_since_ms = Some(self.now.mono_ms);
        }
        let behind = self.is_left_behind(tip + 1);
        if behind != self.sync.behind {
            self.sync.behind = behind;
            self.silence.set_behind(behind);
            self.core.silence(self.silence.is_silent());
            tracing::debug!(tip, highest, behind, "catching up");
        }
        self.consider_sync();
    }

    /// Whether validators with more than a third of the power show that they have committed more than
    /// `deciding`: then one of them is honest, the height that is decided here is decided, and our voice in it
    /// is not needed. Claims of fewer send us to fetch blocks, but never take our vote away: else one liar could
    /// silence everybody (pitfall 29).
    fn is_left_behind(&self, deciding: u64) -> bool {
        let validators = self.chain.ledger().validators().iter();
        let ahead = validators.filter(|validator| {
            self.peers.get(&validator.node_key).is_some_and(|peer| peer.height > deciding)
        });
        self.chain.set().has_third(ahead.map(|validator| validator.power).sum())
    }

    /// Asks a peer for blocks, if some are lacking and nobody has been asked who may still answer soon.
    pub(crate) fn consider_sync(&mut self) {
        let now_ms = self.now.mono_ms;
        if let Some(last) = self.sync.asked.last() {
            let waited_ms = now_ms.saturating_sub(last.since_ms);
            if waited_ms < PATIENCE_MS {
                return self.set_timer(TimerId::Sync, PATIENCE_MS - waited_ms);
            }
        }
        let tip = self.chain.tip().height();
        let Some(since_ms) = self.sync.ahead_since_ms else { return };
        let waited_ms = self.now.mono_ms.saturating_sub(since_ms);
        let far = self.peers.values().any(|peer| peer.height > tip + 1);
        if !far && waited_ms < ONE_AHEAD_GRACE_MS {
            return self.set_timer(TimerId::Sync, ONE_AHEAD_GRACE_MS - waited_ms);
        }
        let asked = &self.sync.asked;
        let ahead = self
            .peers
            .iter()
            .filter(|(key, peer)| peer.height > tip && asked.iter().all(|asked| asked.peer != **key));
        let Some((peer, known)) = ahead.min_by_key(|(_, peer)| peer.sync_after_ms) else { return };
        if known.sync_after_ms > now_ms {
            let wait_ms = known.sync_after_ms - now_ms;
            return self.set_timer(TimerId::Sync, wait_ms);
        }
        let peer = *peer;
        let tag = self.sync.next_tag;
        self.sync.next_tag += 1;
        if self.sync.asked.len() == MAX_ASKED {
            let forgotten = self.sync.asked.remove(0);
            if let Some(known) = self.peers.get_mut(&forgotten.peer) {
                known.sync_after_ms = now_ms + RETRY_MS;
            }
        }
        self.sync.asked.push(Asked { peer, tag, since_ms: now_ms });
        let request = SyncRequest { from: tip + 1, count: MAX_SYNC_BLOCKS };
        self.out.push(Output::Request { peer, request, tag });
        self.set_timer(TimerId::Sync, PATIENCE_MS);
    }

    pub(crate) fn on_sync_timer(&mut self) {
        self.consider_sync();
    }

    pub(crate) fn on_sync_request(&mut self, peer: PublicKey, bytes: &Bytes, token: u64) {
        match SyncRequest::decode(bytes) {
            Ok(request) => {
                let count = request.count.min(MAX_SYNC_BLOCKS);
                self.out.push(Output::ServeBlocks { token, request: SyncRequest { count, ..request } });
            }
            Err(_) => self.punish(peer, Misbehaviour::NetworkAbuse, "sent a malformed request"),
        }
    }

    pub(crate) fn on_sync_response(&mut self, peer: PublicKey, tag: u64, bytes: Option<Bytes>) {
        let Some(place) = self.sync.asked.iter().position(|asked| (asked.peer, asked.tag) == (peer, tag))
        else {
            return;
        };
        self.sync.asked.remove(place);
        let retry_ms = self.now.mono_ms + RETRY_MS;
        let blocks = match bytes.map(|bytes| SyncResponse::decode(&bytes)) {
            Some(Ok(response)) => response.blocks,
            Some(Err(_)) => {
                self.punish(peer, Misbehaviour::NetworkAbuse, "answered with malformed blocks");
                Vec::new()
            }
            None => Vec::new(),
        };
        let before = self.chain.tip().height();
        for (block, commit) in blocks {
            match self.take_synced(&block, &commit) {
                Ok(()) => {}
                Err(Refused::Peer(reason)) => {
                    self.punish(peer, Misbehaviour::NetworkAbuse, reason);
                    break;
                }
                Err(Refused::Own(why)) => return self.halt(why),
            }
        }
        if let Some(known) = self.peers.get_mut(&peer)
            && self.chain.tip().height() == before
        {
            // What it claims it does not serve; its claim counts again when it tells a new one.
            known.sync_after_ms = retry_ms;
            known.height = 0;
        }
        self.update_behind();
    }

    fn take_synced(&mut self, block_bytes: &Bytes, commit_bytes: &Bytes) -> Result<(), Refused> {
        let block = Block::decode(block_bytes).map_err(|_| Refused::Peer("sent a malformed block"))?;
        let commit: Commit = codec::decode(commit_bytes, MAX_COMMIT_BYTES)
            .map_err(|_| Refused::Peer("sent a malformed commit"))?;
        if block.header.height < self.chain.next_height() {
            // Consensus was faster than the answer.
            return Ok(());
        }
        let id = block.header.id();
        self.chain
            .check_commit(&commit, id)
            .map_err(|_| Refused::Peer("sent a commit that does not hold"))?;
        if !block.matches_header() {
            return Err(Refused::Peer("sent a block that does not match its header"));
        }
        self.check_signatures(&block)?;
        match self.chain.validate(&block) {
            Ok(execution) => {
                let stored = self.stored_candidate == Some(id);
                self.append(&block, block_bytes.clone(), commit, execution, stored);
                Ok(())
            }
            Err(InvalidBlock::LastCommit(_)) => {
                Err(Refused::Peer("sent a block whose last commit does not hold"))
            }
            Err(error) => Err(Refused::Own(diverged(block.header.height, &error.to_string()))),
        }
    }

    fn check_signatures(&mut self, block: &Block) -> Result<(), Refused> {
        let (mut checks, mut ids): (Vec<SignatureCheck>, Vec<Hash32>) = (Vec::new(), Vec::new());
        for bytes in &block.txs {
            let id = tx_id(bytes);
            if self.verified.contains(&id) {
                continue;
            }
            let tx = SignedTransaction::decode(bytes)
                .map_err(|_| Refused::Peer("sent a block with a malformed transaction"))?;
            checks.push(tx.signature_check(self.chain.chain_id()));
            ids.push(id);
        }
        if !self.config.verifier.all_valid(&checks) {
            return Err(Refused::Peer("sent a block with a wrong signature"));
        }
        for id in ids {
            self.verified.insert(id);
        }
        Ok(())
    }
}
