//! The way of a transaction from the command line to the ledger: find the key, number, sign, hand
//! in, say what happened.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use trustnet_ledger::crypto::{PublicKey, SecretKey};
use trustnet_ledger::{Action, NodeId, SignedTransaction, Transaction};

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::client::{Broadcast, Client};
use crate::keys::{self, Role};

/// The ledger's code for a nonce that is used: another transaction of the same key overtook this one.
const NONCE_USED: u32 = 4;
/// Codes from here on come from the node (busy, full, stopping) and not from the ledger.
pub const FIRST_NODE_CODE: u32 = 1_000;
/// How often a transaction is numbered anew when another of the same key is under way.
const ATTEMPTS: u32 = 5;
/// Pause between these attempts: about a block.
const PAUSE: Duration = Duration::from_millis(500);

/// Options of every command that sends a transaction.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SendArgs {
    /// The operator key to sign with [default: operator.key of the home]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Do not wait until the transaction is in a block
    #[arg(long)]
    pub no_wait: bool,
}

/// A node as a transaction needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Who signs for it.
    pub operator: PublicKey,
    /// `validator`, `user` ...
    pub kind: String,
    /// `ACTIVE` ...
    pub status: String,
}

impl Target {
    /// Looks a node up by name, id or number.
    ///
    /// # Errors
    /// When there is none, or no node answers.
    pub fn find(client: &Client, node: &str) -> Result<Self, CliError> {
        let view: Value = client.query("/node", &json!({ "node": node }))?;
        Self::from_view(&view).ok_or_else(|| {
            CliError::failed(format!("the answer of {} about `{node}` makes no sense", client.url()))
                .next("is the node of another version than this program? Compare: trustnet --version")
        })
    }

    fn from_view(view: &Value) -> Option<Self> {
        let text = |key: &str| view[key].as_str().map(ToOwned::to_owned);
        Some(Self {
            id: view["id"].as_str()?.parse().ok()?,
            name: text("name")?,
            operator: keys::parse_public(view["operator"].as_str()?).ok()?,
            kind: text("kind").unwrap_or_default(),
            status: text("status").unwrap_or_default(),
        })
    }
}

/// The key to sign with: `--key`, else the operator key of a known home. If `operator` is given, it
/// has to be that key, because the ledger would refuse any other.
///
/// # Errors
/// When there is no such key, or more than one could be meant.
pub fn signing_key(
    args: &SendArgs,
    globals: &Globals,
    wanted: Option<&Target>,
) -> Result<SecretKey, CliError> {
    let fits = |key: &SecretKey| wanted.is_none_or(|target| target.operator == key.public());
    if let Some(path) = &args.key {
        let (_, key) = keys::load(path, Some(Role::Operator))?;
        return if fits(&key) { Ok(key) } else { Err(wrong_key(wanted, std::slice::from_ref(path))) };
    }
    let files: Vec<PathBuf> = globals.homes().iter().map(|home| home.key_file(Role::Operator)).collect();
    let Some(first) = files.first() else {
        return Err(CliError::failed("there is no home with an operator key to sign with").next(
            "name a key with --key FILE (make one with: trustnet keys new FILE), or a home with --home DIR",
        ));
    };
    if files.len() == 1 || wanted.is_none() {
        if files.len() > 1 {
            return Err(several_keys(&files));
        }
        let (_, key) = keys::load(first, Some(Role::Operator))?;
        return if fits(&key) { Ok(key) } else { Err(wrong_key(wanted, &files)) };
    }
    for file in &files {
        let (_, key) = keys::load(file, Some(Role::Operator))?;
        if fits(&key) {
            return Ok(key);
        }
    }
    Err(wrong_key(wanted, &files))
}

fn several_keys(files: &[PathBuf]) -> CliError {
    CliError::usage(format!("{} operator keys are at hand; say which one signs", files.len()))
        .next(format!("--key {}", files.first().map(|file| file.display().to_string()).unwrap_or_default()))
}

fn wrong_key(wanted: Option<&Target>, files: &[PathBuf]) -> CliError {
    let (name, operator) =
        wanted.map(|target| (target.name.clone(), target.operator.to_string())).unwrap_or_default();
    let tried: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    CliError::failed(format!(
        "{name} is operated by the key {operator}, which is not in {}",
        tried.join(", ")
    ))
    .next(format!("sign with the operator key of {name}: --key FILE"))
}

/// This machine's clock, Unix milliseconds.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What a transaction is built from.
pub struct Draft<'a> {
    /// The chain id that proofs of possession cover, too.
    pub chain_id: &'a str,
    /// The signer.
    pub signer: PublicKey,
    /// The transaction's number.
    pub nonce: u64,
    /// Its time, Unix milliseconds.
    pub time_ms: u64,
}

