//! Tokens: a key says that whoever shows this may do that, for a short time.
//!
//! ```text
//! tnr1.<claims>.<signature>
//! ```
//!
//! Both parts are base64url without padding. The claims are postcard; the signature is Ed25519, over a domain of its own
//! and the bytes of the claims as they stand, so that nothing else that a node signs is a token. The key that signed is
//! named in the claims, but only to be found among those that are trusted.
//!
//! Nothing here knows the time or who is trusted: both come in.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::action::Actions;
use super::caller::Scope;
use crate::limits::MAX_NAME_BYTES;

/// What every token begins with.
pub const TOKEN_PREFIX: &str = "tnr1.";
/// Longest token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 4096;
/// Longest time between a token's making and its end, in seconds.
pub const MAX_TOKEN_SECONDS: u64 = 24 * 60 * 60;
/// How far the clocks of two nodes may be apart, in seconds: boards set theirs late.
pub const CLOCK_SKEW_SECONDS: u64 = 120;
/// Most scopes of one token.
pub const MAX_SCOPES: usize = 16;
/// Longest name of whom a token is for, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 128;
/// Longest name of the registry that a token is for, in bytes: a host name and a port.
pub const MAX_AUDIENCE_BYTES: usize = 261;

/// Signed before the claims. Not the beginning of any other domain of ours.
const DOMAIN: &[u8] = b"trustnet registry token 1\0";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The person or program that it is for; what logs and uploads name.
    pub subject: String,
    /// When it was made, in seconds since 1970.
    pub issued: u64,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// What its bearer may do, as far as the rules let the key.
    pub scopes: Vec<Scope>,
    /// The one registry that it is for, as its settings name it; empty: any that trusts the key.
    pub audience: String,
    /// Makes tokens differ that say the same.
    pub nonce: [u8; 16],
}

#[derive(Serialize, Deserialize)]
struct WireScope {
    repositories: String,
    actions: u8,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    key: [u8; 32],
    subject: String,
    issued: u64,
    expires: u64,
    scopes: Vec<WireScope>,
    audience: String,
    nonce: [u8; 16],
}

/// Why a token was not made or is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not written as a token is.
    #[error("it is not written as a token of this registry is")]
    Malformed,
    /// Longer than a token may be.
    #[error("it is longer than the {MAX_TOKEN_BYTES} bytes of a token")]
    TooLong,
    /// Claims that no token may have.
    #[error("{0}")]
    BadClaims(&'static str),
    /// Signed by a key that is not among those trusted here.
    #[error(
        "it was signed by a key that this registry does not trust; add a [[key]] to its settings if it should"
    )]
    UnknownKey,
    /// The signature is not that of the key; it was altered, or made by another.
    #[error("its signature is wrong: it was altered on its way, or not made by the key that it names")]
    BadSignature,
    /// It ended.
    #[error("it ended {0} seconds ago; ask for a new one")]
    Expired(u64),
    /// It begins later.
    #[error("it begins {0} seconds from now; one of the two clocks is wrong")]
    NotYetValid(u64),
    /// It is for another registry.
    #[error("it is for the registry {0:?}, which is none of the names that this one has in its settings")]
    OtherAudience(String),
    /// It was made before its key's tokens were revoked.
    #[error("it was revoked; ask for a new one")]
    Revoked,
}

/// A key whose tokens are believed.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// What rules and logs call it.
    pub name: Box<str>,
    pub(super) key: VerifyingKey,
    /// Tokens made before this, in seconds since 1970, are refused.
    pub revoked_before: u64,
}

impl TrustedKey {
    /// A key by its 32 bytes; `None` if they are no key, or a weak one, for which anybody can sign.
    pub fn new(name: &str, bytes: &[u8; 32], revoked_before: u64) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak())?;
        Some(Self { name: name.into(), key, revoked_before })
    }

    /// The bytes of the key.
    pub fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedKey({} {})", self.name, hex::encode(self.bytes()))
    }
}

/// What a token is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The keys whose tokens are believed.
    pub trusted: &'a [TrustedKey],
    /// The names of this registry.
    pub names: &'a [String],
    /// Seconds since 1970.
    pub now: u64,
}

/// A token whose signature was found good, whatever the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) key: [u8; 32],
    pub(super) claims: Claims,
}

