//! From a mirror to a base and an image, and all that may go wrong on the way.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;

use super::mirror::{Mirror, Origin};
use super::testing::{Alpine, Apk, keys};
use super::{Keys, release};
use crate::base::Base;
use crate::build::{self, Settings};
use crate::cache::Cache;
use crate::fat;
use crate::inputs::{InputError, alpine_base};
use crate::screen::Screen;
use crate::tree::{Node, Tree};

const WORLD: &str = "alpine-base\ndoas\ne2fsprogs\nopenssh\n";

/// A folder with a mirror, a cache and a lock file.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(alpine: &Alpine) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        alpine.write(&place.mirror());
        place
    }

    fn mirror(&self) -> PathBuf {
        self.dir.path().join("mirror")
    }

    fn lock(&self) -> PathBuf {
        self.dir.path().join("alpine.lock")
    }

    fn file(&self, path: &str) -> PathBuf {
        self.mirror().join(path)
    }

    /// The base of the files in the folder.
    fn base(&self) -> Result<Base, InputError> {
        self.base_from(&Origin::Folder(self.mirror()), false, &keys())
    }

    fn base_from(&self, origin: &Origin, offline: bool, keys: &Keys) -> Result<Base, InputError> {
        let (cache, screen) = (Cache::new(self.dir.path().join("cache"), offline), Screen::quiet());
        alpine_base(&Mirror::new(origin, &cache, &screen), keys, &self.lock(), &overlay())
    }

    /// Changes a byte in the middle of a file.
    fn damage(&self, path: &str) {
        let path = self.file(path);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

fn overlay() -> Tree {
    let mut overlay = Tree::new();
    overlay.file("etc/hostname", 0o644, "trustnet\n").unwrap();
    overlay.file("etc/apk/world", 0o644, WORLD).unwrap();
    overlay
}

fn refusal(base: Result<Base, InputError>) -> String {
    base.expect_err("it is refused").to_string()
}

/// Serves a folder over HTTP until the tests end.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/alpine/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 2048];
            let read = stream.read(&mut request).unwrap();
            let line = String::from_utf8_lossy(&request[..read]).into_owned();
            let path =
                line.split(' ').nth(1).and_then(|path| path.strip_prefix("/alpine/")).unwrap_or_default();
            let head = |status, length| {
                format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
            };
            let answer = match fs::read(folder.join(path)) {
                Ok(bytes) => [head("200 OK", bytes.len()).as_bytes(), &bytes].concat(),
                Err(_) => head("404 Not Found", 0).into_bytes(),
            };
            stream.write_all(&answer).unwrap();
        }
    });
    url
}

#[test]
fn an_image_holds_alpines_medium_the_packages_beside_it_and_both_kernels() {
    let place = Place::new(&Alpine::good());
    let base = place.base().unwrap();
    let settings = Settings::default();
    let medium = build::medium(&base, &overlay(), &settings, "0.1.0").unwrap();
    let image = build::disk(&base, &medium).unwrap();
    assert_eq!(image.len() as u64, base.image_bytes);
    let tree = fat::read_image(std::io::Cursor::new(image.clone())).unwrap();
    let text = |path: &str| String::from_utf8_lossy(tree.read(path).unwrap()).into_owned();
    assert_eq!(text("boot/vmlinuz-rpi"), "boot/vmlinuz-rpi");
    assert_eq!(text("boot/vmlinuz-virt"), "MZ kernel", "unpacked, for UEFI");
    assert_eq!(text("EFI/BOOT/BOOTAA64.EFI"), "MZ loader");
    assert!(
        text("config.txt").contains("\nkernel=boot/vmlinuz-rpi\ninitramfs boot/initramfs-rpi followkernel\n")
    );
    assert!(text("cmdline.txt").contains(" modloop=/boot/modloop-rpi "));
    let entry = text("loader/entries/trustnet-1.conf");
    assert!(entry.contains("\nlinux /boot/vmlinuz-virt\ninitrd /boot/initramfs-virt\n"), "{entry}");
    assert!(entry.contains(" modloop=/boot/modloop-virt "), "{entry}");
    for path in [
        "apks/.boot_repository",
        "apks/aarch64/APKINDEX.tar.gz",
        "apks/aarch64/musl-1.2.5-r10.apk",
        "overlays/disable-bt.dtbo",
        "trustnet.apkovl.tar.gz",
        "trustnet.toml",
    ] {
        assert!(tree.get(path).is_some(), "{path}");
    }
    assert!(tree.get("boot/vmlinuz-lts").is_none());
    let beside = tree.iter().filter_map(|(path, _)| path.strip_prefix("trustnet/apks/"));
    assert_eq!(
        beside.collect::<Vec<_>>(),
        [
            "e2fsprogs-extra-1.47.2-r2.apk",
            "libmnl-1.0.5-r2.apk",
            "nftables-1.1.3-r0.apk",
            "nftables-openrc-1.1.3-r0.apk",
            "partx-2.41-r9.apk",
            "wpa_supplicant-2.11-r2.apk",
        ],
        "no second musl: the medium's will do"
    );
    let part = base.parts.iter().find(|part| part.name == "nftables").unwrap();
    assert_eq!((part.version.as_str(), part.licence.as_deref()), ("1.1.3-r0", Some("MIT")));
    assert!(base.parts.iter().any(|part| part.name.starts_with("alpine-rpi-3.22.2")));

    // The second is made by the lock file that the first wrote.
    let again = place.base().unwrap();
    let medium = build::medium(&again, &overlay(), &settings, "0.1.0").unwrap();
    assert!(build::disk(&again, &medium).unwrap() == image, "two images of the same inputs are the same");
    assert_eq!(base.parts, again.parts);
}

