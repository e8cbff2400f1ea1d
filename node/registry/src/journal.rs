//! What was done to a repository, one line each, in `repositories/<name>/_journal`.
//!
//! The metadata is what answers requests; the journals are what it can be made from again when it cannot be read.
//! A journal, rather than one small file for every manifest and tag, because a push then costs one flush of one file
//! that grows, not several new files with their folders; and text, because a person who has nothing else left can
//! read it:
//!
//! ```text
//! 5d1f04a2 link sha256:...
//! 09bb31c7 manifest sha256:... application/vnd.oci.image.manifest.v1+json
//! e2c48d10 copy sha256:... application/vnd.oci.image.manifest.v1+json
//! a3310f9e tag v1.2 sha256:...
//! 77c0d2aa untag v1.2
//! 10f6a001 delete sha256:...
//! 4cc19b55 unlink sha256:...
//! ```
//!
//! Each line begins with the first four bytes of the BLAKE3 hash of its rest. A line that fails this is the torn tail of
//! a crash, or damage; it is left out and counted.
//!
//! A journal that has grown much longer than it needs to be is written anew from the metadata, and so is one whose last
//! lines belong to a transaction that failed.
//!
//! Lines are written before the metadata commits. Those of manifests and tags are flushed first; a blob's is not, since
//! the flush of the manifest that needs it comes after it and covers it. So a journal may know of a change that was
//! never acknowledged, but always knows those that were.
//!
//! There is one exception. What is kept of an upstream comes the other way round, the manifest first, and its blobs'
//! lines may never be flushed by anything of ours. If power and metadata are both lost, such a blob's file may be there
//! while the repository does not hold it: it is fetched once more when somebody asks for it, or its upstream says that
//! it has it. Nothing that was acknowledged hangs on that line: a pull acknowledges nothing, nobody pushes to such a
//! repository, and a repository that mounts the blob from there says so in a journal of its own, which the flush of the
//! manifest that needs it covers as after a push. So a flush for each blob would cost every pull time, and save nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::blobs::ignore_missing;
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::files::{Files, ends_line};
use crate::layout;
use crate::limits::MAX_MEDIA_TYPE_BYTES;
use crate::name::{RepoName, Tag};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Link(Digest),
    Unlink(Digest),
    Manifest(Digest, String),
    /// A manifest of an upstream, which proves nothing about the blobs that it names.
    Copy(Digest, String),
    Delete(Digest),
    Tag(Tag, Digest),
    Untag(Tag),
}

impl Change {
    /// Whether the line has to be durable before the change is acknowledged.
    fn is_flushed(&self) -> bool {
        !matches!(self, Self::Link(_) | Self::Unlink(_))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (what, name) = (words.next()?, words.next()?);
        let change = match what {
            "link" => Self::Link(name.parse().ok()?),
            "unlink" => Self::Unlink(name.parse().ok()?),
            "manifest" => Self::Manifest(name.parse().ok()?, words.next()?.to_owned()),
            "copy" => Self::Copy(name.parse().ok()?, words.next()?.to_owned()),
            "delete" => Self::Delete(name.parse().ok()?),
            "tag" => Self::Tag(name.parse().ok()?, words.next()?.parse().ok()?),
            "untag" => Self::Untag(name.parse().ok()?),
            _ => return None,
        };
        words.next().is_none().then_some(change)
    }

    fn from_line(line: &[u8]) -> Option<Self> {
        let (sum, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        (sum == checksum(text)).then(|| Self::parse(text))?
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(digest) => write!(f, "link {digest}"),
            Self::Unlink(digest) => write!(f, "unlink {digest}"),
            Self::Manifest(digest, media_type) => write!(f, "manifest {digest} {media_type}"),
            Self::Copy(digest, media_type) => write!(f, "copy {digest} {media_type}"),
            Self::Delete(digest) => write!(f, "delete {digest}"),
            Self::Tag(tag, digest) => write!(f, "tag {tag} {digest}"),
            Self::Untag(tag) => write!(f, "untag {tag}"),
        }
    }
}

fn checksum(text: &str) -> String {
    hex::encode(&blake3::hash(text.as_bytes()).as_bytes()[..4])
}

fn line(change: &Change) -> String {
    let text = change.to_string();
    format!("{} {text}\n", checksum(&text))
}

