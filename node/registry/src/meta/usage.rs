//! How much is stored, and how much each repository holds: counted as it changes, so that quotas cost no walk.

use redb::WriteTransaction;

use super::blobs;
use super::tables::{BLOBS, HOLDERS, STATE, USAGE, View, number, put, remove, repo_key, split_digest};
use crate::access::RepoPattern;
use crate::error::{RegistryError, Result};
use crate::name::RepoName;

/// How many bytes are stored. There only once all was counted.
const STORED: &[u8] = b"stored";
/// Rows looked at in one go.
const BATCH: usize = 256;

/// How many bytes are stored, each file counted once.
pub(crate) fn stored(view: &impl View) -> Result<u64> {
    view.get(STATE, STORED)?.map_or(Ok(0), |value| number(&value))
}

/// Notes that a file of `before` bytes now has `after`; 0 is none.
pub(crate) fn change_stored(txn: &WriteTransaction, before: u64, after: u64) -> Result<()> {
    if before == after {
        return Ok(());
    }
    let stored = stored(txn)?.saturating_sub(before).saturating_add(after);
    put(txn, STATE, STORED, &stored.to_le_bytes())
}

/// How many bytes a repository holds.
pub(crate) fn of(view: &impl View, repo: &RepoName) -> Result<u64> {
    view.get(USAGE, &repo_key(repo))?.map_or(Ok(0), |value| number(&value))
}

/// How many bytes the repositories hold that a pattern means.
pub(crate) fn of_all(view: &impl View, repositories: &RepoPattern) -> Result<u64> {
    let Some(prefix) = repositories.prefix() else {
        return repositories.as_str().parse().map_or(Ok(0), |repo| of(view, &repo));
    };
    let mut bytes: u64 = 0;
    view.scan(USAGE, prefix.as_bytes(), None, &mut |_, value| {
        bytes = bytes.saturating_add(number(value)?);
        Ok(true)
    })?;
    Ok(bytes)
}

/// Notes that a repository holds `after` bytes in place of `before`.
pub(crate) fn change(txn: &WriteTransaction, repo: &RepoName, before: u64, after: u64) -> Result<()> {
    let bytes = of(txn, repo)?.saturating_sub(before).saturating_add(after);
    if bytes == 0 {
        return remove(txn, USAGE, &repo_key(repo)).map(drop);
    }
    put(txn, USAGE, &repo_key(repo), &bytes.to_le_bytes())
}

/// Whether all was counted: metadata of earlier versions was not.
pub(crate) fn is_counted(view: &impl View) -> Result<bool> {
    Ok(view.get(STATE, STORED)?.is_some())
}

/// Notes that from now on everything is counted as it comes.
pub(crate) fn begin(txn: &WriteTransaction) -> Result<()> {
    put(txn, STATE, STORED, &stored(txn)?.to_le_bytes())
}

/// Counts everything.
pub(crate) fn count(txn: &WriteTransaction) -> Result<()> {
    const BAD: RegistryError = RegistryError::MetadataDamaged("a holder without a name");
    let mut stored: u64 = 0;
    txn.scan(BLOBS, &[], None, &mut |_, value| {
        stored = stored.saturating_add(number(value)?);
        Ok(true)
    })?;
    txn.open_table(USAGE)?.retain(|_, _| false)?;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let keys = txn.keys(HOLDERS, &[], after.as_deref(), BATCH)?;
        for key in &keys {
            let (digest, rest) = split_digest(key)?;
            let name = rest.get(1..).and_then(|name| std::str::from_utf8(name).ok());
            let repo = name.and_then(|name| name.parse().ok()).ok_or(BAD)?;
            let len = blobs::size(txn, &digest)?.unwrap_or(0);
            put(txn, HOLDERS, key, &len.to_le_bytes())?;
            change(txn, &repo, 0, len)?;
        }
        let Some(last) = keys.last() else { break };
        after = Some(last.clone());
    }
    put(txn, STATE, STORED, &stored.to_le_bytes())
}
