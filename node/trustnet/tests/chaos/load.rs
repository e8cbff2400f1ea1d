//! Steady load: signers who hand real transactions to random nodes, each waiting for the answer before going on, and
//! who remember what was acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trustnet::client::Client;
use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::{Action, Category, NodeId, NodeKind, SignedTransaction, Transaction};

use crate::common::{self, TestNet};
use crate::dice::Dice;
use crate::plan::NODES;

/// Signers besides the operators of the nodes.
const USERS: usize = 8;
/// Pause of a signer between two turns.
const PAUSE_MS: (u64, u64) = (20, 120);
/// Most transactions that a signer hands in at once.
const MOST_AT_ONCE: u64 = 4;
/// How long the last transactions may take to be acknowledged once the storm is over: as long as a client waits for a
/// node that does not answer, and then some.
const LAST_ANSWER: Duration = Duration::from_secs(60);

/// A transaction of which a client was told that it is in a block.
pub struct Acknowledged {
    pub tx: SignedTransaction,
    pub height: u64,
    /// Who told.
    pub node: usize,
}

/// What all signers share.
#[derive(Default)]
struct Book {
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// Answers other than "it is in a block", and how often they came.
    refusals: Mutex<BTreeMap<String, usize>>,
    over: AtomicBool,
}

/// The signers at work; they end when this is dropped.
pub struct Load {
    book: Arc<Book>,
    signers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sets the signers to work. Who sends what to whom, and when, is drawn from `seed`.
    pub fn start(net: &TestNet, seed: u64) -> Self {
        let nodes = net.ids();
        let urls: Vec<String> = (0..net.len()).map(|node| net.url(node)).collect();
        let book = Arc::<Book>::default();
        let operators = net.operators.iter().cloned().zip(nodes.iter().copied().map(Some));
        let users = (0..USERS).map(|n| (SecretKey::from_seed(&[100 + n as u8; 32]), None));
        let signers = (0u64..).zip(operators.chain(users)).map(|(number, (key, node))| {
            let signer = Signer {
                dice: Dice::new(seed, 1_000 + number),
                chain_id: net.network.chain_id.clone(),
                name: format!("user-{number}"),
                key,
                node,
                nonce: 0,
                nodes: nodes.clone(),
                urls: urls.clone(),
                book: book.clone(),
            };
            std::thread::spawn(move || signer.work())
        });
        Self { signers: signers.collect(), book: book.clone() }
    }

    /// How many transactions were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.book.acknowledged.lock().unwrap().len()
    }

    /// Lets every signer finish its turn; all that was handed in is acknowledged then.
    pub fn finish(mut self) -> (Vec<Acknowledged>, BTreeMap<String, usize>) {
        self.book.over.store(true, Ordering::Relaxed);
        let end = Instant::now() + LAST_ANSWER;
        for signer in std::mem::take(&mut self.signers) {
            while !signer.is_finished() {
                let refusals = self.book.refusals.lock().unwrap();
                assert!(
                    Instant::now() < end,
                    "a transaction is not acknowledged within {LAST_ANSWER:?}: {refusals:?}"
                );
                drop(refusals);
                std::thread::sleep(Duration::from_millis(20));
            }
            signer.join().unwrap();
        }
        let acknowledged = std::mem::take(&mut *self.book.acknowledged.lock().unwrap());
        (acknowledged, std::mem::take(&mut *self.book.refusals.lock().unwrap()))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.book.over.store(true, Ordering::Relaxed);
    }
}

/// One account, and who uses it.
struct Signer {
    dice: Dice,
    chain_id: String,
    name: String,
    key: SecretKey,
    /// For whom it rates; a user is nobody before it has registered.
    node: Option<NodeId>,
    nonce: u64,
    nodes: Vec<NodeId>,
    urls: Vec<String>,
    book: Arc<Book>,
}

impl Signer {
    fn work(mut self) {
        while !self.book.over.load(Ordering::Relaxed) {
            let count = if self.dice.percent(75) { 1 } else { 1 + self.dice.below(MOST_AT_ONCE as usize) };
            let txs: Vec<SignedTransaction> = (0..count).map(|_| self.next()).collect();
            self.deliver(&txs);
            std::thread::sleep(self.dice.millis(PAUSE_MS.0, PAUSE_MS.1));
        }
    }

    /// The signer's next transaction: a registration first, ratings then.
    fn next(&mut self) -> SignedTransaction {
        self.nonce += 1;
        let time_ms = common::unix_ms();
        let Some(from) = self.node else {
            let id = trustnet_ledger::node_id(&self.key.public(), time_ms, self.nonce);
            self.node = Some(id);
            let action = Action::Register {
                name: self.name.clone(),
                owner: String::new(),
                kind: NodeKind::User,
                node_key: None,
                validator_key: None,
            };
            return self.sign(time_ms, action);
        };
        let others: Vec<NodeId> = self.nodes.iter().copied().filter(|node| *node != from).collect();
        let to = others[self.dice.below(others.len())];
        // Few stars would cost a validator its place in the end.
        let stars = 4 + u8::from(self.dice.percent(50));
        let category = Category::ALL[self.dice.below(Category::ALL.len())];
        self.sign(time_ms, Action::Rate { from, to, stars, category, reason: String::new() })
    }

    fn sign(&self, time_ms: u64, action: Action) -> SignedTransaction {
        let tx = Transaction { signer: self.key.public(), nonce: self.nonce, time_ms, action };
        SignedTransaction::sign(tx, &self.key, &self.chain_id)
    }

    /// Hands transactions to one node after the other until each of them is acknowledged.
    fn deliver(&mut self, txs: &[SignedTransaction]) {
        let mut rest = txs;
        while !rest.is_empty() {
            let node = self.dice.below(NODES);
            let client = Client::new(&self.urls[node]).unwrap();
            // The last one first: its node keeps it until the others have come.
            for early in rest.iter().skip(1).rev() {
                if let Err(error) = client.broadcast_sync(early.bytes()) {
                    self.refused(&error.to_string());
                }
            }
            while let Some(tx) = rest.first() {
                let refusal = match client.broadcast_commit(tx.bytes()) {
                    Ok(answer) if answer.code == 0 && answer.height > 0 => {
                        let told = Acknowledged { tx: tx.clone(), height: answer.height, node };
                        self.book.acknowledged.lock().unwrap().push(told);
                        rest = &rest[1..];
                        continue;
                    }
                    Ok(answer) => answer.log,
                    Err(error) => error.to_string(),
                };
                self.refused(&refusal);
                std::thread::sleep(self.dice.millis(PAUSE_MS.0, PAUSE_MS.1));
                break;
            }
        }
    }

    /// Counts an answer, without the numbers in it.
    fn refused(&self, answer: &str) {
        let kind: String = answer.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        *self.book.refusals.lock().unwrap().entry(kind).or_default() += 1;
    }
}
