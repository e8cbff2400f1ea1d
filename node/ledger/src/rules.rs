//! Whether a transaction may run, and what it then does: reading only.
//!
//! Judging and doing are apart so that a refused transaction has changed nothing.

use crate::crypto::PublicKey;
use crate::genesis::MAX_VALIDATORS;
use crate::ids::{NodeId, NodeIndex, node_id};
use crate::lifecycle::{self, Step};
use crate::node::{Node, NodeKind, NodeStatus, StatusReason};
use crate::rating::{Category, MAX_RATINGS_PER_CATEGORY, RatingKey};
use crate::signed::SignedTransaction;
use crate::tx::{Action, KeyProof, KeyRole, Observation, Transaction};
use crate::tx_error::TxError;
use crate::work::Work;

/// What an accepted transaction does, with every name resolved.
#[derive(Debug)]
pub(crate) enum Effect {
    Register(Box<Node>),
    Rate(RatingKey),
    Step {
        node: NodeIndex,
        step: Step,
        reason: StatusReason,
    },
    /// `complete`: with this consent the newcomer has more than two thirds.
    Admit {
        node: NodeIndex,
        validator: NodeIndex,
        complete: bool,
    },
    Attest {
        validator: NodeIndex,
    },
}

/// When a transaction is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// In a block: times and the exact nonce count.
    Block,
    /// For the mempool: neither times nor gaps before the nonce count.
    Waiting,
}

/// Judges a transaction. The signature is the caller's business.
pub(crate) fn judge(work: &Work<'_>, signed: &SignedTransaction, when: When) -> Result<Effect, TxError> {
    signed.check_shape()?;
    let tx = &signed.tx;
    check_nonce(work, tx, when)?;
    if matches!(when, When::Block) && tx.time_ms > work.meta.time_ms {
        return Err(TxError::FutureDated { time_ms: tx.time_ms, block_ms: work.meta.time_ms });
    }
    match &tx.action {
        Action::Register { name, owner, kind, node_key, validator_key } => {
            register(work, tx, name, owner, *kind, [node_key.as_ref(), validator_key.as_ref()])
        }
        Action::Rate { from, to, category, .. } => rate(work, &tx.signer, from, to, *category),
        Action::Start { node } => {
            let effect = operate(work, tx, node, Step::Start, StatusReason::Started)?;
            match work.node(node) {
                Some((_, n)) if n.kind == NodeKind::Validator => Err(TxError::NeedsAdmission(*node)),
                _ => Ok(effect),
            }
        }
        Action::Ready { node } => operate(work, tx, node, Step::Ready, StatusReason::Ready),
        Action::Pause { node } => operate(work, tx, node, Step::Pause, StatusReason::Paused),
        Action::Resume { node } => operate(work, tx, node, Step::Resume, StatusReason::Resumed),
        Action::Destroy { node } => operate(work, tx, node, Step::Destroy, StatusReason::Destroyed),
        Action::Admit { node, validator } => admit(work, &tx.signer, node, validator),
        Action::Attest { validator, epoch, observations } => {
            attest(work, &tx.signer, validator, *epoch, observations, when)
        }
    }
}

fn check_nonce(work: &Work<'_>, tx: &Transaction, when: When) -> Result<(), TxError> {
    let used = work.accounts.get(&tx.signer).map_or(0, |account| account.nonce);
    let next = used.saturating_add(1);
    if tx.nonce <= used {
        return Err(TxError::NonceUsed { nonce: tx.nonce, next });
    }
    if tx.nonce > next && matches!(when, When::Block) {
        return Err(TxError::NonceGap { nonce: tx.nonce, next });
    }
    Ok(())
}

fn find<'w>(work: &'w Work<'_>, id: &NodeId) -> Result<(NodeIndex, &'w Node), TxError> {
    work.node(id).ok_or(TxError::UnknownNode(*id))
}

/// A node for which `signer` may sign.
fn own<'w>(work: &'w Work<'_>, signer: &PublicKey, id: &NodeId) -> Result<(NodeIndex, &'w Node), TxError> {
    let (index, node) = find(work, id)?;
    if node.operator == *signer { Ok((index, node)) } else { Err(TxError::NotOperator(*id)) }
}

