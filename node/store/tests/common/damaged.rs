//! Damaged directories, one of each kind that a start refuses, and their repair.

use trustnet_store::{Distrust, MemDir, Repair, Result, Signer, Store, repair};

use super::{CHAIN, Model, fresh, live, lose, options, run};

pub const PAGE: usize = 4096;
pub const ASIDE: &str = "damaged-20261120T210010Z";

pub fn mend(dir: &MemDir) -> Result<Repair> {
    mend_distrusting(dir, &Distrust::Nothing)
}

pub fn mend_distrusting(dir: &MemDir, distrust: &Distrust) -> Result<Repair> {
    repair(dir, options(), CHAIN, ASIDE, distrust, &mut |_, _, _| {})
}

pub fn signer(dir: &MemDir) -> Signer {
    Store::open(dir.clone(), options(), CHAIN).unwrap().1.signer
}

/// A stopped store with blocks 1 to 6 in a log that reaches back to the first, state of height 5.
pub fn young() -> (MemDir, Model) {
    let dir = fresh();
    let mut model = Model::default();
    let (mut store, _) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    run(&mut store, &mut model, 4).unwrap();
    super::checkpoint(&mut store, &mut model, 4).unwrap();
    while model.committed < 6 {
        let height = model.committed + 1;
        super::vote_with(&mut store, &mut model, height, 0).unwrap();
        super::commit(&mut store, &mut model).unwrap();
    }
    super::vote(&mut store, &mut model).unwrap();
    store.prepare_spare().unwrap();
    drop(store);
    (dir, model)
}

/// A store whose first segments were pruned.
pub fn old() -> (MemDir, Model) {
    let dir = fresh();
    let mut model = Model::default();
    live(&dir, &mut model).unwrap();
    (dir, model)
}

pub fn content(dir: &MemDir) -> Vec<(String, Vec<u8>)> {
    dir.names().into_iter().map(|name| (name.clone(), dir.bytes(&name).unwrap())).collect()
}

pub fn damage(dir: &MemDir, name: &str, at: usize, len: usize) {
    let mut bytes = dir.bytes(name).unwrap();
    bytes[at..at + len].fill(0xa5);
    dir.set_bytes(name, bytes);
}

pub fn segments(dir: &MemDir) -> Vec<String> {
    dir.names().into_iter().filter(|name| name.strip_suffix(".seg").is_some()).collect()
}

/// The last segment with a record; a spare one follows.
pub fn last_used(dir: &MemDir) -> String {
    let segments = segments(dir);
    segments[segments.len() - 2].clone()
}

/// A damaged directory, and what it is.
pub type Case = (&'static str, MemDir, Model);

/// Each kind of damage that is refused.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (state, (dir, model)) in
        ["state, the log is whole", "state, the log was pruned"].into_iter().zip([young(), old()])
    {
        damage(&dir, "state.redb", 2 * PAGE, 40);
        damage(&dir, "state.redb", 0, 40);
        cases.push((state, dir, model));
    }
    let (dir, model) = young();
    // Block 5 follows the checkpoint.
    let segment = last_used(&dir);
    damage(&dir, &segment, 100, 10);
    cases.push(("middle of the log", dir, model));
    let (dir, model) = young();
    lose(&dir, &segment);
    cases.push(("segment missing", dir, model));
    let (dir, model) = young();
    damage(&dir, &segment, 100, 10);
    lose(&dir, "state.sum");
    cases.push(("state and middle of the log", dir, model));
    let (dir, model) = young();
    damage(&dir, "log/000000.seg", 100, 10);
    lose(&dir, "state.redb");
    cases.push(("state and start of the log", dir, model));
    let (dir, model) = young();
    dir.make_unreadable("vote.lock", 10);
    cases.push(("signer record unreadable", dir, model));
    let (dir, model) = young();
    for name in ["state.redb", "log/key"] {
        lose(&dir, name);
    }
    cases.push(("state and key", dir, model));
    let (dir, model) = young();
    dir.make_unreadable(segments(&dir).last().unwrap(), 3 * PAGE);
    cases.push(("unused sector unreadable", dir, model));
    cases
}
