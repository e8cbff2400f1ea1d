//! The cluster's own certificate authority: one key that signs the certificates of the cluster's registries.
//!
//! It is made once and then never changes without a person's word, since clients trust it. Its subject is made of its
//! key, and so is everything else that a signature refers to: a lost `ca.pem` can be made again from `ca.key`, and what
//! clients have still verifies.
//!
//! It has no name constraints. They would have to allow every host name a board may get in ten years, single words and
//! public names among them, and every address; a constraint that allows those is none, and one that does not breaks the
//! registry the day its name changes. What limits the authority instead: it may sign only certificates of TLS servers
//! and no further authorities (a path length of zero and an extended key usage, which Go, OpenSSL and rustls enforce),
//! and `trust` hands it to a client for one registry only unless it is asked for the whole system.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::config::provider;
use super::error::{Result, TlsError};
use super::facts::{DAY_SECONDS, Facts};
use super::files::{Access, Folder};
use super::keeper::CLOCK_FLOOR_SECONDS;
use super::names::Names;

pub(crate) const KEY: &str = "ca.key";
pub(crate) const CERTIFICATE: &str = "ca.pem";

/// How long an authority lives, in seconds.
const LIFE_SECONDS: u64 = 3652 * DAY_SECONDS;
/// How long a server certificate lives, in seconds.
pub(super) const SERVER_LIFE_SECONDS: u64 = 90 * DAY_SECONDS;
/// How much before now a server certificate begins, in seconds: clocks of clients are behind by hours, and of boards
/// without a battery by what passed since they were last on.
pub(super) const MARGIN_SECONDS: u64 = 2 * DAY_SECONDS;

/// What an import found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// There was no authority.
    New,
    /// This very one.
    Same,
    /// Another one, which was set aside.
    Replaced,
}

/// A certificate authority.
pub struct Authority {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    facts: Facts,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// A new server certificate with its key, as PEM.
pub(super) struct Issued {
    pub(super) key: String,
    pub(super) certificate: String,
}

fn set_validity(params: &mut CertificateParams, (not_before, not_after): (u64, u64)) {
    let time = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    (params.not_before, params.not_after) = (time(not_before), time(not_after));
}

/// What an authority with this key says of itself.
fn params(key: &KeyPair, validity: (u64, u64)) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = hex::encode(&digest(&SHA256, key.public_key_raw()).as_ref()[..6]);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "TrustNet");
    params.distinguished_name.push(DnType::CommonName, format!("TrustNet registry CA {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    set_validity(&mut params, validity);
    params
}

fn certify(key: &KeyPair, now: u64) -> Result<CertificateDer<'static>> {
    // From a fixed day on, so that one made while the clock was not set is valid once it is.
    let from = CLOCK_FLOOR_SECONDS;
    let certificate = params(key, (from, now.max(from) + LIFE_SECONDS)).self_signed(key)?;
    Ok(certificate.into())
}

