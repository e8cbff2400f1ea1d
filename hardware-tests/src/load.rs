//! Writing to a node while things happen to it, and remembering what it acknowledged.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use trustnet::client::Client;
use trustnet_ledger::crypto::{Hash32, SecretKey};
use trustnet_ledger::{Action, Category, NodeId, NodeKind, SignedTransaction, Transaction};

use crate::Failure;

/// Pause of a signer between two transactions.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest time for an answer; then the same transaction is handed in again.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Heights that are asked for in one request.
const HEIGHTS_AT_ONCE: usize = 32;

/// A transaction of which a node said that it is in a block.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Its id.
    pub id: Hash32,
    /// The height that was named.
    pub height: u64,
}

/// A signer at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Load {
    over: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Acknowledged>>>,
    refusal: Arc<Mutex<String>>,
    signer: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts to write to the nodes at `urls`, to the next when one does not answer. A user registers and then rates
    /// `rated`, over and over. All of it is dated `dated_ms`, a moment on the nodes' clock: a board without a clock, where
    /// no time server answers, lives in the past, falls further behind with each power cut, and takes no transactions
    /// from its future.
    ///
    /// # Errors
    /// The chain's name or the user's key cannot be had.
    pub fn start(urls: Vec<String>, rated: NodeId, dated_ms: u64) -> Result<Self, Failure> {
        let first = Client::new(urls.first().ok_or("there is no node to write to")?)?;
        let chain_id = first.chain_id()?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|why| format!("no randomness: {why}"))?;
        let over = Arc::<AtomicBool>::default();
        let told = Arc::<Mutex<Vec<Acknowledged>>>::default();
        let refusal = Arc::<Mutex<String>>::default();
        let signer = Signer {
            key: SecretKey::from_seed(&seed),
            chain_id,
            urls,
            rated,
            dated_ms,
            over: over.clone(),
            told: told.clone(),
            refusal: refusal.clone(),
        };
        let signer = std::thread::spawn(move || signer.work());
        Ok(Self { over, told, refusal, signer: Some(signer) })
    }

    /// How many transactions were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.told.lock().map_or(0, |told| told.len())
    }

    /// The last answer other than "it is in a block".
    pub fn refusal(&self) -> String {
        self.refusal.lock().map(|text| text.clone()).unwrap_or_default()
    }

    /// Ends it; gives what was acknowledged.
    pub fn finish(mut self) -> Vec<Acknowledged> {
        self.over.store(true, Ordering::Relaxed);
        if let Some(signer) = self.signer.take() {
            let _ = signer.join();
        }
        self.told.lock().map(|told| told.clone()).unwrap_or_default()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

struct Signer {
    key: SecretKey,
    chain_id: String,
    urls: Vec<String>,
    rated: NodeId,
    dated_ms: u64,
    over: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Acknowledged>>>,
    refusal: Arc<Mutex<String>>,
}

impl Signer {
    fn work(self) {
        let mut me = None;
        for nonce in 1.. {
            let time_ms = self.dated_ms;
            let action = match me {
                None => {
                    me = Some(trustnet_ledger::node_id(&self.key.public(), time_ms, nonce));
                    Action::Register {
                        // Names are taken for ever.
                        name: format!("tester-{}", &self.key.public().to_string()[..16]),
                        owner: String::new(),
                        kind: NodeKind::User,
                        node_key: None,
                        validator_key: None,
                    }
                }
                Some(from) => Action::Rate {
                    from,
                    to: self.rated,
                    stars: 4 + (nonce % 2) as u8,
                    category: Category::ALL[nonce as usize % Category::ALL.len()],
                    reason: String::new(),
                },
            };
            let tx = Transaction { signer: self.key.public(), nonce, time_ms, action };
            let tx = SignedTransaction::sign(tx, &self.key, &self.chain_id);
            if !self.deliver(&tx) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Hands it in until it is acknowledged; whether it was.
    fn deliver(&self, tx: &SignedTransaction) -> bool {
        for url in self.urls.iter().cycle() {
            if self.over.load(Ordering::Relaxed) {
                return false;
            }
            let client = Client::with_timeouts(url, Duration::from_secs(3), ANSWER_LIMIT);
            match client.and_then(|client| client.broadcast_commit(tx.bytes())) {
                Ok(answer) if answer.code == 0 && answer.height > 0 => {
                    if let Ok(mut told) = self.told.lock() {
                        told.push(Acknowledged { id: tx.id(), height: answer.height });
                    }
                    return true;
                }
                // Not answered: on the chain perhaps, but nobody told.
                Ok(answer) => self.refused(answer.log),
                Err(error) => self.refused(error.to_string()),
            }
        }
        false
    }

    fn refused(&self, answer: String) {
        if let Ok(mut refusal) = self.refusal.lock() {
            *refusal = answer;
        }
        std::thread::sleep(PAUSE * 4);
    }
}

/// Checks that everything that was acknowledged is on the chain of the node behind `client`, where it was said to be,
/// and once. Gives the number of transactions on the chain.
///
/// # Errors
/// What is missing.
pub fn all_there(client: &Client, height: u64, acknowledged: &[Acknowledged]) -> Result<usize, Failure> {
    let mut places: HashMap<Hash32, u64> = HashMap::new();
    let heights: Vec<u64> = (1..=height).collect();
    for heights in heights.chunks(HEIGHTS_AT_ONCE) {
        let params: Vec<_> = heights.iter().map(|height| json!({ "height": height.to_string() })).collect();
        for (height, block) in heights.iter().zip(client.batch("block", &params)?) {
            let block = block?;
            for tx in block["block"]["data"]["txs"].as_array().into_iter().flatten() {
                let bytes = BASE64.decode(tx.as_str().unwrap_or_default())?;
                let tx =
                    SignedTransaction::decode(&bytes).map_err(|why| format!("height {height}: {why}"))?;
                if let Some(before) = places.insert(tx.id(), *height) {
                    return Err(
                        format!("transaction {} is at {before} and again at {height}", tx.id()).into()
                    );
                }
            }
        }
    }
    for told in acknowledged {
        let place = places.get(&told.id);
        if place != Some(&told.height) {
            return Err(format!(
                "transaction {} was acknowledged at height {}, but the chain (height {height}) has it at {place:?}",
                told.id, told.height
            )
            .into());
        }
    }
    Ok(places.len())
}
