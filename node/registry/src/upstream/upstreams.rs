//! All upstreams: which name belongs to which, which tags are fresh, what is on its way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::flights::Flights;
use super::remote::Remote;
use super::settings::{UpstreamSettings, UpstreamSettingsError};
use crate::evict::Keeping;
use crate::name::{NameError, RepoName, Tag};

/// Things fetched at once. Each has two batches of an upload in memory.
const MAX_FETCHES: usize = 4;
/// Tags of which it is remembered when they were asked for.
const MAX_FRESH: usize = 4_096;

/// Shortest time between two lines of the log that say that there is no room.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How often upstreams were needed, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulls {
    /// Answered from here without a question.
    pub hits: u64,
    /// Manifests and blobs fetched.
    pub fetched: u64,
    /// Answered with a tag that the upstream could not be asked about.
    pub stale: u64,
    /// Passed on without being kept, since there was no room.
    pub passed: u64,
    /// Not answered.
    pub failed: u64,
    /// Bytes of manifests and blobs that upstreams sent.
    pub received_bytes: u64,
}

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Hit,
    Fetched,
    Stale,
    Passed,
    Failed,
}

/// Other registries that this one keeps copies of.
#[derive(Default)]
pub struct Upstreams {
    remotes: Vec<Arc<Remote>>,
    fresh: Mutex<HashMap<(RepoName, Tag), Instant>>,
    counts: [AtomicU64; 5],
    received_bytes: AtomicU64,
    pub(crate) flights: Flights,
    /// Whose turn it is to make room.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// When it was last told that there is no room.
    told: Mutex<Option<Instant>>,
    /// Places among those that fetch.
    pub(crate) places: Option<Arc<Semaphore>>,
}

impl Upstreams {
    /// Makes ready what the settings say. Asks nobody anything.
    ///
    /// # Errors
    /// When a prefix, URL, password or file of authorities cannot be used.
    pub fn open(settings: &[UpstreamSettings]) -> Result<Self, UpstreamSettingsError> {
        let mut remotes: Vec<Arc<Remote>> = Vec::new();
        for settings in settings {
            let remote = Remote::open(settings)?;
            for other in &remotes {
                if other.prefix == remote.prefix {
                    return Err(settings.refused("there are two upstreams with this prefix"));
                }
                if let Some(name) = remote.namespaces.iter().find(|name| other.namespaces.contains(name)) {
                    return Err(settings.refused(format!("{name:?} is another upstream's namespace, too")));
                }
            }
            remotes.push(Arc::new(remote));
        }
        // The longest prefix first: one may be the beginning of another.
        remotes.sort_by_key(|remote| std::cmp::Reverse(remote.prefix.as_str().len()));
        let places = Some(Arc::new(Semaphore::new(MAX_FETCHES)));
        Ok(Self { remotes, places, ..Self::default() })
    }

    /// The upstream that a repository is kept of, and what that calls it.
    pub(crate) fn find(&self, repo: &RepoName) -> Option<(Arc<Remote>, String)> {
        self.remotes
            .iter()
            .find_map(|remote| Some((Arc::clone(remote), repo.below(&remote.prefix)?.to_owned())))
    }

    /// What a repository is called here that a client calls `name` in the namespace `namespace`, and whether that
    /// namespace is why; `None` if nothing is kept of that, and the name is what it is. A namespace that is no upstream's
    /// changes nothing: clients send our own name, too.
    ///
    /// # Errors
    /// When the name becomes too long.
    pub(crate) fn scoped(
        &self,
        name: &RepoName,
        namespace: Option<&str>,
    ) -> Result<Option<(RepoName, bool)>, NameError> {
        let is_named = |remote: &&Arc<Remote>| remote.namespaces.iter().any(|own| Some(&**own) == namespace);
        let named = self.remotes.iter().find(is_named).map(|remote| (Arc::clone(remote), name.to_string()));
        let is_scoped = named.is_some();
        let Some((remote, name)) = named.or_else(|| self.find(name)) else { return Ok(None) };
        let name = format!("{}/{}", remote.prefix, remote.canonical(&name)).parse()?;
        Ok(Some((name, is_scoped)))
    }

    /// What is kept of each, those first whose prefix is longest.
    pub(crate) fn keeping(&self) -> Vec<Keeping> {
        self.remotes.iter().map(|remote| remote.keeping.clone()).collect()
    }

    /// Whether a tag was asked for so lately that it need not be again.
    pub(crate) fn is_fresh(&self, remote: &Remote, repo: &RepoName, tag: &Tag) -> bool {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.get(&(repo.clone(), tag.clone())).is_some_and(|asked| asked.elapsed() < remote.refresh)
    }

