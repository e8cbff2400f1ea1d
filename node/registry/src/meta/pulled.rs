//! Which manifests are copies of an upstream's, and when each was last pulled, in milliseconds of registry time.
//!
//! What was pushed or imported has no row here, wherever it stands: it is nobody's copy, and may be all that there is.

use redb::WriteTransaction;

use super::tables::{PULLED, STATE, View, key, number, put, remove};
use crate::digest::Digest;
use crate::error::Result;
use crate::name::RepoName;

/// There once it was noted which manifests are copies.
const KNOWN: &[u8] = b"copies";

/// When a copy was last pulled; `None` if it is none.
pub(crate) fn last_ms(view: &impl View, repo: &RepoName, digest: &Digest) -> Result<Option<u64>> {
    view.get(PULLED, &key(repo, &[&digest.key()]))?.map(|value| number(&value)).transpose()
}

/// Notes that a manifest is a copy, and was pulled at `now_ms`.
pub(crate) fn note(txn: &WriteTransaction, repo: &RepoName, digest: &Digest, now_ms: u64) -> Result<()> {
    put(txn, PULLED, &key(repo, &[&digest.key()]), &now_ms.to_le_bytes())
}

/// Notes that a manifest is no copy, or no more.
pub(crate) fn forget(txn: &WriteTransaction, repo: &RepoName, digest: &Digest) -> Result<()> {
    remove(txn, PULLED, &key(repo, &[&digest.key()])).map(drop)
}

/// Whether copies are known: metadata of earlier versions did not tell them from what was pushed.
pub(crate) fn is_known(view: &impl View) -> Result<bool> {
    Ok(view.get(STATE, KNOWN)?.is_some())
}

/// Notes that from now on copies are known.
pub(crate) fn begin(txn: &WriteTransaction) -> Result<()> {
    put(txn, STATE, KNOWN, &[])
}
