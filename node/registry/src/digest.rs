//! Content digests: which algorithm, which bytes, and the hashing itself.
//!
//! SHA-256 and SHA-512 are the two algorithms that the image specification registers. `ring` computes them: its
//! assembly is also fast on boards without the processor's own SHA instructions (a Raspberry Pi 4).

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256, SHA512};

/// Length of the longest digest, in bytes.
const MAX_DIGEST_BYTES: usize = 64;

/// A hash algorithm that content may be named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, what everything uses unless it says otherwise.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Its name, as it stands before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of its digests, in bytes.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The first byte of its digests in keys of the metadata.
    fn tag(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(name: &str) -> Result<Self, DigestError> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or(DigestError::Unsupported)
    }
}

/// Why a text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not `algorithm:hex`, or hex of the wrong length, or in capitals.
    #[error("a digest is written as sha256: and 64, or sha512: and 128 lowercase hexadecimal digits")]
    Malformed,
    /// An algorithm other than SHA-256 and SHA-512.
    #[error("only sha256 and sha512 digests are supported")]
    Unsupported,
}

/// The name of some content: an algorithm and its hash of the content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero after the algorithm's length.
    bytes: [u8; MAX_DIGEST_BYTES],
}

impl Digest {
    /// The digest of `content`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    fn from_slice(algorithm: Algorithm, hash: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_DIGEST_BYTES];
        if hash.len() != algorithm.digest_bytes() {
            return None;
        }
        bytes[..hash.len()].copy_from_slice(hash);
        Some(Self { algorithm, bytes })
    }

    /// A digest from an algorithm and hexadecimal digits.
    ///
    /// # Errors
    /// [`DigestError::Malformed`] for the wrong number of digits, or anything that is not a lowercase digit.
    pub fn from_hex(algorithm: Algorithm, digits: &str) -> Result<Self, DigestError> {
        if digits.len() != 2 * algorithm.digest_bytes()
            || digits.bytes().any(|byte| byte.is_ascii_uppercase())
        {
            return Err(DigestError::Malformed);
        }
        let hash = hex::decode(digits).map_err(|_| DigestError::Malformed)?;
        Self::from_slice(algorithm, &hash).ok_or(DigestError::Malformed)
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.digest_bytes()]
    }

    /// The hash in lowercase hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(self.as_bytes())
    }

    /// The digest as part of a key: one byte for the algorithm, then the hash. Its first byte says its length, so
    /// keys of several parts stay unambiguous.
    pub(crate) fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + MAX_DIGEST_BYTES);
        key.push(self.algorithm.tag());
        key.extend_from_slice(self.as_bytes());
        key
    }

    /// Takes a digest off the front of a key; gives it and the rest.
    pub(crate) fn split_key(key: &[u8]) -> Option<(Self, &[u8])> {
        let (tag, rest) = key.split_first()?;
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.tag() == *tag)?;
        let (hash, rest) = rest.split_at_checked(algorithm.digest_bytes())?;
        Some((Self::from_slice(algorithm, hash)?, rest))
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, digits) = text.split_once(':').ok_or(DigestError::Malformed)?;
        Self::from_hex(algorithm.parse()?, digits)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A hash in the making.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: Context,
}

impl Hasher {
    /// A hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let context = Context::new(match algorithm {
            Algorithm::Sha256 => &SHA256,
            Algorithm::Sha512 => &SHA512,
        });
        Self { algorithm, context }
    }

    /// Which algorithm it computes.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Adds `content` at the end.
    pub fn update(&mut self, content: &[u8]) {
        self.context.update(content);
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        let hash = self.context.finish();
        Digest::from_slice(self.algorithm, hash.as_ref())
            .expect("ring gives hashes of the algorithm's length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn text_and_back() {
        let empty = Digest::of(Algorithm::Sha256, b"");
        assert_eq!(empty.to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(empty));
        let long = Digest::of(Algorithm::Sha512, b"abc");
        assert!(long.to_string().starts_with("sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"));
        assert_eq!(long.to_string().parse(), Ok(long));
    }

    #[test]
    fn anything_else_is_refused() {
        let digits = &EMPTY[7..];
        for bad in ["", ":", "sha256", "sha256:", "sha256:baddigeststring", "SHA256:00", digits] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        assert_eq!(
            format!("sha256:{}", digits.to_uppercase()).parse::<Digest>(),
            Err(DigestError::Malformed)
        );
        assert_eq!(format!("sha256:{digits}0").parse::<Digest>(), Err(DigestError::Malformed));
        assert_eq!(format!("sha512:{digits}").parse::<Digest>(), Err(DigestError::Malformed));
        assert_eq!(format!("sha256:{}é", &digits[2..]).parse::<Digest>(), Err(DigestError::Malformed));
        assert_eq!(format!("md5:{digits}").parse::<Digest>(), Err(DigestError::Unsupported));
    }

    #[test]
    fn keys_say_their_own_length() {
        for algorithm in Algorithm::ALL {
            let digest = Digest::of(algorithm, b"x");
            let mut key = digest.key();
            key.extend_from_slice(b"rest");
            assert_eq!(Digest::split_key(&key), Some((digest, b"rest".as_slice())));
            assert_eq!(Digest::split_key(&key[..20]), None);
        }
        assert_eq!(Digest::split_key(b""), None);
        assert_eq!(Digest::split_key(&[9; 40]), None);
    }
}
