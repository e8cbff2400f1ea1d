#![allow(clippy::unwrap_used)]
use super::*;
use crate::os::checks::tests::KEY;

/// Settings and the mistakes as lines without the file's name.
fn read(text: &str) -> (Settings, Vec<String>) {
    let (settings, mistakes) = parse(text.as_bytes());
    let lines = mistakes.iter().map(|mistake| mistake.to_string().replace("trustnet.toml:", "")).collect();
    (settings, lines)
}

/// The one mistake of a text.
fn mistake(text: &str) -> String {
    let (_, mistakes) = read(text);
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    mistakes[0].clone()
}

#[test]
fn everything_that_can_be_set() {
    let id = "ab".repeat(32);
    let text = format!(
        "hostname = \"Kitchen\"\n[ssh]\nkeys = [\"{KEY}\"]\n[network]\naddress = \"192.168.1.20/24\"\n\
         gateway = \"192.168.1.1\"\ndns = [\"192.168.1.1\"]\nula = \"fd10:1234::1/64\"\n[wifi]\nssid = \"home\"\n\
         password = \"12345678\"\ncountry = \"de\"\n[node]\nname = \"kitchen\"\njoin = [\"http://node-1.local:26657\"]\n\
         peers = [\"{id}@node-1:26656\"]\ngenesis = \"genesis.json\"\nkeys = \"node-1/\"\n[log]\n\
         remote = \"192.168.1.5\"\n[registry]\nenabled = true\n"
    );
    let (settings, mistakes) = read(&text);
    assert_eq!(mistakes, Vec::<String>::new());
    assert_eq!(settings.hostname.as_deref(), Some("kitchen"));
    assert_eq!(settings.ssh_keys, [KEY]);
    assert_eq!(settings.network.gateway, Some("192.168.1.1".parse().unwrap()));
    assert!(matches!(settings.network.ula, Ula::Fixed(_)));
    assert_eq!(settings.wifi.as_ref().unwrap().country.as_deref(), Some("DE"));
    assert_eq!(settings.node.keys.as_deref(), Some("node-1"));
    assert_eq!(settings.remote_log.as_deref(), Some("192.168.1.5:514"));
    assert!(settings.registry);
    // With Windows' line ends and mark, the same.
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(read(&windows), (settings, Vec::new()));
}

#[test]
fn the_template_sets_nothing_and_each_of_its_lines_is_valid() {
    assert_eq!(read(TEMPLATE), (Settings::default(), Vec::new()));
    // With the sign in front of a setting removed, all that remains wrong are the placeholders, and the
    // second example of `ula`.
    let active: String = TEMPLATE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") && !rest.contains("fd10:1234::1") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let (settings, mistakes) = read(&active);
    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
    assert!(mistakes[0].contains("ssh.keys") && mistakes[1].contains("node.peers"), "{mistakes:#?}");
    assert_eq!(settings.hostname.as_deref(), Some("kitchen"));
}

#[test]
fn an_empty_or_missing_file_is_no_mistake() {
    assert_eq!(read(""), (Settings::default(), Vec::new()));
    assert_eq!(read("[ssh]\n[wifi]\n"), (Settings::default(), Vec::new()));
}

