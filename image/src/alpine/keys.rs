//! Alpine's public keys, and what they have signed.
//!
//! The two keys of the packages are those of `alpine-keys` for aarch64, byte for byte as Alpine publishes them; their
//! SHA-512 was compared with the one in Alpine's package sources. The release key is the RSA key inside the `OpenPGP`
//! certificate `0482 D840 22F5 2DF1 C4E7 CD43 293A CD09 07D9 495A`, which Alpine's download page names; a test computes
//! that fingerprint from it.

use base64::Engine;
use ring::signature;

/// Public keys of an Alpine: those that sign packages and indices, and the one that signs releases.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Sign packages and indices; known by the name of their file.
    pub packages: Vec<Key>,
    /// Signs releases.
    pub release: Key,
}

/// An RSA public key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its file's name, as signatures name it.
    pub name: String,
    n: Vec<u8>,
    e: Vec<u8>,
}

/// What was hashed before it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// Alpine's packages and indices, still.
    Sha1,
    /// Newer ones.
    Sha256,
    /// Releases.
    Sha384,
    /// Releases.
    Sha512,
}

impl Keys {
    /// Alpine's keys for aarch64.
    #[must_use]
    pub fn alpine() -> Self {
        let key =
            |name: &str, pem: &str| Key::from_pem(name, pem).expect("the embedded keys are well-formed");
        let old = "alpine-devel@lists.alpinelinux.org-58199dcc.rsa.pub";
        let now = "alpine-devel@lists.alpinelinux.org-616ae350.rsa.pub";
        Self {
            packages: vec![
                key(now, include_str!("keys/alpine-devel@lists.alpinelinux.org-616ae350.rsa.pub")),
                key(old, include_str!("keys/alpine-devel@lists.alpinelinux.org-58199dcc.rsa.pub")),
            ],
            release: key(
                "0482D84022F52DF1C4E7CD43293ACD0907D9495A",
                include_str!("keys/release-0482D84022F52DF1C4E7CD43293ACD0907D9495A.pub"),
            ),
        }
    }

    /// Whether `signature`, found in a file of the given name, is one of these keys' over `message`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, file: &str, message: &[u8], signature: &[u8]) -> Result<(), String> {
        let (hash, name) =
            [(".SIGN.RSA.", Hash::Sha1), (".SIGN.RSA256.", Hash::Sha256), (".SIGN.RSA512.", Hash::Sha512)]
                .into_iter()
                .find_map(|(prefix, hash)| Some((hash, file.strip_prefix(prefix)?)))
                .ok_or_else(|| format!("the signature {file:?} is of an unknown kind"))?;
        let key = self.packages.iter().find(|key| key.name == name);
        let key = key.ok_or_else(|| format!("it is signed by {name:?}, which is none of Alpine's keys"))?;
        if key.has_signed(hash, message, signature) {
            Ok(())
        } else {
            Err(format!("the signature of {name} does not fit: it was changed after it was signed"))
        }
    }
}

impl Key {
    /// The key of a PEM file (`BEGIN PUBLIC KEY`, RSA).
    #[must_use]
    pub fn from_pem(name: &str, pem: &str) -> Option<Self> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
        let (info, _) = der(&bytes, SEQUENCE)?;
        let (_algorithm, info) = der(info, SEQUENCE)?;
        let (bits, _) = der(info, BIT_STRING)?;
        let (key, _) = der(bits.strip_prefix(&[0])?, SEQUENCE)?;
        let (n, key) = der(key, INTEGER)?;
        let (e, _) = der(key, INTEGER)?;
        let number = |bytes: &[u8]| bytes.strip_prefix(&[0]).unwrap_or(bytes).to_vec();
        Some(Self { name: name.to_owned(), n: number(n), e: number(e) })
    }

    /// Length of the key, and so of its signatures, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.n.len()
    }

    /// Whether this key signed `message` (PKCS #1 v1.5).
    #[must_use]
    pub fn has_signed(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let how = match hash {
            Hash::Sha1 => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Hash::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Hash::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        };
        let key = signature::RsaPublicKeyComponents { n: &self.n, e: &self.e };
        key.verify(how, message, signature).is_ok()
    }
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
/// The most bytes in which a length may be written: a key is far smaller than 16 MiB.
const MAX_LENGTH_BYTES: usize = 3;

/// The content of a DER value with this tag, and what follows it.
fn der(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = input.strip_prefix(&[tag])?.split_first()?;
    if first < 0x80 {
        return rest.split_at_checked(first.into());
    }
    let count = usize::from(first & 0x7f);
    if count > MAX_LENGTH_BYTES {
        return None;
    }
    let (length, rest) = rest.split_at_checked(count)?;
    rest.split_at_checked(length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ring::digest;

    use super::*;
    use crate::alpine::testing;

    #[test]
    fn the_release_key_has_the_fingerprint_that_alpine_publishes() {
        /// When the key was made, in seconds since 1970: part of the fingerprint (RFC 4880, 12.2).
        const CREATED_UNIX_S: u32 = 1_418_203_196;
        let key = Keys::alpine().release;
        let number = |bytes: &[u8]| {
            let bits = bytes.len() * 8 - bytes[0].leading_zeros() as usize;
            [&(bits as u16).to_be_bytes(), bytes].concat()
        };
        let body = [&[4][..], &CREATED_UNIX_S.to_be_bytes(), &[1], &number(&key.n), &number(&key.e)].concat();
        let packet = [&[0x99][..], &(body.len() as u16).to_be_bytes(), &body].concat();
        let print = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &packet);
        assert_eq!(hex::encode_upper(print.as_ref()), key.name);
    }

    #[test]
    fn a_signature_as_abuild_makes_it_is_accepted_and_nothing_else() {
        // Made by `openssl dgst -sha1 -sign`, as abuild-sign does it.
        let signature = include_bytes!("test-data/message.sha1.sig");
        let (keys, message) = (testing::keys(), include_bytes!("test-data/message.txt"));
        let file = format!(".SIGN.RSA.{}", testing::KEY_NAME);
        keys.check(&file, message, signature).unwrap();
        assert!(keys.check(&file, b"other", signature).unwrap_err().contains("does not fit"));
        let stranger = keys.check(".SIGN.RSA.mallory.rsa.pub", message, signature).unwrap_err();
        assert!(stranger.contains("none of Alpine's keys"), "{stranger}");
        assert!(keys.check(".SIGN.DSA.x", message, signature).unwrap_err().contains("unknown kind"));
        let alpine = Keys::alpine().packages.remove(0);
        assert!(!alpine.has_signed(Hash::Sha1, message, signature));
    }

    #[test]
    fn what_is_no_key_is_none() {
        for pem in ["", "-----BEGIN PUBLIC KEY-----\nMIIB\n", "MAA=", "!"] {
            assert!(Key::from_pem("x", pem).is_none(), "{pem}");
        }
    }
}
