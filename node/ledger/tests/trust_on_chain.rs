//! Trust through the ledger: epochs, peers' part of reputation, any day of history, explanations.
#![allow(clippy::unwrap_used)]

mod common;

use common::chain::{Chain, DAY_MS, Extra, START_MS, genesis, key};
use serde_json::Value;
use trustnet_ledger::{Action, Category, Direction, LedgerEvent, NodeKind, NodeStatus, SignedTransaction};

fn trust_epochs(chain: &Chain) -> usize {
    chain.events.iter().filter(|e| matches!(e, LedgerEvent::Trust { .. })).count()
}

#[test]
fn genesis_validators_are_roots_with_a_full_vote_from_the_start() {
    let chain = Chain::new(7);
    let view = chain.ledger.trust_at(None);
    assert_eq!((view.rows.len(), view.roots.len(), view.sponsors_needed), (7, 7, 3));
    for row in &view.rows {
        assert_eq!((row.weight, row.score, row.confidence, row.ratings), (65_536, 5_000, 0, 0));
    }
    let node = chain.node("val-3");
    assert_eq!((node.trust.weight, node.root_weight, node.trust.of), (65_536, 4, 7));
    assert_eq!(chain.ledger.trust_at(Some(view.day + 365 * 2)).roots[0].weight, 2);
    assert_eq!(chain.ledger.trust_at(Some(view.day + 365 * 20)).roots[0].weight, 1);
}

#[test]
fn trust_moves_every_hundred_blocks_and_at_the_first_block_of_a_day_only() {
    let mut chain = Chain::new(2);
    chain.register("bob", NodeKind::User).unwrap();
    chain.rate("val-0", "bob", 5).unwrap();
    for height in 3..=99 {
        chain.block(&[]).unwrap();
        assert_eq!(trust_epochs(&chain), 0, "height {height}");
    }
    assert_eq!(chain.node("bob").trust.score, 5_000);
    chain.block(&[]).unwrap();
    assert_eq!((chain.ledger.height(), trust_epochs(&chain)), (100, 1));
    assert_eq!(chain.ledger.trust_epoch_height(), 100);
    let bob = chain.node("bob");
    assert!(bob.trust.score > 5_000 && bob.trust.rank == 1, "{bob:?}");
    chain.block_at(START_MS + DAY_MS - 1, &Extra::default(), &[]).unwrap();
    assert_eq!(trust_epochs(&chain), 0);
    chain.block_at(START_MS + DAY_MS, &Extra::default(), &[]).unwrap();
    assert_eq!(trust_epochs(&chain), 1, "first block of the day");
    chain.block_at(START_MS + DAY_MS + 1, &Extra::default(), &[]).unwrap();
    assert_eq!(trust_epochs(&chain), 0);
    assert_eq!(chain.ledger.trust_epoch_day(), (START_MS / DAY_MS + 1) as u32);
}

#[test]
fn the_committed_trust_is_that_of_the_same_day_computed_anew() {
    let mut chain = every_block();
    for (from, to, stars) in
        [("val-0", "ann", 5), ("val-1", "ann", 4), ("ann", "ben", 2), ("val-0", "ben", 5)]
    {
        chain.rate(from, to, stars).unwrap();
        let view = chain.ledger.trust_at(None);
        for row in &view.rows {
            let node = chain.node(&row.name);
            assert_eq!((node.trust.score, node.trust.confidence), (row.score, row.confidence));
            assert_eq!((node.trust.weight, node.trust.standing), (row.weight, row.standing));
            assert_eq!(node.trust.categories, row.categories);
            assert_eq!((node.ratings_in, node.stars_mean_milli), (row.ratings, row.stars_mean_milli));
        }
        assert_eq!(view.row("ann").unwrap().name, "ann");
        assert!(view.row("nobody").is_none());
    }
    chain.assert_reloads();
}