#[test]
fn whoever_changes_a_file_is_found_out_and_nothing_is_pinned() {
    let index = release::repository_path("main", "APKINDEX.tar.gz");
    let package = release::repository_path("main", "nftables-1.1.3-r0.apk");
    for (path, why) in [
        (release::boards_path(), "is not signed by the key"),
        (release::machines_path(), "is not signed by the key"),
        (index, "does not fit"),
        (package, "is not to be trusted"),
    ] {
        let place = Place::new(&Alpine::good());
        place.damage(&path);
        let error = refusal(place.base());
        assert!(error.contains(why) && error.contains("not to be trusted"), "{path}: {error}");
        assert!(!place.lock().exists(), "{path}");
    }
    let place = Place::new(&Alpine::good());
    let stranger = refusal(place.base_from(&Origin::Folder(place.mirror()), false, &Keys::alpine()));
    assert!(stranger.contains("is not signed by the key 0482D840"), "{stranger}");
}

#[test]
fn a_file_other_than_the_pinned_one_is_refused_even_if_it_is_signed() {
    let place = Place::new(&Alpine::good());
    place.base().unwrap();
    let path = release::repository_path("main", "nftables-1.1.3-r0.apk");
    let other = Apk::new("nftables", "1.1.3-r0").file("usr/sbin/nft", "older").bytes();
    fs::write(place.file(&path), other).unwrap();
    let error = refusal(place.base());
    assert!(error.contains("has the SHA-256"), "{error}");
}

#[test]
fn a_tarball_or_package_that_is_cut_short_is_refused() {
    for path in [release::boards_path(), release::repository_path("main", "APKINDEX.tar.gz")] {
        let place = Place::new(&Alpine::good());
        let bytes = fs::read(place.file(&path)).unwrap();
        fs::write(place.file(&path), &bytes[..bytes.len() - 100]).unwrap();
        assert!(place.base().is_err(), "{path}");
    }
    // Signed, but nothing that can be unpacked.
    let boards = Alpine::good().boards();
    let cut = &boards[..boards.len() - 100];
    let error = release::medium(cut, &[], &keys()).unwrap_err();
    assert!(error.to_string().starts_with("cannot unpack v3.22/releases/"), "{error}");
}

#[test]
fn a_medium_that_is_not_as_expected_is_refused() {
    let with = |change: &dyn Fn(&mut Alpine)| {
        let mut alpine = Alpine::good();
        change(&mut alpine);
        refusal(Place::new(&alpine).base())
    };
    let error = with(&|alpine| alpine.more.file("other.apkovl.tar.gz", 0o644, "").unwrap());
    assert!(error.contains("an overlay of its own"), "{error}");
    let error = with(&|alpine| alpine.more.link("apks/link", "/etc").unwrap());
    assert!(error.contains("apks/link is a link"), "{error}");
    let error = with(&|alpine| alpine.more.file("apks/aarch64/evil-1-r0.apk", 0o644, "").unwrap());
    assert!(error.contains("evil-1-r0.apk is not in its index"), "{error}");
    let error = with(&|alpine| alpine.medium.retain(|apk| apk.entry().name != "doas"));
    assert!(error.contains("the medium has to hold") && error.contains("needs doas"), "{error}");
    let error = with(&|alpine| alpine.main.retain(|apk| apk.entry().name != "libmnl"));
    assert!(error.contains("nftables needs so:libmnl.so.0"), "{error}");
    let error = with(&|alpine| alpine.main.retain(|apk| apk.entry().name != "systemd-boot"));
    assert!(error.contains("systemd-boot"), "{error}");
}

