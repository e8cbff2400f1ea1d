//! A client of TLS that trusts one authority, and can be told what to offer.

#![allow(dead_code, clippy::unwrap_used)]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::common::{Answer, connect, read_answer};

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// What a client offers.
#[derive(Clone)]
pub struct Client {
    pub roots: RootCertStore,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub alpn: Vec<Vec<u8>>,
}

impl Client {
    /// Trusts the certificates in a file.
    pub fn trusting(path: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(path).unwrap() {
            roots.add(root.unwrap()).unwrap();
        }
        let versions = vec![&rustls::version::TLS13, &rustls::version::TLS12];
        Self { roots, versions, alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()] }
    }

    /// Connects and ends the handshake.
    pub fn connect(&self, addr: SocketAddr, name: &str) -> io::Result<Stream> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.alpn);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, connect(addr));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    pub fn get(&self, addr: SocketAddr, name: &str, path: &str) -> io::Result<Answer> {
        Ok(get(&mut self.connect(addr, name)?, path))
    }
}

/// Asks on a connection that stays open.
pub fn get(stream: &mut Stream, path: &str) -> Answer {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    read_answer(stream, false)
}

/// Whether the server ended the connection.
pub fn is_ended(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}
