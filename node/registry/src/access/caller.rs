//! Who makes a request.

use std::fmt;

use super::action::{Action, Actions};
use super::pattern::RepoPattern;
use crate::name::RepoName;

/// Whom rights are given to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// Whoever says nothing of themselves. What they may, everybody may.
    Anonymous,
    /// Somebody with a password.
    User(Box<str>),
    /// Somebody with a token that a trusted key signed; by the name that the settings give the key.
    Key(Box<str>),
}

/// Part of the rights that a token passes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// For which repositories.
    pub repositories: RepoPattern,
    /// To do what.
    pub actions: Actions,
}

impl Scope {
    /// Whether it covers an action on a repository.
    pub fn covers(&self, repo: &RepoName, action: Action) -> bool {
        self.actions.contain(action) && self.repositories.matches(repo)
    }
}

/// How a caller was made sure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Not at all.
    Nothing,
    /// By a password.
    Password,
    /// By a token of a trusted key.
    Keeper,
    /// By a token that this registry gave out a moment ago, at `/token`.
    Session,
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// To whom the rules give rights.
    pub party: Party,
    /// What a token says of the person or program that it was issued to; empty without one.
    pub subject: Box<str>,
    /// How this is known.
    pub means: Means,
    /// What a token restricts it to; `None`: whatever the rules say.
    pub scopes: Option<Vec<Scope>>,
}

impl Caller {
    /// Somebody who says nothing of themselves.
    pub fn anonymous() -> Self {
        Self { party: Party::Anonymous, subject: "".into(), means: Means::Nothing, scopes: None }
    }

    /// Somebody whose password was right.
    pub fn user(name: &str) -> Self {
        Self { party: Party::User(name.into()), means: Means::Password, ..Self::anonymous() }
    }

    /// Whether nothing is known of them.
    pub fn is_anonymous(&self) -> bool {
        self.party == Party::Anonymous
    }

    /// Whether what the token says covers an action, if there is a token.
    pub fn is_in_scope(&self, repo: &RepoName, action: Action) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|scope| scope.covers(repo, action)))
    }
}

/// What whoever says nothing of themselves is called.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// As logs name them, and the uploads that belong to them.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.party {
            Party::Anonymous => f.write_str(ANONYMOUS),
            Party::User(name) => write!(f, "user:{name}"),
            Party::Key(name) => write!(f, "key:{name}:{}", self.subject),
        }
    }
}
