//! QUIC, and with [`reset`] below it the only module that knows quinn: an endpoint, links, and the two halves
//! of a stream.
//!
//! Every window and limit is set here, because quinn's defaults suit servers, not boards of 512 MB.

mod reset;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AsyncUdpSocket, IdleTimeout, Runtime as _, TransportConfig, VarInt};
use quinn_proto::{HashedConnectionIdGenerator, ValidationTokenConfig};
use rustls::pki_types::CertificateDer;
use trustnet_ledger::crypto::{PublicKey, SecretKey, hash};

use self::reset::ResetKey;
use crate::lock::{read, write};
use crate::{Config, NetError, PeerId, identity};

/// Streams that the other side may have open: 3 long-lived ones and 8 requests, rounded up. quinn takes
/// memory for each allowed stream.
const STREAMS: u32 = 16;
/// Unread bytes of one stream.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
/// Unread bytes of one connection: what a peer can make this node hold below the frames.
const RECEIVE_WINDOW_BYTES: u32 = 2 << 20;
/// Bytes sent and not yet acknowledged, for one connection: the three long-lived streams and two
/// responses at once fit in it, so that bulk cannot take the room of votes.
const SEND_WINDOW_BYTES: u64 = 5 * STREAM_WINDOW_BYTES as u64 / 2;
/// After this long without a datagram a connection is dead.
const IDLE: Duration = Duration::from_mins(1);
/// First datagrams of strangers that wait to be looked at.
const MAX_INCOMING: usize = 64;
/// Bytes buffered for one such stranger, and for all.
const INCOMING_BYTES: u64 = 16 << 10;
const INCOMING_BYTES_TOTAL: u64 = 1 << 20;
/// Pause between two looks at whether quinn's task has let go of the port, at shutdown.
const PORT_POLL: Duration = Duration::from_millis(1);
/// Longest reason taken from a peer's close frame, in characters.
const MAX_REASON_CHARS: usize = 120;

/// Why a connection was closed, on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CloseCode {
    /// The node stops.
    Shutdown = 1,
    /// Another connection between the two is kept.
    Duplicate = 2,
    /// The node dialled itself.
    Own = 3,
    /// The peer is banned.
    Banned = 4,
    /// No free slot.
    Full = 5,
    /// The peer broke the protocol.
    Protocol = 6,
    /// The peer reads too slowly.
    Slow = 7,
    /// The application asked for it.
    Application = 8,
    /// The greeting names another chain.
    OtherChain = 9,
}

/// Why an operation on a link or stream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkError {
    /// The connection is gone.
    Closed,
    /// The other side gave up this stream.
    Reset,
    /// The other side took nothing for too long.
    Stalled,
}

/// A UDP socket that speaks QUIC in both roles. Clones share it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// `None` once closed, so that the port is free again even while handles to the network are kept.
    quinn: Arc<RwLock<Option<quinn::Endpoint>>>,
    socket: Weak<dyn AsyncUdpSocket>,
    client: quinn::ClientConfig,
    local: SocketAddr,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.local)
    }
}

impl Endpoint {
    /// Binds the socket.
    pub(crate) fn bind(config: &Config) -> Result<Self, NetError> {
        let addr = config.listen;
        let tls = |error: &dyn fmt::Display| NetError::Tls(error.to_string());
        let server = identity::server_config(&config.secret, &config.genesis_hash).map_err(|e| tls(&e))?;
        let client = identity::client_config(&config.secret, &config.genesis_hash).map_err(|e| tls(&e))?;
        let server = QuicServerConfig::try_from(server).map_err(|e| tls(&e))?;
        let client = QuicClientConfig::try_from(client).map_err(|e| tls(&e))?;

        let mut server = quinn::ServerConfig::with_crypto(Arc::new(server));
        let mut no_tokens = ValidationTokenConfig::default();
        no_tokens.sent(0);
        server
            .transport_config(Arc::new(transport_config(None)))
            .validation_token_config(no_tokens)
            .max_incoming(MAX_INCOMING)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
        // Only the dialler sends keep-alives: its datagram and the answer keep both sides' timers running,
        // at half the cost.
        let mut client = quinn::ClientConfig::new(Arc::new(client));
        client.transport_config(Arc::new(transport_config(config.keep_alive)));

        let socket = UdpSocket::bind(addr).map_err(|source| listen_error(addr, source))?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let socket = runtime.wrap_udp_socket(socket).map_err(|source| listen_error(addr, source))?;
        let weak = Arc::downgrade(&socket);
        let endpoint = endpoint_config(&config.secret);
        let quinn = quinn::Endpoint::new_with_abstract_socket(endpoint, Some(server), socket, runtime)
            .map_err(|source| listen_error(addr, source))?;
        let local = quinn.local_addr().map_err(|source| listen_error(addr, source))?;
        Ok(Self { quinn: Arc::new(RwLock::new(Some(quinn))), socket: weak, client, local })
    }

