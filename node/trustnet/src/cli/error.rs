//! How a command fails: a class (the exit code), what happened, and what to do next.

use std::fmt;

/// What kind of failure it was. Each class has its own exit code, so that scripts can branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The command was understood, but could not be carried out.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// No node answers at the address.
    Unreachable,
    /// The ledger refused the transaction or knows nothing of what was asked for.
    Refused,
    /// Data is damaged, belongs to another chain, or is in use by another process.
    Damaged,
    /// Whoever reads our output has gone away (`| head`): not a failure, and nobody to tell.
    ReaderGone,
}

impl Class {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::Damaged => 5,
        }
    }

    /// The class as a word, for `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReaderGone => "reader-gone",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
        }
    }
}

/// A command's failure, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// The kind of failure.
    pub class: Class,
    /// What happened, to what. One sentence or a few lines, no trailing newline.
    pub message: String,
    /// What to do next, usually a command to run.
    pub next: Option<String>,
    /// The ledger's code of the refusal, when the ledger refused.
    pub code: Option<u32>,
}

impl CliError {
    /// An error of `class`.
    pub fn new(class: Class, message: impl fmt::Display) -> Self {
        Self { class, message: message.to_string(), next: None, code: None }
    }

    /// The command could not be carried out (exit code 1).
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Class::Failed, message)
    }

    /// The command line makes no sense (exit code 2).
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Class::Usage, message)
    }

    /// No node answers (exit code 3).
    pub fn unreachable(message: impl fmt::Display) -> Self {
        Self::new(Class::Unreachable, message)
    }

    /// The ledger refused (exit code 4), with its code.
    pub fn refused(message: impl fmt::Display, code: u32) -> Self {
        Self { code: Some(code), ..Self::new(Class::Refused, message) }
    }

    /// Data is damaged, of another chain or in use (exit code 5).
    pub fn damaged(message: impl fmt::Display) -> Self {
        Self::new(Class::Damaged, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, step: impl fmt::Display) -> Self {
        self.next = Some(step.to_string());
        self
    }

    /// The error as JSON, for `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": {
            "class": self.class.name(),
            "exit_code": self.class.exit_code(),
            "code": self.code,
            "message": self.message,
            "next": self.next,
        }})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_exit_code() {
        let classes = [
            Class::ReaderGone,
            Class::Failed,
            Class::Usage,
            Class::Unreachable,
            Class::Refused,
            Class::Damaged,
        ];
        for (expected, class) in (0u8..).zip(classes) {
            assert_eq!(class.exit_code(), expected);
        }
    }

    #[test]
    fn json_holds_the_code_and_the_next_step() {
        let error = CliError::refused("the nonce was used", 4).next("try again");
        let json = error.to_json();
        assert_eq!(json["error"]["exit_code"], 4);
        assert_eq!(json["error"]["code"], 4);
        assert_eq!(json["error"]["next"], "try again");
        assert_eq!(json["error"]["class"], "refused");
    }
}
