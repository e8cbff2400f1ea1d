#![allow(clippy::unwrap_used)]

use std::num::NonZeroU32;

use super::*;
use crate::access::{AccessSection, KeyBytes, KeySection, PartyName};
use crate::access::{Action, Actions, UserSection};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::Spanned;

const FEW: NonZeroU32 = NonZeroU32::new(10_000).unwrap();

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn access_with(password: &str) -> Access {
    let name = |name: &str| Spanned::new(0..0, PartyName::try_from(name.to_owned()).unwrap());
    let alice =
        UserSection { name: name("alice"), password: PasswordHash::with_rounds(password, FEW).unwrap() };
    let public = Spanned::new(0..0, KeyBytes(key().verifying_key().to_bytes()));
    let node = KeySection { name: name("node"), public, revoked_before: None };
    Access::new(&AccessSection::default(), &[alice], &[node], &[]).unwrap()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn network(number: u8) -> Network {
    Network::of([10, 0, 0, number].into())
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn scopes() -> Vec<Scope> {
    vec![Scope { repositories: "team/*".parse().unwrap(), actions: Action::Pull.into() }]
}

#[tokio::test]
async fn passwords_right_and_wrong() {
    let (gate, access) = (Gate::new(), access_with("secret"));
    let identify = |header: Option<String>| {
        let (gate, access) = (&gate, &access);
        async move { gate.identify(access, header.as_deref(), network(1)).await }
    };
    assert_eq!(identify(None).await, Ok(Caller::anonymous()));
    assert_eq!(identify(Some(basic("", ""))).await, Ok(Caller::anonymous()));
    assert_eq!(identify(Some(basic("alice", "secret"))).await, Ok(Caller::user("alice")));
    for (user, password) in [("alice", "Secret"), ("alice", ""), ("bob", "secret")] {
        assert_eq!(identify(Some(basic(user, password))).await, Err(is_wrong()), "{user} {password}");
    }
    assert!(matches!(identify(Some("Nonsense".to_owned())).await, Err(Refusal::Credentials(_))));
}

#[tokio::test]
async fn who_guesses_waits_but_others_do_not() {
    let (gate, access) = (Gate::new(), access_with("secret"));
    let right = basic("alice", "secret");
    gate.identify(&access, Some(&right), network(1)).await.unwrap();
    let mut refusals = Vec::new();
    for number in 0..8 {
        let guess = basic("alice", &format!("guess {number}"));
        refusals.push(gate.identify(&access, Some(&guess), network(1)).await.unwrap_err());
    }
    assert!(refusals[..5].iter().all(|refusal| *refusal == is_wrong()), "{refusals:?}");
    assert!(refusals[5..].iter().all(|refusal| matches!(refusal, Refusal::Wait(_))), "{refusals:?}");
    // What was good a moment ago is not a guess; and the neighbours did nothing.
    assert_eq!(gate.identify(&access, Some(&right), network(1)).await, Ok(Caller::user("alice")));
    assert_eq!(gate.identify(&access, Some(&right), network(2)).await, Ok(Caller::user("alice")));
    let other = basic("alice", "secret ");
    assert!(matches!(gate.identify(&access, Some(&other), network(1)).await, Err(Refusal::Wait(_))));
}

#[tokio::test]
async fn where_nobody_has_a_password_a_guess_costs_nothing_and_counts() {
    let (gate, access) = (Gate::new(), Access::default());
    // Nobody gets a place among the checks: whoever waited for one would wait for ever.
    let _all = gate.checks.acquire_many(u32::try_from(CHECKS_AT_ONCE).unwrap()).await.unwrap();
    for number in 0..5 {
        let guess = basic("alice", &format!("guess {number}"));
        assert_eq!(gate.identify(&access, Some(&guess), network(1)).await, Err(is_wrong()), "{number}");
    }
    let guess = basic("alice", "guess");
    assert!(matches!(gate.identify(&access, Some(&guess), network(1)).await, Err(Refusal::Wait(_))));
    assert_eq!(gate.identify(&access, Some(&guess), network(2)).await, Err(is_wrong()));
    // Where there are users, an unknown one takes the slow way, so that the time does not tell who exists.
    let access = access_with("secret");
    let unknown = basic("bob", "secret");
    let slow = gate.identify(&access, Some(&unknown), network(3));
    assert!(timeout(Duration::from_millis(50), slow).await.is_err());
}

#[tokio::test]
async fn what_is_remembered_ends_with_the_password() {
    let (gate, right) = (Gate::new(), basic("alice", "secret"));
    let first = access_with("secret");
    gate.identify(&first, Some(&right), network(1)).await.unwrap();
    let session = gate.begin(&first, &Caller::user("alice"), scopes()).unwrap();
    let bearer = format!("Bearer {session}");
    let caller = gate.identify(&first, Some(&bearer), network(1)).await.unwrap();
    assert_eq!((caller.party, caller.means), (Party::User("alice".into()), Means::Session));
    let second = access_with("another");
    assert_eq!(gate.identify(&second, Some(&right), network(1)).await, Err(is_wrong()));
    assert_eq!(gate.identify(&second, Some(&bearer), network(1)).await, Err(is_wrong()));
    assert_eq!(gate.identify(&Access::default(), Some(&bearer), network(1)).await, Err(is_wrong()));
}

#[tokio::test]
async fn sessions_are_of_this_start_only() {
    let (gate, access) = (Gate::new(), access_with("secret"));
    let session = gate.begin(&access, &Caller::anonymous(), scopes()).unwrap();
    let bearer = format!("Bearer {session}");
    let caller = gate.identify(&access, Some(&bearer), network(1)).await.unwrap();
    assert!(caller.is_anonymous() && caller.scopes == Some(scopes()));
    let other = Gate::new().identify(&access, Some(&bearer), network(1)).await;
    assert!(matches!(other, Err(Refusal::Credentials(reason)) if reason.contains("does not trust")));
    // No session is made of a token, which would outlive it.
    let keeper = Caller { party: Party::Key("node".into()), ..Caller::anonymous() };
    assert_eq!(gate.begin(&access, &keeper, scopes()), Err(Refusal::Failed));
}

#[tokio::test]
async fn tokens_of_trusted_keys() {
    let (gate, access) = (Gate::new(), access_with("secret"));
    let claims = |issued: u64, expires: u64| Claims {
        subject: "build".to_owned(),
        issued,
        expires,
        scopes: scopes(),
        audience: String::new(),
        nonce: [1; 16],
    };
    let now = unix_now();
    let good = issue(&key(), &claims(now, now + 60)).unwrap();
    for header in [format!("Bearer {good}"), basic("keeper", &good), basic("", &good)] {
        let caller = gate.identify(&access, Some(&header), network(1)).await.unwrap();
        assert_eq!(caller.to_string(), "key:node:build");
        assert_eq!((caller.means, caller.scopes), (Means::Keeper, Some(scopes())));
    }
    // Its key goes from the settings while it is remembered.
    let header = format!("Bearer {good}");
    let without = gate.identify(&Access::default(), Some(&header), network(1)).await;
    assert!(matches!(without, Err(Refusal::Credentials(reason)) if reason.contains("does not trust")));
    for (token, why) in [
        (issue(&key(), &claims(now - 7_200, now - 3_600)).unwrap(), "ended"),
        (issue(&key(), &claims(now + 3_600, now + 7_200)).unwrap(), "begins"),
        (issue(&SigningKey::from_bytes(&[8; 32]), &claims(now, now + 60)).unwrap(), "does not trust"),
        (good.replace("tnr1.", "tnr1.A"), "written"),
        ("x".repeat(MAX_TOKEN_BYTES + 1), "longer"),
    ] {
        let refusal = gate.identify(&access, Some(&format!("Bearer {token}")), network(1)).await;
        assert!(
            matches!(&refusal, Err(Refusal::Credentials(reason)) if reason.contains(why)),
            "{why}: {refusal:?}"
        );
    }
}

#[tokio::test]
async fn an_open_registry_asks_nobody() {
    let (gate, access) = (Gate::new(), Access::open());
    for header in [None, Some("Nonsense"), Some("Bearer x")] {
        assert_eq!(gate.identify(&access, header, network(1)).await, Ok(Caller::anonymous()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_do_not_crowd_the_board() {
    // Unknown users cost as much as known ones: all of these take the slow way.
    let (gate, access) = (Arc::new(Gate::new()), Arc::new(access_with("secret")));
    let mut guesses = tokio::task::JoinSet::new();
    for number in 0..=u8::try_from(MAX_WAITING + 20).unwrap() {
        let (gate, access) = (Arc::clone(&gate), Arc::clone(&access));
        guesses.spawn(async move {
            let guess = basic("alice", &format!("guess {number}"));
            gate.identify(&access, Some(&guess), network(number)).await.unwrap_err()
        });
    }
    let mut most = 0;
    while let Some(refusal) = guesses.join_next().await {
        most = most.max(CHECKS_AT_ONCE - gate.checks.available_permits());
        assert!(matches!(refusal.unwrap(), Refusal::Credentials(_) | Refusal::Busy));
    }
    assert!(most <= CHECKS_AT_ONCE);
    assert_eq!((gate.waiting.load(Ordering::SeqCst), gate.checks.available_permits()), (0, CHECKS_AT_ONCE));
}

#[test]
fn requests_are_counted_by_network_until_more_is_known() {
    let gate = Gate::new();
    let rate = Rate { per_second: 1, burst: 2 };
    let admit = |caller: Option<&Caller>, number| gate.admit(caller, network(number), rate);
    assert!(admit(None, 1).is_ok() && admit(Some(&Caller::anonymous()), 1).is_ok());
    assert!(matches!(admit(None, 1), Err(Refusal::Wait(_))));
    assert!(admit(None, 2).is_ok());
    let alice = Caller::user("alice");
    assert!(admit(Some(&alice), 1).is_ok() && admit(Some(&alice), 2).is_ok());
    assert!(matches!(admit(Some(&alice), 3), Err(Refusal::Wait(_))), "a user is the same everywhere");
    assert_eq!(Actions::PULL, Action::Pull.into());
}

#[test]
fn a_monitor_is_answered_whatever_else_its_network_asks() {
    let gate = Gate::new();
    let (rate, look_rate) = (Rate { per_second: 1, burst: 1 }, Rate { per_second: 1, burst: 3 });
    assert!(gate.admit(None, network(1), rate).is_ok() && gate.admit(None, network(1), rate).is_err());
    assert!((0..3).all(|_| gate.admit_look(network(1), look_rate).is_ok()));
    assert!(matches!(gate.admit_look(network(1), look_rate), Err(Refusal::Wait(_))), "but not without end");
    assert!(gate.admit_look(network(2), look_rate).is_ok());
}