#[test]
fn each_kind_of_mistake_has_its_place_and_costs_only_itself() {
    for (line, expected) in [
        (
            "hostnme = \"a\"",
            "2:1: there is no setting `hostnme` before the first section; did you mean `hostname`?",
        ),
        (
            "zzzzzzzzzz = 1",
            "2:1: there is no setting `zzzzzzzzzz` before the first section (known: hostname,",
        ),
        ("hostname = 5", "2:12: hostname must be a text in quotes; the name is made from"),
        ("hostname = \"a b\"", "2:12: hostname: \"a b\" is not a host name"),
        ("hostname = kitchen", "2:"),
        ("hostname = \"kitchen", "2:"),
        ("ssh = 5", "2:7: `ssh` must be a section: [ssh]"),
        ("ssh.keys = \"x\"", "2:12: ssh.keys must be a list of texts"),
        ("ssh.keys = [\"x\", 7]", "2:13: ssh.keys: \"x\" is no SSH key"),
        (
            "network.address = \"1.2.3.4\"",
            "2:19: network.address: \"1.2.3.4\" is not an address with its network",
        ),
        ("network.gateway = \"1.2.3.4\"", "2:19: network.gateway: a gateway is used only together"),
        ("network.dns = [\"dns.lan\"]", "2:16: network.dns: \"dns.lan\" is no IP address"),
        ("network.ula = 1", "2:15: network.ula must be true or false"),
        ("network.ula = \"::1/64\"", "2:15: network.ula: \"::1/64\" is not as"),
        ("wifi.ssid = \"\"", "2:13: wifi.ssid: the name of a wireless network"),
        ("wifi.password = \"12345678\"", "2:17: wifi.password: it needs an ssid, too; Wi-Fi stays off"),
        ("node.name = \"No\"", "2:13: node.name: \"No\":"),
        ("node.join = [\"https://x\"]", "2:14: node.join: "),
        ("node.keys = \"../x\"", "2:13: node.keys: \"../x\" is not the name of a file"),
        ("log.remote = \"a b\"", "2:14: log.remote: "),
        ("registry.enabled = \"yes\"", "2:20: registry.enabled must be true or false, without quotes"),
        ("[netwrk]", "2:2: there is no setting `netwrk` before the first section; did you mean `network`?"),
    ] {
        let text = format!("# comment\n{line}\n[node]\ngenesis = \"good.json\"\n");
        let (settings, mistakes) =
            read(&text.replace("[node]\n", if line.starts_with("node.") { "\n[log]\n" } else { "[node]\n" }));
        assert!(!mistakes.is_empty(), "{line}");
        assert!(mistakes[0].starts_with(expected), "{line}: {mistakes:#?}");
        if !line.starts_with("node.") {
            assert_eq!(settings.node.genesis.as_deref(), Some("good.json"), "{line}: {mistakes:#?}");
        }
    }
}

#[test]
fn a_setting_in_quotes_forgotten_gives_one_message_and_no_value() {
    let (settings, mistakes) = read("hostname = kitchen\n[log]\nremote = \"1.2.3.4\"\n");
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    assert!(mistakes[0].starts_with("1:12: "), "{mistakes:#?}");
    assert_eq!(settings.hostname, None);
    assert_eq!(settings.remote_log.as_deref(), Some("1.2.3.4:514"));
}

#[test]
fn a_setting_given_twice_is_a_mistake() {
    let (_, mistakes) = read("hostname = \"a\"\nhostname = \"b\"\n");
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    assert!(mistakes[0].starts_with("2:1: "), "{mistakes:#?}");
}

#[test]
fn the_good_keys_of_a_list_stay() {
    let (settings, mistakes) = read(&format!("[ssh]\nkeys = [\n  \"{KEY}\",\n  \"rubbish\",\n]\n"));
    assert_eq!(settings.ssh_keys, [KEY]);
    assert_eq!(mistakes.len(), 1);
    assert!(
        mistakes[0].starts_with("4:3: ") && mistakes[0].ends_with("this entry is left out"),
        "{mistakes:?}"
    );
    let many = vec![format!("\"{KEY}\""); 70].join(",");
    let (settings, mistakes) = read(&format!("[ssh]\nkeys = [{many}]\n"));
    assert_eq!((settings.ssh_keys.len(), mistakes.len()), (64, 1));
}

#[test]
fn a_gateway_must_be_in_the_network_of_the_address() {
    let outside = mistake("[network]\naddress = \"10.0.0.2/24\"\ngateway = \"10.0.1.1\"\n");
    assert!(outside.starts_with("3:11: "), "{outside}");
    mistake("[network]\naddress = \"10.0.0.2/24\"\ngateway = \"10.0.0.2\"\n");
    // One message for the address, one for the gateway that hangs on it.
    let (settings, mistakes) = read("[network]\naddress = \"10.0.0.300/24\"\ngateway = \"10.0.0.1\"\n");
    assert_eq!((settings.network.address, settings.network.gateway, mistakes.len()), (None, None, 2));
}

