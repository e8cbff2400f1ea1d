//! The decoders of what lies on the disk, for trustnet-fuzz: each takes any bytes and panics when a promise is broken.

use crate::echo::Echo;
use crate::log::{Placed, Pos};
use crate::meta::{Meta, Row};
use crate::payload::Payload;
use crate::record::{Draft, HEADER_BYTES, Header, Kind, Link, LogKey, PAGE_BYTES, seal};
use crate::signer::{Mark, Slot};

const KEY: LogKey = [7; 32];

/// A record of the log, as it is and with a hash that holds.
///
/// # Panics
/// When what was sealed does not open, or holds other bytes than were put in.
pub fn record(bytes: &[u8]) {
    let Some(header) = Header::parse(bytes) else { return };
    assert!(header.padded().is_multiple_of(PAGE_BYTES as u64) && header.padded() >= header.total() as u64);
    assert!(!header.is_sealed(&KEY, bytes) || bytes.len() == header.total());
    let payload = &bytes[HEADER_BYTES..bytes.len().min(header.total())];
    let Some(parsed) = Payload::parse(&header, payload) else { return };
    let (kind, sign) = match parsed {
        Payload::Vote { sign, .. } => (Kind::Vote, sign),
        Payload::Block(_) => (Kind::Block, &[][..]),
        Payload::Commit(_) => (Kind::Commit, &[][..]),
        Payload::Roll(_) => (Kind::Roll, &[][..]),
    };
    let Header { height, seq, durable, signer, prev, .. } = header;
    let draft = Draft { kind, height, seq, durable, signer, prev };
    let mut page = Vec::new();
    let sealed = seal(&mut page, &KEY, &draft, sign, &[&payload[sign.len()..]]);
    let read = Header::parse(&page).expect("a sealed record has a header");
    assert_eq!(read, sealed);
    assert_eq!(page.len() as u64, read.padded());
    assert!(read.is_sealed(&KEY, &page[..read.total()]));
    assert_eq!(
        (read.height, read.seq, read.durable, read.signer, read.prev),
        (height, seq, durable, signer, prev)
    );
    assert_eq!(Payload::parse(&read, &page[HEADER_BYTES..read.total()]), Some(parsed));
    assert_eq!(Echo::parse(&KEY, &page).map(|echo| echo.sign), (kind == Kind::Vote).then_some(sign));
    let before = Link { seq: seq.wrapping_sub(1), hash: prev };
    assert_eq!(read.follows(&before), seq > 0);
}

/// A slot of `vote.lock`, as it is and with a hash that holds.
///
/// # Panics
/// When a slot does not read back as it was written.
pub fn slot(bytes: &[u8]) {
    let mut slot = [0; 2 * PAGE_BYTES];
    let len = bytes.len().min(slot.len());
    slot[..len].copy_from_slice(&bytes[..len]);
    for sealed in [false, true] {
        if sealed {
            Slot::reseal(&mut slot);
        }
        if let Ok((read, _)) = Slot::read(&slot) {
            assert_eq!(Slot::read(&read.encode()), Ok((read, true)));
        }
    }
}

/// The meta row and a row of the block table.
///
/// # Panics
/// When one value has two encodings.
pub fn rows(bytes: &[u8]) {
    if let Ok(meta) = Meta::decode(bytes) {
        assert_eq!(meta.encode(), bytes);
    }
    if let Some(row) = Row::decode(bytes) {
        assert_eq!(row.encode(), bytes);
        assert!(row.first_segment() <= row.block.segment);
    }
}

/// First inputs: a record, a slot, a meta row, a block row, in this order.
pub fn seeds() -> [Vec<u8>; 4] {
    let mut record = Vec::new();
    let draft = Draft { kind: Kind::Vote, height: 3, seq: 9, durable: 8, signer: 7, prev: [1; 16] };
    seal(&mut record, &KEY, &draft, b"abc", &[&[2; 32], b"block"]);
    record.truncate(HEADER_BYTES + 40);
    let slot = Slot { mark: Mark::Signed, seq: 9, log_durable: 8, chain: [1; 32], sign: b"signed".to_vec() };
    let mut page = slot.encode();
    page.truncate(HEADER_BYTES + 6);
    let pos = Pos { segment: 1, offset: 4096 };
    let meta = Meta {
        chain: [1; 32],
        key: KEY,
        height: 3,
        floor: Placed { pos, before: Link { seq: 6, hash: [7; 16] } },
        floor_bytes: 8192,
        floor_height: 3,
        durable: 9,
        signer: 10,
        first_segment: 1,
    };
    [record, page, meta.encode(), Row { hash: [9; 32], block: pos, commit: pos }.encode()]
}
