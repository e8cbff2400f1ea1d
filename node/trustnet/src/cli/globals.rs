//! The options that every command takes, and what follows from them: which home, which node to ask.

use std::path::PathBuf;

use crate::cli::error::CliError;
use crate::client::Client;
use crate::config::RPC_PORT;
use crate::home::{self, Home};
use crate::output::Output;

/// Options of every command.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Globals {
    /// The node's home directory [default: /opt/trustnet/node if it is there, else
    /// ~/.local/share/trustnet/node]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Options for every command")]
    pub home: Option<PathBuf>,

    /// Address of the node to ask.
    #[arg(
        help = "The node to ask [default: the port in the home's config.toml, else http://127.0.0.1:26657]",
        long,
        global = true,
        value_name = "URL",
        env = "TRUSTNET_RPC",
        hide_env_values = true,
        help_heading = "Options for every command"
    )]
    pub rpc: Option<String>,

    /// Print JSON, for scripts
    #[arg(long, global = true, help_heading = "Options for every command")]
    pub json: bool,
}

impl Globals {
    /// Standard output as these options want it.
    pub fn output(&self) -> Output {
        Output::stdout(self.json)
    }

    /// The home named, or the default one. It need not exist.
    ///
    /// # Errors
    /// When none is named and the environment gives no default.
    pub fn home(&self) -> Result<Home, CliError> {
        match &self.home {
            Some(dir) => Ok(Home::at(dir)),
            None => Ok(Home::default_single()?),
        }
    }

    /// The homes in which to look for settings and keys: the one named, else the default one and
    /// those of the local network of `trustnet up`. Only homes that exist.
    pub fn homes(&self) -> Vec<Home> {
        let named = match &self.home {
            Some(dir) => Some(Home::at(dir)),
            None => Home::default_single().ok(),
        };
        let mut homes: Vec<Home> = named.into_iter().filter(Home::exists).collect();
        if homes.is_empty() {
            // `--home` may name the folder of a whole network, too.
            let dir = self.home.clone().or_else(|| home::up_dir().ok());
            homes.extend(dir.iter().flat_map(|dir| home::network_homes(dir)));
        }
        homes
    }

    /// The address of the node to ask: `--rpc`, `TRUSTNET_RPC`, the home's config, the standard port.
    ///
    /// # Errors
    /// When the home's config cannot be used: asking another node instead would mislead.
    pub fn rpc_url(&self) -> Result<String, CliError> {
        if let Some(url) = &self.rpc {
            return Ok(url.clone());
        }
        match self.homes().first() {
            Some(home) => {
                let mut listen = home.config()?.rpc.listen;
                if listen.ip().is_unspecified() {
                    listen.set_ip(match listen {
                        std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                        std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                    });
                }
                Ok(format!("http://{listen}"))
            }
            None => Ok(format!("http://127.0.0.1:{RPC_PORT}")),
        }
    }

    /// A client of the node to ask.
    ///
    /// # Errors
    /// As [`Self::rpc_url`], or when the address is none.
    pub fn client(&self) -> Result<Client, CliError> {
        Ok(Client::new(&self.rpc_url()?)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn home_with(config: &str) -> (tempfile::TempDir, Globals) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.create_dirs().unwrap();
        Home::write_file(&home.config_file(), config).unwrap();
        let globals = Globals { home: Some(dir.path().into()), ..Globals::default() };
        (dir, globals)
    }

    #[test]
    fn the_port_comes_from_the_home_unless_an_address_is_given() {
        let (_dir, mut globals) = home_with("[rpc]\nlisten = \"0.0.0.0:26659\"\n");
        assert_eq!(globals.rpc_url().unwrap(), "http://127.0.0.1:26659");
        globals.rpc = Some("http://node-9.lan:1".into());
        assert_eq!(globals.rpc_url().unwrap(), "http://node-9.lan:1");
        let (_dir, globals) = home_with("[rpc]\nlisten = \"[::]:5\"\n");
        assert_eq!(globals.rpc_url().unwrap(), "http://[::1]:5");
    }

    #[test]
    fn a_broken_config_is_an_error_and_not_the_standard_port() {
        let (_dir, globals) = home_with("[rpc]\nlisten = 5\n");
        let message = globals.rpc_url().unwrap_err().message;
        assert!(message.contains("config.toml:2:10: "), "{message}");
    }

    #[test]
    fn the_folder_of_a_network_stands_for_its_first_node() {
        let dir = tempfile::tempdir().unwrap();
        for (name, port) in [("node-1", 5001), ("node-2", 5002)] {
            let home = Home::at(dir.path().join(name));
            home.create_dirs().unwrap();
            Home::write_file(&home.config_file(), &format!("[rpc]\nlisten = \"127.0.0.1:{port}\"\n"))
                .unwrap();
        }
        let globals = Globals { home: Some(dir.path().into()), ..Globals::default() };
        assert_eq!(globals.rpc_url().unwrap(), "http://127.0.0.1:5001");
        assert_eq!(globals.homes().len(), 2);
    }
}
