//! The lock file of the Debian base: which packages, in which version, with which hash.
//!
//! One line a package: `component name version sha256 bytes path`. Lines that begin with `#` say what it is.

/// A package, pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// `main` or `non-free-firmware`.
    pub component: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the package, in hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Where it is on a mirror.
    pub path: String,
}

/// A line that is no pin.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of the lock file is malformed: {why}; make it again: trustnet-image lock --base debian")]
pub struct LockError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

const HEAD: &str = "# Packages of the Debian base. Made by `trustnet-image lock --base debian`; do not edit.\n\
    # component name version sha256 bytes path\n";

/// Reads a lock file.
///
/// # Errors
/// [`LockError`].
pub fn parse(text: &str) -> Result<Vec<Pin>, LockError> {
    let lines = (1..).zip(text.lines()).filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    lines.map(|(line, text)| pin(text).map_err(|why| LockError { line, why })).collect()
}

fn pin(text: &str) -> Result<Pin, &'static str> {
    let fields: Vec<&str> = text.split(' ').collect();
    let [component, name, version, sha256, bytes, path] = fields[..] else {
        return Err("it has not six fields");
    };
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("the hash is not 64 hexadecimal digits");
    }
    if !path.starts_with("pool/") || path.contains("..") {
        return Err("the path is not below pool/");
    }
    let bytes = bytes.parse().map_err(|_| "the size is no number")?;
    let [component, name, version, sha256, path] =
        [component, name, version, sha256, path].map(str::to_owned);
    Ok(Pin { component, name, version, sha256, bytes, path })
}

/// Writes a lock file.
#[must_use]
pub fn format(pins: &[Pin]) -> String {
    pins.iter().fold(HEAD.to_owned(), |text, pin| {
        let Pin { component, name, version, sha256, bytes, path } = pin;
        text + &format!("{component} {name} {version} {sha256} {bytes} {path}\n")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_reads_back_as_written() {
        let pin = Pin {
            component: "main".into(),
            name: "libc6".into(),
            version: "2.41-12".into(),
            sha256: "ab".repeat(32),
            bytes: 12,
            path: "pool/main/g/glibc/libc6.deb".into(),
        };
        assert_eq!(parse(&format(&[pin.clone(), pin.clone()])), Ok(vec![pin.clone(), pin]));
    }

    #[test]
    fn a_malformed_line_is_named() {
        let sha = "ab".repeat(32);
        for (text, why) in [
            ("main libc6 1".to_owned(), "six fields"),
            (format!("main libc6 1 {sha} x pool/a"), "no number"),
            (format!("main libc6 1 {} 1 pool/a", &sha[2..]), "64"),
            (format!("main libc6 1 {sha} 1 pool/../../a"), "below pool/"),
            (format!("main libc6 1 {sha} 1 /etc/passwd"), "below pool/"),
        ] {
            let error = parse(&format!("# head\n{text}\n")).unwrap_err();
            assert_eq!(error.line, 2);
            assert!(error.why.contains(why), "{error}");
        }
    }
}