#[test]
fn a_bad_password_never_opens_the_network_and_never_shows() {
    for line in
        ["password = \"geheim\"", "password = geheim123", "password = 12345678", "password = \"geheim123"]
    {
        let (settings, mistakes) = read(&format!("[wifi]\nssid = \"home\"\n{line}\n"));
        assert_eq!(settings.wifi, None, "{line}");
        assert!(!mistakes.is_empty(), "{line}");
        assert!(
            !mistakes.iter().any(|line| line.contains("geheim") || line.contains("1234")),
            "{mistakes:?}"
        );
    }
    let (settings, _) = read("[wifi]\nssid = \"home\"\npassword = \"geheim123\"\n");
    assert!(!format!("{settings:?}").contains("geheim"));
    let (open, mistakes) = read("[wifi]\nssid = \"cafe\"\n");
    assert_eq!((open.wifi.unwrap().password, mistakes.len()), (None, 0));
}

#[test]
fn files_that_are_no_text_are_named_as_that() {
    let utf16: Vec<u8> = "hostname".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (_, mistakes) = parse(&utf16);
    assert!(mistakes[0].problem.contains("UTF-16"));
    let (_, mistakes) = parse(&vec![b'#'; MAX_BYTES + 1]);
    assert!(mistakes[0].problem.contains("bytes are more than"));
    // Latin-1: the line is found, and other lines count.
    let (settings, mistakes) = parse(b"# ok\nhostname = \"k\xfcche\"\n[log]\nremote = \"1.2.3.4\"\n");
    // The value that is left out, and the very character.
    let places: Vec<_> = mistakes.iter().map(|mistake| (mistake.line, mistake.column)).collect();
    assert_eq!(places, [(2, 12), (2, 14)], "{mistakes:?}");
    assert_eq!((settings.hostname, settings.remote_log.as_deref()), (None, Some("1.2.3.4:514")));
}

#[test]
fn what_may_have_been_meant_for_the_node_makes_it_unsure() {
    for text in [
        "[node]\njoin = \"http://a:26657\"",
        "[node]\njion = [\"http://a:26657\"]",
        "[node]\njoin = [\"https://x\"]",
        "[node]\nkeys = \"../x\"",
        "[node]\njoin = [\"http://a:26657\"\n[log]\n",
        "[nodes]\njoin = [\"http://a:26657\"]",
        "node = 7",
        "join = [\"http://a:26657\"]",
        "[log]\njoin = [\"http://a:26657\"]",
        "[registry]\n[registry]\n",
        "[node\njoin = []",
    ] {
        assert!(read(text).0.node.is_unsure, "{text}");
    }
    let utf16: Vec<u8> = "[node]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse(&utf16).0.node.is_unsure);
    // Values of other sections, where what was meant is plain.
    for text in [
        "hostname = 5",
        "hostnme = \"x\"",
        "[log]\nremote = 7",
        "[wifi]\nssid = \"x\"\npassword = \"short\"",
        "[node]\nname = \"a\"",
    ] {
        assert!(!read(text).0.node.is_unsure, "{text}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut seed = 1_u32;
    let pieces: Vec<&[u8]> = vec![
        b"[",
        b"]",
        b"=",
        b"\"",
        b"'",
        b"\n",
        b"[wifi]",
        b"ssid",
        b"password = \"x",
        b"\"\"\"",
        b"keys = [",
        b",",
        b"{",
        b"}",
        b"#",
        b"\xff",
        b"\xc3",
        "ä".as_bytes(),
        b"hostname = ",
        b"true",
        b"1979-05-27",
        b"0x",
        b".",
        b"\\u",
        b"\r",
    ];
    for _ in 0..20_000 {
        let mut text = Vec::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.extend(pieces[(seed >> 16) as usize % pieces.len()]);
        }
        let (_, mistakes) = parse(&text);
        assert!(mistakes.iter().all(|mistake| !mistake.to_string().contains('\n')), "{mistakes:?}");
    }
}
