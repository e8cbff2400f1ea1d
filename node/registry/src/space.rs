//! How much room the file system of a directory has.

/// Bytes that can still be written by us, and bytes in all; `None` if the system does not say.
pub(crate) fn of(directory: &str) -> Option<(u64, u64)> {
    let told = rustix::fs::statvfs(directory).ok()?;
    Some((told.f_bavail.saturating_mul(told.f_frsize), told.f_blocks.saturating_mul(told.f_frsize)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_directory_has_room_and_a_missing_one_says_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (free, all) = super::of(&dir.path().display().to_string()).expect("the system says");
        assert!(free <= all && all > 0);
        assert_eq!(super::of("/nowhere/at/all"), None);
    }
}
