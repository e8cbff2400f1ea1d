//! The folder of a host's machines. A machine is made in `.NAME.part` and gets its name when it is whole: what an
//! interrupted `create` leaves is never taken for a machine, and the next one removes it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::machine::{FILE, Machine};
use super::process::{self, State};
use super::{VmError, check_name};

/// File whose lock is held by whoever makes machines.
const LOCK: &str = ".lock";
/// What a machine's folder holds, besides files that have its name.
const FILES: [&str; 7] = [FILE, "disk.raw", "disk.qcow2", "console.log", "known_hosts", "key", "key.pub"];

/// The right to make machines in a folder, until it is dropped: numbers, ports and `.part` folders are one create's.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    /// The system releases it when this program ends, however it ends. QEMU does not inherit it.
    _lock: File,
}

impl Place {
    /// Takes it, as soon as nobody else has it; calls `waiting` if somebody does. What interrupted creates left is
    /// removed.
    ///
    /// # Errors
    /// [`VmError::Disk`].
    pub fn take(folder: &Path, waiting: &dyn Fn()) -> Result<Self, VmError> {
        fs::create_dir_all(folder).map_err(disk("make", folder))?;
        let path = folder.join(LOCK);
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = opened.map_err(disk("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                lock.lock().map_err(disk("lock", &path))?;
            }
            Err(TryLockError::Error(why)) => return Err(disk("lock", &path)(why)),
        }
        let place = Self { folder: folder.to_owned(), _lock: lock };
        place.sweep()?;
        Ok(place)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what interrupted creates left: whoever holds the lock is the only one who has such folders.
    fn sweep(&self) -> Result<(), VmError> {
        let entries = fs::read_dir(&self.folder).map_err(disk("read", &self.folder))?;
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_part(path)) {
            fs::remove_dir_all(&path).map_err(disk("remove", &path))?;
        }
        Ok(())
    }

    /// Whether a name is good, and nothing has it yet.
    ///
    /// # Errors
    /// [`VmError::Name`], [`VmError::Taken`].
    pub fn check_free(&self, name: &str) -> Result<(), VmError> {
        check_name(name)?;
        // A link that leads nowhere is something, too.
        let taken = self.folder.join(name).symlink_metadata().is_ok();
        if taken { Err(VmError::Taken(name.to_owned())) } else { Ok(()) }
    }

    /// An empty folder, its owner's only, in which a machine is made.
    ///
    /// # Errors
    /// [`VmError::Disk`].
    pub fn begin(&self, name: &str) -> Result<PathBuf, VmError> {
        let path = part(&self.folder, name);
        DirBuilder::new().mode(0o700).create(&path).map_err(disk("make", &path))?;
        Ok(path)
    }

    /// Gives machines their names: all of them, or none is left.
    ///
    /// # Errors
    /// [`VmError::Disk`].
    pub fn publish(&self, names: &[String]) -> Result<(), VmError> {
        for (index, name) in names.iter().enumerate() {
            let path = self.folder.join(name);
            if let Err(why) = fs::rename(part(&self.folder, name), &path) {
                for name in &names[..index] {
                    // The first error is what matters.
                    let _ = fs::remove_dir_all(self.folder.join(name));
                }
                self.discard(names);
                return Err(disk("make", &path)(why));
            }
        }
        Ok(())
    }

    /// Removes what was begun.
    pub fn discard(&self, names: &[String]) {
        for name in names {
            // It may not have been begun; and why it was given up is what matters.
            let _ = fs::remove_dir_all(part(&self.folder, name));
        }
    }
}

/// Removes a machine with its disk and its keys, or what is left of one.
///
/// # Errors
/// [`VmError::Runs`], [`VmError::Foreign`], [`VmError::Disk`], and those of [`Machine::load`].
pub fn delete(folder: &Path, name: &str) -> Result<(), VmError> {
    let path = folder.join(name);
    match Machine::load(folder, name) {
        Ok(_) => {}
        // An older create, or a delete, was interrupted.
        Err(VmError::Unknown { .. }) if path.symlink_metadata().is_ok() => {
            if let Some(file) = foreign(&path, name).map_err(disk("read", &path))? {
                return Err(VmError::Foreign { path, file });
            }
        }
        Err(error) => return Err(error),
    }
    if process::state(&path, name) != State::Stopped {
        return Err(VmError::Runs(name.to_owned()));
    }
    fs::remove_dir_all(&path).map_err(disk("remove", &path))
}

