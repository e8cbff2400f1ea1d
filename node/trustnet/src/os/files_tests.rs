#![allow(clippy::unwrap_used)]
use super::*;
use crate::os::settings::parse;

fn facts(wired: &[&str]) -> Facts {
    Facts { wired: wired.iter().map(|name| (*name).to_owned()).collect(), node_key: Some([0xab; 32]) }
}

fn made(text: &str, facts: &Facts) -> Files {
    let (settings, mistakes) = parse(text.as_bytes());
    assert!(mistakes.is_empty(), "{mistakes:?}");
    files(&settings, facts)
}

fn text<'a>(files: &'a Files, path: &str) -> &'a str {
    match &files[path] {
        File::Text { text, .. } => text,
        File::Absent => panic!("{path} is absent"),
    }
}

#[test]
fn without_settings_everything_comes_from_dhcp_and_the_key() {
    let files = made("", &facts(&["eth0"]));
    assert_eq!(text(&files, "etc/hostname"), "trustnet-abab\n");
    let private = private_address(&[0xab; 32]).addr;
    assert!(private.to_string().starts_with("fd10:1234::"), "{private}");
    assert_eq!(
        text(&files, "etc/network/interfaces"),
        format!(
            "# Written by `trustnet os apply` at each start.\nauto lo\niface lo inet loopback\n\n\
             auto eth0\niface eth0 inet dhcp\niface eth0 inet6 static\n\taddress {private}\n\tnetmask 64\n"
        )
    );
    assert!(text(&files, "etc/conf.d/syslog").ends_with("\nSYSLOGD_OPTS=\"-t -D -C4096\"\n"));
    for absent in
        ["etc/wpa_supplicant/wpa_supplicant.conf", "etc/udhcpc/udhcpc.conf", "etc/conf.d/trustnet-registry"]
    {
        assert_eq!(files[absent], File::Absent, "{absent}");
    }
    // Keys that the image brings are left alone, as is what DHCP writes.
    assert!(!files.contains_key("etc/ssh/authorized_keys/warden") && !files.contains_key("etc/resolv.conf"));
    assert!(!text(&files, "etc/nftables.d/registry.nft").contains("add"));
}

#[test]
fn before_there_is_a_key_and_a_card_there_is_still_a_network() {
    let files = made("", &Facts::default());
    assert_eq!(text(&files, "etc/hostname"), "trustnet\n");
    assert!(text(&files, "etc/network/interfaces").ends_with("auto eth0\niface eth0 inet dhcp\n"));
}

#[test]
fn a_fixed_address_brings_gateway_and_name_servers() {
    let toml = "[network]\naddress = \"192.168.1.20/26\"\ngateway = \"192.168.1.1\"\n\
                dns = [\"9.9.9.9\", \"fd00::1\"]\nula = false\n";
    let files = made(toml, &facts(&["eth0", "eth1"]));
    assert!(text(&files, "etc/network/interfaces").ends_with(
        "auto eth0\niface eth0 inet static\n\taddress 192.168.1.20\n\tnetmask 255.255.255.192\n\tgateway 192.168.1.1\n\
         \nauto eth1\niface eth1 inet dhcp\n"
    ));
    assert_eq!(text(&files, "etc/resolv.conf"), "nameserver 9.9.9.9\nnameserver fd00::1\n");
    assert_eq!(text(&files, "etc/udhcpc/udhcpc.conf"), "RESOLV_CONF=\"no\"\n");
}

#[test]
fn a_second_card_with_a_chosen_private_address_is_the_network_of_the_nodes() {
    let files = made("[network]\nula = \"fd10:1234::1/64\"\n", &facts(&["eth0", "eth1"]));
    assert!(text(&files, "etc/network/interfaces").ends_with(
        "auto eth0\niface eth0 inet dhcp\n\nauto eth1\niface eth1 inet6 static\n\taddress fd10:1234::1\n\tnetmask 64\n"
    ));
    let one = made("[network]\nula = \"fd10:1234::1/64\"\n", &facts(&["eth0"]));
    assert!(text(&one, "etc/network/interfaces").contains("iface eth0 inet dhcp\niface eth0 inet6 static"));
}

#[test]
fn wifi_takes_the_fixed_address_and_without_a_cable_the_private_one() {
    let toml = "[network]\naddress = \"10.0.0.2/24\"\nula = \"fd00::1/64\"\n[wifi]\nssid = \"a\"\npassword = \"12345678\"\n";
    let files = made(toml, &facts(&[]));
    let interfaces = text(&files, "etc/network/interfaces");
    assert!(
        interfaces.ends_with(
            "auto wlan0\niface wlan0 inet static\n\taddress 10.0.0.2\n\tnetmask 255.255.255.0\n\
         iface wlan0 inet6 static\n\taddress fd00::1\n\tnetmask 64\n"
        ),
        "{interfaces}"
    );
}

