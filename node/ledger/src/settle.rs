//! The rules that run at the ends of a block, not for a transaction: rewards, epochs, days, evidence.

use crate::attestation;
use crate::calendar::{self, DAY_MS};
use crate::crypto::PublicKey;
use crate::event::{LedgerEvent, ReputationCause};
use crate::ids::NodeIndex;
use crate::lifecycle::Step;
use crate::node::{NodeStatus, StatusReason};
use crate::reputation::DOUBLE_SIGN_LOSS_MP;
use crate::work::Work;

/// Validators proven to have signed two things for one slot: -50 and the ban, in whatever status.
/// Evidence against the banned changes nothing more.
pub(crate) fn punish(work: &mut Work<'_>, offenders: &[PublicKey]) {
    for key in offenders {
        let Some(index) = work.validator_by_key(key) else { continue };
        if work.nodes.get(&index).is_none_or(|n| n.status == NodeStatus::Banned) {
            continue;
        }
        work.step(index, Step::Ban, StatusReason::DoubleSigned);
        work.change_reputation(index, ReputationCause::DoubleSign, |r| r.lose(DOUBLE_SIGN_LOSS_MP));
    }
}

/// The validators whose signatures stand under the previous block of `count` transactions.
pub(crate) fn reward(work: &mut Work<'_>, signers: &[PublicKey], count: u32) {
    if count == 0 {
        return;
    }
    let month = work.month();
    let mut nodes: Vec<NodeIndex> = signers.iter().filter_map(|key| work.validator_by_key(key)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    for node in nodes {
        if work.is_active(node) {
            work.change_reputation(node, ReputationCause::Validated, |r| r.validated(count, month));
        }
    }
}

/// At the start of a block: epochs that nobody can attest any more are final.
pub(crate) fn settle_past_epochs(work: &mut Work<'_>) {
    // Epoch e is attested in blocks of epoch e + 1, so it is final from epoch e + 2 on.
    let open = work.epoch().saturating_sub(1);
    let mut attested: Vec<u64> =
        work.attestations.iter().map(|((epoch, _), _)| *epoch).filter(|epoch| *epoch < open).collect();
    attested.sort_unstable();
    attested.dedup();
    for epoch in attested {
        settle_epoch(work, epoch);
    }
    if open > work.meta.settled_epochs {
        work.meta.settled_epochs = open;
        settle_days(work);
    }
}

/// At the end of a block: an epoch that all ACTIVE validators have attested need not wait.
pub(crate) fn settle_complete_epoch(work: &mut Work<'_>) {
    let Some(epoch) = work.epoch().checked_sub(1) else { return };
    let complete = !work.active.is_empty()
        && epoch >= work.meta.settled_epochs
        && work.active.keys().all(|validator| work.attestations.contains(&(epoch, *validator)));
    if complete {
        settle_epoch(work, epoch);
    }
}

/// Makes an epoch final. Epochs are settled in ascending order.
fn settle_epoch(work: &mut Work<'_>, epoch: u64) {
    let mut attesters: Vec<NodeIndex> =
        work.attestations.iter().filter(|((e, _), _)| *e == epoch).map(|((_, v), _)| *v).collect();
    attesters.sort_unstable();
    let settled = attestation::settle(
        &work.active,
        attesters.iter().filter_map(|v| Some((*v, work.attestations.get(&(epoch, *v))?.as_slice()))),
    );
    for validator in attesters {
        work.attestations.remove((epoch, validator));
    }
    let params = work.chain.params;
    let start_ms = epoch.saturating_mul(params.epoch_ms);
    let day = calendar::day_of(start_ms);
    let mut counted = 0;
    for seen in settled {
        let Some(node) = work.nodes.get(&seen.node) else { continue };
        if !node.is_active() {
            continue;
        }
        counted += 1;
        // Uptime is expected of whoever was at work for the whole epoch.
        if node.kind.heartbeats() && node.status_since_ms <= start_ms {
            work.change_reputation(seen.node, ReputationCause::Downtime, |r| {
                r.epoch(day, seen.heartbeats, params.heartbeats_per_epoch(), params.heartbeats_per_day());
            });
        }
        work.change_reputation(seen.node, ReputationCause::Misconduct, |r| {
            r.misconduct(seen.invalid, seen.abuse);
        });
    }
    work.meta.settled_epochs = work.meta.settled_epochs.max(epoch.saturating_add(1));
    work.events.push(LedgerEvent::EpochSettled { epoch, nodes: counted });
    settle_days(work);
}

/// Gives the points for uptime of the days whose last epoch is final.
fn settle_days(work: &mut Work<'_>) {
    let params = work.chain.params;
    let over = work.meta.settled_epochs.saturating_mul(params.epoch_ms) / DAY_MS;
    let over = u32::try_from(over).unwrap_or(u32::MAX);
    if over <= work.meta.settled_days {
        return;
    }
    work.meta.settled_days = over;
    let mut due: Vec<NodeIndex> = work
        .reputations
        .iter()
        .filter(|(_, r)| r.today.epochs > 0 && r.today.day < over)
        .map(|(index, _)| *index)
        .collect();
    due.sort_unstable();
    let month = work.month();
    for index in due {
        let earns = work.is_active(index);
        work.change_reputation(index, ReputationCause::Uptime, |r| {
            r.settle_day(earns, params.epochs_per_day(), month);
        });
    }
}
