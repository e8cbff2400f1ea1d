//! A workload whose every byte follows from a height, and the model that says what must be found again.

#![allow(dead_code, clippy::unwrap_used, missing_docs)]

pub mod damaged;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use trustnet_store::{Dir, MemDir, Options, Recovered, Result, Signer, Store, StoreError, initialise};

pub const CHAIN: [u8; 32] = [0x11; 32];
pub const HEIGHTS: u64 = 26;
const CHECKPOINT_EVERY: u64 = 5;
const KEEP: u64 = 6;

/// Segments of eight pages, so that the log rolls every few blocks.
pub fn options() -> Options {
    Options {
        segment_bytes: 8 * 4096,
        redb_cache_bytes: 64 * 1024,
        background_spare: false,
        log_key: Some([0x22; 32]),
        ..Options::default()
    }
}

/// An initialised directory.
pub fn fresh() -> MemDir {
    static INITIALISED: OnceLock<MemDir> = OnceLock::new();
    let initialised = INITIALISED.get_or_init(|| {
        let dir = MemDir::new();
        initialise(&dir, options(), CHAIN).unwrap();
        dir
    });
    initialised.duplicate()
}

/// Whether the long sweeps were asked for: `TRUSTNET_STORE_SWEEP=1`.
pub fn long_sweep() -> bool {
    std::env::var_os("TRUSTNET_STORE_SWEEP").is_some()
}

/// Combinations of outcomes of a power cut: all of them if there are at most `limit`, else nothing kept, the first
/// few kept, each kept alone, each lost alone, and `limit` drawn ones.
pub fn combinations(outcomes: &[usize], limit: usize) -> Vec<Vec<usize>> {
    let none = vec![0; outcomes.len()];
    let newest = |at: usize| outcomes[at].min(2) - 1;
    let all = (0..outcomes.len()).map(newest).collect::<Vec<_>>();
    let total = outcomes.iter().try_fold(1usize, |total, count| total.checked_mul(*count));
    if total.is_some_and(|total| total <= limit) {
        let mut found = vec![Vec::new()];
        for count in outcomes {
            let longer = |start: &Vec<usize>| {
                let start = start.clone();
                (0..*count).map(move |last| [start.as_slice(), &[last]].concat()).collect::<Vec<_>>()
            };
            found = found.iter().flat_map(longer).collect();
        }
        return found;
    }
    let mut found = vec![none.clone(), all.clone()];
    for at in 0..outcomes.len() {
        let (mut prefix, mut alone, mut but) = (none.clone(), none.clone(), all.clone());
        prefix[..at].copy_from_slice(&all[..at]);
        (alone[at], but[at]) = (outcomes[at] - 1, 0);
        found.extend([prefix, alone, but]);
    }
    let mut random = 7u64;
    for _ in 0..limit {
        let draw = |count: &usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % count
        };
        found.push(outcomes.iter().map(draw).collect());
    }
    found
}

/// Removes a file for good.
pub fn lose(dir: &MemDir, name: &str) {
    dir.remove(name).unwrap();
    dir.sync_dir(name.rsplit_once('/').map_or("", |(folder, _)| folder)).unwrap();
}

/// Cuts the power with this combination of outcomes.
pub fn crash(dir: &MemDir, outcomes: &[usize]) {
    let mut outcomes = outcomes.iter();
    dir.crash_with(|_| *outcomes.next().unwrap());
}

pub fn hash(height: u64, round: u8) -> [u8; 32] {
    let mut hash = [round; 32];
    hash[8..16].copy_from_slice(&height.to_le_bytes());
    hash[0] = height as u8;
    hash
}

/// Between 100 bytes and five pages.
pub fn block(height: u64, round: u8) -> Vec<u8> {
    let len = 100 + (height * 7919 + u64::from(round) * 4099) % 18_000;
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(height as u8).wrapping_add(round)).collect()
}

pub fn certificate(height: u64) -> Vec<u8> {
    format!("certificate of {height}").into_bytes()
}

