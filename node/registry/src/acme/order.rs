//! One certificate from start to end: an order, the proof of each name, the signature.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;

use super::challenges::Challenges;
use super::keep::AcmeError;
use super::settings::Proof;
use crate::tls::{Certificates, Facts, Names, TlsError, certified, provider};

/// How the authority is asked whether it is done: after two seconds, then ever more rarely.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_secs(2)).backoff(1.5).timeout(Duration::from_secs(120));

/// How much later than now a certificate may begin, in seconds: our clock may be behind.
const CLOCK_MARGIN_SECONDS: u64 = 60 * 60;

/// Where the answers to challenges are put.
pub(super) struct Answers<'a> {
    pub(super) proof: Proof,
    pub(super) challenges: &'a Challenges,
    pub(super) certificates: &'a Certificates,
}

/// A certificate as it came, and its key, as PEM.
pub(super) struct Obtained {
    pub(super) chain: String,
    pub(super) key: String,
}

/// The certificate that answers a challenge within the handshake (RFC 8737): for the name, and with the digest of the
/// answer in it.
fn proof_certificate(host: &str, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes());
    let key = key.map_err(|_| AcmeError::Unusable("a key of our own"))?;
    // Not checked against one another, as others are: the extension is one that must be understood, and rustls, which
    // never sees such a certificate as a client, does not.
    let key = provider().key_provider.load_private_key(key).map_err(TlsError::from)?;
    Ok(CertifiedKey::new(vec![certificate.into()], key))
}

/// Removes the answers again, also when an order fails in the middle.
struct Cleared<'a, 'b>(&'a Answers<'b>, &'a Names);

impl Drop for Cleared<'_, '_> {
    fn drop(&mut self) {
        self.0.challenges.clear();
        self.1.hosts().for_each(|host| self.0.certificates.remove_challenge(host));
    }
}

/// Orders a certificate for `names` and waits for it.
pub(super) async fn obtain(
    account: &Account,
    names: &Names,
    answers: &Answers<'_>,
    now: u64,
) -> Result<Obtained, AcmeError> {
    let _cleared = Cleared(answers, names);
    let identifiers: Vec<_> = names.hosts().map(|host| Identifier::Dns(host.to_owned())).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(AcmeError::Refused(format!("an authorization is {other:?} from the start"))),
        }
        let kind = match answers.proof {
            Proof::Http => ChallengeType::Http01,
            Proof::TlsAlpn => ChallengeType::TlsAlpn01,
        };
        let mut challenge = authorization
            .challenge(kind)
            .ok_or_else(|| AcmeError::Refused("it does not offer the configured proof".to_owned()))?;
        let answer = challenge.key_authorization();
        match answers.proof {
            Proof::Http => {
                if !answers.challenges.add(&challenge.token, answer.as_str().to_owned()) {
                    return Err(AcmeError::Refused("its challenge has a token that is none".to_owned()));
                }
            }
            Proof::TlsAlpn => {
                let Identifier::Dns(host) = challenge.identifier().identifier else {
                    return Err(AcmeError::Refused("it wants an address proved".to_owned()));
                };
                // What it asks for must be one of ours: an answer for another name is nobody's business.
                if !names.has_host(host) {
                    return Err(AcmeError::Refused(format!("it wants {host:?} proved")));
                }
                answers.certificates.add_challenge(host, proof_certificate(host, answer.digest().as_ref())?);
            }
        }
        challenge.set_ready().await?;
    }
    match order.poll_ready(&POLL).await {
        Ok(OrderStatus::Ready) => {}
        Ok(_) => return Err(AcmeError::Refused(why_invalid(&mut order).await)),
        Err(instant_acme::Error::Api(problem)) => return Err(AcmeError::Refused(problem.to_string())),
        Err(error) => return Err(error.into()),
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.hosts().map(str::to_owned).collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&POLL).await?;
    let obtained = Obtained { chain, key: key.serialize_pem() };
    check_obtained(&obtained, names, now).map_err(AcmeError::Unusable)?;
    Ok(obtained)
}

/// Refuses what cannot be shown: it must not replace what can.
fn check_obtained(obtained: &Obtained, names: &Names, now: u64) -> Result<(), &'static str> {
    let key = certified(obtained.chain.as_bytes(), obtained.key.as_bytes());
    let key = key.ok_or("it is no chain of certificates that begins with one of our key")?;
    let facts = Facts::read(&key.cert[0]).ok_or("its certificate cannot be read")?;
    if !facts.names.covers(names) {
        return Err("its certificate lacks a name");
    }
    if facts.not_before > now + CLOCK_MARGIN_SECONDS || facts.not_after <= now {
        return Err("its certificate is not valid now; is this machine's clock right?");
    }
    Ok(())
}

/// What the authority says of the names that it did not find proved.
async fn why_invalid(order: &mut instant_acme::Order) -> String {
    let mut why = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        why.extend(errors.map(ToString::to_string));
    }
    if why.is_empty() { "it did not find a name proved".to_owned() } else { why.join("; ") }
}
