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

/// How long the other side may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// To look a name up.
    lookup: Duration,
    /// To answer at one address.
    connect: Duration,
    /// To agree on TLS.
    handshake: Duration,
    /// To send the head of an answer.
    pub(super) head: Duration,
}

const TIMES: Times = Times {
    lookup: Duration::from_secs(10),
    connect: Duration::from_secs(5),
    handshake: Duration::from_secs(10),
    head: Duration::from_secs(30),
};

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
    pub(super) times: Times,
}

fn damaged(path: &str, why: &dyn ToString) -> TlsError {
    TlsError::Certificates { path: path.to_owned(), why: why.to_string() }
}

/// The authorities of a file of certificates.
fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let shown = path.display().to_string();
    let failed = |error| TlsError::Io { action: "read", path: shown.clone(), source: error };
    let len = std::fs::metadata(path).map_err(failed)?.len();
    if len > MAX_ROOTS_BYTES {
        return Err(damaged(&shown, &"it is far too long"));
    }
    let content = std::fs::read(path).map_err(failed)?;
    let roots = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
    let roots = roots.map_err(|error| damaged(&shown, &error))?;
    if roots.is_empty() { Err(damaged(&shown, &"there is none in it")) } else { Ok(roots) }
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
                store.add(root).map_err(|error| damaged(&path.display().to_string(), &error))?;
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
        Ok(Self { tls: Arc::new(tls), times: TIMES })
    }

    /// Connects to where `target` is, within `reach`; gives the address, too.
    pub(super) async fn dial(
        &self,
        target: &Target,
        reach: Reach,
    ) -> Result<(Box<dyn Stream>, IpAddr), ClientError> {
        let host = || target.authority();
        let unreachable = |why: String| ClientError::Unreachable { host: host(), why };
        let addresses = addresses(target, self.times.lookup).await?;
        let forbidden = addresses.iter().find(|address| !reach.allows(address.ip()));
        let allowed: Vec<_> = addresses.iter().filter(|address| reach.allows(address.ip())).collect();
        if let (true, Some(address)) = (allowed.is_empty(), forbidden) {
            return Err(ClientError::Forbidden { host: host(), address: address.ip() });
        }
        let mut why = "its name has no address".to_owned();
        for address in allowed.into_iter().take(MAX_ADDRESSES) {
            let connected = timeout(self.times.connect, TcpStream::connect(address)).await;
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
                    let secured = timeout(self.times.handshake, connector.connect(name, stream)).await;
                    let secured = secured.map_err(|_| ClientError::Timeout { host: host() })?;
                    let stream = secured.map_err(|error| unreachable(error.to_string()))?;
                    return Ok((Box::new(stream), address.ip()));
                }
            }
        }
        Err(unreachable(why))
    }
}

async fn addresses(target: &Target, time: Duration) -> Result<Vec<SocketAddr>, ClientError> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![(address, target.port).into()]);
    }
    let found = timeout(time, lookup_host((target.host.as_str(), target.port))).await;
    let found = found.map_err(|_| ClientError::Timeout { host: target.authority() })?;
    let failed =
        |error: io::Error| ClientError::Unreachable { host: target.authority(), why: error.to_string() };
    Ok(found.map_err(failed)?.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::{HeaderMap, Method};
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::send::Send;
    use super::*;

    fn hasty() -> Dialer {
        let folder = tempfile::tempdir().unwrap();
        let root = crate::tls::Authority::make(crate::tls::now_seconds()).unwrap();
        std::fs::write(folder.path().join("root"), root.certificate_pem()).unwrap();
        let short = Duration::from_millis(200);
        let times = Times { lookup: short, connect: short, handshake: short, head: short };
        Dialer { times, ..Dialer::new(Some(&folder.path().join("root"))).unwrap() }
    }

    async fn ask(scheme: &str, said: &'static [u8]) -> Result<u16, ClientError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let silent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(said).await.unwrap();
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard).await;
        });
        let target = Target::parse(&url).unwrap();
        let (method, reach) = (Method::GET, Reach::Configured);
        let send = Send { method, target: &target, reach, headers: HeaderMap::new(), body: Bytes::new() };
        let answer = timeout(Duration::from_secs(20), hasty().send(send)).await.unwrap();
        silent.abort();
        answer.map(|answer| answer.status.as_u16())
    }

    #[tokio::test]
    async fn servers_that_say_nothing_are_not_waited_for() {
        for (scheme, said) in [("http", &b""[..]), ("https", b""), ("http", b"HTTP/1.1 200 OK\r\nA: ")] {
            assert!(matches!(ask(scheme, said).await, Err(ClientError::Timeout { .. })), "{scheme} {said:?}");
        }
    }

    #[tokio::test]
    async fn answers_that_are_none() {
        let long: &'static [u8] = Box::leak(vec![b'a'; 200_000].into_boxed_slice());
        for (scheme, said) in
            [("http", &b"SSH-2.0-x\r\n\r\n"[..]), ("https", b"HTTP/1.1 200 OK\r\n\r\n"), ("http", long)]
        {
            assert!(matches!(ask(scheme, said).await, Err(ClientError::Unreachable { .. })), "{scheme}");
        }
        assert_eq!(ask("http", b"HTTP/1.1 204 x\r\n\r\n").await, Ok(204));
    }

    #[tokio::test]
    async fn nobody_is_asked_at_an_address_where_an_answer_must_not_lead() {
        let target = Target::parse("http://127.0.0.1:1/").unwrap();
        let reach = Reach::led_from("8.8.8.8".parse().unwrap());
        let refused = hasty().dial(&target, reach).await.err().unwrap();
        assert!(matches!(refused, ClientError::Forbidden { .. }));
        // A name that is known to lead there, too.
        let target = Target::parse("http://localhost:1/").unwrap();
        assert!(matches!(hasty().dial(&target, reach).await.err().unwrap(), ClientError::Forbidden { .. }));
        let gone = hasty().dial(&target, Reach::Configured).await.err().unwrap();
        assert!(matches!(gone, ClientError::Unreachable { .. }));
    }
}
