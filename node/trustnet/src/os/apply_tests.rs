#![allow(clippy::unwrap_used)]
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::os::checks::tests::KEY;

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new(toml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "media",
            "root/sys/class/net/eth0/device",
            "root/sys/class/net/lo",
            "root/sys/class/net/wlan0/device",
        ] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        fs::create_dir_all(dir.path().join("root/sys/class/net/wlan0/wireless")).unwrap();
        let machine = Self { dir };
        fs::create_dir(machine.root().join("sbin")).unwrap();
        fs::write(machine.root().join(SUPPLICANT[0]), "").unwrap();
        machine.toml(toml);
        machine
    }

    fn toml(&self, text: &str) {
        fs::write(self.dir.path().join("media/trustnet.toml"), text).unwrap();
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn apply(&self) -> Applied {
        apply(Some(&self.dir.path().join("media")), &self.root())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }
}

#[test]
fn applied_twice_nothing_changes_the_second_time() {
    let machine = Machine::new(&format!(
        "hostname = \"a\"\n[ssh]\nkeys = [\"{KEY}\"]\n[wifi]\nssid = \"x\"\npassword = \"12345678\"\n"
    ));
    let first = machine.apply();
    assert!(first.failed.is_empty() && first.mistakes.is_empty(), "{first:?}");
    assert!(first.changed.contains(&"etc/hostname"));
    assert!(machine.apply().changed.is_empty());
    let secret = machine.root().join("etc/wpa_supplicant/wpa_supplicant.conf");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    // What is no longer asked for goes away.
    machine.toml("");
    let second = machine.apply();
    assert!(second.changed.contains(&"etc/wpa_supplicant/wpa_supplicant.conf"));
    assert!(!secret.exists());
    assert_eq!(machine.read("etc/hostname"), "trustnet\n");
}

#[test]
fn mistakes_are_reported_and_the_rest_is_applied() {
    let machine = Machine::new("hostname = 5\n[log]\nremote = \"1.2.3.4\"\n");
    let applied = machine.apply();
    assert_eq!(applied.mistakes.len(), 2, "the name, and nobody can log in: {applied:?}");
    let report = machine.read("run/trustnet/report.txt");
    assert!(
        report.contains("trustnet.toml:1:12: hostname must be a text in quotes; the name is made"),
        "{report}"
    );
    assert!(
        report.contains("trustnet.toml: there is no valid SSH key in [ssh] keys; nobody can log in"),
        "{report}"
    );
    assert!(machine.read("etc/conf.d/syslog").contains("-R 1.2.3.4:514"));
    assert!(machine.read("etc/network/interfaces").contains("auto eth0"));
    assert!(!machine.read("etc/network/interfaces").contains("wlan0"));
}

#[test]
fn without_a_supplicant_wifi_is_a_mistake_and_the_cable_gets_the_address() {
    let machine = Machine::new(&format!(
        "[ssh]\nkeys = [\"{KEY}\"]\n[network]\naddress = \"10.0.0.2/24\"\n[wifi]\nssid = \"x\"\n"
    ));
    fs::remove_file(machine.root().join(SUPPLICANT[0])).unwrap();
    let applied = machine.apply();
    assert_eq!(applied.mistakes.len(), 1, "{applied:?}");
    assert!(machine.read("run/trustnet/report.txt").contains("no wpa_supplicant"), "{applied:?}");
    let interfaces = machine.read("etc/network/interfaces");
    assert!(interfaces.contains("iface eth0 inet static") && !interfaces.contains("wlan0"), "{interfaces}");
}

#[test]
fn keys_of_the_image_stay_when_the_settings_name_none() {
    let machine = Machine::new("");
    let keys = machine.root().join("etc/ssh/authorized_keys");
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("warden"), "from the image\n").unwrap();
    assert!(machine.apply().mistakes.is_empty());
    assert_eq!(machine.read("etc/ssh/authorized_keys/warden"), "from the image\n");
}

#[test]
fn without_a_medium_the_defaults_apply() {
    let machine = Machine::new("hostname = \"a\"\n");
    let applied = apply(None, &machine.root());
    assert!(applied.failed.is_empty(), "{applied:?}");
    assert_eq!(machine.read("etc/hostname"), "trustnet\n");
    // The service's note names it.
    fs::write(
        machine.root().join("run/trustnet/media"),
        format!("{}\n", machine.dir.path().join("media").display()),
    )
    .unwrap();
    assert_eq!(media(None, &machine.root()), Some(machine.dir.path().join("media")));
}

#[test]
fn the_name_comes_from_the_key_of_the_home_or_of_the_one_in_the_making() {
    let machine = Machine::new("");
    for dir in [".new-keys", "config"] {
        let dir = machine.root().join(NODE_HOME).join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("node.key.pub"), format!("trustnet-public-v1 node {}\n", "c0de".repeat(16)))
            .unwrap();
        machine.apply();
        assert_eq!(machine.read("etc/hostname"), "trustnet-c0de\n");
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_written_does_not_stop_the_others() {
    let machine = Machine::new("");
    // A folder where a file should be.
    fs::create_dir_all(machine.root().join("etc/hostname/x")).unwrap();
    let applied = machine.apply();
    assert_eq!(applied.failed.len(), 1, "{applied:?}");
    assert!(applied.changed.contains(&"etc/network/interfaces"));
}