pub fn prefix(height: u64) -> [u8; 8] {
    (height.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes()
}

fn leaf(key: u64) -> Vec<u8> {
    format!("account {key}").into_bytes()
}

/// The leaves after `height`: each height sets one, and deletes that of three heights before if it is even.
pub fn leaves(height: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut leaves = BTreeMap::new();
    for at in 1..=height {
        leaves.insert(leaf(at), at.to_le_bytes().to_vec());
        if at > 3 && at % 2 == 0 {
            leaves.remove(&leaf(at - 3));
        }
    }
    leaves
}

fn changes(from: u64, to: u64) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let mut changes = BTreeMap::new();
    for at in from + 1..=to {
        changes.insert(leaf(at), Some(at.to_le_bytes().to_vec()));
        if at > 3 && at % 2 == 0 {
            changes.insert(leaf(at - 3), None);
        }
    }
    changes
}

/// What was tried, and what was acknowledged.
#[derive(Debug, Default, Clone)]
pub struct Model {
    /// Number of the last signer record handed in, and of the last one acknowledged.
    pub signed: u64,
    pub signed_acked: u64,
    /// Height of the last certificate handed in, and of the last one that a durable step covered.
    pub committed: u64,
    pub committed_acked: u64,
    /// The checkpoint handed in last, and acknowledged last.
    pub state: u64,
    pub state_acked: u64,
    /// Blocks stored by a durable step above the last commit.
    pub candidate: Option<(u64, u8)>,
    /// Lowest height that pruning had to keep.
    pub pruned: u64,
}

impl Model {
    /// Goes on from what a start found.
    pub fn resume<D: Dir>(&mut self, store: &mut Store<D>, recovered: &Recovered) {
        for height in recovered.state_height + 1..=recovered.last_commit_height {
            store.note_txs(height, &[prefix(height), prefix(height + 1000)]);
        }
        if let Signer::Known(sign) = &recovered.signer {
            self.signed = number(sign);
            self.signed_acked = self.signed;
        }
        self.committed = recovered.last_commit_height;
        self.committed_acked = self.committed;
        self.state = recovered.state_height;
        self.state_acked = self.state;
        self.candidate = None;
    }

    /// A durable step covered everything handed in so far.
    pub fn durable(&mut self) {
        self.committed_acked = self.committed;
    }
}

pub fn number(sign: &[u8]) -> u64 {
    u64::from_le_bytes(sign[..8].try_into().unwrap())
}

/// Some fit a sector, some do not.
fn sign_bytes(number: u64) -> Vec<u8> {
    let mut sign = number.to_le_bytes().to_vec();
    sign.resize(100 + (number * 331 % 1500) as usize, number as u8);
    sign
}

pub fn vote<D: Dir>(store: &mut Store<D>, model: &mut Model) -> Result<()> {
    model.signed += 1;
    store.persist_signer(&sign_bytes(model.signed))?;
    model.signed_acked = model.signed;
    model.durable();
    Ok(())
}

pub fn vote_with<D: Dir>(store: &mut Store<D>, model: &mut Model, height: u64, round: u8) -> Result<()> {
    model.signed += 1;
    let (hash, block) = (hash(height, round), block(height, round));
    store.persist_signer_with_block(height, &sign_bytes(model.signed), hash, &block)?;
    model.signed_acked = model.signed;
    model.candidate = Some((height, round));
    model.durable();
    Ok(())
}

pub fn fetch<D: Dir>(store: &mut Store<D>, height: u64) -> Result<()> {
    store.append_block(height, hash(height, 0), &block(height, 0))
}

/// Commits the next height, whose block is stored.
pub fn commit<D: Dir>(store: &mut Store<D>, model: &mut Model) -> Result<()> {
    let height = model.committed + 1;
    model.committed = height;
    store.append_commit(height, hash(height, 0), &certificate(height))?;
    store.note_txs(height, &[prefix(height), prefix(height + 1000)]);
    Ok(())
}

