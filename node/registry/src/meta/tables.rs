//! Tables, their keys, and reading them alike within a read and a write transaction.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::name::RepoName;

/// All tables are of this kind.
pub(crate) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

pub(crate) const BLOBS: Definition = TableDefinition::new("blobs");
pub(crate) const LINKS: Definition = TableDefinition::new("links");
pub(crate) const HOLDERS: Definition = TableDefinition::new("holders");
pub(crate) const MANIFESTS: Definition = TableDefinition::new("manifests");
pub(crate) const NEEDS: Definition = TableDefinition::new("needs");
pub(crate) const NEEDED: Definition = TableDefinition::new("needed");
pub(crate) const TAGS: Definition = TableDefinition::new("tags");
pub(crate) const TAGGED: Definition = TableDefinition::new("tagged");
pub(crate) const REFERRERS: Definition = TableDefinition::new("referrers");
pub(crate) const LEASES: Definition = TableDefinition::new("leases");
pub(crate) const DAMAGED: Definition = TableDefinition::new("damaged");
pub(crate) const USAGE: Definition = TableDefinition::new("usage");
pub(crate) const PULLED: Definition = TableDefinition::new("pulled");
pub(crate) const STATE: Definition = TableDefinition::new("state");

pub(crate) const ALL: [Definition; 14] = [
    BLOBS, LINKS, HOLDERS, MANIFESTS, NEEDS, NEEDED, TAGS, TAGGED, REFERRERS, LEASES, DAMAGED, USAGE, PULLED,
    STATE,
];

/// Is given rows, keys and values, until it says `false`.
pub(crate) type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<bool>;

/// What can be read, in a transaction of either kind.
pub(crate) trait View {
    /// The value at `key`.
    fn get(&self, table: Definition, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Gives the keys that begin with `prefix` and come after `after`, and their values, in order, to `each`, until
    /// that says `false`.
    fn scan(&self, table: Definition, prefix: &[u8], after: Option<&[u8]>, each: Each<'_>) -> Result<()>;

    /// Whether a key begins with `prefix`.
    fn any(&self, table: Definition, prefix: &[u8]) -> Result<bool> {
        let mut found = false;
        self.scan(table, prefix, None, &mut |_, _| {
            found = true;
            Ok(false)
        })?;
        Ok(found)
    }

    /// Up to `limit` keys that begin with `prefix` and come after `after`, whole.
    fn keys(
        &self,
        table: Definition,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        self.scan(table, prefix, after, &mut |key, _| {
            keys.push(key.to_vec());
            Ok(keys.len() < limit)
        })?;
        Ok(keys)
    }
}

fn get(table: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    Ok(table.get(key)?.map(|value| value.value().to_vec()))
}

fn scan(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
    after: Option<&[u8]>,
    each: Each<'_>,
) -> Result<()> {
    let start = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    for entry in table.range::<&[u8]>((start, Bound::Unbounded))? {
        let (key, value) = entry?;
        if !key.value().starts_with(prefix) || !each(key.value(), value.value())? {
            break;
        }
    }
    Ok(())
}

impl View for ReadTransaction {
    fn get(&self, table: Definition, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&self.open_table(table)?, key)
    }

    fn scan(&self, table: Definition, prefix: &[u8], after: Option<&[u8]>, each: Each<'_>) -> Result<()> {
        scan(&self.open_table(table)?, prefix, after, each)
    }
}

impl View for WriteTransaction {
    fn get(&self, table: Definition, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&self.open_table(table)?, key)
    }

    fn scan(&self, table: Definition, prefix: &[u8], after: Option<&[u8]>, each: Each<'_>) -> Result<()> {
        scan(&self.open_table(table)?, prefix, after, each)
    }
}

/// Writes a row.
pub(crate) fn put(txn: &WriteTransaction, table: Definition, key: &[u8], value: &[u8]) -> Result<()> {
    txn.open_table(table)?.insert(key, value)?;
    Ok(())
}

/// Removes a row; says whether it was there.
pub(crate) fn remove(txn: &WriteTransaction, table: Definition, key: &[u8]) -> Result<bool> {
    Ok(txn.open_table(table)?.remove(key)?.is_some())
}

/// Begins a key that belongs to a repository.
pub(crate) fn repo_key(repo: &RepoName) -> Vec<u8> {
    let mut key = Vec::with_capacity(repo.as_str().len() + 1 + 2 * 65);
    key.extend_from_slice(repo.as_str().as_bytes());
    key.push(0);
    key
}

/// A key of a repository and the parts that follow.
pub(crate) fn key(repo: &RepoName, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = repo_key(repo);
    key.extend(parts.iter().copied().flatten());
    key
}

/// Takes the repository off the front of a key.
pub(crate) fn split_repo(key: &[u8]) -> Result<(RepoName, &[u8])> {
    const DAMAGED: RegistryError = RegistryError::MetadataDamaged("a key without a repository");
    let end = key.iter().position(|byte| *byte == 0).ok_or(DAMAGED)?;
    let name = std::str::from_utf8(&key[..end]).ok().and_then(|name| name.parse().ok());
    Ok((name.ok_or(DAMAGED)?, &key[end + 1..]))
}

/// Takes a digest off the front of a key.
pub(crate) fn split_digest(key: &[u8]) -> Result<(Digest, &[u8])> {
    Digest::split_key(key).ok_or(RegistryError::MetadataDamaged("a key without a digest"))
}

/// A number as a value.
pub(crate) fn number(value: &[u8]) -> Result<u64> {
    let bytes = value.try_into().map_err(|_| RegistryError::MetadataDamaged("a number of another length"))?;
    Ok(u64::from_le_bytes(bytes))
}