/// A chain with a trust epoch at every block, two validators as roots, and people ann, ben, cat.
fn every_block() -> Chain {
    let mut genesis = genesis(2);
    genesis.params.trust_epoch_blocks = 1;
    let mut chain = Chain::from_genesis(genesis);
    for name in ["ann", "ben", "cat"] {
        chain.register(name, NodeKind::User).unwrap();
    }
    chain
}

#[test]
fn peers_move_reputation_by_the_formula() {
    let mut chain = every_block();
    for category in Category::ALL {
        for from in ["val-0", "val-1"] {
            chain.run(&key(from, 0), chain.rating(from, "ann", 5, category)).unwrap();
            chain.run(&key(from, 0), chain.rating(from, "ben", 1, category)).unwrap();
        }
    }
    let ann = chain.node("ann");
    // Two full fresh votes against a prior of three: 5,000 + 5,000 * 2 / 5 = 7,000 at 40 %.
    assert_eq!((ann.trust.score, ann.trust.confidence, ann.peer_centi), (7_000, 40, 80));
    assert_eq!((ann.ledger_mp, ann.reputation_mp), (50_000, 50_800));
    let ben = chain.node("ben");
    // One star weighs double: 4 against 3.
    assert_eq!((ben.trust.score, ben.trust.confidence, ben.peer_centi), (2_142, 57, -814));
    assert_eq!(ben.reputation_mp, 50_000 - 8_140);
}

#[test]
fn a_paused_nodes_reputation_takes_no_opinions_up_until_it_is_back() {
    let mut chain = every_block();
    chain.run(&key("ann", 0), Action::Pause { node: chain.id("ann") }).unwrap();
    chain.rate("val-0", "ann", 1).unwrap();
    let ann = chain.node("ann");
    assert!(ann.trust.score < 5_000);
    assert_eq!((ann.peer_centi, ann.reputation_mp), (0, 50_000));
    chain.run(&key("ann", 0), Action::Resume { node: chain.id("ann") }).unwrap();
    assert!(chain.node("ann").peer_centi < 0);
}

#[test]
fn opinions_alone_never_ban_but_after_lost_facts_they_can() {
    let rated = |initial_reputation| {
        let mut genesis = genesis(40);
        genesis.params.trust_epoch_blocks = 60;
        genesis.params.initial_reputation = initial_reputation;
        let mut chain = Chain::from_genesis(genesis);
        chain.register("bad", NodeKind::User).unwrap();
        let everything: Vec<SignedTransaction> = (0..40)
            .flat_map(|v| (1..).zip(Category::ALL).map(move |(nonce, category)| (v, nonce, category)))
            .map(|(v, nonce, category)| {
                let from = format!("val-{v}");
                chain.tx(&key(&from, 0), nonce, START_MS, chain.rating(&from, "bad", 1, category))
            })
            .collect();
        chain.block(&everything).unwrap();
        chain.block_at(START_MS + DAY_MS, &Extra::default(), &[]).unwrap();
        chain.assert_reloads();
        chain.node("bad")
    };
    let node = rated(50_000);
    assert_eq!((node.status, node.ledger_mp), (NodeStatus::Active, 50_000));
    assert!((25_000..30_000).contains(&node.reputation_mp), "{}", node.reputation_mp);
    assert_eq!(rated(35_000).status, NodeStatus::Active);
    let node = rated(30_000);
    assert_eq!((node.status, node.ledger_mp), (NodeStatus::Banned, 30_000));
    assert!(node.reputation_mp < 10_000);
}

#[test]
fn a_banned_rater_is_ignored_from_the_day_of_its_ban() {
    let mut chain = every_block();
    chain.rate("val-0", "ann", 5).unwrap();
    chain.rate("val-1", "ann", 1).unwrap();
    let before = chain.node("ann").trust.score;
    let extra = Extra { offenders: vec![key("val-1", 2).public()], ..Extra::default() };
    chain.block_at(START_MS + 3 * DAY_MS, &extra, &[]).unwrap();
    let ann = chain.node("ann");
    assert!(ann.trust.score > before && ann.trust.score > 5_000);
    let today = (START_MS / DAY_MS) as u32;
    assert_eq!(chain.ledger.trust_at(Some(today)).row("ann").unwrap().score, before);
    assert_eq!(chain.ledger.trust_at(Some(today + 2)).row("ann").unwrap().ratings, 2);
    assert_eq!(chain.ledger.trust_at(Some(today + 3)).row("ann").unwrap().ratings, 1);
}

