//! Downloads that are kept: checked against their hash, whole or not there at all.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::screen::Screen;

/// The largest download, in bytes.
const MAX_DOWNLOAD_BYTES: u64 = 1024 * 1024 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server does not have it.
    #[error("{url}: the server does not have it (HTTP {status})")]
    Gone {
        /// What was asked for.
        url: String,
        /// The server's answer.
        status: u16,
    },
    /// The server does not give it, now or to us.
    #[error("{url}: the server answered HTTP {status}; try again later, or give another mirror")]
    Refused {
        /// What was asked for.
        url: String,
        /// The server's answer.
        status: u16,
    },
    /// No connection, or it broke.
    #[error("cannot download {url}: {why}; check the connection, or give another mirror")]
    Network {
        /// What was asked for.
        url: String,
        /// Why.
        why: String,
    },
    /// Something else came than was asked for.
    #[error(
        "{url} has the SHA-256 {found}, not {expected}: it was changed or cut short on the way; nothing was kept"
    )]
    WrongHash {
        /// What was asked for.
        url: String,
        /// What came.
        found: String,
        /// What should have come.
        expected: String,
    },
    /// Not in the cache, and the network must not be used.
    #[error("{} is not in the cache, and --offline was given; run it once without", .0.display())]
    Offline(PathBuf),
    /// The cache cannot be written or read.
    #[error("cannot {what} {}: {why}", .path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

/// How long a server is waited for.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// For a connection.
    connect: Duration,
    /// For the whole head of its answer.
    answer: Duration,
    /// For the next bytes; a download that goes on may take as long as it will.
    stall: Duration,
}

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(20),
    answer: Duration::from_secs(60),
    stall: Duration::from_secs(60),
};

/// A folder of downloads, named after their hash and name.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
    offline: bool,
    limits: Limits,
}

/// The file's name in a URL.
fn name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// SHA-256 as lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl Cache {
    /// The cache in `dir`. `offline`: never ask the network.
    #[must_use]
    pub fn new(dir: PathBuf, offline: bool) -> Self {
        Self { dir, offline, limits: LIMITS }
    }

    /// Where downloads are kept unless told otherwise.
    #[must_use]
    pub fn default_dir() -> PathBuf {
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        base.unwrap_or_else(std::env::temp_dir).join("trustnet-image")
    }

    /// A file whose hash is known: from the cache, else from the network.
    ///
    /// # Errors
    /// [`FetchError`]; nothing half is left behind.
    pub fn pinned(&self, url: &str, sha256: &str, screen: &Screen) -> Result<Vec<u8>, FetchError> {
        let path = self.path(url, sha256);
        match fs::read(&path) {
            Ok(bytes) if sha256_hex(&bytes) == sha256 => return Ok(bytes),
            Ok(_) => {
                screen.note(&format!("{} is damaged: downloading it again", path.display()));
                let removed = fs::remove_file(&path);
                removed.map_err(|why| FetchError::Disk { what: "remove", path: path.clone(), why })?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(FetchError::Disk { what: "read", path, why }),
        }
        if self.offline {
            return Err(FetchError::Offline(path));
        }
        let bytes = download(url, *screen, self.limits)?;
        let found = sha256_hex(&bytes);
        if found != sha256 {
            return Err(FetchError::WrongHash { url: url.into(), found, expected: sha256.into() });
        }
        self.keep(&path, &bytes)?;
        Ok(bytes)
    }

    /// Keeps a file that was downloaded with [`Self::fresh`] and checked since.
    ///
    /// # Errors
    /// [`FetchError`]; nothing half is left behind.
    pub fn adopt(&self, url: &str, bytes: &[u8]) -> Result<(), FetchError> {
        self.keep(&self.path(url, &sha256_hex(bytes)), bytes)
    }

    /// Files of this name that were kept, whatever their hash. The caller has to find out whether one is good.
    #[must_use]
    pub fn kept(&self, url: &str) -> Vec<Vec<u8>> {
        // A cache that cannot be read is as good as none.
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let ending = format!("-{}", name(url));
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(&ending));
        named.filter_map(|entry| fs::read(entry.path()).ok()).collect()
    }

    fn path(&self, url: &str, sha256: &str) -> PathBuf {
        self.dir.join(format!("{}-{}", &sha256[..sha256.len().min(16)], name(url)))
    }

    /// A file that changes: from the network, always.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn fresh(&self, url: &str, screen: &Screen) -> Result<Vec<u8>, FetchError> {
        if self.offline {
            return Err(FetchError::Offline(PathBuf::from(url)));
        }
        download(url, *screen, self.limits)
    }

    fn keep(&self, path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |why| FetchError::Disk { what, path, why }
        };
        fs::create_dir_all(&self.dir).map_err(failed("make", &self.dir))?;
        let part = path.with_extension(format!("part-{}", std::process::id()));
        let written = fs::File::create(&part).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if written.is_err() {
            // What is half written is worth nothing, and the reason is in `written`.
            let _ = fs::remove_file(&part);
        }
        written.map_err(failed("write", &part))?;
        fs::rename(&part, path).map_err(failed("rename to", path))
    }
}

