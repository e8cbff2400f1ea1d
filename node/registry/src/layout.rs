//! Where everything stands below the registry's directory. Every name is made here, from types that cannot hold a
//! path.
//!
//! ```text
//! LOCK                              held by the process that serves the directory
//! metadata.redb                     what is asked at every request; can be made again from the rest
//! metadata.new.redb                 the same, while it is being made
//! metadata.opening                  there while the metadata is opened: whether the last start survived that
//! metadata.damaged-N.redb           an earlier one, set aside because it could not be read
//! blobs/sha256/ab/<hex>             content, blobs and manifests alike
//! blobs/sha256/ab/<hex>.b3          its pieces, if it is longer than one
//! blobs/sha512/ab/<hex>
//! uploads/<id>                      what has arrived of an upload
//! uploads/<id>.session              which repository and whom it is for
//! quarantine/<algorithm>-<hex>.<n>  out of service since registry time n, in milliseconds; removed later
//! admin/socket                      where the operator's commands reach the process that serves
//! tls/                              keys and certificates (see `tls` and `acme`, which write there by themselves)
//! repositories/<name>/_journal      what was pushed to a repository, tagged and deleted (see `journal`)
//! logs/access.log                   who asked for what (see `logs`); nothing is read from there
//! logs/access.log.1                 the same, from before
//! ```

use crate::digest::{Algorithm, Digest};
use crate::name::RepoName;
use crate::upload_id::UploadId;

pub(crate) const LOCK: &str = "LOCK";
pub(crate) const METADATA: &str = "metadata.redb";
/// The metadata while it is being made; it gets its name when it is complete.
pub(crate) const METADATA_NEW: &str = "metadata.new.redb";
/// Stands there while the metadata is opened.
pub(crate) const METADATA_OPENING: &str = "metadata.opening";
pub(crate) const BLOBS: &str = "blobs";
pub(crate) const UPLOADS: &str = "uploads";
pub(crate) const QUARANTINE: &str = "quarantine";
/// The folder that only the registry's user may enter.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const ADMIN_SOCKET: &str = "socket";
pub(crate) const REPOSITORIES: &str = "repositories";
/// No part of a repository's name begins with `_`.
pub(crate) const JOURNAL: &str = "_journal";
/// What a journal is called while it is being written anew.
pub(crate) const JOURNAL_NEW: &str = "_journal.new";
pub(crate) const LOGS: &str = "logs";
pub(crate) const ACCESS_LOG: &str = "logs/access.log";
/// What the log is called once it is long enough.
pub(crate) const ACCESS_LOG_OLD: &str = "logs/access.log.1";
pub(crate) const PIECES_SUFFIX: &str = ".b3";
pub(crate) const SESSION_SUFFIX: &str = ".session";

/// The folder of a digest's file: of two digits, so that none grows beyond what file systems like.
pub(crate) fn shard(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{:02x}", digest.algorithm().name(), digest.as_bytes()[0])
}

pub(crate) fn blob(digest: &Digest) -> String {
    format!("{}/{}", shard(digest), digest.hex())
}

pub(crate) fn pieces(digest: &Digest) -> String {
    blob(digest) + PIECES_SUFFIX
}

pub(crate) fn quarantine(digest: &Digest, now_ms: u64) -> String {
    format!("{QUARANTINE}/{}-{}.{now_ms}", digest.algorithm().name(), digest.hex())
}

/// Which digest a file of `quarantine/` had, and since when it is there, in milliseconds of registry time.
pub(crate) fn parse_quarantine(name: &str) -> Option<(Digest, u64)> {
    let (algorithm, rest) = name.split_once('-')?;
    let (hex, since_ms) = rest.split_once('.')?;
    let algorithm: Algorithm = algorithm.parse().ok()?;
    Some((Digest::from_hex(algorithm, hex).ok()?, since_ms.parse().ok()?))
}

pub(crate) fn upload(id: UploadId) -> String {
    format!("{UPLOADS}/{id}")
}

pub(crate) fn session(id: UploadId) -> String {
    format!("{UPLOADS}/{id}{SESSION_SUFFIX}")
}

pub(crate) fn repository(repo: &RepoName) -> String {
    format!("{REPOSITORIES}/{repo}")
}

pub(crate) fn journal(repo: &RepoName) -> String {
    format!("{REPOSITORIES}/{repo}/{JOURNAL}")
}

pub(crate) fn journal_new(repo: &RepoName) -> String {
    format!("{REPOSITORIES}/{repo}/{JOURNAL_NEW}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarantine_names_and_back() {
        let digest = Digest::of(Algorithm::Sha512, b"x");
        let name = quarantine(&digest, 77);
        assert_eq!(
            parse_quarantine(name.strip_prefix("quarantine/").unwrap_or_default()),
            Some((digest, 77))
        );
        for bad in ["", "sha256-", "sha256-00.1", "x-y.z", "sha256-.1"] {
            assert_eq!(parse_quarantine(bad), None, "{bad}");
        }
    }
}
