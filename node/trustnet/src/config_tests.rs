//! Tests of the settings.
#![allow(clippy::unwrap_used)]
use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("config.toml")).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(parse("").unwrap(), Config::default());
    assert_eq!(Config::default().rpc.listen.to_string(), "127.0.0.1:26657");
    assert_eq!(Config::default().p2p.listen.to_string(), "0.0.0.0:26656");
}

#[test]
fn what_is_rendered_is_what_is_read() {
    let peer = format!("{}@node-2.lan:26656", "ab".repeat(32));
    let mut config = Config { name: "a \"b\" \\ \n \u{7f} é".into(), ..Config::default() };
    config.p2p.peers = vec![peer.parse().unwrap(), format!("{}@[::1]:9", "cd".repeat(32)).parse().unwrap()];
    config.p2p.advertise = vec!["203.0.113.7:26656".parse().unwrap()];
    config.rpc.listen = "[::1]:7".parse().unwrap();
    config.log.level = Level::Debug;
    assert_eq!(parse(&config.render()).unwrap(), config);
    let default = Config::default().render();
    assert_eq!(parse(&default).unwrap(), Config::default());
    assert!(default.lines().filter(|line| line.starts_with('#')).count() >= 8, "{default}");
}

#[test]
fn a_mistyped_key_is_named_with_its_place_and_the_nearest_known_one() {
    assert_eq!(
        parse("name = \"a\"\n\n[p2p]\n  lisen = \"0.0.0.0:1\"\n").unwrap_err(),
        "config.toml:4:3: there is no setting `lisen` here; did you mean `listen`? (known: listen, peers, advertise)"
    );
    assert_eq!(
        parse("[rpcc]\nlisten = \"0.0.0.0:1\"\n").unwrap_err(),
        "config.toml:1:2: there is no setting `rpcc` here; did you mean `rpc`? \
         (known: name, p2p, rpc, consensus, log)"
    );
    assert_eq!(
        parse("[log]\ncolour = 1\n").unwrap_err(),
        "config.toml:2:1: there is no setting `colour` here (known: level)"
    );
}

#[test]
fn wrong_values_are_named_with_their_place() {
    for (text, place, expected) in [
        ("[rpc]\nlisten = \"localhost\"\n", "config.toml:2:10: ", "socket address"),
        ("[log]\nlevel = \"loud\"\n", "config.toml:2:9: ", "unknown variant `loud`"),
        ("[p2p]\npeers = [\"x@y:1\"]\n", "config.toml:2:", "the node id is not 64 hex digits"),
        ("[consensus]\nvote_ms = -1\n", "config.toml:2:11: ", "-1"),
        ("[consensus]\npropose_ms = 1\ndelta_ms = 0\n", "config.toml:3:1: ", "delta_ms = 0 is not between"),
        ("name = \n", "config.toml:1:", ""),
        ("name = \"a\"\nname = \"b\"\n", "config.toml:2:1: ", "duplicate key"),
    ] {
        let message = parse(text).unwrap_err();
        assert!(message.starts_with(place), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn a_peer_says_what_is_missing() {
    let id = "ab".repeat(32);
    for (text, expected) in [
        ("host:1".to_owned(), "there is no `@`"),
        (format!("{id}@host"), "there is no port"),
        (format!("{id}@:1"), "there is no host"),
        (format!("{id}@host:0"), "the port is not"),
        (format!("{id}@host:65536"), "the port is not"),
    ] {
        let message = text.parse::<Peer>().unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    assert!(format!("{id}@[::1]:1").parse::<Peer>().is_ok());
}

#[test]
fn an_unreadable_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let message = Config::load(&path).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot read {}", path.display())), "{message}");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("UTF-8"));
    fs::write(&path, " ".repeat(300_000)).unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("300000 bytes are more"));
}