/// What a repository holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) links: BTreeSet<Digest>,
    /// Media type by digest.
    pub(crate) manifests: BTreeMap<Digest, String>,
    /// Which of them are an upstream's, and name blobs that may not be here.
    pub(crate) copies: BTreeSet<Digest>,
    /// In which line each manifest came.
    pub(crate) pushed_at: BTreeMap<Digest, u64>,
    /// Blobs that were held once, and in which line that ended.
    pub(crate) unlinked_at: BTreeMap<Digest, u64>,
    pub(crate) tags: BTreeMap<Tag, Digest>,
    /// When each tag was last pushed: later ones have larger numbers.
    pub(crate) tagged_at: BTreeMap<Tag, u64>,
}

impl Contents {
    fn apply(&mut self, change: Change, line: u64) {
        match change {
            Change::Link(digest) => {
                self.unlinked_at.remove(&digest);
                self.links.insert(digest);
            }
            Change::Unlink(digest) => {
                self.links.remove(&digest);
                self.unlinked_at.insert(digest, line);
            }
            Change::Manifest(digest, media_type) => {
                self.pushed_at.insert(digest, line);
                self.manifests.insert(digest, media_type);
                self.copies.remove(&digest);
            }
            Change::Copy(digest, media_type) => {
                self.pushed_at.insert(digest, line);
                self.manifests.insert(digest, media_type);
                self.copies.insert(digest);
            }
            Change::Delete(digest) => {
                self.manifests.remove(&digest);
                self.pushed_at.remove(&digest);
                self.copies.remove(&digest);
                self.tags.retain(|_, tagged| *tagged != digest);
                let tags = &self.tags;
                self.tagged_at.retain(|tag, _| tags.contains_key(tag));
            }
            Change::Tag(tag, digest) => {
                self.tagged_at.insert(tag.clone(), line);
                self.tags.insert(tag, digest);
            }
            Change::Untag(tag) => {
                self.tags.remove(&tag);
                self.tagged_at.remove(&tag);
            }
        }
    }

    /// Whether a manifest that is there proves that a blob which it needs is held: one that was pushed does, unless the
    /// blob was given up later.
    pub(crate) fn is_proof(&self, manifest: &Digest, blob: &Digest) -> bool {
        let pushed_at = self.pushed_at.get(manifest);
        !self.copies.contains(manifest) && self.unlinked_at.get(blob) <= pushed_at
    }

    /// What leads here again. Of what was given up nothing is said: a manifest that lacks a blob is written as a copy.
    fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        let links = self.links.iter().map(|digest| Change::Link(*digest));
        let manifests = self.manifests.iter().map(|(digest, kind)| {
            let is_copy = self.copies.contains(digest);
            let change = if is_copy { Change::Copy } else { Change::Manifest };
            change(*digest, kind.clone())
        });
        // In the order of their pushes, which is all that is known of their age when they are read again.
        let mut tags: Vec<_> = self.tags.iter().collect();
        tags.sort_by_key(|(tag, _)| self.tagged_at.get(*tag));
        let tags = tags.into_iter().map(|(tag, digest)| Change::Tag(tag.clone(), *digest));
        links.chain(manifests).chain(tags)
    }
}

/// What a journal says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    pub(crate) contents: Contents,
    /// Lines read.
    pub(crate) lines: usize,
    /// Lines left out, since they are torn or damaged.
    pub(crate) bad_lines: usize,
}

/// The journals of all repositories.
#[derive(Clone)]
pub(crate) struct Journals {
    files: Arc<dyn Files>,
}

impl Journals {
    pub(crate) fn new(files: Arc<dyn Files>) -> Self {
        Self { files }
    }

