//! The address book: which peers exist, in memory and in a file.
//!
//! At most 256 records. The file is written rarely (an SD card wears) and atomically; a file that cannot be
//! read is reported and replaced, because peers can be found again and a node that does not start cannot.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trustnet_ledger::codec::{self, CodecError};

use crate::jitter::Jitter;
use crate::pex::MAX_PEX_RECORDS;
use crate::reach::{Reach, is_dialable};
use crate::record::{MAX_RECORD_BYTES, PeerRecord};
use crate::{MAX_PEER_ADDRS, PeerId};

/// Most peers in the book.
pub(crate) const MAX_BOOK_RECORDS: usize = 256;
/// Longest file: version, count, and for each record its proved address and time of the last meeting.
const MAX_BOOK_BYTES: usize = 1 + 2 + MAX_BOOK_RECORDS * (MAX_RECORD_BYTES + 1 + 20 + 10);
const BOOK_VERSION: u8 = 1;

/// What is known of one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What it says of itself.
    pub(crate) record: PeerRecord,
    /// Where this node last reached it.
    pub(crate) proved: Option<SocketAddr>,
    /// When this node was last connected to it, in seconds since 1970; 0 is never.
    pub(crate) met: u64,
}

impl Entry {
    /// Where to try, best first: at most [`MAX_PEER_ADDRS`].
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        let mut addrs: Vec<SocketAddr> = self.proved.into_iter().collect();
        for addr in &self.record.addrs {
            if !addrs.contains(addr) {
                addrs.push(*addr);
            }
        }
        addrs.truncate(MAX_PEER_ADDRS);
        addrs
    }
}

/// Why a book file was not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BookError {
    /// The system could not read or write it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Its content is damaged.
    #[error("{0}")]
    Codec(#[from] CodecError),
}

#[derive(Serialize, Deserialize)]
struct BookFile {
    version: u8,
    entries: Vec<Entry>,
}

/// The known peers.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: BTreeMap<PeerId, Entry>,
    changed: bool,
}

