//! The account and the certificate on disk, and the loop that renews.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::challenges::Challenges;
use super::order::{Answers, obtain};
use super::pace::{Attempts, Pace, wait_seconds};
use super::settings::AcmeSettings;
use super::transport::Transport;
use crate::client::{Dialer, Target};
use crate::tls::{Access, Certificates, Facts, Folder, Names, TlsError, certified, now_seconds};

/// The account's key and address at the authority.
const ACCOUNT: &str = "acme-account.json";
/// Key and chain in one file, so that a crash cannot part them. The first line says whose it is, which readers of PEM
/// skip.
const CERTIFICATE: &str = "acme.pem";
/// What was tried, and when.
const ATTEMPTS: &str = "acme-attempts.json";

/// Longest time that the loop sleeps: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How long a whole order may take.
const ORDER_TIME: Duration = Duration::from_mins(10);

/// Why there is no public certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// Settings that make no sense.
    #[error("{0}")]
    Settings(String),
    /// Keys and certificates on disk.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// A key or request could not be made.
    #[error("cannot make a key: {0}")]
    Make(#[from] rcgen::Error),
    /// The protocol failed.
    #[error("the authority did not answer as it should: {0}")]
    Protocol(#[from] instant_acme::Error),
    /// The authority says no.
    #[error(
        "the authority refuses: {0}; each name has to lead to this machine, and its port 80 (http-01) or 443 (tls-alpn-01) to the registry"
    )]
    Refused(String),
    /// What came cannot be used.
    #[error("what the authority sent cannot be used: {0}")]
    Unusable(&'static str),
    /// It took too long.
    #[error("the authority took longer than {0:?}")]
    Slow(Duration),
}

/// An account, and at whose.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

/// Keeps a certificate of a public authority.
pub struct Acme {
    settings: AcmeSettings,
    names: Names,
    hosts: Vec<String>,
    /// What tries are noted with: the hosts, and the authority's directory.
    tried: Vec<String>,
    folder: Folder,
    dialer: Dialer,
    directory: Target,
    pace: Pace,
    attempts: Attempts,
    held: Option<Facts>,
    /// Whether the certificate that is held is not shown, since it seemed to have ended.
    is_hidden: bool,
    challenges: Arc<Challenges>,
    certificates: Arc<Certificates>,
    jitter: u64,
}

impl Acme {
    /// Opens what is kept in the folder `tls` of the registry directory `dir`, and shows the certificate that is there.
    /// Asks nobody anything.
    ///
    /// # Errors
    /// Settings that make no sense; those of the operating system.
    pub fn open(
        dir: &Path,
        settings: &AcmeSettings,
        certificates: Arc<Certificates>,
        pace: Pace,
    ) -> Result<Self, AcmeError> {
        let names = settings.check()?;
        let folder = Folder::open(dir.join("tls"))?;
        let dialer = Dialer::new(settings.roots.as_deref())?;
        let directory = Target::parse(settings.directory.url());
        let directory = directory.map_err(|error| AcmeError::Settings(error.to_string()))?;
        let attempts = folder.read(ATTEMPTS, Access::Open)?;
        // What cannot be read was tried just now: the careful reading.
        let attempts = attempts.map(|text| {
            serde_json::from_slice(&text).unwrap_or(Attempts {
                failures: 1,
                last: now_seconds(),
                ..Attempts::default()
            })
        });
        let mut random = [0; 2];
        // Without randomness, without jitter.
        let _ = getrandom::fill(&mut random);
        let hosts: Vec<_> = names.hosts().map(str::to_owned).collect();
        let mut acme = Self {
            settings: settings.clone(),
            tried: [&hosts[..], &[settings.directory.url().to_owned()]].concat(),
            hosts,
            names,
            folder,
            dialer,
            directory,
            pace,
            attempts: attempts.unwrap_or_default(),
            held: None,
            is_hidden: false,
            challenges: Arc::default(),
            certificates,
            jitter: u64::from(u16::from_le_bytes(random)) % 1_001,
        };
        acme.show()?;
        Ok(acme)
    }