    fn open(&self) -> Option<quinn::Endpoint> {
        read(&self.quinn).clone()
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next stranger; `None` once the endpoint is closed.
    pub(crate) async fn accept(&self) -> Option<Stranger> {
        self.open()?.accept().await.map(Stranger)
    }

    /// Dials `addr`, where `id` must answer.
    pub(crate) async fn connect(&self, id: PeerId, addr: SocketAddr) -> Result<Link, String> {
        let name = identity::server_name(&id.0);
        let quinn = self.open().ok_or("this node stops")?;
        let connecting = quinn.connect_with(self.client.clone(), addr, &name).map_err(|e| e.to_string())?;
        Ok(Link(connecting.await.map_err(|e| describe(&e))?))
    }

    /// Closes every connection and accepts no more; waits until every peer has been told and the port is
    /// free.
    pub(crate) async fn close(&self, code: CloseCode, reason: &str) {
        let Some(quinn) = write(&self.quinn).take() else { return };
        quinn.close(VarInt::from_u32(code as u32), reason.as_bytes());
        quinn.wait_idle().await;
        drop(quinn);
        while self.socket.strong_count() > 0 {
            tokio::time::sleep(PORT_POLL).await;
        }
    }
}

fn listen_error(addr: SocketAddr, source: io::Error) -> NetError {
    match source.kind() {
        io::ErrorKind::AddrInUse => NetError::AddressInUse { addr },
        io::ErrorKind::AddrNotAvailable => NetError::AddressNotAvailable { addr },
        io::ErrorKind::PermissionDenied => NetError::NotPermitted { addr },
        _ => NetError::Listen { addr, source },
    }
}

fn transport_config(keep_alive: Option<Duration>) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .keep_alive_interval(keep_alive);
    config
}

/// Reset tokens and connection ids are derived from the node key: a node that crashed and came back can
/// tell its peers that their connections are gone, instead of leaving them to the idle limit.
fn endpoint_config(secret: &SecretKey) -> quinn::EndpointConfig {
    let reset = ResetKey::new(hash("trustnet quic reset key", &[&secret.seed()]).0);
    let ids = hash("trustnet quic connection id key", &[&secret.seed()]).0;
    let id_key = u64::from_le_bytes([ids[0], ids[1], ids[2], ids[3], ids[4], ids[5], ids[6], ids[7]]);
    let mut config = quinn::EndpointConfig::new(Arc::new(reset));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    config
}

/// The first datagram of someone who wants to connect; nothing has been computed for it yet.
pub(crate) struct Stranger(quinn::Incoming);

impl Stranger {
    pub(crate) fn addr(&self) -> SocketAddr {
        canonical(self.0.remote_address())
    }

    /// Whether it has proved that it receives at its address.
    pub(crate) fn is_validated(&self) -> bool {
        self.0.remote_address_validated()
    }

    /// Asks it to prove its address; costs one datagram and no memory.
    pub(crate) fn retry(self) {
        if let Err(error) = self.0.retry() {
            error.into_incoming().ignore();
        }
    }

    /// Drops it without a word: an answer could go to a victim whose address was forged.
    pub(crate) fn ignore(self) {
        self.0.ignore();
    }

    /// Completes the handshake, the client's authentication included.
    pub(crate) async fn accept(self) -> Result<Link, String> {
        let connecting = self.0.accept().map_err(|e| describe(&e))?;
        Ok(Link(connecting.await.map_err(|e| describe(&e))?))
    }
}

/// A connection whose handshake is complete.
#[derive(Clone, Debug)]
pub(crate) struct Link(quinn::Connection);

