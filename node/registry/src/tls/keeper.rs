//! Keeps a server certificate that is valid now, for the names of now: made at the first start, made anew when the
//! names change, when a third of its life is left, and when the clock jumps.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::authority::Authority;
use super::error::{Result, TlsError};
use super::facts::{DAY_SECONDS, Facts};
use super::files::{Access, Folder};
use super::names::Names;
use super::resolver::{Certificates, certified};

/// 2026-01-01, in seconds since 1970. A clock that shows less was never set: boards without a battery start in 1970.
pub const CLOCK_FLOOR_SECONDS: u64 = 1_767_225_600;

const KEY: &str = "server.key";
const CERTIFICATE: &str = "server.pem";

/// How often the keeper looks. Short, since a board's clock is set seconds after its start; it costs a look at a
/// number.
const CHECK: Duration = Duration::from_secs(30);
/// How often at most the same trouble is told to the log.
const COMPLAINT: Duration = Duration::from_hours(1);
/// How long before its end the authority's end is told to the log, in seconds.
const ENDING_SECONDS: u64 = 180 * DAY_SECONDS;

/// Why a certificate is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Names,
    Age,
    ClockWentBack,
    ClockWasSet,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Self::Names => "the names of this machine changed",
            Self::Age => "a third of its life is left",
            Self::ClockWentBack => "the clock went back before it began",
            Self::ClockWasSet => "the clock was set",
        }
    }
}

/// Whether a certificate has to be made anew at the time `now` for a machine called `names`, and why.
fn due(facts: &Facts, names: &Names, now: u64) -> Option<Why> {
    if facts.names != *names {
        return Some(Why::Names);
    }
    if now < CLOCK_FLOOR_SECONDS {
        // Clients, whose clocks are right, judge the certificate; we cannot.
        return None;
    }
    if now < facts.not_before {
        return Some(Why::ClockWentBack);
    }
    if facts.not_after - facts.not_before > 398 * DAY_SECONDS {
        // Made while the clock was not set; some clients take none that lives so long.
        return Some(Why::ClockWasSet);
    }
    (now >= facts.renew_at()).then_some(Why::Age)
}

/// The system's time, in seconds since 1970; 0 before.
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Keeps the certificates of one registry directory.
pub struct Keeper {
    folder: Folder,
    authority: Authority,
    shown: Arc<Certificates>,
    facts: Facts,
}

fn read(folder: &Folder, authority: &Authority) -> Result<Option<(CertifiedKey, Facts)>> {
    let chain = folder.read(CERTIFICATE, Access::Open)?;
    let key = folder.read(KEY, Access::Secret)?;
    let (Some(chain), Some(key)) = (&chain, &key) else {
        if chain.is_some() || key.is_some() {
            tracing::warn!(
                path = folder.describe(""),
                "half of the server's certificate is missing; it is made anew"
            );
        }
        return Ok(None);
    };
    let found = certified(chain, key).and_then(|key| {
        let leaf: &CertificateDer<'_> = &key.cert[0];
        let facts = Facts::read(leaf)?;
        // Signed by our authority: it may have been replaced.
        authority.verifies(leaf, &facts.names, facts.not_before).then_some((key, facts))
    });
    if found.is_none() {
        let aside = folder.set_aside(CERTIFICATE, "damaged")?;
        folder.set_aside(KEY, "damaged")?;
        tracing::error!(
            kept_as = aside,
            "the server's certificate was damaged, or not of this authority and key; it is made anew"
        );
    }
    Ok(found)
}

fn make(folder: &Folder, authority: &Authority, names: &Names, now: u64) -> Result<(CertifiedKey, Facts)> {
    let issued = authority.issue(names, now, folder)?;
    folder.write(KEY, issued.key.as_bytes(), Access::Secret)?;
    folder.write(CERTIFICATE, issued.certificate.as_bytes(), Access::Open)?;
    let made = certified(issued.certificate.as_bytes(), issued.key.as_bytes())
        .and_then(|key| Facts::read(&key.cert[0]).map(|facts| (key, facts)));
    made.ok_or(TlsError::Make(rcgen::Error::CouldNotParseCertificate))
}

impl Keeper {
    /// Opens the folder `tls` of the registry directory `dir`; makes what is missing there, for a machine called
    /// `names`, at the time `now` in seconds since 1970.
    ///
    /// # Errors
    /// When a person has to look after the authority; else those of the operating system.
    pub fn open(dir: &Path, names: &Names, now: u64) -> Result<Self> {
        let folder = Folder::open(dir.join("tls"))?;
        let authority = Authority::open(&folder, now)?;
        let (key, facts) = match read(&folder, &authority)? {
            Some(found) => found,
            None => make(&folder, &authority, names, now)?,
        };
        let shown = Arc::new(Certificates::default());
        shown.show_own(key);
        let mut keeper = Self { folder, authority, shown, facts };
        if let Err(error) = keeper.check(names, now) {
            // What is there still serves; it is tried again soon.
            tracing::error!(%error, "cannot renew the server's certificate");
        }
        Ok(keeper)
    }

