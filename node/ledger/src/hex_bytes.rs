//! Fixed-size byte strings: hex for people (JSON, command line), raw bytes on the wire.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserializer, Serializer};

/// Why a text is not the hex form of a fixed number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {digits} hex digits (0-9, a-f), with or without 0x before them")]
pub struct HexError {
    /// What was to be read, with its article.
    pub what: &'static str,
    /// How many digits it has.
    pub digits: usize,
}

/// Reads `N` bytes from hex, with or without `0x`.
pub(crate) fn parse<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], HexError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = [0; N];
    match hex::decode_to_slice(digits, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(HexError { what, digits: 2 * N }),
    }
}

/// Writes bytes one by one: on the wire exactly `N` bytes, without a length.
pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(bytes.len())?;
    for byte in bytes {
        tuple.serialize_element(byte)?;
    }
    tuple.end()
}

/// Reads what [`serialize`] wrote.
pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    deserializer.deserialize_tuple(N, ByteTuple::<N>)
}

/// Reads the hex form.
pub(crate) fn deserialize_hex<'de, const N: usize, D: Deserializer<'de>>(
    deserializer: D,
    what: &'static str,
) -> Result<[u8; N], D::Error> {
    deserializer.deserialize_str(HexText::<N>(what))
}

struct ByteTuple<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for ByteTuple<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut bytes = [0; N];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &self))?;
        }
        Ok(bytes)
    }
}

struct HexText<const N: usize>(&'static str);

impl<const N: usize> Visitor<'_> for HexText<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {} hex digits", self.0, 2 * N)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        parse(text, self.0).map_err(E::custom)
    }
}

/// Gives a newtype over `[u8; N]` its two serde forms and `FromStr`.
macro_rules! hex_bytes {
    ($name:ident, $size:literal, $what:literal) => {
        impl std::str::FromStr for $name {
            type Err = $crate::hex_bytes::HexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::hex_bytes::parse::<$size>(text, $what).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str(&hex::encode(self.0))
                } else {
                    $crate::hex_bytes::serialize(&self.0, serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    $crate::hex_bytes::deserialize_hex::<$size, D>(deserializer, $what).map(Self)
                } else {
                    $crate::hex_bytes::deserialize::<$size, D>(deserializer).map(Self)
                }
            }
        }
    };
}

pub(crate) use hex_bytes;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::crypto::{Hash32, PublicKey};

    #[test]
    fn people_see_hex_and_the_wire_carries_raw_bytes() {
        let key = PublicKey([0xab; 32]);
        assert_eq!(serde_json::to_string(&key).unwrap(), format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<PublicKey>(&format!("\"{}\"", "AB".repeat(32))).unwrap(), key);
        assert_eq!(crate::codec::encode(&key), vec![0xab; 32]);
    }

    #[test]
    fn short_long_and_strange_texts_are_refused_with_the_reason() {
        for text in ["", "0x", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            let error = text.parse::<Hash32>().unwrap_err();
            assert!(error.to_string().contains("64 hex digits"), "{text}: {error}");
        }
        assert!(format!("0x{}", "0".repeat(64)).parse::<Hash32>().is_ok());
    }
}
