//! Texts that users write and programs keep.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use trustnet::config::Config;
use trustnet::fuzzing;
use trustnet::import::csv::{CsvError, Ratings};
use trustnet::import::plan::Plan;
use trustnet::import::seed::ImportSeed;
use trustnet_ledger::crypto::{Hash32, PublicKey};
use trustnet_ledger::{Category, NodeId, RatingCursor};
use trustnet_net::{PeerAddress, PeerId, StaticPeer};

use crate::memory::bounded;
use crate::world::START_MS;

const CONFIG: u8 = 0;
const KEY: u8 = 1;
const SEED: u8 = 2;
const NETWORK: u8 = 3;
const RATINGS: u8 = 4;
const WORDS: u8 = 5;
const KINDS: u8 = 6;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    match kind % KINDS {
        SEED => fuzzing::seed_file(bytes),
        RATINGS => ratings(bytes),
        kind => {
            let Ok(text) = str::from_utf8(bytes) else { return };
            match kind {
                CONFIG => config(text),
                KEY => fuzzing::key_file(text),
                NETWORK => bounded(bytes, || fuzzing::network_file(text)),
                _ => words(text),
            }
        }
    }
}

fn config(text: &str) {
    let path = Path::new("config.toml");
    match bounded(text.as_bytes(), || Config::parse(text, path)) {
        Ok(config) => {
            let again = Config::parse(&config.render(), path);
            assert_eq!(again.expect("what is written is read"), config);
        }
        Err(error) => assert!(error.to_string().starts_with("config.toml"), "{error}"),
    }
}

fn ratings(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    match bounded(bytes, || Ratings::parse("file", bytes, START_MS)) {
        Ok(ratings) => {
            assert!(!ratings.rows.is_empty() && ratings.rows.len() <= lines);
            let times = |row: &trustnet::import::csv::Row| (row.time_ms, row.source, row.target, row.line);
            assert!(ratings.rows.is_sorted_by_key(times));
            for row in &ratings.rows {
                assert!(row.time_ms <= START_MS && row.source != row.target);
                assert!((1..=5).contains(&row.stars()) && row.line as usize <= lines);
            }
            let people = ratings.people();
            assert!(ratings.first_raters(20).iter().all(|rater| people.contains_key(rater)));
            let plan = Plan::new(&ratings, &ImportSeed::from_bytes([1; 32]));
            assert_eq!((plan.keys().len(), plan.rating_count()), (people.len(), ratings.rows.len()));
        }
        Err(CsvError::Lines { count, problems, .. }) => {
            assert!(count >= problems.len() && problems.iter().all(|problem| problem.line as usize <= lines));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Ids, addresses and the like: what is read is written so that it reads the same.
fn words(text: &str) {
    same::<Hash32>(text);
    same::<PublicKey>(text);
    same::<NodeId>(text);
    same::<PeerId>(text);
    same::<PeerAddress>(text);
    same::<StaticPeer>(text);
    same::<RatingCursor>(text);
    same::<Category>(text);
}

fn same<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert!(
            value.to_string().parse::<T>().is_ok_and(|again| again == value),
            "{text:?} reads back as another"
        );
    }
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let id = "ab".repeat(32);
    let mut config = Config { name: "node-1".to_owned(), ..Config::default() };
    config.p2p.advertise.push("203.0.113.7:26656".parse().expect("an address"));
    config.p2p.peers.push(format!("{id}@node-2.lan:26656").parse().expect("a peer"));
    let network = format!(
        r#"{{"format":"trustnet-up-v1","chain_id":"up-1","nodes":[{{"name":"node-1","id":"{id}","ports":{{"p2p":26656,"rpc":26657}}}}],"ratings_day":7}}"#
    );
    let ratings = "source,target,rating,time\n6,2,4,1289241911.72836\n6,5,-10,1289241941\n# a comment\n1,15,0,1289243140.39049\r\n";
    let texts = [
        (CONFIG, config.render()),
        (CONFIG, "[log]\nlevel=\"warn\"\n[consensus]\ndelta_ms=7\n".to_owned()),
        (KEY, format!("trustnet-key-v1 operator {id}\n")),
        (KEY, format!("trustnet-public-v1 node {id}\n")),
        (SEED, format!("trustnet-import-seed-v1 {id}\n")),
        (NETWORK, network),
        (RATINGS, ratings.to_owned()),
        (RATINGS, "6,2,4,1289241911\n6,2,5,9\n2,6,-1,9.5\n".to_owned()),
        (WORDS, format!("0x{id}")),
        (WORDS, format!("{id}@10.0.0.1:26656,[fd10::1]:26656")),
        (WORDS, format!("{id}@node-1.lan:26656")),
        (WORDS, "3-1-2-0".to_owned()),
        (WORDS, "honesty".to_owned()),
    ];
    texts.map(|(kind, text)| [&[kind], text.as_bytes()].concat()).to_vec()
}
