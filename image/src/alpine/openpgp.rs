//! Detached `OpenPGP` signatures (RFC 4880) of one RSA key: what Alpine puts beside a release as `.asc`.
//!
//! Only as much as that needs: version 4, RSA, "signature of a binary document". The whole of what is signed is the
//! document, the signature's own hashed part, and a trailer with that part's length.

use base64::Engine;

use super::keys::{Hash, Key};

const VERSION: u8 = 4;
const OF_A_BINARY_DOCUMENT: u8 = 0;
const RSA: u8 = 1;
const SIGNATURE_TAG: u8 = 2;
/// The largest signature file, in bytes: one of a 4096-bit key has about 900.
const MAX_ARMOR_BYTES: usize = 64 * 1024;

/// Whether `armored` is a signature of `key` over `document`.
///
/// # Errors
/// What is wrong, in words.
pub fn check(key: &Key, document: &[u8], armored: &[u8]) -> Result<(), String> {
    let bytes = unarmor(armored).ok_or("the .asc file is no OpenPGP signature")?;
    let packet = packet(&bytes).ok_or("the .asc file holds no OpenPGP signature packet")?;
    let signature = Signature::read(packet).ok_or("the OpenPGP signature is malformed")?;
    let &[VERSION, OF_A_BINARY_DOCUMENT, RSA, hash, ..] = signature.hashed else {
        return Err("the OpenPGP signature is not an RSA signature of a file".into());
    };
    let hash = match hash {
        8 => Hash::Sha256,
        9 => Hash::Sha384,
        10 => Hash::Sha512,
        other => return Err(format!("the OpenPGP signature uses hash {other}, which is not accepted")),
    };
    let trailer = [&[VERSION, 0xff][..], &(signature.hashed.len() as u32).to_be_bytes()].concat();
    let message = [document, signature.hashed, &trailer].concat();
    // A number is written without leading zeros; a signature has as many bytes as the key.
    let padding = vec![0; key.bytes().saturating_sub(signature.number.len())];
    let number = [&padding, signature.number].concat();
    if key.has_signed(hash, &message, &number) {
        Ok(())
    } else {
        Err(format!("it is not signed by the key {}", key.name))
    }
}

/// The bytes between the armour's lines.
fn unarmor(armored: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(armored).ok().filter(|text| text.len() <= MAX_ARMOR_BYTES)?;
    let text = text.replace('\r', "");
    let body = text.split_once("-----BEGIN PGP SIGNATURE-----\n")?.1;
    let body = body.split_once("-----END PGP SIGNATURE-----")?.0;
    // Headers, if any, end with an empty line; a line with `=` in front is a checksum.
    let (_headers, body) = body.split_once("\n\n").or_else(|| Some(("", body.strip_prefix('\n')?)))?;
    let body: String = body.lines().filter(|line| !line.starts_with('=')).collect();
    base64::engine::general_purpose::STANDARD.decode(body).ok()
}

/// The content of the first packet, if it is a signature.
fn packet(bytes: &[u8]) -> Option<&[u8]> {
    let (&head, rest) = bytes.split_first()?;
    let new = head & 0xc0 == 0xc0;
    let (tag, (length, rest)) = if new {
        let (&first, rest) = rest.split_first()?;
        let length = match first {
            0..192 => (usize::from(first), rest),
            192..224 => {
                let (&second, rest) = rest.split_first()?;
                ((usize::from(first) - 192) * 256 + usize::from(second) + 192, rest)
            }
            _ => return None,
        };
        (head & 0x3f, length)
    } else {
        let length = match head & 3 {
            0 => number(rest, 1)?,
            1 => number(rest, 2)?,
            _ => return None,
        };
        (head >> 2 & 0x0f, length)
    };
    (head & 0x80 != 0 && tag == SIGNATURE_TAG).then(|| rest.get(..length))?
}

/// A number of so many bytes, and what follows.
fn number(bytes: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_at_checked(count)?;
    Some((number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest))
}

struct Signature<'a> {
    /// From the version to the hashed subpackets.
    hashed: &'a [u8],
    /// The RSA signature.
    number: &'a [u8],
}

impl<'a> Signature<'a> {
    fn read(packet: &'a [u8]) -> Option<Self> {
        const FIXED_BYTES: usize = 4;
        let (length, _) = number(packet.get(FIXED_BYTES..)?, 2)?;
        let (hashed, rest) = packet.split_at_checked(FIXED_BYTES + 2 + length)?;
        let (length, rest) = number(rest, 2)?;
        // Behind the subpackets that nobody signed: the first two bytes of the hash.
        let rest = rest.get(length + 2..)?;
        let (bits, rest) = number(rest, 2)?;
        (rest.len() == bits.div_ceil(8)).then_some(Self { hashed, number: rest })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::alpine::testing;

    /// Made by `GnuPG` with the tests' key.
    const SIGNATURE: &[u8] = include_bytes!("test-data/message.asc");
    const MESSAGE: &[u8] = include_bytes!("test-data/message.txt");

    #[test]
    fn a_signature_that_gnupg_made_is_accepted() {
        check(&testing::keys().release, MESSAGE, SIGNATURE).unwrap();
    }

    #[test]
    fn another_document_another_key_and_a_broken_signature_are_refused() {
        let keys = testing::keys();
        assert!(check(&keys.release, b"other", SIGNATURE).unwrap_err().contains("not signed by"));
        assert!(check(&super::super::Keys::alpine().release, MESSAGE, SIGNATURE).is_err());
        for cut in 0..SIGNATURE.len() - 30 {
            assert!(check(&keys.release, MESSAGE, &SIGNATURE[..cut]).is_err(), "cut at {cut}");
        }
        let huge = vec![b'a'; MAX_ARMOR_BYTES + 1];
        assert!(check(&keys.release, MESSAGE, &huge).is_err());
    }

    #[test]
    fn a_signature_with_sha1_is_refused() {
        let weak = include_bytes!("test-data/message.sha1.asc");
        assert!(check(&testing::keys().release, MESSAGE, weak).unwrap_err().contains("hash 2"));
    }

    #[test]
    fn what_the_tests_sign_is_what_gnupg_signs() {
        let own = testing::sign_release(MESSAGE);
        check(&testing::keys().release, MESSAGE, own.as_bytes()).unwrap();
    }
}
