//! The node key as TLS identity: RFC 7250 raw public keys, both sides authenticated.
//!
//! There is no X.509 here: no names, no dates (a board without a clock boots in 1970), no parser. A
//! certificate is the 44 bytes of an Ed25519 `SubjectPublicKeyInfo`, of which the last 32 are the key.
//! Whoever dials says which key must answer; whoever listens learns the key when the handshake is complete.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureAlgorithm,
    SignatureScheme,
};
use trustnet_ledger::crypto::{Hash32, PublicKey, SecretKey};

/// What precedes the key in an Ed25519 `SubjectPublicKeyInfo` (RFC 8410): two sequences, the object
/// identifier 1.3.101.112 and a bit string of 33 bytes without unused bits.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Digits of the base32 in [`server_name`] (RFC 4648, lower case).
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The one choice of cryptography: ring, TLS 1.3 only.
///
/// ChaCha20-Poly1305 comes first for both sides, because a Raspberry Pi 4 has no AES instructions and a
/// rustls server follows the client's order; AES-128-GCM stays because QUIC's Initial packets need it.
pub(crate) fn crypto_provider() -> Arc<CryptoProvider> {
    use rustls::crypto::ring;
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    ];
    provider.kx_groups = vec![ring::kx_group::X25519];
    Arc::new(provider)
}

/// The protocol's name in the handshake: a peer of another chain or version fails there, before any parser.
pub(crate) fn alpn(genesis_hash: &Hash32) -> Vec<u8> {
    let hash = genesis_hash.to_string();
    format!("trustnet/{}/1", &hash[..8]).into_bytes()
}

/// The name under which rustls is told which key must answer: `<base32 of the key>.trustnet.invalid`.
/// Base32, because a DNS label holds 63 characters and hex would need 64. It never leaves the machine: SNI
/// is off.
pub(crate) fn server_name(key: &PublicKey) -> String {
    let mut name = String::with_capacity(52 + 17);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in key.0 {
        buffer = (buffer << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            name.push(char::from(BASE32[(buffer >> bits) as usize & 31]));
        }
    }
    // 256 bits leave one bit over after 51 digits.
    name.push(char::from(BASE32[(buffer << (5 - bits)) as usize & 31]));
    name.push_str(".trustnet.invalid");
    name
}

fn spki(key: &PublicKey) -> Vec<u8> {
    let mut spki = SPKI_PREFIX.to_vec();
    spki.extend_from_slice(&key.0);
    spki
}

/// The key in a raw public key of the peer, if it is exactly an Ed25519 key that is not of small order.
pub(crate) fn key_of_spki(spki: &[u8]) -> Option<PublicKey> {
    let key = PublicKey(spki.strip_prefix(SPKI_PREFIX.as_slice())?.try_into().ok()?);
    key.is_acceptable().then_some(key)
}

/// The TLS side of whoever listens.
///
/// # Errors
/// When rustls refuses the key or the suites: a fault of the program.
pub(crate) fn server_config(
    secret: &SecretKey,
    genesis_hash: &Hash32,
) -> Result<rustls::ServerConfig, Error> {
    let provider = crypto_provider();
    let verifier = Arc::new(RawKeyVerifier { algorithms: provider.signature_verification_algorithms });
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified_key(secret))));
    config.alpn_protocols = vec![alpn(genesis_hash)];
    // Resumption would skip the verifier, early data can be replayed, and neither saves anything measurable.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

/// The TLS side of whoever dials.
///
/// # Errors
/// When rustls refuses the key or the suites: a fault of the program.
pub(crate) fn client_config(
    secret: &SecretKey,
    genesis_hash: &Hash32,
) -> Result<rustls::ClientConfig, Error> {
    let provider = crypto_provider();
    let verifier = Arc::new(RawKeyVerifier { algorithms: provider.signature_verification_algorithms });
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified_key(secret))));
    config.alpn_protocols = vec![alpn(genesis_hash)];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // The name holds the peer's key; an observer has no business with it.
    config.enable_sni = false;
    Ok(config)
}

