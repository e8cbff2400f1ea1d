//! What the signer of a dead node had written down, read from its files as PROTOCOL section 17 describes them.

use std::path::Path;

use trustnet_engine::signer::SignRecord;

/// Log records begin at multiples of this, in bytes.
const PAGE_BYTES: usize = 4_096;
/// Copies of a record in `vote.lock` begin at multiples of this, in bytes.
const COPY_STEP_BYTES: usize = 2_048;
/// The echo of a vote begins at a multiple of this, in bytes, or later.
const SECTOR_BYTES: usize = 512;
/// An echo without its signer record, in bytes.
const ECHO_BYTES: usize = 48;
/// Length of the header of a record and of a slot, in bytes.
const HEADER_BYTES: usize = 96;
/// Bytes of a slot's header that its hash covers.
const HASHED_BYTES: usize = 64;
/// Kind of a log record that begins with a signer record.
const KIND_VOTE: u8 = 1;

/// The signer records in `vote.lock`, of both slots and every copy, as far as they are whole.
pub fn vote_lock(data: &Path) -> Vec<SignRecord> {
    let bytes = std::fs::read(data.join("vote.lock")).unwrap();
    let whole = |at: usize| {
        let slot = &bytes[at..];
        let record = slot.get(HEADER_BYTES..HEADER_BYTES + number(slot, 8))?;
        let hash = blake3::Hasher::new().update(&slot[..HASHED_BYTES]).update(record).finalize();
        let is_whole = slot.starts_with(b"TNVL") && slot[HASHED_BYTES..HEADER_BYTES] == *hash.as_bytes();
        // A slot in which nothing was ever signed is whole, too.
        if is_whole && !record.is_empty() { Some(SignRecord::decode(record).unwrap()) } else { None }
    };
    (0..bytes.len()).step_by(COPY_STEP_BYTES).filter_map(whole).collect()
}

/// The signer records in the log. Only for a log that a node has read, and so repaired, since it was last
/// killed: what is torn is cut off then.
pub fn log(data: &Path) -> Vec<SignRecord> {
    let mut segments: Vec<_> =
        std::fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    let mut records = Vec::new();
    for path in segments {
        let bytes = std::fs::read(&path).unwrap();
        let mut at = 0;
        while let Some(record) = bytes.get(at..).filter(|rest| rest.starts_with(b"TNLR")) {
            let (length, signed) = (number(record, 8), number(record, 12));
            let mut end = HEADER_BYTES + length;
            if record[5] == KIND_VOTE {
                let signer = SignRecord::decode(&record[HEADER_BYTES..HEADER_BYTES + signed]);
                records.push(signer.unwrap_or_else(|error| panic!("{} at {at}: {error}", path.display())));
                end = end.next_multiple_of(SECTOR_BYTES) + ECHO_BYTES + signed;
            }
            at += end.next_multiple_of(PAGE_BYTES);
        }
    }
    records
}

/// Four bytes, lowest first.
fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}
