//! Failures of the parts below become failures of a command: each gets its class and its next step.

use crate::cli::error::CliError;
use crate::cli::send::FIRST_NODE_CODE;
use crate::client::ClientError;
use crate::config::ConfigError;
use crate::home::HomeError;
use crate::keys::KeyError;
use crate::new_home::NewHomeError;
use trustnet_store::StoreError;

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        let text = error.to_string();
        match error {
            KeyError::Missing { .. } => Self::failed(text)
                .next("name the key file with --key FILE, or make a home with: trustnet init"),
            KeyError::OpenToOthers { path, .. } => {
                // The message holds the command; repeated here so that --json has it in its place.
                Self::failed(text).next(format!("chmod 600 {}", path.display()))
            }
            KeyError::Malformed { .. } | KeyError::WrongRole { .. } => {
                Self::damaged(text).next("restore the file from your copy; a lost key cannot be made again")
            }
            KeyError::Unreadable { .. } | KeyError::Unwritable { .. } => {
                Self::failed(text).next("check the owner and the permissions of the file and its folder")
            }
            KeyError::Exists { .. } | KeyError::NoRandomness(_) => Self::failed(text),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let text = error.to_string();
        match error {
            ConfigError::Unreadable { .. } => {
                Self::failed(text).next("check that the file is there and that you may read it")
            }
            ConfigError::Invalid { path, line, .. } => {
                Self::failed(text).next(format!("correct line {line} of {}", path.display()))
            }
        }
    }
}

impl From<HomeError> for CliError {
    fn from(error: HomeError) -> Self {
        let text = error.to_string();
        match error {
            HomeError::Config(error) => error.into(),
            HomeError::Key(error) => error.into(),
            HomeError::NoDefault => Self::failed(text).next("name a folder with --home DIR"),
            HomeError::NotANode { root } => Self::failed(text).next(format!(
                "trustnet init --home {}\nor, for a whole local network: trustnet up",
                root.display()
            )),
            HomeError::Exists { root } => {
                Self::failed(text).next(format!("trustnet run --home {}", root.display()))
            }
            HomeError::Unfinished { root, .. } => Self::damaged(text).next(format!(
                "restore config/config.toml; or, if the node was never used, move {} away and run trustnet init again",
                root.display()
            )),
            HomeError::Unwritable { .. } => Self::failed(text)
                .next("make the folder writable for you, or choose another with --home DIR"),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::BadUrl { .. } => Self::usage(text),
            ClientError::Unreachable { .. } => Self::unreachable(text).next(
                "start a node (`trustnet up` or `trustnet run`), or name another with --rpc http://HOST:PORT",
            ),
            ClientError::BadAnswer { .. } => Self::unreachable(text)
                .next("is it a node of another version, or another program? Check --rpc"),
            ClientError::Rpc { .. } => Self::failed(text),
            ClientError::Query { code, .. } if code < FIRST_NODE_CODE => Self::refused(text, code),
            ClientError::Query { code, .. } => Self { code: Some(code), ..Self::failed(text) },
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        // The store's messages hold their next step.
        match error {
            StoreError::Io { .. } | StoreError::DiskFull { .. } | StoreError::BadOption { .. } => {
                Self::failed(error)
            }
            _ => Self::damaged(error),
        }
    }
}

impl From<NewHomeError> for CliError {
    fn from(error: NewHomeError) -> Self {
        match error {
            NewHomeError::Home(error) => error.into(),
            NewHomeError::Store(error) => error.into(),
        }
    }
}
