//! Where Alpine's files come from: a mirror, or a folder that is laid out as one.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, FetchError, sha256_hex};
use crate::screen::Screen;

/// The mirror that is asked unless told otherwise. Plain HTTP, as for Debian: everything from it is checked against
/// Alpine's keys or the lock file, and this program speaks no TLS.
pub const DEFAULT_MIRROR: &str = "http://dl-cdn.alpinelinux.org/alpine";

/// Where files come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A mirror, by its URL.
    Url(String),
    /// A folder with the same paths below it as a mirror has, and no network.
    Folder(PathBuf),
}

/// Alpine's files.
pub struct Mirror<'a> {
    origin: &'a Origin,
    cache: &'a Cache,
    screen: &'a Screen,
}

impl<'a> Mirror<'a> {
    /// The files of `origin`; downloads are kept in `cache`.
    #[must_use]
    pub fn new(origin: &'a Origin, cache: &'a Cache, screen: &'a Screen) -> Self {
        Self { origin, cache, screen }
    }

    /// Tells the user something.
    pub fn note(&self, text: &str) {
        self.screen.note(text);
    }

    /// A file as it is now.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn now(&self, path: &str) -> Result<Vec<u8>, FetchError> {
        match self.origin {
            Origin::Url(url) => self.cache.fresh(&place(url, path), self.screen),
            Origin::Folder(folder) => read(folder, path),
        }
    }

    /// A file whose hash is known.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn pinned(&self, path: &str, sha256: &str) -> Result<Vec<u8>, FetchError> {
        let folder = match self.origin {
            Origin::Url(url) => return self.cache.pinned(&place(url, path), sha256, self.screen),
            Origin::Folder(folder) => folder,
        };
        let bytes = read(folder, path)?;
        let found = sha256_hex(&bytes);
        if found != sha256 {
            let url = folder.join(path).display().to_string();
            return Err(FetchError::WrongHash { url, found, expected: sha256.into() });
        }
        Ok(bytes)
    }

    /// Files at this path that [`Self::keep`] kept once.
    #[must_use]
    pub fn kept(&self, path: &str) -> Vec<Vec<u8>> {
        match self.origin {
            Origin::Url(url) => self.cache.kept(&place(url, path)),
            Origin::Folder(_) => Vec::new(),
        }
    }

    /// Keeps a file that was taken with [`Self::now`] and found good: [`Self::pinned`] finds it without the network.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn keep(&self, path: &str, bytes: &[u8]) -> Result<(), FetchError> {
        match self.origin {
            Origin::Url(url) => self.cache.adopt(&place(url, path), bytes),
            Origin::Folder(_) => Ok(()),
        }
    }
}

fn place(url: &str, path: &str) -> String {
    format!("{}/{path}", url.trim_end_matches('/'))
}

fn read(folder: &Path, path: &str) -> Result<Vec<u8>, FetchError> {
    let path = folder.join(path);
    std::fs::read(&path).map_err(|why| FetchError::Disk { what: "read", path, why })
}
