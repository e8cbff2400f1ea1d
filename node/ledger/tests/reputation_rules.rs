//! The founding rules of reputation, each through real blocks.
#![allow(clippy::unwrap_used)]

mod common;

use common::chain::{Chain, DAY_MS, Extra, HOUR_MS, START_MS, genesis, key, saw, validator_name};
use trustnet_ledger::crypto::PublicKey;
use trustnet_ledger::{Action, LedgerEvent, NodeKind, NodeStatus, Observation, ReputationCause};

/// Three validators and an ACTIVE service `svc` (number 3).
fn with_service() -> Chain {
    let mut chain = Chain::new(3);
    chain.register("svc", NodeKind::Service).unwrap();
    let node = chain.id("svc");
    chain.run(&key("svc", 0), Action::Start { node }).unwrap();
    chain.run(&key("svc", 0), Action::Ready { node }).unwrap();
    chain
}

/// Three validators, a service, and the next full hour has begun.
fn at_a_whole_epoch() -> Chain {
    let mut chain = with_service();
    chain.block_at(START_MS + HOUR_MS, &Extra::default(), &[]).unwrap();
    chain
}

fn signed(names: &[&str], count: u32) -> Extra {
    let signers = names.iter().map(|n| key(n, 2).public()).collect();
    Extra { signers, previous_tx_count: count, offenders: Vec::new() }
}

fn mp(chain: &Chain, name: &str) -> u32 {
    chain.node(name).ledger_mp
}

/// All nodes but one are well; that one is as given.
fn observations(of_service: Observation) -> Vec<Observation> {
    vec![saw(0, 120), saw(1, 120), saw(2, 120), of_service]
}

#[test]
fn everybody_starts_at_fifty_points() {
    let chain = with_service();
    assert_eq!((mp(&chain, "val-0"), mp(&chain, "svc")), (50_000, 50_000));
}

#[test]
fn a_tenth_of_a_point_for_every_thousand_transactions_under_ones_signature() {
    let mut chain = Chain::new(3);
    let mut sign = |names: &[&str], count| {
        chain.block_at(chain.ledger.time_ms() + 1, &signed(names, count), &[]).unwrap();
        [mp(&chain, "val-0"), mp(&chain, "val-1"), mp(&chain, "val-2")]
    };
    assert_eq!(sign(&["val-0", "val-1"], 999), [50_000, 50_000, 50_000]);
    assert_eq!(sign(&["val-0"], 1), [50_100, 50_000, 50_000]);
    assert_eq!(sign(&["val-1"], 2_001), [50_100, 50_300, 50_000]);
    assert_eq!(sign(&["val-0", "val-0", "nobody"], 600), [50_100, 50_300, 50_000], "once per block");
    assert_eq!(chain.node("val-0").txs_validated, 1_600);
}

#[test]
fn a_point_for_a_utc_day_of_99_percent_uptime_once_its_last_epoch_is_final() {
    let mut chain = with_service();
    chain.attest_epochs(23, &observations(saw(3, 120)));
    assert_eq!(mp(&chain, "svc"), 50_000);
    chain.attest_epochs(1, &observations(saw(3, 120)));
    // Its first epoch was not a whole one, so 23 counted; those of the validators were 24.
    assert_eq!((mp(&chain, "svc"), mp(&chain, "val-0")), (51_000, 51_000));
    assert_eq!(chain.node("svc").uptime, Some(1_000));
    assert_eq!(chain.node("svc").gained_this_month_mp, 1_000);
}

#[test]
fn a_day_with_too_few_counted_epochs_earns_nothing() {
    let mut chain = Chain::new(3);
    let all = [saw(0, 120), saw(1, 120), saw(2, 120)];
    chain.attest_epochs(19, &all);
    // Five epochs that nobody attests, then one of the next day.
    chain.block_at(START_MS + DAY_MS + HOUR_MS, &Extra::default(), &[]).unwrap();
    assert_eq!((mp(&chain, "val-0"), chain.node("val-0").uptime), (50_000, Some(1_000)));
    let mut chain = Chain::new(3);
    chain.attest_epochs(20, &all);
    chain.block_at(START_MS + DAY_MS, &Extra::default(), &[]).unwrap();
    assert_eq!(mp(&chain, "val-0"), 50_000, "the last epochs could still be attested");
    chain.block_at(START_MS + DAY_MS + HOUR_MS, &Extra::default(), &[]).unwrap();
    assert_eq!(mp(&chain, "val-0"), 51_000);
}