#[test]
fn any_day_of_the_past_can_be_computed_from_the_ratings_own_days() {
    let mut chain = every_block();
    let day0 = (START_MS / DAY_MS) as u32;
    let rate_at = |chain: &mut Chain, day: u64, stars| {
        let time_ms = START_MS + day * DAY_MS;
        let action = chain.rating("val-0", "ann", stars, Category::Honesty);
        let operator = key("val-0", 0);
        let tx = chain.tx(&operator, chain.ledger.nonce_of(&operator.public()) + 1, time_ms, action);
        let block_ms = (START_MS + 10 * DAY_MS).max(chain.ledger.time_ms() + 1);
        chain.block_at(block_ms, &Extra::default(), &[tx]).unwrap();
    };
    // Committed in another order than dated: on each day the last committed of those dated wins.
    rate_at(&mut chain, 1, 5);
    rate_at(&mut chain, 7, 1);
    rate_at(&mut chain, 3, 4);
    let stars =
        |day: u32| chain.ledger.trust_at(Some(day0 + day)).row("ann").and_then(|row| row.stars_mean_milli);
    assert_eq!([stars(0), stars(1), stars(2)], [None, Some(5_000), Some(5_000)]);
    assert_eq!([stars(3), stars(6)], [Some(4_000), Some(4_000)]);
    assert_eq!([stars(7), stars(10)], [Some(4_000), Some(4_000)], "the last committed is current");
    assert_eq!(chain.ledger.trust_input(Some(day0 + 1)).compute(), chain.ledger.trust_at(Some(day0 + 1)));
}

#[test]
fn why_names_every_rating_and_adds_up_to_the_score() {
    let mut chain = every_block();
    for category in Category::ALL {
        chain.run(&key("val-0", 0), chain.rating("val-0", "ann", 5, category)).unwrap();
    }
    chain.rate("val-1", "ann", 2).unwrap();
    chain.rate("cat", "ann", 5).unwrap();
    let ann = chain.node("ann").index;
    let why = chain.ledger.why(ann).unwrap();
    assert_eq!((why.ratings, why.voteless, why.contributions.len()), (5, 1, 4));
    assert_eq!((why.sponsors, why.sponsors_needed), (1, 1));
    let score = i32::from(why.view.trust.score);
    assert!((why.base_centi + why.sum_centi - score).abs() <= 5, "{why:?}");
    let order: Vec<_> = why.contributions.iter().map(|c| c.centi_points.abs()).collect();
    assert!(order.is_sorted_by(|a, b| a >= b));
    assert!(chain.ledger.why(99).is_none());

    // A rating since the last trust epoch explains nothing of that epoch's score.
    let mut genesis = chain.genesis.clone();
    genesis.params.trust_epoch_blocks = 1_000;
    let mut chain = Chain::from_genesis(genesis);
    chain.register("ann", NodeKind::User).unwrap();
    chain.rate("val-0", "ann", 5).unwrap();
    assert_eq!(chain.ledger.why(chain.node("ann").index).unwrap().ratings, 0);
}

