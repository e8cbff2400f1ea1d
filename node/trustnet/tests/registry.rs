//! `trustnet registry` as its users meet it: what it prints, exit codes, a registry that serves and one that is stopped.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trustnet_registry::{Algorithm, Digest};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trustnet");

fn registry(data: &Path, line: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("registry").args(line.split(' ')).arg("--data").arg(data).stdin(Stdio::null());
    command.current_dir(data.parent().unwrap()).output().unwrap()
}

/// What a command prints, if it succeeds.
#[track_caller]
fn done(data: &Path, line: &str) -> String {
    let output = registry(data, line);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn value(data: &Path, line: &str) -> Value {
    serde_json::from_str(&done(data, &format!("{line} --json"))).unwrap()
}

/// What a command says when it fails with `code`.
#[track_caller]
fn fails(data: &Path, line: &str, code: i32) -> String {
    let output = registry(data, line);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}: {errors}");
    errors
}

/// `trustnet registry serve`, ended when it is dropped.
struct Serving {
    child: Child,
    value: Value,
}

impl Serving {
    fn start(data: &Path) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["registry", "serve", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--json"]);
        let mut child =
            command.arg("--data").arg(data).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, value: serde_json::from_str(&line).unwrap() }
    }

    fn get(&self, path: &str) -> u16 {
        let url = format!("{}{path}", self.value["registry"].as_str().unwrap());
        match ureq::get(&url).call() {
            Ok(answer) => answer.status().as_u16(),
            Err(ureq::Error::StatusCode(status)) => status,
            Err(error) => panic!("{url}: {error}"),
        }
    }

    fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already where it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A layout of one image, without a name.
fn layout(folder: &Path, layer: &[u8]) {
    let config = br#"{"architecture":"riscv64","os":"linux"}"#.to_vec();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        (digest.to_string(), bytes.len())
    };
    let descriptor = |kind: &str, (digest, size): (String, usize)| json!({ "mediaType": kind, "digest": digest, "size": size });
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": kind,
        "config": descriptor("application/vnd.oci.image.config.v1+json", put(&config)),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", put(layer))],
    });
    let index =
        json!({ "schemaVersion": 2, "manifests": [descriptor(kind, put(manifest.to_string().as_bytes()))] });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[test]
fn a_registry_is_served_filled_looked_at_and_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    layout(&dir.path().join("lay"), &[7; 9_000]);
    assert!(fails(&data, "ls", 1).contains("trustnet registry serve --data"));
    assert!(!data.exists(), "to look makes none");
    let serving = Serving::start(&data);
    assert!(done(&data, "ls").contains("No images yet"));
    assert!(fails(&data, "import lay", 1).contains("--as"));
    assert!(fails(&data, "import nowhere --as a:v1", 1).contains("cannot read nowhere"));
    done(&data, "import lay --as team/app:v1");
    assert_eq!(serving.get("/v2/team/app/manifests/v1"), 200);
    let listed = value(&data, "ls");
    assert_eq!(listed["repositories"][0]["name"], "team/app");
    assert_eq!(value(&data, "ls team/app")["tags"][0]["tag"], "v1");
    let found = value(&data, "inspect team/app:v1");
    assert_eq!(
        (&found["platform"]["architecture"], found["layers"].as_array().unwrap().len()),
        (&json!("riscv64"), 2)
    );
    assert!(done(&data, "inspect team/app:v1").contains("linux/riscv64"));
    assert_eq!(value(&data, "df")["total"]["files"], 3);
    assert!(done(&data, "df").contains("free on the disk"));
    assert_eq!(value(&data, "scrub --deep")["report"]["files"], 3);
    assert!(fails(&data, "inspect team/app:gone", 4).contains("trustnet registry ls"));
    assert!(fails(&data, "inspect http://x/y", 2).contains("without the registry's address"));
    assert!(fails(&data, "gc --now", 5).contains("stop it first"));
    assert!(fails(&data, "rebuild", 5).contains("stop it first"));
    assert!(fails(&data, "rm team/app:v1", 2).contains("--yes"));
    assert_eq!(value(&data, "rm team/app:v1 --dry-run")["removal"]["files"], 3);
    assert_eq!(serving.get("/v2/team/app/manifests/v1"), 200);
    done(&data, "export team/app:v1 out.tar");
    assert!(fails(&data, "export team/app:v1 out.tar", 1).contains("there already"));
    done(&data, "rm team/app:v1 --yes");
    assert_eq!(serving.get("/v2/team/app/manifests/v1"), 404);
    assert_eq!(value(&data, "gc")["report"]["left"]["leased_files"], 3);
    let another = registry(&data, "serve --listen 127.0.0.1:0");
    assert_eq!(another.status.code(), Some(5), "one at a time");
    assert_eq!(serving.stop(), Some(0));
    let emptied = value(&data, "gc --now --purge");
    assert_eq!((&emptied["report"]["files"], &emptied["report"]["purged_files"]), (&json!(3), &json!(3)));
    assert_eq!(value(&data, "df")["total"]["bytes"], 0);
    done(&data, "import out.tar");
    assert_eq!(value(&data, "rebuild")["tags"], 1);
    assert!(done(&data, "ls team/app").contains("v1"));
}

