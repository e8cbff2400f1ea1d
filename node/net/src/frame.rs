//! Frames: one byte of kind, three of length (big-endian), then the payload.
//!
//! The length is checked against the kind's maximum before anything is allocated, and memory then grows
//! with what the peer has really sent, not with what it announced.

use bytes::{Buf as _, Bytes};

use crate::config::{
    MAX_BULK_REQUEST_BYTES, MAX_BULK_RESPONSE_BYTES, MAX_CONSENSUS_FRAME_BYTES, MAX_CONTROL_FRAME_BYTES,
    MAX_GOSSIP_FRAME_BYTES,
};
use crate::event::Class;
use crate::hello::MAX_HELLO_BYTES;
use crate::pex::MAX_PEX_RESPONSE_BYTES;

/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 4;
/// First allocation for a payload; it doubles as bytes arrive.
const FIRST_ALLOCATION_BYTES: usize = 16 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Application, consensus stream.
    Consensus = 1,
    /// Application, gossip stream.
    Gossip = 2,
    /// Application, control stream.
    Control = 3,
    /// The greeting: first on the control stream, once.
    Hello = 4,
    /// Asks for records of other peers, control stream, empty.
    PexRequest = 5,
    /// Answers with records, control stream.
    PexResponse = 6,
    /// Asks for something, bulk stream.
    BulkRequest = 7,
    /// Answers, bulk stream.
    BulkResponse = 8,
}

impl Kind {
    /// Longest payload, in bytes. Each fits the 24 bits of the header.
    pub(crate) const fn max_bytes(self) -> usize {
        match self {
            Self::Consensus => MAX_CONSENSUS_FRAME_BYTES,
            Self::Gossip => MAX_GOSSIP_FRAME_BYTES,
            Self::Control => MAX_CONTROL_FRAME_BYTES,
            Self::Hello => MAX_HELLO_BYTES,
            Self::PexRequest => 0,
            Self::PexResponse => MAX_PEX_RESPONSE_BYTES,
            Self::BulkRequest => MAX_BULK_REQUEST_BYTES,
            Self::BulkResponse => MAX_BULK_RESPONSE_BYTES,
        }
    }
}

impl From<Class> for Kind {
    fn from(class: Class) -> Self {
        match class {
            Class::Consensus => Self::Consensus,
            Class::Gossip => Self::Gossip,
            Class::Control => Self::Control,
        }
    }
}

/// The header of a frame. The payload must not be longer than its kind allows.
pub(crate) fn header(kind: Kind, len: usize) -> [u8; HEADER_BYTES] {
    debug_assert!(len <= kind.max_bytes(), "{len} bytes are too many for {kind:?}");
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [kind as u8, len[1], len[2], len[3]]
}

/// Why a peer's bytes are no frame. Each ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// A kind that does not exist, or not on this stream.
    #[error("a frame of kind {0} does not belong on this stream")]
    Kind(u8),
    /// Longer than its kind may be.
    #[error("a frame of kind {kind} and {len} bytes is too long")]
    TooLong {
        /// The kind's byte.
        kind: u8,
        /// The announced length.
        len: usize,
    },
}

/// What a decoder found in the bytes given to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything was taken; more is needed.
    More,
    /// A header was read; the caller may make room before it goes on.
    Header {
        /// Length of the payload to come.
        len: usize,
    },
    /// A frame is complete.
    Frame {
        /// Its kind.
        kind: Kind,
        /// Its payload, in memory of its own: keeping it keeps nothing else.
        payload: Bytes,
    },
}