#[test]
fn nothing_in_a_wifi_name_or_password_can_mean_anything() {
    let toml = "[wifi]\nssid = \"x\\\"\\n}\\nnetwork={\"\npassword = \"a\\\" # } b\\\\\"\ncountry = \"de\"\n";
    let files = made(toml, &facts(&["eth0"]));
    let File::Text { text, mode } = &files["etc/wpa_supplicant/wpa_supplicant.conf"] else { panic!() };
    assert_eq!(*mode, 0o600);
    let name = hex::encode("x\"\n}\nnetwork={");
    assert_eq!(
        *text,
        format!(
            "# Written by `trustnet os apply` at each start.\ncountry=DE\nnetwork={{\n\tssid={name}\n\tscan_ssid=1\n\
             \tkey_mgmt=WPA-PSK SAE\n\tieee80211w=1\n\tpsk=\"a\" # }} b\\\"\n}}\n"
        )
    );
    let key = "Ab".repeat(32);
    let files = made(&format!("[wifi]\nssid = \"x\"\npassword = \"{key}\"\n"), &facts(&[]));
    assert!(self::text(&files, "etc/wpa_supplicant/wpa_supplicant.conf").contains(&format!("\tpsk={key}\n")));
    let open = made("[wifi]\nssid = \"x\"\n", &facts(&[]));
    assert!(self::text(&open, "etc/wpa_supplicant/wpa_supplicant.conf").contains("key_mgmt=NONE"));
}

#[test]
fn only_wifis_file_holds_the_password() {
    let toml = "[wifi]\nssid = \"x\"\npassword = \"topsecret\"\n";
    let files = made(toml, &facts(&["eth0"]));
    for (path, file) in &files {
        let File::Text { text, mode } = file else { continue };
        assert_eq!(text.contains("topsecret"), *mode == 0o600, "{path}");
    }
}

#[test]
fn the_registry_opens_its_ports_only_when_enabled() {
    let files = made("[registry]\nenabled = true\n", &facts(&[]));
    assert_eq!(
        text(&files, "etc/nftables.d/registry.nft"),
        "add element inet trustnet registry_ports { 8000, 8053 }\n"
    );
    let options = text(&files, "etc/conf.d/trustnet-registry");
    assert!(
        options.contains(&format!("\nregistry_options=\"--trust-key {}\"\n", "ab".repeat(32))),
        "{options}"
    );
    // Before the node has a key, the registry serves all the same.
    let files = made("[registry]\nenabled = true\n", &Facts::default());
    assert!(!text(&files, "etc/conf.d/trustnet-registry").contains("options"));
}

#[test]
fn keys_go_to_the_warden_and_with_the_registry_to_the_keeper() {
    let key = crate::os::checks::tests::KEY;
    let files = made(&format!("[ssh]\nkeys = [\"{key}\"]\n"), &facts(&[]));
    assert_eq!(text(&files, "etc/ssh/authorized_keys/warden"), format!("{key}\n"));
    assert_eq!(files["etc/ssh/authorized_keys/keeper"], File::Absent);
    let files = made(&format!("[ssh]\nkeys = [\"{key}\"]\n[registry]\nenabled = true\n"), &facts(&[]));
    assert_eq!(text(&files, "etc/ssh/authorized_keys/keeper"), format!("{key}\n"));
}

#[test]
fn a_remote_log_is_one_more_option() {
    let files = made("[log]\nremote = \"log.lan:99\"\n", &facts(&[]));
    assert!(
        text(&files, "etc/conf.d/syslog").ends_with("\nSYSLOGD_OPTS=\"-t -D -C4096 -L -R log.lan:99\"\n")
    );
}

/// The overlay's own files are what `apply` writes without settings, where it writes them at all.
#[test]
fn the_overlays_defaults_agree() {
    let overlay = include_str!("../../../../overlays/etc/conf.d/syslog");
    let files = made("", &facts(&["eth0"]));
    assert_eq!(overlay, text(&files, "etc/conf.d/syslog"));
    assert_eq!(
        include_str!("../../../../overlays/etc/nftables.d/registry.nft"),
        text(&files, "etc/nftables.d/registry.nft")
    );
}