fn certified_key(secret: &SecretKey) -> Arc<CertifiedKey> {
    let spki = spki(&secret.public());
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], Arc::new(NodeKey(secret.clone()))))
}

/// The node key as rustls wants to see it; the secret stays in its own type.
#[derive(Debug, Clone)]
struct NodeKey(SecretKey);

impl SigningKey for NodeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(spki(&self.0.public())))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for NodeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).0.to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Checks the other side's raw public key and its signature over the handshake.
#[derive(Debug)]
struct RawKeyVerifier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl RawKeyVerifier {
    fn key(
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<PublicKey, Error> {
        if !intermediates.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        key_of_spki(end_entity).ok_or_else(|| CertificateError::BadEncoding.into())
    }

    /// Without this check anyone could present somebody else's public key.
    fn signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

impl ServerCertVerifier for RawKeyVerifier {
    /// The key must be the one that was dialled: the name holds all of its 32 bytes, and the other 12 of
    /// the certificate are fixed.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        expected: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = Self::key(end_entity, intermediates)?;
        match expected {
            ServerName::DnsName(name) if name.as_ref() == server_name(&key) => {
                Ok(ServerCertVerified::assertion())
            }
            _ => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// Runs before the client's signature is checked, so it only checks the form: bans and limits look at
    /// the key once the handshake is complete.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Self::key(end_entity, intermediates).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed(&[seed; 32]).public()
    }

    #[test]
    fn the_server_name_is_pinned_and_differs_in_the_last_bit() {
        let name = server_name(&PublicKey([0xff; 32]));
        assert_eq!(name, format!("{}q.trustnet.invalid", "7".repeat(51)));
        let mut other = [0xff; 32];
        other[31] = 0xfe;
        assert_eq!(server_name(&PublicKey(other)), format!("{}a.trustnet.invalid", "7".repeat(51)));
        assert!(ServerName::try_from(name).is_ok());
    }

    #[test]
    fn the_alpn_names_the_chain() {
        assert_eq!(alpn(&Hash32([0xab; 32])), b"trustnet/abababab/1");
    }

    #[test]
    fn only_a_whole_ed25519_key_is_an_identity() {
        let good = spki(&key(1));
        assert_eq!(key_of_spki(&good), Some(key(1)));
        assert_eq!(key_of_spki(&good[..43]), None);
        assert_eq!(key_of_spki(&[good.clone(), vec![0]].concat()), None);
        let mut other_algorithm = good;
        other_algorithm[8] = 0x6e;
        assert_eq!(key_of_spki(&other_algorithm), None);
        assert_eq!(key_of_spki(&spki(&PublicKey([0; 32]))), None, "small order");
    }

    #[test]
    fn a_server_with_another_key_than_the_dialled_one_is_refused() {
        let verifier = RawKeyVerifier { algorithms: crypto_provider().signature_verification_algorithms };
        let cert = CertificateDer::from(spki(&key(1)));
        let check = |dialled: u8, intermediates: &[CertificateDer<'_>]| {
            let name = ServerName::try_from(server_name(&key(dialled))).unwrap();
            verifier.verify_server_cert(&cert, intermediates, &name, &[], UnixTime::now())
        };
        assert!(check(1, &[]).is_ok());
        assert!(check(2, &[]).is_err());
        assert!(check(1, std::slice::from_ref(&cert)).is_err(), "a chain is no raw key");
    }

    #[test]
    fn chacha_comes_first_and_both_configurations_build() {
        let suites: Vec<_> =
            crypto_provider().cipher_suites.iter().map(rustls::SupportedCipherSuite::suite).collect();
        assert_eq!(
            suites,
            [
                rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
                rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
            ]
        );
        let secret = SecretKey::from_seed(&[1; 32]);
        assert!(server_config(&secret, &Hash32([0; 32])).is_ok());
        assert!(!client_config(&secret, &Hash32([0; 32])).unwrap().enable_sni);
    }
}