#[test]
fn at_most_five_points_of_all_gains_in_a_calendar_month() {
    let mut chain = Chain::new(1);
    let all = [saw(0, 120)];
    chain.attest_epochs(24 * 4, &all);
    assert_eq!(mp(&chain, "val-0"), 54_000);
    chain.block_at(chain.ledger.time_ms() + 1, &signed(&["val-0"], 7_000), &[]).unwrap();
    assert_eq!(mp(&chain, "val-0"), 54_700);
    chain.attest_epochs(24 * 3, &all);
    assert_eq!((mp(&chain, "val-0"), chain.node("val-0").gained_this_month_mp), (55_000, 5_000));
    // The month of a gain is that of the block that gives it: 30 June ends in July's first block.
    chain.attest_epochs(24 * 22, &all);
    assert_eq!(chain.ledger.time_ms(), START_MS + 29 * DAY_MS + 60_000);
    assert_eq!(mp(&chain, "val-0"), 55_000);
    chain.attest_epochs(24, &all);
    assert_eq!((mp(&chain, "val-0"), chain.node("val-0").gained_this_month_mp), (56_000, 1_000));
}

#[test]
fn a_point_is_lost_for_each_24_hours_of_missed_heartbeats() {
    let mut chain = at_a_whole_epoch();
    chain.attest_epochs(23, &observations(saw(3, 0)));
    assert_eq!((mp(&chain, "svc"), chain.node("svc").missed_heartbeats), (50_000, 2_760));
    chain.attest_epochs(1, &observations(saw(3, 1)));
    assert_eq!(mp(&chain, "svc"), 50_000);
    chain.attest_epochs(1, &observations(saw(3, 119)));
    assert_eq!((mp(&chain, "svc"), chain.node("svc").missed_heartbeats), (49_000, 2_880));
}

#[test]
fn ten_points_for_an_invalid_transaction_and_25_for_abuse() {
    let mut chain = at_a_whole_epoch();
    chain.attest_epochs(1, &observations(Observation { node: 3, heartbeats: 120, invalid: 1, abuse: 0 }));
    assert_eq!(mp(&chain, "svc"), 40_000);
    chain.attest_epochs(1, &observations(Observation { node: 3, heartbeats: 120, invalid: 0, abuse: 1 }));
    assert_eq!((mp(&chain, "svc"), chain.node("svc").status), (15_000, NodeStatus::Active));
    chain.attest_epochs(1, &observations(Observation { node: 3, heartbeats: 120, invalid: 1, abuse: 0 }));
    let node = chain.node("svc");
    assert_eq!((node.ledger_mp, node.status), (5_000, NodeStatus::Banned));
    assert!(node.status_reason.contains("below 10"), "{}", node.status_reason);
    assert!(chain.events.iter().any(|e| matches!(
        e,
        LedgerEvent::Reputation { node: 3, after_mp: 5_000, cause: ReputationCause::Misconduct, .. }
    )));
    chain.assert_reloads();
}

#[test]
fn the_median_of_three_validators_decides_not_one_liar() {
    let mut chain = at_a_whole_epoch();
    let epoch = chain.ledger.epoch_of(chain.ledger.time_ms());
    let lie = Observation { node: 3, heartbeats: 0, invalid: 255, abuse: 255 };
    let txs = [
        chain.attestation("val-0", epoch, vec![saw(3, 120)]),
        chain.attestation("val-1", epoch, vec![lie]),
        chain.attestation("val-2", epoch, vec![saw(3, 119)]),
    ];
    chain.block_at((epoch + 1) * HOUR_MS, &Extra::default(), &txs).unwrap();
    let node = chain.node("svc");
    assert_eq!((node.ledger_mp, node.missed_heartbeats), (50_000, 1));
}

#[test]
fn double_signing_costs_fifty_points_and_bans_at_once_in_whatever_status() {
    for status in [NodeStatus::Active, NodeStatus::Inactive, NodeStatus::Destroyed] {
        let mut chain = Chain::new(3);
        let (node, operator) = (chain.id("val-1"), key("val-1", 0));
        match status {
            NodeStatus::Inactive => chain.run(&operator, Action::Pause { node }).unwrap(),
            NodeStatus::Destroyed => chain.run(&operator, Action::Destroy { node }).unwrap(),
            _ => {}
        }
        let culprit = key("val-1", 2).public();
        assert!(chain.ledger.can_be_punished(&culprit));
        let evidence = Extra { offenders: vec![culprit, culprit], ..Extra::default() };
        chain.block_at(chain.ledger.time_ms() + 1, &evidence, &[]).unwrap();
        let banned = chain.node("val-1");
        assert_eq!((banned.ledger_mp, banned.status), (0, NodeStatus::Banned), "{status}");
        assert!(banned.status_reason.contains("signed twice"));
        assert!(chain.ledger.validators().iter().all(|v| v.name != "val-1"));
        assert!(!chain.ledger.can_be_punished(&culprit));
        let root = chain.ledger.leaf(&trustnet_ledger::leaves::reputation_key(1)).unwrap().to_vec();
        chain.block_at(chain.ledger.time_ms() + 1, &evidence, &[]).unwrap();
        assert_eq!(chain.ledger.leaf(&trustnet_ledger::leaves::reputation_key(1)), Some(&*root));
    }
}

