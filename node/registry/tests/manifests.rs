//! Manifests of every kind that the conformance suite knows, tags, referrers.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{OCI_INDEX, OCI_MANIFEST, Server, content, descriptor, image, index, sha256, sha512, subject};
use trustnet_registry::{DOCKER_LIST, DOCKER_MANIFEST};

fn check(server: &Server, repo: &str, reference: &str, kind: &str, text: &str) {
    let path = format!("/v2/{repo}/manifests/{reference}");
    for answer in [server.get(&path).expect(200), server.head(&path).expect(200)] {
        assert_eq!(answer.header("content-type"), Some(kind));
        assert_eq!(answer.header("content-length"), Some(text.len().to_string().as_str()));
        let expected =
            if reference.starts_with("sha512") { sha512(text.as_bytes()) } else { sha256(text.as_bytes()) };
        assert_eq!(answer.header("docker-content-digest"), Some(expected.to_string().as_str()));
    }
    assert_eq!(server.get(&path).body, text.as_bytes());
}

#[test]
fn images_by_tag_and_by_digest() {
    let server = Server::start();
    let text = server.push_image("lib/a", "v1", 1);
    let digest = sha256(text.as_bytes());
    check(&server, "lib/a", "v1", OCI_MANIFEST, &text);
    check(&server, "lib/a", &digest.to_string(), OCI_MANIFEST, &text);
    server.get("/v2/lib/a/manifests/v2").refused(404, "MANIFEST_UNKNOWN");
    server.get(&format!("/v2/lib/b/manifests/{digest}")).refused(404, "MANIFEST_UNKNOWN");
    let answer = server.put_manifest("lib/a", &digest.to_string(), OCI_MANIFEST, &text).expect(201);
    assert_eq!(answer.header("location"), Some(format!("/v2/lib/a/manifests/{digest}").as_str()));
    assert_eq!(answer.header("oci-subject"), None);
    // Parameters of the type are left out, whatever the client sends.
    server.put_manifest("lib/a", "v3", &format!("{OCI_MANIFEST}; charset=utf-8"), &text).expect(201);
    check(&server, "lib/a", "v3", OCI_MANIFEST, &text);
}

#[test]
fn dockers_manifests() {
    let server = Server::start();
    let config = server.push_blob("a", b"{}");
    let layer = server.push_blob("a", b"layer");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{DOCKER_MANIFEST}","config":{},"layers":[{}]}}"#,
        descriptor("application/vnd.docker.container.image.v1+json", &config, 2),
        descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer, 5)
    );
    server.put_manifest("a", "v1", DOCKER_MANIFEST, &text).expect(201);
    check(&server, "a", "v1", DOCKER_MANIFEST, &text);
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{DOCKER_LIST}","manifests":[{}]}}"#,
        descriptor(DOCKER_MANIFEST, &sha256(text.as_bytes()), text.len())
    );
    server.put_manifest("a", "all", DOCKER_LIST, &list).expect(201);
    check(&server, "a", "all", DOCKER_LIST, &list);
}