impl Book {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, id: &PeerId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The known peers, in order of their ids.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.entries.keys().copied()
    }

    /// Whether `record` (heard from somebody else) would tell something new. Ask before checking its
    /// signature.
    pub(crate) fn is_news(&self, record: &PeerRecord) -> bool {
        self.entries.get(&record.id).is_none_or(|known| known.record.seq < record.seq)
    }

    /// Takes a record heard from somebody else; its signature must have been checked. `keep` says which
    /// peers may not be forgotten for it. Says whether it was taken.
    pub(crate) fn hear(&mut self, record: PeerRecord, keep: impl Fn(&PeerId) -> bool) -> bool {
        if !self.is_news(&record) || record.addrs.is_empty() {
            return false;
        }
        if let Some(known) = self.entries.get_mut(&record.id) {
            known.record = record;
        } else {
            if !self.make_room(0, keep) {
                return false;
            }
            self.entries.insert(record.id, Entry { record, proved: None, met: 0 });
        }
        self.changed = true;
        true
    }

    /// Notes a peer that is connected at `now` (seconds since 1970), with the record from its greeting.
    /// That record replaces any other, even one with a greater number: a board without a clock may count
    /// from a smaller one after a restart.
    pub(crate) fn meet(
        &mut self,
        record: PeerRecord,
        proved: Option<SocketAddr>,
        now: u64,
        keep: impl Fn(&PeerId) -> bool,
    ) {
        let now = now.max(1);
        if let Some(known) = self.entries.get_mut(&record.id) {
            // A meeting alone is not worth a write.
            self.changed |= known.record != record || (proved.is_some() && known.proved != proved);
            known.record = record;
            known.proved = proved.or(known.proved);
            known.met = now;
        } else if self.make_room(now, keep) {
            self.entries.insert(record.id, Entry { record, proved, met: now });
            self.changed = true;
        }
    }

    /// Forgets a peer that does not answer.
    pub(crate) fn forget(&mut self, id: &PeerId) {
        self.changed |= self.entries.remove(id).is_some();
    }

    /// Makes room for a peer met at `met`: the peer whose last meeting is longest ago goes. A stranger's
    /// inventions (never met) can thus never push out a peer that was real.
    fn make_room(&mut self, met: u64, keep: impl Fn(&PeerId) -> bool) -> bool {
        if self.entries.len() < MAX_BOOK_RECORDS {
            return true;
        }
        let oldest = self.entries.values().filter(|entry| !keep(&entry.record.id)).min_by_key(|e| e.met);
        match oldest.map(|entry| (entry.record.id, entry.met)) {
            Some((id, oldest)) if oldest <= met => {
                self.entries.remove(&id);
                true
            }
            _ => false,
        }
    }

    /// Up to 16 records for `asker`, chosen at random among the peers that this node has met.
    pub(crate) fn tell(&self, asker: PeerId, reach: Reach, jitter: &mut Jitter) -> Vec<PeerRecord> {
        let mut known: Vec<&PeerRecord> = self
            .entries
            .values()
            .filter(|e| e.met > 0 && e.record.id != asker && e.record.may_be_told(reach))
            .map(|e| &e.record)
            .collect();
        let count = known.len().min(MAX_PEX_RECORDS);
        for place in 0..count {
            let other = jitter.between(place as u64, known.len() as u64 - 1);
            known.swap(place, usize::try_from(other).unwrap_or(place));
        }
        known.into_iter().take(count).cloned().collect()
    }

    /// Whether there is something to write since the last [`Book::take_bytes`].
    pub(crate) fn has_changed(&self) -> bool {
        self.changed
    }

    /// The file's content; from here on the book counts as unchanged.
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        self.changed = false;
        codec::encode(&BookFile { version: BOOK_VERSION, entries: self.entries.values().cloned().collect() })
    }

    /// Reads a file's content; records that are not valid on this chain are left out.
    pub(crate) fn from_bytes(bytes: &[u8], chain_id: &str, own: PeerId) -> Result<Self, CodecError> {
        match bytes.first() {
            Some(&BOOK_VERSION) => {}
            Some(&version) => return Err(CodecError::Version(version)),
            None => return Err(CodecError::Malformed),
        }
        let file: BookFile = codec::decode(bytes, MAX_BOOK_BYTES)?;
        let entries = file
            .entries
            .into_iter()
            .take(MAX_BOOK_RECORDS)
            .filter(|entry| entry.record.id != own && entry.record.is_valid(chain_id))
            .filter(|entry| entry.proved.is_none_or(is_dialable))
            .map(|entry| (entry.record.id, entry))
            .collect();
        Ok(Self { entries, changed: false })
    }
}

/// Reads the book at `path`; a missing file is an empty book.
///
/// # Errors
/// [`BookError`] when the file cannot be read or is damaged.
pub(crate) fn load(path: &Path, chain_id: &str, own: PeerId) -> Result<Book, BookError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BOOK_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Book::from_bytes(&bytes, chain_id, own)?)
}

