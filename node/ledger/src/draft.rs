//! A block in the making: the rules at its start, its transactions, the rules at its end.

use crate::calendar;
use crate::codec;
use crate::crypto::{Hash32, PublicKey, domain, hash};
use crate::effects;
use crate::event::LedgerEvent;
pub use crate::node::ValidatorEntry;
use crate::rules::{self, When};
use crate::settle;
use crate::signed::SignedTransaction;
use crate::state::{Changes, Member};
use crate::tree::{Change, Tree};
use crate::trust::epoch as trust_epoch;
use crate::tx_error::TxError;
use crate::work::Work;

/// What a block brings besides its transactions.
#[derive(Clone, Copy, Debug)]
pub struct BlockContext<'a> {
    /// Height of the block: the ledger's height and one.
    pub height: u64,
    /// Time of the block, Unix milliseconds; not before the previous one's.
    pub time_ms: u64,
    /// Validator keys in the previous block's commit.
    pub signers: &'a [PublicKey],
    /// Transactions of the previous block.
    pub previous_tx_count: u32,
    /// Validator keys proven to have double-signed.
    pub offenders: &'a [PublicKey],
}

/// A block being executed over a ledger that stays as it is.
#[derive(Debug)]
pub struct Draft<'a> {
    work: Work<'a>,
    tree: &'a Tree,
    txs: u32,
    new_day: bool,
}

/// An executed block: what a header says about it, and what the ledger needs to take it over.
#[derive(Debug)]
pub struct Execution {
    /// Height of the block.
    pub height: u64,
    /// Time of the block, Unix milliseconds.
    pub time_ms: u64,
    /// Transactions executed.
    pub tx_count: u32,
    /// Root of the state tree after the block.
    pub state_root: Hash32,
    /// RFC 6962 root of the log of all transactions.
    pub log_root: [u8; 32],
    /// Transactions in that log.
    pub log_size: u64,
    /// Hash of what the block did.
    pub results_hash: Hash32,
    /// Who decides the next height; power descending, then by key.
    pub validators: Vec<ValidatorEntry>,
    /// What happened, in order.
    pub events: Vec<LedgerEvent>,
    /// Root of the state that the block was executed over.
    pub(crate) parent_root: Hash32,
    pub(crate) changes: Changes,
    pub(crate) tree: Tree,
    pub(crate) leaves: Vec<Change>,
}

impl<'a> Draft<'a> {
    pub(crate) fn begin(mut work: Work<'a>, tree: &'a Tree, ctx: &BlockContext<'_>) -> Self {
        let before_ms = work.meta.time_ms;
        work.meta.height = ctx.height;
        // Blocks are in order of time; a caller that breaks this must not turn the ledger's clock back.
        work.meta.time_ms = ctx.time_ms.max(before_ms);
        let new_day = calendar::day_of(work.meta.time_ms) > calendar::day_of(before_ms);
        settle::punish(&mut work, ctx.offenders);
        settle::settle_past_epochs(&mut work);
        settle::reward(&mut work, ctx.signers, ctx.previous_tx_count);
        Self { work, tree, txs: 0, new_day }
    }

    /// Executes a transaction, whose signature the caller has checked: all of it or nothing.
    ///
    /// # Errors
    /// Why it cannot run; the draft is then as before. In a proposer's hands the transaction is left
    /// out; in a received block it makes the block invalid.
    pub fn apply(&mut self, tx: &SignedTransaction) -> Result<(), TxError> {
        let effect = rules::judge(&self.work, tx, When::Block)?;
        effects::perform(&mut self.work, tx, effect, self.txs);
        self.txs += 1;
        Ok(())
    }

    /// Transactions executed so far.
    pub fn tx_count(&self) -> u32 {
        self.txs
    }

    /// Runs the rules at the end of the block and computes the roots.
    pub fn finish(self) -> Execution {
        let Self { mut work, tree, txs, new_day } = self;
        settle::settle_complete_epoch(&mut work);
        if new_day || work.meta.height.is_multiple_of(work.chain.params.trust_epoch_blocks) {
            trust_epoch::recompute(&mut work);
        }
        seal(work, tree, txs)
    }
}

/// Computes roots, results and the next validators.
pub(crate) fn seal(work: Work<'_>, tree: &Tree, tx_count: u32) -> Execution {
    let base = work.base;
    let members = work.members();
    let validators = entries(&work, &members);
    let (height, time_ms) = (work.meta.height, work.meta.time_ms);
    let (log_root, log_size) = (work.log.root(), work.log.size());
    let (changes, mut events) = work.into_changes();
    if changes.members.is_some() {
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        events.push(LedgerEvent::Validators { count, power: members.iter().map(|m| m.power).sum() });
    }
    let results_hash = hash(domain::RESULTS, &[&tx_count.to_be_bytes(), &codec::encode(&events)]);
    let leaves = changes.leaves(base);
    let parent_root = tree.root();
    let tree = tree.with(&leaves);
    Execution {
        height,
        time_ms,
        tx_count,
        state_root: tree.root(),
        log_root,
        log_size,
        results_hash,
        validators,
        events,
        parent_root,
        changes,
        tree,
        leaves,
    }
}

/// The members with their keys; power descending, then by voting key.
fn entries(work: &Work<'_>, members: &[Member]) -> Vec<ValidatorEntry> {
    let entry = |member: &Member| {
        let node = work.nodes.get(&member.node)?;
        Some(ValidatorEntry {
            node: member.node,
            name: node.name.clone(),
            validator_key: node.validator_key?,
            node_key: node.node_key?,
            power: member.power,
        })
    };
    let mut list: Vec<ValidatorEntry> = members.iter().filter_map(entry).collect();
    list.sort_by_key(|v| (std::cmp::Reverse(v.power), v.validator_key));
    list
}

/// The validators of a state without changes.
pub(crate) fn validators_of(work: &Work<'_>) -> Vec<ValidatorEntry> {
    entries(work, &work.base.members)
}
