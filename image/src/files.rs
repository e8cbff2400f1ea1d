//! Folders of the repository, read into a tree.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::tree::{Entry, Node, Tree, TreeError};

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file or folder.
    #[error("cannot read {}: {why}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// See [`TreeError`].
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Reads a folder with all that is below it. Of the modes only "may be executed" counts, as in git, and all is root's.
///
/// # Errors
/// [`FilesError`].
pub fn read_folder(root: &Path) -> Result<Tree, FilesError> {
    let mut tree = Tree::new();
    read(root, "", &mut tree)?;
    Ok(tree)
}

fn read(folder: &Path, above: &str, tree: &mut Tree) -> Result<(), FilesError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |why| FilesError::Read { path, why }
    };
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let path = entry.path();
        let name = format!("{above}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(failed(&path))?;
        if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(failed(&path))?;
            tree.link(&name, &target.to_string_lossy())?;
        } else if kind.is_dir() {
            tree.dir(&name, 0o755)?;
            read(&path, &format!("{name}/"), tree)?;
        } else {
            let content = fs::read(&path).map_err(failed(&path))?;
            let executable = entry.metadata().map_err(failed(&path))?.permissions().mode() & 0o111 != 0;
            let mode = if executable { 0o755 } else { 0o644 };
            tree.put(&name, Entry { node: Node::File(content), mode, uid: 0, gid: 0 })?;
        }
    }
    Ok(())
}
