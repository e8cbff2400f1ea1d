//! Situations between real nodes on loopback.

mod discovery;
mod hostile;
mod links;
mod pressure;
mod requests;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use trustnet_ledger::crypto::{Hash32, SecretKey};

use crate::frame::{Kind, header};
use crate::hello::Hello;
use crate::record::PeerRecord;
use crate::transport::{Endpoint, Link, Receiver, Sender};
use crate::{Class, Config, Event, Network, PeerId, SendOutcome};

/// No situation takes longer, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
const CHAIN: &str = "test-chain";

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn id(seed: u8) -> PeerId {
    PeerId(secret(seed).public())
}

fn config(seed: u8) -> Config {
    Config::new(secret(seed), "127.0.0.1:0".parse().unwrap(), Hash32([7; 32]), CHAIN)
}

/// Two seeds, that of the lower id first.
fn ordered(a: u8, b: u8) -> (u8, u8) {
    if id(a) < id(b) { (a, b) } else { (b, a) }
}

/// A node and its events.
struct Node {
    net: Network,
    events: mpsc::Receiver<Event>,
}

impl Node {
    async fn start(config: Config) -> Self {
        let (net, events) = Network::start(config).await.unwrap();
        Self { net, events }
    }

    /// How another node is told of this one.
    fn contact(&self) -> String {
        format!("{}@{}", self.net.id(), self.net.local_addr())
    }

    async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("a running network")
    }

    async fn up(&mut self) -> PeerId {
        loop {
            if let Event::Up { peer, .. } = self.event().await {
                return peer;
            }
        }
    }

    async fn up_with(&mut self, wanted: PeerId) {
        while self.up().await != wanted {}
    }

    async fn down(&mut self) -> String {
        loop {
            if let Event::Down { reason, .. } = self.event().await {
                return reason;
            }
        }
    }

    async fn frame(&mut self) -> (Class, Bytes) {
        loop {
            if let Event::Frame { class, bytes, .. } = self.event().await {
                return (class, bytes);
            }
        }
    }

    /// Sends a frame that must be taken.
    fn send(&self, to: PeerId, class: Class, frame: &'static [u8]) {
        assert_eq!(self.net.send(&to, class, Bytes::from_static(frame)), SendOutcome::Queued);
    }
}

/// Two nodes with a connection that the second dialled.
async fn pair(a: Config, b: Config) -> (Node, Node) {
    let mut a = Node::start(a).await;
    let mut b = Node::start(Config { static_peers: vec![a.contact()], ..b }).await;
    tokio::join!(a.up(), b.up());
    (a, b)
}

/// Waits until `condition` holds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

/// A peer that has a key and says whatever the test wants.
struct Raw {
    _endpoint: Endpoint,
    secret: SecretKey,
    link: Link,
    streams: Vec<(Sender, Receiver)>,
}

impl Raw {
    async fn dial(seed: u8, to: &Network) -> Result<Self, String> {
        Self::dial_at(seed, to.id(), to.local_addr()).await
    }

    async fn dial_at(seed: u8, to: PeerId, addr: SocketAddr) -> Result<Self, String> {
        let endpoint = Endpoint::bind(&config(seed)).unwrap();
        let link = timeout(PATIENCE, endpoint.connect(to, addr)).await.expect("an answer")?;
        Ok(Self { _endpoint: endpoint, secret: secret(seed), link, streams: Vec::new() })
    }

    /// Opens the streams whose first bytes are given.
    async fn open(&mut self, firsts: &[u8]) {
        for first in firsts {
            let (mut sender, receiver) = self.link.open().await.unwrap();
            sender.write_all(&mut [Bytes::copy_from_slice(&[*first])], PATIENCE).await.unwrap();
            self.streams.push((sender, receiver));
        }
    }

    fn hello(&self) -> Hello {
        let record = PeerRecord::sign(&self.secret, CHAIN, vec![], 1);
        Hello::new(CHAIN.into(), record, b"raw".to_vec())
    }

    /// A peer that has greeted properly; its streams are consensus, gossip, control.
    async fn greeted(seed: u8, to: &Network) -> Self {
        let mut raw = Self::dial(seed, to).await.unwrap();
        raw.open(&[1, 2, 3]).await;
        let hello = raw.hello().encode();
        raw.write_frame(2, Kind::Hello, &hello).await;
        raw
    }

    async fn write(&mut self, stream: usize, bytes: Vec<u8>) {
        // The node may close the connection in the middle of it: that is what many tests wait for.
        let _ = self.streams[stream].0.write_all(&mut [bytes.into()], PATIENCE).await;
    }

    async fn write_frame(&mut self, stream: usize, kind: Kind, payload: &[u8]) {
        let mut bytes = header(kind, payload.len()).to_vec();
        bytes.extend_from_slice(payload);
        self.write(stream, bytes).await;
    }

    async fn closed(&self) -> String {
        timeout(PATIENCE, self.link.closed()).await.expect("the node to close the connection")
    }
}
