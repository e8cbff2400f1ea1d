#![allow(clippy::unwrap_used)]
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use trustnet_ledger::crypto::PublicKey;
use trustnet_ledger::{Action, NodeId, SignedTransaction, node_id};

use super::*;
use crate::import::csv::Ratings;
use crate::import::plan::CurrentRatings;
use crate::import::progress::Silent;
use crate::import::seed::ImportSeed;

const FAST: Patience = Patience {
    first_contact: Duration::from_millis(300),
    unreachable: Duration::from_millis(300),
    standstill: Duration::from_millis(600),
};

/// A chain in memory, as unhelpful as a test wants it.
#[derive(Default)]
struct Mock {
    inner: Mutex<Inner>,
    /// Transactions the pool holds at most.
    pool_size: usize,
    /// Every so many-th request fails.
    fail_every: usize,
    /// The pool is forgotten after so many requests.
    forget_at: usize,
    /// Transactions in a block at most; 0: as many as wait.
    block_size: usize,
    /// Never makes a block.
    frozen: bool,
    /// This name is taken by somebody else.
    taken_name: &'static str,
    /// Ratings with so many stars are refused.
    refused_stars: u8,
    down: AtomicBool,
}

#[derive(Default)]
struct Inner {
    requests: usize,
    accounts: HashMap<PublicKey, Account>,
    ratings: CurrentRatings,
    pool: BTreeMap<(PublicKey, u64), SignedTransaction>,
    order: Vec<Action>,
}

impl Inner {
    fn make_block(&mut self, size: usize) {
        for _ in 0..if size == 0 { usize::MAX } else { size } {
            let next = |account: &HashMap<PublicKey, Account>, key: &PublicKey| {
                account.get(key).map_or(0, |a| a.nonce) + 1
            };
            let accounts = &self.accounts;
            let Some(key) = self.pool.keys().find(|(key, nonce)| *nonce == next(accounts, key)).copied()
            else {
                return;
            };
            let Some(tx) = self.pool.remove(&key) else { return };
            let account = self.accounts.entry(key.0).or_default();
            account.nonce += 1;
            match &tx.tx.action {
                Action::Register { .. } => account.node = Some(node_id(&key.0, tx.tx.time_ms, key.1)),
                Action::Rate { from, to, stars, .. } => {
                    let known: Vec<NodeId> = self.accounts.values().filter_map(|a| a.node).collect();
                    assert!(known.contains(from) && known.contains(to), "rated before registered");
                    self.ratings.insert((*from, *to), (*stars, tx.tx.time_ms));
                }
                other => panic!("unexpected {other:?}"),
            }
            self.order.push(tx.tx.action.clone());
        }
    }
}

impl Mock {
    fn request(&self) -> Result<MutexGuard<'_, Inner>, ClientError> {
        let mut inner = self.inner.lock().unwrap();
        inner.requests += 1;
        let failing = self.fail_every > 0 && inner.requests.is_multiple_of(self.fail_every);
        if failing || self.down.load(Ordering::Relaxed) {
            return Err(ClientError::Unreachable { url: "mock".into(), reason: "connection refused".into() });
        }
        if self.forget_at > 0 && inner.requests == self.forget_at {
            inner.pool.clear();
        }
        Ok(inner)
    }

    fn judge(&self, inner: &Inner, tx: &SignedTransaction) -> (u32, &'static str) {
        let nonce = inner.accounts.get(&tx.tx.signer).map_or(0, |a| a.nonce);
        match &tx.tx.action {
            _ if tx.tx.nonce <= nonce => (4, "nonce used"),
            _ if tx.tx.nonce > nonce + 64 => (5, "nonce gap"),
            _ if self.pool_size > 0 && inner.pool.len() >= self.pool_size => (1_000, "the pool is full"),
            Action::Register { name, .. } if name == self.taken_name => (11, "the name is taken"),
            Action::Rate { stars, .. } if *stars == self.refused_stars => (21, "the target is\u{1b} gone"),
            _ => (0, ""),
        }
    }
}

impl Chain for Mock {
    fn endpoints(&self) -> usize {
        2
    }

    fn chain_id(&self, _: usize) -> Result<String, ClientError> {
        self.request().map(|_| "mock-1".into())
    }

    fn accounts(&self, _: usize, keys: &[PublicKey]) -> Result<Vec<Account>, ClientError> {
        let mut inner = self.request()?;
        if !self.frozen {
            inner.make_block(self.block_size);
        }
        Ok(keys.iter().map(|key| inner.accounts.get(key).copied().unwrap_or_default()).collect())
    }

    fn ratings(&self, _: usize) -> Result<CurrentRatings, ClientError> {
        Ok(self.request()?.ratings.clone())
    }

