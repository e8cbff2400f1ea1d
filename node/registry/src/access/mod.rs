//! Who may do what: what the settings say of it, who makes a request, and how that is made sure of.
//!
//! ```text
//!   section     what the settings say          pattern, action    what rules are about
//!      |
//!   Access      what follows for a caller      caller             who that is
//!      |
//!   gate        makes sure who calls           header, password, token, remembered, failures, buckets
//!   network     whose requests count together  proxies
//! ```
//!
//! Only the gate knows the time, the threads and the randomness of this machine; the rest is told.

mod action;
mod buckets;
mod caller;
mod failures;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gate;
mod header;
mod network;
mod password;
mod pattern;
mod proxies;
mod remembered;
mod section;
mod token;

use std::collections::HashMap;
use std::ops::Range;

pub use ed25519_dalek::SigningKey;

pub use action::{Action, Actions};
pub(crate) use buckets::Rate;
pub(crate) use caller::ANONYMOUS;
pub use caller::{Caller, Means, Party, Scope};
pub(crate) use gate::{Gate, SESSION_SECONDS};
pub use header::MAX_USER_BYTES;
pub use network::Network;
pub use password::{MAX_PASSWORD_BYTES, NoPasswordHash, PasswordHash};
pub use pattern::{PatternError, RepoPattern, TagPattern};
pub(crate) use proxies::Proxies;
pub use proxies::ProxyAddress;
pub(crate) use section::is_host;
pub use section::{
    AccessSection, BaseUrl, HostName, KeyBytes, KeySection, Moment, PartyName, RuleSection, UserSection,
};
pub use token::{
    CLOCK_SKEW_SECONDS, Claims, MAX_SCOPES, MAX_TOKEN_BYTES, MAX_TOKEN_SECONDS, Terms, TokenError,
    TrustedKey, issue, verify,
};

use crate::name::RepoName;

/// Most users, keys, rules or proxies of the settings.
const MAX_ENTRIES: usize = 1_000;

/// A mistake in the settings, and where it stands, in bytes.
pub(crate) type Mistake = (Range<usize>, String);

/// To whom a rule gives rights.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Everybody,
    Users,
    Keys,
    One(Party),
}

impl Who {
    fn is(&self, party: &Party) -> bool {
        match self {
            Self::Everybody => true,
            Self::Users => matches!(party, Party::User(_)),
            Self::Keys => matches!(party, Party::Key(_)),
            Self::One(one) => one == party,
        }
    }
}

#[derive(Clone, Debug)]
struct Rule {
    who: Vec<Who>,
    repositories: Vec<RepoPattern>,
    actions: Actions,
}

/// What the rules say to something that a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// Not to somebody who says nothing of themselves.
    LogIn,
    /// No.
    Denied,
    /// The caller may, but not with this token.
    OutOfScope,
}

/// Who may do what.
#[derive(Clone, Debug)]
pub struct Access {
    is_open: bool,
    rules: Vec<Rule>,
    users: HashMap<Box<str>, PasswordHash>,
    keys: Vec<TrustedKey>,
    names: Vec<String>,
    url: Option<String>,
    proxies: Proxies,
}

impl Default for Access {
    /// Everybody may pull everything; nobody may do anything else.
    fn default() -> Self {
        let rules = vec![Rule::for_everybody(Actions::PULL)];
        Self { rules, ..Self::nothing() }
    }
}

impl Rule {
    fn for_everybody(actions: Actions) -> Self {
        let all = RepoPattern::all();
        Self { who: vec![Who::Everybody], repositories: vec![all], actions }
    }
}

impl Access {
    fn nothing() -> Self {
        Self {
            is_open: false,
            rules: Vec::new(),
            users: HashMap::new(),
            keys: Vec::new(),
            names: Vec::new(),
            url: None,
            proxies: Proxies::default(),
        }
    }

    /// Everybody may do everything, whatever they say of themselves: for a registry that only its own machine reaches.
    pub fn open() -> Self {
        Self { is_open: true, ..Self::nothing() }
    }

