//! What nobody needs and has not gone yet: what a collection would take, and what still has to wait.

use serde::{Deserialize, Serialize};

use super::PAGE;
use crate::digest::Digest;
use crate::error::Result;
use crate::meta::tables::{BLOBS, HOLDERS, View, split_digest};
use crate::meta::{blobs, leases, manifests};
use crate::store::Store;

/// What nobody needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// Files that a collection would take out of service now.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are kept a while, since a client was told of them.
    pub leased_files: u64,
    /// Their bytes.
    pub leased_bytes: u64,
    /// How long the last of them is kept, in milliseconds.
    pub leased_ms: u64,
    /// Files in quarantine.
    pub quarantine_files: u64,
    /// Their bytes.
    pub quarantine_bytes: u64,
}

/// Whether no manifest needs a file: it is none, and no repository that holds it needs it.
fn is_unneeded(view: &impl View, digest: &Digest) -> Result<bool> {
    let mut as_manifest = digest.key();
    as_manifest.push(b'm');
    if view.any(HOLDERS, &as_manifest)? {
        return Ok(false);
    }
    for repo in blobs::holders(view, digest)? {
        if manifests::is_needed(view, &repo, digest)? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Store {
    /// Counts what nobody needs.
    ///
    /// # Errors
    /// When the metadata or the disk fails.
    pub fn idle(&self) -> Result<Idle> {
        let (mut idle, now_ms) = (Idle::default(), self.now_ms());
        let grace_ms = self.grace_until_ms().saturating_sub(now_ms);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let last = self.meta.read(|view| {
                let keys = view.keys(BLOBS, &[], after.as_deref(), PAGE)?;
                for key in &keys {
                    let (digest, _) = split_digest(key)?;
                    let Some(len) = blobs::size(view, &digest)? else { continue };
                    if !is_unneeded(view, &digest)? {
                        continue;
                    }
                    let leased_ms = leases::until_ms(view, &digest)?.saturating_sub(now_ms).max(grace_ms);
                    if leased_ms > 0 {
                        idle.leased_files += 1;
                        idle.leased_bytes += len;
                        idle.leased_ms = idle.leased_ms.max(leased_ms);
                    } else {
                        idle.files += 1;
                        idle.bytes += len;
                    }
                }
                Ok(keys.into_iter().next_back())
            })?;
            if last.is_none() {
                break;
            }
            after = last;
        }
        (idle.quarantine_files, idle.quarantine_bytes) = self.blobs.quarantined()?;
        Ok(idle)
    }
}
