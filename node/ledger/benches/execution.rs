//! Time to execute ratings without signatures: blocks of 5,000 over a state with many ratings.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::chain::{Chain, DAY_MS, Extra, START_MS, key};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use trustnet_ledger::crypto::{PublicKey, SecretKey, Signature};
use trustnet_ledger::{Action, Category, NodeId, SignedTransaction, Transaction, node_id};

const PEOPLE: u64 = 5_000;
const BLOCK: u64 = 5_000;

fn unsigned(signer: PublicKey, nonce: u64, action: Action) -> SignedTransaction {
    SignedTransaction::from_parts(
        Transaction { signer, nonce, time_ms: START_MS, action },
        Signature([0; 64]),
    )
}

/// A chain with people who have given `rounds` ratings each, and the next block of ratings.
fn prepared(rounds: u64) -> (Chain, Vec<SignedTransaction>) {
    let mut genesis = common::chain::genesis(4);
    genesis.params.trust_epoch_blocks = 1_000_000;
    let mut chain = Chain::from_genesis(genesis);
    let keys: Vec<SecretKey> = (0..PEOPLE).map(|n| key(&format!("p-{n}"), 0)).collect();
    let people: Vec<(PublicKey, NodeId)> =
        keys.iter().map(|k| (k.public(), node_id(&k.public(), START_MS, 1))).collect();
    let register: Vec<SignedTransaction> = people
        .iter()
        .enumerate()
        .map(|(n, (signer, _))| {
            let action = Action::Register {
                name: format!("p-{n}"),
                owner: String::new(),
                kind: trustnet_ledger::NodeKind::User,
                node_key: None,
                validator_key: None,
            };
            unsigned(*signer, 1, action)
        })
        .collect();
    chain.block(&register).unwrap();
    let ratings = |round: u64| -> Vec<SignedTransaction> {
        (0..BLOCK)
            .map(|n| {
                let (signer, from) = people[(n % PEOPLE) as usize];
                let (_, to) = people[((n * 7_919 + round * 104_729 + 1) % PEOPLE) as usize];
                let to = if to == from { people[((n + 1) % PEOPLE) as usize].1 } else { to };
                let category = Category::ALL[(round % 3) as usize];
                let stars = 1 + (n % 5) as u8;
                unsigned(signer, round + 2, Action::Rate { from, to, stars, category, reason: "fine".into() })
            })
            .collect()
    };
    for round in 0..rounds {
        chain.block(&ratings(round)).unwrap();
    }
    (chain, ratings(rounds))
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("ratings");
    group.throughput(Throughput::Elements(BLOCK)).sample_size(20);
    for rounds in [0, 20] {
        let (chain, txs) = prepared(rounds);
        let time_ms = START_MS + DAY_MS - 1;
        group.bench_function(format!("execute_block_over_{}_ratings", rounds * BLOCK), |b| {
            b.iter_with_large_drop(|| chain.execute(time_ms, &Extra::default(), &txs).unwrap());
        });
        group.bench_function(format!("commit_block_over_{}_ratings", rounds * BLOCK), |b| {
            b.iter_batched(
                || (chain.ledger.clone(), chain.execute(time_ms, &Extra::default(), &txs).unwrap()),
                |(mut ledger, execution)| (ledger.commit(execution), ledger),
                BatchSize::LargeInput,
            );
        });
        group.bench_function(format!("check_for_the_pool_over_{}_ratings", rounds * BLOCK), |b| {
            b.iter(|| txs.iter().filter(|tx| chain.ledger.check(tx, None).is_ok()).count());
        });
    }
}

criterion_group!(group, benches);
criterion_main!(group);
