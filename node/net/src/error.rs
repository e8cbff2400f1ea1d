//! Why a network could not start.

use std::net::SocketAddr;

use crate::AddressError;

/// Why a network could not start.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Another process holds the UDP port.
    #[error(
        "UDP {addr} is already in use: another node may be running on this machine; stop it (`ss -ulpn` shows who holds the port) or choose another port"
    )]
    AddressInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// No interface of this machine has the address.
    #[error(
        "no interface of this machine has the address of {addr}; listen on 0.0.0.0 or [::], or on an address that `ip addr` lists"
    )]
    AddressNotAvailable {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The system does not allow listening there.
    #[error(
        "the system does not allow listening on UDP {addr}; use a port from 1024 up, or grant the right to it"
    )]
    NotPermitted {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Listening failed for another reason.
    #[error("listening on UDP {addr} failed: {source}; check the listen address in the configuration")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A static peer in the configuration cannot be read.
    #[error("static peer {text:?}: {source}")]
    StaticPeer {
        /// The text in the configuration.
        text: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// A setting is out of its bounds.
    #[error("{setting} is {found}, but at most {max} is allowed; shorten it in the configuration")]
    TooLong {
        /// Which setting.
        setting: &'static str,
        /// Its size.
        found: usize,
        /// Its bound.
        max: usize,
    },
    /// TLS refused the node key or the cipher suites.
    #[error(
        "TLS could not be set up with this node key: {0}; this is a fault of the program, please report it"
    )]
    Tls(String),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes ({0}); check that /dev/urandom exists")]
    Random(getrandom::Error),
}
