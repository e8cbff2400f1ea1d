//! The one way bytes become values: bounded, exact and canonical.
//!
//! postcard accepts padded integers, trailing bytes and so several encodings of one value. Here a
//! value is accepted only if encoding it again gives the very bytes received, so that a hash over
//! the bytes is a hash of the value.

use serde::{Serialize, de::DeserializeOwned};

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than this kind of value may be.
    #[error("{len} bytes are more than the {max} allowed")]
    TooLong {
        /// Bytes received.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not an encoding of the value at all.
    #[error("the bytes are not a valid encoding")]
    Malformed,
    /// An encoding, but not the one canonical encoding.
    #[error("the bytes are not the canonical encoding")]
    NotCanonical,
    /// A version that this program does not know.
    #[error("version {0} is not known to this program; it may need an update")]
    Version(u8),
}

/// Encodes a value. Values of this project always encode: they hold no unsized or foreign parts.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("postcard encodes every value of known length into a Vec")
}

/// Decodes a value of at most `max` bytes and requires that they are its canonical encoding.
///
/// # Errors
/// [`CodecError`] when the bytes are too long, malformed or not canonical.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, CodecError> {
    if bytes.len() > max {
        return Err(CodecError::TooLong { len: bytes.len(), max });
    }
    let value: T = postcard::from_bytes(bytes).map_err(|_| CodecError::Malformed)?;
    if encode(&value) != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_integers_and_trailing_bytes_are_refused() {
        assert_eq!(decode::<u32>(&[0x80, 0x00], 16), Err(CodecError::NotCanonical));
        assert_eq!(decode::<u32>(&[5, 0xff], 16), Err(CodecError::NotCanonical));
        assert_eq!(decode::<u32>(&[5], 16), Ok(5));
    }

    #[test]
    fn length_is_checked_before_anything_is_decoded() {
        assert_eq!(decode::<Vec<u8>>(&[0; 9], 8), Err(CodecError::TooLong { len: 9, max: 8 }));
        assert_eq!(decode::<Vec<u64>>(&[0xff, 0xff, 0xff, 0x7f], 8), Err(CodecError::Malformed));
    }
}
