//! Files that were found damaged: out of service until the same content is pushed or fetched again.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::tables::{DAMAGED, View, put, remove, split_digest};
use crate::digest::Digest;
use crate::error::{RegistryError, Result};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// When, in milliseconds of registry time.
    pub at_ms: u64,
    /// The damaged pieces of 1 MiB, by number; empty if that is not known.
    pub pieces: Vec<u32>,
}

pub(crate) fn note(txn: &WriteTransaction, digest: &Digest, damage: &Damage) -> Result<()> {
    let value =
        postcard::to_stdvec(damage).map_err(|_| RegistryError::MetadataDamaged("a damage too long"))?;
    put(txn, DAMAGED, &digest.key(), &value)
}

pub(crate) fn clear(txn: &WriteTransaction, digest: &Digest) -> Result<()> {
    remove(txn, DAMAGED, &digest.key()).map(drop)
}

/// All of it.
pub(crate) fn list(view: &impl View) -> Result<Vec<(Digest, Damage)>> {
    let mut found = Vec::new();
    view.scan(DAMAGED, &[], None, &mut |key, value| {
        let damage = postcard::from_bytes(value).map_err(|_| RegistryError::MetadataDamaged("a damage"))?;
        found.push((split_digest(key)?.0, damage));
        Ok(true)
    })?;
    Ok(found)
}
