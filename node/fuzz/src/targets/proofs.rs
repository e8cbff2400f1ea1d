//! Proofs of strangers. Soundness: whatever verifies against an honest root is true. Completeness: an honest proof
//! verifies.

use std::collections::BTreeMap;

use trustnet_ledger::crypto::Hash32;
use trustnet_ledger::merkle::{self, Frontier, Sha};
use trustnet_ledger::tree::{self, OtherLeaf, Proof, Step, Tree};

use crate::script::Script;

/// Leaves of the trees.
const MAX_LEAVES: usize = 40;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    if script.flag() { state(&mut script) } else { log(&mut script) }
}

/// The state tree: values and absences.
fn state(script: &mut Script<'_>) {
    let mut leaves: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut tree = Tree::default();
    for _ in 0..script.below(MAX_LEAVES) {
        let (key, value) = (vec![script.byte()], script.flag().then(|| script.bytes().to_vec()));
        match &value {
            Some(value) => leaves.insert(key.clone(), value.clone()),
            None => leaves.remove(&key),
        };
        tree = tree.with(&[(key, value)]);
    }
    let all: Vec<_> = leaves.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    let root = tree.root();
    assert_eq!(Tree::default().with(&all).root(), root, "the way to a tree does not matter");
    let key = vec![script.byte()];
    let truth = leaves.get(&key);
    assert_eq!(tree.get(&key), truth.map(Vec::as_slice));
    let mut proof = tree.prove(&key);
    assert!(tree::verify(&root, &key, truth.map(Vec::as_slice), &proof), "an honest proof verifies");
    let json = serde_json::to_string(&proof).expect("a proof has a JSON form");
    assert_eq!(serde_json::from_str::<Proof>(&json).expect("which reads back"), proof);
    let mut claim = truth.cloned();
    while !script.is_over() {
        forge(script, &mut proof, &mut claim, &tree);
        if tree::verify(&root, &key, claim.as_deref(), &proof) {
            assert_eq!(claim.as_ref(), truth, "a false claim has a proof: {proof:?}");
        }
    }
}

fn forge(script: &mut Script<'_>, proof: &mut Proof, claim: &mut Option<Vec<u8>>, tree: &Tree) {
    let place = script.below(proof.path.len().max(1));
    match script.below(9) {
        0 => *claim = script.flag().then(|| script.bytes().to_vec()),
        1 => drop((place < proof.path.len()).then(|| proof.path.remove(place))),
        2 => {
            let step = Step { bit: script.byte(), sibling: hash(script) };
            proof.path.insert(place, step);
        }
        3 if place < proof.path.len() => proof.path.swap(0, place),
        4 if place < proof.path.len() => proof.path[place].bit = script.byte(),
        5 if place < proof.path.len() => proof.path[place].sibling.0[script.below(32)] ^= script.byte(),
        6 => proof.other = Some(OtherLeaf { position: hash(script), value: script.bytes().to_vec() }),
        7 => proof.other = None,
        // The proof of another key.
        _ => *proof = tree.prove(&[script.byte()]),
    }
}

fn hash(script: &mut Script<'_>) -> Hash32 {
    let mut bytes = [script.byte(); 32];
    bytes[0] = script.byte();
    Hash32(bytes)
}

/// The log of transactions: inclusion and consistency.
fn log(script: &mut Script<'_>) {
    let count = 1 + script.below(MAX_LEAVES);
    let hashes: Vec<Sha> = (0..count).map(|leaf| merkle::leaf_hash(&[leaf as u8])).collect();
    let root = merkle::root_of_hashes(&hashes);
    let mut frontier = Frontier::default();
    for leaf in &hashes {
        frontier.push(*leaf);
    }
    assert_eq!(frontier.root(), root);
    let place = script.below(count);
    let old = 1 + place;
    let old_root = merkle::root_of_hashes(&hashes[..old]);
    let mut included = merkle::inclusion_proof(&hashes, place).expect("every leaf has a proof");
    let mut consistent = merkle::consistency_proof(&hashes, old).expect("every size has a proof");
    let size = count as u64;
    assert!(merkle::verify_inclusion(&root, size, place as u64, &hashes[place], &included));
    assert!(merkle::verify_consistency(&old_root, old as u64, &root, size, &consistent));
    let (mut index, mut leaf, mut claimed, mut claimed_old) =
        (place as u64, hashes[place], old_root, old as u64);
    while !script.is_over() {
        match script.below(6) {
            0 => index = script.number(),
            1 => leaf = hashes[script.below(count)],
            2 => claimed_old = script.number(),
            3 => claimed = merkle::root_of_hashes(&hashes[..script.below(count)]),
            4 => edit(script, &mut included, &hashes),
            _ => edit(script, &mut consistent, &hashes),
        }
        if merkle::verify_inclusion(&root, size, index, &leaf, &included) {
            let truth = usize::try_from(index).ok().and_then(|index| hashes.get(index));
            assert_eq!(truth, Some(&leaf), "a leaf that is not there has a proof");
        }
        if merkle::verify_consistency(&claimed, claimed_old, &root, size, &consistent) {
            let truth = usize::try_from(claimed_old).ok().and_then(|old| hashes.get(..old));
            assert_eq!(truth.map(merkle::root_of_hashes), Some(claimed), "another history has a proof");
        }
    }
}

fn edit(script: &mut Script<'_>, proof: &mut Vec<Sha>, hashes: &[Sha]) {
    let place = script.below(proof.len().max(1));
    let from = script.below(hashes.len());
    let to = from + script.below(hashes.len() - from + 1);
    match script.below(4) {
        0 => drop((place < proof.len()).then(|| proof.remove(place))),
        1 => proof.insert(place, merkle::root_of_hashes(&hashes[from..to])),
        2 if place < proof.len() => proof[place] = merkle::root_of_hashes(&hashes[from..to]),
        _ => proof.reverse(),
    }
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let state = [1, 5, 1, 1, 2, 7, 7, 9, 1, 1, 8, 3, 0, 200, 1, 0, 201, 1, 1, 4];
    let with = |head: &[u8], more: &[u8]| [head, more].concat();
    vec![
        with(&state, &[1]),
        with(&state, &[9, 0, 0, 1, 1, 5]),
        with(&state, &[77, 0, 2, 3, 4, 1, 5, 0, 3, 255]),
        with(&state, &[77, 0, 6, 1, 1, 2, 3, 3, 0, 8, 1]),
        vec![0, 0, 0],
        vec![0, 12, 5, 0, 7, 1, 6, 4, 2, 0, 7, 1],
        vec![0, 24, 6, 2, 3, 3, 3, 5, 1, 0, 4, 1],
    ]
}
