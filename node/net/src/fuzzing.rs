//! The decoders of what strangers send, for trustnet-fuzz: each takes any bytes and panics when a promise is broken.

use bytes::Bytes;
use trustnet_ledger::codec;
use trustnet_ledger::crypto::SecretKey;

use crate::book::Book;
use crate::frame::{Decoder, FrameError, HEADER_BYTES, Kind, Step, header};
use crate::hello::Hello;
use crate::reach::Reach;
use crate::record::{MAX_RECORD_BYTES, OwnRecord, PeerRecord};
use crate::{PeerId, pex};

/// Every kind, so that one decoder tries all lengths.
const KINDS: &[Kind] = &[
    Kind::Consensus,
    Kind::Gossip,
    Kind::Control,
    Kind::Hello,
    Kind::PexRequest,
    Kind::PexResponse,
    Kind::BulkRequest,
    Kind::BulkResponse,
];
/// The chain on which greetings and records hold.
const CHAIN_ID: &str = "fuzz";

fn secret() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn own_id() -> PeerId {
    PeerId(SecretKey::from_seed(&[2; 32]).public())
}

/// Frames of a stream that arrives in pieces of `cut` bytes: the same as in one piece.
///
/// # Panics
/// When cutting changes what is read, or more is given than came.
pub fn frames(stream: &[u8], cut: usize) {
    let whole = read(stream, stream.len());
    assert_eq!(whole, read(stream, cut));
    let bytes: usize = whole.0.iter().map(|(_, payload)| HEADER_BYTES + payload.len()).sum();
    assert!(bytes <= stream.len());
    let mut again = Vec::with_capacity(bytes);
    for (kind, payload) in &whole.0 {
        again.extend_from_slice(&header(*kind, payload.len()));
        again.extend_from_slice(payload);
    }
    assert_eq!(again, stream[..bytes], "one stream has one reading");
}

fn read(stream: &[u8], cut: usize) -> (Vec<(Kind, Bytes)>, Option<FrameError>) {
    let mut decoder = Decoder::new(KINDS);
    let mut frames = Vec::new();
    for piece in stream.chunks(cut.max(1)) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match decoder.push(&mut piece) {
                Ok(Step::More) => break,
                Ok(Step::Header { .. }) => {}
                Ok(Step::Frame { kind, payload }) => frames.push((kind, payload)),
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// A greeting.
///
/// # Panics
/// When one greeting has two encodings.
pub fn hello(bytes: &[u8]) {
    if let Ok(hello) = Hello::decode(bytes, CHAIN_ID, PeerId(secret().public())) {
        assert_eq!(hello.encode(), bytes);
    }
}

/// An answer of the peer exchange.
///
/// # Panics
/// When one answer has two encodings.
pub fn peer_exchange(bytes: &[u8]) {
    let Ok(records) = pex::decode(bytes) else { return };
    for record in &records {
        check_record(record);
    }
    assert_eq!(pex::encode(records), bytes);
}

/// The file of the address book.
///
/// # Panics
/// When what was read once cannot be read again.
pub fn address_book(bytes: &[u8]) {
    let Ok(mut book) = Book::from_bytes(bytes, CHAIN_ID, own_id()) else { return };
    let ids: Vec<PeerId> = book.ids().collect();
    assert!(!ids.contains(&own_id()));
    let again = Book::from_bytes(&book.take_bytes(), CHAIN_ID, own_id()).expect("a book reads its own file");
    assert!(ids.iter().all(|id| again.get(id) == book.get(id)) && ids.len() == again.len());
}

/// A peer's record with any content, as its own author would sign it.
///
/// # Panics
/// When a record that is accepted is out of bounds.
pub fn record(bytes: &[u8]) {
    let Ok(given) = codec::decode::<PeerRecord>(bytes, MAX_RECORD_BYTES) else { return };
    assert_eq!(codec::encode(&given), bytes);
    check_record(&given);
    let signed = PeerRecord::sign(&secret(), CHAIN_ID, given.addrs.clone(), given.seq);
    check_record(&signed);
    // What a node says of itself, from whatever it is configured with, is always accepted.
    let own = OwnRecord::new(secret(), CHAIN_ID.to_owned(), &given.addrs, given.seq);
    for reach in [Reach::Loopback, Reach::Private, Reach::Public] {
        let told = own.record_for(reach);
        assert!(told.is_valid(CHAIN_ID), "own record {told:?}");
        check_record(&told);
    }
}

fn check_record(record: &PeerRecord) {
    if record.is_valid(CHAIN_ID) {
        assert!(codec::encode(record).len() <= MAX_RECORD_BYTES);
        assert!(record.addrs.iter().all(|addr| addr.port() != 0));
        let mut book = Book::default();
        book.meet(record.clone(), None, 1, |_| false);
        assert_eq!(book.len(), 1);
    }
}

/// First inputs: a stream, a greeting, an answer, a book, a record, in this order.
pub fn seeds() -> [Vec<u8>; 5] {
    let addrs = ["203.0.113.7:26656", "10.0.0.1:26656", "[fd10::1]:26656"];
    let addrs: Vec<_> = addrs.iter().filter_map(|addr| addr.parse().ok()).collect();
    let record = PeerRecord::sign(&secret(), CHAIN_ID, addrs, 5);
    let other = PeerRecord::sign(&SecretKey::from_seed(&[3; 32]), CHAIN_ID, record.addrs.clone(), 9);
    let stream: Vec<u8> = KINDS
        .iter()
        .flat_map(|kind| {
            let len = kind.max_bytes().min(5);
            [header(*kind, len).as_slice(), &[7; 5][..len]].concat()
        })
        .collect();
    let hello = Hello::new(CHAIN_ID.to_owned(), record.clone(), b"app".to_vec()).encode();
    let mut book = Book::default();
    book.meet(record.clone(), record.addrs.first().copied(), 1_795_000_000, |_| false);
    book.hear(other.clone(), |_| false);
    let encoded = codec::encode(&record);
    [stream, hello, pex::encode(vec![record, other]), book.take_bytes(), encoded]
}