/// Commits up to `to`, as a node does: most heights by voting, some by syncing, some in two rounds.
pub fn run<D: Dir>(store: &mut Store<D>, model: &mut Model, to: u64) -> Result<()> {
    while model.committed < to {
        let height = model.committed + 1;
        match height % 6 {
            // Fetched from a peer.
            3 => fetch(store, height)?,
            // A block that loses, a vote for nothing, then the block that wins.
            4 => {
                vote_with(store, model, height, 1)?;
                vote(store, model)?;
                vote_with(store, model, height, 0)?;
                vote(store, model)?;
            }
            _ => {
                vote_with(store, model, height, 0)?;
                vote(store, model)?;
            }
        }
        // The next height's proposal may come before this height's certificate.
        if height % 6 == 5 {
            fetch(store, height + 1)?;
        }
        commit(store, model)?;
        if height.is_multiple_of(CHECKPOINT_EVERY) {
            checkpoint(store, model, height - height % 2)?;
            let keep = height.saturating_sub(KEEP);
            model.pruned = model.pruned.max(keep);
            store.prune(keep)?;
        }
        if height.is_multiple_of(7) {
            store.sync()?;
            model.durable();
        }
    }
    Ok(())
}

pub fn checkpoint<D: Dir>(store: &mut Store<D>, model: &mut Model, height: u64) -> Result<()> {
    if height < model.state_acked {
        return Ok(());
    }
    // What was tried before and failed may have been stored: the changes are counted from what is known.
    let changes = changes(store.state_height(), height);
    model.state = height;
    store.checkpoint(height, changes.into_iter(), &[])?;
    model.state_acked = height;
    model.durable();
    Ok(())
}

/// The life of a store: an open, votes, blocks, certificates, checkpoints, new segments, pruning and recycled
/// segments, a stop, an open in the middle of everything, and the same again. Ends with a vote and a checkpoint.
pub fn live(dir: &MemDir, model: &mut Model) -> Result<()> {
    for heights in [HEIGHTS / 2, HEIGHTS] {
        let (mut store, recovered) = Store::open(dir.clone(), options(), CHAIN)?;
        model.resume(&mut store, &recovered);
        run(&mut store, model, heights)?;
        store.prepare_spare()?;
        vote(&mut store, model)?;
        checkpoint(&mut store, model, heights)?;
    }
    Ok(())
}

/// Compares what a start found with the model.
pub fn check<D: Dir>(store: &Store<D>, recovered: &Recovered, model: &Model, when: &str) {
    match &recovered.signer {
        Signer::Known(sign) => {
            let number = number(sign);
            assert_eq!(*sign, sign_bytes(number), "{when}");
            assert!(number >= model.signed_acked, "{when}: signer {number} < {}", model.signed_acked);
            assert!(number <= model.signed, "{when}");
        }
        Signer::Fresh => assert_eq!(model.signed_acked, 0, "{when}: signed, and reported fresh"),
        Signer::Lost(reason) => panic!("{when}: {reason}"),
    }
    assert!([model.state, model.state_acked].contains(&recovered.state_height), "{when}");
    let last = recovered.last_commit_height;
    assert!(last >= model.committed_acked, "{when}: commits up to {last} of {}", model.committed_acked);
    assert!(last <= model.committed, "{when}");
    check_content(store, model, when);
    if let Some((height, round)) = model.candidate.filter(|(height, _)| *height > last) {
        assert!(recovered.undecided.contains(&(height, hash(height, round))), "{when}");
        assert_eq!(
            store.candidate(height, hash(height, round)).unwrap(),
            Some(block(height, round)),
            "{when}"
        );
    }
    for (height, hash) in &recovered.undecided {
        assert!(*height > last, "{when}");
        let round = hash[31];
        assert_eq!(store.candidate(*height, *hash).unwrap(), Some(block(*height, round)), "{when}");
    }
}