#[test]
fn views_are_json_with_hex_ids_and_plain_names() {
    let mut chain = every_block();
    chain.rate("val-0", "ann", 5).unwrap();
    let ann = serde_json::to_value(chain.node("ann")).unwrap();
    assert_eq!(ann["id"], chain.id("ann").to_string());
    assert_eq!(ann["operator"], key("ann", 0).public().to_string());
    assert_eq!((&ann["kind"], &ann["status"]), (&Value::from("user"), &Value::from("ACTIVE")));
    assert_eq!(ann["trust"]["categories"].as_array().unwrap().len(), 3);
    assert!(ann["uptime"].is_null() && ann["node_key"].is_null());
    let why = serde_json::to_value(chain.ledger.why(2).unwrap()).unwrap();
    assert_eq!(why["contributions"][0]["name"], "val-0");
    assert_eq!(why["contributions"][0]["category"], "honesty");
    let view = serde_json::to_value(chain.ledger.trust_at(None)).unwrap();
    assert_eq!(view["rows"][0]["name"], "ann");
    let account = serde_json::to_value(chain.ledger.account(&key("ann", 0).public())).unwrap();
    assert_eq!(account, serde_json::json!({ "nonce": 1, "nodes": [chain.id("ann").to_string()] }));
    let event = serde_json::to_value(&chain.events[0]).unwrap();
    assert_eq!(event["rated"]["category"], "honesty");
}

#[test]
fn nodes_are_found_by_name_id_number_and_key() {
    let chain = every_block();
    let ledger = &chain.ledger;
    let ann = chain.node("ann");
    assert_eq!(ledger.find_node("ann"), Some(ann.index));
    assert_eq!(ledger.find_node(&ann.id.to_string()), Some(ann.index));
    assert_eq!(ledger.find_node("2"), Some(2));
    assert_eq!([ledger.find_node("99"), ledger.find_node("zed"), ledger.find_node("0x12")], [None; 3]);
    assert_eq!(ledger.node_by_id(&ann.id).as_ref(), Some(&ann));
    assert_eq!(ledger.node_by_key(&key("ann", 0).public()).as_ref(), Some(&ann));
    for role in 0..3 {
        assert_eq!(ledger.node_by_key(&key("val-1", role).public()).unwrap().name, "val-1");
    }
    assert!(ledger.node_by_key(&key("zed", 0).public()).is_none());
    let names = |after, limit| ledger.nodes(after, limit).into_iter().map(|n| n.name).collect::<Vec<_>>();
    assert_eq!(names(None, 2), ["val-0", "val-1"]);
    assert_eq!(names(Some(1), 2), ["ann", "ben"]);
    assert!(names(Some(4), 9).is_empty() && names(Some(u32::MAX), 9).is_empty());
}

#[test]
fn pages_of_ratings_follow_each_other_without_gap_or_repetition() {
    let mut chain = every_block();
    for stars in 1..=3 {
        for (from, to) in [("ann", "ben"), ("cat", "ben"), ("ann", "cat"), ("ben", "ann"), ("ben", "cat")] {
            for category in [Category::Honesty, Category::Reliability] {
                chain.run(&key(from, 0), chain.rating(from, to, stars, category)).unwrap();
            }
        }
    }
    let ledger = &chain.ledger;
    let ben = chain.node("ben").index;
    for history in [false, true] {
        for direction in [Direction::In, Direction::Out] {
            let all = ledger.ratings_of(ben, direction, None, 5_000, history);
            assert_eq!((all.items.len(), all.next), (if history { 12 } else { 4 }, None));
            for limit in 1..5 {
                let (mut items, mut after) = (Vec::new(), None);
                loop {
                    let page = ledger.ratings_of(ben, direction, after, limit, history);
                    assert!(page.items.len() <= limit);
                    items.extend(page.items);
                    let Some(next) = page.next else { break };
                    assert_eq!(next.to_string().parse(), Ok(next), "a cursor survives its text");
                    after = Some(next);
                }
                assert_eq!(items, all.items);
            }
        }
    }
    let first = ledger.all_ratings(None, 7);
    let second = ledger.all_ratings(first.next, 7);
    assert_eq!((first.items.len(), second.items.len(), second.next), (7, 3, None));
    assert!(first.items.iter().chain(&second.items).all(|r| r.current && r.stars == 3));
    for text in ["", "1-2-3", "1-2-3-4", "a-b-c-d", "1-2-0-4-5", "-1-2-0-0"] {
        assert!(text.parse::<trustnet_ledger::RatingCursor>().is_err(), "{text}");
    }
}
