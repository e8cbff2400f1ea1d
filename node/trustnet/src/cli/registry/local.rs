//! A registry inside another command: `trustnet up --registry`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::runtime::Runtime;
use trustnet_registry::{Rules, Running, SETTINGS_FILE, Setup, start};

use super::place::Place;
use super::serve::{PLAIN_PORT, TLS_PORT, machine, refusal, runtime};
use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// How long running requests have to end.
const GRACE: Duration = Duration::from_secs(3);

/// A registry that serves this machine until it is dropped.
pub struct LocalRegistry {
    running: Option<Running>,
    runtime: Runtime,
    place: Place,
}

impl LocalRegistry {
    /// Starts it in its usual directory, on its usual ports.
    ///
    /// # Errors
    /// When a port is taken, or the directory is in use or cannot be written.
    pub fn start(globals: &Globals) -> Result<Self, CliError> {
        let place = Place::find(None, globals)?;
        let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut setup = Setup::new(&place.dir, here(PLAIN_PORT));
        setup.tls = Some(here(TLS_PORT));
        setup.machine = machine;
        setup.grace = GRACE;
        let settings = place.dir.join(SETTINGS_FILE);
        setup.rules = if settings.exists() { Rules::File(settings) } else { Rules::Open };
        let runtime = runtime()?;
        let running = runtime.block_on(start(setup)).map_err(|error| {
            let CliError { message, .. } = refusal(error, &place);
            CliError::failed(message).next("stop the registry that runs already, or leave out --registry")
        })?;
        Ok(Self { running: Some(running), runtime, place })
    }

    /// Where it is, and what to do with it, in lines.
    pub fn note(&self) -> String {
        let dir = self.place.dir.display();
        format!(
            "registry http://127.0.0.1:{PLAIN_PORT} and https://127.0.0.1:{TLS_PORT}, images in {dir}\n\
             push with: docker push 127.0.0.1:{PLAIN_PORT}/IMAGE; look with: {}",
            self.place.command("ls")
        )
    }
}

impl Drop for LocalRegistry {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}
