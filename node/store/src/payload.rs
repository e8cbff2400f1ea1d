//! What is in a record of the log.
//!
//! By the record's kind:
//! * vote: the signer record, then either nothing or block hash (32 bytes) and block;
//! * block: block hash (32 bytes), block;
//! * commit: block hash (32 bytes), certificate;
//! * roll: length of the next segment (8 bytes), in which the log goes on: so a segment that is missing or was cut is
//!   noticed, whatever was in it. There is always room for one at the end of a segment.

use crate::record::{HASH_BYTES, Header, Kind};

/// A block inside a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockPart<'a> {
    pub(crate) hash: [u8; 32],
    /// The block; in a commit record the certificate.
    pub(crate) bytes: &'a [u8],
}

/// A payload, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Payload<'a> {
    Vote {
        sign: &'a [u8],
        block: Option<BlockPart<'a>>,
    },
    Block(BlockPart<'a>),
    Commit(BlockPart<'a>),
    /// Length of the next segment in bytes.
    Roll(u64),
}

impl<'a> Payload<'a> {
    /// Takes a payload apart. `None` if it is too short for its kind, which a sealed record never is, or of a kind
    /// that a later version knows.
    pub(crate) fn parse(header: &Header, payload: &'a [u8]) -> Option<Self> {
        match Kind::from_byte(header.kind)? {
            Kind::Vote => {
                let (sign, rest) = payload.split_at_checked(header.sign_len as usize)?;
                let block = if rest.is_empty() { None } else { Some(block_part(rest)?) };
                Some(Self::Vote { sign, block })
            }
            Kind::Block => Some(Self::Block(block_part(payload)?)),
            Kind::Commit => Some(Self::Commit(block_part(payload)?)),
            Kind::Roll => Some(Self::Roll(u64::from_le_bytes(payload.try_into().ok()?))),
        }
    }

    /// The block in it, or the certificate.
    pub(crate) fn part(&self, is_block: bool) -> Option<BlockPart<'a>> {
        match self {
            Self::Commit(certificate) => Some(*certificate).filter(|_| !is_block),
            _ => self.block().filter(|_| is_block),
        }
    }

    /// The block in it: of a block record, or of a vote that carries one.
    pub(crate) fn block(&self) -> Option<BlockPart<'a>> {
        match self {
            Self::Vote { block, .. } => *block,
            Self::Block(block) => Some(*block),
            Self::Commit(_) | Self::Roll(_) => None,
        }
    }
}

fn block_part(bytes: &[u8]) -> Option<BlockPart<'_>> {
    let (hash, bytes) = bytes.split_first_chunk::<HASH_BYTES>()?;
    Some(BlockPart { hash: *hash, bytes })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::{Draft, seal};

    #[test]
    fn payloads_too_short_for_their_kind_and_unknown_kinds_are_refused() {
        let header = |kind, sign_len| {
            let mut out = Vec::new();
            let draft = Draft { kind: Kind::Block, height: 1, seq: 2, durable: 1, signer: 0, prev: [0; 16] };
            let header = seal(&mut out, &[7; 32], &draft, &[], &[&[1; 32]]);
            Header { kind, sign_len, ..header }
        };
        assert_eq!(Payload::parse(&header(1, 4), &[0; 3]), None);
        assert_eq!(Payload::parse(&header(1, 1), &[1, 9]), None);
        assert_eq!(Payload::parse(&header(2, 0), &[0; 31]), None);
        assert_eq!(Payload::parse(&header(3, 0), &[]), None);
        assert_eq!(Payload::parse(&header(4, 0), &[0; 64]), None);
        assert_eq!(Payload::parse(&header(4, 0), &7u64.to_le_bytes()), Some(Payload::Roll(7)));
        assert_eq!(Payload::parse(&header(5, 0), &[0; 64]), None);
        let alone = Payload::parse(&header(1, 1), &[9]);
        assert_eq!(alone, Some(Payload::Vote { sign: &[9], block: None }));
    }
}
