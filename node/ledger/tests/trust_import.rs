//! Trust from ratings that came in as transactions with times of their own, against the reference.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::chain::{Chain, DAY_MS, Extra, genesis, key};
use common::{otc_input, shared_file, small_input};
use serde_json::Value;
use trustnet_ledger::crypto::{SecretKey, Signature};
use trustnet_ledger::{
    Action, Category, Ledger, NodeId, NodeKind, Root, RootRef, SignedTransaction, Transaction, node_id,
};

/// A transaction without a signature: the ledger does not look at it.
fn unsigned(signer: &SecretKey, nonce: u64, time_ms: u64, action: Action) -> SignedTransaction {
    let tx = Transaction { signer: signer.public(), nonce, time_ms, action };
    SignedTransaction::from_parts(tx, Signature([0; 64]))
}

/// People with names and ratings, imported through registrations and ratings with their own times.
struct Import {
    ids: BTreeMap<String, (NodeId, SecretKey, u64)>,
    txs: Vec<SignedTransaction>,
}

impl Import {
    fn new() -> Self {
        Self { ids: BTreeMap::new(), txs: Vec::new() }
    }

    fn id(&mut self, name: &str) -> NodeId {
        if let Some((id, ..)) = self.ids.get(name) {
            return *id;
        }
        let secret = key(name, 0);
        let id = node_id(&secret.public(), 1_000, 1);
        let action = Action::Register {
            name: name.into(),
            owner: String::new(),
            kind: NodeKind::User,
            node_key: None,
            validator_key: None,
        };
        self.txs.push(unsigned(&secret, 1, 1_000, action));
        self.ids.insert(name.into(), (id, secret, 1));
        id
    }

    fn rate(&mut self, from: &str, to: &str, category: Category, stars: u8, day: u32) {
        let (from_id, to_id) = (self.id(from), self.id(to));
        let (_, secret, nonce) = self.ids.get_mut(from).unwrap();
        *nonce += 1;
        let action = Action::Rate { from: from_id, to: to_id, stars, category, reason: String::new() };
        self.txs.push(unsigned(secret, *nonce, u64::from(day) * DAY_MS, action));
    }
}

/// Executes an import in a chain whose roots are the import's, in blocks of `per_block`.
fn import(roots: &BTreeMap<String, u64>, weights: [u64; 3], import: &Import, per_block: usize) -> Chain {
    let mut genesis = genesis(1);
    genesis.time_ms = 1_000_000_000_000;
    genesis.params.trust_epoch_blocks = 1_000_000;
    [
        genesis.category_weights.reliability,
        genesis.category_weights.performance,
        genesis.category_weights.honesty,
    ] = weights;
    genesis.roots = roots
        .iter()
        .map(|(name, weight)| {
            let id = node_id(&key(name, 0).public(), 1_000, 1);
            Root { node: RootRef::Id(id), weight: *weight }
        })
        .collect();
    let mut chain = Chain::from_genesis(genesis);
    for (height, txs) in (0..).zip(import.txs.chunks(per_block)) {
        chain.block_at(2_000_000_000_000 + height, &Extra::default(), txs).unwrap();
    }
    chain
}

/// The small graphs of the reference, whose ids become names in small letters.
#[test]
fn the_small_graphs_give_the_expected_numbers_through_transactions() {
    let vectors: Value = serde_json::from_str(include_str!("data/rootflow_small.json")).unwrap();
    for (case, data) in vectors["small"].as_object().unwrap() {
        let input = small_input(data);
        if !input.banned.is_empty() {
            continue; // People cannot be banned by evidence; the graph is tested on its own.
        }
        let mut people = Import::new();
        for root in input.roots.keys() {
            people.id(&root.to_lowercase());
        }
        for (from, to, category, stars, day) in &input.ratings {
            if from != to {
                people.rate(&from.to_lowercase(), &to.to_lowercase(), *category, *stars, *day);
            }
        }
        let roots = input.roots.iter().map(|(name, weight)| (name.to_lowercase(), *weight)).collect();
        let chain = import(&roots, input.weights, &people, 10);
        let view = chain.ledger.trust_at(Some(input.today));
        let expect = &data["expect"];
        assert_eq!(
            (Value::from(view.tau), Value::from(view.total)),
            (expect["tau"].clone(), expect["total"].clone()),
            "{case}"
        );
        let nodes = expect["nodes"].as_object().unwrap();
        assert_eq!(view.rows.len(), nodes.len(), "{case}");
        for (name, row) in nodes {
            let got = view.row(&name.to_lowercase()).unwrap();
            let [reliability, performance, honesty] = got.categories;
            let got = serde_json::json!([
                got.standing,
                got.weight,
                got.score,
                got.confidence,
                honesty,
                reliability,
                performance
            ]);
            assert_eq!(&got, row, "{case} {name}");
        }
    }
}

#[test]
fn bitcoin_otc_imported_through_transactions_gives_the_reference_checksum() {
    let Some(csv) = shared_file("TRUSTNET_OTC_CSV", "soc-sign-bitcoinotc.csv") else {
        println!("fell back: no Bitcoin OTC data in shared/trust, nothing compared");
        return;
    };
    let input = otc_input(&std::fs::read_to_string(csv).unwrap());
    let mut people = Import::new();
    for (from, to, category, stars, day) in &input.ratings {
        people.rate(&from.to_string(), &to.to_string(), *category, *stars, *day);
    }
    let roots: BTreeMap<String, u64> = input.roots.iter().map(|(id, w)| (id.to_string(), *w)).collect();
    let chain = import(&roots, input.weights, &people, 5_000);
    let ledger: &Ledger = &chain.ledger;
    let view = ledger.trust_at(Some(input.today));
    let expected = "2eade13689d65e5f9e6dc60f36f5f60fd59421d8efdf3a1fdd52f34a45ad3a74";
    assert_eq!(view.checksum().to_string(), expected);
    assert_eq!((view.day, view.tau, view.ratings, view.rows.len()), (16_825, 1_476_986_385, 35_592, 5_881));
    let best: Vec<_> = view.best_first().iter().take(3).map(|r| (r.name.clone(), r.score)).collect();
    assert_eq!(best, [("1".into(), 7_562), ("4172".into(), 7_386), ("7".into(), 7_349)]);
    assert_eq!(view.best_first().last().map(|r| (r.name.as_str(), r.score)), Some(("3744", 1_975)));
    assert!(view.rows[1].name == "2", "numbers are in numeric order");
    let loaded = Ledger::load(&chain.genesis, chain.stored.into_iter()).unwrap();
    assert_eq!(loaded.state_root(), ledger.state_root());
    assert_eq!(loaded.trust_at(Some(input.today)).checksum(), view.checksum());
}
