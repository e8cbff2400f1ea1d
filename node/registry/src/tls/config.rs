//! rustls as we want it: ring, TLS 1.2 and 1.3, HTTP/1.1, and the cipher first that this processor does best.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring as ring_provider};
use rustls::server::ServerSessionMemoryCache;
use rustls::{CipherSuite, SupportedCipherSuite};

use super::error::Result;
use super::resolver::{ACME_ALPN, Certificates};

/// Sessions that clients may resume; each takes about a kilobyte.
const SESSIONS: usize = 128;

/// Whether the processor computes AES itself. A Raspberry Pi 4 does not.
fn has_aes() -> bool {
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(target_arch = "x86_64")]
    let has_aes = std::arch::is_x86_feature_detected!("aes");
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    let has_aes = false;
    has_aes
}

fn is_chacha(suite: SupportedCipherSuite) -> bool {
    matches!(
        suite.suite(),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// Puts `ChaCha20` first where AES is done in software: it is several times faster there, and takes the same time for
/// every key and content, which AES in software does not.
fn order(mut suites: Vec<SupportedCipherSuite>, has_aes: bool) -> Vec<SupportedCipherSuite> {
    suites.sort_by_key(|suite| is_chacha(*suite) == has_aes);
    suites
}

/// ring, with the ciphers in this machine's order.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring_provider::default_provider();
    provider.cipher_suites = order(provider.cipher_suites, has_aes());
    Arc::new(provider)
}

/// How the registry serves TLS, with whatever certificate `certificates` has at the time.
///
/// # Errors
/// When rustls refuses the protocol versions.
pub fn server_config(certificates: &Arc<Certificates>) -> Result<Arc<ServerConfig>> {
    let resolver = Arc::clone(certificates);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // Ours is the slower machine.
    config.ignore_client_order = true;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec(), ACME_ALPN.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cipher_first_that_the_processor_does_best() {
        let suites = || ring_provider::default_provider().cipher_suites;
        for has_aes in [false, true] {
            let ordered = order(suites(), has_aes);
            assert_eq!(ordered.len(), suites().len());
            assert_eq!(ordered.first().map(|suite| is_chacha(*suite)), Some(!has_aes));
            assert_eq!(ordered.last().map(|suite| is_chacha(*suite)), Some(has_aes));
        }
    }
}
