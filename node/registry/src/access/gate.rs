//! Makes sure who calls, and how often they may: the one part of access that knows the time, and that waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use ring::hmac;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Access;
use super::buckets::{Buckets, Rate};
use super::caller::{Caller, Means, Party, Scope};
use super::failures::Failures;
use super::header::Credentials;
use super::network::Network;
use super::password::PasswordHash;
use super::remembered::{Mark, Remembered, mark};
use super::token::{Claims, MAX_TOKEN_BYTES, Signed, Terms, TokenError, TrustedKey, issue, open};
use crate::error::RegistryError;

/// Passwords that are checked at once. Each takes a processor for most of a second on a board, and one of the few threads
/// that the disk is read and written by.
const CHECKS_AT_ONCE: usize = 2;
/// Requests that wait for their password to be checked. Beyond this a guess costs the registry nothing.
const MAX_WAITING: usize = 32;
/// How long a request waits for that.
const CHECK_WAIT: Duration = Duration::from_secs(20);
/// Credentials that are remembered.
const MAX_REMEMBERED: usize = 1_024;
/// Networks whose failures are remembered.
const MAX_FAILURES: usize = 4_096;
/// Clients whose requests are counted.
const MAX_CLIENTS: usize = 4_096;
/// How long a token from `/token` is good, in seconds. Clients ask for the next one by themselves.
pub(crate) const SESSION_SECONDS: u64 = 300;

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// What the client says of itself is not so.
    Credentials(String),
    /// Too many requests, or too many wrong passwords: again after this long.
    Wait(Duration),
    /// Too many passwords are being checked.
    Busy,
    /// Something of ours failed.
    Failed,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Client {
    Network(Network),
    Party(Party),
}

/// What is made anew at every start.
struct Secrets {
    marks: hmac::Key,
    session: SigningKey,
    /// The public half of `session`, as the one key that sessions are judged by.
    trusted: [TrustedKey; 1],
}

type Shared<T> = Arc<Mutex<T>>;

