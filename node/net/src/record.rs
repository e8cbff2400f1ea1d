//! What a node says about itself and signs, so that it does not matter who passes it on.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use trustnet_ledger::codec;
use trustnet_ledger::crypto::{SecretKey, Signature, domain, sign_bytes};

use crate::reach::{Reach, is_dialable, reach};
use crate::{MAX_PEER_ADDRS, PeerId};

/// Longest encoding of a record, in bytes: id, count, eight IPv6 addresses of 20, sequence, signature.
pub(crate) const MAX_RECORD_BYTES: usize = 32 + 1 + MAX_PEER_ADDRS * 20 + 10 + 64;

/// One host in one record at most so often: a record must not be a port scan that others carry out.
const MAX_PORTS_OF_ADDRESS: usize = 2;

/// A node and its addresses, signed by its node key for one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerRecord {
    /// Whose.
    pub(crate) id: PeerId,
    /// Where, at most [`MAX_PEER_ADDRS`].
    pub(crate) addrs: Vec<SocketAddr>,
    /// A later record has a greater number.
    pub(crate) seq: u64,
    /// By `id` over the chain id and the fields above.
    pub(crate) signature: Signature,
}

impl PeerRecord {
    /// Signs a record; addresses beyond the eighth are left out.
    pub(crate) fn sign(secret: &SecretKey, chain_id: &str, mut addrs: Vec<SocketAddr>, seq: u64) -> Self {
        addrs.truncate(MAX_PEER_ADDRS);
        let id = PeerId(secret.public());
        let signature = secret.sign(&signed_bytes(chain_id, id, &addrs, seq));
        Self { id, addrs, seq, signature }
    }

    /// Whether the record is in bounds and really by its subject.
    pub(crate) fn is_valid(&self, chain_id: &str) -> bool {
        self.addrs.len() <= MAX_PEER_ADDRS
            && self
                .addrs
                .iter()
                .all(|addr| is_dialable(*addr) && self.ports_of(*addr) <= MAX_PORTS_OF_ADDRESS)
            && self.id.0.is_acceptable()
            && self.id.0.verify(&signed_bytes(chain_id, self.id, &self.addrs, self.seq), &self.signature)
    }

    fn ports_of(&self, addr: SocketAddr) -> usize {
        self.addrs.iter().filter(|other| other.ip() == addr.ip()).count()
    }

    /// Whether every address may be told to someone who is `asker` away: a neighbour on the local network
    /// learns private addresses, the world does not.
    pub(crate) fn may_be_told(&self, asker: Reach) -> bool {
        !self.addrs.is_empty() && self.addrs.iter().all(|addr| reach(addr.ip()) >= asker)
    }
}

/// id and sequence are of fixed size; the only variable part comes last.
fn signed_bytes(chain_id: &str, id: PeerId, addrs: &[SocketAddr], seq: u64) -> Vec<u8> {
    let addrs = codec::encode(&addrs);
    sign_bytes(domain::SIGN_PEER_RECORD, chain_id, &[&id.0.0, &seq.to_be_bytes(), &addrs])
}

/// Most addresses of its own that a node collects from seeing where peers reach it.
const MAX_OWN_ADDRS: usize = MAX_PEER_ADDRS;

/// What this node says about itself.
#[derive(Debug)]
pub(crate) struct OwnRecord {
    secret: SecretKey,
    chain_id: String,
    /// From the configuration; these come first.
    advertised: Vec<SocketAddr>,
    /// Seen: addresses of this machine that peers reach, latest first.
    seen: Vec<SocketAddr>,
    seq: u64,
}

impl OwnRecord {
    /// `seq` should be greater than in an earlier run: the time serves.
    /// Advertised addresses that would make the record invalid are reported and left out.
    pub(crate) fn new(secret: SecretKey, chain_id: String, configured: &[SocketAddr], seq: u64) -> Self {
        let mut advertised: Vec<SocketAddr> = Vec::new();
        for addr in configured {
            let same_host = advertised.iter().filter(|known| known.ip() == addr.ip()).count();
            if is_dialable(*addr) && same_host < MAX_PORTS_OF_ADDRESS {
                advertised.push(*addr);
            } else {
                tracing::warn!(%addr, "advertised address ignored; give an address and port that one can dial, at most two ports an address");
            }
        }
        Self { secret, chain_id, advertised, seen: Vec::new(), seq }
    }

