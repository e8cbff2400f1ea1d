//! A registry as `trustnet registry serve` runs it, and what its operator does with it.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;

use tokio::runtime::Runtime;
use trustnet_registry::admin::{AdminError, Administration, Answer, Heed, Opening, Operation};
use trustnet_registry::{Rules, Running, Setup, start};

use crate::common;
use crate::common::archive::Desk;

/// A registry that serves until it is told to stop.
pub struct Served {
    pub runtime: Runtime,
    pub running: Option<Running>,
}

impl Served {
    /// One that is open to its machine.
    pub fn start(directory: &Path) -> Self {
        Self::with(directory, Rules::Open)
    }

    /// One that keeps to the `registry.toml` in its directory.
    pub fn governed(directory: &Path) -> Self {
        Self::with(directory, Rules::File(directory.join("registry.toml")))
    }

    fn with(directory: &Path, rules: Rules) -> Self {
        let runtime = Runtime::new().unwrap();
        let mut setup = Setup::new(directory, "127.0.0.1:0".parse().unwrap());
        setup.rules = rules;
        let running = Some(runtime.block_on(start(setup)).unwrap());
        Self { runtime, running }
    }

    pub fn get(&self, path: &str) -> common::Answer {
        common::request(self.running.as_ref().unwrap().address(), "GET", path, &[], b"")
    }

    pub fn stop(&mut self) {
        self.runtime.block_on(self.running.take().unwrap().stop());
    }
}

/// Carries out an operation on a registry that serves or is stopped; its settings are not looked at if it is.
pub fn ask(directory: &Path, operation: &Operation, desk: &mut Desk) -> Result<Answer, AdminError> {
    Administration::open(directory, Opening::default())?.carry_out(operation, desk)
}

/// The same for what has to keep to the settings.
pub fn ask_heeding(
    directory: &Path,
    heed: Heed,
    operation: &Operation,
    desk: &mut Desk,
) -> Result<Answer, AdminError> {
    let opening = Opening { create: true, heed, ..Opening::default() };
    Administration::open(directory, opening)?.carry_out(operation, desk)
}

pub fn import() -> Operation {
    Operation::Import { target: None, platform: None }
}

/// Removes without force.
pub fn removal(target: &str, dry_run: bool) -> Operation {
    Operation::Remove { target: common::archive::target(target), dry_run, force: false }
}
