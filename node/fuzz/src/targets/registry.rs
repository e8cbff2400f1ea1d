//! What the registry reads of strangers and of its own files.

use trustnet_registry::fuzzing;

use crate::memory::bounded;

const TARGET: u8 = 0;
const HEADERS: u8 = 1;
const AUTHORIZATION: u8 = 2;
const TOKEN: u8 = 3;
const MANIFEST: u8 = 4;
const ARCHIVE: u8 = 5;
const JOURNAL: u8 = 6;
const TEXTS: u8 = 7;
const KINDS: u8 = 8;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    match kind % KINDS {
        MANIFEST => return bounded(bytes, || fuzzing::manifest(bytes)),
        ARCHIVE => return bounded(bytes, || fuzzing::archive(bytes)),
        _ => {}
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    bounded(bytes, || match kind % KINDS {
        TARGET => fuzzing::target(text),
        HEADERS => fuzzing::headers(text),
        AUTHORIZATION => {
            fuzzing::authorization(text);
            fuzzing::forwarded(text);
        }
        TOKEN => fuzzing::token(text),
        JOURNAL => fuzzing::journal(text),
        _ => fuzzing::texts(text),
    });
}

/// A tar archive of one file.
fn tar() -> Vec<u8> {
    let mut block = [0_u8; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, b"blobs/sha256/x");
    put(100, b"0000644\0");
    put(124, b"00000000003\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut content = [0_u8; 512];
    content[..3].copy_from_slice(b"abc");
    [block.as_slice(), &content, &[0; 1024]].concat()
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{{\"mediaType\":\"a/b\",\
         \"digest\":\"{digest}\",\"size\":2}},\"layers\":[],\"subject\":{{\"mediaType\":\"a/b\",\"digest\":\"{digest}\",\"size\":3}},\
         \"annotations\":{{\"a\":\"b\"}}}}"
    );
    let settings = "[access]\nanonymous = [\"pull\"]\n[[quota]]\nrepositories = \"team/*\"\nmax = \"10 GiB\"\n\
                    [[upstream]]\nprefix = \"docker.io\"\nurl = \"https://registry-1.docker.io\"\n";
    let texts = [
        (TARGET, format!("/v2/team/app/blobs/{digest}?ns=docker.io")),
        (TARGET, format!("/v2/team/app/manifests/v1?tag=a&tag=b%2fc&digest={digest}")),
        (TARGET, "/v2/a/blobs/uploads/?mount=sha256%3A00&from=b+c".to_owned()),
        (HEADERS, "bytes=5-9".to_owned()),
        (HEADERS, "0-99\n100".to_owned()),
        (AUTHORIZATION, "Basic YWxpY2U6c2VjcmV0".to_owned()),
        (AUTHORIZATION, format!("Bearer {}", fuzzing::good_token())),
        (AUTHORIZATION, "198.51.100.1, [2001:db8::9]:4711, 10.0.0.7".to_owned()),
        (TOKEN, fuzzing::good_token()),
        (MANIFEST, manifest),
        (JOURNAL, format!("manifest {digest} application/vnd.oci.image.index.v1+json")),
        (JOURNAL, format!("copy {digest} a/b")),
        (JOURNAL, format!("tag v1 {digest}")),
        (TEXTS, "team/app".to_owned()),
        (TEXTS, "team/*".to_owned()),
        (TEXTS, format!("team/app:v1@{digest}")),
        (TEXTS, digest.clone()),
        (TEXTS, settings.to_owned()),
    ];
    let mut seeds: Vec<Vec<u8>> =
        texts.into_iter().map(|(kind, text)| [vec![kind], text.into_bytes()].concat()).collect();
    seeds.push([vec![ARCHIVE], tar()].concat());
    seeds
}