/// Something that can stand in one line of a log.
fn is_plain(text: &str, max_bytes: usize) -> bool {
    text.len() <= max_bytes && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

impl Claims {
    /// What holds for the claims of every token, whoever made it.
    fn check(&self) -> Result<(), TokenError> {
        let life = self.expires.checked_sub(self.issued).filter(|life| *life > 0);
        let problem = if self.subject.is_empty() || !is_plain(&self.subject, MAX_SUBJECT_BYTES) {
            "a token names whom it is for, in at most 128 printable characters"
        } else if !is_plain(&self.audience, MAX_AUDIENCE_BYTES) {
            "the registry that a token is for is a host name, and a port if need be"
        } else if self.scopes.len() > MAX_SCOPES {
            "a token has at most 16 scopes"
        } else if life.is_none_or(|life| life > MAX_TOKEN_SECONDS) {
            "a token ends after it was made, and within 24 hours"
        } else {
            return Ok(());
        };
        Err(TokenError::BadClaims(problem))
    }
}

impl Wire {
    fn new(claims: &Claims, key: [u8; 32]) -> Self {
        let scope = |scope: &Scope| WireScope {
            repositories: scope.repositories.as_str().to_owned(),
            actions: scope.actions.to_byte(),
        };
        Self {
            key,
            subject: claims.subject.clone(),
            issued: claims.issued,
            expires: claims.expires,
            scopes: claims.scopes.iter().map(scope).collect(),
            audience: claims.audience.clone(),
            nonce: claims.nonce,
        }
    }

    fn claims(self) -> Result<Claims, TokenError> {
        let scope = |scope: WireScope| {
            let repositories = Some(scope.repositories).filter(|text| text.len() <= MAX_NAME_BYTES);
            let repositories =
                repositories.and_then(|text| text.parse().ok()).ok_or(TokenError::Malformed)?;
            let actions = Actions::from_byte(scope.actions).ok_or(TokenError::Malformed)?;
            Ok(Scope { repositories, actions })
        };
        let scopes = self.scopes.into_iter().map(scope).collect::<Result<_, _>>()?;
        Ok(Claims {
            subject: self.subject,
            issued: self.issued,
            expires: self.expires,
            scopes,
            audience: self.audience,
            nonce: self.nonce,
        })
    }
}

/// What the signature is over.
fn signed_bytes(claims: &[u8]) -> Vec<u8> {
    [DOMAIN, claims].concat()
}

/// Makes a token.
///
/// # Errors
/// [`TokenError::BadClaims`] or [`TokenError::TooLong`].
pub fn issue(key: &SigningKey, claims: &Claims) -> Result<String, TokenError> {
    claims.check()?;
    let wire = Wire::new(claims, key.verifying_key().to_bytes());
    let bytes = postcard::to_stdvec(&wire).map_err(|_| TokenError::Malformed)?;
    let signature = key.sign(&signed_bytes(&bytes)).to_bytes();
    let token =
        format!("{TOKEN_PREFIX}{}.{}", URL_SAFE_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode(signature));
    if token.len() > MAX_TOKEN_BYTES { Err(TokenError::TooLong) } else { Ok(token) }
}

/// Reads a token and checks its signature, but not yet whether it is valid now.
pub(super) fn open(text: &str, trusted: &[TrustedKey]) -> Result<Signed, TokenError> {
    if text.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    let (claims, signature) =
        text.strip_prefix(TOKEN_PREFIX).and_then(|rest| rest.split_once('.')).ok_or(TokenError::Malformed)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed);
    let (bytes, signature) = (decode(claims)?, decode(signature)?);
    let (wire, rest) = postcard::take_from_bytes::<Wire>(&bytes).map_err(|_| TokenError::Malformed)?;
    if !rest.is_empty() {
        return Err(TokenError::Malformed);
    }
    let key = trusted.iter().find(|trusted| *trusted.bytes() == wire.key).ok_or(TokenError::UnknownKey)?;
    let signature = Signature::from_slice(&signature).map_err(|_| TokenError::BadSignature)?;
    key.key.verify_strict(&signed_bytes(&bytes), &signature).map_err(|_| TokenError::BadSignature)?;
    let (key, claims) = (wire.key, wire.claims()?);
    claims.check()?;
    Ok(Signed { key, claims })
}

impl Signed {
    /// The trusted key that signed it, if it is valid now.
    pub(super) fn judge<'a>(&self, terms: Terms<'a>) -> Result<&'a TrustedKey, TokenError> {
        let Claims { issued, expires, audience, .. } = &self.claims;
        // The key may have gone from the settings since its signature was checked.
        let key = terms.trusted.iter().find(|key| *key.bytes() == self.key).ok_or(TokenError::UnknownKey)?;
        if *issued < key.revoked_before {
            return Err(TokenError::Revoked);
        }
        if *issued > terms.now.saturating_add(CLOCK_SKEW_SECONDS) {
            return Err(TokenError::NotYetValid(issued - terms.now));
        }
        if expires.saturating_add(CLOCK_SKEW_SECONDS) <= terms.now {
            return Err(TokenError::Expired(terms.now - expires));
        }
        if !audience.is_empty() && !terms.names.contains(audience) {
            return Err(TokenError::OtherAudience(audience.clone()));
        }
        Ok(key)
    }
}

/// Reads a token and checks all of it; gives its claims, and the key that signed it.
///
/// # Errors
/// Why it is not believed.
pub fn verify<'a>(text: &str, terms: Terms<'a>) -> Result<(Claims, &'a TrustedKey), TokenError> {
    let signed = open(text, terms.trusted)?;
    let key = signed.judge(terms)?;
    Ok((signed.claims, key))
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
