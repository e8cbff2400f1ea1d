//! The one way bytes become values: bounded, exact and canonical.
//!
//! postcard accepts padded integers, trailing bytes and so several encodings of one value. Here a
//! value is accepted only if encoding it again gives the very bytes received, so that a hash over
//! the bytes is a hash of the value.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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

/// Reads a list of at most `MAX` elements and gives up at the first one beyond, for
/// `#[serde(deserialize_with)]`. An empty byte string takes one byte on the wire and 32 in memory: a list that is
/// only counted once it is read can take many times its own length.
///
/// # Errors
/// The deserializer's, and one for a list that is too long.
pub fn at_most<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let announced = seq.size_hint().unwrap_or(0);
            if announced > MAX {
                return Err(A::Error::invalid_length(announced, &self));
            }
            let mut list = Vec::new();
            while let Some(element) = seq.next_element()? {
                if list.len() == MAX {
                    return Err(A::Error::invalid_length(MAX + 1, &self));
                }
                list.push(element);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(List::<T, MAX>(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Short {
        #[serde(deserialize_with = "at_most::<_, _, 3>")]
        list: Vec<u8>,
    }

    #[test]
    fn a_list_with_a_limit_is_refused_as_soon_as_it_is_longer() {
        assert_eq!(decode::<Short>(&[3, 1, 2, 3], 16), Ok(Short { list: vec![1, 2, 3] }));
        assert_eq!(decode::<Short>(&[0], 16), Ok(Short { list: vec![] }));
        assert_eq!(decode::<Short>(&[4, 1, 2, 3, 4], 16), Err(CodecError::Malformed));
        assert_eq!(decode::<Short>(&[0xff, 0xff, 0xff, 0x7f], 16), Err(CodecError::Malformed));
        // A format that does not announce lengths.
        assert!(serde_json::from_str::<Short>(r#"{"list":[1,2,3]}"#).is_ok());
        let error = serde_json::from_str::<Short>(r#"{"list":[1,2,3,4]}"#).map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("a list of at most 3 elements")));
    }

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
