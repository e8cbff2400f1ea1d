#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::access::{Action, Caller};

const HASH: &str =
    "$pbkdf2-sha256$i=600000$MDEyMzQ1Njc4OWFiY2RlZg$TI2grtvV1HW5nz2rBY4tctlrmOj5bZs0dw9j8NHpRRc";
const EXAMPLE: &str = include_str!("../../registry.example.toml");

fn problem(text: &str) -> String {
    Settings::parse(text, Path::new("registry.toml")).unwrap_err().to_string()
}

#[test]
fn mistakes_get_their_line_and_what_to_do() {
    let user = format!("[[user]]\nname = \"alice\"\npassword = \"{HASH}\"\n");
    let weak = format!("01{}", "00".repeat(31));
    let cases = [
        ("[access]\nanonymus = []", 2, "anonymous"),
        ("[acess]", 1, "access"),
        ("[access]\nanonymous = [\"pul\"]", 2, "pull"),
        ("[access]\n\nanonymous = \"pull\"", 3, "sequence"),
        ("[access]\nurl = \"registry.local\"", 2, "https://"),
        ("[access]\nproxies = [\"192.0.2.4\", \"0.0.0.0/0\"]", 2, "10.0.0.0/8"),
        ("[[user]]\nname = \"alice\"\npassword = \"secret\"", 3, "pbkdf2"),
        ("[[user]]\nname = \"alice\"", 1, "password"),
        ("[[user]]\nname = \"users\"\npassword = \"x\"", 2, "no name"),
        ("[[key]]\nname = \"a\"\npublic = \"00\"", 3, "64 hex digits"),
        (&format!("[[key]]\nname = \"a\"\npublic = \"{weak}\""), 3, "anybody can sign"),
        (&format!("{user}{user}"), 5, "twice"),
        ("[[rule]]\nwho = [\"alice\"]\nrepositories = [\"*\"]\nactions = []", 2, "[[user]]"),
        ("[[rule]]\nwho = [\"key:a\"]\nrepositories = [\"*\"]\nactions = []", 2, "[[key]]"),
        ("[[rule]]\nwho = []\nrepositories = [\"team*\"]\nactions = []", 3, "team/*"),
        ("[storage]\nmax = \"lots\"", 2, "10 GB"),
        ("[storage]\nmin_free_percent = 95", 2, "90"),
        ("[[quota]]\nrepositories = \"a\"", 1, "max"),
        ("[[retention]]\nrepositories = [\"*\"]", 2, "keep_newest"),
        ("[[retention]]\nrepositories = [\"*\"]\nkeep_newest = 0", 3, "nonzero"),
        ("[[upstream]]\nprefix = \"a\"\nurl = \"https://a\"\nkeep_days = 0", 4, "nonzero"),
        ("[[upstream]]\nprefix = \"a\"\nurl = \"https://a\"\nmax = \"lots\"", 4, "10 GB"),
        ("[limits]\nburst = -1", 2, "-1"),
        ("[limits]\nburst = 1\nburst = 2", 3, "duplicate"),
        ("\n\n[limits", 3, "]"),
    ];
    for (text, line, word) in cases {
        let problem = problem(text);
        assert!(problem.starts_with(&format!("registry.toml:{line}: ")), "{text}\n{problem}");
        assert!(problem.contains(word), "{text}\n{problem}");
    }
}

#[test]
fn secrets_are_not_told() {
    let upstream = "[[upstream]]\nprefix = \"a\"\nurl = \"https://a\"\n";
    let user = "[[user]]\nname = \"alice\"\n";
    for value in [
        "80251",
        "-80251",
        "80251.5",
        "2026-11-28",
        "[80251]",
        "{ a = 80251 }",
        "80251x",
        "'80251",
        "x80251",
        "80251802518025180251802518025180251802518025180251",
    ] {
        for (section, setting) in [(upstream, "username"), (upstream, "password"), (user, "password")] {
            let problem = problem(&format!("{section}{setting} = {value}"));
            let line = section.lines().count() + 1;
            assert!(
                problem.starts_with(&format!("registry.toml:{line}: ")),
                "{setting} = {value}\n{problem}"
            );
            assert!(
                !problem.contains("80251") && !problem.contains("2026"),
                "{setting} = {value}\n{problem}"
            );
        }
    }
    assert!(problem(&format!("{upstream}password = 80251")).contains("quotes"));
    // A word instead of the hash is most likely the password.
    assert!(!problem(&format!("{user}password = \"80251\"")).contains("80251"));
    let both = format!("{upstream}username = \"u80251\"\npassword = \"p80251\"");
    let settings = Settings::parse(&both, Path::new("x")).unwrap();
    assert!(!format!("{settings:?}").contains("80251"));
    assert_eq!(settings.upstream[0].password.as_ref().map(Secret::reveal), Some("p80251"));
}