fn download(url: &str, screen: Screen, limits: Limits) -> Result<Vec<u8>, FetchError> {
    let network = |why: String| FetchError::Network { url: url.into(), why };
    if url.starts_with("https:") {
        return Err(network(
            "this program speaks no TLS; what it takes is signed or pinned, so give http: instead".into(),
        ));
    }
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(limits.connect))
        .timeout_recv_response(Some(limits.answer))
        .timeout_per_read(Some(limits.stall));
    let agent: ureq::Agent = config.build().into();
    let response = match agent.get(url).call() {
        Ok(response) => response,
        // Only of these a file that was there once is known to be there no longer, and its successor may be taken.
        Err(ureq::Error::StatusCode(status @ (404 | 410))) => {
            return Err(FetchError::Gone { url: url.into(), status });
        }
        Err(ureq::Error::StatusCode(status)) => return Err(FetchError::Refused { url: url.into(), status }),
        Err(error) => return Err(network(error.to_string())),
    };
    let length = response.headers().get("content-length");
    let expected: Option<u64> =
        length.and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    if expected.is_some_and(|expected| expected > MAX_DOWNLOAD_BYTES) {
        return Err(network(format!("it is larger than {MAX_DOWNLOAD_BYTES} bytes")));
    }
    let bar = screen.bytes(name(url), expected.unwrap_or(0));
    let mut reader = response.into_body().into_reader().take(MAX_DOWNLOAD_BYTES);
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                bytes.extend_from_slice(&chunk[..read]);
                bar.advance(read as u64);
            }
            Err(error) => return Err(network(error.to_string())),
        }
    }
    bar.done();
    if expected.is_some_and(|expected| expected != bytes.len() as u64) {
        return Err(network(format!("it ended after {} bytes", bytes.len())));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// A server that gives one answer to each of `answers`, then is gone.
    fn serve(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/pool/thing.deb", listener.local_addr().unwrap());
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 2048];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(&answer);
            }
        });
        url
    }

    fn answer(body: &[u8], length: usize) -> Vec<u8> {
        [format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").as_bytes(), body]
            .concat()
    }

    #[test]
    fn what_was_fetched_once_is_there_without_a_network() {
        let dir = tempfile::tempdir().unwrap();
        let url = serve(vec![answer(b"content", 7)]);
        let (screen, sha) = (Screen::quiet(), sha256_hex(b"content"));
        let cache = Cache::new(dir.path().into(), false);
        assert_eq!(cache.pinned(&url, &sha, &screen).unwrap(), b"content");
        let offline = Cache::new(dir.path().into(), true);
        assert_eq!(offline.pinned(&url, &sha, &screen).unwrap(), b"content");
        let other = sha256_hex(b"other");
        assert!(matches!(offline.pinned(&url, &other, &screen), Err(FetchError::Offline(_))));
    }

    #[test]
    fn a_wrong_or_short_download_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().into(), false);
        let screen = Screen::quiet();
        let sha = sha256_hex(b"content");
        let wrong = cache.pinned(&serve(vec![answer(b"c0ntent", 7)]), &sha, &screen);
        assert!(matches!(wrong, Err(FetchError::WrongHash { .. })), "{wrong:?}");
        let short = cache.pinned(&serve(vec![answer(b"cont", 7)]), &sha, &screen);
        assert!(matches!(short, Err(FetchError::Network { .. })), "{short:?}");
        let tls = cache.pinned("https://127.0.0.1/pool/thing.deb", &sha, &screen).unwrap_err();
        assert!(tls.to_string().contains("give http: instead"), "{tls}");
        let gone = cache.pinned(
            &serve(vec![b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()]),
            &sha,
            &screen,
        );
        assert!(matches!(gone, Err(FetchError::Gone { status: 404, .. })), "{gone:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_a_file_that_is_not_there_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().into(), false);
        let ask = |status: u16| {
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            cache.fresh(&serve(vec![answer.into_bytes()]), &Screen::quiet()).unwrap_err()
        };
        for status in [404, 410] {
            let error = ask(status);
            assert!(matches!(error, FetchError::Gone { status: said, .. } if said == status), "{error}");
        }
        for status in [403, 429, 500, 503] {
            let error = ask(status);
            assert!(matches!(error, FetchError::Refused { status: said, .. } if said == status), "{error}");
            assert!(error.to_string().contains(&format!("HTTP {status}; try again later")), "{error}");
        }
    }

    /// A server that says something, and then nothing more until the sender is dropped.
    fn fall_silent(said: Vec<u8>) -> (String, mpsc::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/pool/thing.deb", listener.local_addr().unwrap());
        let (wait, waiting) = mpsc::channel::<()>();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 2048]);
            let _ = stream.write_all(&said);
            // The end of the test; or of patience, for a client that has none of its own.
            let _ = waiting.recv_timeout(Duration::from_secs(60));
        });
        (url, wait)
    }

    #[test]
    fn a_server_that_falls_silent_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let patient = Duration::from_secs(3600);
        let short = Duration::from_millis(50);
        let in_the_body = (answer(b"cont", 7), Limits { connect: patient, answer: patient, stall: short });
        let in_the_head =
            (b"HTTP/1.1 200 OK\r\n".to_vec(), Limits { connect: patient, answer: short, stall: patient });
        for (said, limits) in [in_the_body, in_the_head] {
            let (url, _silent) = fall_silent(said);
            let cache = Cache { limits, ..Cache::new(dir.path().into(), false) };
            let error = cache.pinned(&url, &sha256_hex(b"content"), &Screen::quiet()).unwrap_err();
            assert!(matches!(error, FetchError::Network { .. }), "{error}");
            assert!(error.to_string().contains("timeout"), "{error}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_file_in_the_cache_is_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().into(), false);
        let url = serve(vec![answer(b"content", 7), answer(b"content", 7)]);
        let sha = sha256_hex(b"content");
        cache.pinned(&url, &sha, &Screen::quiet()).unwrap();
        let kept = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        fs::write(&kept, "cut").unwrap();
        assert_eq!(cache.pinned(&url, &sha, &Screen::quiet()).unwrap(), b"content");
        assert_eq!(fs::read(kept).unwrap(), b"content");
    }
}
