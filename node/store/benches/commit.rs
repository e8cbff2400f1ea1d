//! What a committed block costs on disk: this store against one redb transaction per block.
//!
//! First it prints bytes written and flushes for each block, counted below the store (without the file system's own
//! journal), then criterion times one durable step on the file system of the temporary directory (`TMPDIR` chooses it).
//! Each block: `n` transactions of 250 random bytes, a certificate, and 20 of 10,000 accounts changed. The store
//! checkpoints every 256 blocks. `cargo bench -p trustnet-store`

#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use redb::{Database, Durability, StorageBackend, TableDefinition};
use trustnet_store::{Dir, Disk, LockError, Options, OsDir, OsFile, OsLock, Store, initialise};

const CHAIN: [u8; 32] = [1; 32];
const TX_BYTES: usize = 250;
const HEADER_BYTES: usize = 200;
const BLOCKS: u64 = 512;
const CHECKPOINT_BLOCKS: u64 = 256;
const ACCOUNTS: u64 = 10_000;
const CHANGES_PER_BLOCK: u64 = 20;
const SIGN: [u8; 150] = [5; 150];
const CERTIFICATE: [u8; 400] = [6; 400];
const CACHE_BYTES: usize = 4 * 1024 * 1024;

type Leaves = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    flushes: AtomicU64,
}

impl Counts {
    fn take(&self) -> (u64, u64) {
        (self.bytes.swap(0, Relaxed), self.flushes.swap(0, Relaxed))
    }
}

/// A real directory that counts.
#[derive(Clone)]
struct Counted {
    dir: OsDir,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct CountedFile {
    file: OsFile,
    counts: Arc<Counts>,
}

impl Disk for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<()> {
        self.file.read_at(buf, off)
    }
    fn write_at(&self, buf: &[u8], off: u64) -> io::Result<()> {
        self.counts.bytes.fetch_add(buf.len() as u64, Relaxed);
        self.file.write_at(buf, off)
    }
    fn sync(&self) -> io::Result<()> {
        self.counts.flushes.fetch_add(1, Relaxed);
        self.file.sync()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

impl StorageBackend for CountedFile {
    fn len(&self) -> io::Result<u64> {
        Disk::len(self)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_at(out, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        Disk::set_len(self, len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_at(data, offset)
    }
}

impl Dir for Counted {
    type File = CountedFile;
    type Lock = OsLock;

    fn open(&self, name: &str, create: bool) -> io::Result<CountedFile> {
        Ok(CountedFile { file: self.dir.open(name, create)?, counts: Arc::clone(&self.counts) })
    }
    fn make_dir(&self, name: &str) -> io::Result<()> {
        self.dir.make_dir(name)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.dir.list(folder)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.dir.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.dir.rename(from, to)
    }
    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.counts.flushes.fetch_add(1, Relaxed);
        self.dir.sync_dir(folder)
    }
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.dir.exists(name)
    }
    fn try_lock(&self, name: &str) -> Result<OsLock, LockError> {
        self.dir.try_lock(name)
    }
    fn describe(&self, name: &str) -> String {
        self.dir.describe(name)
    }
}

/// Bytes that do not compress, from a seed.
fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

fn hash(height: u64) -> [u8; 32] {
    *blake3::hash(&height.to_le_bytes()).as_bytes()
}

fn changes(height: u64) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    (0..CHANGES_PER_BLOCK).map(move |n| {
        let drawn = random_bytes(height * CHANGES_PER_BLOCK + n, 48);
        let account = u64::from_le_bytes(drawn[..8].try_into().unwrap()) % ACCOUNTS;
        (random_bytes(u64::MAX - account, 32), drawn[8..].to_vec())
    })
}

fn all_accounts() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    (0..ACCOUNTS).map(|account| (random_bytes(u64::MAX - account, 32), vec![0; 40]))
}

fn block(height: u64, txs: usize) -> Vec<u8> {
    random_bytes(height | 1 << 62, HEADER_BYTES + txs * TX_BYTES)
}

fn step(store: &mut Store<Counted>, height: u64, block: &[u8]) {
    store.persist_signer_with_block(height, &SIGN, hash(height), block).unwrap();
    store.append_commit(height, hash(height), &CERTIFICATE).unwrap();
}

/// A store that holds all accounts, and its counters.
fn opened(root: &tempfile::TempDir) -> (Store<Counted>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let dir = Counted { dir: OsDir::new(root.path()), counts: Arc::clone(&counts) };
    let opts = Options { background_spare: false, ..Options::default() };
    initialise(&dir, opts, CHAIN).unwrap();
    let (mut store, _) = Store::open(dir, opts, CHAIN).unwrap();
    store.checkpoint(0, all_accounts().map(|(key, value)| (key, Some(value))), &[]).unwrap();
    (store, counts)
}

