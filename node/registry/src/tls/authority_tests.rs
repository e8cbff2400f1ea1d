#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;

const NOW: u64 = CLOCK_FLOOR_SECONDS + 300 * DAY_SECONDS;

fn names() -> Names {
    let extra = ["registry.example.org".to_owned(), "192.0.2.7".to_owned()];
    Names::of_machine("pi", &["fd10:1234::2".parse().unwrap()], &extra).unwrap()
}

fn issued(authority: &Authority, now: u64, folder: &Folder) -> CertificateDer<'static> {
    let issued = authority.issue(&names(), now, folder).unwrap();
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

#[test]
fn what_it_signs_is_accepted_for_the_names_only() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let authority = Authority::open(&folder, NOW).unwrap();
    let certificate = issued(&authority, NOW, &folder);
    for at in [NOW - DAY_SECONDS, NOW, NOW + 89 * DAY_SECONDS] {
        assert!(authority.verifies(&certificate, &names(), at));
    }
    for at in [NOW - 3 * DAY_SECONDS, NOW + 91 * DAY_SECONDS] {
        assert!(!authority.verifies(&certificate, &names(), at));
    }
    let mut others = Names::default();
    others.add("other.example.org").unwrap();
    assert!(!authority.verifies(&certificate, &others, NOW));
    let other = Authority::make(NOW).unwrap();
    assert!(!other.verifies(&certificate, &names(), NOW));
    // Opened again, it is the same one.
    assert_eq!(Authority::open(&folder, NOW).unwrap().certificate, authority.certificate);
}

#[test]
fn a_clock_that_was_never_set_makes_certificates_that_are_valid_once_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let authority = Authority::open(&folder, 60).unwrap();
    let certificate = issued(&authority, 60, &folder);
    for years in [0, 1, 5, 9] {
        assert!(authority.verifies(
            &certificate,
            &names(),
            NOW + years * 365 * DAY_SECONDS - 300 * DAY_SECONDS
        ));
    }
}

#[test]
fn nothing_outlives_the_authority() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let authority = Authority::open(&folder, NOW).unwrap();
    let late = authority.ends_at() - 10 * DAY_SECONDS;
    assert_eq!(Facts::read(&issued(&authority, late, &folder)).unwrap().not_after, authority.ends_at());
    let ended = authority.issue(&names(), authority.ends_at(), &folder);
    assert!(matches!(ended, Err(TlsError::AuthorityEnded { .. })));
}

#[test]
fn a_damaged_key_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let authority = Authority::open(&folder, NOW).unwrap();
    let pem = fs::read_to_string(folder.path(KEY)).unwrap();
    for damaged in ["", "no key", &pem[..pem.len() / 2], &pem.replace("MIG", "MIH"), "\u{0}\u{1}"] {
        fs::write(folder.path(KEY), damaged).unwrap();
        let error = Authority::open(&folder, NOW).unwrap_err();
        assert!(matches!(error, TlsError::AuthorityKey { .. }), "{damaged:?}");
        assert!(error.to_string().contains("import the authority from another node"));
        assert_eq!(fs::read_to_string(folder.path(KEY)).unwrap(), damaged, "it must not be touched");
    }
    fs::write(folder.path(KEY), [0xff, 0xfe]).unwrap();
    assert!(matches!(Authority::open(&folder, NOW), Err(TlsError::AuthorityKey { .. })));
    fs::remove_file(folder.path(KEY)).unwrap();
    assert!(matches!(Authority::open(&folder, NOW), Err(TlsError::AuthorityKey { .. })));
    assert_eq!(fs::read_to_string(folder.path(CERTIFICATE)).unwrap(), authority.certificate_pem());
}

#[test]
fn a_key_of_another_authority_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    Authority::open(&folder, NOW).unwrap();
    let other = Authority::make(NOW).unwrap();
    fs::write(folder.path(KEY), other.key.serialize_pem()).unwrap();
    assert!(matches!(Authority::open(&folder, NOW), Err(TlsError::AuthorityMismatch { .. })));
}

#[test]
fn a_certificate_made_again_from_its_key_keeps_the_trust() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let first = Authority::open(&folder, NOW).unwrap();
    for damaged in [None, Some(&b"damaged"[..]), Some(b"")] {
        match damaged {
            None => fs::remove_file(folder.path(CERTIFICATE)).unwrap(),
            Some(content) => fs::write(folder.path(CERTIFICATE), content).unwrap(),
        }
        let again = Authority::open(&folder, NOW + 10 * DAY_SECONDS).unwrap();
        let certificate = issued(&again, NOW, &folder);
        assert!(first.verifies(&certificate, &names(), NOW), "clients trust the first certificate");
    }
    assert!(folder.path("ca.pem.damaged-1").exists());
}

#[test]
fn all_nodes_of_a_cluster_share_one() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Authority::open(&Folder::open(one.path().join("tls")).unwrap(), NOW).unwrap();
    let bundle = first.export();
    assert_eq!(Authority::import(two.path(), &bundle, false).unwrap(), Import::New);
    assert_eq!(Authority::import(two.path(), &bundle, false).unwrap(), Import::Same);
    let folder = Folder::open(two.path().join("tls")).unwrap();
    let second = Authority::open(&folder, NOW).unwrap();
    assert!(first.verifies(&issued(&second, NOW, &folder), &names(), NOW));

    let other = Authority::make(NOW).unwrap().export();
    let refused = Authority::import(two.path(), &other, false);
    assert!(matches!(refused, Err(TlsError::AuthorityExists { .. })));
    assert_eq!(Authority::open(&folder, NOW).unwrap().fingerprint(), first.fingerprint());
    assert_eq!(Authority::import(two.path(), &other, true).unwrap(), Import::Replaced);
    assert!(folder.path("ca.key.replaced-1").exists(), "the old one can be had back");

    // A certificate of one with the key of another, a bundle cut in half, one without either.
    let mixed = Authority::make(NOW).unwrap().key.serialize_pem() + &first.certificate_pem();
    for bad in [&mixed, &bundle[..bundle.len() / 2], &first.certificate_pem(), "", "x"] {
        assert!(matches!(Authority::from_bundle(bad), Err(TlsError::Bundle(_))));
    }
    // A server's certificate is no authority.
    let issued = first.issue(&names(), NOW, &folder).unwrap();
    let server = issued.key + &issued.certificate;
    assert!(matches!(Authority::from_bundle(&server), Err(TlsError::Bundle(_))));
}
