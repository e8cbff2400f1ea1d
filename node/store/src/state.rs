//! `state.redb`: the leaves of the state, and the indexes of the log. Written at a checkpoint only, in one
//! transaction, so that hundreds of blocks share the pages they touch.
//!
//! Tables:
//! * `meta`: one row, see `meta`;
//! * `leaves`: opaque key -> opaque value;
//! * `blocks`: height -> hash, place of the block and of its certificate;
//! * `hashes`: (first 8 bytes of the block hash, height) -> nothing;
//! * `txs`: (height / 16384, first 8 bytes of the transaction id, height, index) -> nothing. The leading group keeps
//!   the random prefixes of one checkpoint on few pages, and lets pruning drop whole ranges.
//!
//! Transactions commit with `Durability::Immediate` and `quick_repair`: two flushes, and a start after a crash that
//! does not read the file through.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::checked::Checked;
use crate::disk::Dir;
use crate::error::{Result, StoreError};
use crate::meta::{BadMeta, Meta, Row};
use crate::sums::BadSums;

/// Name of the database, relative to the data directory.
pub(crate) const STATE_FILE: &str = "state.redb";
/// What is wrong with a file whose checksums say so.
const NOT_AS_WRITTEN: &str = "a page is not what was written to it";
/// Heights that share one group of the transaction index.
const TX_GROUP_HEIGHTS: u64 = 16_384;
const META_KEY: &str = "meta";

type HashKey = (u64, u64);
type TxKey = (u64, u64, u64, u32);

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LEAVES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("leaves");
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
const HASHES: TableDefinition<'_, HashKey, ()> = TableDefinition::new("hashes");
const TXS: TableDefinition<'_, TxKey, ()> = TableDefinition::new("txs");

/// First 8 bytes of a transaction id, its block's height, its index in the block.
pub(crate) type TxId = ([u8; 8], u64, u32);

/// The state database.
pub(crate) struct State {
    database: Database,
    path: String,
    len: Arc<AtomicU64>,
}

/// What a checkpoint writes besides the leaves.
pub(crate) struct Checkpoint<'a> {
    pub(crate) meta: Meta,
    pub(crate) rows: &'a [(u64, Row)],
    pub(crate) txs: &'a mut dyn Iterator<Item = TxId>,
}

impl State {
    /// Creates the database, with its meta row. Durable when it returns, less the directory entries.
    pub(crate) fn create<D: Dir>(dir: &Arc<D>, cache_bytes: usize, meta: &Meta) -> Result<()> {
        let path = dir.describe(STATE_FILE);
        let file = Checked::create(Arc::clone(dir), STATE_FILE);
        let file = file.map_err(|e| StoreError::io("create", path.clone(), e))?;
        let state = Self::open_database(path, file, cache_bytes)?;
        state.write(|txn| {
            txn.open_table(META)?.insert(META_KEY, meta.encode().as_slice())?;
            txn.open_table(LEAVES)?;
            txn.open_table(BLOCKS)?;
            txn.open_table(HASHES)?;
            txn.open_table(TXS)?;
            Ok(())
        })
    }

