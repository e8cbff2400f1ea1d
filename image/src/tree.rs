//! A file tree in memory, in the order in which it is written: the same content always gives the same archive.

use std::collections::BTreeMap;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Dir,
    /// A file with its content.
    File(Vec<u8>),
    /// A symbolic link and where it points.
    Link(String),
}

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Why something does not fit into a tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TreeError {
    /// An absolute path, or one that climbs out.
    #[error("the path {0:?} leaves the tree")]
    Escapes(String),
    /// A file is expected there and is not.
    #[error("{0} is not in the tree")]
    Missing(String),
}

/// Folders that are links into `usr` on every base, so that a package may name either.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];

/// A tree. Paths have no leading slash and no `.` or `..`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
    merged: bool,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty tree in which `bin`, `sbin` and `lib` lie in `usr`.
    #[must_use]
    pub fn merged_usr() -> Self {
        let mut tree = Self { merged: true, ..Self::default() };
        for name in MERGED {
            let link = Entry { node: Node::Link(format!("usr/{name}")), mode: 0o777, uid: 0, gid: 0 };
            tree.entries.insert(name.into(), link);
            tree.put_dirs(&format!("usr/{name}/x"));
        }
        tree
    }

    fn place(&self, path: &str) -> Result<String, TreeError> {
        let path = path.trim_start_matches("./").trim_end_matches('/');
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(TreeError::Escapes(path.to_owned()));
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let path = parts.join("/");
        let merged = self.merged && parts.len() > 1 && MERGED.contains(&parts[0]);
        Ok(if merged { format!("usr/{path}") } else { path })
    }

    fn put_dirs(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            let dir = Entry { node: Node::Dir, mode: 0o755, uid: 0, gid: 0 };
            self.entries.entry(path[..at].to_owned()).or_insert(dir);
        }
    }

    /// Puts an entry, replacing what is there, and the folders above it.
    ///
    /// # Errors
    /// [`TreeError::Escapes`].
    pub fn put(&mut self, path: &str, entry: Entry) -> Result<(), TreeError> {
        let path = self.place(path)?;
        if path.is_empty() || (self.merged && MERGED.contains(&path.as_str())) {
            return Ok(());
        }
        self.put_dirs(&path);
        self.entries.insert(path, entry);
        Ok(())
    }

    /// Puts a file of root's.
    ///
    /// # Errors
    /// [`TreeError::Escapes`].
    pub fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Result<(), TreeError> {
        self.put(path, Entry { node: Node::File(content.into()), mode, uid: 0, gid: 0 })
    }

    /// Puts a symbolic link.
    ///
    /// # Errors
    /// [`TreeError::Escapes`].
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), TreeError> {
        self.put(path, Entry { node: Node::Link(target.into()), mode: 0o777, uid: 0, gid: 0 })
    }

    /// Puts an empty folder.
    ///
    /// # Errors
    /// [`TreeError::Escapes`].
    pub fn dir(&mut self, path: &str, mode: u32) -> Result<(), TreeError> {
        self.put(path, Entry { node: Node::Dir, mode, uid: 0, gid: 0 })
    }

    /// Removes an entry and what is below it.
    pub fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.entries.retain(|known, _| known != path && !known.starts_with(&below));
    }

    /// An entry.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(&self.place(path).ok()?)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// [`TreeError::Missing`].
    pub fn read(&self, path: &str) -> Result<&[u8], TreeError> {
        match self.get(path).map(|entry| &entry.node) {
            Some(Node::File(content)) => Ok(content),
            _ => Err(TreeError::Missing(path.to_owned())),
        }
    }

    /// All entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// All entries, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Entry)> {
        self.entries.iter_mut().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Puts all of another tree over this one.
    ///
    /// # Errors
    /// [`TreeError::Escapes`].
    pub fn lay_over(&mut self, other: Self) -> Result<(), TreeError> {
        for (path, entry) in other.entries {
            let known_dir = entry.node == Node::Dir && self.get(&path).is_some();
            if !known_dir {
                self.put(&path, entry)?;
            }
        }
        Ok(())
    }

    /// Bytes of all files.
    pub fn content_bytes(&self) -> u64 {
        let len =
            |entry: &Entry| if let Node::File(content) = &entry.node { content.len() as u64 } else { 0 };
        self.entries.values().map(len).sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_tree_takes_both_names_of_a_folder() {
        let mut tree = Tree::merged_usr();
        tree.file("./bin/sh", 0o755, "x").unwrap();
        tree.dir("bin/", 0o755).unwrap();
        assert_eq!(tree.read("usr/bin/sh").unwrap(), b"x");
        assert_eq!(tree.read("bin/sh").unwrap(), b"x");
        assert_eq!(tree.get("bin").unwrap().node, Node::Link("usr/bin".into()));
    }

    #[test]
    fn a_path_that_climbs_out_is_refused() {
        let mut tree = Tree::new();
        for path in ["/etc/passwd", "../x", "a/../../x"] {
            assert_eq!(tree.file(path, 0o644, ""), Err(TreeError::Escapes(path.into())), "{path}");
        }
        assert_eq!(tree.iter().count(), 0);
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_removal_takes_all_below() {
        let mut tree = Tree::new();
        tree.file("a/b/c", 0o644, "1").unwrap();
        tree.file("a/bc", 0o644, "2").unwrap();
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c", "a/bc"]);
        tree.remove("a/b");
        assert!(tree.get("a/b/c").is_none() && tree.get("a/bc").is_some());
    }

    #[test]
    fn laying_over_replaces_files_and_keeps_folders() {
        let mut below = Tree::new();
        below.dir("etc", 0o700).unwrap();
        below.file("etc/a", 0o600, "old").unwrap();
        let mut above = Tree::new();
        above.file("etc/a", 0o644, "new").unwrap();
        below.lay_over(above).unwrap();
        assert_eq!(below.get("etc").unwrap().mode, 0o700);
        assert_eq!(below.read("etc/a").unwrap(), b"new");
    }
}
