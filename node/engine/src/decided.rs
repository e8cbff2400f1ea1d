//! From a decision of the core, or a block that was fetched, to the next height.

use std::sync::Arc;

use bytes::Bytes;
use trustnet_ledger::crypto::Hash32;
use trustnet_ledger::draft::Execution;
use trustnet_ledger::signed::SignedTransaction;

use crate::block::{Block, Commit, CommittedBlock};
use crate::candidates::Stage;
use crate::engine::Engine;
use crate::io::{Final, Output};
use crate::mempool::tx_id;
use crate::message::{Message, Status};

impl Engine {
    /// Appends the block that the core decided. Returns false when it must be fetched first.
    pub(crate) fn finish_decided(&mut self, id: Hash32) -> bool {
        let Some(certificate) = self.core.commit_certificate() else { return false };
        let Some(candidate) = self.candidates.remove(&id) else { return false };
        let commit = Commit::from_certificate(&certificate);
        match candidate.stage {
            Stage::Valid { block, bytes, execution } => {
                let stored = self.stored_candidate == Some(id);
                self.append(&block, bytes, commit, execution, stored);
                true
            }
            Stage::Invalid(block) => {
                // More than two thirds executed it and found it right: then this node's state is wrong.
                match self.chain.validate(&block) {
                    Ok(execution) => {
                        let bytes = block.encode();
                        self.append(&block, bytes, commit, execution, false);
                    }
                    Err(error) => self.halt(diverged(block.header.height, &error.to_string())),
                }
                true
            }
            other @ (Stage::Partial(_) | Stage::Checking(_)) => {
                self.candidates.insert(id, other, [None, None]);
                false
            }
        }
    }

    /// Appends a decided and executed block, however it came, and enters the next height.
    pub(crate) fn append(
        &mut self,
        block: &Block,
        bytes: Bytes,
        commit: Commit,
        execution: Execution,
        stored: bool,
    ) {
        let leaves = self.chain.append(block, &commit, execution);
        let mut tx_ids = Vec::with_capacity(block.txs.len());
        for tx in &block.txs {
            tx_ids.push(tx_id(tx));
            if let Ok(tx) = SignedTransaction::decode(tx) {
                self.pool.advance(&tx.tx.signer, tx.tx.nonce);
            }
        }
        for evidence in &block.evidence {
            self.evidence.remove(&evidence.validator());
        }
        self.stats.txs_committed += block.txs.len() as u64;
        self.stats.blocks_committed += 1;
        self.stats.last_block_interval_ms = self.now.mono_ms.saturating_sub(self.last_commit_mono_ms);
        self.last_commit_mono_ms = self.now.mono_ms;
        let members_changed = block.header.validators != block.header.next_validators;
        let committed = CommittedBlock { id: commit.block, block: block.clone(), commit };
        self.out.push(Output::Final(Box::new(Final {
            committed: Arc::new(committed),
            bytes,
            stored,
            tx_ids,
            leaves,
        })));
        if members_changed {
            self.announce_validators();
        }
        self.enter_height();
        self.pass_over_lost_block();
        self.tell_followers();
        self.update_behind();
        self.ask_again_for_own_votes();
        self.end_amnesia_if_told();
        self.end_listening_if_told();
        self.replay_early();
    }

    /// Peers that do not take part in consensus learn of a block from a status.
    fn tell_followers(&mut self) {
        let validators: std::collections::BTreeSet<_> =
            self.chain.ledger().validators().iter().map(|v| v.node_key).collect();
        let followers: Vec<_> =
            self.peers.keys().filter(|peer| !validators.contains(peer)).copied().collect();
        for peer in followers {
            let status: Status = self.status_for(&peer);
            self.send(peer, Message::Status(status));
        }
    }

    fn replay_early(&mut self) {
        let height = self.chain.next_height();
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for peer in peers {
            let due = self.peers.get_mut(&peer).map(|known| known.take_early(height)).unwrap_or_default();
            for bytes in due {
                // A height that is decided on the way makes the rest late; on_message sorts that out.
                self.on_message(peer, &bytes);
            }
        }
    }
}

/// Why a node stops whose state contradicts a decided block.
pub(crate) fn diverged(height: u64, error: &str) -> String {
    format!(
        "block {height} was decided by more than two thirds of the validators, but here {error}; this node's state is \
         damaged: stop it, move its data directory away and start it again to fetch the chain from its peers"
    )
}