    fn submit(&self, _: usize, transactions: &[Vec<u8>]) -> Result<Vec<Reply>, ClientError> {
        let mut inner = self.request()?;
        let mut take = |bytes: &Vec<u8>| {
            let tx = SignedTransaction::decode(bytes).unwrap();
            let (code, log) = self.judge(&inner, &tx);
            if code == 0 {
                inner.pool.insert((tx.tx.signer, tx.tx.nonce), tx);
            }
            Reply::from_code(code, log.into())
        };
        Ok(transactions.iter().map(&mut take).collect())
    }
}

/// 40 people who rate each other, 600 ratings, one of them very busy.
fn plan() -> Plan {
    let mut text = String::new();
    for i in 0..600i64 {
        let source = if i % 3 == 0 { 0 } else { i % 40 };
        let target = 1 + (i / 3 + i % 7) % 39;
        let target = if target == source { 0 } else { target };
        writeln!(text, "{source},{target},{},{i}", i % 21 - 10).unwrap();
    }
    let ratings = Ratings::parse("r.csv", text.as_bytes(), u64::MAX).unwrap();
    Plan::new(&ratings, &ImportSeed::from_bytes([5; 32]))
}

fn import(mock: &Mock) -> Result<Summary, ImportError> {
    run(&plan(), mock, FAST, &Silent, &AtomicBool::new(false))
}

#[test]
fn everything_is_committed_and_a_second_run_finds_it_there() {
    let mock = Mock::default();
    let first = import(&mock).unwrap();
    assert_eq!((first.registered, first.rated, first.present), (40, 600, 0));
    let again = import(&mock).unwrap();
    assert_eq!((again.committed(), again.present), (0, 640));
    assert_eq!(mock.inner.lock().unwrap().order.len(), 640);
}

#[test]
fn a_small_pool_lost_connections_and_a_forgotten_pool_only_delay_it() {
    let mock = Mock { pool_size: 50, fail_every: 5, forget_at: 30, ..Mock::default() };
    let patience = Patience {
        first_contact: Duration::from_secs(20),
        unreachable: Duration::from_secs(20),
        standstill: Duration::from_secs(20),
    };
    let summary = run(&plan(), &mock, patience, &Silent, &AtomicBool::new(false)).unwrap();
    assert_eq!(summary.committed(), 640);
}

#[test]
fn an_interrupted_import_is_completed_by_the_next() {
    let mock = Mock { block_size: 30, ..Mock::default() };
    let stop = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        let handle = scope.spawn(|| run(&plan(), &mock, FAST, &Silent, &stop));
        while mock.inner.lock().unwrap().order.len() < 100 {
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        handle.join().unwrap()
    });
    assert!(matches!(result, Err(ImportError::Interrupted { total: 640, .. })), "{result:?}");
    mock.inner.lock().unwrap().make_block(0);
    let rest = import(&mock).unwrap();
    assert_eq!(rest.committed() + rest.present, 640);
    assert!(rest.present >= 100);
}

#[test]
fn refused_ratings_are_shown_with_their_lines_and_the_rest_is_committed() {
    let mock = Mock { refused_stars: 3, ..Mock::default() };
    let Err(error) = import(&mock) else { panic!("expected refusals") };
    let message = error.to_string();
    let ImportError::Refused { list, count, code, left } = error else { panic!("{message}") };
    assert_eq!(code, 21);
    assert!(count > 10 && left > 0 && list.len() == 10);
    assert!(
        list[0].starts_with("r.csv:") && list[0].contains("with 3 stars: the target is? gone"),
        "{}",
        list[0]
    );
    let done = mock.inner.lock().unwrap().order.len();
    assert_eq!(done + count + left, 640);
}

#[test]
fn nobody_rates_when_a_person_cannot_be_registered() {
    let mock = Mock { taken_name: "7", ..Mock::default() };
    let message = import(&mock).unwrap_err().to_string();
    assert!(message.contains("registering person 7: the name is taken"), "{message}");
    assert!(message.contains("1 transaction was refused"), "{message}");
}

#[test]
fn silence_and_standstill_end_the_import_with_their_reason() {
    let frozen = Mock { frozen: true, pool_size: 1, ..Mock::default() };
    let message = import(&frozen).unwrap_err().to_string();
    assert!(
        message.contains("has not taken a transaction") && message.contains("the pool is full"),
        "{message}"
    );
    let down = Mock { down: AtomicBool::new(true), ..Mock::default() };
    let error = import(&down).unwrap_err();
    assert!(matches!(error, ImportError::Unreachable { .. }), "{error}");
}
