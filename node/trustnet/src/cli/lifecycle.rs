//! The steps of a node's life: `start`, `admit`, `ready`, `pause`, `resume`, `destroy`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use trustnet_ledger::Action;

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::cli::rate::own_node;
use crate::cli::send::{self, SendArgs, Target};

/// Arguments of a step that the node's own operator takes.
#[derive(Debug, clap::Args)]
pub struct StepArgs {
    /// The node, by name or id
    node: String,

    #[command(flatten)]
    send: SendArgs,
}

/// A step that the node's own operator takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// PENDING to INITIALIZING.
    Start,
    /// INITIALIZING to ACTIVE.
    Ready,
    /// ACTIVE to INACTIVE.
    Pause,
    /// INACTIVE to ACTIVE.
    Resume,
}

/// Runs a step.
///
/// # Errors
/// When the key does not fit or the ledger refuses.
pub fn step(step: Step, args: &StepArgs, globals: &Globals) -> Result<(), CliError> {
    let client = globals.client()?;
    let target = Target::find(&client, &args.node)?;
    let key = send::signing_key(&args.send, globals, Some(&target))?;
    let name = &target.name;
    let node = target.id;
    let (action, done, next) = match step {
        Step::Start => (
            Action::Start { node },
            format!("{name} is INITIALIZING."),
            format!("set it up, then: trustnet ready {name}"),
        ),
        Step::Ready => {
            (Action::Ready { node }, format!("{name} is ACTIVE."), format!("trustnet query node {name}"))
        }
        Step::Pause => (
            Action::Pause { node },
            format!("{name} is INACTIVE; its reputation stands still."),
            format!("trustnet resume {name}"),
        ),
        Step::Resume => (
            Action::Resume { node },
            format!("{name} is ACTIVE again."),
            format!("trustnet query node {name}"),
        ),
    };
    send::send(&client, &args.send, globals, &key, &done, &next, |_| action.clone())
}

/// Consent, as operator of a validator, that a node becomes a validator
#[derive(Debug, clap::Args)]
pub struct AdmitArgs {
    /// The node that wants to become a validator
    node: String,

    /// Your validator that consents [default: the one that your key operates]
    #[arg(long, value_name = "VALIDATOR")]
    by: Option<String>,

    #[command(flatten)]
    send: SendArgs,
}

/// Runs `trustnet admit`.
///
/// # Errors
/// When the key does not fit or the ledger refuses.
pub fn admit(args: &AdmitArgs, globals: &Globals) -> Result<(), CliError> {
    let client = globals.client()?;
    let target = Target::find(&client, &args.node)?;
    let (validator, key) = if let Some(by) = &args.by {
        let validator = Target::find(&client, by)?;
        let key = send::signing_key(&args.send, globals, Some(&validator))?;
        (validator, key)
    } else {
        let key = send::signing_key(&args.send, globals, None).map_err(|error| {
            if error.class == crate::cli::Class::Usage { error.next("--by VALIDATOR") } else { error }
        })?;
        let at_work = |target: &Target| target.kind == "validator" && target.status == "ACTIVE";
        (own_node(&client, &key.public().to_string(), at_work)?, key)
    };
    let (name, node) = (&target.name, target.id);
    let done = format!("{} consents that {name} becomes a validator.", validator.name);
    let next = format!(
        "trustnet query node {name} (INITIALIZING once more than 2/3 of the power has consented)\n        \
         then its operator: trustnet ready {name}"
    );
    send::send(&client, &args.send, globals, &key, &done, &next, |_| Action::Admit {
        node,
        validator: validator.id,
    })
}

/// End a node for ever; its record stays
#[derive(Debug, clap::Args)]
pub struct DestroyArgs {
    /// The node, by name or id
    node: String,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    send: SendArgs,
}

/// Runs `trustnet destroy`.
///
/// # Errors
/// When it is not confirmed, the key does not fit or the ledger refuses.
pub fn destroy(args: &DestroyArgs, globals: &Globals) -> Result<(), CliError> {
    let client = globals.client()?;
    let target = Target::find(&client, &args.node)?;
    let key = send::signing_key(&args.send, globals, Some(&target))?;
    let name = &target.name;
    if !args.yes {
        let stdin = io::stdin();
        if globals.json || !stdin.is_terminal() {
            return Err(CliError::usage(format!(
                "to destroy {name} for ever takes a yes, and this is no terminal"
            ))
            .next(format!("trustnet destroy {name} --yes")));
        }
        eprint!(
            "Destroy {name} ({}) for ever? Its name and keys can never be used again. Type its name: ",
            target.id
        );
        // A prompt that cannot be shown is answered by nothing, which is not the name.
        let _ = io::stderr().flush();
        let mut line = String::new();
        let read = stdin.lock().read_line(&mut line);
        if read.is_err() || line.trim() != name {
            return Err(CliError::failed(format!("not confirmed: {name} stays as it is")));
        }
    }
    let done = format!("{name} is DESTROYED.");
    let next = format!("trustnet query node {name} (its record stays)");
    send::send(&client, &args.send, globals, &key, &done, &next, |_| Action::Destroy { node: target.id })
}