    /// Notes that a tag was asked for.
    pub(crate) fn refreshed(&self, repo: &RepoName, tag: &Tag) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.len() >= MAX_FRESH {
            // Rare, and the price is a question for each tag.
            fresh.clear();
        }
        fresh.insert((repo.clone(), tag.clone()), Instant::now());
    }

    /// Whether it is to be told that there is no room: not so often that nothing else can be read.
    pub(crate) fn is_news(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if is_news {
            *told = Some(Instant::now());
        }
        is_news
    }

    /// Ends the fetches that are on their way, and waits until what they had is let go. For when no more will begin.
    pub(crate) async fn stop(&self) {
        self.flights.stop().await;
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes of a manifest or blob.
    pub(crate) fn received(&self, bytes: u64) {
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How often upstreams were needed since the start.
    pub fn pulls(&self) -> Pulls {
        let count = |outcome: Outcome| self.counts[outcome as usize].load(Ordering::Relaxed);
        Pulls {
            hits: count(Outcome::Hit),
            fetched: count(Outcome::Fetched),
            stale: count(Outcome::Stale),
            passed: count(Outcome::Passed),
            failed: count(Outcome::Failed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<UpstreamSettings> {
        #[derive(serde::Deserialize)]
        struct All {
            upstream: Vec<UpstreamSettings>,
        }
        toml::from_str::<All>(text).unwrap().upstream
    }

    const THREE: &str = r#"
        [[upstream]]
        prefix = "docker.io"
        url = "https://registry-1.docker.io"
        [[upstream]]
        prefix = "ghcr.io"
        url = "https://ghcr.io"
        namespaces = ["ghcr.io", "lscr.io"]
        [[upstream]]
        prefix = "ghcr.io/own"
        url = "http://127.0.0.1:5000"
    "#;

    #[test]
    fn names_belong_to_the_longest_prefix() {
        let upstreams = Upstreams::open(&settings(THREE)).unwrap();
        let name = |text: &str| text.parse::<RepoName>().unwrap();
        let find = |text: &str| upstreams.find(&name(text)).map(|(remote, name)| (remote.host(), name));
        assert_eq!(
            find("docker.io/library/alpine"),
            Some(("registry-1.docker.io".into(), "library/alpine".into()))
        );
        assert_eq!(find("ghcr.io/a/b"), Some(("ghcr.io".into(), "a/b".into())));
        assert_eq!(find("ghcr.io/own/b"), Some(("127.0.0.1:5000".into(), "b".into())));
        for none in ["docker.io", "docker.iox/a", "a/docker.io/b", "library/alpine"] {
            assert_eq!(find(none), None, "{none}");
        }
        let scoped = |text: &str, namespace| {
            let scoped = upstreams.scoped(&name(text), namespace).unwrap();
            assert!(scoped.as_ref().is_none_or(|(_, is_scoped)| *is_scoped == namespace.is_some()));
            scoped.map(|(name, _)| name.to_string())
        };
        assert_eq!(scoped("alpine", Some("docker.io")).as_deref(), Some("docker.io/library/alpine"));
        assert_eq!(scoped("a/b", Some("lscr.io")).as_deref(), Some("ghcr.io/a/b"));
        assert_eq!(scoped("docker.io/alpine", None).as_deref(), Some("docker.io/library/alpine"));
        assert_eq!(scoped("ghcr.io/alpine", None).as_deref(), Some("ghcr.io/alpine"));
        // What is no upstream's, such as our own name, changes nothing.
        for namespace in [Some("registry.local:8053"), Some(""), None] {
            let canonical = (name("docker.io/library/alpine"), false);
            assert_eq!(upstreams.scoped(&name("docker.io/alpine"), namespace), Ok(Some(canonical)));
        }
        for (text, namespace) in
            [("a", Some("quay.io")), ("a", None), ("a", Some("")), ("a", Some("docker.io/x"))]
        {
            assert_eq!(scoped(text, namespace), None);
        }
        let long = name("x/".repeat(127).trim_end_matches('/'));
        assert_eq!(upstreams.scoped(&long, Some("ghcr.io")), Err(NameError::Repository));
    }

    #[test]
    fn settings_that_cannot_be_used() {
        let refused = |more: &str| {
            let text = format!("[[upstream]]\nprefix = \"a\"\nurl = \"https://a\"\n{more}");
            Upstreams::open(&settings(&text)).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(""), "");
        for (more, part) in [
            ("username = \"u\"", "no password"),
            ("password = \"p\"", "no username"),
            ("username = \"u:v\"\npassword = \"p\"", "no colon"),
            ("username = \"u\"\npassword = \"p\"\npassword_file = \"/x\"", "not both"),
            ("username = \"u\"\npassword_file = \"/nowhere/at/all\"", "/nowhere/at/all"),
            ("refresh_seconds = 0", "between 1 and"),
            ("ca = \"/nowhere/at/all\"", "/nowhere/at/all"),
            ("ca = \"/etc/passwd\"", "no certificates"),
            ("[[upstream]]\nprefix = \"a\"\nurl = \"https://b\"", "two upstreams"),
            ("[[upstream]]\nprefix = \"b\"\nurl = \"https://b\"\nnamespaces = [\"a\"]", "another upstream's"),
            ("[[upstream]]\nprefix = \"B\"\nurl = \"https://b\"", "repository's name"),
            ("[[upstream]]\nprefix = \"b\"\nurl = \"https://b/v2\"", "without a path"),
            ("[[upstream]]\nprefix = \"b\"\nurl = \"b\"", "https://"),
        ] {
            assert!(refused(more).contains(part), "{more}: {}", refused(more));
        }
        let shown = format!("{:?}", settings(&format!("{THREE}\nusername = \"u\"\npassword = \"secret\"")));
        assert!(!shown.contains("secret"));
    }
}