impl Link {
    /// Who is on the other side, as proved in the handshake.
    pub(crate) fn peer(&self) -> Option<PeerId> {
        let identity = self.0.peer_identity()?;
        let keys = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
        let [key]: &[CertificateDer<'static>; 1] = keys.as_slice().try_into().ok()?;
        let key: PublicKey = identity::key_of_spki(key)?;
        Some(PeerId(key))
    }

    pub(crate) fn remote_addr(&self) -> SocketAddr {
        canonical(self.0.remote_address())
    }

    /// The address of this machine that the peer reaches, where the system tells.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        self.0.local_ip().map(|ip| ip.to_canonical())
    }

    pub(crate) fn rtt(&self) -> Duration {
        self.0.rtt()
    }

    pub(crate) async fn open(&self) -> Result<(Sender, Receiver), LinkError> {
        let (send, receive) = self.0.open_bi().await.map_err(|_| LinkError::Closed)?;
        Ok((Sender(send), Receiver(receive)))
    }

    pub(crate) async fn accept(&self) -> Result<(Sender, Receiver), LinkError> {
        let (send, receive) = self.0.accept_bi().await.map_err(|_| LinkError::Closed)?;
        Ok((Sender(send), Receiver(receive)))
    }

    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        self.0.close(VarInt::from_u32(code as u32), reason.as_bytes());
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn closed_reason(&self) -> Option<String> {
        self.0.close_reason().map(|error| describe(&error))
    }

    /// Waits for the end of the connection and says why it ended.
    pub(crate) async fn closed(&self) -> String {
        describe(&self.0.closed().await)
    }
}

/// IPv4 addresses that arrived over an IPv6 socket, as IPv4.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// A reason for people; what the peer wrote is cut and stripped of control characters.
fn describe(error: &quinn::ConnectionError) -> String {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            let said: String = String::from_utf8_lossy(&close.reason)
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_REASON_CHARS)
                .collect();
            format!("the peer closed the connection: {said} (code {})", close.error_code)
        }
        quinn::ConnectionError::TimedOut => "nothing was heard from the peer for too long".to_owned(),
        quinn::ConnectionError::Reset => "the peer has restarted".to_owned(),
        quinn::ConnectionError::LocallyClosed => "closed by this node".to_owned(),
        other => other.to_string().chars().filter(|c| !c.is_control()).take(2 * MAX_REASON_CHARS).collect(),
    }
}

/// The sending half of a stream.
pub(crate) struct Sender(quinn::SendStream);

impl Sender {
    /// Higher priorities go first.
    pub(crate) fn set_priority(&self, priority: i32) {
        // Fails only on a stream that is closed, where priority no longer matters.
        let _ = self.0.set_priority(priority);
    }

    /// Writes everything; fails when the peer takes nothing for `stall`.
    pub(crate) async fn write_all(
        &mut self,
        mut chunks: &mut [Bytes],
        stall: Duration,
    ) -> Result<(), LinkError> {
        while !chunks.is_empty() {
            match tokio::time::timeout(stall, self.0.write_chunks(chunks)).await {
                Ok(Ok(written)) => chunks = &mut chunks[written.chunks..],
                Ok(Err(quinn::WriteError::Stopped(_))) => return Err(LinkError::Reset),
                Ok(Err(_)) => return Err(LinkError::Closed),
                Err(_) => return Err(LinkError::Stalled),
            }
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) {
        // Fails only on a stream that is closed already.
        let _ = self.0.finish();
    }

    /// Waits until the peer has acknowledged everything up to the finish, or has given up.
    pub(crate) async fn delivered(&self) {
        // Each outcome means that waiting longer is of no use.
        let _ = self.0.stopped().await;
    }

    /// Gives up the stream.
    pub(crate) fn reset(&mut self) {
        // Fails only on a stream that is closed already.
        let _ = self.0.reset(VarInt::from_u32(0));
    }
}

/// The receiving half of a stream.
pub(crate) struct Receiver(quinn::RecvStream);

impl Receiver {
    /// The next bytes, at most `max`; `None` at the end of the stream. Bytes that arrived before the
    /// connection ended are still given.
    pub(crate) async fn read(&mut self, max: usize) -> Result<Option<Bytes>, LinkError> {
        match self.0.read_chunk(max, true).await {
            Ok(chunk) => Ok(chunk.map(|chunk| chunk.bytes)),
            Err(quinn::ReadError::Reset(_)) => Err(LinkError::Reset),
            Err(_) => Err(LinkError::Closed),
        }
    }
}
