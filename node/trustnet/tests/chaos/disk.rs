//! What the signer of a dead node had written down, read from its files as PROTOCOL section 17 describes them.

use std::path::Path;

use trustnet_engine::signer::SignRecord;

/// Records and slots begin at multiples of this, in bytes.
const PAGE_BYTES: usize = 4_096;
/// Length of the header of a record and of a slot, in bytes.
const HEADER_BYTES: usize = 96;
/// Bytes of a slot's header that its hash covers.
const HASHED_BYTES: usize = 64;
/// Kind of a log record that begins with a signer record.
const KIND_VOTE: u8 = 1;

/// The signer records of both slots of `vote.lock`, as far as they are whole.
pub fn vote_lock(data: &Path) -> Vec<SignRecord> {
    let bytes = std::fs::read(data.join("vote.lock")).unwrap();
    let whole = |page: &[u8]| {
        let record = page.get(HEADER_BYTES..HEADER_BYTES + number(page, 8))?;
        let hash = blake3::Hasher::new().update(&page[..HASHED_BYTES]).update(record).finalize();
        let is_whole = page.starts_with(b"TNVL") && page[HASHED_BYTES..HEADER_BYTES] == *hash.as_bytes();
        if is_whole { SignRecord::decode(record).ok() } else { None }
    };
    bytes.chunks_exact(PAGE_BYTES).filter_map(whole).collect()
}

/// The signer records that lie in the log. Only for a log that a node has read, and so repaired, since it was last
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
            let length = number(record, 8);
            if record[5] == KIND_VOTE {
                let payload = &record[HEADER_BYTES..HEADER_BYTES + length];
                let signed = SignRecord::decode(&payload[4..4 + number(payload, 0)]);
                records.push(signed.unwrap_or_else(|error| panic!("{} at {at}: {error}", path.display())));
            }
            at += (HEADER_BYTES + length).next_multiple_of(PAGE_BYTES);
        }
    }
    records
}

/// Four bytes, lowest first.
fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}
