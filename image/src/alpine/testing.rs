//! An Alpine of the tests' own: packages, indices and a release, signed with a key that nobody else trusts.

use std::io::Write;
use std::path::Path;

use base64::Engine;
use ring::{digest, rand, signature};

use super::index::Entry;
use super::keys::{Key, Keys};
use super::release;
use super::version::Demand;
use crate::archive::{tar_gz, write_tar};
use crate::cache::sha256_hex;
use crate::tree::Tree;

/// Name of the key.
pub const KEY_NAME: &str = "tests@trustnet-00000000.rsa.pub";
const PRIVATE: &[u8] = include_bytes!("test-data/test-key.pk8");
const PUBLIC: &str = include_str!("test-data/test-key.rsa.pub");

/// The key in all places.
pub fn keys() -> Keys {
    let key = Key::from_pem(KEY_NAME, PUBLIC).unwrap();
    Keys { packages: vec![key.clone()], release: key }
}

fn sign(how: &'static dyn signature::RsaEncoding, message: &[u8]) -> Vec<u8> {
    let pair = signature::RsaKeyPair::from_pkcs8(PRIVATE).unwrap();
    let mut out = vec![0; pair.public().modulus_len()];
    pair.sign(how, &rand::SystemRandom::new(), message, &mut out).unwrap();
    out
}

/// A tar without its end, as Alpine joins them.
fn cut_tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tree = Tree::new();
    for (path, content) in files {
        tree.file(path, 0o644, *content).unwrap();
    }
    let mut tar = Vec::new();
    write_tar(&tree, &mut tar).unwrap();
    tar.truncate(tar.len() - 1024);
    tar
}

/// A gzip stream.
pub fn gz(content: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(content).unwrap();
    gz.finish().unwrap()
}

/// A message behind a stream with its signature.
pub fn signed(message: &[u8]) -> Vec<u8> {
    let signature = sign(&signature::RSA_PKCS1_SHA256, message);
    let stream = gz(&cut_tar(&[(&format!(".SIGN.RSA256.{KEY_NAME}"), &signature)]));
    [stream.as_slice(), message].concat()
}

/// An index with this text.
pub fn signed_index(text: &str) -> Vec<u8> {
    let mut tree = Tree::new();
    tree.file("APKINDEX", 0o644, text).unwrap();
    tree.file("DESCRIPTION", 0o644, "tests").unwrap();
    signed(&tar_gz(&tree).unwrap())
}

/// A detached signature, as `gpg --armor --detach-sign` writes it.
pub fn sign_release(document: &[u8]) -> String {
    let hashed = [4, 0, 1, 10, 0, 0];
    let trailer = [4, 0xff, 0, 0, 0, hashed.len() as u8];
    let signature = sign(&signature::RSA_PKCS1_SHA512, &[document, &hashed, &trailer].concat());
    // No further subpackets, and two bytes of the hash that nobody reads.
    let zeros = signature.iter().take_while(|byte| **byte == 0).count();
    let number = &signature[zeros..];
    let bits = number.len() as u16 * 8 - number[0].leading_zeros() as u16;
    let body = [&hashed[..], &[0, 0, 0, 0], &bits.to_be_bytes(), number].concat();
    let packet = [&[0x89][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    let text = base64::engine::general_purpose::STANDARD.encode(packet);
    format!("-----BEGIN PGP SIGNATURE-----\n\n{text}\n-----END PGP SIGNATURE-----\n")
}

/// A package.
#[derive(Debug, Clone, Default)]
pub struct Apk {
    name: String,
    version: String,
    needs: String,
    provides: String,
    install_if: String,
    priority: u32,
    files: Vec<(String, String)>,
    raw_path: Option<String>,
}

impl Apk {
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.into(), version: version.into(), ..Self::default() }
    }

    pub fn needs(self, needs: &str) -> Self {
        Self { needs: needs.into(), ..self }
    }

    pub fn provides(self, provides: &str) -> Self {
        Self { provides: provides.into(), ..self }
    }

    pub fn install_if(self, install_if: &str) -> Self {
        Self { install_if: install_if.into(), ..self }
    }

    pub fn priority(self, priority: u32) -> Self {
        Self { priority, ..self }
    }

    pub fn file(mut self, path: &str, content: &str) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// A file at a path that no tool would write.
    pub fn raw_path(self, path: &str) -> Self {
        Self { raw_path: Some(path.into()), ..self }
    }

    fn control_and_data(&self) -> (Vec<u8>, Vec<u8>) {
        let mut tree = Tree::new();
        for (path, content) in &self.files {
            tree.file(path, 0o644, content.as_str()).unwrap();
        }
        let mut tar = Vec::new();
        if let Some(path) = &self.raw_path {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(0);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_cksum();
            tar.extend_from_slice(header.as_bytes());
        }
        write_tar(&tree, &mut tar).unwrap();
        let data = gz(&tar);
        let Self { name, version, .. } = self;
        let hash = sha256_hex(&data);
        let info = format!("pkgname = {name}\npkgver = {version}\nlicense = MIT\ndatahash = {hash}\n");
        (gz(&cut_tar(&[(".PKGINFO", info.as_bytes())])), data)
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let (control, data) = self.control_and_data();
        [signed(&control), data].concat()
    }

    fn stanza(&self) -> String {
        let (control, _) = self.control_and_data();
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &control);
        let sha1 = base64::engine::general_purpose::STANDARD.encode(sha1);
        let Self { name, version, needs, provides, install_if, priority, .. } = self;
        let bytes = self.bytes().len();
        format!(
            "C:Q1{sha1}\nP:{name}\nV:{version}\nA:aarch64\nS:{bytes}\nL:MIT\nD:{needs}\np:{provides}\ni:{install_if}\nk:{priority}\n\n"
        )
    }

    /// What an index says of it.
    pub fn entry(&self) -> Entry {
        let (control, _) = self.control_and_data();
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &control);
        let list = |text: &str| text.split_whitespace().map(|text| Demand::parse(text).unwrap()).collect();
        let provides = self.provides.split_whitespace().map(|text| match text.split_once('=') {
            Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
            None => (text.to_owned(), None),
        });
        Entry {
            name: self.name.clone(),
            version: self.version.clone(),
            control_sha1: sha1.as_ref().try_into().unwrap(),
            bytes: self.bytes().len() as u64,
            licence: "MIT".into(),
            depends: list(&self.needs),
            provides: provides.collect(),
            install_if: list(&self.install_if),
            priority: self.priority,
        }
    }
}