#[test]
fn too_much_is_refused() {
    let many = "[[quota]]\nrepositories = \"a\"\nmax = 1\n".repeat(1_001);
    assert!(problem(&many).contains("1001 quotas"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.toml");
    assert!(matches!(Settings::read(&path), Err(SettingsError::Unreadable { .. })));
    std::fs::write(&path, "#".repeat(1024 * 1024 + 1)).unwrap();
    assert!(Settings::read(&path).unwrap_err().to_string().contains("1048577 bytes"));
}

#[test]
fn the_example_is_right() {
    let settings = Settings::parse(EXAMPLE, Path::new("registry.example.toml")).unwrap();
    // As it stands it says what is so without a file.
    let (given, default) = (settings.compile().unwrap(), Settings::default().compile().unwrap());
    assert_eq!((given.storage, given.limits), (default.storage, default.limits));
    let (nobody, repo) = (Caller::anonymous(), "a".parse().unwrap());
    assert!(given.access.allows(&nobody, &repo, Action::Pull));
    assert!(!given.access.allows(&nobody, &repo, Action::Push) && !given.access.has_logins());
}

#[test]
fn every_setting_of_the_example_is_a_real_one() {
    // A line of "#" and something that is no space is a setting that waits to be used.
    let used = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with([' ', '#']) && !setting.is_empty() => setting.to_owned(),
        _ => line.to_owned(),
    };
    let all: String = EXAMPLE.lines().map(|line| used(line) + "\n").collect();
    let settings = Settings::parse(&all, Path::new("all.toml")).unwrap();
    let all: toml::Table = all.parse().unwrap();
    // And every real setting is there: what has a default is optional, so the names are listed.
    let names = |section: &str| -> Vec<String> {
        let value = &all[section];
        let tables: Vec<&toml::Table> = match value {
            toml::Value::Array(tables) => tables.iter().filter_map(toml::Value::as_table).collect(),
            value => value.as_table().into_iter().collect(),
        };
        let mut names: Vec<String> = tables.iter().flat_map(|table| table.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    };
    for (section, expected) in [
        ("access", &["anonymous", "names", "proxies", "url"][..]),
        ("user", &["name", "password"]),
        ("key", &["name", "public", "revoked_before"]),
        ("rule", &["actions", "repositories", "who"]),
        ("storage", &["max", "min_free", "min_free_percent"]),
        ("quota", &["max", "repositories"]),
        ("retention", &["keep_days", "keep_newest", "repositories", "tags"]),
        ("immutable", &["repositories", "tags"]),
        ("log", &["access"]),
        ("tls", &["acme", "listen", "names"]),
        (
            "upstream",
            &[
                "ca",
                "keep_days",
                "max",
                "namespaces",
                "password_file",
                "prefix",
                "refresh_seconds",
                "url",
                "username",
            ],
        ),
        (
            "limits",
            &[
                "burst",
                "connections",
                "connections_per_address",
                "downloads",
                "max_blob",
                "requests_per_second",
                "uploads",
            ],
        ),
    ] {
        assert_eq!(names(section), expected, "{section}");
    }
    assert!(settings.tls.acme.as_ref().is_some_and(|acme| acme.check().is_ok()));
    assert!(settings.log.access && Settings::default().log.access);
    assert!(!settings.user.is_empty() && !settings.rule.is_empty() && settings.limits.connections.is_some());
}

#[test]
fn limits_that_are_not_given_stay() {
    let settings = Settings::parse("[limits]\nuploads = 3\nmax_blob = \"1 GiB\"", Path::new("x")).unwrap();
    let limits = settings.limits.apply(&crate::Limits::default());
    let expected = crate::Limits { max_uploads: 3, max_blob_bytes: 1 << 30, ..crate::Limits::default() };
    assert_eq!(limits, expected);
}

#[test]
fn whether_it_lives_may_be_asked_as_often_as_by_default() {
    let look = |text: &str| {
        let rate = Settings::parse(text, Path::new("x")).unwrap().limits.look_rate();
        (rate.per_second, rate.burst)
    };
    assert_eq!(look(""), (200, 4_000));
    assert_eq!(look("[limits]\nrequests_per_second = 1\nburst = 2"), (200, 4_000));
    assert_eq!(look("[limits]\nrequests_per_second = 500\nburst = 9000"), (500, 9_000));
    assert_eq!(look("[limits]\nrequests_per_second = 0").0, 0, "no limit is none here either");
}

#[test]
fn settings_follow_their_file_and_survive_mistakes_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.toml");
    assert!(LiveSettings::follow(&path).is_err(), "a file that is named must be there");
    std::fs::write(&path, "[limits]\nburst = 1").unwrap();
    let live = LiveSettings::follow(&path).unwrap();
    let burst = || live.now().limits.burst;
    assert_eq!(burst(), 1);
    let change = |text: &str| {
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
    };
    change("[limits]\nburst = 2");
    live.refresh();
    assert_eq!(burst(), 2);
    for wrong in ["[limits]\nburst = \"many\"", "[[rule]]\nwho = [\"x\"]\nrepositories = []\nactions = []"] {
        change(wrong);
        live.refresh();
        assert_eq!(burst(), 2, "the last good ones stay");
    }
    std::fs::remove_file(&path).unwrap();
    live.refresh();
    assert_eq!(burst(), 2);
    change("[limits]\nburst = 3");
    live.refresh();
    assert_eq!(burst(), 3);
    // Without being told, within a second or two.
    change("[limits]\nburst = 4");
    std::thread::sleep(Duration::from_millis(LOOK_TEST_MS));
    assert_eq!(burst(), 4);
}

const LOOK_TEST_MS: u64 = 1_100;
