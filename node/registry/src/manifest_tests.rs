#![allow(clippy::unwrap_used)]

use super::*;
use crate::files::{Files, OsFiles};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn read(content_type: Option<&str>, text: &str) -> Result<Manifest> {
    let dir = tempfile::tempdir().unwrap();
    let file = OsFiles::new(dir.path()).create("m").unwrap();
    file.write_at(text.as_bytes(), 0).unwrap();
    Manifest::read(&*file, text.len() as u64, content_type)
}

fn descriptor(kind: &str) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{DIGEST}","size":0}}"#)
}

fn why(result: Result<Manifest>) -> String {
    match result {
        Err(RegistryError::ManifestInvalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_and_what_it_needs() {
    let subject = descriptor(OCI_MANIFEST);
    let layers = [
        descriptor("application/vnd.oci.image.layer.v1.tar"),
        descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
    ];
    let text = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}],"subject":{subject},"annotations":{{"a":"\u00e9"}},"more":[1,{{}}]}}"#,
        descriptor("x/config"),
        layers.join(",")
    );
    let manifest = read(Some(OCI_MANIFEST), &text).unwrap();
    assert_eq!(manifest.needed.iter().map(|n| n.optional).collect::<Vec<_>>(), [false, false, true, true]);
    assert_eq!(manifest.artifact_type(), Some("x/config"));
    let shown = manifest.as_referrer(&DIGEST.parse().unwrap(), 7).unwrap();
    assert!(
        shown.contains(r#""artifactType":"x/config""#) && shown.contains(r#""annotations":{"a":"#),
        "{shown}"
    );
}

#[test]
fn what_is_not_a_manifest_is_refused() {
    let config = descriptor("x/y");
    let image = |rest: &str| format!(r#"{{"schemaVersion":2,"config":{config}{rest}}}"#);
    let attached = |rest: &str| image(&format!(r#","subject":{config}{rest}"#));
    let cases = [
        (String::new(), "EOF"),
        ("[]".to_owned(), "invalid"),
        ("{".to_owned(), "EOF"),
        ("\u{0}".to_owned(), "expected value"),
        ("[".repeat(100_000), "invalid type"),
        (image(&format!(r#","x":{}"#, "[".repeat(100_000))), "expected value"),
        (image(r#","schemaVersion":2"#), "duplicate"),
        (image(r#","mediaType":"a/b""#), "Content-Type"),
        (image(&format!(r#","manifests":[{config}]"#)), "list of manifests"),
        (attached(r#","annotations":{"a":1}"#), "annotations"),
        (attached(r#","annotations":[]"#), "annotations"),
        (image(r#","layers":[{}]"#), "missing field"),
        (image(r#","layers":[{"mediaType":"a/b","digest":"sha256:zz","size":1}]"#), "sha256"),
        (
            image(&format!(r#","layers":[{{"mediaType":"a/b","digest":"{DIGEST}","size":-1}}]"#)),
            "invalid value",
        ),
        (image("").replace("on\":2", "on\":1"), "schemaVersion"),
        (r#"{"schemaVersion":2}"#.to_owned(), "config"),
    ];
    for (text, part) in cases {
        let why = why(read(Some(OCI_MANIFEST), &text));
        assert!(why.contains(part), "{why} does not say {part}");
    }
    assert!(why(read(Some(OCI_INDEX), &image(""))).contains("no list"));
    assert!(why(read(Some(OCI_INDEX), &image(r#","manifests":[]"#))).contains("config or layers"));
    assert!(why(read(Some("application/json"), &image(""))).contains("not one"));
    assert!(why(read(None, &image(""))).contains("media type"));
    assert!(read(None, &image(&format!(r#","mediaType":"{DOCKER_MANIFEST}""#))).is_ok());
}

#[test]
fn a_manifest_of_too_many_parts_is_refused() {
    let parts = vec![descriptor("a/b"); MAX_REFERENCES + 1].join(",");
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{parts}]}}"#);
    assert!(why(read(Some(OCI_INDEX), &text)).contains("more than"));
}

#[test]
fn media_types() {
    for good in [OCI_INDEX, "a/b", "application/vnd.a-b_c.d+json"] {
        assert!(is_media_type(good), "{good}");
    }
    for bad in
        ["", "a", "/", "a/", "/b", "a/b c", "a/b\n", "a/b;q=1", "ä/b", &format!("a/{}", "b".repeat(300))]
    {
        assert!(!is_media_type(bad), "{bad}");
    }
}