/// A mirror with a release and two repositories.
#[derive(Debug, Clone)]
pub struct Alpine {
    /// Packages on the medium.
    pub medium: Vec<Apk>,
    /// Packages of `main`.
    pub main: Vec<Apk>,
    /// More files in the tarball for boards.
    pub more: Tree,
}

impl Alpine {
    /// One that gives a base.
    pub fn good() -> Self {
        let medium = [
            Apk::new("alpine-base", "3.22.2-r0").needs("busybox openrc"),
            Apk::new("busybox", "1.37.0-r19")
                .needs("so:libc.musl-aarch64.so.1")
                .provides("cmd:sh=1.37.0-r19 /bin/sh"),
            Apk::new("doas", "6.8.2-r7").needs("so:libc.musl-aarch64.so.1"),
            Apk::new("e2fsprogs", "1.47.2-r2").needs("so:libc.musl-aarch64.so.1"),
            Apk::new("musl", "1.2.5-r10").provides("so:libc.musl-aarch64.so.1=1"),
            Apk::new("openrc", "0.62.6-r0").needs("/bin/sh"),
            Apk::new("openssh", "10.0_p1-r9"),
            Apk::new("openssl", "3.5.4-r0"),
            Apk::new("wpa_supplicant", "2.11-r2"),
        ];
        let main = [
            Apk::new("e2fsprogs-extra", "1.47.2-r2").needs("e2fsprogs so:libc.musl-aarch64.so.1"),
            Apk::new("libmnl", "1.0.5-r2").provides("so:libmnl.so.0=0.2.0"),
            Apk::new("musl", "1.2.5-r12").provides("so:libc.musl-aarch64.so.1=1"),
            Apk::new("nftables", "1.1.3-r0").needs("so:libmnl.so.0 so:libc.musl-aarch64.so.1"),
            Apk::new("nftables-openrc", "1.1.3-r0").install_if("openrc nftables=1.1.3-r0"),
            Apk::new("partx", "2.41-r9"),
            Apk::new("systemd-boot", "257.6-r0")
                .file("usr/lib/systemd/boot/efi/systemd-bootaa64.efi", "MZ loader"),
        ];
        Self { medium: medium.into(), main: main.into(), more: Tree::new() }
    }

    /// The tarball for boards.
    pub fn boards(&self) -> Vec<u8> {
        let mut tree = self.more.clone();
        for path in [
            "boot/vmlinuz-rpi",
            "boot/initramfs-rpi",
            "boot/modloop-rpi",
            "start4.elf",
            "fixup4.dat",
            "config.txt",
        ] {
            tree.file(path, 0o644, path).unwrap();
        }
        tree.file("overlays/disable-bt.dtbo", 0o600, "dtbo").unwrap();
        tree.file("apks/.boot_repository", 0o644, "").unwrap();
        for apk in &self.medium {
            let path = release::medium_path(&apk.entry().file());
            tree.file(&path, 0o644, apk.bytes()).unwrap();
        }
        tree.file(&release::medium_path("APKINDEX.tar.gz"), 0o644, repository(&self.medium)).unwrap();
        tar_gz(&tree).unwrap()
    }

    /// Writes it to a folder, which is then what a mirror has below its URL.
    pub fn write(&self, folder: &Path) {
        let put = |path: &str, bytes: &[u8]| {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let mut machines = Tree::new();
        machines.file("boot/vmlinuz-virt", 0o644, gz(b"MZ kernel")).unwrap();
        for path in ["boot/initramfs-virt", "boot/modloop-virt", "boot/vmlinuz-lts"] {
            machines.file(path, 0o644, path).unwrap();
        }
        for (path, tarball) in
            [(release::boards_path(), self.boards()), (release::machines_path(), tar_gz(&machines).unwrap())]
        {
            put(&format!("{path}.asc"), sign_release(&tarball).as_bytes());
            put(&path, &tarball);
        }
        for (repository_name, packages) in [("main", &self.main[..]), ("community", &[])] {
            put(&release::repository_path(repository_name, "APKINDEX.tar.gz"), &repository(packages));
            for apk in packages {
                put(&release::repository_path(repository_name, &apk.entry().file()), &apk.bytes());
            }
        }
    }
}

fn repository(packages: &[Apk]) -> Vec<u8> {
    signed_index(&packages.iter().map(Apk::stanza).collect::<String>())
}
