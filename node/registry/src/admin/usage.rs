//! What takes how much of the disk.

use serde::{Deserialize, Serialize};

use super::PAGE;
use super::list::held;
use crate::error::Result;
use crate::logs::log_bytes;
use crate::meta::tables::{BLOBS, View, split_digest};
use crate::meta::{blobs, damaged};
use crate::name::RepoName;
use crate::store::Store;

/// What a repository takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryUsage {
    /// Its name.
    pub name: RepoName,
    /// Bytes of all that it holds.
    pub bytes: u64,
    /// Bytes that no other repository holds: what removing it would give back.
    pub own_bytes: u64,
}

/// What the whole takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Repositories.
    pub repositories: u64,
    /// Files in service.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of files that more than one repository holds.
    pub shared_bytes: u64,
    /// Bytes of files that no repository holds; they go by themselves.
    pub unheld_bytes: u64,
    /// Files in quarantine.
    pub quarantine_files: u64,
    /// Their bytes.
    pub quarantine_bytes: u64,
    /// Uploads that have not ended.
    pub uploads: u64,
    /// Bytes that have arrived of them.
    pub upload_bytes: u64,
    /// Files that were found damaged and have not come back.
    pub damaged: u64,
    /// The metadata's file, in bytes.
    pub metadata_bytes: u64,
    /// The access log, in bytes.
    #[serde(default)]
    pub log_bytes: u64,
    /// Bytes of the file system that can still be written; `None` if it does not say.
    pub free_bytes: Option<u64>,
    /// Bytes of the file system.
    pub disk_bytes: Option<u64>,
}

impl Store {
    pub(crate) fn usage_of(&self, repo: &RepoName) -> Result<RepositoryUsage> {
        self.meta.read(|view| {
            let (mut bytes, mut own_bytes) = (0, 0);
            for (digest, len) in held(view, repo)? {
                let len = len.unwrap_or(0);
                bytes += len;
                if blobs::holders(view, &digest)?.len() <= 1 {
                    own_bytes += len;
                }
            }
            Ok(RepositoryUsage { name: repo.clone(), bytes, own_bytes })
        })
    }

    /// Counts the whole, but not the repositories.
    ///
    /// # Errors
    /// When the metadata or the disk fails.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let last = self.meta.read(|view| {
                let keys = view.keys(BLOBS, &[], after.as_deref(), PAGE)?;
                for key in &keys {
                    let (digest, _) = split_digest(key)?;
                    let Some(len) = blobs::size(view, &digest)? else { continue };
                    usage.files += 1;
                    usage.bytes += len;
                    match blobs::holders(view, &digest)?.len() {
                        0 => usage.unheld_bytes += len,
                        1 => {}
                        _ => usage.shared_bytes += len,
                    }
                }
                Ok(keys.into_iter().next_back())
            })?;
            if last.is_none() {
                break;
            }
            after = last;
        }
        usage.damaged = self.meta.read(damaged::list)?.len() as u64;
        (usage.quarantine_files, usage.quarantine_bytes) = self.blobs.quarantined()?;
        (usage.uploads, usage.upload_bytes) = self.uploads.open_bytes();
        usage.metadata_bytes = self.blobs.file_bytes(crate::layout::METADATA)?;
        usage.log_bytes = log_bytes(&self.blobs)?;
        if let Some((free, all)) = crate::space::of(&self.directory()) {
            (usage.free_bytes, usage.disk_bytes) = (Some(free), Some(all));
        }
        Ok(usage)
    }

    /// The directory's path.
    pub(crate) fn directory(&self) -> String {
        self.blobs.directory()
    }
}
