#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The root by the definition alone: split the sorted positions at their first difference.
fn plain_root(leaves: &[(Position, &Vec<u8>)]) -> Hash32 {
    match leaves {
        [] => Hash32::default(),
        [(at, value)] => leaf_hash(at, value),
        [(first, _), .., (last, _)] => {
            let bit = (0..=255).find(|b| goes_right(first, *b) != goes_right(last, *b)).unwrap();
            let middle = leaves.iter().position(|(at, _)| goes_right(at, bit)).unwrap();
            inner_hash(bit, &plain_root(&leaves[..middle]), &plain_root(&leaves[middle..]))
        }
    }
}

fn model_root(model: &Model) -> Hash32 {
    let by_position: BTreeMap<Position, &Vec<u8>> = model.iter().map(|(k, v)| (position(k), v)).collect();
    plain_root(&by_position.into_iter().collect::<Vec<_>>())
}

fn filled(count: u8) -> Tree {
    let changes: Vec<Change> = (0..count).map(|i| (vec![i], Some(vec![i, i]))).collect();
    Tree::default().with(&changes)
}

#[test]
fn the_hashes_are_as_documented() {
    assert_eq!(Tree::default().root(), Hash32([0; 32]));
    let one = Tree::default().with(&[(b"k".to_vec(), Some(b"v".to_vec()))]);
    let at = *blake3::hash(b"trustnet state keyk").as_bytes();
    let leaf = [b"trustnet state leaf".as_slice(), &at, b"v"].concat();
    assert_eq!(one.root().0, *blake3::hash(&leaf).as_bytes());
    assert_eq!(
        filled(9).root().to_string(),
        model_root(&(0..9).map(|i| (vec![i], vec![i, i])).collect()).to_string()
    );
}

#[test]
fn the_last_of_several_changes_to_one_key_counts() {
    let key = || b"k".to_vec();
    let tree = Tree::default().with(&[(key(), Some(vec![1])), (key(), None), (key(), Some(vec![2]))]);
    assert_eq!(tree.get(b"k"), Some([2].as_slice()));
    assert_eq!(tree.with(&[(key(), Some(vec![3])), (key(), None)]).root(), Hash32::default());
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let tree = filled(5);
    let absent: Vec<Change> = (100..120).map(|i| (vec![i], None)).collect();
    assert_eq!(tree.with(&absent).root(), tree.root());
    assert_eq!(Tree::default().with(&absent).root(), Hash32::default());
}

#[test]
fn an_older_tree_stays_as_it_was() {
    let old = filled(40);
    let root = old.root();
    let new = old.with(&[(vec![3], None), (vec![200], Some(vec![9]))]);
    assert_ne!(new.root(), root);
    assert_eq!(old.root(), root);
    assert_eq!(old.get(&[3]), Some([3, 3].as_slice()));
    assert_eq!(new.get(&[3]), None);
}

#[test]
fn presence_and_absence_are_proven_and_nothing_else() {
    for count in [1, 2, 3, 17, 64] {
        let tree = filled(count);
        let root = tree.root();
        for key in 0..=255_u8 {
            let value = (key < count).then(|| vec![key, key]);
            let proof = tree.prove(&[key]);
            assert!(verify(&root, &[key], value.as_deref(), &proof), "{key} of {count}");
            let made_up = [key, key];
            let lie = if value.is_some() { None } else { Some(made_up.as_slice()) };
            assert!(!verify(&root, &[key], lie, &proof));
            assert!(!verify(&root, &[key], Some(b"other"), &proof));
            assert!(!verify(&Hash32([1; 32]), &[key], value.as_deref(), &proof));
        }
    }
    let empty = Tree::default();
    assert!(verify(&empty.root(), b"k", None, &empty.prove(b"k")));
    assert!(!verify(&filled(3).root(), b"k", None, &empty.prove(b"k")));
}

/// The attack that the bit inside the hash prevents: show another leaf's true path with false bits.
#[test]
fn a_present_key_cannot_be_shown_absent_along_another_path() {
    let tree = filled(30);
    let root = tree.root();
    for victim in 0..30_u8 {
        for other in 0..30_u8 {
            let honest = tree.prove(&[other]);
            let leaf = OtherLeaf { position: Hash32(position(&[other])), value: vec![other, other] };
            let agree: Vec<u8> = (0..=255)
                .filter(|b| goes_right(&position(&[victim]), *b) == goes_right(&position(&[other]), *b))
                .collect();
            let forged = honest.path.iter().zip(&agree).map(|(s, bit)| Step { bit: *bit, ..*s }).collect();
            for path in [honest.path.clone(), forged] {
                let proof = Proof { path, other: Some(leaf.clone()) };
                assert!(!verify(&root, &[victim], None, &proof), "{victim} hidden behind {other}");
            }
        }
    }
}

#[test]
fn a_proof_has_one_encoding_and_survives_it() {
    let proof = filled(20).prove(&[77]);
    let bytes = crate::codec::encode(&proof);
    assert_eq!(crate::codec::decode::<Proof>(&bytes, 1 << 16).unwrap(), proof);
    let json = serde_json::to_string(&proof).unwrap();
    assert!(json.contains(&hex::encode(&proof.other.as_ref().unwrap().value)), "{json}");
    assert_eq!(serde_json::from_str::<Proof>(&json).unwrap(), proof);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn batches_in_any_order_give_the_root_of_the_content(
        batches in proptest::collection::vec(
            proptest::collection::vec((0_u8..60, proptest::option::of(0_u8..4)), 0..40), 1..8)
    ) {
        let (mut tree, mut model) = (Tree::default(), Model::new());
        for batch in batches {
            let changes: Vec<Change> =
                batch.iter().map(|(k, v)| (vec![*k], v.map(|v| vec![v]))).collect();
            tree = tree.with(&changes);
            for (key, value) in changes {
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            prop_assert_eq!(tree.root(), model_root(&model));
            for key in 0..60_u8 {
                let value = model.get(&vec![key]).map(Vec::as_slice);
                prop_assert_eq!(tree.get(&[key]), value);
                prop_assert!(verify(&tree.root(), &[key], value, &tree.prove(&[key])));
            }
        }
    }
}
