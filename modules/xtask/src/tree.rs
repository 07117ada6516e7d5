//! A directory tree as it should be, compared with what is there and put there in one step.
//! Knows nothing about collections.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// One entry of a tree; directories follow from the paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A copy of a file, with its mode.
    File {
        /// The original.
        source: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link with this text.
    Link(PathBuf),
}

/// Paths relative to the tree's root, with what belongs there.
#[derive(Debug, Default)]
pub struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// Puts an entry at a path, in place of what was there.
    pub fn put(&mut self, at: impl Into<PathBuf>, entry: Entry) {
        self.entries.insert(at.into(), entry);
    }

    /// Puts a file at a path, readable by all, executable if the original is.
    pub fn put_file(&mut self, at: impl Into<PathBuf>, source: &Path) -> Result<()> {
        let found = fs::metadata(source).with_context(|| format!("can't read {}", source.display()))?;
        let mode = if found.mode() & 0o100 != 0 { 0o755 } else { 0o644 };
        self.put(at, Entry::File { source: source.to_owned(), mode });
        Ok(())
    }

    /// Puts everything below a directory; caches of interpreters and editors are left out.
    pub fn put_directory(&mut self, at: &Path, source: &Path) -> Result<()> {
        for path in list(source)? {
            let relative = path.strip_prefix(source).expect("list returns paths below its argument");
            if is_cache(relative) {
                continue;
            }
            match path.is_symlink() {
                true => self.put(at.join(relative), Entry::Link(fs::read_link(&path)?)),
                false => self.put_file(at.join(relative), &path)?,
            }
        }
        Ok(())
    }

    /// The paths of the tree.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.entries.keys().map(PathBuf::as_path)
    }

    /// Whether a directory holds exactly this tree; what interpreters and linters left there is not looked at.
    pub fn is_at(&self, root: &Path) -> bool {
        let Ok(found) = list(root) else { return false };
        let found =
            found.iter().filter_map(|path| path.strip_prefix(root).ok()).filter(|path| !is_cache(path));
        found.eq(self.paths()) && self.entries.iter().all(|(at, entry)| entry.is_at(&root.join(at)))
    }

    /// Makes the tree beside `root`, then swaps it in: whoever looks sees the old one or the new one.
    pub fn place(&self, root: &Path) -> Result<()> {
        let aside = |suffix: &str| {
            let mut name = root.file_name().unwrap_or_default().to_owned();
            name.push(suffix);
            root.with_file_name(name)
        };
        let (new, old) = (aside(".new"), aside(".old"));
        remove(&new)?;
        for (at, entry) in &self.entries {
            entry.make(&new.join(at))?;
        }
        remove(&old)?;
        if root.exists() {
            fs::rename(root, &old).with_context(|| format!("can't move {} aside", root.display()))?;
        }
        fs::rename(&new, root).with_context(|| format!("can't put {} in place", root.display()))?;
        remove(&old)
    }
}

impl Entry {
    fn is_at(&self, path: &Path) -> bool {
        match self {
            Entry::Link(text) => fs::read_link(path).is_ok_and(|found| found == *text),
            Entry::File { source, mode } => {
                let Ok(found) = fs::symlink_metadata(path) else { return false };
                found.is_file()
                    && found.mode() & 0o777 == *mode
                    && fs::metadata(source).is_ok_and(|source| source.len() == found.len())
                    && matches!((fs::read(source), fs::read(path)), (Ok(a), Ok(b)) if a == b)
            }
        }
    }

    fn make(&self, path: &Path) -> Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
        }
        match self {
            Entry::Link(text) => {
                symlink(text, path).with_context(|| format!("can't link {}", path.display()))
            }
            Entry::File { source, mode } => {
                fs::copy(source, path).with_context(|| format!("can't copy {}", source.display()))?;
                Ok(fs::set_permissions(path, fs::Permissions::from_mode(*mode))?)
            }
        }
    }
}

/// All files and links below a directory, sorted.
pub fn list(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("can't list {}", dir.display()))? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => pending.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_cache(path: &Path) -> bool {
    let names = [".ansible", "__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache", ".gitkeep"];
    path.iter().any(|part| names.iter().any(|name| part == *name))
        || path.extension().is_some_and(|e| e == "pyc")
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("can't remove {}: {error}", path.display())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(dir: &Path) -> Tree {
        fs::create_dir_all(dir.join("in/__pycache__")).unwrap();
        fs::write(dir.join("in/a.txt"), "a").unwrap();
        fs::write(dir.join("in/__pycache__/a.pyc"), "cache").unwrap();
        let mut tree = Tree::default();
        tree.put_directory(Path::new("x"), &dir.join("in")).unwrap();
        tree.put("x/link", Entry::Link("a.txt".into()));
        tree
    }

    #[test]
    fn a_placed_tree_is_there_and_any_change_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = sample(dir.path());
        let root = dir.path().join("out");
        assert!(!tree.is_at(&root));
        tree.place(&root).unwrap();
        assert!(tree.is_at(&root));
        assert!(!root.join("x/__pycache__").exists());
        assert_eq!(fs::read_to_string(root.join("x/link")).unwrap(), "a");

        fs::write(root.join("x/a.txt"), "b").unwrap();
        assert!(!tree.is_at(&root), "changed content");
        tree.place(&root).unwrap();
        fs::write(root.join("x/extra"), "").unwrap();
        assert!(!tree.is_at(&root), "extra file");
        tree.place(&root).unwrap();
        assert!(tree.is_at(&root), "replaced as a whole");
        fs::set_permissions(root.join("x/a.txt"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!tree.is_at(&root), "changed mode");
    }
}