impl Authority {
    fn new(key: KeyPair, certificate: CertificateDer<'static>) -> Option<Self> {
        let facts = Facts::read(&certificate)?;
        let authority = Self { key, certificate, facts };
        // Only what an authority like ours signs is accepted by those who trust this certificate.
        let mut names = Names::default();
        names.add("localhost").ok()?;
        let at = authority.facts.not_before;
        let issued = authority.sign(&names, (at, authority.facts.not_after)).ok()?;
        let server = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).ok()?;
        authority.verifies(&server, &names, at).then_some(authority)
    }

    /// Makes an authority that is in no file yet.
    ///
    /// # Errors
    /// [`TlsError::Make`].
    pub fn make(now: u64) -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = certify(&key, now)?;
        Self::new(key, certificate).ok_or(TlsError::Make(rcgen::Error::CouldNotParseCertificate))
    }

    /// Opens the authority of a folder, and makes one if there is none.
    ///
    /// # Errors
    /// [`TlsError::AuthorityKey`] and [`TlsError::AuthorityMismatch`] if a person has to look; else those of the
    /// operating system.
    pub(crate) fn open(folder: &Folder, now: u64) -> Result<Self> {
        let certificate = folder.read(CERTIFICATE, Access::Open)?;
        let Some(key) = folder.read(KEY, Access::Secret)? else {
            if certificate.is_some() {
                let why = "it is missing".to_owned();
                return Err(TlsError::AuthorityKey { path: folder.describe(KEY), why });
            }
            let authority = Self::make(now)?;
            authority.keep(folder)?;
            tracing::info!(
                path = folder.describe(CERTIFICATE),
                fingerprint = authority.fingerprint(),
                "made a certificate authority for this cluster"
            );
            return Ok(authority);
        };
        let key = std::str::from_utf8(&key).map_err(|error| error.to_string());
        let key = key.and_then(|key| KeyPair::from_pem(key).map_err(|error| error.to_string()));
        let key = key.map_err(|why| TlsError::AuthorityKey { path: folder.describe(KEY), why })?;
        let is_there = certificate.is_some();
        let certificate = certificate.and_then(|pem| CertificateDer::from_pem_slice(&pem).ok());
        let mismatch = || TlsError::AuthorityMismatch { path: folder.describe(CERTIFICATE) };
        if let Some(certificate) = certificate.filter(|certificate| Facts::read(certificate).is_some()) {
            return Self::new(key, certificate).ok_or_else(mismatch);
        }
        if is_there {
            let aside = folder.set_aside(CERTIFICATE, "damaged")?;
            tracing::error!(
                kept_as = aside,
                "the certificate of the authority was damaged and is made again from its key; clients that trust the old one go on to"
            );
        }
        let certificate = certify(&key, now)?;
        let authority = Self::new(key, certificate).ok_or_else(mismatch)?;
        authority.keep(folder)?;
        Ok(authority)
    }

    /// The key first: what is missing after a crash is then the certificate, which can be made from it.
    fn keep(&self, folder: &Folder) -> Result<()> {
        folder.write(KEY, self.key.serialize_pem().as_bytes(), Access::Secret)?;
        folder.write(CERTIFICATE, self.certificate_pem().as_bytes(), Access::Open)
    }

    /// The certificate that clients trust, as PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The certificate that clients trust.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the certificate, in hexadecimal digits, as other tools show it.
    pub fn fingerprint(&self) -> String {
        hex::encode(digest(&SHA256, &self.certificate))
    }

    /// Until when it can sign, in seconds since 1970.
    pub fn ends_at(&self) -> u64 {
        self.facts.not_after
    }

    /// Key and certificate in one text, for another node of the cluster. Who has it can pose as any of its registries.
    pub fn export(&self) -> String {
        self.key.serialize_pem() + &self.certificate_pem()
    }

    /// Reads what [`Authority::export`] gave.
    ///
    /// # Errors
    /// [`TlsError::Bundle`] if it is anything else.
    pub fn from_bundle(bundle: &str) -> Result<Self> {
        let key = KeyPair::from_pem(bundle).map_err(|_| TlsError::Bundle("it has no private key"))?;
        let certificate = CertificateDer::from_pem_slice(bundle.as_bytes())
            .map_err(|_| TlsError::Bundle("it has no certificate"))?;
        Self::new(key, certificate).ok_or(TlsError::Bundle("key and certificate do not belong together"))
    }

    /// Puts an exported authority into the folder `tls` of the registry directory `dir`.
    ///
    /// A registry that serves the directory uses it after its next start.
    ///
    /// # Errors
    /// [`TlsError::Bundle`]; [`TlsError::AuthorityExists`] if another one is there and `replace` is not set; those of
    /// the operating system.
    pub fn import(dir: &std::path::Path, bundle: &str, replace: bool) -> Result<Import> {
        let authority = Self::from_bundle(bundle)?;
        let folder = Folder::open(dir.join("tls"))?;
        let held = |name, access| folder.read(name, access).map(Option::unwrap_or_default);
        let certificate = held(CERTIFICATE, Access::Open)?;
        let found = match (certificate.is_empty(), held(KEY, Access::Secret)?.is_empty()) {
            (true, true) => Import::New,
            _ if CertificateDer::from_pem_slice(&certificate)
                .is_ok_and(|old| old == authority.certificate) =>
            {
                Import::Same
            }
            _ if !replace => {
                return Err(TlsError::AuthorityExists { path: folder.describe("") });
            }
            _ => Import::Replaced,
        };
        if found == Import::Replaced {
            for name in [CERTIFICATE, KEY] {
                if folder.path(name).exists() {
                    folder.set_aside(name, "replaced")?;
                }
            }
        }
        authority.keep(&folder)?;
        Ok(found)
    }

    fn sign(&self, names: &Names, validity: (u64, u64)) -> Result<Issued> {
        let mut server = CertificateParams::default();
        server.distinguished_name = DistinguishedName::new();
        server.distinguished_name.push(DnType::CommonName, "TrustNet registry");
        for host in names.hosts() {
            let host = host.try_into().map_err(|_| TlsError::Name(host.to_owned()))?;
            server.subject_alt_names.push(SanType::DnsName(host));
        }
        server.subject_alt_names.extend(names.addresses().map(SanType::IpAddress));
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        set_validity(&mut server, validity);
        let key = KeyPair::generate()?;
        let own = params(&self.key, (self.facts.not_before, self.facts.not_after));
        let certificate = server.signed_by(&key, &Issuer::from_params(&own, &self.key))?;
        Ok(Issued { key: key.serialize_pem(), certificate: certificate.pem() })
    }

    /// When a certificate ends that is signed at the time `now`.
    pub(super) fn server_ends_at(&self, now: u64) -> u64 {
        now.saturating_add(SERVER_LIFE_SECONDS).min(self.facts.not_after)
    }

    /// Signs a certificate for `names` at the time `now`; the folder is for the message.
    ///
    /// While the clock was never set, one that lives as long as the authority: now may be any time since. It is made
    /// anew when the clock is set.
    pub(super) fn issue(&self, names: &Names, now: u64, folder: &Folder) -> Result<Issued> {
        if now >= self.facts.not_after {
            return Err(TlsError::AuthorityEnded { path: folder.describe("") });
        }
        let validity = if now < CLOCK_FLOOR_SECONDS {
            (CLOCK_FLOOR_SECONDS, self.facts.not_after)
        } else {
            ((now - MARGIN_SECONDS).max(self.facts.not_before), self.server_ends_at(now))
        };
        self.sign(names, validity)
    }

    /// Whether clients that trust this authority accept a certificate at the time `now` for all of `names`.
    pub(super) fn verifies(&self, certificate: &CertificateDer<'_>, names: &Names, now: u64) -> bool {
        let mut roots = RootCertStore::empty();
        if roots.add(self.certificate.clone()).is_err() {
            return false;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let Ok(verifier) = verifier else { return false };
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let hosts = names.hosts().map(|host| ServerName::try_from(host.to_owned()));
        let addresses = names.addresses().map(|address| Ok(ServerName::from(address)));
        hosts.chain(addresses).all(|name| {
            name.is_ok_and(|name| verifier.verify_server_cert(certificate, &[], &name, &[], at).is_ok())
        })
    }
}

/// Content as PEM.
pub(crate) fn pem(label: &str, content: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let text = BASE64_STANDARD.encode(content);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
