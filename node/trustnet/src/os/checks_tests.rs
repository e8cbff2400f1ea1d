#![allow(clippy::unwrap_used)]
use super::*;

pub const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBevEw3XEJRFZfuLwLzRM9UGyHXvLCSWpF1YnBC9Jv6B me@laptop";

#[test]
fn host_names_are_one_label_in_lower_case() {
    assert_eq!(hostname("Kitchen-2").unwrap(), "kitchen-2");
    for bad in
        ["", "-a", "a-", "a.b", "a b", "a\nb", "a;reboot", "$(id)", "küche", "localhost", &"a".repeat(64)]
    {
        assert!(hostname(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_key_is_taken_with_its_comment_and_without_options() {
    assert_eq!(ssh_key(KEY).unwrap(), KEY);
    assert_eq!(ssh_key(&format!("  {KEY}  \n")).unwrap(), KEY);
    let error = ssh_key(&format!("command=\"sh\" {KEY}")).unwrap_err();
    assert!(error.contains("options in front"), "{error}");
    assert!(ssh_key("-----BEGIN OPENSSH PRIVATE KEY-----").unwrap_err().contains(".pub"));
}

#[test]
fn no_second_line_can_be_smuggled_in_behind_a_key() {
    let (kind, rest) = KEY.split_once(' ').unwrap();
    let blob = rest.split_once(' ').unwrap().0;
    let smuggled = ssh_key(&format!("{kind} {blob} me\nssh-ed25519 {blob} evil\r\u{85}\u{2028}x")).unwrap();
    assert!(!smuggled.contains(['\n', '\r', '\u{85}', '\u{2028}']), "{smuggled:?}");
    assert_eq!(smuggled, format!("{kind} {blob} me ssh-ed25519 {blob} evil x"));
}

#[test]
fn a_damaged_key_is_noticed() {
    let (kind, rest) = KEY.split_once(' ').unwrap();
    let blob = rest.split_once(' ').unwrap().0;
    let cut = &blob[..blob.len() - 12];
    for bad in [
        "ssh-ed25519".to_owned(),
        "AAAA".to_owned(),
        format!("{kind} {cut}"),
        format!("ssh-rsa {blob}"),
        format!("{kind} {blob}!"),
        format!("ssh-dss {blob}"),
        format!("{kind} {}", "A".repeat(5_000)),
    ] {
        assert!(ssh_key(&bad).is_err(), "{bad}");
    }
}

#[test]
fn addresses_carry_their_network() {
    assert_eq!(cidr("192.168.1.20/24").unwrap(), Cidr { addr: "192.168.1.20".parse().unwrap(), prefix: 24 });
    assert_eq!(cidr("2001:db8::5/64").unwrap().prefix, 64);
    assert!(cidr("10.0.0.1/31").is_ok(), "point to point");
    for bad in [
        "192.168.1.20",
        "192.168.1.300/24",
        "192.168.1.20/33",
        "192.168.1.20/+24",
        "192.168.1.0/24",
        "192.168.1.255/24",
        "127.0.0.1/8",
        "224.0.0.1/24",
        "0.0.0.0/24",
        "::/64",
        "1.2.3.4/24\n\tup reboot",
        "1.2.3.4/0",
        "255.255.255.255/32",
    ] {
        assert!(cidr(bad).is_err(), "{bad:?}");
    }
    let net = cidr("192.168.1.20/24").unwrap();
    assert!(net.contains("192.168.1.1".parse().unwrap()));
    assert!(!net.contains("192.168.2.1".parse().unwrap()) && !net.contains("fd00::1".parse().unwrap()));
    assert!(cidr("1.2.3.4/32").unwrap().contains("1.2.3.4".parse().unwrap()));
}

#[test]
fn a_private_address_begins_with_fd() {
    assert!(ula("fd10:1234::1/64").is_ok());
    for bad in ["2001:db8::1/64", "fe80::1/64", "192.168.1.2/24", "fd10::1", "yes"] {
        assert!(ula(bad).is_err(), "{bad}");
    }
}

#[test]
fn wifi_values_are_bounded_and_passwords_never_shown() {
    assert_eq!(ssid("\"evil\n}\"").unwrap(), b"\"evil\n}\"", "written in hexadecimal, so anything goes");
    assert!(ssid("").is_err() && ssid(&"x".repeat(33)).is_err());
    assert_eq!(wifi_password("pass \"word\" #1").unwrap(), "pass \"word\" #1");
    assert!(wifi_password(&"aB".repeat(32)).is_ok());
    for bad in ["short", "new\nline12", "tab\there12", "umläut1234", &"z".repeat(64)] {
        let error = wifi_password(bad).unwrap_err();
        assert!(!error.contains(bad), "{error}");
    }
    assert_eq!(country("de").unwrap(), "DE");
    assert!(country("GER").is_err() && country("d\n").is_err());
}

#[test]
fn nodes_and_paths_stay_what_they_are() {
    assert_eq!(join("node-1.local:26657").unwrap(), "http://node-1.local:26657");
    assert_eq!(join("http://[fd10:1234::1]:26657").unwrap(), "http://[fd10:1234::1]:26657");
    for bad in ["https://x", "", "http://a b", "http://x/$(id)", "http://x\ny", "http://user@host:1"] {
        assert!(join(bad).is_err(), "{bad:?}");
    }
    let id = "ab".repeat(32);
    assert!(peer(&format!("{id}@node-1.lan:26656")).is_ok());
    assert!(peer(&format!("{id}@node\";:26656")).is_err());
    assert_eq!(path("node-1/").unwrap(), "node-1");
    for bad in ["", "/etc/shadow", "../etc", "a/../../b", "a b", "a\n", "-rf", "x/-y"] {
        assert!(path(bad).is_err(), "{bad:?}");
    }
    assert!(node_name("kitchen").is_ok() && node_name("No Way").is_err());
}

#[test]
fn a_log_server_is_host_and_port_and_no_option() {
    for (text, expected) in [
        ("192.168.1.5", "192.168.1.5:514"),
        ("192.168.1.5:1514", "192.168.1.5:1514"),
        ("log.lan", "log.lan:514"),
        ("fd10::5", "[fd10::5]:514"),
        ("[fd10::5]:99", "[fd10::5]:99"),
        ("[fd10::5]", "[fd10::5]:514"),
    ] {
        assert_eq!(remote_log(text).unwrap(), expected);
    }
    for bad in [
        "",
        "a b",
        "x:0",
        "x:99999",
        "x:+5",
        "x\" -O /etc/passwd",
        "$(id):5",
        "`id`",
        "-x",
        "a..b",
        "[x]:5",
        "x\n",
    ] {
        assert!(remote_log(bad).is_err(), "{bad:?}");
    }
}
