//! Any order of calls, with power cuts in between: what the model says must hold after every start.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::OnceLock;

use common::{CHAIN, Model, check, checkpoint, commit, fetch, options, vote, vote_with};
use proptest::prelude::*;
use trustnet_store::{MemDir, Result, Store, Tail, initialise};

#[derive(Debug, Clone, Copy)]
enum Step {
    Vote,
    /// A block `ahead` of the next height, of this round.
    VoteWith {
        ahead: u64,
        round: u8,
    },
    Fetch {
        ahead: u64,
    },
    Commit,
    Checkpoint {
        behind: u64,
    },
    Prune {
        behind: u64,
    },
    Sync,
    Spare,
    /// Power cut at the given flush from here on, at the latest when the run ends.
    CutAt {
        flush: u64,
    },
    CutNow {
        seed: u64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Vote),
        4 => (0..2u64, 0..3u8).prop_map(|(ahead, round)| Step::VoteWith { ahead, round }),
        2 => (0..3u64).prop_map(|ahead| Step::Fetch { ahead }),
        8 => Just(Step::Commit),
        2 => (0..4u64).prop_map(|behind| Step::Checkpoint { behind }),
        2 => (0..8u64).prop_map(|behind| Step::Prune { behind }),
        1 => Just(Step::Sync),
        1 => Just(Step::Spare),
        2 => (1..6u64).prop_map(|flush| Step::CutAt { flush }),
        1 => any::<u64>().prop_map(|seed| Step::CutNow { seed }),
        1 => Just(Step::Restart),
    ]
}

fn fresh() -> MemDir {
    static INITIALISED: OnceLock<MemDir> = OnceLock::new();
    let initialised = INITIALISED.get_or_init(|| {
        let dir = MemDir::new();
        initialise(&dir, options(), CHAIN).unwrap();
        dir
    });
    initialised.duplicate()
}

fn take(store: &mut Store<MemDir>, model: &mut Model, dir: &MemDir, step: Step) -> Result<()> {
    let next = model.committed + 1;
    match step {
        Step::Vote => vote(store, model),
        Step::VoteWith { ahead, round } => vote_with(store, model, next + ahead, round),
        Step::Fetch { ahead } => fetch(store, next + ahead),
        Step::Commit => {
            fetch(store, next)?;
            commit(store, model)
        }
        Step::Checkpoint { behind } => checkpoint(store, model, model.committed.saturating_sub(behind)),
        Step::Prune { behind } => {
            let keep = model.committed.saturating_sub(behind);
            model.pruned = model.pruned.max(keep);
            store.prune(keep).map(drop)
        }
        Step::Sync => {
            store.sync()?;
            model.durable();
            Ok(())
        }
        Step::Spare => store.prepare_spare(),
        Step::CutAt { flush } => {
            dir.fail_at_sync(flush);
            Ok(())
        }
        Step::CutNow { .. } | Step::Restart => Ok(()),
    }
}

/// Starts again, and compares.
fn restart(dir: &MemDir, model: &mut Model, when: &str) -> Store<MemDir> {
    let (mut store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    check(&store, &recovered, model, when);
    model.resume(&mut store, &recovered);
    store
}

/// Takes the steps, starting again after each power cut.
fn play(steps: Vec<Step>, seed: u64) {
    let dir = fresh();
    dir.garble(".seg");
    dir.garble("vote.lock");
    let mut model = Model::default();
    let mut store = restart(&dir, &mut model, "at first");
    for (at, step) in (0u64..).zip(steps) {
        let done = take(&mut store, &mut model, &dir, step);
        let crash = match (done, step) {
            (Ok(()), Step::CutNow { seed }) => Some(seed),
            // A stop like any other: everything written is kept.
            (Ok(()), Step::Restart) => Some(1),
            (Ok(()), _) => None,
            (Err(_), _) => Some(seed.wrapping_add(at)),
        };
        if let Some(seed) = crash {
            drop(store);
            dir.crash(seed);
            store = restart(&dir, &mut model, "after a power cut");
        }
    }
    drop(store);
    dir.crash(1);
    let store = restart(&dir, &mut model, "at last");
    drop(store);
    let (_, recovered) = Store::open(dir, options(), CHAIN).unwrap();
    assert_eq!(recovered.tail, Tail::Clean);
}

#[test]
fn pruning_forgets_old_blocks_that_the_start_found_beyond_the_checkpoints_place() {
    let vote_with = |ahead, round| Step::VoteWith { ahead, round };
    let mut steps =
        vec![Step::Commit, vote_with(0, 2), Step::Vote, vote_with(1, 0), Step::Commit, vote_with(1, 1)];
    steps.extend([Step::Commit, Step::Vote, Step::Commit, Step::Commit, Step::Checkpoint { behind: 2 }]);
    steps.extend([
        Step::CutAt { flush: 1 },
        Step::Vote,
        Step::Vote,
        Step::Commit,
        Step::Commit,
        Step::Commit,
    ]);
    steps.extend([Step::Prune { behind: 0 }, Step::Checkpoint { behind: 0 }, Step::Vote]);
    play(steps, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_calls_and_power_cuts_keeps_what_was_acknowledged(
        steps in prop::collection::vec(step(), 1..120),
        seed in any::<u64>(),
    ) {
        play(steps, seed);
    }
}
