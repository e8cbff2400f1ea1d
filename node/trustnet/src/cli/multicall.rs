//! The names the binary answers to.

use std::ffi::OsString;
use std::path::Path;

use crate::cli::error::CliError;

/// Arguments of a command of a later version: taken, so that the message below is what one sees.
#[derive(Debug, clap::Args)]
pub struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

/// Turns the arguments of a call under another name into those of a call as `trustnet`.
pub fn rewrite(mut args: Vec<OsString>) -> Vec<OsString> {
    let command = match args.first().map(called_as).as_deref() {
        Some("trustnet-query") => Some("query"),
        Some("trustnet-status") => Some("status"),
        Some("trustnet-provision") => Some("provision"),
        Some("trustnet-test") => Some("test"),
        _ => None,
    };
    if args.is_empty() {
        args.push("trustnet".into());
    }
    if let Some(command) = command {
        args.insert(1, command.into());
    }
    args
}

/// The file name without folder and `.exe`.
fn called_as(name: &OsString) -> String {
    let name = Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.strip_suffix(".exe").map(ToOwned::to_owned).unwrap_or(name)
}

/// The answer of commands that come with a later version.
pub fn not_in_this_version(command: &str) -> CliError {
    let version = env!("CARGO_PKG_VERSION");
    CliError::usage(format!("`{command}` is not part of this version ({version}) of trustnet"))
        .next("for a local network: trustnet up\nfor one node by hand: trustnet init, then trustnet run")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        let args = rewrite(line.split(' ').map(OsString::from).collect());
        let words: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
        words.join(" ")
    }

    #[test]
    fn each_name_stands_for_its_command() {
        assert_eq!(rewritten("trustnet-query reputation --node=node-1"), "query reputation --node=node-1");
        assert_eq!(rewritten("/usr/bin/trustnet-status"), "status");
        assert_eq!(rewritten("trustnet-node run --home x"), "run --home x");
        assert_eq!(rewritten("trustnet-provision"), "provision");
        assert_eq!(rewritten("./trustnet-test.exe a"), "test a");
        assert_eq!(rewritten("trustnet status"), "status");
        assert_eq!(rewritten("renamed status"), "status");
        assert_eq!(rewrite(Vec::new()), [OsString::from("trustnet")]);
    }
}
