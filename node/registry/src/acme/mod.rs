//! Certificates of public authorities by the ACME protocol (RFC 8555), for registries that have a public name.
//!
//! ```text
//!   settings    which names, from whom, how they are proved
//!   pace        when to try: pure
//!   challenges  the answers that the authority looks for over HTTP
//!   transport   the protocol library on the registry's own HTTP client
//!   order       one certificate from start to end
//!   keep        the account and the certificate on disk; again and again
//! ```
//!
//! The protocol is `instant-acme`'s. The authority must reach this machine: for `http-01` at port 80 of every name (so
//! port 80 has to lead to the port of [`serve_challenges`], or to the registry's own plain port), for `tls-alpn-01` at
//! port 443 (which has to lead to the registry's TLS port). While there is no public certificate, or no longer, that of
//! the cluster's own authority is shown.

mod challenges;
mod keep;
mod order;
mod pace;
mod settings;
mod transport;

pub use challenges::{Challenges, serve_challenges};
pub use keep::{Acme, AcmeError};
pub use pace::{Attempts, Pace};
pub use settings::{AcmeSettings, Directory, Proof};

pub(crate) use challenges::respond;