#[test]
fn evidence_against_keys_that_are_no_validators_does_nothing() {
    let mut chain = with_service();
    let strangers: Vec<PublicKey> =
        vec![key("svc", 1).public(), key("val-0", 1).public(), key("x", 2).public()];
    let extra = Extra { offenders: strangers, ..Extra::default() };
    chain.block_at(chain.ledger.time_ms() + 1, &extra, &[]).unwrap();
    assert!(chain.events.is_empty());
}

#[test]
fn a_paused_nodes_reputation_stands_still() {
    let mut chain = at_a_whole_epoch();
    chain.attest_epochs(22, &observations(saw(3, 120)));
    chain.run(&key("svc", 0), Action::Pause { node: chain.id("svc") }).unwrap();
    chain.run(&key("val-0", 0), Action::Pause { node: chain.id("val-0") }).unwrap();
    let before = (chain.node("svc"), chain.node("val-0"));
    let bad = Observation { node: 3, heartbeats: 0, invalid: 2, abuse: 2 };
    for hour in 0..30 {
        let epoch = chain.ledger.epoch_of(chain.ledger.time_ms());
        let txs = ["val-1", "val-2"].map(|v| chain.attestation(v, epoch, observations(bad)));
        chain.block_at((epoch + 1) * HOUR_MS + 60_000, &signed(&["val-0"], 5_000), &txs).unwrap();
        let _ = hour;
    }
    for (now, then) in [(chain.node("svc"), before.0), (chain.node("val-0"), before.1)] {
        assert_eq!(
            now.reputation_mp, then.reputation_mp,
            "22 good epochs of a day it then left earn nothing"
        );
        assert_eq!(
            (now.ledger_mp, now.txs_validated, now.missed_heartbeats),
            (50_000, then.txs_validated, then.missed_heartbeats)
        );
    }
    assert_eq!(chain.ledger.node_by_name("svc").unwrap().status, NodeStatus::Inactive);
}

#[test]
fn epochs_that_never_counted_are_neither_reward_nor_penalty() {
    let mut chain = at_a_whole_epoch();
    for _ in 0..30 {
        let epoch = chain.ledger.epoch_of(chain.ledger.time_ms());
        let lonely = chain.attestation("val-0", epoch, observations(saw(3, 0)));
        chain.block_at((epoch + 1) * HOUR_MS + 60_000, &Extra::default(), &[lonely]).unwrap();
    }
    let node = chain.node("svc");
    assert_eq!((node.ledger_mp, node.missed_heartbeats, node.uptime), (50_000, 0, None));
    chain.assert_reloads();
}

#[test]
fn an_epoch_is_final_when_all_have_attested_or_when_nobody_can_any_more() {
    let mut chain = at_a_whole_epoch();
    let epoch = chain.ledger.epoch_of(chain.ledger.time_ms());
    let attest = |chain: &Chain, v: &str| chain.attestation(v, epoch, observations(saw(3, 100)));
    let settled = |chain: &Chain| {
        chain.events.iter().any(|e| matches!(e, LedgerEvent::EpochSettled { epoch: e, .. } if *e == epoch))
    };
    let begin = (epoch + 1) * HOUR_MS;
    chain.block_at(begin, &Extra::default(), &[attest(&chain, "val-0")]).unwrap();
    assert!(!settled(&chain));
    let mut all = chain.clone();
    let rest = [attest(&all, "val-1"), attest(&all, "val-2")];
    all.block_at(begin + 1, &Extra::default(), &rest).unwrap();
    assert!(settled(&all), "all three have attested");
    assert_eq!(all.node("svc").missed_heartbeats, 20);

    chain.block_at(begin + HOUR_MS - 1, &Extra::default(), &[attest(&chain, "val-1")]).unwrap();
    assert!(!settled(&chain));
    chain.block_at(begin + HOUR_MS, &Extra::default(), &[]).unwrap();
    assert!(settled(&chain), "the first block of epoch + 2");
    assert_eq!(chain.node("svc").missed_heartbeats, 0, "two thirds of the power are not more");
    chain.assert_reloads();
}