    /// Adds lines to one repository's journal; durable when it returns if one of them has to be.
    pub(crate) fn append(&self, repo: &RepoName, changes: &[Change]) -> Result<()> {
        let name = layout::journal(repo);
        let failed = |action| {
            let path = self.files.describe(&name);
            move |error| RegistryError::io(action, &path, error)
        };
        let (file, is_new) = match self.files.open(&name, true) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.files.make_dir(&layout::repository(repo)).map_err(failed("create"))?;
                (self.files.create(&name).map_err(failed("create"))?, true)
            }
            Err(error) => return Err(failed("open")(error)),
        };
        let len = file.len().map_err(failed("measure"))?;
        let mut text = String::new();
        if !ends_line(&*file, len).map_err(failed("read"))? {
            // What a crash or a full disk left of the last line must not spoil this one.
            text.push('\n');
        }
        text.extend(changes.iter().map(line));
        file.write_at(text.as_bytes(), len).map_err(failed("write"))?;
        if changes.iter().any(Change::is_flushed) {
            file.sync().map_err(failed("flush"))?;
        }
        if is_new {
            self.files.sync_dir(&layout::repository(repo)).map_err(failed("flush"))?;
        }
        Ok(())
    }

    /// Reads one repository's journal.
    pub(crate) fn replay(&self, repo: &RepoName) -> Result<Replay> {
        let name = layout::journal(repo);
        let failed = |action| {
            let path = self.files.describe(&name);
            move |error| RegistryError::io(action, &path, error)
        };
        let file = match self.files.open(&name, false) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Replay::default()),
            file => file.map_err(failed("open"))?,
        };
        let mut replay = Replay::default();
        let mut rest = Vec::new();
        let take = |line: &[u8], replay: &mut Replay| match Change::from_line(line) {
            _ if line.is_empty() => {}
            Some(change) => {
                replay.lines += 1;
                replay.contents.apply(change, replay.lines as u64);
            }
            None => replay.bad_lines += 1,
        };
        crate::ingest::for_each_part(&*file, &self.files.describe(&name), |part| {
            let mut lines = part.split(|byte| *byte == b'\n');
            // No line is longer than this; damage that has no line ends must not fill the memory.
            if rest.len() < 2 * MAX_LINE_BYTES {
                rest.extend_from_slice(lines.next().unwrap_or_default());
            }
            for line in lines {
                take(&rest, &mut replay);
                rest = line.to_vec();
            }
        })?;
        take(&rest, &mut replay);
        Ok(replay)
    }

    /// Writes a journal anew, as what the metadata says; the caller keeps changes out. Unless `is_suspect`, only if it is
    /// longer than `min_bytes` and most of it was undone since.
    pub(crate) fn rewrite(
        &self,
        repo: &RepoName,
        contents: impl FnOnce() -> Result<Contents>,
        (is_suspect, min_bytes): (bool, u64),
    ) -> Result<bool> {
        let (name, new) = (layout::journal(repo), layout::journal_new(repo));
        let failed = |error| RegistryError::io("rewrite", &self.files.describe(&name), error);
        let len = match self.files.open(&name, false) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            file => file.and_then(|file| file.len()).map_err(failed)?,
        };
        if !is_suspect && len < min_bytes {
            return Ok(false);
        }
        let text: String = contents()?.changes().map(|change| line(&change)).collect();
        if !is_suspect && len < SLACK * text.len() as u64 {
            return Ok(false);
        }
        self.files.remove(&new).or_else(ignore_missing).map_err(failed)?;
        let file = self.files.create(&new).map_err(failed)?;
        file.write_at(text.as_bytes(), 0).map_err(failed)?;
        file.sync().map_err(failed)?;
        self.files.rename(&new, &name).map_err(failed)?;
        self.files.sync_dir(&layout::repository(repo)).map_err(failed)?;
        Ok(true)
    }

    /// The names of all repositories that have a journal, sorted.
    pub(crate) fn repositories(&self) -> Result<Vec<RepoName>> {
        let mut found = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(name) = folders.pop() {
            let folder = if name.is_empty() {
                layout::REPOSITORIES.to_owned()
            } else {
                format!("{}/{name}", layout::REPOSITORIES)
            };
            let entries = self.files.list(&folder);
            let entries = entries.map_err(|e| RegistryError::io("list", &self.files.describe(&folder), e))?;
            for entry in entries {
                if entry.is_dir {
                    folders.push(if name.is_empty() { entry.name } else { format!("{name}/{}", entry.name) });
                } else if entry.name == layout::JOURNAL
                    && let Ok(repo) = name.parse()
                {
                    found.push(repo);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A journal is written anew when it is so many times as long as it needs to be.
const SLACK: u64 = 4;
/// No line is longer: a checksum, a word, a digest of 135 characters and a media type or tag.
const MAX_LINE_BYTES: usize = 256 + MAX_MEDIA_TYPE_BYTES;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;
    use crate::files::OsFiles;

    fn journals() -> (tempfile::TempDir, Journals, Arc<dyn Files>) {
        let dir = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(OsFiles::new(dir.path()));
        (dir, Journals::new(Arc::clone(&files)), files)
    }

    fn digest(number: u8) -> Digest {
        Digest::of(Algorithm::Sha256, &[number])
    }

    #[test]
    fn lines_are_replayed_and_torn_ones_left_out() {
        let (_dir, journals, files) = journals();
        let repo: RepoName = "a/b".parse().unwrap();
        assert_eq!(journals.replay(&repo).unwrap(), Replay::default());
        let tag: Tag = "v1".parse().unwrap();
        let first = [
            Change::Link(digest(1)),
            Change::Manifest(digest(2), "x/y".to_owned()),
            Change::Tag(tag.clone(), digest(2)),
            Change::Copy(digest(4), "x/y".to_owned()),
        ];
        journals.append(&repo, &first).unwrap();
        let file = files.open(&layout::journal(&repo), true).unwrap();
        file.write_at(b"01234567 unlink sha2", file.len().unwrap()).unwrap();
        journals.append(&repo, &[Change::Link(digest(3))]).unwrap();
        let replay = journals.replay(&repo).unwrap();
        assert_eq!((replay.lines, replay.bad_lines), (5, 1));
        assert_eq!(replay.contents.copies, [digest(4)].into());
        assert_eq!(replay.contents.links, [digest(1), digest(3)].into());
        assert_eq!(replay.contents.tags, [(tag, digest(2))].into());
        journals.append(&repo, &[2, 4].map(|number| Change::Delete(digest(number)))).unwrap();
        journals.append(&repo, &[Change::Unlink(digest(1))]).unwrap();
        let contents = journals.replay(&repo).unwrap().contents;
        assert!(contents.tags.is_empty() && contents.manifests.is_empty() && contents.copies.is_empty());
        assert!(!journals.rewrite(&repo, || Ok(contents.clone()), (false, 1_000_000)).unwrap());
        assert!(journals.rewrite(&repo, || Ok(contents.clone()), (false, 1)).unwrap());
        assert!(!journals.rewrite(&repo, || Ok(contents.clone()), (false, 1)).unwrap());
        assert!(journals.rewrite(&repo, || Ok(contents.clone()), (true, 1)).unwrap());
        assert_eq!(contents.unlinked_at, [(digest(1), 8)].into());
        let contents = Contents { unlinked_at: BTreeMap::new(), ..contents };
        assert_eq!(journals.replay(&repo).unwrap(), Replay { contents, lines: 1, bad_lines: 0 });
        assert_eq!(journals.repositories().unwrap(), [repo]);
    }

    #[test]
    fn a_manifest_proves_that_its_blobs_are_held_until_they_are_given_up() {
        let kind = || "x/y".to_owned();
        let mut contents = Contents::default();
        let mut is_proof = |changes: Vec<Change>| {
            let begin = contents.pushed_at.values().chain(contents.unlinked_at.values()).max();
            let begin = begin.copied().unwrap_or_default();
            changes.into_iter().zip(begin + 1..).for_each(|(change, line)| contents.apply(change, line));
            [2, 3].map(|manifest| contents.is_proof(&digest(manifest), &digest(1)))
        };
        assert_eq!(
            is_proof(vec![Change::Manifest(digest(2), kind()), Change::Copy(digest(3), kind())]),
            [true, false]
        );
        assert_eq!(is_proof(vec![Change::Unlink(digest(1))]), [false, false]);
        // A push of the other one is taken only if the blob is held.
        assert_eq!(is_proof(vec![Change::Manifest(digest(3), kind())]), [false, true]);
        assert_eq!(is_proof(vec![Change::Unlink(digest(1)), Change::Link(digest(1))]), [true, true]);
    }

    #[test]
    fn a_changed_line_is_left_out() {
        let text = line(&Change::Untag("v1".parse().unwrap()));
        let text = text.trim_end();
        assert!(Change::from_line(text.as_bytes()).is_some());
        for at in 0..text.len() {
            let mut bad = text.as_bytes().to_vec();
            bad[at] ^= 1;
            assert_eq!(Change::from_line(&bad), None, "{at}");
        }
    }
}
