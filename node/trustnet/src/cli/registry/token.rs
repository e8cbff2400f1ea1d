//! `trustnet registry token`: a token that a node's key signs.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use trustnet_registry::access::{
    Action, Actions, Claims, MAX_TOKEN_SECONDS, RepoPattern, Scope, SigningKey, issue,
};

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::keys::Role;

#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// Whom it is for; logs name it
    #[arg(default_value = "keeper")]
    subject: String,

    /// For which repositories: team/app, team/* or *; may be given several times
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    on: Vec<RepoPattern>,

    /// What it allows: pull, push, delete
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',', default_value = "pull,push", value_parser = action)]
    allow: Vec<Action>,

    /// For how long, such as 30m, 1h or 24h (no longer)
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = seconds)]
    life: u64,

    /// The one registry that it is for, by a name of its settings [default: any that trusts this node's key]
    #[arg(long, value_name = "HOST:PORT", default_value = "")]
    registry: String,
}

fn action(text: &str) -> Result<Action, String> {
    [Action::Pull, Action::Push, Action::Delete]
        .into_iter()
        .find(|action| action.name() == text)
        .ok_or_else(|| format!("{text:?} is none of pull, push, delete"))
}

fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no time of a token; write 30m, 1h or at most 24h");
    let (number, unit) = match text.strip_suffix(['h', 'm', 's']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let factor = match unit {
        "h" => 3_600,
        "m" => 60,
        _ => 1,
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    seconds.filter(|seconds| (1..=MAX_TOKEN_SECONDS).contains(seconds)).ok_or_else(wrong)
}

pub(super) fn main(args: TokenArgs, globals: &Globals) -> Result<(), CliError> {
    let home = globals.homes().into_iter().next().ok_or_else(|| {
        CliError::failed("there is no node here whose key could sign")
            .next("trustnet init, or name its --home")
    })?;
    let key = SigningKey::from_bytes(&home.key(Role::Node)?.seed());
    let issued = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)
        .map_err(|error| CliError::failed(format!("the system gave no randomness: {error}")))?;
    let actions = args.allow.iter().fold(Actions::NONE, |all, action| all.with((*action).into()));
    let claims = Claims {
        subject: args.subject,
        issued,
        expires: issued + args.life,
        scopes: args.on.into_iter().map(|repositories| Scope { repositories, actions }).collect(),
        audience: args.registry,
        nonce,
    };
    let token = issue(&key, &claims).map_err(CliError::usage)?;
    let public = hex::encode(key.verifying_key().to_bytes());
    let value =
        json!({ "token": token, "subject": claims.subject, "expires": claims.expires, "key": public });
    // The token alone on standard output, so that it can be piped.
    globals.output().either(&value, |_| token.clone())?;
    if !globals.json {
        eprintln!(
            "signed with the node key {public}; a registry that trusts it takes the token as a password:\n  \
             trustnet registry token | docker login --username {} --password-stdin HOST:8053",
            claims.subject
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!((seconds("90"), seconds("30m"), seconds("24h")), (Ok(90), Ok(1_800), Ok(86_400)));
        for bad in ["", "h", "25h", "0", "-1", "1d", "99999999999999999999h", "1.5h", "ü"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert!(action("pull").is_ok() && action("PULL").is_err());
    }
}