fn register(
    work: &Work<'_>,
    tx: &Transaction,
    name: &str,
    owner: &str,
    kind: NodeKind,
    [node_key, validator_key]: [Option<&KeyProof>; 2],
) -> Result<Effect, TxError> {
    if work.meta.nodes == NodeIndex::MAX {
        return Err(TxError::NodesFull);
    }
    if work.names.contains(&name.to_owned()) {
        return Err(TxError::NameTaken(name.to_owned()));
    }
    for (proof, role) in [(node_key, KeyRole::Node), (validator_key, KeyRole::Validator)] {
        let Some(proof) = proof else { continue };
        if work.keys.contains(&proof.key) {
            return Err(TxError::KeyTaken(proof.key));
        }
        if !proof.is_valid(role, &work.chain.id, &tx.signer, tx.nonce, tx.time_ms) {
            return Err(TxError::BadProof(role));
        }
    }
    // People have nothing to start.
    let status = if kind == NodeKind::User { NodeStatus::Active } else { NodeStatus::Pending };
    let power = if kind == NodeKind::Validator { work.chain.params.new_validator_power } else { 0 };
    Ok(Effect::Register(Box::new(Node {
        id: node_id(&tx.signer, tx.time_ms, tx.nonce),
        name: name.to_owned(),
        owner: owner.to_owned(),
        kind,
        status,
        status_reason: StatusReason::Registered,
        status_since_ms: work.meta.time_ms,
        operator: tx.signer,
        node_key: node_key.map(|proof| proof.key),
        validator_key: validator_key.map(|proof| proof.key),
        registered_ms: tx.time_ms,
        registration_nonce: tx.nonce,
        power,
    })))
}

fn rate(
    work: &Work<'_>,
    signer: &PublicKey,
    from: &NodeId,
    to: &NodeId,
    category: Category,
) -> Result<Effect, TxError> {
    let (from_index, rater) = own(work, signer, from)?;
    if !rater.is_active() {
        let status = rater.status;
        return Err(TxError::WrongStatus { node: *from, status, action: "rate", needed: "ACTIVE" });
    }
    let (to_index, target) = find(work, to)?;
    if from_index == to_index || rater.operator == target.operator {
        return Err(TxError::SelfRating(*to));
    }
    if target.status.is_final() {
        return Err(TxError::TargetGone { node: *to, status: target.status });
    }
    let key = RatingKey { to: to_index, from: from_index, category };
    let received = work.tallies.get(&to_index).map_or(0, |tally| tally.received[category.index()]);
    if received >= MAX_RATINGS_PER_CATEGORY && work.current_rating(&key).is_none() {
        return Err(TxError::RatingsFull(*to));
    }
    Ok(Effect::Rate(key))
}

/// A step that a node's operator takes.
fn operate(
    work: &Work<'_>,
    tx: &Transaction,
    id: &NodeId,
    step: Step,
    reason: StatusReason,
) -> Result<Effect, TxError> {
    let (index, node) = own(work, &tx.signer, id)?;
    let to = possible(id, node, step)?;
    if node.kind == NodeKind::Validator {
        if node.is_active() && work.active.len() == 1 {
            return Err(TxError::LastValidator(*id));
        }
        if to == NodeStatus::Active && work.active.len() >= MAX_VALIDATORS {
            return Err(TxError::ValidatorsFull(MAX_VALIDATORS));
        }
    }
    Ok(Effect::Step { node: index, step, reason })
}

/// Where a step leads, or why it is not possible.
fn possible(id: &NodeId, node: &Node, step: Step) -> Result<NodeStatus, TxError> {
    lifecycle::next(node.status, step).ok_or(TxError::WrongStatus {
        node: *id,
        status: node.status,
        action: step.verb(),
        needed: step.needed(),
    })
}