    /// Notes that a peer reaches this node at `addr`.
    pub(crate) fn note(&mut self, addr: SocketAddr) {
        let known = |ip| self.advertised.iter().chain(&self.seen).any(|known| known.ip() == ip);
        if !is_dialable(addr) || known(addr.ip()) {
            return;
        }
        self.seen.insert(0, addr);
        self.seen.truncate(MAX_OWN_ADDRS);
        self.seq += 1;
    }

    /// The record for a peer that is `listener` away: it holds only addresses of at least that reach.
    pub(crate) fn record_for(&self, listener: Reach) -> PeerRecord {
        let addrs = self.advertised.iter().chain(&self.seen).copied();
        let addrs = addrs.filter(|addr| reach(addr.ip()) >= listener).collect();
        PeerRecord::sign(&self.secret, &self.chain_id, addrs, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn secret() -> SecretKey {
        SecretKey::from_seed(&[1; 32])
    }

    #[test]
    fn a_record_is_valid_only_as_signed_and_only_on_its_chain() {
        let record = PeerRecord::sign(&secret(), "chain", vec![addr("10.0.0.1:1")], 7);
        assert!(record.is_valid("chain"));
        assert!(!record.is_valid("chaim"));
        assert!(!PeerRecord { seq: 8, ..record.clone() }.is_valid("chain"));
        assert!(!PeerRecord { addrs: vec![addr("10.0.0.2:1")], ..record.clone() }.is_valid("chain"));
        let other = PeerId(SecretKey::from_seed(&[2; 32]).public());
        assert!(!PeerRecord { id: other, ..record }.is_valid("chain"));
    }

    #[test]
    fn records_with_too_many_or_senseless_addresses_are_refused() {
        let nine = vec![addr("10.0.0.1:1"); 9];
        let bytes = signed_bytes("chain", PeerId(secret().public()), &nine, 1);
        let record = PeerRecord {
            id: PeerId(secret().public()),
            addrs: nine,
            seq: 1,
            signature: secret().sign(&bytes),
        };
        assert!(!record.is_valid("chain"));
        assert!(!PeerRecord::sign(&secret(), "chain", vec![addr("0.0.0.0:1")], 1).is_valid("chain"));
        let ports = |count| (1..=count).map(|port| SocketAddr::new([10, 0, 0, 1].into(), port)).collect();
        assert!(PeerRecord::sign(&secret(), "chain", ports(2), 1).is_valid("chain"));
        assert!(!PeerRecord::sign(&secret(), "chain", ports(3), 1).is_valid("chain"), "a port scan");
    }

    #[test]
    fn the_longest_record_fits_its_bound() {
        let addrs = vec![addr("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"); 8];
        let record = PeerRecord::sign(&secret(), "chain", addrs, u64::MAX);
        assert_eq!(codec::encode(&record).len(), MAX_RECORD_BYTES);
    }

    #[test]
    fn private_addresses_are_not_told_to_the_world() {
        let mut own = OwnRecord::new(secret(), "chain".into(), &[addr("8.8.8.8:1")], 1);
        own.note(addr("10.0.0.1:1"));
        own.note(addr("10.0.0.1:1"));
        own.note(addr("127.0.0.1:1"));
        assert_eq!(own.record_for(Reach::Public).addrs, [addr("8.8.8.8:1")]);
        assert_eq!(own.record_for(Reach::Private).addrs, [addr("8.8.8.8:1"), addr("10.0.0.1:1")]);
        assert_eq!(own.record_for(Reach::Loopback).addrs.len(), 3);
        assert_eq!(own.record_for(Reach::Public).seq, 3);
        assert!(own.record_for(Reach::Public).may_be_told(Reach::Public));
        assert!(!own.record_for(Reach::Private).may_be_told(Reach::Public));
        assert!(own.record_for(Reach::Private).may_be_told(Reach::Loopback));
    }

    #[test]
    fn advertised_addresses_that_nobody_could_use_do_not_make_the_record_invalid() {
        let configured = ["0.0.0.0:1", "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.2:0"].map(addr);
        let record = OwnRecord::new(secret(), "chain".into(), &configured, 1).record_for(Reach::Loopback);
        assert!(record.is_valid("chain"));
        assert_eq!(record.addrs, ["10.0.0.1:1", "10.0.0.1:2"].map(addr));
    }

    #[test]
    fn collected_addresses_are_bounded() {
        let mut own = OwnRecord::new(secret(), "chain".into(), &[], 1);
        for host in 1..100 {
            own.note(SocketAddr::new([10, 0, 0, host].into(), 1));
        }
        assert_eq!(own.record_for(Reach::Loopback).addrs.len(), MAX_PEER_ADDRS);
        assert!(own.record_for(Reach::Loopback).is_valid("chain"));
    }
}