    /// What the settings say.
    pub(crate) fn new(
        access: &AccessSection,
        users: &[UserSection],
        keys: &[KeySection],
        rules: &[RuleSection],
    ) -> Result<Self, Mistake> {
        let mut made = Self {
            rules: vec![Rule::for_everybody(access.anonymous)],
            names: access.names.iter().map(|name| name.0.clone()).collect(),
            url: access.url.as_ref().map(|url| url.0.clone()),
            proxies: Proxies::new(&access.proxies),
            ..Self::nothing()
        };
        let lists = [
            ("users", users.len()),
            ("keys", keys.len()),
            ("rules", rules.len()),
            ("proxies", access.proxies.len()),
        ];
        for (what, count) in lists {
            if count > MAX_ENTRIES {
                let problem = format!("{count} {what} are more than the {MAX_ENTRIES} allowed; merge some");
                return Err((0..0, problem));
            }
        }
        for user in users {
            let name = user.name.get_ref().0.as_str();
            if made.users.insert(name.into(), user.password.clone()).is_some() {
                return Err((user.name.span(), format!("the user {name} is there twice; remove one")));
            }
        }
        for key in keys {
            let (name, bytes) = (key.name.get_ref().0.as_str(), key.public.get_ref().0);
            let revoked_before = key.revoked_before.map_or(0, |moment| moment.0);
            let Some(trusted) = TrustedKey::new(name, &bytes, revoked_before) else {
                let problem =
                    "these 32 bytes are no Ed25519 public key, or one that anybody can sign for".to_owned();
                return Err((key.public.span(), problem));
            };
            if made.keys.iter().any(|other| other.name == trusted.name || other.bytes() == trusted.bytes()) {
                return Err((key.name.span(), format!("the key {name} is there twice; remove one")));
            }
            made.keys.push(trusted);
        }
        for rule in rules {
            let who = rule.who.iter().map(|who| made.who(who)).collect::<Result<_, _>>()?;
            let (repositories, actions) = (rule.repositories.clone(), rule.actions);
            made.rules.push(Rule { who, repositories, actions });
        }
        Ok(made)
    }

    fn who(&self, text: &toml::Spanned<String>) -> Result<Who, Mistake> {
        let name = text.get_ref().as_str();
        match (name, name.strip_prefix("key:")) {
            (ANONYMOUS, _) => Ok(Who::Everybody),
            ("users", _) => Ok(Who::Users),
            ("keys", _) => Ok(Who::Keys),
            (_, Some(key)) if self.keys.iter().any(|known| &*known.name == key) => {
                Ok(Who::One(Party::Key(key.into())))
            }
            (_, None) if self.users.contains_key(name) => Ok(Who::One(Party::User(name.into()))),
            (_, Some(key)) => {
                Err((text.span(), format!("there is no [[key]] named {key:?}; add it, or name another")))
            }
            (_, None) => {
                let problem = format!(
                    "there is no [[user]] named {name:?}; add it, or write anonymous, users, keys or key:<name>"
                );
                Err((text.span(), problem))
            }
        }
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether there is anybody with a password.
    pub(crate) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whether there is anybody who could log in.
    pub(crate) fn has_logins(&self) -> bool {
        self.has_users() || !self.keys.is_empty()
    }

    /// Whether there is anything that one may do without a login.
    pub(crate) fn lets_anonymous_in(&self) -> bool {
        let is_for_all = |rule: &Rule| rule.who.contains(&Who::Everybody);
        self.is_open || self.rules.iter().any(|rule| is_for_all(rule) && !rule.actions.is_empty())
    }

    pub(crate) fn password_of(&self, user: &str) -> Option<&PasswordHash> {
        self.users.get(user)
    }

    pub(crate) fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Where clients reach the registry, if the settings say so.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Who speaks for others.
    pub(crate) fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// What the rules say to an action of a caller.
    pub fn judge(&self, caller: &Caller, repo: &RepoName, action: Action) -> Verdict {
        if self.is_open {
            return Verdict::Allowed;
        }
        let is_right = self.rules.iter().any(|rule| {
            rule.actions.contain(action)
                && rule.who.iter().any(|who| who.is(&caller.party))
                && rule.repositories.iter().any(|pattern| pattern.matches(repo))
        });
        match is_right {
            true if caller.is_in_scope(repo, action) => Verdict::Allowed,
            true => Verdict::OutOfScope,
            false if caller.is_anonymous() => Verdict::LogIn,
            false => Verdict::Denied,
        }
    }

    /// Whether a caller may do something.
    pub fn allows(&self, caller: &Caller, repo: &RepoName, action: Action) -> bool {
        self.judge(caller, repo, action) == Verdict::Allowed
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
