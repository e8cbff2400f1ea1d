//! The `Authorization` header, for trustnet-fuzz.

use super::header::Credentials;

/// A header.
///
/// # Panics
/// When a name of a user is longer than one may be.
pub fn authorization(text: &str) {
    if let Ok(Credentials::Password { user, .. }) = Credentials::read(text) {
        assert!(user.len() <= super::MAX_USER_BYTES);
    }
}
