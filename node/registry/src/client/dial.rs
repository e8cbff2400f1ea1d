//! Names to addresses to connections. The address that was looked at is the one that is connected to: a name that
//! changes in between leads nowhere else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ClientError;
use super::address::Reach;
use super::target::Target;
use crate::tls::{TlsError, provider};

/// How long a name may take to be looked up.
const LOOKUP_TIME: Duration = Duration::from_secs(10);
/// How long one address may take to answer.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long the other side may take to agree on TLS.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;
/// Longest file of certificates that is read, in bytes.
const MAX_ROOTS_BYTES: u64 = 4 * 1024 * 1024;

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Dialer {
    tls: Arc<ClientConfig>,
}

fn damaged(path: &str, why: impl ToString) -> TlsError {
    TlsError::Certificates { path: path.to_owned(), why: why.to_string() }
}

/// The authorities of a file of certificates.
fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let shown = path.display().to_string();
    let failed = |error| TlsError::Io { action: "read", path: shown.clone(), source: error };
    let len = std::fs::metadata(path).map_err(failed)?.len();
    if len > MAX_ROOTS_BYTES {
        return Err(damaged(&shown, "it is far too long"));
    }
    let content = std::fs::read(path).map_err(failed)?;
    let roots = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
    let roots = roots.map_err(|error| damaged(&shown, error))?;
    if roots.is_empty() { Err(damaged(&shown, "there is none in it")) } else { Ok(roots) }
}

impl Dialer {
    /// Trusts the authorities of the file at `roots`, or, without one, those of the system.
    ///
    /// # Errors
    /// When the file has none that can be used.
    pub(crate) fn new(roots: Option<&Path>) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        if let Some(path) = roots {
            for root in read_roots(path)? {
                store.add(root).map_err(|error| damaged(&path.display().to_string(), error))?;
            }
        } else {
            let found = rustls_native_certs::load_native_certs();
            let (_, refused) = store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                tracing::warn!(
                    refused,
                    "this system lists no certificate authorities to trust; install its package ca-certificates, or name a file of them in the settings"
                );
            }
        }
        let mut tls = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(store)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls) })
    }

    /// Connects to where `target` is, within `reach`; gives the address, too.
    pub(super) async fn dial(
        &self,
        target: &Target,
        reach: Reach,
    ) -> Result<(Box<dyn Stream>, IpAddr), ClientError> {
        let host = || target.authority();
        let unreachable = |why: String| ClientError::Unreachable { host: host(), why };
        let addresses = addresses(target).await?;
        let forbidden = addresses.iter().find(|address| !reach.allows(address.ip()));
        let allowed: Vec<_> = addresses.iter().filter(|address| reach.allows(address.ip())).collect();
        if let (true, Some(address)) = (allowed.is_empty(), forbidden) {
            return Err(ClientError::Forbidden { host: host(), address: address.ip() });
        }
        let mut why = "its name has no address".to_owned();
        for address in allowed.into_iter().take(MAX_ADDRESSES) {
            let connected = timeout(CONNECT_TIME, TcpStream::connect(address)).await;
            let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            match connected {
                Err(error) => why = error.to_string(),
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    if !target.is_https {
                        return Ok((Box::new(stream), address.ip()));
                    }
                    let name = ServerName::try_from(target.host.clone())
                        .map_err(|_| unreachable("its name cannot be in a certificate".to_owned()))?;
                    let connector = TlsConnector::from(Arc::clone(&self.tls));
                    let secured = timeout(HANDSHAKE_TIME, connector.connect(name, stream)).await;
                    let secured = secured.map_err(|_| ClientError::Timeout { host: host() })?;
                    let stream = secured.map_err(|error| unreachable(error.to_string()))?;
                    return Ok((Box::new(stream), address.ip()));
                }
            }
        }
        Err(unreachable(why))
    }
}

async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, ClientError> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![(address, target.port).into()]);
    }
    let found = timeout(LOOKUP_TIME, lookup_host((target.host.as_str(), target.port))).await;
    let found = found.map_err(|_| ClientError::Timeout { host: target.authority() })?;
    let failed =
        |error: io::Error| ClientError::Unreachable { host: target.authority(), why: error.to_string() };
    Ok(found.map_err(failed)?.collect())
}
