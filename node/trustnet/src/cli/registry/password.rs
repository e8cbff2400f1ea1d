//! `trustnet registry passwd`: a password's hash, for the settings.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use serde_json::json;
use trustnet_registry::access::{MAX_PASSWORD_BYTES, PartyName, PasswordHash};

use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// Shortest password that is taken, in bytes: the registry may be reached from anywhere.
const MIN_PASSWORD_BYTES: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct PasswordArgs {
    /// The user whose password it is; asked for on the terminal, else read from standard input
    #[arg(default_value = "alice")]
    user: String,
}

pub(super) fn main(args: &PasswordArgs, globals: &Globals) -> Result<(), CliError> {
    let name = PartyName::try_from(args.user.clone()).map_err(CliError::usage)?.0;
    let password = if io::stdin().is_terminal() { ask_twice(&name)? } else { read_line()? };
    if password.len() < MIN_PASSWORD_BYTES || password.len() > MAX_PASSWORD_BYTES {
        return Err(CliError::usage(format!(
            "a password has {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes, and this one {}",
            password.len()
        )));
    }
    let hash = PasswordHash::new(&password)
        .map_err(|error| CliError::failed(format!("the system gave no randomness: {error}")))?
        .to_string();
    globals.output().either(&json!({ "user": name, "password": hash }), |_| {
        format!("# Into registry.toml; then say in a [[rule]] what {name} may do.\n[[user]]\nname = \"{name}\"\npassword = \"{hash}\"")
    })
}

fn failed(error: &io::Error) -> CliError {
    CliError::failed(format!("the password cannot be read: {error}"))
}

fn read_line() -> Result<String, CliError> {
    let mut text = String::new();
    io::stdin()
        .take(2 * MAX_PASSWORD_BYTES as u64)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask_twice(name: &str) -> Result<String, CliError> {
    let first = ask(&format!("password of {name}: "))?;
    if ask("once more: ")? != first {
        return Err(CliError::usage("the two passwords differ"));
    }
    Ok(first)
}

/// Keys that are typed, unseen, until Enter.
fn ask(prompt: &str) -> Result<String, CliError> {
    eprint!("{prompt}");
    let _ = io::stderr().flush();
    enable_raw_mode().map_err(|error| failed(&error))?;
    let typed = read_keys();
    // Whatever came of it, the terminal is as it was.
    let _ = disable_raw_mode();
    eprintln!();
    typed.map_err(|error| failed(&error))
}

fn read_keys() -> io::Result<String> {
    let mut text = String::new();
    loop {
        let Event::Key(KeyEvent { code, modifiers, kind, .. }) = read()? else { continue };
        if kind == KeyEventKind::Release {
            continue;
        }
        match code {
            KeyCode::Enter => return Ok(text),
            KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => {
                return Err(io::Error::other("it was broken off"));
            }
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(letter) if text.len() <= MAX_PASSWORD_BYTES => text.push(letter),
            _ => {}
        }
    }
}
