//! Where the registry is, how it is got at, and what its refusals mean for a person.

use std::path::{Path, PathBuf};

use trustnet_registry::admin::{AdminError, Administration, Answer, Opening, Operation};
use trustnet_registry::{RegistryError, Target};

use super::screen::Screen;
use crate::cli::error::{Class, CliError};
use crate::cli::globals::Globals;
use crate::home;

/// The directory on images and installed systems.
const SYSTEM_DIR: &str = "/var/lib/trustnet-registry";

/// A registry's directory.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    /// What has to be added to a command so that it means this registry.
    option: String,
}

impl Place {
    /// The directory that was named, or the usual one.
    pub(super) fn find(data: Option<PathBuf>, globals: &Globals) -> Result<Self, CliError> {
        if let Some(dir) = data {
            let option = format!(" --data {}", dir.display());
            return Ok(Self { dir, option });
        }
        if let Some(home) = &globals.home {
            let option = format!(" --home {}", home.display());
            return Ok(Self { dir: home.join("registry"), option });
        }
        let system = Path::new(SYSTEM_DIR);
        let dir = if system.is_dir() { system.to_owned() } else { home::registry_dir()? };
        Ok(Self { dir, option: String::new() })
    }

    /// The command that a person would type for this registry.
    pub(super) fn command(&self, command: &str) -> String {
        let (first, rest) = command.split_once(' ').map_or((command, ""), |(first, rest)| (first, rest));
        let rest = if rest.is_empty() { String::new() } else { format!(" {rest}") };
        format!("trustnet registry {first}{}{rest}", self.option)
    }

    /// Carries out an operation.
    pub(super) fn carry_out(
        &self,
        operation: &Operation,
        opening: Opening,
        screen: &mut Screen<'_>,
    ) -> Result<Answer, CliError> {
        let done = Administration::open(&self.dir, opening)
            .and_then(|administration| administration.carry_out(operation, screen));
        screen.finish();
        match (screen.failure.take(), done) {
            // Our side failed first; what the registry says of that is no news.
            (Some(failure), Err(_)) => Err(failure),
            (_, done) => done.map_err(|error| self.refusal(&error)),
        }
    }

    /// Explains an error.
    pub(super) fn refusal(&self, error: &AdminError) -> CliError {
        match error {
            AdminError::NoRegistry(_) => CliError::failed(error)
                .next(format!("{}\nor name another directory with --data DIR", self.command("serve"))),
            AdminError::Serving(_) => {
                CliError::damaged(error).next("stop it first (Ctrl-C where it runs, or its service)")
            }
            AdminError::Store(RegistryError::InUse(_)) => CliError::damaged(error),
            AdminError::Lost { .. } => CliError::unreachable(error).next("look at the log of the registry"),
            _ => match error.code() {
                "NAME_UNKNOWN" => CliError::new(Class::Refused, error).next(self.command("ls")),
                "MANIFEST_UNKNOWN" | "BLOB_UNKNOWN" => {
                    CliError::new(Class::Refused, error).next(self.command("ls REPOSITORY"))
                }
                _ => CliError::failed(error),
            },
        }
    }
}

/// What a person named.
pub(super) fn target(text: &str) -> Result<Target, CliError> {
    text.parse::<Target>().map_err(|error| {
        CliError::usage(format!("`{text}`: {error}"))
            .next("write REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST, without the registry's address")
    })
}

/// What came of an operation was not what it gives: the registry that serves is another version.
pub(super) fn another_version() -> CliError {
    CliError::failed("the registry that serves answers as another version would")
        .next("restart it, so that it runs this program")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_directory_where_it_was_named() {
        let globals = Globals::default();
        let named = Place::find(Some("/d".into()), &globals).map(|place| place.command("rm a:b"));
        assert_eq!(named, Ok("trustnet registry rm --data /d a:b".to_owned()));
        let globals = Globals { home: Some("/h".into()), ..Globals::default() };
        let place = Place::find(None, &globals).map(|place| (place.command("gc"), place.dir));
        assert_eq!(place, Ok(("trustnet registry gc --home /h".to_owned(), "/h/registry".into())));
    }
}
