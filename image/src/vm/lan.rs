//! The network that machines of one folder share: a multicast group on the loopback interface, so that each can be started
//! alone and in any order, without root. Another folder has another group: machines of two users or programs would
//! otherwise have the same hardware and IPv6 addresses on one network.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::machine::Machine;

/// The network of machines that were made before folders had their own.
pub(super) const FORMER: &str = "230.84.82.78:26600";
/// UDP port of every such network. QEMU listens on the group's address, so the group alone tells them apart.
const PORT: u16 = 26_600;

/// The network of the machines in `folder`, an absolute path: that of those which are there, as the folder may have been
/// moved since they were made; else one of the 2^24 groups of 239.0.0.0/8, which are for use within a site (RFC 2365).
#[must_use]
pub fn lan(folder: &Path, there: &[Machine]) -> String {
    if let Some(machine) = there.first() {
        return machine.lan.clone();
    }
    let digest = Sha256::digest(folder.as_os_str().as_bytes());
    format!("239.{}.{}.{}:{PORT}", digest[0], digest[1], digest[2])
}

/// What machines had that do not say it.
pub(super) fn former() -> String {
    FORMER.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::machine::tests::machine;

    #[test]
    fn a_folder_has_a_network_of_its_own_and_its_machines_share_it() {
        let one = lan(Path::new("/home/ada/vms"), &[]);
        assert_eq!(one, "239.7.63.224:26600");
        assert_ne!(one, lan(Path::new("/home/bob/vms"), &[]));
        let there = Machine { lan: one.clone(), ..machine() };
        assert_eq!(lan(Path::new("/data/vms"), &[there]), one);
        assert!(!FORMER.starts_with("239."));
    }
}
