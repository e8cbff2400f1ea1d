//! The one row of `state.redb` that says which chain this is and where the log has to be read from.
//!
//! Integers are little endian.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 1 | format version, 1 |
//! | 1 | 32 | chain: hash of the genesis |
//! | 33 | 32 | key of the log's hashes |
//! | 65 | 8 | height of the checkpoint |
//! | 73 | 8, 4 | segment and offset in it from which the log is read at a start |
//! | 85 | 8, 16 | seq and half hash of the record before that place |
//! | 109 | 8 | height of the record before that place |
//! | 117 | 8 | seq of the last flushed log record |
//! | 125 | 8 | seq of the newest flushed signer record |
//! | 133 | 8 | first segment that is still needed |
//! | 141 | 8 | length in bytes of the segment from which the log is read |

use crate::log::{Placed, Pos};
use crate::record::{Link, LogKey};

/// Length of the row in bytes.
pub(crate) const META_BYTES: usize = 149;
/// Length of a row of the block table in bytes.
pub(crate) const ROW_BYTES: usize = 56;
const VERSION: u8 = 1;

/// What must be known before the log can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) chain: [u8; 32],
    pub(crate) key: LogKey,
    /// Height of the checkpoint.
    pub(crate) height: u64,
    /// From here the log is read at a start.
    pub(crate) floor: Placed,
    /// Length of the segment of `floor` in bytes.
    pub(crate) floor_bytes: u64,
    /// Height of the record before `floor`.
    pub(crate) floor_height: u64,
    /// Seq of the last flushed log record.
    pub(crate) durable: u64,
    /// Seq of the newest flushed signer record.
    pub(crate) signer: u64,
    /// Segments below this are free.
    pub(crate) first_segment: u64,
}

/// Why the row cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadMeta {
    Malformed,
    Newer(u8),
}

/// Takes fields off the front of fixed-length bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn pos(&mut self) -> Option<Pos> {
        let segment = self.number()?;
        Some(Pos { segment, offset: u32::from_le_bytes(self.take()?) })
    }
}

fn put_pos(out: &mut Vec<u8>, pos: Pos) {
    out.extend_from_slice(&pos.segment.to_le_bytes());
    out.extend_from_slice(&pos.offset.to_le_bytes());
}

impl Meta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(META_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&self.chain);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.height.to_le_bytes());
        put_pos(&mut out, self.floor.pos);
        out.extend_from_slice(&self.floor.before.seq.to_le_bytes());
        out.extend_from_slice(&self.floor.before.hash);
        for number in [self.floor_height, self.durable, self.signer, self.first_segment, self.floor_bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadMeta> {
        match bytes.first() {
            Some(&VERSION) if bytes.len() == META_BYTES => {
                Self::fields(&bytes[1..]).ok_or(BadMeta::Malformed)
            }
            Some(&version) if version > VERSION => Err(BadMeta::Newer(version)),
            _ => Err(BadMeta::Malformed),
        }
    }

    fn fields(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (chain, key, height) = (fields.take()?, fields.take()?, fields.number()?);
        let pos = fields.pos()?;
        let before = Link { seq: fields.number()?, hash: fields.take()? };
        Some(Self {
            chain,
            key,
            height,
            floor: Placed { pos, before },
            floor_height: fields.number()?,
            durable: fields.number()?,
            signer: fields.number()?,
            first_segment: fields.number()?,
            floor_bytes: fields.number()?,
        })
    }
}

/// A row of the block table: hash (32 bytes), then segment (8) and offset (4) of the block and of its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) hash: [u8; 32],
    pub(crate) block: Pos,
    pub(crate) commit: Pos,
}

impl Row {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ROW_BYTES);
        out.extend_from_slice(&self.hash);
        put_pos(&mut out, self.block);
        put_pos(&mut out, self.commit);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != ROW_BYTES {
            return None;
        }
        let mut fields = Fields(bytes);
        Some(Self { hash: fields.take()?, block: fields.pos()?, commit: fields.pos()? })
    }

    /// The lowest segment it needs.
    pub(crate) fn first_segment(&self) -> u64 {
        self.block.segment.min(self.commit.segment)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            chain: [1; 32],
            key: [2; 32],
            height: 3,
            floor: Placed { pos: Pos { segment: 4, offset: 5 }, before: Link { seq: 6, hash: [7; 16] } },
            floor_height: 8,
            durable: 9,
            signer: 10,
            first_segment: 11,
            floor_bytes: 12,
        }
    }

    #[test]
    fn bytes_of_the_meta_row_never_change() {
        let number = |value: u8| [value, 0, 0, 0, 0, 0, 0, 0];
        let expected = [
            [1].as_slice(),
            &[1; 32],
            &[2; 32],
            &number(3),
            &number(4),
            &[5, 0, 0, 0],
            &number(6),
            &[7; 16],
            &number(8),
            &number(9),
            &number(10),
            &number(11),
            &number(12),
        ]
        .concat();
        assert_eq!(meta().encode(), expected);
        assert_eq!(expected.len(), META_BYTES);
        assert_eq!(Meta::decode(&expected), Ok(meta()));
    }

    #[test]
    fn a_meta_row_that_is_not_ours_is_refused() {
        let mut bytes = meta().encode();
        assert_eq!(Meta::decode(&bytes[1..]), Err(BadMeta::Malformed));
        assert_eq!(Meta::decode(&[]), Err(BadMeta::Malformed));
        bytes[0] = 2;
        assert_eq!(Meta::decode(&bytes), Err(BadMeta::Newer(2)));
    }

    #[test]
    fn block_rows_read_back_and_other_lengths_are_refused() {
        let row = Row {
            hash: [9; 32],
            block: Pos { segment: 3, offset: 4096 },
            commit: Pos { segment: 4, offset: 0 },
        };
        assert_eq!(Row::decode(&row.encode()), Some(row));
        assert_eq!(Row::decode(&row.encode()[1..]), None);
        assert_eq!(row.first_segment(), 3);
    }
}
