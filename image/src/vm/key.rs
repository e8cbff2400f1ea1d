//! SSH keys for machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::VmError;
use super::qemu::is_installed;

/// Whether keys can be made here.
///
/// # Errors
/// [`VmError::Missing`] with the line that installs what is needed.
pub fn check_keygen() -> Result<(), VmError> {
    if is_installed("ssh-keygen") {
        return Ok(());
    }
    Err(VmError::Missing { what: "ssh-keygen", install: "apt-get install openssh-client" })
}

/// Makes an SSH key for a machine, where the user has none.
///
/// # Errors
/// [`VmError`].
pub fn make_key(path: &Path) -> Result<String, VmError> {
    check_keygen()?;
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "trustnet-vm", "-f"])
        .arg(path)
        .output();
    let output = output.map_err(|why| VmError::Disk { what: "make", path: path.to_owned(), why })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(VmError::Failed { program: "ssh-keygen", why });
    }
    let public = PathBuf::from(format!("{}.pub", path.display()));
    fs::read_to_string(&public).map_err(|why| VmError::Disk { what: "read", path: public, why })
}
