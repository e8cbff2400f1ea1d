//! The `Authorization` header.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::password::MAX_PASSWORD_BYTES;
use super::token::{MAX_TOKEN_BYTES, TOKEN_PREFIX};

/// Longest name of a user, in bytes.
pub const MAX_USER_BYTES: usize = 64;

/// Clients pad as they like.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a client says of itself.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nothing.
    None,
    /// A user's name and password.
    Password { user: String, password: String },
    /// A token.
    Token(String),
}

/// A header that says nothing that could be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Credentials {
    /// Reads the header.
    ///
    /// A token may also stand where the password does, whatever the user is called: that is how it goes through
    /// `docker login`. Skopeo and podman without a login send neither a user nor a password, in a header.
    pub(super) fn read(header: &str) -> Result<Self, Unreadable> {
        let (scheme, rest) = header.trim().split_once(' ').ok_or(Unreadable)?;
        let rest = rest.trim_start();
        if rest.len() > 2 * MAX_TOKEN_BYTES {
            return Err(Unreadable);
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::Token(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Unreadable);
        }
        let text = String::from_utf8(BASE64.decode(rest).map_err(|_| Unreadable)?).map_err(|_| Unreadable)?;
        let (user, password) = text.split_once(':').ok_or(Unreadable)?;
        if password.starts_with(TOKEN_PREFIX) {
            return Ok(Self::Token(password.to_owned()));
        }
        if user.is_empty() && password.is_empty() {
            return Ok(Self::None);
        }
        if user.len() > MAX_USER_BYTES || password.len() > MAX_PASSWORD_BYTES {
            return Err(Unreadable);
        }
        Ok(Self::Password { user: user.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn basic(text: &str) -> Result<Credentials, Unreadable> {
        Credentials::read(&format!("Basic {}", BASE64.encode(text)))
    }

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password { user: user.to_owned(), password: password.to_owned() }
    }

    fn token(text: &str) -> Credentials {
        Credentials::Token(text.to_owned())
    }

    #[test]
    fn what_clients_send() {
        assert!(basic("alice:secret") == Ok(password("alice", "secret")));
        assert!(basic("alice:a:b:") == Ok(password("alice", "a:b:")));
        assert!(basic("alice:") == Ok(password("alice", "")));
        assert!(basic(":x") == Ok(password("", "x")));
        assert!(basic(":") == Ok(Credentials::None));
        assert!(basic("é:ü") == Ok(password("é", "ü")));
        assert!(basic("keeper:tnr1.a.b") == Ok(token("tnr1.a.b")));
        assert!(Credentials::read("bAsIc  YTpi") == Ok(password("a", "b")));
        assert!(Credentials::read("Basic YTo=") == Credentials::read("Basic YTo"));
        assert!(Credentials::read("Bearer tnr1.a.b") == Ok(token("tnr1.a.b")));
    }

    #[test]
    fn what_says_nothing() {
        for bad in ["", "Basic", "Bearer", "Basic !", "Basic YQ==", "Basic /w==", "Digest a=b", "tnr1.a.b"] {
            assert!(Credentials::read(bad).is_err(), "{bad}");
        }
        assert!(basic(&format!("{}:x", "u".repeat(MAX_USER_BYTES + 1))).is_err());
        assert!(basic(&format!("x:{}", "p".repeat(MAX_PASSWORD_BYTES + 1))).is_err());
        assert!(Credentials::read(&format!("Bearer {}", "x".repeat(3 * MAX_TOKEN_BYTES))).is_err());
    }
}