#[test]
fn indexes_nested_and_empty() {
    let server = Server::start();
    let (first, second) = (server.push_image("a", "x", 1), server.push_image("a", "y", 2));
    let inner = index(&[&first, &second], "");
    server.put_manifest("a", "inner", OCI_INDEX, &inner).expect(201);
    let outer = index(&[&inner], r#","annotations":{"a":"b"}"#);
    server.put_manifest("a", "outer", OCI_INDEX, &outer).expect(201);
    check(&server, "a", "outer", OCI_INDEX, &outer);
    let empty = index(&[], "");
    server.put_manifest("a", "empty", OCI_INDEX, &empty).expect(201);
    check(&server, "a", "empty", OCI_INDEX, &empty);
    // Of another repository's images.
    server.put_manifest("b", "v1", OCI_INDEX, &inner).refused(404, "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn artifacts_and_odd_images() {
    let server = Server::start();
    let empty = server.push_blob("a", b"{}");
    let config = descriptor("application/vnd.oci.empty.v1+json", &empty, 2);
    let blob = content(1, 100);
    server.push_blob("a", &blob);
    let head = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config}"#);
    let with_data = r#"{"mediaType":"a/b","digest":"DIGEST","size":2,"data":"e30="}"#
        .replace("DIGEST", &empty.to_string());
    let elsewhere =
        descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar", &sha256(b"else"), 4);
    let foreign =
        descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", &sha256(b"other"), 5);
    let cases = [
        (
            "artifact",
            format!(r#"{head},"artifactType":"application/x.y","layers":[{}]}}"#, common::layer(&blob)),
        ),
        ("no-layers", format!(r#"{head},"layers":[]}}"#)),
        ("without-layers", format!(r#"{head},"artifactType":"application/x.y"}}"#)),
        ("data", format!(r#"{head},"layers":[{with_data}]}}"#)),
        ("custom", format!(r#"{head},"layers":[],"org.example.x":{{"y":[1,2.5,null]}},"z":"ü"}}"#)),
        ("elsewhere", format!(r#"{head},"layers":[{elsewhere},{foreign}]}}"#)),
    ];
    for (tag, text) in &cases {
        server.put_manifest("a", tag, OCI_MANIFEST, text).expect(201);
        check(&server, "a", tag, OCI_MANIFEST, text);
    }
    let list = index(&[&cases[0].1, &cases[1].1], r#","artifactType":"application/x.z""#);
    server.put_manifest("a", "index", OCI_INDEX, &list).expect(201);
    check(&server, "a", "index", OCI_INDEX, &list);
}

#[test]
fn large_manifests() {
    let server = Server::start();
    server.push_blob("a", b"{}");
    let sized = |bytes: usize| {
        let bare = image(b"{}", &[], r#","annotations":{"pad":""}"#).len();
        image(b"{}", &[], &format!(r#","annotations":{{"pad":"{}"}}"#, "x".repeat(bytes - bare)))
    };
    let limit = 4 * 1024 * 1024;
    let text = sized(limit);
    assert_eq!(text.len(), limit);
    server.put_manifest("a", "large", OCI_MANIFEST, &text).expect(201);
    check(&server, "a", "large", OCI_MANIFEST, &text);
    server.put_manifest("a", "larger", OCI_MANIFEST, &sized(limit + 1)).refused(413, "SIZE_INVALID");
    // The same without a length.
    let body = sized(limit + 1);
    let chunked = [format!("{:x}\r\n", body.len()).as_bytes(), body.as_bytes(), b"\r\n0\r\n\r\n"].concat();
    let headers = [("Transfer-Encoding", "chunked"), ("Content-Type", OCI_MANIFEST)];
    server.request("PUT", "/v2/a/manifests/larger", &headers, &chunked).refused(413, "SIZE_INVALID");
    server.expect_no_uploads();
}

#[test]
fn other_digests_and_many_tags_at_once() {
    let server = Server::start();
    server.push_blob("a", b"{}");
    let text = image(b"{}", &[], "");
    for digest in [sha256(text.as_bytes()), sha512(text.as_bytes())] {
        let tags: Vec<_> = (0..12).map(|n| format!("t{n}-{}", digest.algorithm().name())).collect();
        let query: Vec<_> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let answer = server
            .put_manifest("a", &format!("{digest}?{}", query.join("&")), OCI_MANIFEST, &text)
            .expect(201);
        assert_eq!(answer.header("docker-content-digest"), Some(digest.to_string().as_str()));
        let mut accepted = answer.all("oci-tag");
        accepted.sort_unstable();
        let mut expected: Vec<&str> = tags.iter().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(accepted, expected);
        check(&server, "a", &digest.to_string(), OCI_MANIFEST, &text);
        let answer = server.head(&format!("/v2/a/manifests/{}", tags[0])).expect(200);
        assert_eq!(answer.header("docker-content-digest"), Some(digest.to_string().as_str()));
    }
    let digest = sha256(text.as_bytes());
    server
        .put_manifest("a", &format!("{digest}?tag=a&tag=-b"), OCI_MANIFEST, &text)
        .refused(400, "NAME_INVALID");
    server.get("/v2/a/manifests/a").expect(404);
    let many: Vec<_> = (0..150).map(|n| format!("tag=x{n}")).collect();
    let path = format!("{digest}?{}", many.join("&"));
    server.put_manifest("a", &path, OCI_MANIFEST, &text).expect(414);
}

#[test]
fn what_is_not_what_it_says_is_refused() {
    let server = Server::start();
    server.push_blob("a", b"{}");
    let text = image(b"{}", &[], "");
    let wrong = sha256(b"other");
    server.put_manifest("a", &wrong.to_string(), OCI_MANIFEST, &text).refused(400, "DIGEST_INVALID");
    server.get(&format!("/v2/a/manifests/{wrong}")).expect(404);
    for bad in ["sha256:baddigeststring", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha512:00"] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let answer = server.request(method, &format!("/v2/a/manifests/{bad}"), &[], b"");
            assert_eq!(answer.status, 400, "{method} {bad}");
        }
        server.get(&format!("/v2/a/blobs/{bad}")).refused(400, "DIGEST_INVALID");
        server.get(&format!("/v2/a/referrers/{bad}")).refused(400, "DIGEST_INVALID");
    }
    let missing = image(b"{}", &[b"never pushed"], "");
    server.put_manifest("a", "v1", OCI_MANIFEST, &missing).refused(404, "MANIFEST_BLOB_UNKNOWN");
    server
        .put_manifest("a", "v1", OCI_MANIFEST, &image(b"no", &[], ""))
        .refused(404, "MANIFEST_BLOB_UNKNOWN");
    let lying = text.replace(r#""size":2"#, r#""size":3"#);
    server.put_manifest("a", "v1", OCI_MANIFEST, &lying).refused(400, "MANIFEST_INVALID");
    for text in ["", "{}", "null", "nonsense", "[[[["] {
        server.put_manifest("a", "v1", OCI_MANIFEST, text).refused(400, "MANIFEST_INVALID");
    }
    server.put_manifest("a", "v1", OCI_INDEX, &text).refused(400, "MANIFEST_INVALID");
    server
        .put_manifest("a", "v1", "application/vnd.docker.distribution.manifest.v1+prettyjws", &text)
        .refused(400, "MANIFEST_INVALID");
    server.get("/v2/a/manifests/v1").expect(404);
    // What is only linked elsewhere is not here.
    server.put_manifest("b", "v1", OCI_MANIFEST, &text).refused(404, "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn deletes_of_tags_and_manifests() {
    let server = Server::start();
    let text = server.push_image("a", "v1", 1);
    let digest = sha256(text.as_bytes());
    server.put_manifest("a", "v2", OCI_MANIFEST, &text).expect(201);
    server.put_manifest("a", "v3", OCI_MANIFEST, &text).expect(201);
    server.delete("/v2/a/manifests/v1").expect(202);
    server.get("/v2/a/manifests/v1").expect(404);
    server.delete("/v2/a/manifests/v1").refused(404, "MANIFEST_UNKNOWN");
    check(&server, "a", &digest.to_string(), OCI_MANIFEST, &text);
    server.delete(&format!("/v2/a/manifests/{digest}")).expect(202);
    for reference in ["v2", "v3", &digest.to_string()] {
        server.get(&format!("/v2/a/manifests/{reference}")).refused(404, "MANIFEST_UNKNOWN");
    }
    assert_eq!(server.get("/v2/a/tags/list").expect(200).json()["tags"], serde_json::json!([]));
    server.delete(&format!("/v2/a/manifests/{digest}")).refused(404, "MANIFEST_UNKNOWN");
    server.delete("/v2/nowhere/manifests/v1").expect(404);
}

#[test]
fn a_tag_moves() {
    let server = Server::start();
    let first = server.push_image("a", "v1", 1);
    let second = server.push_image("a", "v1", 2);
    check(&server, "a", "v1", OCI_MANIFEST, &second);
    server.delete(&format!("/v2/a/manifests/{}", sha256(first.as_bytes()))).expect(202);
    check(&server, "a", "v1", OCI_MANIFEST, &second);
}

#[test]
fn lists_of_tags() {
    let server = Server::start();
    server.get("/v2/a/tags/list").refused(404, "NAME_UNKNOWN");
    server.push_blob("a", b"{}");
    assert_eq!(server.get("/v2/a/tags/list").expect(200).json(), serde_json::json!({"name":"a","tags":[]}));
    let text = image(b"{}", &[], "");
    for tag in ["b", "a", "B", "10", "9", "_z", "c"] {
        server.put_manifest("a", tag, OCI_MANIFEST, &text).expect(201);
        server.put_manifest("a/b", tag, OCI_MANIFEST, &text).expect(404);
    }
    let list = |query: &str| {
        let answer = server.get(&format!("/v2/a/tags/list{query}")).expect(200);
        let link = answer.header("link").map(str::to_owned);
        let tags = answer.json()["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| tag.as_str().unwrap().to_owned())
            .collect();
        (tags, link)
    };
    let all: Vec<String> = ["10", "9", "B", "_z", "a", "b", "c"].map(str::to_owned).into();
    assert_eq!(list(""), (all.clone(), None));
    assert_eq!(list("?n=7"), (all.clone(), None));
    assert_eq!(list("?n=99999999999999999999999"), (all.clone(), None));
    assert_eq!(list("?n=0"), (vec![], None));
    assert_eq!(list("?last=_z"), (all[4..].to_vec(), None));
    assert_eq!(list("?last=a0&n=1").0, ["b"], "last need not exist");
    assert_eq!(list("?last=zzz"), (vec![], None));
    let (mut found, mut next): (Vec<String>, _) = list("?n=2");
    while let Some(link) = next {
        let path = link
            .strip_prefix("</v2/a/tags/list")
            .and_then(|link| link.strip_suffix(">; rel=\"next\""))
            .unwrap();
        let (tags, link) = list(path);
        found.extend(tags);
        next = link;
    }
    assert_eq!(found, all);
    for bad in ["?n=x", "?n=-1", "?n=", "?n=1.5", &format!("?last={}", "x".repeat(200))] {
        server.get(&format!("/v2/a/tags/list{bad}")).refused(400, "UNSUPPORTED");
    }
}

#[test]
fn thousands_of_tags() {
    let server = Server::start();
    server.push_blob("a", b"{}");
    let text = image(b"{}", &[], "");
    let digest = sha256(text.as_bytes());
    for block in 0..25 {
        let tags: Vec<_> = (0..100).map(|n| format!("tag=t{:05}", block * 100 + n)).collect();
        server.put_manifest("a", &format!("{digest}?{}", tags.join("&")), OCI_MANIFEST, &text).expect(201);
    }
    let (mut path, mut found) = ("/v2/a/tags/list".to_owned(), Vec::new());
    loop {
        let answer = server.get(&path).expect(200);
        let tags = answer.json()["tags"].as_array().unwrap().clone();
        assert!(tags.len() <= 1000);
        found.extend(tags.into_iter().map(|tag| tag.as_str().unwrap().to_owned()));
        match answer.header("link") {
            Some(link) => path = link[1..link.find('>').unwrap()].to_owned(),
            None => break,
        }
    }
    assert_eq!(found.len(), 2500);
    assert!(found.is_sorted());
    server.delete(&format!("/v2/a/manifests/{digest}")).expect(202);
    assert_eq!(server.get("/v2/a/tags/list").json()["tags"], serde_json::json!([]));
}

#[test]
fn referrers() {
    let server = Server::start();
    let target = server.push_image("a", "v1", 1);
    let digest = sha256(target.as_bytes());
    let path = format!("/v2/a/referrers/{digest}");
    let empty = server.get(&path).expect(200);
    assert_eq!(empty.header("content-type"), Some(OCI_INDEX));
    let expected = serde_json::json!({"schemaVersion":2,"mediaType":OCI_INDEX,"manifests":[]});
    assert_eq!(empty.json(), expected);
    assert_eq!(server.get(&format!("/v2/nowhere/referrers/{digest}")).expect(200).json(), expected);

    server.push_blob("a", b"{}");
    let about = subject(&target);
    let typed = image(
        b"{}",
        &[],
        &format!(r#"{about},"artifactType":"application/x+json","annotations":{{"k":"v"}}"#),
    );
    let untyped = image(b"{}", &[], &about);
    let list = index(&[], &about);
    let typed_list = index(&[], &format!(r#"{about},"artifactType":"application/x+json""#));
    for (kind, text) in
        [(OCI_MANIFEST, &typed), (OCI_MANIFEST, &untyped), (OCI_INDEX, &list), (OCI_INDEX, &typed_list)]
    {
        let answer = server.put_manifest("a", &sha256(text.as_bytes()).to_string(), kind, text).expect(201);
        assert_eq!(answer.header("oci-subject"), Some(digest.to_string().as_str()));
    }
    let get = |query: &str| server.get(&format!("{path}{query}")).expect(200);
    let find = |answer: &common::Answer, text: &str| {
        let wanted = sha256(text.as_bytes()).to_string();
        let all = answer.json()["manifests"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["digest"] == wanted.as_str())
    };
    let all = get("");
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 4);
    assert_eq!(all.header("oci-filters-applied"), None);
    let one = find(&all, &typed).unwrap();
    assert_eq!((&one["artifactType"], &one["annotations"]["k"]), (&"application/x+json".into(), &"v".into()));
    assert_eq!((&one["size"], &one["mediaType"]), (&typed.len().into(), &OCI_MANIFEST.into()));
    assert_eq!(find(&all, &untyped).unwrap()["artifactType"], "application/vnd.oci.image.config.v1+json");
    assert!(find(&all, &list).unwrap().get("artifactType").is_none());
    let some = get("?artifactType=application/x%2Bjson");
    assert_eq!(some.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(some.json()["manifests"].as_array().unwrap().len(), 2);
    assert!(find(&some, &typed).is_some() && find(&some, &typed_list).is_some());
    assert_eq!(get("?artifactType=none").json()["manifests"], serde_json::json!([]));
    // Of one repository only.
    assert_eq!(server.get(&format!("/v2/b/referrers/{digest}")).json()["manifests"], serde_json::json!([]));
    server.delete(&format!("/v2/a/manifests/{}", sha256(typed.as_bytes()))).expect(202);
    assert!(find(&get(""), &typed).is_none());
    // What is attached outlives what it is attached to.
    server.delete(&format!("/v2/a/manifests/{digest}")).expect(202);
    assert_eq!(get("").json()["manifests"].as_array().unwrap().len(), 3);
}

#[test]
fn referrers_to_what_is_not_there_and_in_pages() {
    let server = Server::start();
    server.push_blob("a", b"{}");
    let target = image(b"{}", &[], r#","annotations":{"never":"pushed"}"#);
    let digest = sha256(target.as_bytes());
    // Each descriptor carries long annotations, so that a page ends by its length.
    let pad = "x".repeat(300_000);
    for number in 0..6 {
        let more = format!(r#"{},"annotations":{{"n":"{number}","pad":"{pad}"}}"#, subject(&target));
        let text = image(b"{}", &[], &more);
        let answer = server.put_manifest("a", &format!("r{number}"), OCI_MANIFEST, &text).expect(201);
        assert_eq!(answer.header("oci-subject"), Some(digest.to_string().as_str()));
    }
    for filter in ["", "?artifactType=application/vnd.oci.image.config.v1%2Bjson"] {
        let (mut path, mut found, mut pages) = (format!("/v2/a/referrers/{digest}{filter}"), Vec::new(), 0);
        loop {
            let answer = server.get(&path).expect(200);
            let all = answer.json()["manifests"].as_array().unwrap().clone();
            found.extend(all.iter().map(|one| one["annotations"]["n"].as_str().unwrap().to_owned()));
            pages += 1;
            match answer.header("link") {
                Some(link) => path = link[1..link.find('>').unwrap()].to_owned(),
                None => break,
            }
        }
        found.sort();
        assert_eq!(found, ["0", "1", "2", "3", "4", "5"], "{filter}");
        assert!(pages > 1);
    }
    server.get(&format!("/v2/a/referrers/{digest}?last=x")).refused(400, "DIGEST_INVALID");
}

#[test]
fn everything_is_there_after_a_restart() {
    let mut server = Server::start();
    let text = server.push_image("a", "v1", 1);
    let attached = image(&content(1, 50), &[], &subject(&text));
    server.put_manifest("a", "att", OCI_MANIFEST, &attached).expect(201);
    server.restart();
    check(&server, "a", "v1", OCI_MANIFEST, &text);
    let list = server.get(&format!("/v2/a/referrers/{}", sha256(text.as_bytes()))).json();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 1);
    server.get(&format!("/v2/a/blobs/{}", sha256(&content(1_001, 500)))).expect(200);
}