#[test]
fn a_validator_that_leaves_can_make_an_epoch_complete() {
    let mut chain = at_a_whole_epoch();
    let epoch = chain.ledger.epoch_of(chain.ledger.time_ms());
    let two = ["val-0", "val-1"].map(|v| chain.attestation(v, epoch, observations(saw(3, 60))));
    chain.block_at((epoch + 1) * HOUR_MS, &Extra::default(), &two).unwrap();
    assert_eq!(chain.node("svc").missed_heartbeats, 0);
    chain.run(&key("val-2", 0), Action::Pause { node: chain.id("val-2") }).unwrap();
    assert_eq!(chain.node("svc").missed_heartbeats, 60, "both remaining validators have attested");
}

#[test]
fn only_whole_epochs_at_work_count_for_uptime() {
    let mut chain = with_service();
    // The service became ACTIVE seconds after the epoch began.
    chain.attest_epochs(1, &observations(saw(3, 0)));
    assert_eq!(chain.node("svc").missed_heartbeats, 0);
    chain.attest_epochs(1, &observations(saw(3, 0)));
    assert_eq!(chain.node("svc").missed_heartbeats, 120);
    let node = chain.id("svc");
    chain.run(&key("svc", 0), Action::Pause { node }).unwrap();
    chain.run(&key("svc", 0), Action::Resume { node }).unwrap();
    chain.attest_epochs(1, &observations(saw(3, 0)));
    assert_eq!(chain.node("svc").missed_heartbeats, 120);
}

#[test]
fn people_have_no_uptime_but_answer_for_misconduct() {
    let mut chain = Chain::new(3);
    chain.register("bob", NodeKind::User).unwrap();
    chain.block_at(START_MS + HOUR_MS, &Extra::default(), &[]).unwrap();
    chain.attest_epochs(1, &observations(Observation { node: 3, heartbeats: 0, invalid: 1, abuse: 0 }));
    let bob = chain.node("bob");
    assert_eq!((bob.ledger_mp, bob.missed_heartbeats), (40_000, 0));
    assert!(chain.ledger.expected_heartbeaters().iter().all(|(index, _)| *index != bob.index));
}

#[test]
fn nodes_that_are_not_at_work_yet_are_left_alone() {
    let mut chain = Chain::new(3);
    chain.register("svc", NodeKind::Service).unwrap();
    chain.block_at(START_MS + HOUR_MS, &Extra::default(), &[]).unwrap();
    let bad = Observation { node: 3, heartbeats: 0, invalid: 5, abuse: 5 };
    chain.attest_epochs(2, &observations(bad));
    assert_eq!((mp(&chain, "svc"), chain.node("svc").status), (50_000, NodeStatus::Pending));
}

#[test]
fn the_engine_learns_what_to_attest_and_whom_to_hear() {
    let mut chain = at_a_whole_epoch();
    let key_of = |v: usize| key(&validator_name(v), 2).public();
    let epoch = chain.ledger.epoch_of(START_MS);
    let due = |chain: &Chain, v, ms| chain.ledger.attestation_due(&key_of(v), START_MS + ms);
    assert_eq!(due(&chain, 0, HOUR_MS + 59_999), None, "within the grace");
    assert_eq!(due(&chain, 0, HOUR_MS + 60_000), Some(epoch));
    assert_eq!(due(&chain, 0, 60_000), None, "the epoch before the genesis never was");
    assert_eq!(chain.ledger.attestation_due(&key("svc", 1).public(), START_MS + 2 * HOUR_MS), None);
    let tx = chain.attestation("val-0", epoch, vec![]);
    chain.block_at(START_MS + HOUR_MS + 1, &Extra::default(), &[tx]).unwrap();
    assert_eq!(due(&chain, 0, HOUR_MS + 60_000), None);
    assert_eq!(due(&chain, 1, HOUR_MS + 60_000), Some(epoch));
    chain.run(&key("val-1", 0), Action::Pause { node: chain.id("val-1") }).unwrap();
    assert_eq!(due(&chain, 1, HOUR_MS + 60_000), None);
    let expected: Vec<_> =
        ["val-0", "val-2", "svc"].map(|n| (chain.node(n).index, key(n, 1).public())).into();
    assert_eq!(chain.ledger.expected_heartbeaters(), expected);
}

#[test]
fn a_genesis_in_the_middle_of_an_epoch_leaves_its_first_part_out() {
    let mut genesis = genesis(1);
    genesis.time_ms = START_MS + 1_800_000;
    let chain = Chain::from_genesis(genesis);
    let due = |ms| chain.ledger.attestation_due(&key("val-0", 2).public(), START_MS + ms);
    assert_eq!(due(HOUR_MS + 60_000), None);
    assert_eq!(due(2 * HOUR_MS + 60_000), Some(START_MS / HOUR_MS + 1));
}
