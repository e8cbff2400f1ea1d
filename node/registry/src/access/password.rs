//! Passwords: kept as PBKDF2-HMAC-SHA256, in the text form that password databases share.
//!
//! A function that needs memory (argon2, scrypt) is harder on whoever stole the file, but its usual 19 MiB for each
//! attempt is more than this whole registry may take, and it would be another crate. PBKDF2 comes with `ring`, which is
//! here anyway, in assembly, and costs an attacker 600,000 rounds for each guess, as OWASP asks for. On a board that is
//! most of a second: so few run at once, and what was found good is remembered for a while (see `gate`).

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::pbkdf2;
use serde::Deserialize;

use crate::settings::Secret;

/// Rounds for new passwords.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();
/// Fewest rounds that are accepted.
const MIN_ROUNDS: u32 = 10_000;
/// Most rounds that are accepted: a check must end.
const MAX_ROUNDS: u32 = 10_000_000;
/// Bytes of salt of new passwords.
const SALT_BYTES: usize = 16;
/// Longest salt that is accepted, in bytes.
const MAX_SALT_BYTES: usize = 64;
/// Bytes of the hash.
const HASH_BYTES: usize = 32;
/// Longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;

const ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
const PREFIX: &str = "$pbkdf2-sha256$i=";

/// A password as it is kept: `$pbkdf2-sha256$i=600000$<salt>$<hash>`, both in base64 without padding.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Secret")]
pub struct PasswordHash {
    rounds: NonZeroU32,
    salt: Vec<u8>,
    hash: [u8; HASH_BYTES],
}

impl PasswordHash {
    /// The hash of a new password.
    ///
    /// # Errors
    /// When the system has no randomness, or the password is empty or longer than [`MAX_PASSWORD_BYTES`].
    pub fn new(password: &str) -> io::Result<Self> {
        Self::with_rounds(password, ROUNDS)
    }

    pub(crate) fn with_rounds(password: &str, rounds: NonZeroU32) -> io::Result<Self> {
        if password.is_empty() || password.len() > MAX_PASSWORD_BYTES {
            let why = format!("a password has between 1 and {MAX_PASSWORD_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let (mut salt, mut hash) = (vec![0; SALT_BYTES], [0; HASH_BYTES]);
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        pbkdf2::derive(ALGORITHM, rounds, &salt, password.as_bytes(), &mut hash);
        Ok(Self { rounds, salt, hash })
    }

    /// What an unknown user's password is checked against, so that the time of an answer does not tell who exists.
    pub(crate) fn nobody() -> Self {
        Self { rounds: ROUNDS, salt: vec![0; SALT_BYTES], hash: [0; HASH_BYTES] }
    }

    /// Whether `password` is the one. Takes long, on purpose.
    pub fn matches(&self, password: &str) -> bool {
        password.len() <= MAX_PASSWORD_BYTES
            && pbkdf2::verify(ALGORITHM, self.rounds, &self.salt, password.as_bytes(), &self.hash).is_ok()
    }

    /// The bytes of the hash: other ones after the password was changed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.hash
    }
}

/// A text that is no kept password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a kept password, which looks like $pbkdf2-sha256$i=600000$<salt>$<hash>; make one with `trustnet registry passwd`"
)]
pub struct NoPasswordHash;

impl FromStr for PasswordHash {
    type Err = NoPasswordHash;

    fn from_str(text: &str) -> Result<Self, NoPasswordHash> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(NoPasswordHash)?.split('$');
        let mut next = || parts.next().ok_or(NoPasswordHash);
        let rounds = next()?;
        let decode = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| NoPasswordHash);
        let (salt, hash) = (decode(next()?)?, decode(next()?)?);
        let is_number = !rounds.is_empty() && rounds.bytes().all(|byte| byte.is_ascii_digit());
        let rounds =
            rounds.parse().ok().filter(|rounds| is_number && (MIN_ROUNDS..=MAX_ROUNDS).contains(rounds));
        let rounds = rounds.and_then(NonZeroU32::new).ok_or(NoPasswordHash)?;
        if parts.next().is_some() || salt.len() < 8 || salt.len() > MAX_SALT_BYTES {
            return Err(NoPasswordHash);
        }
        Ok(Self { rounds, salt, hash: hash.try_into().map_err(|_| NoPasswordHash)? })
    }
}

impl TryFrom<Secret> for PasswordHash {
    type Error = NoPasswordHash;

    fn try_from(text: Secret) -> Result<Self, NoPasswordHash> {
        text.reveal().parse()
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, hash) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(self.hash));
        write!(f, "{PREFIX}{}${salt}${hash}", self.rounds)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FEW: NonZeroU32 = NonZeroU32::new(MIN_ROUNDS).unwrap();

    #[test]
    fn a_known_one() {
        // Made by Python: hashlib.pbkdf2_hmac("sha256", b"correct horse", b"0123456789abcdef", 10000).
        let text =
            "$pbkdf2-sha256$i=10000$MDEyMzQ1Njc4OWFiY2RlZg$TI2grtvV1HW5nz2rBY4tctlrmOj5bZs0dw9j8NHpRRc";
        let hash: PasswordHash = text.parse().unwrap();
        assert!(hash.matches("correct horse"));
        assert!(!hash.matches("correct horsf") && !hash.matches("") && !hash.matches("correct horse "));
        assert_eq!(hash.to_string(), text);
    }

    #[test]
    fn text_and_back() {
        let hash = PasswordHash::with_rounds("pass word", FEW).unwrap();
        let again: PasswordHash = hash.to_string().parse().unwrap();
        assert!(again == hash && again.matches("pass word") && !again.matches("password"));
        let other = PasswordHash::with_rounds("pass word", FEW).unwrap();
        assert_ne!(other.to_string(), hash.to_string(), "each has its own salt");
        assert!(!format!("{hash:?}").contains("pbkdf2"));
        assert!(PasswordHash::with_rounds("", FEW).is_err());
        assert!(PasswordHash::with_rounds(&"x".repeat(MAX_PASSWORD_BYTES + 1), FEW).is_err());
        assert!(!PasswordHash::nobody().matches(""));
    }

    #[test]
    fn what_is_no_kept_password() {
        let good = PasswordHash::with_rounds("x", FEW).unwrap().to_string();
        for bad in [
            "",
            "password",
            "$2y$05$abcdefghijklmnopqrstuv",
            &good.replace("i=10000", "i=9999"),
            &good.replace("i=10000", "i=+10000"),
            &good.replace("i=10000", "i=10000001"),
            &good.replace("i=10000", "i=99999999999999999999"),
            &good.replace("sha256", "sha512"),
            &format!("{good}$x"),
            &good[..good.len() - 1],
            &format!("{good}="),
            "$pbkdf2-sha256$i=10000$AAAA$AAAA",
        ] {
            assert_eq!(bad.parse::<PasswordHash>(), Err(NoPasswordHash), "{bad}");
        }
    }
}