#[test]
fn what_is_exported_is_imported_and_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    layout(&dir.path().join("lay"), &[9; 8_000]);
    done(&data, "import lay --as a:v1");
    done(&data, "export a:v1 folder");
    done(&data, "export a:v1 one.tar");
    done(&data, "import folder --as b:v1");
    done(&data, "export b:v1 other");
    let files = |name: &str| {
        let mut names: Vec<_> = fs::read_dir(dir.path().join(name).join("blobs/sha256"))
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(files("folder"), files("other"));
    assert!(fails(&data, "export a:v1 folder2 --format docker", 2).contains(".tar"));
    assert!(fails(&data, "export a:none x.tar", 4).contains("none"));
    assert!(!dir.path().join("x.tar").exists());
    let leftovers = fs::read_dir(dir.path()).unwrap().flatten();
    assert!(leftovers.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains("partial")));
    let stdout = registry(&data, "export a:v1 -").stdout;
    assert_eq!(stdout, fs::read(dir.path().join("one.tar")).unwrap());
}

#[test]
fn damage_is_exit_code_five_and_a_push_heals_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    layout(&dir.path().join("lay"), &[3; 10_000]);
    done(&data, "import lay --as a:v1");
    let hex = Digest::of(Algorithm::Sha256, &[3; 10_000]).hex();
    fs::write(data.join("blobs/sha256").join(&hex[..2]).join(&hex), vec![4; 10_000]).unwrap();
    assert!(fails(&data, "scrub", 5).contains("1 file damaged"));
    assert!(done(&data, "ls a").contains("damaged"));
    assert!(done(&data, "inspect a:v1").contains("missing"));
    done(&data, "import lay --as a:v1");
    assert!(done(&data, "scrub").contains("all sound"));
}

#[test]
fn a_port_that_is_taken_is_told_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    let said = fails(&dir.path().join("data"), &format!("serve --listen {}", taken.local_addr().unwrap()), 1);
    assert!(said.contains("cannot listen on") && said.contains("--listen 127.0.0.1:0"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn what_the_settings_forbid_is_refused_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    layout(&dir.path().join("lay"), &[5; 8_000]);
    done(&data, "import lay --as a:v1");
    fs::write(
        data.join("registry.toml"),
        "[[immutable]]\nrepositories = [\"a\"]\n[[upstream]]\nprefix = \"up\"\nurl = \"http://127.0.0.1:1\"\n",
    )
    .unwrap();
    for line in ["rm a:v1 --yes", "rm a:v1 --dry-run", "rm a --yes", "rm a:v1"] {
        let said = fails(&data, line, 1);
        assert!(said.contains("the tag v1 is immutable") && said.contains("--force"), "{line}: {said}");
    }
    let said = fails(&data, "import lay --as up/a:v1", 1);
    assert!(said.contains("under another name"), "{said}");
    assert!(done(&data, "rm a:v1 --dry-run --force").contains("by force, though immutable: v1"));
    let gone = value(&data, "rm a:v1 --yes --force");
    assert_eq!((&gone["removal"]["immutable"], &gone["removal"]["tags"]), (&json!(["v1"]), &json!(1)));
    assert!(!done(&data, "ls a").contains("v1"));
}