    /// Makes the certificate anew if that is due, and shows it; says whether it did.
    ///
    /// # Errors
    /// Those of the operating system, and an authority that has ended. The old certificate is shown on.
    pub fn check(&mut self, names: &Names, now: u64) -> Result<bool> {
        let Some(why) = due(&self.facts, names, now) else { return Ok(false) };
        let ends_at = self.authority.ends_at();
        if why == Why::Age && now < ends_at && self.authority.server_ends_at(now) <= self.facts.not_after {
            // It ends with the authority: another one would be no younger, and due at once.
            return Ok(false);
        }
        let (key, facts) = make(&self.folder, &self.authority, names, now)?;
        self.shown.show_own(key);
        self.facts = facts;
        tracing::info!(because = why.text(), names = names.len(), "made a new server certificate");
        Ok(true)
    }

    /// The certificates that are shown, for [`super::server_config`].
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.shown)
    }

    /// The authority that clients trust.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Looks again and again, with the names that `names` gives at the time.
    pub async fn run(mut self, names: impl Fn() -> Result<Names> + Send + Sync + 'static) {
        let names = Arc::new(names);
        let mut silent_until = None;
        loop {
            sleep(CHECK).await;
            let names = Arc::clone(&names);
            let checked = spawn_blocking(move || {
                let now = now_seconds();
                let result = names().and_then(|names| self.check(&names, now));
                (self, result, now)
            });
            let Ok((keeper, result, now)) = checked.await else { return };
            self = keeper;
            let is_silent = silent_until.is_some_and(|until| std::time::Instant::now() < until);
            if is_silent {
                continue;
            }
            let is_ending = now.saturating_add(ENDING_SECONDS) > self.authority.ends_at();
            match result {
                Err(error) => tracing::error!(%error, "cannot renew the server's certificate"),
                Ok(_) if is_ending => {
                    tracing::warn!(
                        "the certificate authority ends within {} days",
                        ENDING_SECONDS / DAY_SECONDS
                    );
                }
                Ok(_) => continue,
            }
            silent_until = Some(std::time::Instant::now() + COMPLAINT);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: u64 = CLOCK_FLOOR_SECONDS + 300 * DAY_SECONDS;

    fn names(host: &str) -> Names {
        Names::of_machine(host, &[], &[]).unwrap()
    }

    fn shown(keeper: &Keeper) -> Vec<u8> {
        fs::read(keeper.folder.path(CERTIFICATE)).unwrap()
    }

    #[test]
    fn when_a_certificate_is_due() {
        let facts = |not_before, days| Facts {
            not_before,
            not_after: not_before + days * DAY_SECONDS,
            names: names("a"),
        };
        let usual = facts(NOW, 90);
        assert_eq!(due(&usual, &names("a"), NOW), None);
        assert_eq!(due(&usual, &names("a"), NOW + 59 * DAY_SECONDS), None);
        assert_eq!(due(&usual, &names("a"), NOW + 60 * DAY_SECONDS), Some(Why::Age));
        assert_eq!(due(&usual, &names("a"), NOW + 900 * DAY_SECONDS), Some(Why::Age));
        assert_eq!(due(&usual, &names("b"), NOW), Some(Why::Names));
        assert_eq!(due(&usual, &names("a"), NOW - 1), Some(Why::ClockWentBack));
        // A board that starts in 1970 keeps what it has.
        assert_eq!(due(&usual, &names("a"), 60), None);
        assert_eq!(due(&usual, &names("b"), 60), Some(Why::Names));
        let provisional = facts(CLOCK_FLOOR_SECONDS, 3650);
        assert_eq!(due(&provisional, &names("a"), 60), None);
        assert_eq!(due(&provisional, &names("a"), NOW), Some(Why::ClockWasSet));
    }

    #[test]
    fn a_restart_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let first = Keeper::open(dir.path(), &names("a"), NOW).unwrap();
        let before = shown(&first);
        for now in [NOW + DAY_SECONDS, 60, NOW + 50 * DAY_SECONDS] {
            assert_eq!(shown(&Keeper::open(dir.path(), &names("a"), now).unwrap()), before);
        }
        let renewed = Keeper::open(dir.path(), &names("a"), NOW + 70 * DAY_SECONDS).unwrap();
        assert_ne!(shown(&renewed), before);
        assert_eq!(renewed.authority.fingerprint(), first.authority.fingerprint());
    }

    #[test]
    fn a_life_of_clocks() {
        let dir = tempfile::tempdir().unwrap();
        // The first start is in 1970; then the clock is set, jumps ahead by years, comes back.
        let mut keeper = Keeper::open(dir.path(), &names("a"), 5).unwrap();
        assert!(!keeper.check(&names("a"), 35).unwrap());
        assert!(keeper.check(&names("a"), NOW).unwrap());
        assert!(!keeper.check(&names("a"), NOW + 30).unwrap());
        assert!(keeper.check(&names("a"), NOW + 2000 * DAY_SECONDS).unwrap());
        assert!(keeper.check(&names("a"), NOW + 60).unwrap());
        assert!(keeper.facts.not_before < NOW && NOW + 80 * DAY_SECONDS < keeper.facts.not_after);
        assert!(!keeper.check(&names("a"), 60).unwrap());
        let far = keeper.authority.ends_at() + 1;
        assert!(matches!(keeper.check(&names("a"), far), Err(TlsError::AuthorityEnded { .. })));
        assert!(Keeper::open(dir.path(), &names("a"), far).is_ok(), "what is there serves on");
    }

    #[test]
    fn the_last_certificate_of_an_authority_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::open(dir.path(), &names("a"), NOW).unwrap();
        let end = keeper.authority.ends_at();
        assert!(keeper.check(&names("a"), end - 60 * DAY_SECONDS).unwrap());
        assert_eq!(keeper.facts.not_after, end);
        for before in [10 * DAY_SECONDS, DAY_SECONDS, 60, 30, 1] {
            assert!(!keeper.check(&names("a"), end - before).unwrap(), "{before}");
        }
        assert!(keeper.check(&names("b"), end - 60).unwrap(), "other names are another matter");
        assert!(matches!(keeper.check(&names("b"), end), Err(TlsError::AuthorityEnded { .. })));
    }

    #[test]
    fn a_start_that_cannot_renew_serves_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let before = shown(&Keeper::open(dir.path(), &names("a"), NOW).unwrap());
        // In the way of the new key.
        let obstacle = dir.path().join("tls/server.key.new");
        fs::create_dir(&obstacle).unwrap();
        let later = NOW + 70 * DAY_SECONDS;
        let mut keeper = Keeper::open(dir.path(), &names("a"), later).unwrap();
        assert_eq!(shown(&keeper), before);
        assert!(keeper.check(&names("a"), later).is_err());
        fs::remove_dir(&obstacle).unwrap();
        assert!(keeper.check(&names("a"), later).unwrap());
        assert_ne!(shown(&keeper), before);
    }

    #[test]
    fn damage_and_mixed_files_are_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::open(dir.path(), &names("a"), NOW).unwrap();
        let folder = keeper.folder.clone();
        let other = tempfile::tempdir().unwrap();
        let stranger = Keeper::open(other.path(), &names("a"), NOW).unwrap();
        let stranger_key = fs::read(stranger.folder.path(KEY)).unwrap();
        let reopen = || Keeper::open(dir.path(), &names("a"), NOW).unwrap();
        let before = shown(&keeper);

        fs::write(folder.path(CERTIFICATE), &before[..before.len() / 2]).unwrap();
        let cut = shown(&reopen());
        assert_ne!(cut, before);
        fs::write(folder.path(KEY), &stranger_key).unwrap();
        let mixed = shown(&reopen());
        assert_ne!(mixed, cut);
        // A whole pair, by another authority.
        fs::write(folder.path(KEY), &stranger_key).unwrap();
        fs::write(folder.path(CERTIFICATE), shown(&stranger)).unwrap();
        assert_ne!(shown(&reopen()), shown(&stranger));
        fs::remove_file(folder.path(KEY)).unwrap();
        reopen();
        assert!(folder.path(KEY).exists());
        let aside = fs::read_dir(dir.path().join("tls")).unwrap();
        let aside: Vec<_> = aside.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(aside.iter().filter(|name| name.starts_with("server.pem.damaged")).count(), 3);
        assert!(aside.iter().all(|name| !name.contains(".new")));
    }

    #[test]
    fn an_imported_authority_signs_from_the_next_start_on() {
        let dir = tempfile::tempdir().unwrap();
        let before = Keeper::open(dir.path(), &names("a"), NOW).unwrap();
        let other = Authority::make(NOW).unwrap();
        Authority::import(dir.path(), &other.export(), true).unwrap();
        let after = Keeper::open(dir.path(), &names("a"), NOW).unwrap();
        assert_eq!(after.authority.fingerprint(), other.fingerprint());
        assert_ne!(shown(&before), Vec::<u8>::new());
        let leaf = certified(&shown(&after), &fs::read(after.folder.path(KEY)).unwrap()).unwrap();
        assert!(other.verifies(&leaf.cert[0], &names("a"), NOW));
    }
}