fn admit(work: &Work<'_>, signer: &PublicKey, id: &NodeId, validator: &NodeId) -> Result<Effect, TxError> {
    let (voter, voter_node) = own(work, signer, validator)?;
    if !voter_node.is_active_validator() {
        return Err(TxError::NotValidator(*validator));
    }
    let (index, node) = find(work, id)?;
    if node.kind != NodeKind::Validator {
        return Err(TxError::NeedsNoAdmission(*id));
    }
    possible(id, node, Step::Admit)?;
    let consents = work.admissions.get(&index).map_or(&[][..], Vec::as_slice);
    let known = consents.contains(&voter);
    let power = |node: &NodeIndex| work.active.get(node).copied().unwrap_or(0);
    let all: u64 = work.active.values().sum();
    let for_it: u64 = consents.iter().filter(|v| **v != voter).map(power).sum::<u64>() + power(&voter);
    let complete = u128::from(for_it) * 3 > u128::from(all) * 2;
    // A second consent counts only if it completes: the set may have shrunk since the first.
    if known && !complete {
        return Err(TxError::AlreadyAdmitted(*validator));
    }
    Ok(Effect::Admit { node: index, validator: voter, complete })
}

fn attest(
    work: &Work<'_>,
    signer: &PublicKey,
    id: &NodeId,
    epoch: u64,
    observations: &[Observation],
    when: When,
) -> Result<Effect, TxError> {
    let (validator, node) = find(work, id)?;
    if node.operator != *signer && node.validator_key != Some(*signer) {
        return Err(TxError::NotOperator(*id));
    }
    if !node.is_active_validator() {
        return Err(TxError::NotValidator(*id));
    }
    if matches!(when, When::Block) {
        let now = work.epoch();
        if epoch.checked_add(1) != Some(now) {
            return Err(TxError::WrongEpoch { epoch, expected: now.saturating_sub(1) });
        }
    }
    if epoch < work.meta.settled_epochs {
        return Err(TxError::EpochSettled(epoch));
    }
    if work.attestations.contains(&(epoch, validator)) {
        return Err(TxError::AlreadyAttested { validator: *id, epoch });
    }
    if let Some(unknown) = observations.iter().find(|o| o.node >= work.meta.nodes) {
        return Err(TxError::UnknownIndex(unknown.node));
    }
    let most = work.chain.params.heartbeats_per_epoch();
    if observations.iter().any(|o| o.heartbeats > most) {
        return Err(TxError::BadObservations("more heartbeats than an epoch of this chain holds"));
    }
    Ok(Effect::Attest { validator })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::chain::Chain;
    use crate::crypto::{SecretKey, Signature};
    use crate::ledger::Ledger;
    use crate::rating::Rating;
    use crate::state::Tally;
    use crate::{CategoryWeights, Genesis, GenesisValidator, Params};

    /// Filling a category through blocks would take 200,000 transactions, so the count is set here.
    #[test]
    fn a_full_category_takes_updates_of_known_raters_only() {
        let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public();
        let validator = |n: u8| GenesisValidator {
            name: format!("v-{n}"),
            owner: String::new(),
            operator: key(n),
            node_key: key(n + 50),
            validator_key: key(n + 100),
            power: 1,
        };
        let genesis = Genesis {
            version: 1,
            chain_id: "c".into(),
            time_ms: 5,
            validators: (1..=3).map(validator).collect(),
            roots: Vec::new(),
            category_weights: CategoryWeights::default(),
            params: Params::default(),
        };
        let mut state = Ledger::genesis(&genesis).unwrap().state;
        let rated = RatingKey { to: 0, from: 1, category: Category::Honesty };
        let rating = Rating { stars: 5, time_ms: 5, height: 0, index: 0, reason: "".into() };
        state.put_ratings(rated, vec![rating]);
        state.tallies.insert(0, Tally { received: [7, 7, MAX_RATINGS_PER_CATEGORY], stars: 9, given: 0 });
        let chain = Chain::new(&genesis);
        let work = Work::over(&chain, &state);
        let (target, id) = (state.nodes[&0].id, |n: u32| state.nodes[&n].id);
        let rate = |rater: u32, category| {
            let action =
                Action::Rate { from: id(rater), to: target, stars: 4, category, reason: String::new() };
            let tx = Transaction { signer: key(rater as u8 + 1), nonce: 1, time_ms: 5, action };
            judge(&work, &SignedTransaction::from_parts(tx, Signature([0; 64])), When::Block).map(|_| ())
        };
        assert_eq!(rate(2, Category::Honesty), Err(TxError::RatingsFull(target)));
        assert_eq!(rate(1, Category::Honesty), Ok(()));
        assert_eq!(rate(2, Category::Reliability), Ok(()));
    }
}
