#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::settings::Settings;

const KEY: &str = "d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737";

fn access(text: &str) -> Access {
    let settings = Settings::parse(text, Path::new("registry.toml")).unwrap();
    (*settings.compile().unwrap().access).clone()
}

fn repo(name: &str) -> RepoName {
    name.parse().unwrap()
}

fn keeper(key: &str, scopes: &[(&str, Actions)]) -> Caller {
    let scope = |(repositories, actions): &(&str, Actions)| Scope {
        repositories: repositories.parse().unwrap(),
        actions: *actions,
    };
    Caller {
        party: Party::Key(key.into()),
        subject: "build".into(),
        means: Means::Keeper,
        scopes: Some(scopes.iter().map(scope).collect()),
    }
}

#[test]
fn without_settings_everybody_pulls_and_nobody_else_does_anything() {
    let (access, anonymous) = (Access::default(), Caller::anonymous());
    assert_eq!(access.judge(&anonymous, &repo("a/b"), Action::Pull), Verdict::Allowed);
    assert_eq!(access.judge(&anonymous, &repo("a/b"), Action::Push), Verdict::LogIn);
    assert_eq!(access.judge(&anonymous, &repo("a/b"), Action::Delete), Verdict::LogIn);
    assert!(!access.is_open() && !access.has_logins() && access.lets_anonymous_in());
    let open = Access::open();
    assert_eq!(open.judge(&anonymous, &repo("a/b"), Action::Delete), Verdict::Allowed);
}

#[test]
fn an_empty_file_is_as_none() {
    let (access, anonymous) = (access(""), Caller::anonymous());
    assert_eq!(access.judge(&anonymous, &repo("a"), Action::Pull), Verdict::Allowed);
    assert_eq!(access.judge(&anonymous, &repo("a"), Action::Push), Verdict::LogIn);
}

#[test]
fn rules_for_each_kind_of_party() {
    let hash = PasswordHash::nobody();
    let access = access(&format!(
        r#"
        [access]
        anonymous = []
        [[user]]
        name = "alice"
        password = "{hash}"
        [[user]]
        name = "bob"
        password = "{hash}"
        [[key]]
        name = "node-a"
        public = "{KEY}"
        [[rule]]
        who = ["alice"]
        repositories = ["team/*", "alice/app"]
        actions = ["pull", "push"]
        [[rule]]
        who = ["users"]
        repositories = ["shared/*"]
        actions = ["pull"]
        [[rule]]
        who = ["key:node-a"]
        repositories = ["*"]
        actions = ["pull", "push", "delete"]
        [[rule]]
        who = ["anonymous"]
        repositories = ["public/*"]
        actions = ["pull"]
        "#
    ));
    let (nobody, alice, bob) = (Caller::anonymous(), Caller::user("alice"), Caller::user("bob"));
    let node = keeper("node-a", &[("team/*", [Action::Pull, Action::Delete].into_iter().collect())]);
    let cases = [
        (&nobody, "team/app", Action::Pull, Verdict::LogIn),
        (&nobody, "public/app", Action::Pull, Verdict::Allowed),
        (&nobody, "public/app", Action::Push, Verdict::LogIn),
        (&alice, "team/app", Action::Push, Verdict::Allowed),
        (&alice, "team", Action::Push, Verdict::Denied),
        (&alice, "team/app", Action::Delete, Verdict::Denied),
        (&alice, "alice/app", Action::Push, Verdict::Allowed),
        (&alice, "alice/app/x", Action::Push, Verdict::Denied),
        (&alice, "public/app", Action::Pull, Verdict::Allowed),
        (&bob, "team/app", Action::Pull, Verdict::Denied),
        (&bob, "shared/app", Action::Pull, Verdict::Allowed),
        (&bob, "shared/app", Action::Push, Verdict::Denied),
        (&node, "team/app", Action::Delete, Verdict::Allowed),
        (&node, "team/app", Action::Push, Verdict::OutOfScope),
        (&node, "other/app", Action::Pull, Verdict::OutOfScope),
        (&node, "shared/app", Action::Pull, Verdict::OutOfScope),
    ];
    for (caller, name, action, expected) in cases {
        assert_eq!(access.judge(caller, &repo(name), action), expected, "{caller} {action} {name}");
    }
    // A key that has gone from the settings, or a user: rights end with it.
    let gone = keeper("node-b", &[("*", Actions::ALL)]);
    assert_eq!(access.judge(&gone, &repo("team/app"), Action::Pull), Verdict::Denied);
    assert_eq!(access.judge(&Caller::user("carol"), &repo("team/app"), Action::Pull), Verdict::Denied);
    assert!(access.lets_anonymous_in() && access.has_logins());
}

#[test]
fn names_of_callers_tell_them_apart() {
    let names = [
        Caller::anonymous().to_string(),
        Caller::user("a").to_string(),
        keeper("a", &[]).to_string(),
        keeper("b", &[]).to_string(),
    ];
    assert_eq!(names, ["anonymous", "user:a", "key:a:build", "key:b:build"]);
}
