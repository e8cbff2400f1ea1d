//! The lock file of the Alpine base: which files of a mirror, with which hash.
//!
//! One line a file: `sha256 bytes path`. It is written after every file in it was checked against Alpine's keys, and
//! belongs into the repository: with it the same sources give the same image, and a mirror is believed nothing.

/// A file of a mirror, pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePin {
    /// Where it is on a mirror.
    pub path: String,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// A line that is no pin.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "line {line} of image/alpine.lock is malformed: {why}; make it again: trustnet-image lock --base alpine"
)]
pub struct AlpineLockError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

const HEAD: &str = "# Files of the Alpine base. Made by `trustnet-image lock --base alpine`; do not edit.\n\
    # sha256 bytes path\n";

/// Reads a lock file.
///
/// # Errors
/// [`AlpineLockError`].
pub fn parse(text: &str) -> Result<Vec<FilePin>, AlpineLockError> {
    let lines = (1..).zip(text.lines()).filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    lines.map(|(line, text)| pin(text).map_err(|why| AlpineLockError { line, why })).collect()
}

fn pin(text: &str) -> Result<FilePin, &'static str> {
    let fields: Vec<&str> = text.split(' ').collect();
    let [sha256, bytes, path] = fields[..] else { return Err("it has not three fields") };
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("the hash is not 64 hexadecimal digits");
    }
    if path.starts_with('/') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("the path leaves the mirror");
    }
    let bytes = bytes.parse().map_err(|_| "the size is no number")?;
    Ok(FilePin { path: path.to_owned(), sha256: sha256.to_owned(), bytes })
}

/// Writes a lock file.
#[must_use]
pub fn format(pins: &[FilePin]) -> String {
    pins.iter().fold(HEAD.to_owned(), |text, FilePin { path, sha256, bytes }| {
        text + &format!("{sha256} {bytes} {path}\n")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_reads_back_as_written_and_a_malformed_line_is_named() {
        let pin =
            FilePin { path: "v3.22/main/aarch64/a-1-r0.apk".into(), sha256: "ab".repeat(32), bytes: 12 };
        assert_eq!(parse(&format(std::slice::from_ref(&pin))), Ok(vec![pin]));
        let sha = "ab".repeat(32);
        for (text, why) in [
            ("x".to_owned(), "three fields"),
            (format!("{} 1 a", &sha[1..]), "64"),
            (format!("{sha} x a"), "no number"),
            (format!("{sha} 1 a/../../b"), "leaves"),
            (format!("{sha} 1 /etc/passwd"), "leaves"),
        ] {
            let error = parse(&format!("# head\n{text}\n")).unwrap_err();
            assert_eq!(error.line, 2);
            assert!(error.why.contains(why), "{error}");
        }
    }
}
