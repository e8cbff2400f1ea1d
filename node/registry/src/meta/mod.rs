//! The metadata: one redb file that answers every request. All of it can be made again from the journals and the blobs.
//!
//! Tables, all from bytes to bytes; `repo` ends with a zero byte, digests say their own length:
//!
//! | table | key | value |
//! |---|---|---|
//! | `blobs` | digest | length of the file, in bytes |
//! | `links` | repo, digest | nothing: the repository holds this blob |
//! | `holders` | digest, `b` or `m`, repo | its length: who holds a file, as a blob or as a manifest |
//! | `manifests` | repo, digest | [`ManifestRow`](manifests::ManifestRow) |
//! | `needs` | repo, manifest, digest | nothing: the manifest refers to this |
//! | `needed` | repo, digest, manifest | the same, the other way round |
//! | `tags` | repo, tag | digest, and the registry time of the last push, in milliseconds |
//! | `tagged` | repo, digest, tag | the same, the other way round |
//! | `referrers` | repo, subject, digest | [`ReferrerRow`](manifests::ReferrerRow) |
//! | `leases` | digest | registry time until which it must not be collected, in milliseconds |
//! | `damaged` | digest | [`Damage`](damaged::Damage): a file that was found damaged, and is out of service |
//! | `usage` | repo | how many bytes it holds, each of its blobs and manifests counted once |
//! | `pulled` | repo, digest | the manifest is an upstream's copy; the registry time of its last pull, in milliseconds |
//! | `state` | name | registry time, cursor of the scrub, how many bytes are stored, whether copies are known |
//!
//! Uploads are not here: what there is to know of one is its file's length and its repository, and both stand in
//! `uploads/` without a flush.

pub(crate) mod blobs;
pub(crate) mod damaged;
pub(crate) mod database;
pub(crate) mod leases;
pub(crate) mod manifests;
pub(crate) mod pulled;
pub(crate) mod tables;
pub(crate) mod tags;
pub(crate) mod usage;
