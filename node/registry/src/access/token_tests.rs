#![allow(clippy::unwrap_used)]

use super::*;
use crate::access::Action;

const NOW: u64 = 1_800_000_000;

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn trusted(number: u8) -> TrustedKey {
    TrustedKey::new("node", &key(number).verifying_key().to_bytes(), 0).unwrap()
}

fn claims() -> Claims {
    let scope = Scope { repositories: "team/*".parse().unwrap(), actions: Action::Pull.into() };
    Claims {
        subject: "build".to_owned(),
        issued: NOW,
        expires: NOW + 600,
        scopes: vec![scope],
        audience: String::new(),
        nonce: [7; 16],
    }
}

fn check(text: &str, now: u64) -> Result<Claims, TokenError> {
    let trusted = [trusted(1)];
    let names = ["here:8053".to_owned()];
    verify(text, Terms { trusted: &trusted, names: &names, now }).map(|(claims, _)| claims)
}

#[test]
fn a_token_and_back() {
    let token = issue(&key(1), &claims()).unwrap();
    assert!(token.starts_with(TOKEN_PREFIX) && token.len() < 300, "{token}");
    assert_eq!(check(&token, NOW), Ok(claims()));
    let other = issue(&key(1), &Claims { nonce: [8; 16], ..claims() }).unwrap();
    assert_ne!(token, other);
}

#[test]
fn the_form_is_pinned() {
    // Tokens are made by one version of the program and read by another.
    let token = issue(&key(1), &claims()).unwrap();
    let hash = hex::encode(&blake3::hash(token.as_bytes()).as_bytes()[..8]);
    assert_eq!(hash, "3458a17293856b1b", "{token}");
}

#[test]
fn the_time_is_kept() {
    let token = issue(&key(1), &claims()).unwrap();
    for now in [NOW - CLOCK_SKEW_SECONDS, NOW, NOW + 599, NOW + 599 + CLOCK_SKEW_SECONDS] {
        assert!(check(&token, now).is_ok(), "{now}");
    }
    assert_eq!(check(&token, NOW - 121), Err(TokenError::NotYetValid(121)));
    assert_eq!(check(&token, 0), Err(TokenError::NotYetValid(NOW)));
    assert_eq!(check(&token, NOW + 720), Err(TokenError::Expired(120)));
    assert!(matches!(check(&token, u64::MAX), Err(TokenError::Expired(_))));
    let last = Claims { issued: u64::MAX - 1, expires: u64::MAX, ..claims() };
    let last = issue(&key(1), &last).unwrap();
    assert_eq!(check(&last, u64::MAX - 200), Err(TokenError::NotYetValid(199)), "no sum overflows");
    assert!(check(&last, u64::MAX - 1).is_ok());
}

#[test]
fn keys_that_are_not_trusted() {
    let token = issue(&key(2), &claims()).unwrap();
    assert_eq!(check(&token, NOW), Err(TokenError::UnknownKey));
    // Another key's signature under the trusted key's name.
    let bytes = postcard::to_stdvec(&Wire::new(&claims(), key(1).verifying_key().to_bytes())).unwrap();
    let signature = key(2).sign(&signed_bytes(&bytes)).to_bytes();
    let forged = format!("tnr1.{}.{}", URL_SAFE_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(check(&forged, NOW), Err(TokenError::BadSignature));
    // The right key, but not as a token.
    let signature = key(1).sign(&bytes).to_bytes();
    let other = format!("tnr1.{}.{}", URL_SAFE_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(check(&other, NOW), Err(TokenError::BadSignature));
    // A key for which every signature is right.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert!(TrustedKey::new("weak", &weak, 0).is_none());
}

#[test]
fn every_changed_character_is_noticed() {
    let token = issue(&key(1), &claims()).unwrap();
    for at in 0..token.len() {
        for other in ['A', 'B', '-', '_', '.', '='] {
            let mut changed: Vec<char> = token.chars().collect();
            if std::mem::replace(&mut changed[at], other) == other {
                continue;
            }
            let changed: String = changed.into_iter().collect();
            assert!(check(&changed, NOW).is_err(), "{changed}");
        }
        assert!(check(&token[..at], NOW).is_err());
    }
    for longer in [format!("{token}A"), format!("{token}="), format!("{token}."), format!(" {token}")] {
        assert!(check(&longer, NOW).is_err(), "{longer}");
    }
}

#[test]
fn what_is_left_over_is_noticed() {
    let mut bytes = postcard::to_stdvec(&Wire::new(&claims(), key(1).verifying_key().to_bytes())).unwrap();
    bytes.push(0);
    let signature = key(1).sign(&signed_bytes(&bytes)).to_bytes();
    let token = format!("tnr1.{}.{}", URL_SAFE_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(check(&token, NOW), Err(TokenError::Malformed));
}

#[test]
fn claims_that_no_token_may_have() {
    let scope = claims().scopes[0].clone();
    for bad in [
        Claims { subject: String::new(), ..claims() },
        Claims { subject: "a\nb".to_owned(), ..claims() },
        Claims { subject: "x".repeat(MAX_SUBJECT_BYTES + 1), ..claims() },
        Claims { audience: "é".to_owned(), ..claims() },
        Claims { expires: NOW, ..claims() },
        Claims { expires: NOW - 1, ..claims() },
        Claims { expires: NOW + MAX_TOKEN_SECONDS + 1, ..claims() },
        Claims { scopes: vec![scope.clone(); MAX_SCOPES + 1], ..claims() },
    ] {
        assert!(matches!(issue(&key(1), &bad), Err(TokenError::BadClaims(_))), "{bad:?}");
        // Nor are they believed when a key signs them all the same.
        let bytes = postcard::to_stdvec(&Wire::new(&bad, key(1).verifying_key().to_bytes())).unwrap();
        let signature = key(1).sign(&signed_bytes(&bytes)).to_bytes();
        let token = format!("tnr1.{}.{}", URL_SAFE_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(signature));
        assert!(matches!(check(&token, NOW), Err(TokenError::BadClaims(_))), "{bad:?}");
    }
    let long = Scope { repositories: "a".repeat(255).parse().unwrap(), ..scope };
    let many = Claims { scopes: vec![long; MAX_SCOPES], ..claims() };
    assert_eq!(issue(&key(1), &many), Err(TokenError::TooLong));
    assert_eq!(check(&"x".repeat(MAX_TOKEN_BYTES + 1), NOW), Err(TokenError::TooLong));
    for bad in ["", "tnr1.", "tnr1..", "tnr2.AAAA.AAAA", "tnr1.AAAA.AAAA", "tnr1.!.!"] {
        assert_eq!(check(bad, NOW), Err(TokenError::Malformed), "{bad}");
    }
}

#[test]
fn other_registries_and_revocation() {
    let elsewhere = issue(&key(1), &Claims { audience: "there:8053".to_owned(), ..claims() }).unwrap();
    assert_eq!(check(&elsewhere, NOW), Err(TokenError::OtherAudience("there:8053".to_owned())));
    let here = issue(&key(1), &Claims { audience: "here:8053".to_owned(), ..claims() }).unwrap();
    assert!(check(&here, NOW).is_ok());
    for (revoked_before, is_good) in [(NOW - 1, true), (NOW, true), (NOW + 1, false)] {
        let key = TrustedKey { revoked_before, ..trusted(1) };
        let names = ["here:8053".to_owned()];
        let result = verify(&here, Terms { trusted: &[key], names: &names, now: NOW }).map(drop);
        assert_eq!(result, if is_good { Ok(()) } else { Err(TokenError::Revoked) });
    }
}
