//! Signatures of what was built, in the format of OpenSSH (PROTOCOL.sshsig): the builder has an SSH key already, and
//! everybody has the program that checks them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the signature is for: one made for something else does not count as one of an image.
pub const NAMESPACE: &str = "trustnet-image";

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// `ssh-keygen` is missing.
    #[error("cannot run ssh-keygen: {0}; install it: apt-get install openssh-client")]
    Missing(io::Error),
    /// It refused.
    #[error("cannot sign with {}: {why}", .key.display())]
    Refused {
        /// The key.
        key: PathBuf,
        /// What it said.
        why: String,
    },
}

/// The signature of `content` by a private SSH key, or by one that the agent holds (then `key` is the public one).
///
/// # Errors
/// [`SignError`].
pub fn sign(key: &Path, content: &[u8]) -> Result<Vec<u8>, SignError> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(SignError::Missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may end before it has read all; its message says why.
        let _ = stdin.write_all(content);
    }
    let output = child.wait_with_output().map_err(SignError::Missing)?;
    if output.status.success() && output.stdout.starts_with(b"-----BEGIN SSH SIGNATURE-----") {
        return Ok(output.stdout);
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(SignError::Refused { key: key.to_owned(), why })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::vm::make_key;

    fn verifies(dir: &Path, public: &str, content: &[u8], signature: &[u8]) -> bool {
        fs::write(dir.join("signers"), format!("builder {public}")).unwrap();
        fs::write(dir.join("sig"), signature).unwrap();
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", "builder", "-n", NAMESPACE, "-f"])
            .arg(dir.join("signers"))
            .arg("-s")
            .arg(dir.join("sig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(content).unwrap();
        child.wait().unwrap().success()
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let (key, other) = (dir.path().join("key"), dir.path().join("other"));
        let (public, stranger) = (make_key(&key).unwrap(), make_key(&other).unwrap());
        let signature = sign(&key, b"abc  trustnet.img\n").unwrap();
        assert!(verifies(dir.path(), &public, b"abc  trustnet.img\n", &signature));
        assert!(!verifies(dir.path(), &public, b"abd  trustnet.img\n", &signature));
        assert!(!verifies(dir.path(), &stranger, b"abc  trustnet.img\n", &signature));
    }

    #[test]
    fn a_key_that_is_none_is_named() {
        let error = sign(Path::new("/no/such/key"), b"x").unwrap_err();
        assert!(error.to_string().contains("/no/such/key"), "{error}");
    }
}
