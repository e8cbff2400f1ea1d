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
/// Key and chain in one file, so that a crash cannot part them.
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
    folder: Folder,
    dialer: Dialer,
    directory: Target,
    pace: Pace,
    attempts: Attempts,
    held: Option<Facts>,
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
                names: Vec::new(),
            })
        });
        let mut random = [0; 2];
        // Without randomness, without jitter.
        let _ = getrandom::fill(&mut random);
        let mut acme = Self {
            settings: settings.clone(),
            hosts: names.hosts().map(str::to_owned).collect(),
            names,
            folder,
            dialer,
            directory,
            pace,
            attempts: attempts.unwrap_or_default(),
            held: None,
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

    /// Shows the certificate on disk.
    fn show(&mut self) -> Result<(), AcmeError> {
        self.held = None;
        let Some(pem) = self.folder.read(CERTIFICATE, Access::Secret)? else { return Ok(()) };
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
        let pem = obtained.key + &obtained.chain;
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
        }
        let moment = (now, self.jitter);
        let wait = wait_seconds(self.held.as_ref(), &self.attempts, &self.pace, &self.hosts, moment);
        if wait > 0 {
            return Ok(wait);
        }
        self.attempts.begin(&self.hosts, now);
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
