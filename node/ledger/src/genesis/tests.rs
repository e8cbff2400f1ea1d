#![allow(clippy::unwrap_used)]
use super::*;
use crate::crypto::SecretKey;

fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed(&[seed; 32]).public()
}

fn validator(n: u8) -> GenesisValidator {
    GenesisValidator {
        name: format!("node-{n}"),
        owner: format!("Owner {n}"),
        operator: key(10 * n),
        node_key: key(10 * n + 1),
        validator_key: key(10 * n + 2),
        power: 10,
    }
}

fn genesis() -> Genesis {
    Genesis {
        version: 1,
        chain_id: "test-1".into(),
        time_ms: 1_700_000_000_000,
        validators: vec![validator(1), validator(2)],
        roots: Vec::new(),
        category_weights: CategoryWeights::default(),
        params: Params::default(),
    }
}

#[test]
fn a_genesis_survives_its_file_and_keeps_its_hash() {
    let mut genesis = genesis();
    genesis.roots = vec![
        Root { node: RootRef::Name("node-2".into()), weight: 3 },
        Root { node: RootRef::Id(NodeId(Hash32([9; 32]))), weight: 1 },
    ];
    let read = Genesis::from_json(&genesis.to_json()).unwrap();
    assert_eq!(read, genesis);
    assert_eq!(read.hash(), genesis.hash());
    let wire = codec::encode(&genesis);
    assert_eq!(codec::decode::<Genesis>(&wire, MAX_GENESIS_BYTES), Ok(genesis));
}

#[test]
fn optional_parts_may_be_left_out_of_the_file() {
    let v = validator(1);
    let text = format!(
        r#"{{"version":1,"chain_id":"home","time_ms":5,"validators":[{{"name":"node-1","operator":"{}",
        "node_key":"{}","validator_key":"0x{}","power":1}}],"params":{{"trust_epoch_blocks":7}}}}"#,
        v.operator, v.node_key, v.validator_key
    );
    let genesis = Genesis::from_json(&text).unwrap();
    assert_eq!(genesis.category_weights.by_category(), [40, 20, 40]);
    assert_eq!(genesis.params.trust_epoch_blocks, 7);
    assert_eq!(genesis.params.epoch_ms, 3_600_000);
    let id = genesis.validator_id(&genesis.validators[0]);
    assert_eq!(genesis.root_weights(), [(id, 4)]);
}

#[test]
fn a_wrong_file_is_refused_with_line_column_and_remedy() {
    let text = genesis().to_json().replace("\"power\": 10", "\"powers\": 10");
    let error = Genesis::from_json(&text).unwrap_err();
    let GenesisError::Json { line, column, problem } = &error else { panic!("{error}") };
    assert_eq!((*line, *column > 1), (12, true), "{error}");
    assert!(problem.contains("powers") && !problem.contains("line"), "{problem}");
    let short_key = genesis().to_json().replace(&key(10).to_string(), "abcd");
    assert!(Genesis::from_json(&short_key).unwrap_err().to_string().contains("64 hex digits"));
    assert!(matches!(Genesis::from_json(&" ".repeat(2 << 20)), Err(GenesisError::TooLarge(_))));
}

#[test]
fn every_rule_names_its_field() {
    type Change = fn(&mut Genesis);
    let cases: [(&str, Change); 22] = [
        ("version", |g| g.version = 2),
        ("chain_id", |g| g.chain_id = String::new()),
        ("chain_id", |g| g.chain_id = "a b".into()),
        ("chain_id", |g| g.chain_id = "a".repeat(51)),
        ("time_ms", |g| g.time_ms = u64::MAX),
        ("params", |g| g.params.epoch_ms = 7_000_000),
        ("params", |g| g.params.heartbeat_ms = 0),
        ("params", |g| g.params.heartbeat_ms = 10_000),
        ("params", |g| g.params.attestation_grace_ms = 3_600_000),
        ("params", |g| g.params.trust_epoch_blocks = 0),
        ("params", |g| g.params.initial_reputation = 9_999),
        ("params", |g| g.params.new_validator_power = 0),
        ("validators", |g| g.validators.clear()),
        ("validators", |g| g.validators[0].power = 1 << 40),
        ("validators[1].power", |g| g.validators[1].power = 0),
        ("validators[1].name", |g| g.validators[1].name = "node-1".into()),
        ("validators[1].operator", |g| g.validators[1].operator = g.validators[0].operator),
        ("validators[1].validator_key", |g| g.validators[1].validator_key = g.validators[0].node_key),
        ("validators[0].node_key", |g| g.validators[0].node_key = PublicKey([0; 32])),
        ("category_weights", |g| {
            g.category_weights = CategoryWeights { reliability: 0, performance: 0, honesty: 0 };
        }),
        ("roots[0].node", |g| g.roots = vec![Root { node: RootRef::Name("nobody".into()), weight: 1 }]),
        ("roots[0].weight", |g| g.roots = vec![Root { node: RootRef::Name("node-1".into()), weight: 0 }]),
    ];
    assert_eq!(genesis().validate(), Ok(()));
    for (name, change) in cases {
        let mut genesis = genesis();
        change(&mut genesis);
        match genesis.validate() {
            Err(GenesisError::Field { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_root_named_by_name_and_by_id_is_one_root() {
    let mut genesis = genesis();
    let id = genesis.validator_id(&genesis.validators[0]);
    genesis.roots = vec![
        Root { node: RootRef::Name("node-1".into()), weight: 1 },
        Root { node: RootRef::Id(id), weight: 1 },
    ];
    assert!(genesis.validate().unwrap_err().to_string().contains("twice"));
}

#[test]
fn root_weights_fall_by_one_a_year_down_to_one() {
    let start = 100 * calendar::DAY_MS;
    let on = |day: u32| root_weight_on(4, start, 100 + day);
    assert_eq!([on(0), on(364), on(365), on(730), on(1_095), on(36_500)], [4, 4, 3, 2, 1, 1]);
    assert_eq!(root_weight_on(4, start, 5), 4);
}