/// Something in a folder that no machine `name` of ours has; the folder itself, if it is none.
fn foreign(path: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    if !path.symlink_metadata()?.is_dir() {
        return Ok(Some(path.to_owned()));
    }
    let own = [format!("start-{name}.sh"), format!("{name}.pid")];
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let ours =
            |file: &OsStr| FILES.iter().any(|own| file == *own) || own.iter().any(|own| file == own.as_str());
        if entry.file_type()?.is_dir() || !ours(&entry.file_name()) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Where the machine of a name is made.
fn part(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.part"))
}

fn is_part(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    let name = name.and_then(|name| name.strip_prefix('.')?.strip_suffix(".part"));
    name.is_some_and(|name| check_name(name).is_ok()) && path.symlink_metadata().is_ok_and(|it| it.is_dir())
}

/// The error of doing `what` to a file.
pub(super) fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VmError {
    let path = path.to_owned();
    move |why| VmError::Disk { what, path, why }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::vm::machine::tests::machine;

    fn take(folder: &Path) -> Place {
        Place::take(folder, &|| panic!("nobody else has it")).unwrap()
    }

    #[test]
    fn what_an_interrupted_create_left_is_gone_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let part = take(folder.path()).begin("kitchen").unwrap();
        fs::write(part.join("disk.raw"), "half").unwrap();
        // Not ours, whatever it is.
        fs::create_dir(folder.path().join(".My Photos.part")).unwrap();
        fs::write(folder.path().join(".cellar.part"), "a file").unwrap();

        assert_eq!(Machine::all(folder.path()), []);
        let place = take(folder.path());
        assert!(!part.exists());
        let part = place.begin("kitchen").unwrap();
        machine().save(&part).unwrap();
        place.publish(&["kitchen".into()]).unwrap();
        assert_eq!(Machine::all(folder.path()), [machine()]);
        assert!(!part.exists());
        assert!(
            folder.path().join(".My Photos.part").exists() && folder.path().join(".cellar.part").exists()
        );
    }

    #[test]
    fn a_name_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = take(folder.path());
        place.check_free("cellar").unwrap();
        assert!(matches!(place.check_free(&format!("{}-2", "a".repeat(31))), Err(VmError::Name(_))));
        fs::create_dir(folder.path().join("cellar")).unwrap();
        assert!(matches!(place.check_free("cellar"), Err(VmError::Taken(name)) if name == "cellar"));
    }

    #[test]
    fn a_second_create_waits_until_the_first_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let first = Cell::new(Some(take(folder.path())));
        let part = part(folder.path(), "kitchen");
        fs::create_dir(&part).unwrap();
        let second = Place::take(folder.path(), &|| {
            assert!(part.exists());
            first.take();
        });
        second.unwrap();
        assert!(first.take().is_none() && !part.exists());
    }

    #[test]
    fn machines_get_their_names_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = take(folder.path());
        let names = ["home-1".to_owned(), "home-2".to_owned(), "home-3".to_owned()];
        for name in &names {
            place.begin(name).unwrap();
        }
        // Somebody else's, since the check.
        fs::create_dir(folder.path().join("home-2")).unwrap();
        fs::write(folder.path().join("home-2/photo"), "mine").unwrap();
        assert!(matches!(place.publish(&names), Err(VmError::Disk { .. })));
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [LOCK, "home-2"]);
        assert!(folder.path().join("home-2/photo").exists());
    }

    #[test]
    fn a_machine_goes_with_its_keys_and_so_does_half_a_machine() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("kitchen");
        for whole in [true, false] {
            fs::create_dir(&dir).unwrap();
            for file in ["disk.raw", "key", "key.pub", "start-kitchen.sh"] {
                fs::write(dir.join(file), "").unwrap();
            }
            if whole {
                machine().save(&dir).unwrap();
            }
            delete(folder.path(), "kitchen").unwrap();
            assert!(!dir.exists());
        }
        assert!(matches!(delete(folder.path(), "kitchen"), Err(VmError::Unknown { .. })));
    }

    #[test]
    fn what_is_no_machine_of_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("kitchen");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("disk.raw"), "").unwrap();
        fs::write(dir.join("thesis.tex"), "").unwrap();
        let error = delete(folder.path(), "kitchen").unwrap_err();
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        // Nor a copy of another machine, nor the original through it.
        fs::create_dir(folder.path().join("cellar")).unwrap();
        machine().save(&folder.path().join("cellar")).unwrap();
        assert!(matches!(delete(folder.path(), "cellar"), Err(VmError::Copy { .. })));
        assert!(dir.exists() && folder.path().join("cellar").exists());
        fs::write(folder.path().join("attic"), "").unwrap();
        assert!(matches!(
            delete(folder.path(), "attic"),
            Err(VmError::Disk { .. } | VmError::Foreign { .. })
        ));
    }
}