/// Takes a stream's bytes in pieces of any size and gives frames.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Kinds that belong on this stream.
    allowed: &'static [Kind],
    header: [u8; HEADER_BYTES],
    /// How much of `header` is filled; a payload follows when it is full.
    header_filled: usize,
    kind: Kind,
    len: usize,
    payload: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new(allowed: &'static [Kind]) -> Self {
        let kind = allowed.first().copied().unwrap_or(Kind::Control);
        Self { allowed, header: [0; HEADER_BYTES], header_filled: 0, kind, len: 0, payload: Vec::new() }
    }

    /// Whether a frame has begun and is not complete.
    pub(crate) fn is_inside_frame(&self) -> bool {
        self.header_filled > 0
    }

    /// Takes bytes from the front of `input` up to the next header or frame.
    pub(crate) fn push(&mut self, input: &mut Bytes) -> Result<Step, FrameError> {
        if self.header_filled < HEADER_BYTES {
            let take = input.len().min(HEADER_BYTES - self.header_filled);
            self.header[self.header_filled..self.header_filled + take].copy_from_slice(&input[..take]);
            self.header_filled += take;
            input.advance(take);
            if self.header_filled < HEADER_BYTES {
                return Ok(Step::More);
            }
            self.open()?;
            return Ok(Step::Header { len: self.len });
        }
        if self.payload.is_empty() && input.len() >= self.len {
            let payload = Bytes::copy_from_slice(&input[..self.len]);
            input.advance(self.len);
            return Ok(self.complete(payload));
        }
        let take = input.len().min(self.len - self.payload.len());
        self.grow(take);
        self.payload.extend_from_slice(&input[..take]);
        input.advance(take);
        if self.payload.len() < self.len {
            return Ok(Step::More);
        }
        let payload = Bytes::from(std::mem::take(&mut self.payload));
        Ok(self.complete(payload))
    }

    fn open(&mut self) -> Result<(), FrameError> {
        let [kind, a, b, c] = self.header;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        self.kind =
            self.allowed.iter().copied().find(|known| *known as u8 == kind).ok_or(FrameError::Kind(kind))?;
        if len > self.kind.max_bytes() {
            return Err(FrameError::TooLong { kind, len });
        }
        self.len = len;
        Ok(())
    }

    fn complete(&mut self, payload: Bytes) -> Step {
        self.header_filled = 0;
        Step::Frame { kind: self.kind, payload }
    }

    /// Makes room for `more` bytes: at most doubles, and never beyond the announced length.
    fn grow(&mut self, more: usize) {
        let needed = self.payload.len() + more;
        if needed > self.payload.capacity() {
            let doubled = (2 * self.payload.capacity()).max(FIRST_ALLOCATION_BYTES);
            let target = doubled.max(needed).min(self.len);
            self.payload.reserve_exact(target - self.payload.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONSENSUS: &[Kind] = &[Kind::Consensus];
    const ALL: &[Kind] = &[
        Kind::Consensus,
        Kind::Gossip,
        Kind::Control,
        Kind::Hello,
        Kind::PexRequest,
        Kind::PexResponse,
        Kind::BulkRequest,
        Kind::BulkResponse,
    ];

    fn decode(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<(Kind, Bytes)>, FrameError> {
        let mut input = Bytes::copy_from_slice(bytes);
        let mut frames = Vec::new();
        loop {
            match decoder.push(&mut input)? {
                Step::More => return Ok(frames),
                Step::Header { .. } => {}
                Step::Frame { kind, payload } => frames.push((kind, payload)),
            }
        }
    }

    #[test]
    fn golden_header_bytes() {
        assert_eq!(header(Kind::Consensus, 0x01_02_03), [1, 1, 2, 3]);
        assert_eq!(header(Kind::Gossip, 5), [2, 0, 0, 5]);
        assert_eq!(header(Kind::BulkResponse, MAX_BULK_RESPONSE_BYTES), [8, 0x40, 0, 0]);
    }

    #[test]
    fn an_empty_frame_is_a_frame() {
        let mut decoder = Decoder::new(CONSENSUS);
        assert_eq!(decode(&mut decoder, &[1, 0, 0, 0]), Ok(vec![(Kind::Consensus, Bytes::new())]));
        assert!(!decoder.is_inside_frame());
    }

    #[test]
    fn a_kind_of_another_stream_is_refused() {
        let mut decoder = Decoder::new(CONSENSUS);
        assert_eq!(decode(&mut decoder, &[2, 0, 0, 0]), Err(FrameError::Kind(2)));
        assert_eq!(decode(&mut Decoder::new(ALL), &[9, 0, 0, 0]), Err(FrameError::Kind(9)));
        assert_eq!(decode(&mut Decoder::new(ALL), &[0, 0, 0, 0]), Err(FrameError::Kind(0)));
    }

    #[test]
    fn the_length_is_refused_from_the_header_alone() {
        for kind in ALL {
            let len = kind.max_bytes() + 1;
            let be = u32::try_from(len).unwrap().to_be_bytes();
            let result = decode(&mut Decoder::new(ALL), &[*kind as u8, be[1], be[2], be[3]]);
            assert_eq!(result, Err(FrameError::TooLong { kind: *kind as u8, len }));
        }
    }

    #[test]
    fn memory_follows_what_was_sent_and_not_what_was_announced() {
        let mut decoder = Decoder::new(CONSENSUS);
        assert_eq!(decode(&mut decoder, &header(Kind::Consensus, MAX_CONSENSUS_FRAME_BYTES)), Ok(vec![]));
        assert_eq!(decode(&mut decoder, &[0; 10]), Ok(vec![]));
        assert!(decoder.payload.capacity() <= FIRST_ALLOCATION_BYTES);
        assert!(decoder.is_inside_frame());
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..8),
            cuts in prop::collection::vec(1usize..700, 1..20),
        ) {
            let mut wire = Vec::new();
            for payload in &payloads {
                wire.extend_from_slice(&header(Kind::Gossip, payload.len()));
                wire.extend_from_slice(payload);
            }
            let mut decoder = Decoder::new(&[Kind::Gossip]);
            let mut frames = Vec::new();
            let mut rest = wire.as_slice();
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                frames.extend(decode(&mut decoder, piece).unwrap());
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            let got: Vec<Vec<u8>> = frames.into_iter().map(|(_, payload)| payload.to_vec()).collect();
            prop_assert_eq!(got, payloads);
            prop_assert!(!decoder.is_inside_frame());
        }

        #[test]
        fn arbitrary_bytes_never_panic_nor_give_more_than_they_hold(
            bytes in prop::collection::vec(any::<u8>(), 0..4096),
        ) {
            let mut decoder = Decoder::new(ALL);
            if let Ok(frames) = decode(&mut decoder, &bytes) {
                let total: usize = frames.iter().map(|(_, payload)| payload.len() + HEADER_BYTES).sum();
                prop_assert!(total <= bytes.len());
            }
        }
    }
}