    /// The answers to challenges, for the registry's router and [`super::serve_challenges`].
    pub fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }

    /// Whether there is a certificate for all of the names that is valid at the time `now`.
    pub fn is_valid(&self, now: u64) -> bool {
        self.held.as_ref().is_some_and(|facts| {
            facts.names.covers(&self.names) && (facts.not_before..facts.not_after).contains(&now)
        })
    }

    /// The first line of the file of a certificate.
    fn heading(&self) -> String {
        format!("# {}\n", self.settings.directory.url())
    }

    /// Shows the certificate on disk, unless it is another authority's.
    fn show(&mut self) -> Result<(), AcmeError> {
        (self.held, self.is_hidden) = (None, false);
        let Some(pem) = self.folder.read(CERTIFICATE, Access::Secret)? else { return Ok(()) };
        if pem.starts_with(b"# ") && !pem.starts_with(self.heading().as_bytes()) {
            tracing::warn!(
                path = self.folder.describe(CERTIFICATE),
                "the public certificate is another authority's; it is replaced when there is a new one"
            );
            return Ok(());
        }
        let found = certified(&pem, &pem).and_then(|key| Facts::read(&key.cert[0]).map(|facts| (key, facts)));
        let Some((key, facts)) = found else {
            let aside = self.folder.set_aside(CERTIFICATE, "damaged")?;
            tracing::error!(kept_as = aside, "the public certificate was damaged; another one is ordered");
            return Ok(());
        };
        self.certificates.show_public(facts.names.clone(), key);
        self.held = Some(facts);
        Ok(())
    }

    fn note(&self) -> Result<(), AcmeError> {
        let text = serde_json::to_vec(&self.attempts).map_err(instant_acme::Error::from)?;
        Ok(self.folder.write(ATTEMPTS, &text, Access::Open)?)
    }

    async fn account(&self) -> Result<Account, AcmeError> {
        let transport = || Box::new(Transport::new(self.dialer.clone(), self.directory.clone()));
        if let Some(text) = self.folder.read(ACCOUNT, Access::Secret)? {
            match serde_json::from_slice::<Kept>(&text) {
                Ok(kept) if kept.directory == self.settings.directory.url() => {
                    let builder = Account::builder_with_http(transport());
                    return Ok(builder.from_credentials(kept.credentials).await?);
                }
                Ok(kept) => {
                    let aside = self.folder.set_aside(ACCOUNT, "other")?;
                    tracing::warn!(
                        kept_as = aside,
                        from = kept.directory,
                        "the account is another authority's; a new one is made"
                    );
                }
                Err(error) => {
                    let aside = self.folder.set_aside(ACCOUNT, "damaged")?;
                    tracing::error!(kept_as = aside, %error, "the account cannot be read; a new one is made");
                }
            }
        }
        let contact: Vec<_> =
            self.settings.contact.iter().map(|contact| format!("mailto:{contact}")).collect();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let account = NewAccount {
            contact: &contact,
            terms_of_service_agreed: self.settings.agree_to_terms,
            only_return_existing: false,
        };
        let directory = self.settings.directory.url().to_owned();
        let builder = Account::builder_with_http(transport());
        let (account, credentials) = builder.create(&account, directory.clone(), None).await?;
        let text = serde_json::to_vec(&Kept { directory, credentials }).map_err(instant_acme::Error::from)?;
        self.folder.write(ACCOUNT, &text, Access::Secret)?;
        Ok(account)
    }

    async fn order(&self, now: u64) -> Result<(), AcmeError> {
        let account = self.account().await?;
        let answers = Answers {
            proof: self.settings.proof,
            challenges: &self.challenges,
            certificates: &self.certificates,
        };
        let obtained = obtain(&account, &self.names, &answers, now).await?;
        let pem = self.heading() + &obtained.key + &obtained.chain;
        Ok(self.folder.write(CERTIFICATE, pem.as_bytes(), Access::Secret)?)
    }

    /// Tries for a certificate if that is due at the time `now`; gives the seconds until it should be looked again.
    ///
    /// # Errors
    /// Why there is none. What is shown goes on being shown.
    pub async fn check(&mut self, now: u64) -> Result<u64, AcmeError> {
        if self.held.as_ref().is_some_and(|facts| facts.not_after <= now && now != 0) {
            // An ended certificate helps nobody; the cluster's own authority's does.
            self.certificates.hide_public();
            self.is_hidden = true;
        } else if self.is_hidden {
            // The clock was ahead.
            self.show()?;
        }
        if self.attempts.see(now) {
            self.note()?;
        }
        let (names, moment) = ((&self.hosts[..], &self.tried[..]), (now, self.jitter));
        let wait = wait_seconds(self.held.as_ref(), &self.attempts, &self.pace, names, moment);
        if wait > 0 {
            return Ok(wait);
        }
        self.attempts.begin(&self.tried, now);
        // Before anything is asked: if this cannot be kept, the pauses cannot either.
        self.note()?;
        let ordered = tokio::time::timeout(ORDER_TIME, self.order(now)).await;
        ordered.map_err(|_| AcmeError::Slow(ORDER_TIME))??;
        self.attempts.succeed();
        self.note()?;
        self.show()?;
        tracing::info!(names = ?self.hosts, "the authority gave a certificate");
        Ok(self.pace.first_pause)
    }

    /// Keeps the certificate for ever.
    pub async fn run(mut self) {
        loop {
            let wait = match self.check(now_seconds()).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(%error, failures = self.attempts.failures, "no public certificate; the one by the cluster's own authority is shown");
                    self.pace.first_pause
                }
            };
            sleep(Duration::from_secs(wait.max(1)).min(LONGEST_SLEEP)).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::acme::Directory;
    use crate::tls::{CLOCK_FLOOR_SECONDS, DAY_SECONDS};

    const HOST: &str = "r.example.org";
    /// 2026-10-01.
    const BEGIN: u64 = CLOCK_FLOOR_SECONDS + 273 * DAY_SECONDS;

    /// A certificate of 90 days with its key, as an authority with `directory` would have given it.
    fn keep_certificate(dir: &Path, directory: &Directory) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 10, 1);
        params.not_after = date_time_ymd(2026, 12, 30);
        let certificate = params.self_signed(&key).unwrap();
        let text = format!("# {}\n{}{}", directory.url(), key.serialize_pem(), certificate.pem());
        let folder = Folder::open(dir.join("tls")).unwrap();
        folder.write(CERTIFICATE, text.as_bytes(), Access::Secret).unwrap();
    }

    fn keep_attempts(dir: &Path, attempts: &Attempts) {
        let text = serde_json::to_vec(attempts).unwrap();
        Folder::open(dir.join("tls")).unwrap().write(ATTEMPTS, &text, Access::Open).unwrap();
    }

    fn tried(directory: &Directory, last: u64) -> Attempts {
        Attempts { last, names: vec![HOST.to_owned(), directory.url().to_owned()], ..Attempts::default() }
    }

    fn open(dir: &Path, directory: Directory) -> Acme {
        let settings = AcmeSettings {
            names: vec![HOST.to_owned()],
            agree_to_terms: true,
            contact: None,
            directory,
            roots: None,
            proof: crate::acme::Proof::Http,
            listen: None,
        };
        Acme::open(dir, &settings, Arc::default(), Pace::default()).unwrap()
    }

    fn is_shown(acme: &Acme) -> bool {
        acme.certificates.choose(Some(HOST), false).is_some()
    }

    #[tokio::test]
    async fn a_certificate_that_seemed_to_have_ended_is_shown_again() {
        let dir = tempfile::tempdir().unwrap();
        keep_certificate(dir.path(), &Directory::Staging);
        // A try of yesterday, as the clock shows it when it is ahead, keeps us from asking anybody.
        let ahead = BEGIN + 700 * DAY_SECONDS;
        keep_attempts(dir.path(), &tried(&Directory::Staging, ahead - DAY_SECONDS));
        let mut acme = open(dir.path(), Directory::Staging);
        assert!(is_shown(&acme));
        assert!(acme.check(ahead).await.unwrap() > 0);
        assert!(!is_shown(&acme));
        for seconds in [0, 60] {
            assert!(acme.check(BEGIN + DAY_SECONDS + seconds).await.unwrap() > 50 * DAY_SECONDS);
            assert!(is_shown(&acme) && acme.is_valid(BEGIN + DAY_SECONDS));
        }
        let kept = acme.folder.read(ATTEMPTS, Access::Open).unwrap().unwrap();
        let kept: Attempts = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept.went_back, Some(BEGIN + DAY_SECONDS));
    }

    #[tokio::test]
    async fn another_authority_is_asked_though_there_is_a_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let now = BEGIN + DAY_SECONDS;
        keep_certificate(dir.path(), &Directory::Staging);
        keep_attempts(dir.path(), &tried(&Directory::Staging, now));
        let mut staging = open(dir.path(), Directory::Staging);
        assert!(is_shown(&staging) && staging.check(now).await.unwrap() > 50 * DAY_SECONDS);
        let mut production = open(dir.path(), Directory::Production);
        assert!(!is_shown(&production) && !production.is_valid(now));
        // Not at once: something was asked of somebody just now.
        let wait = production.check(now).await.unwrap();
        assert!((1..20 * 60).contains(&wait), "{wait}");
        assert!(is_shown(&open(dir.path(), Directory::Staging)), "it is still there");
    }
}
