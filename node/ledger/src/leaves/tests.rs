#![allow(clippy::unwrap_used)]
use super::*;
use crate::ids::NodeId;
use crate::node::{NodeKind, NodeStatus, StatusReason};
use crate::reputation::DayUptime;

/// Every kind of leaf with its bytes, which never change within version 1.
#[test]
fn golden_bytes_of_every_table() {
    let meta = Meta {
        genesis: Hash32([0xaa; 32]),
        height: 300,
        time_ms: 1_000,
        nodes: 2,
        settled_epochs: 5,
        settled_days: 6,
        trust_height: 200,
        trust_day: 7,
        tau: 8,
        total_standing: 9,
    };
    let mut state = State { meta, ..State::default() };
    state.log = Frontier::from_parts(2, vec![[0xbb; 32]]).unwrap();
    state.accounts.insert(PublicKey([1; 32]), Account { nonce: 128 });
    state.nodes.insert(
        1,
        Node {
            id: NodeId(Hash32([2; 32])),
            name: "bob".into(),
            owner: "B".into(),
            kind: NodeKind::Service,
            status: NodeStatus::Active,
            status_reason: StatusReason::Ready,
            status_since_ms: 3,
            operator: PublicKey([4; 32]),
            node_key: Some(PublicKey([5; 32])),
            validator_key: None,
            registered_ms: 6,
            registration_nonce: 7,
            power: 0,
        },
    );
    state.reputations.insert(
        1,
        Reputation {
            ledger_mp: 50_000,
            peer_centi: -3,
            txs_validated: 4,
            missed_heartbeats: 5,
            gain_month: 6,
            gained_mp: 7,
            today: DayUptime { day: 8, epochs: 9, heartbeats: 10, expected: 11 },
            last_day_permille: Some(999),
        },
    );
    state.trust.insert(
        1,
        TrustRecord {
            standing: 1 << 40,
            weight: 65_536,
            score: 5_000,
            confidence: 71,
            categories: [1, 2, 3],
        },
    );
    let key = RatingKey { to: 1, from: 2, category: Category::Honesty };
    let rating = Rating { stars: 5, time_ms: 6, height: 7, index: 8, reason: "ok".into() };
    state.ratings.insert(key, vec![rating]);
    let seen = Observation { node: 300, heartbeats: 120, invalid: 1, abuse: 0 };
    state.attestations.insert((258, 1), vec![seen]);
    state.admissions.insert(1, vec![0, 200]);
    state.members = vec![Member { node: 0, power: 10 }];

    let node_value = [
        "01",
        &"02".repeat(32),
        "03626f62",
        "0142",
        "03020403",
        &"04".repeat(32),
        "01",
        &"05".repeat(32),
        "00",
        "060700",
    ]
    .concat();
    let expected = [
        ("01", ["01", &"aa".repeat(32), "ac02e807020506c801070809"].concat()),
        ("02", ["010201", &"bb".repeat(32)].concat()),
        ("0a", "0101000a".into()),
        (&["03", &"01".repeat(32)].concat(), "018001".into()),
        ("0400000001", node_value),
        ("0500000001", "01d08603050405060708090a0b01e707".into()),
        ("0600000001", "01808080808020808004882747010203".into()),
        ("0700000001000000020200000000", "0105060708026f6b".into()),
        ("08000000000000010200000001", "0101ac02780100".into()),
        ("0900000001", "010200c801".into()),
    ];
    let leaves: Vec<(String, String)> =
        state.leaves().map(|(key, value)| (hex::encode(key), hex::encode(value))).collect();
    let expected: Vec<(String, String)> =
        expected.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    assert_eq!(leaves, expected);
    for (key, value) in state.leaves() {
        assert!(parse(&key, &value).is_ok());
        assert_eq!(parse(&key, &[&[2], &value[1..]].concat()), Err(CodecError::Version(2)));
        assert_eq!(parse(&key, &[]), Err(CodecError::Malformed));
        assert!(parse(&key[..key.len() - 1], &value).is_err());
    }
    let (key, value) = seal(&Hash32([0xcc; 32]));
    assert_eq!((hex::encode(key), hex::encode(value)), ("00".into(), format!("01{}", "cc".repeat(32))));
}