fn count_store(txs: usize, second_vote: bool) -> (u64, u64) {
    let root = tempfile::tempdir().unwrap();
    let (mut store, counts) = opened(&root);
    counts.take();
    let mut pending = Leaves::new();
    for height in 1..=BLOCKS {
        step(&mut store, height, &block(height, txs));
        if second_vote {
            store.persist_signer(&SIGN).unwrap();
        }
        pending.extend(changes(height).map(|(key, value)| (key, Some(value))));
        if height.is_multiple_of(CHECKPOINT_BLOCKS) {
            store.checkpoint(height, std::mem::take(&mut pending).into_iter(), &[]).unwrap();
            store.prune(height.saturating_sub(64)).unwrap();
        }
    }
    counts.take()
}

const BLOCK_TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
const LEAF_TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("leaves");

fn redb_commit(
    database: &Database,
    height: u64,
    block: &[u8],
    leaves: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
) {
    let mut txn = database.begin_write().unwrap();
    txn.set_durability(Durability::Immediate).unwrap();
    {
        let whole = [block, &SIGN, &CERTIFICATE].concat();
        txn.open_table(BLOCK_TABLE).unwrap().insert(height, whole.as_slice()).unwrap();
        let mut table = txn.open_table(LEAF_TABLE).unwrap();
        for (key, value) in leaves {
            table.insert(key.as_slice(), value.as_slice()).unwrap();
        }
    }
    txn.commit().unwrap();
}

fn redb_opened(root: &tempfile::TempDir) -> (Database, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let dir = Counted { dir: OsDir::new(root.path()), counts: Arc::clone(&counts) };
    let file = dir.open("all.redb", true).unwrap();
    let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(file).unwrap();
    redb_commit(&database, 0, &[], all_accounts());
    (database, counts)
}

fn count_redb(txs: usize) -> (u64, u64) {
    let root = tempfile::tempdir().unwrap();
    let (database, counts) = redb_opened(&root);
    counts.take();
    for height in 1..=BLOCKS {
        redb_commit(&database, height, &block(height, txs), changes(height));
    }
    counts.take()
}

fn print_counts() {
    println!(
        "per block            |        store        |  + precommit record |    redb per block   | bytes"
    );
    for txs in [1, 10, 100] {
        let ours = count_store(txs, false);
        let voting = count_store(txs, true);
        let theirs = count_redb(txs);
        let show = |(bytes, flushes): (u64, u64)| {
            let (tenths, hundredths) = (bytes * 10 / BLOCKS / 1024, flushes * 100 / BLOCKS);
            format!("{:>5}.{} KiB {}.{:02} fl", tenths / 10, tenths % 10, hundredths / 100, hundredths % 100)
        };
        let ratio = theirs.0 * 10 / ours.0.max(1);
        println!(
            "{txs:>4} transactions    | {:>19} | {:>19} | {:>19} | {}.{}x fewer",
            show(ours),
            show(voting),
            show(theirs),
            ratio / 10,
            ratio % 10
        );
    }
}

/// Times `step` alone: what it needs is made outside the measured time.
fn timed<T>(rounds: u64, mut prepare: impl FnMut() -> T, mut step: impl FnMut(T)) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..rounds {
        let input = prepare();
        let start = Instant::now();
        step(input);
        total += start.elapsed();
    }
    total
}

fn benchmark(c: &mut Criterion) {
    print_counts();
    let mut group = c.benchmark_group("durable step");
    group.sample_size(20);
    for txs in [1, 10, 100] {
        let root = tempfile::tempdir().unwrap();
        let store = RefCell::new(opened(&root).0);
        let height = Cell::new(0u64);
        group.bench_function(format!("store, {txs} tx"), |b| {
            let prepare = || {
                let last = height.replace(height.get() + 1);
                if last > 0 && last.is_multiple_of(CHECKPOINT_BLOCKS) {
                    store.borrow_mut().checkpoint(last, std::iter::empty(), &[]).unwrap();
                    store.borrow_mut().prune(last).unwrap();
                }
                block(height.get(), txs)
            };
            b.iter_custom(|rounds| {
                timed(rounds, prepare, |block| step(&mut store.borrow_mut(), height.get(), &block))
            });
        });
        let root = tempfile::tempdir().unwrap();
        let (database, _) = redb_opened(&root);
        let height = Cell::new(0u64);
        group.bench_function(format!("redb per block, {txs} tx"), |b| {
            let prepare = || {
                height.set(height.get() + 1);
                (block(height.get(), txs), changes(height.get()).collect::<Vec<_>>())
            };
            b.iter_custom(|rounds| {
                timed(rounds, prepare, |(block, leaves)| {
                    redb_commit(&database, height.get(), &block, leaves.into_iter());
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