/// Builds, signs and hands in a transaction; prints what happened and the next step.
///
/// # Errors
/// When the ledger refuses it (with the reason and the code), or no node answers.
pub fn send(
    client: &Client,
    args: &SendArgs,
    globals: &Globals,
    key: &SecretKey,
    done: &str,
    next: &str,
    build: impl Fn(&Draft<'_>) -> Action,
) -> Result<(), CliError> {
    let chain_id = client.chain_id()?;
    let mut attempt = 0;
    let (transaction, result) = loop {
        attempt += 1;
        let transaction = sign(client, &chain_id, key, &build)?;
        let result = if args.no_wait {
            client.broadcast_sync(transaction.bytes())?
        } else {
            client.broadcast_commit(transaction.bytes())?
        };
        if result.code != NONCE_USED || attempt == ATTEMPTS {
            break (transaction, result);
        }
        thread::sleep(PAUSE);
    };
    match result.code {
        0 => {}
        code if code < FIRST_NODE_CODE => return Err(CliError::refused(&result.log, code)),
        code => {
            let error = CliError::failed(&result.log).next("try again in a moment");
            return Err(CliError { code: Some(code), ..error });
        }
    }
    let id = transaction.id().to_string();
    let value = json!({
        "action": transaction.tx.action.name(), "hash": id, "height": result.height,
        "nonce": transaction.tx.nonce, "signer": transaction.tx.signer.to_string(), "committed": !args.no_wait,
    });
    globals.output().either(&value, |_| report(done, &id, &result, args.no_wait, next))
}

fn sign(
    client: &Client,
    chain_id: &str,
    key: &SecretKey,
    build: &impl Fn(&Draft<'_>) -> Action,
) -> Result<SignedTransaction, CliError> {
    let signer = key.public();
    let account: Value = client.query("/account", &json!({ "key": signer.to_string() }))?;
    let nonce = account["nonce"].as_u64().unwrap_or(0) + 1;
    let draft = Draft { chain_id, signer, nonce, time_ms: now_ms() };
    let action = build(&draft);
    let tx = Transaction { signer, nonce, time_ms: draft.time_ms, action };
    let signed = SignedTransaction::sign(tx, key, chain_id);
    // What the ledger would refuse in any state need not be sent.
    signed.check_shape().map_err(|error| CliError::refused(&error, error.code()))?;
    Ok(signed)
}

fn report(done: &str, id: &str, result: &Broadcast, no_wait: bool, next: &str) -> String {
    let place = if no_wait {
        "  accepted, not yet in a block".to_owned()
    } else {
        format!("  in block {}", result.height)
    };
    format!("{done}\n{place}, transaction {id}\n  next: {next}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::home::Home;

    fn target(key: &SecretKey) -> Target {
        Target {
            id: NodeId::default(),
            name: "node-1".into(),
            operator: key.public(),
            kind: "validator".into(),
            status: "ACTIVE".into(),
        }
    }

    fn network(dir: &Path, seeds: &[u8]) -> Globals {
        for seed in seeds {
            let home = Home::at(dir.join(format!("node-{seed}")));
            home.create_dirs().unwrap();
            let key = SecretKey::from_seed(&[*seed; 32]);
            keys::save(&home.key_file(Role::Operator), Role::Operator, &key).unwrap();
            Home::write_file(&home.config_file(), "").unwrap();
        }
        Globals { home: Some(dir.into()), ..Globals::default() }
    }

    #[test]
    fn among_the_homes_of_a_network_the_nodes_own_operator_signs() {
        let dir = tempfile::tempdir().unwrap();
        let globals = network(dir.path(), &[1, 2, 3]);
        let wanted = SecretKey::from_seed(&[2; 32]);
        let key = signing_key(&SendArgs::default(), &globals, Some(&target(&wanted))).unwrap();
        assert_eq!(key.public(), wanted.public());
        let error = signing_key(&SendArgs::default(), &globals, None).unwrap_err();
        assert!(error.message.starts_with("3 operator keys are at hand"), "{error}");
    }

    #[test]
    fn a_key_that_the_ledger_would_refuse_is_refused_here() {
        let dir = tempfile::tempdir().unwrap();
        let globals = network(dir.path(), &[1]);
        let other = SecretKey::from_seed(&[9; 32]);
        let error = signing_key(&SendArgs::default(), &globals, Some(&target(&other))).unwrap_err();
        assert!(
            error.message.contains(&format!("node-1 is operated by the key {}", other.public())),
            "{error}"
        );
        assert!(error.next.unwrap().contains("--key FILE"));
        let args = SendArgs { key: Some(dir.path().join("node-1/config/operator.key")), no_wait: false };
        assert!(signing_key(&args, &globals, Some(&target(&other))).is_err());
        assert!(signing_key(&args, &globals, Some(&target(&SecretKey::from_seed(&[1; 32])))).is_ok());
    }

    #[test]
    fn without_any_home_a_key_must_be_named() {
        let dir = tempfile::tempdir().unwrap();
        let globals = Globals { home: Some(dir.path().into()), ..Globals::default() };
        let error = signing_key(&SendArgs::default(), &globals, None).unwrap_err();
        assert!(error.next.unwrap().contains("trustnet keys new"));
    }

    #[test]
    fn the_report_says_where_it_is_and_what_is_next() {
        let result = Broadcast { code: 0, log: String::new(), hash: String::new(), height: 7 };
        assert_eq!(
            report("Rated.", "ab", &result, false, "trustnet why bob"),
            "Rated.\n  in block 7, transaction ab\n  next: trustnet why bob\n"
        );
        assert!(report("Rated.", "ab", &result, true, "x").contains("accepted, not yet in a block"));
    }
}