/// Writes a book's content to `path`, so that a power cut leaves the old or the new file.
///
/// # Errors
/// When the system cannot write there.
pub(crate) fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use trustnet_ledger::crypto::SecretKey;

    use super::*;

    const CHAIN: &str = "chain";

    fn secret(n: u16) -> SecretKey {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&n.to_le_bytes());
        SecretKey::from_seed(&seed)
    }

    fn record(n: u16, addr: &str, seq: u64) -> PeerRecord {
        PeerRecord::sign(&secret(n), CHAIN, vec![addr.parse().unwrap()], seq)
    }

    fn nobody(_: &PeerId) -> bool {
        false
    }

    fn own() -> PeerId {
        PeerId(secret(60_000).public())
    }

    #[test]
    fn what_is_heard_replaces_only_older_records_and_a_meeting_replaces_any() {
        let mut book = Book::default();
        let id = record(1, "10.0.0.1:1", 5).id;
        assert!(book.hear(record(1, "10.0.0.1:1", 5), nobody));
        assert!(!book.hear(record(1, "10.0.0.2:1", 5), nobody));
        assert!(book.hear(record(1, "10.0.0.3:1", 6), nobody));
        book.meet(record(1, "10.0.0.4:1", 2), Some("10.0.0.9:1".parse().unwrap()), 100, nobody);
        let addrs = book.get(&id).unwrap().addrs();
        assert_eq!(addrs, ["10.0.0.9:1".parse().unwrap(), "10.0.0.4:1".parse().unwrap()]);
    }

    #[test]
    fn inventions_of_strangers_never_push_out_a_peer_that_was_met() {
        let mut book = Book::default();
        for n in 0..200 {
            book.meet(record(n, "10.0.0.1:1", 1), None, 1000 + u64::from(n), nobody);
        }
        for n in 1000..1500 {
            book.hear(record(n, "10.0.0.1:1", 1), nobody);
        }
        assert_eq!(book.len(), MAX_BOOK_RECORDS);
        assert!((0..200).all(|n| book.get(&record(n, "10.0.0.1:1", 1).id).is_some()));
        for n in 2000..2100 {
            book.meet(record(n, "10.0.0.1:1", 1), None, 5000, nobody);
        }
        assert_eq!(book.len(), MAX_BOOK_RECORDS);
        assert!(book.get(&record(199, "10.0.0.1:1", 1).id).is_some());
        assert!(book.get(&record(0, "10.0.0.1:1", 1).id).is_none(), "the oldest meeting goes first");
    }

    #[test]
    fn reserved_peers_are_kept_even_when_never_met() {
        let mut book = Book::default();
        let reserved = record(7, "10.0.0.1:1", 1).id;
        book.hear(record(7, "10.0.0.1:1", 1), nobody);
        for n in 1000..1400 {
            book.meet(record(n, "10.0.0.1:1", 1), None, 9, |id| *id == reserved);
        }
        assert!(book.get(&reserved).is_some());
    }

    #[test]
    fn only_met_peers_in_reach_are_told_and_never_more_than_sixteen() {
        let mut book = Book::default();
        for n in 0..30 {
            book.meet(record(n, "10.0.0.1:1", 1), None, 1, nobody);
        }
        book.meet(record(50, "8.8.8.8:1", 1), None, 1, nobody);
        book.hear(record(51, "9.9.9.9:1", 1), nobody);
        let mut jitter = Jitter::new(1);
        let asker = record(50, "8.8.8.8:1", 1).id;
        let told = book.tell(asker, Reach::Private, &mut jitter);
        assert_eq!(told.len(), 16);
        assert!(told.iter().all(|record| record.id != asker));
        let mut ids: Vec<_> = told.iter().map(|r| r.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 16, "no record twice");
        let world = book.tell(record(1, "10.0.0.1:1", 1).id, Reach::Public, &mut jitter);
        assert_eq!(world, [record(50, "8.8.8.8:1", 1)]);
    }

    #[test]
    fn a_book_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net").join("peers");
        let mut book = Book::default();
        for n in 0..300 {
            book.meet(record(n, "10.0.0.1:1", 1), Some("10.0.0.2:2".parse().unwrap()), 7, nobody);
        }
        assert!(book.has_changed());
        save(&path, &book.take_bytes()).unwrap();
        assert!(!book.has_changed());
        let loaded = load(&path, CHAIN, own()).unwrap();
        assert_eq!(loaded.entries, book.entries);
        assert_eq!(load(&path, "another chain", own()).unwrap().len(), 0);
    }

    #[test]
    fn a_missing_file_is_empty_and_a_damaged_one_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers");
        assert_eq!(load(&path, CHAIN, own()).unwrap().len(), 0);
        for damage in [&b""[..], b"\x01", b"\x09\x00", b"\x01\x01garbage", &vec![1; MAX_BOOK_BYTES + 9]] {
            fs::write(&path, damage).unwrap();
            assert!(load(&path, CHAIN, own()).is_err(), "{} bytes", damage.len());
        }
    }
}
