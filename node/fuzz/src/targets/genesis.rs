//! Genesis files.

use std::sync::Arc;

use trustnet_engine::chain::Chain;
use trustnet_ledger::{Genesis, Ledger, Root, RootRef, codec};

use crate::memory::bounded;
use crate::world::{GENESIS, VERIFIER, validator_id};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let genesis = match bounded(data, || Genesis::from_json(text)) {
        Ok(genesis) => genesis,
        Err(error) => {
            assert!(
                error.to_string().contains("genesis"),
                "the message says what is wrong with what: {error}"
            );
            return;
        }
    };
    assert_eq!(Genesis::from_json(&genesis.to_json()).as_ref(), Ok(&genesis), "a file reads back");
    let bytes = codec::encode(&genesis);
    assert_eq!(
        codec::decode::<Genesis>(&bytes, bytes.len()).as_ref(),
        Ok(&genesis),
        "so do the bytes of its hash"
    );
    // Whatever passes the checks gives a chain, and the same one everywhere.
    let ledger = Ledger::genesis(&genesis).expect("a checked genesis gives a ledger");
    let loaded = Ledger::load(&genesis, ledger.leaves()).expect("its leaves are a checkpoint");
    assert_eq!(loaded.state_root(), ledger.state_root());
    let chain = Chain::genesis(&genesis, Arc::clone(&VERIFIER)).expect("and a chain");
    assert_eq!(chain.deciders().len(), genesis.validators.len());
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let full = Genesis::clone(&GENESIS);
    let mut alone = full.clone();
    alone.validators.truncate(1);
    let mut with_roots = alone.clone();
    with_roots.roots = vec![
        Root { node: RootRef::Name("node-1".into()), weight: 4 },
        Root { node: RootRef::Id(validator_id(2)), weight: 1_000_000 },
    ];
    with_roots.params.epoch_ms = 60_000;
    let mut seeds: Vec<Vec<u8>> =
        [&full, &alone, &with_roots].iter().map(|genesis| genesis.to_json().into_bytes()).collect();
    // Without what may be left out, on one line.
    let mut value = serde_json::to_value(&alone).expect("a genesis has a JSON form");
    if let Some(object) = value.as_object_mut() {
        for name in ["roots", "category_weights", "params"] {
            object.remove(name);
        }
    }
    seeds.push(value.to_string().into_bytes());
    seeds
}