/// Compares what a start after damage found with the model: it may know less of the chain than was acknowledged, but
/// nothing wrong, and no older signature than the last acknowledged one unless it says so.
pub fn check_loosely<D: Dir>(store: &Store<D>, recovered: &Recovered, model: &Model, when: &str) {
    match &recovered.signer {
        Signer::Known(sign) => {
            let number = number(sign);
            assert_eq!(*sign, sign_bytes(number), "{when}");
            assert!(number >= model.signed_acked, "{when}: signer {number} < {}", model.signed_acked);
        }
        Signer::Fresh => assert_eq!(model.signed_acked, 0, "{when}: signed, and reported fresh"),
        Signer::Lost(_) => {}
    }
    assert!(recovered.last_commit_height <= model.committed, "{when}");
    let everything_may_be_missing = Model { pruned: u64::MAX, ..model.clone() };
    check_what_is_readable(store, &everything_may_be_missing, when);
    for (height, hash) in &recovered.undecided {
        let found = store.candidate(*height, *hash).unwrap();
        assert_eq!(found, Some(block(*height, hash[31])), "{when}");
    }
}

/// What a node does after a repair: it fetches what it lacks from its peers, signs again, stops and starts.
pub fn catch_up(dir: &MemDir, model: &Model, when: &str) {
    let (mut store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    let mut model = model.clone();
    let signed = model.signed;
    model.resume(&mut store, &recovered);
    model.signed = signed;
    for height in 1..=HEIGHTS + 2 {
        let known = height <= store.state_height() && store.block(height).is_ok_and(|found| found.is_none());
        if known {
            continue;
        }
        store.append_block(height, hash(height, 0), &block(height, 0)).unwrap();
        store.append_commit(height, hash(height, 0), &certificate(height)).unwrap();
        store.note_txs(height, &[prefix(height), prefix(height + 1000)]);
    }
    model.committed = HEIGHTS + 2;
    vote(&mut store, &mut model).unwrap();
    vote_with(&mut store, &mut model, HEIGHTS + 3, 0).unwrap();
    checkpoint(&mut store, &mut model, HEIGHTS + 2).unwrap();
    drop(store);
    dir.crash(0);
    let (store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
    let Signer::Known(sign) = &recovered.signer else { panic!("{when}: {recovered:?}") };
    assert_eq!(number(sign), model.signed, "{when}");
    assert_eq!(store.last_commit_height(), HEIGHTS + 2, "{when}");
    model.pruned = store.first_height().unwrap().unwrap();
    check_content(&store, &model, when);
}

/// Checks everything that can be read: every block that must be there is.
pub fn check_content<D: Dir>(store: &Store<D>, model: &Model, when: &str) {
    let damaged = check_what_is_readable(store, model, when);
    assert!(damaged.is_empty(), "{when}: damaged blocks {damaged:?}");
}

/// Checks everything that can be read. Returns the heights of blocks that the store says are damaged.
pub fn check_what_is_readable<D: Dir>(store: &Store<D>, model: &Model, when: &str) -> Vec<u64> {
    let (state, last) = (store.state_height(), store.last_commit_height());
    let mut damaged = Vec::new();
    for height in 1..=last + 2 {
        let found = match store.block(height) {
            Err(StoreError::Damaged { height: named, .. }) => {
                assert_eq!(named, height, "{when}");
                damaged.push(height);
                continue;
            }
            found => found.unwrap_or_else(|error| panic!("{when}: {error}")),
        };
        if let Some(stored) = &found {
            assert!(height <= last, "{when}: block {height}");
            assert_eq!(stored.hash, hash(height, 0), "{when}");
            assert_eq!(stored.block, block(height, 0), "{when}");
            assert_eq!(stored.certificate, certificate(height), "{when}");
            assert_eq!(store.block_height_by_hash(stored.hash).unwrap(), Some(height), "{when}");
            if height <= state {
                assert_eq!(store.find_tx(prefix(height)).unwrap(), [(height, 0)], "{when}");
            }
        } else {
            let may_be_missing = height < model.pruned || height > last;
            assert!(may_be_missing, "{when}: block {height} is missing");
        }
    }
    let mut found = BTreeMap::new();
    store
        .load_leaves(|key, value| {
            found.insert(key.to_vec(), value.to_vec());
        })
        .unwrap();
    assert_eq!(found, leaves(state), "{when}");
    damaged
}
