//! `trustnet register`: a new node on the ledger.

use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::{Action, KeyProof, KeyRole, NodeKind, shape};

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::cli::send::{self, Draft, SendArgs};
use crate::home::Home;
use crate::keys::Role;

/// Add a node to the ledger
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The signing key becomes the node's operator. All kinds but `user` also need the home's \
                        node.key; validators need its validator.key, too."
)]
pub struct RegisterArgs {
    /// Its name for ever: 1 to 32 of a-z 0-9 . _ -
    name: String,

    /// What it does
    #[arg(long)]
    kind: Kind,

    /// Who runs it (up to 64 bytes, everybody can read it)
    #[arg(long, default_value = "", hide_default_value = true)]
    owner: String,

    #[command(flatten)]
    send: SendArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Decides blocks
    Validator,
    /// Keeps all history
    Archive,
    /// Answers questions
    Rpc,
    /// Offers something else to the network
    Service,
    /// A person who rates and is rated
    User,
}

impl Kind {
    fn of_ledger(self) -> NodeKind {
        match self {
            Self::Validator => NodeKind::Validator,
            Self::Archive => NodeKind::Archive,
            Self::Rpc => NodeKind::Rpc,
            Self::Service => NodeKind::Service,
            Self::User => NodeKind::User,
        }
    }
}

/// Runs `trustnet register`.
///
/// # Errors
/// When a field breaks a rule, a key is missing, or the ledger refuses.
pub fn main(args: &RegisterArgs, globals: &Globals) -> Result<(), CliError> {
    check(&args.name, &args.owner)?;
    let key = send::signing_key(&args.send, globals, None)?;
    let keys = NodeKeys::of(args.kind, globals)?;
    let client = globals.client()?;
    let (name, kind) = (&args.name, args.kind.of_ledger());
    let next = match args.kind {
        Kind::Validator => format!(
            "operators of validators with more than 2/3 of the power run: trustnet admit {name}\n        \
             then you: trustnet ready {name}"
        ),
        Kind::User => format!("trustnet rate {name} NODE STARS"),
        _ => format!("trustnet start {name}, and when it is set up: trustnet ready {name}"),
    };
    let done = format!("{name} is registered as {kind}.");
    send::send(&client, &args.send, globals, &key, &done, &next, |draft| Action::Register {
        name: name.clone(),
        owner: args.owner.clone(),
        kind,
        node_key: keys.node.as_ref().map(|key| proof(key, KeyRole::Node, draft)),
        validator_key: keys.validator.as_ref().map(|key| proof(key, KeyRole::Validator, draft)),
    })
}

/// The ledger's rules of names and owners, checked before anything is sent.
fn check(name: &str, owner: &str) -> Result<(), CliError> {
    shape::check_name(name)
        .map_err(|error| CliError::usage(format!("`{}` cannot be a name: {error}", name.escape_debug())))?;
    shape::check_owner(owner).map_err(|error| CliError::usage(format!("--owner: {error}")))
}

fn proof(key: &SecretKey, role: KeyRole, draft: &Draft<'_>) -> KeyProof {
    KeyProof::sign(key, role, draft.chain_id, &draft.signer, draft.nonce, draft.time_ms)
}

/// The keys of the home that are registered with the node.
struct NodeKeys {
    node: Option<SecretKey>,
    validator: Option<SecretKey>,
}

impl NodeKeys {
    fn of(kind: Kind, globals: &Globals) -> Result<Self, CliError> {
        let load = |role: Role, wanted: bool| -> Result<Option<SecretKey>, CliError> {
            if !wanted {
                return Ok(None);
            }
            let home = match &globals.home {
                Some(dir) => Home::at(dir),
                None => Home::default_single()?,
            };
            home.config()?;
            Ok(Some(home.key(role)?))
        };
        Ok(Self {
            node: load(Role::Node, kind != Kind::User)?,
            validator: load(Role::Validator, kind == Kind::Validator)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_owners_are_checked_before_anything_is_sent() {
        check("node-1", "Ada").unwrap();
        let error = check("Node 1", "").unwrap_err();
        assert_eq!(error.message, "`Node 1` cannot be a name: a name is 1 to 32 of a-z 0-9 . _ -");
        assert!(check("a\u{1b}[2J", "").unwrap_err().message.contains("\\u{1b}"));
        assert!(check("a", &"x".repeat(65)).unwrap_err().message.starts_with("--owner: "));
    }

    #[test]
    fn a_user_needs_no_home_and_a_validator_does() {
        let dir = tempfile::tempdir().unwrap();
        let globals = Globals { home: Some(dir.path().into()), ..Globals::default() };
        assert!(NodeKeys::of(Kind::User, &globals).unwrap().node.is_none());
        let error = NodeKeys::of(Kind::Validator, &globals).err().unwrap();
        assert!(error.message.starts_with("there is no node in "), "{error}");
        assert!(error.next.unwrap().contains("trustnet init --home "));
    }
}
