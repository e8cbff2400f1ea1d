//! Which certificate a client is shown. Exchanged while the registry serves: connections that are open keep theirs.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::config::provider;
use super::error::Result;
use super::names::Names;

/// What a server of the ACME protocol asks for that wants to see a challenge answered within the handshake (RFC 8737).
pub(crate) const ACME_ALPN: &[u8] = b"acme-tls/1";
/// Challenges answered at once.
const MAX_CHALLENGES: usize = 100;

#[derive(Debug, Default)]
struct Shown {
    /// By the cluster's own authority; for every name that the public one is not for.
    own: Option<Arc<CertifiedKey>>,
    /// By a public authority, and for which names.
    public: Option<(Names, Arc<CertifiedKey>)>,
    challenges: BTreeMap<String, Arc<CertifiedKey>>,
}

/// The certificates that are shown now.
#[derive(Debug, Default)]
pub struct Certificates(RwLock<Shown>);

impl Certificates {
    fn change(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Shows `key` to those who ask for none of the public names.
    pub(super) fn show_own(&self, key: CertifiedKey) {
        self.change(|shown| shown.own = Some(Arc::new(key)));
    }

    /// Shows a public certificate to those who ask for one of `names`.
    pub(crate) fn show_public(&self, names: Names, key: CertifiedKey) {
        self.change(|shown| shown.public = Some((names, Arc::new(key))));
    }

    /// Shows no public certificate any more.
    pub(crate) fn hide_public(&self) {
        self.change(|shown| shown.public = None);
    }

    /// Answers a challenge for `host` within the handshake.
    pub(crate) fn add_challenge(&self, host: &str, key: CertifiedKey) {
        self.change(|shown| {
            if shown.challenges.len() < MAX_CHALLENGES {
                shown.challenges.insert(host.to_ascii_lowercase(), Arc::new(key));
            }
        });
    }

    /// Answers a challenge no longer.
    pub(crate) fn remove_challenge(&self, host: &str) {
        self.change(|shown| drop(shown.challenges.remove(&host.to_ascii_lowercase())));
    }

    /// The certificate for a client that asks for `host`, and for a challenge's answer if `is_challenge`.
    pub(crate) fn choose(&self, host: Option<&str>, is_challenge: bool) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if is_challenge {
            // The own certificate would be a wrong answer, not a fallback.
            return shown.challenges.get(&host?.to_ascii_lowercase()).cloned();
        }
        match (&shown.public, host) {
            (Some((names, key)), Some(host)) if names.has_host(host) => Some(Arc::clone(key)),
            _ => shown.own.clone(),
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_challenge = hello
            .alpn()
            .is_some_and(|mut wanted| wanted.next() == Some(ACME_ALPN) && wanted.next().is_none());
        self.choose(hello.server_name(), is_challenge)
    }
}

/// A chain of certificates and its key, as PEM, ready to be shown; `None` if they do not belong together.
pub(crate) fn certified(chain: &[u8], key: &[u8]) -> Option<CertifiedKey> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().ok()?;
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    CertifiedKey::from_der(chain, key, &provider()).ok().filter(|key| !key.cert.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn key(name: &str) -> CertifiedKey {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        certified(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn each_client_sees_the_certificate_for_its_name() {
        let certificates = Certificates::default();
        assert!(certificates.choose(None, false).is_none());
        let (own, public, answer) = (key("pi.local"), key("r.example.org"), key("r.example.org"));
        let leaf = |key: &CertifiedKey| key.cert[0].clone();
        let (own_leaf, public_leaf, answer_leaf) = (leaf(&own), leaf(&public), leaf(&answer));
        let seen = |host, is_challenge| certificates.choose(host, is_challenge).map(|key| leaf(&key));
        certificates.show_own(own);
        let mut names = Names::default();
        names.add("r.example.org").unwrap();
        certificates.show_public(names, public);
        assert_eq!(seen(Some("R.example.org"), false), Some(public_leaf));
        for host in [None, Some("pi.local"), Some("example.org"), Some("x.r.example.org")] {
            assert_eq!(seen(host, false), Some(own_leaf.clone()), "{host:?}");
        }
        assert_eq!(seen(Some("r.example.org"), true), None);
        certificates.add_challenge("r.example.org", answer);
        assert_eq!(seen(Some("r.Example.org"), true), Some(answer_leaf));
        assert_eq!(seen(None, true), None);
        certificates.remove_challenge("r.example.org");
        assert_eq!(seen(Some("r.example.org"), true), None);
        certificates.hide_public();
        assert_eq!(seen(Some("r.example.org"), false), Some(own_leaf));
    }

    #[test]
    fn challenges_are_bounded() {
        let certificates = Certificates::default();
        for n in 0..MAX_CHALLENGES + 5 {
            certificates.add_challenge(&format!("h{n}.example.org"), key("x"));
        }
        assert_eq!(certificates.0.read().unwrap().challenges.len(), MAX_CHALLENGES);
    }

    #[test]
    fn a_key_of_another_certificate_is_not_shown() {
        let (one, two) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&one).unwrap();
        assert!(certified(certificate.pem().as_bytes(), two.serialize_pem().as_bytes()).is_none());
        assert!(certified(b"", one.serialize_pem().as_bytes()).is_none());
        assert!(certified(certificate.pem().as_bytes(), b"").is_none());
    }
}