/// Makes sure who calls.
pub(crate) struct Gate {
    started: Instant,
    secrets: OnceLock<Secrets>,
    checks: Arc<Semaphore>,
    waiting: AtomicUsize,
    failures: Shared<Failures>,
    passwords: Shared<Remembered<()>>,
    tokens: Mutex<Remembered<Arc<Signed>>>,
    buckets: Mutex<Buckets<Client>>,
    /// Of those who only look whether the registry lives. Buckets of another size than those of requests.
    looks: Mutex<Buckets<Network>>,
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of those who wait for a check.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Result<Self, Refusal> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::SeqCst) >= MAX_WAITING { Err(Refusal::Busy) } else { Ok(waiting) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn is_wrong() -> Refusal {
    Refusal::Credentials("the user or the password is wrong".to_owned())
}

/// The same, with a line in the log.
fn wrong_password(user: &str, network: Network) -> Refusal {
    tracing::warn!(user, %network, "a login with a wrong password");
    is_wrong()
}

fn is_not_believed(error: &TokenError) -> Refusal {
    Refusal::Credentials(format!("the token is not accepted: {error}"))
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            secrets: OnceLock::new(),
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            waiting: AtomicUsize::new(0),
            failures: Arc::new(Mutex::new(Failures::new(MAX_FAILURES))),
            passwords: Arc::new(Mutex::new(Remembered::new(MAX_REMEMBERED))),
            tokens: Mutex::new(Remembered::new(MAX_REMEMBERED)),
            buckets: Mutex::new(Buckets::new(MAX_CLIENTS)),
            looks: Mutex::new(Buckets::new(MAX_CLIENTS)),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn secrets(&self) -> Result<&Secrets, Refusal> {
        if let Some(secrets) = self.secrets.get() {
            return Ok(secrets);
        }
        let (mut marks, mut seed) = ([0; 32], [0; 32]);
        getrandom::fill(&mut marks).and_then(|()| getrandom::fill(&mut seed)).map_err(|_| Refusal::Failed)?;
        let session = SigningKey::from_bytes(&seed);
        let trusted = TrustedKey::new("session", session.verifying_key().as_bytes(), 0);
        let trusted = [trusted.ok_or(Refusal::Failed)?];
        let marks = hmac::Key::new(hmac::HMAC_SHA256, &marks);
        Ok(self.secrets.get_or_init(|| Secrets { marks, session, trusted }))
    }

    /// Who sends a request with this `Authorization` header.
    pub(crate) async fn identify(
        &self,
        access: &Access,
        header: Option<&str>,
        network: Network,
    ) -> Result<Caller, Refusal> {
        if access.is_open() {
            return Ok(Caller::anonymous());
        }
        let unreadable = || Refusal::Credentials("the Authorization header cannot be read".to_owned());
        match header.map(Credentials::read).transpose().map_err(|_| unreadable())? {
            None | Some(Credentials::None) => Ok(Caller::anonymous()),
            Some(Credentials::Password { user, password }) => {
                self.check_password(access, user, password, network).await
            }
            Some(Credentials::Token(text)) => self.check_token(access, &text),
        }
    }

    async fn check_password(
        &self,
        access: &Access,
        user: String,
        password: String,
        network: Network,
    ) -> Result<Caller, Refusal> {
        let may_try = |gate: &Self| lock(&gate.failures).check(network, gate.now_ms()).map_err(Refusal::Wait);
        if !access.has_users() {
            // There is nobody whose existence the time of the answer could tell, so none is spent; whoever guesses here
            // guesses all the same.
            may_try(self)?;
            lock(&self.failures).note(network, self.now_ms());
            return Err(wrong_password(&user, network));
        }
        let known = access.password_of(&user);
        let hash = known.cloned().unwrap_or_else(PasswordHash::nobody);
        let parts = [user.as_bytes(), password.as_bytes(), hash.bytes()];
        let mark = mark(&self.secrets()?.marks, &parts);
        let is_remembered = |gate: &Self| lock(&gate.passwords).get(&mark, gate.now_ms()).is_some();
        if is_remembered(self) {
            return Ok(Caller::user(&user));
        }
        may_try(self)?;
        let place = {
            let _waiting = Waiting::begin(&self.waiting)?;
            let place = timeout(CHECK_WAIT, Arc::clone(&self.checks).acquire_owned()).await;
            place.map_err(|_| Refusal::Busy)?.map_err(|_| Refusal::Failed)?
        };
        // Clients come with several connections at once: one of the others may have been quicker, or wrong.
        if is_remembered(self) {
            return Ok(Caller::user(&user));
        }
        may_try(self)?;
        let (failures, passwords) = (Arc::clone(&self.failures), Arc::clone(&self.passwords));
        let (is_known, started) = (known.is_some(), self.started);
        let check = spawn_blocking(move || {
            // The place and what follows from the check stay here: the client may have gone away by then.
            let _place = place;
            let is_right = hash.matches(&password) && is_known;
            let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            if is_right {
                lock(&passwords).put(mark, (), now_ms);
            } else {
                lock(&failures).note(network, now_ms);
            }
            is_right
        });
        match check.await {
            Ok(true) => Ok(Caller::user(&user)),
            Ok(false) => Err(wrong_password(&user, network)),
            Err(_) => Err(Refusal::Failed),
        }
    }

    fn check_token(&self, access: &Access, text: &str) -> Result<Caller, Refusal> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(is_not_believed(&TokenError::TooLong));
        }
        let secrets = self.secrets()?;
        let mark: Mark = mark(&secrets.marks, &[text.as_bytes()]);
        let remembered = lock(&self.tokens).get(&mark, self.now_ms());
        let signed = if let Some(signed) = remembered {
            signed
        } else {
            let signed = match open(text, &secrets.trusted) {
                Err(TokenError::UnknownKey) => open(text, access.keys()),
                opened => opened,
            };
            let signed = Arc::new(signed.map_err(|error| is_not_believed(&error))?);
            lock(&self.tokens).put(mark, Arc::clone(&signed), self.now_ms());
            signed
        };
        if signed.key == *secrets.trusted[0].bytes() {
            return self.resume(access, secrets, &signed);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let terms = Terms { trusted: access.keys(), names: access.names(), now };
        let key = signed.judge(terms).map_err(|error| is_not_believed(&error))?;
        Ok(Caller {
            party: Party::Key(key.name.clone()),
            subject: signed.claims.subject.as_str().into(),
            means: Means::Keeper,
            scopes: Some(signed.claims.scopes.clone()),
        })
    }

    /// The caller of a session. Its times are those since the start, which no jump of the clock ends.
    fn resume(&self, access: &Access, secrets: &Secrets, signed: &Signed) -> Result<Caller, Refusal> {
        let terms = Terms { trusted: &secrets.trusted, names: &[], now: self.now_ms() / 1_000 };
        signed.judge(terms).map_err(|error| is_not_believed(&error))?;
        let party = match signed.claims.subject.strip_prefix("user:") {
            None => Party::Anonymous,
            Some(user) => {
                // A user who has gone, or got another password, has no session any more.
                let password = access.password_of(user).ok_or_else(is_wrong)?;
                if signed.claims.nonce != stamp(secrets, password) {
                    return Err(is_wrong());
                }
                Party::User(user.into())
            }
        };
        let scopes = Some(signed.claims.scopes.clone());
        Ok(Caller { party, subject: "".into(), means: Means::Session, scopes })
    }

    /// A token for somebody who is known, or known to be nobody, within `scopes`.
    pub(crate) fn begin(
        &self,
        access: &Access,
        caller: &Caller,
        scopes: Vec<Scope>,
    ) -> Result<String, Refusal> {
        let secrets = self.secrets()?;
        let nonce = match &caller.party {
            Party::User(user) => stamp(secrets, access.password_of(user).ok_or_else(is_wrong)?),
            Party::Anonymous => [0; 16],
            // Whoever has a token goes on with that.
            Party::Key(_) => return Err(Refusal::Failed),
        };
        let now = self.now_ms() / 1_000;
        let (issued, expires) = (now, now + SESSION_SECONDS);
        let claims =
            Claims { subject: caller.to_string(), issued, expires, scopes, audience: String::new(), nonce };
        issue(&secrets.session, &claims).map_err(|error| is_not_believed(&error))
    }

    /// The token that a request shows, to be shown again.
    pub(crate) fn shown_token(header: Option<&str>) -> Result<String, Refusal> {
        match header.map(Credentials::read) {
            Some(Ok(Credentials::Token(text))) => Ok(text),
            _ => Err(Refusal::Failed),
        }
    }

    /// Counts a request of `caller`, or of its network as long as nothing more is known.
    pub(crate) fn admit(&self, caller: Option<&Caller>, network: Network, rate: Rate) -> Result<(), Refusal> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let party = caller.map(|caller| &caller.party).filter(|party| **party != Party::Anonymous);
        let client = party.map_or(Client::Network(network), |party| Client::Party(party.clone()));
        lock(&self.buckets).take(&client, rate, self.now_ms()).map_err(Refusal::Wait)
    }

    /// Counts a look whether the registry lives. Apart from requests: a monitor is answered, whatever else its network asks.
    pub(crate) fn admit_look(&self, network: Network, rate: Rate) -> Result<(), Refusal> {
        lock(&self.looks).take(&network, rate, self.now_ms()).map_err(Refusal::Wait)
    }
}

/// What a session of a user is bound to: the password that it began with.
fn stamp(secrets: &Secrets, password: &PasswordHash) -> [u8; 16] {
    let mark = mark(&secrets.marks, &[b"session", password.bytes()]);
    let mut stamp = [0; 16];
    stamp.copy_from_slice(&mark[..16]);
    stamp
}

impl From<Refusal> for RegistryError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Credentials(reason) => Self::Unauthorized { reason, challenge: String::new() },
            Refusal::Wait(time) => Self::TooOften { seconds: time.as_secs().saturating_add(1) },
            Refusal::Busy => Self::TooMany("logins"),
            Refusal::Failed => Self::Interrupted,
        }
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