#[test]
fn what_was_taken_once_is_taken_again_without_a_network() {
    let place = Place::new(&Alpine::good());
    let origin = Origin::Url(serve(place.mirror()));
    let nothing = refusal(place.base_from(&origin, true, &keys()));
    for next in ["--alpine-mirror", "--base-dir", "--base debian", "--offline"] {
        assert!(nothing.contains(next), "{next}: {nothing}");
    }
    let online = place.base_from(&origin, false, &keys()).unwrap();
    let offline = place.base_from(&origin, true, &keys()).unwrap();
    assert_eq!(online.medium, offline.medium);
    // Neither does another mirror that is down matter now.
    let down = Origin::Url("http://127.0.0.1:9/alpine".into());
    assert_eq!(place.base_from(&down, false, &keys()).unwrap().medium, online.medium);
}

#[test]
fn a_release_is_downloaded_once_though_the_packages_are_looked_for_anew() {
    let place = Place::new(&Alpine::good());
    let origin = Origin::Url(serve(place.mirror()));
    let first = place.base_from(&origin, false, &keys()).unwrap();
    fs::remove_file(place.lock()).unwrap();
    fs::remove_file(place.file(&release::boards_path())).unwrap();
    let again = place.base_from(&origin, false, &keys()).unwrap();
    assert_eq!(first.medium, again.medium);
    // But what lies in the cache is not believed either.
    fs::remove_file(place.lock()).unwrap();
    for entry in fs::read_dir(place.dir.path().join("cache")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("alpine-rpi") {
            fs::write(path, "changed").unwrap();
        }
    }
    assert!(refusal(place.base_from(&origin, false, &keys())).contains("HTTP 404"));
}

#[test]
fn a_service_that_nothing_brings_is_named() {
    let mut alpine = Alpine::good();
    alpine
        .medium
        .push(Apk::new("openssh-openrc", "1-r0").install_if("openrc openssh").file("etc/init.d/sshd", ""));
    alpine.medium.push(Apk::new("chrony", "1-r0").file("etc/init.d/chronyd", ""));
    let place = Place::new(&alpine);
    let origin = Origin::Folder(place.mirror());
    let (cache, screen) = (Cache::new(place.dir.path().into(), true), Screen::quiet());
    let files = super::fetch(&Mirror::new(&origin, &cache, &screen), &keys(), WORLD).unwrap();
    let mut overlay = overlay();
    overlay.file("etc/init.d/trustnet-node", 0o755, "").unwrap();
    for service in ["sshd", "trustnet-node", "chronyd", "local"] {
        overlay.link(&format!("etc/runlevels/default/{service}"), &format!("/etc/init.d/{service}")).unwrap();
    }
    let missing = super::services::missing(&files, &overlay).unwrap();
    assert_eq!(missing, ["chronyd", "local"], "chrony is on the medium, but nobody installs it");
}

#[test]
fn a_mirror_that_is_down_leads_to_the_next_step() {
    let place = Place::new(&Alpine::good());
    let down = Origin::Url("http://127.0.0.1:9/alpine".into());
    let error = refusal(place.base_from(&down, false, &keys()));
    assert!(error.contains("alpine-rpi-3.22.2-aarch64.tar.gz") && error.contains("--base debian"), "{error}");
    let nowhere = Origin::Folder(Path::new("/nowhere").into());
    let error = refusal(place.base_from(&nowhere, false, &keys()));
    assert!(error.contains("cannot read /nowhere/v3.22/releases"), "{error}");
}

#[test]
fn a_package_that_the_mirror_dropped_is_replaced_by_what_is_signed_now() {
    let mut alpine = Alpine::good();
    let place = Place::new(&alpine);
    let origin = Origin::Url(serve(place.mirror()));
    place.base_from(&origin, false, &keys()).unwrap();
    // Another machine has the lock file, but not the cache; meanwhile there is an update.
    fs::remove_dir_all(place.dir.path().join("cache")).unwrap();
    fs::remove_dir_all(place.mirror()).unwrap();
    alpine.main.retain(|apk| apk.entry().name != "partx");
    alpine.main.push(Apk::new("partx", "2.41-r10"));
    alpine.write(&place.mirror());
    let before = fs::read(place.lock()).unwrap();
    let base = place.base_from(&origin, false, &keys()).unwrap();
    assert!(matches!(base.medium.get("trustnet/apks/partx-2.41-r10.apk").unwrap().node, Node::File(_)));
    assert_eq!(fs::read(place.lock()).unwrap(), before, "only `lock` changes what is pinned");
}
