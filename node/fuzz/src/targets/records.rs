//! What lies on the disk, piece by piece.

use trustnet_ledger::Ledger;
use trustnet_store::fuzzing;

use crate::memory::bounded;
use crate::script::Script;
use crate::world::{self, GENESIS, HISTORY};

const RECORD: u8 = 0;
const SLOT: u8 = 1;
const ROWS: u8 = 2;
const LEAVES: u8 = 3;
const KINDS: u8 = 4;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    match kind % KINDS {
        RECORD => bounded(bytes, || fuzzing::record(bytes)),
        SLOT => bounded(bytes, || fuzzing::slot(bytes)),
        ROWS => bounded(bytes, || fuzzing::rows(bytes)),
        _ => leaves(bytes),
    }
}

thread_local! {
    /// The leaves of a checkpoint with something in most tables.
    static CHECKPOINT: Vec<(Vec<u8>, Vec<u8>)> = {
        let mut chain = world::new_chain();
        for (block, commit) in HISTORY.iter() {
            world::append(&mut chain, block, commit);
        }
        chain.ledger().leaves().collect()
    };
}

/// A checkpoint of which leaves were changed: refused, or the ledger that its root promises.
fn leaves(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut leaves = CHECKPOINT.with(Clone::clone);
    while !script.is_over() {
        let at = script.below(leaves.len());
        let change = script.byte();
        let (key, value) = &mut leaves[at];
        match change % 6 {
            0 => edit(value, &mut script),
            1 => edit(key, &mut script),
            2 => *value = script.bytes().to_vec(),
            3 => *key = script.bytes().to_vec(),
            4 if leaves.len() > 1 => drop(leaves.swap_remove(at)),
            _ => {
                let copy = leaves[at].clone();
                leaves.push(copy);
            }
        }
    }
    let root = CHECKPOINT.with(|leaves| Ledger::load(&GENESIS, leaves.clone().into_iter()));
    let root = root.expect("the checkpoint itself loads").state_root();
    match Ledger::load(&GENESIS, leaves.into_iter()) {
        Ok(ledger) => assert_eq!(ledger.state_root(), root, "other leaves than those that were sealed"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn edit(bytes: &mut [u8], script: &mut Script<'_>) {
    let (at, by) = (script.below(256), script.byte());
    if let Some(byte) = bytes.get_mut(at) {
        *byte = byte.wrapping_add(by);
    }
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let [record, slot, meta, row] = fuzzing::seeds();
    let mut seeds = [(RECORD, record), (SLOT, slot), (ROWS, meta), (ROWS, row)]
        .map(|(kind, bytes)| [vec![kind], bytes].concat())
        .to_vec();
    // For each kind of change: to the seal, and to some leaf.
    for change in 0..6 {
        seeds.push(vec![LEAVES, 0, change, 3, 1]);
        seeds.push(vec![LEAVES, 9, change, 2, 1, 1]);
    }
    seeds
}
