//! What can be done to a repository.

use std::fmt;

use serde::Deserialize;

/// One thing that can be done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Reading blobs, manifests, tags and lists.
    Pull,
    /// Uploading blobs and manifests, setting tags.
    Push,
    /// Deleting tags, manifests and blobs.
    Delete,
}

impl Action {
    const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// Its name, as settings and clients write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Pull => 1,
            Self::Push => 2,
            Self::Delete => 4,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of actions.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "Vec<Action>")]
pub struct Actions(u8);

impl Actions {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(7);
    /// Reading only.
    pub const PULL: Self = Self(1);

    /// Whether `action` is among them.
    pub fn contain(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// These and `others`.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// As a byte of a token.
    pub(super) fn to_byte(self) -> u8 {
        self.0
    }

    /// From a byte of a token.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        (byte <= Self::ALL.0).then_some(Self(byte))
    }
}

impl From<Action> for Actions {
    fn from(action: Action) -> Self {
        Self(action.bit())
    }
}

impl From<Vec<Action>> for Actions {
    fn from(actions: Vec<Action>) -> Self {
        actions.into_iter().collect()
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        actions.into_iter().fold(Self::NONE, |all, action| all.with(action.into()))
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Action::ALL.into_iter().filter(|action| self.contain(*action)).map(Action::name);
        f.write_str(&names.collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actions({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_actions() {
        let both: Actions = [Action::Pull, Action::Push].into_iter().collect();
        assert!(both.contain(Action::Pull) && both.contain(Action::Push) && !both.contain(Action::Delete));
        assert_eq!(both.to_string(), "pull,push");
        assert_eq!(both.with(Action::Delete.into()), Actions::ALL);
        assert_eq!(Actions::from_byte(both.to_byte()), Some(both));
        assert_eq!(Actions::from_byte(8), None);
        assert!(Actions::NONE.is_empty() && Actions::default().is_empty());
    }
}
