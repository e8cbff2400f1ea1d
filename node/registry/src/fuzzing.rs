//! The readers of what strangers send and files hold, for trustnet-fuzz: each takes any bytes and panics when a promise is
//! broken.

use std::path::Path;

use ed25519_dalek::SigningKey;

pub use crate::access::fuzzing::{authorization, forwarded};
use crate::access::{Action, Claims, RepoPattern, Scope, TagPattern, Terms, TrustedKey, issue, verify};
use crate::digest::{Algorithm, Digest};
use crate::files::InMemory;
pub use crate::http::fuzzing::{headers, target};
use crate::image::Document;
use crate::journal::Change;
use crate::manifest::Manifest;
use crate::name::{Reference, RepoName, Tag};
use crate::settings::Settings;
use crate::target::Target;
pub use crate::transfer::fuzzing::archive;

/// A manifest, as it is pushed and as it is shown.
///
/// # Panics
/// When what is told of it to those who look for what is attached is no JSON.
pub fn manifest(bytes: &[u8]) {
    let _ = Document::read(bytes);
    let Ok(manifest) = Manifest::read(&InMemory(bytes.to_vec().into()), bytes.len() as u64, None) else {
        return;
    };
    let digest = Digest::of(Algorithm::Sha256, b"");
    if let Ok(text) = manifest.as_referrer(&digest, bytes.len() as u64) {
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    }
}

/// A line of a journal.
///
/// # Panics
/// When it is read and, written again, is read otherwise.
pub fn journal(text: &str) {
    if let Some(change) = Change::parse(text) {
        assert_eq!(Change::parse(&change.to_string()), Some(change));
    }
}

/// What people and clients write: names, tags, digests, patterns, images, settings.
///
/// # Panics
/// When a name is taken and, written again, is not; or one would lead out of its folder.
pub fn texts(text: &str) {
    if let Ok(name) = text.parse::<RepoName>() {
        assert_eq!(name.to_string().parse(), Ok(name));
        assert!(text.split('/').all(|part| !part.is_empty() && part != "." && part != ".."), "{text}");
    }
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(tag.to_string(), text);
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    let _ = text.parse::<Reference>();
    let _ = text.parse::<Target>();
    let _ = text.parse::<TagPattern>();
    if let (Ok(pattern), Ok(name)) = (text.parse::<RepoPattern>(), text.parse::<RepoName>()) {
        assert!(pattern.matches(&name), "{text} does not mean itself");
    }
    let _ = Settings::parse(text, Path::new("registry.toml"));
}

const NOW: u64 = 1_800_000_000;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A token that is good now.
pub fn good_token() -> String {
    let scope = Scope { repositories: "team/*".parse().expect("a pattern"), actions: Action::Pull.into() };
    let claims = Claims {
        subject: "alice".to_owned(),
        issued: NOW,
        expires: NOW + 60,
        scopes: vec![scope],
        audience: String::new(),
        nonce: [1; 16],
    };
    issue(&key(), &claims).expect("good claims")
}

/// A token.
///
/// # Panics
/// When one is believed that we did not make.
pub fn token(text: &str) {
    let trusted = TrustedKey::new("key", key().verifying_key().as_bytes(), 0).expect("a good key");
    let terms = Terms { trusted: &[trusted], names: &[], now: NOW };
    if verify(text, terms).is_ok() {
        assert_eq!(text, good_token());
    }
}
