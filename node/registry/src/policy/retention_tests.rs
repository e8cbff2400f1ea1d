#![allow(clippy::unwrap_used)]

use super::*;
use crate::digest::Algorithm;
use crate::policy::Immutable;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn tag(name: &str, days: u64) -> Removal {
    Removal {
        repository: "ci/app".parse().unwrap(),
        tag: name.parse().unwrap(),
        digest: Digest::of(Algorithm::Sha256, name.as_bytes()),
        age_ms: days * DAY_MS,
        pushed_ms: (100 - days) * DAY_MS,
    }
}

fn rule(tags: &str, keep_newest: Option<u32>, keep_days: Option<u64>) -> Retention {
    Retention {
        repositories: vec!["ci/*".parse().unwrap()],
        tags: vec![tags.parse().unwrap()],
        keep_newest,
        keep_ms: keep_days.map(|days| days * DAY_MS),
    }
}

fn gone(rules: &StorageRules, repo: &str, tags: &[(&str, u64)]) -> Vec<String> {
    let tags = tags.iter().map(|(name, days)| tag(name, *days)).collect();
    let gone = outdated(rules, &repo.parse().unwrap(), tags);
    let mut names: Vec<_> = gone.iter().map(|removal| removal.tag.to_string()).collect();
    names.sort();
    names
}

#[test]
fn the_newest_and_the_young_stay() {
    let tags = [("a", 40), ("b", 30), ("c", 20), ("d", 10), ("v1", 90)];
    let with = |retention| StorageRules { retention, ..StorageRules::default() };
    let of = |rule| gone(&with(vec![rule]), "ci/app", &tags);
    assert_eq!(of(rule("*", Some(2), None)), ["a", "b", "v1"]);
    assert_eq!(of(rule("*", None, Some(25))), ["a", "b", "v1"]);
    assert_eq!(of(rule("*", None, Some(30))), ["a", "v1"], "exactly as old is not older");
    assert_eq!(of(rule("*", Some(1), Some(35))), ["a", "v1"]);
    assert_eq!(of(rule("*", Some(4), Some(5))), ["v1"]);
    assert_eq!(of(rule("v*", Some(1), None)), [""; 0], "only its own tags count");
    assert_eq!(of(rule("*", Some(9), None)), [""; 0]);
    assert_eq!(gone(&with(vec![rule("*", Some(1), None)]), "other/app", &tags), [""; 0]);
    // The first rule that means a tag decides.
    let rules = with(vec![rule("v*", Some(5), None), rule("*", Some(1), None)]);
    assert_eq!(gone(&rules, "ci/app", &tags), ["a", "b", "c"]);
}

#[test]
fn names_of_what_is_attached() {
    let digest = Digest::of(Algorithm::Sha256, b"x");
    let of = |rest: &str| attached_to(&format!("sha256-{}{rest}", digest.hex()).parse().unwrap());
    assert!(["", ".sig", ".att", "-x"].into_iter().all(|rest| of(rest) == Some(digest)));
    assert_eq!(of("0"), None);
    for other in ["latest", "sha256-", "sha256-0123", &format!("sha256-{}", "g".repeat(64))] {
        assert_eq!(attached_to(&other.parse().unwrap()), None, "{other}");
    }
}

#[test]
fn immutable_tags_stay() {
    let immutable =
        vec![Immutable { repositories: vec!["ci/app".parse().unwrap()], tags: vec!["v*".parse().unwrap()] }];
    let retention = vec![rule("*", Some(1), None)];
    let rules = StorageRules { retention, immutable, ..StorageRules::default() };
    assert_eq!(gone(&rules, "ci/app", &[("v1", 50), ("v2", 40), ("x", 30), ("y", 20)]), ["x"]);
}

#[test]
fn equal_times_are_no_accident() {
    let rules = StorageRules { retention: vec![rule("*", Some(1), None)], ..StorageRules::default() };
    for tags in [[("1.0", 5), ("1.1", 5), ("1.2", 5)], [("1.2", 5), ("1.0", 5), ("1.1", 5)]] {
        assert_eq!(gone(&rules, "ci/app", &tags), ["1.0", "1.1"]);
    }
}
