//! `trustnet keys`: make key files and show their public keys.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::keys::{self, Role};
use crate::output::{Align, Paint, Table};

/// Make key files and show their public keys
#[derive(Debug, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeysCommand {
    /// Make a new key file (readable by you only) and its public half beside it
    New {
        /// The file to make; its folder must exist
        file: PathBuf,
        /// What the key is for: node, validator or operator
        #[arg(long, default_value = "operator")]
        role: Role,
    },
    /// Show the public key of a key file, or of one of the home's keys
    Show {
        /// A key file, or one of: node, validator, operator
        #[arg(default_value = "operator")]
        key: String,
    },
    /// Show the public keys of the home
    List,
}

/// Runs `trustnet keys`.
///
/// # Errors
/// When a key file cannot be made or read.
pub fn main(args: KeysArgs, globals: &Globals) -> Result<(), CliError> {
    match args.command {
        KeysCommand::New { file, role } => new(&file, role, globals),
        KeysCommand::Show { key } => show(&key, globals),
        KeysCommand::List => list(globals),
    }
}

fn new(file: &std::path::Path, role: Role, globals: &Globals) -> Result<(), CliError> {
    let key = keys::generate()?;
    keys::save(file, role, &key)?;
    let public = key.public().to_string();
    let value = json!({ "file": file, "role": role.name(), "public_key": public });
    globals.output().either(&value, |_| {
        format!(
            "Made the {role} key {} (public half: {}).\n  public key: {public}\n\
             Keep a copy of the file in a safe place: a lost key cannot be made again.\n",
            file.display(),
            keys::public_path(file).display()
        )
    })
}

fn show(key: &str, globals: &Globals) -> Result<(), CliError> {
    let path = match key.parse::<Role>() {
        Ok(role) => home(globals)?.key_file(role),
        Err(_) => PathBuf::from(key),
    };
    // The public half needs no secret: it may be shown to everybody who may read it.
    let public_file = keys::public_path(&path);
    let (role, public) = if let Ok(text) = fs::read_to_string(&public_file) {
        let public = keys::parse_public(&text)
            .map_err(|problem| CliError::damaged(format!("{}: {problem}", public_file.display())))?;
        (text.split_ascii_whitespace().nth(1).unwrap_or_default().to_owned(), public)
    } else {
        let (role, secret) = keys::load(&path, None)?;
        (role.to_string(), secret.public())
    };
    let value = json!({ "file": path, "role": role, "public_key": public.to_string() });
    globals.output().either(&value, |_| public.to_string())
}

fn list(globals: &Globals) -> Result<(), CliError> {
    let home = home(globals)?;
    let mut rows = Vec::new();
    for role in Role::ALL {
        let path = home.key_file(role);
        let state = match keys::load(&path, Some(role)) {
            Ok((_, key)) => Ok(key.public().to_string()),
            Err(error) => Err(error.to_string()),
        };
        rows.push((role, path, state));
    }
    let value = rows.iter().map(|(role, path, state)| {
        json!({
            "role": role.name(), "file": path,
            "public_key": state.as_ref().ok(), "problem": state.as_ref().err(),
        })
    });
    let value = value.collect();
    globals.output().either(&value, |paint| render_list(&rows, paint))
}

fn render_list(rows: &[(Role, PathBuf, Result<String, String>)], paint: Paint) -> String {
    let mut table = Table::new(&[("role", Align::Left), ("public key", Align::Left), ("file", Align::Left)]);
    for (role, path, state) in rows {
        let state = match state {
            Ok(public) => public.clone(),
            Err(problem) => paint.red(problem),
        };
        table.row([role.to_string(), state, path.display().to_string()]);
    }
    table.render(paint)
}

fn home(globals: &Globals) -> Result<crate::home::Home, CliError> {
    if let Some(home) = globals.homes().into_iter().next() {
        return Ok(home);
    }
    let home = globals.home()?;
    home.config()?;
    Ok(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_shows_keys_and_problems() {
        let rows = vec![
            (Role::Node, PathBuf::from("/h/config/node.key"), Ok("ab".repeat(4))),
            (Role::Validator, PathBuf::from("/h/config/validator.key"), Err("there is none".to_owned())),
        ];
        assert_eq!(
            render_list(&rows, Paint::OFF),
            "role       public key     file\n\
             node       abababab       /h/config/node.key\n\
             validator  there is none  /h/config/validator.key\n"
        );
    }
}
