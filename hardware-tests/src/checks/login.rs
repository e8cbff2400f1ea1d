//! Who gets in.

use std::time::Duration;

use super::Context;
use crate::Failure;
use crate::board::Board;
use crate::shell;

const LIMIT: Duration = Duration::from_secs(30);

/// Neither passwords nor root.
pub fn keys_only(board: &mut Board, _: &Context) -> Result<String, Failure> {
    let password =
        ["-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password,keyboard-interactive"];
    refused(board, "warden", &password)?;
    refused(board, "root", &password)?;
    refused(board, "root", &[])?;
    let shadow = board.try_run("cat /etc/shadow")?;
    if shadow.code == Some(0) {
        return Err("warden can read /etc/shadow".into());
    }
    Ok("passwords, root with a key, and /etc/shadow are refused".to_owned())
}

fn refused(board: &Board, user: &str, options: &[&str]) -> Result<(), Failure> {
    let said = shell::run(board.ssh_as(user, options).arg("true"), LIMIT)?;
    // The server's list of what it takes: a password must not be in it.
    if said.code == Some(255) && said.err.contains("Permission denied (publickey)") {
        return Ok(());
    }
    Err(format!("{user} {options:?}: {:?} {}", said.code, said.err.trim()).into())
}