    /// Opens the database and reads the meta row.
    pub(crate) fn open<D: Dir>(dir: &Arc<D>, cache_bytes: usize) -> Result<(Self, Meta)> {
        let path = dir.describe(STATE_FILE);
        let file = Checked::open(Arc::clone(dir), STATE_FILE).map_err(|bad| match bad {
            BadSums::Io(error) => StoreError::io("open", path.clone(), error),
            BadSums::Newer(version) => StoreError::NewerFormat { path: path.clone(), version },
            BadSums::Damaged => StoreError::StateDamaged { path: path.clone(), what: NOT_AS_WRITTEN },
        })?;
        let state = Self::open_database(path, file, cache_bytes)?;
        let bytes = state.read(|txn| {
            let table = match txn.open_table(META) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                opened => opened?,
            };
            Ok(table.get(META_KEY)?.map(|row| row.value().to_vec()))
        })?;
        match Meta::decode(&bytes.unwrap_or_default()) {
            Ok(meta) => Ok((state, meta)),
            Err(BadMeta::Newer(version)) => Err(StoreError::NewerFormat { path: state.path, version }),
            Err(BadMeta::Malformed) => Err(state.damaged("its meta row")),
        }
    }

    fn open_database<D: Dir>(path: String, file: Checked<D>, cache_bytes: usize) -> Result<Self> {
        let len = file.shared_len();
        let opened = Database::builder().set_cache_size(cache_bytes).create_with_backend(file);
        let database = opened.map_err(|e| failed_state(&path, e.into()))?;
        Ok(Self { database, path, len })
    }

    /// Length of the file in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    fn damaged(&self, what: &'static str) -> StoreError {
        StoreError::StateDamaged { path: self.path.clone(), what }
    }

    fn read<T>(&self, act: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T> {
        let read = self.database.begin_read().map_err(redb::Error::from).and_then(|txn| act(&txn));
        read.map_err(|e| failed_state(&self.path, e))
    }

    fn write(&self, act: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) -> Result<()> {
        let write = || -> Result<(), redb::Error> {
            let mut txn = self.database.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            txn.set_quick_repair(true);
            act(&txn)?;
            Ok(txn.commit()?)
        };
        write().map_err(|e| failed_state(&self.path, e))
    }

    /// One checkpoint, in one transaction. `None` deletes a leaf.
    pub(crate) fn checkpoint(
        &self,
        checkpoint: Checkpoint<'_>,
        leaves: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<()> {
        self.write(|txn| {
            let mut table = txn.open_table(LEAVES)?;
            for (key, value) in leaves {
                match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                    None => table.remove(key.as_slice())?,
                };
            }
            let (mut blocks, mut hashes) = (txn.open_table(BLOCKS)?, txn.open_table(HASHES)?);
            for (height, row) in checkpoint.rows {
                blocks.insert(height, row.encode().as_slice())?;
                hashes.insert((prefix_of(&row.hash), *height), ())?;
            }
            let mut txs = txn.open_table(TXS)?;
            for (prefix, height, index) in checkpoint.txs {
                txs.insert((height / TX_GROUP_HEIGHTS, u64::from_be_bytes(prefix), height, index), ())?;
            }
            txn.open_table(META)?.insert(META_KEY, checkpoint.meta.encode().as_slice())?;
            Ok(())
        })
    }

    /// Shows every leaf to `f`, in the order of the keys.
    pub(crate) fn load_leaves(&self, mut f: impl FnMut(&[u8], &[u8])) -> Result<()> {
        self.read(|txn| {
            for leaf in txn.open_table(LEAVES)?.iter()? {
                let (key, value) = leaf?;
                f(key.value(), value.value());
            }
            Ok(())
        })
    }

    /// Reads everything, so that every page in use is checked.
    pub(crate) fn read_through(&self) -> Result<()> {
        self.load_leaves(|_, _| {})?;
        let mut malformed = false;
        self.read(|txn| {
            for row in txn.open_table(BLOCKS)?.iter()? {
                malformed |= Row::decode(row?.1.value()).is_none();
            }
            txn.open_table(HASHES)?.iter()?.try_for_each(|entry| entry.map(drop))?;
            Ok(txn.open_table(TXS)?.iter()?.try_for_each(|entry| entry.map(drop))?)
        })?;
        if malformed { Err(self.damaged("a row of its block table")) } else { Ok(()) }
    }

    /// Replaces the meta row.
    pub(crate) fn amend(&self, meta: &Meta) -> Result<()> {
        self.write(|txn| {
            txn.open_table(META)?.insert(META_KEY, meta.encode().as_slice())?;
            Ok(())
        })
    }

    /// The row of a block.
    pub(crate) fn row(&self, height: u64) -> Result<Option<Row>> {
        let bytes =
            self.read(|txn| Ok(txn.open_table(BLOCKS)?.get(height)?.map(|row| row.value().to_vec())))?;
        bytes
            .map(|bytes| Row::decode(&bytes).ok_or_else(|| self.damaged("a row of its block table")))
            .transpose()
    }

    /// Heights of the blocks whose hash begins like `hash`, rising.
    pub(crate) fn heights_like(&self, hash: &[u8; 32]) -> Result<Vec<u64>> {
        let prefix = prefix_of(hash);
        self.read(|txn| {
            let table = txn.open_table(HASHES)?;
            let range = table.range((prefix, 0)..=(prefix, u64::MAX))?;
            range.map(|entry| Ok(entry?.0.value().1)).collect()
        })
    }

    /// Places (height, index) of the transactions whose id begins with `prefix`, in blocks from `first` to `last`.
    pub(crate) fn find_tx(&self, prefix: [u8; 8], first: u64, last: u64) -> Result<Vec<(u64, u32)>> {
        let prefix = u64::from_be_bytes(prefix);
        self.read(|txn| {
            let table = txn.open_table(TXS)?;
            let mut found = Vec::new();
            for group in first / TX_GROUP_HEIGHTS..=last / TX_GROUP_HEIGHTS {
                for entry in table.range((group, prefix, first, 0)..=(group, prefix, last, u32::MAX))? {
                    let (_, _, height, index) = entry?.0.value();
                    found.push((height, index));
                }
            }
            Ok(found)
        })
    }

    /// The lowest height that has a row.
    pub(crate) fn first_height(&self) -> Result<Option<u64>> {
        self.read(|txn| Ok(txn.open_table(BLOCKS)?.first()?.map(|(height, _)| height.value())))
    }

    /// The lowest segment that a block from `height` on needs; `None` if there is no such block.
    pub(crate) fn first_segment(&self, height: u64) -> Result<Option<u64>> {
        let mut first = None::<u64>;
        let mut malformed = false;
        self.read(|txn| {
            for entry in txn.open_table(BLOCKS)?.range(height..)? {
                let row = Row::decode(entry?.1.value());
                malformed |= row.is_none();
                first = first.into_iter().chain(row.map(|row| row.first_segment())).min();
            }
            Ok(())
        })?;
        if malformed { Err(self.damaged("a row of its block table")) } else { Ok(first) }
    }

    /// Forgets the blocks that need a segment below `meta.first_segment`, and the transactions of whole groups below
    /// the first block left.
    pub(crate) fn prune(&self, meta: &Meta) -> Result<()> {
        self.write(|txn| {
            let (mut blocks, mut hashes) = (txn.open_table(BLOCKS)?, txn.open_table(HASHES)?);
            let mut gone = Vec::new();
            blocks.retain(|height, row| {
                let row = Row::decode(row);
                let keep = row.is_none_or(|row| row.first_segment() >= meta.first_segment);
                if let (false, Some(row)) = (keep, row) {
                    gone.push((prefix_of(&row.hash), height));
                }
                keep
            })?;
            for key in gone {
                hashes.remove(key)?;
            }
            let first = blocks.first()?.map_or(meta.height, |(height, _)| height.value());
            let group = first / TX_GROUP_HEIGHTS;
            txn.open_table(TXS)?.retain_in(..(group, 0, 0, 0), |_, ()| false)?;
            txn.open_table(META)?.insert(META_KEY, meta.encode().as_slice())?;
            Ok(())
        })
    }
}

fn prefix_of(hash: &[u8; 32]) -> u64 {
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(prefix)
}

fn failed_state(path: &str, source: redb::Error) -> StoreError {
    match source {
        redb::Error::Io(error)
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            StoreError::StateDamaged { path: path.to_owned(), what: NOT_AS_WRITTEN }
        }
        redb::Error::Io(error) => StoreError::io("use", path.to_owned(), error),
        source => StoreError::State { path: path.to_owned(), source: Box::new(source) },
    }
}
