//! The tree of files that pmxcfs keeps in memory: entries by inode, one version that every change raises. Pure
//! data with pmxcfs's own rules (sizes, virtual guests, locks); knows no disk, no FUSE and no cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use nix::errno::Errno;

/// Largest file, as measured: a write beyond it is EFBIG.
pub const MAX_FILE: usize = 1024 * 1024;
/// Largest sum of all files.
const MAX_TOTAL: usize = 128 * 1024 * 1024;
const MAX_NAME: usize = 256;
/// Age after which a lock directory counts as abandoned.
const LOCK_LIFETIME: u32 = 120;
pub const ROOT: u64 = 0;

/// A file or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub inode: u64,
    pub parent: u64,
    pub name: String,
    pub version: u64,
    pub writer: u32,
    pub mtime: u32,
    /// None for a directory.
    pub data: Option<Arc<Vec<u8>>>,
}

impl Entry {
    pub fn is_directory(&self) -> bool {
        self.data.is_none()
    }
}

/// Who changes the tree, and when.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub writer: u32,
    pub time: u32,
}

/// All entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<u64, Entry>,
    children: BTreeMap<(u64, String), u64>,
    pub version: u64,
}

impl Tree {
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub fn entry(&self, inode: u64) -> Option<&Entry> {
        self.entries.get(&inode)
    }

    pub fn child(&self, parent: u64, name: &str) -> Option<&Entry> {
        self.children.get(&(parent, name.to_owned())).and_then(|inode| self.entries.get(inode))
    }

    pub fn children(&self, parent: u64) -> impl Iterator<Item = &Entry> {
        self.children
            .range((parent, String::new())..(parent + 1, String::new()))
            .filter_map(|(_, inode)| self.entries.get(inode))
    }

    pub fn lookup(&self, path: &str) -> Option<&Entry> {
        let mut found = None;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let parent = found.map_or(ROOT, |entry: &Entry| entry.inode);
            found = Some(self.child(parent, name)?);
        }
        found
    }

    pub fn content(&self, path: &str) -> Option<&[u8]> {
        self.lookup(path)?.data.as_ref().map(|data| data.as_slice())
    }

    /// Path below the root, without a leading slash.
    pub fn path(&self, inode: u64) -> String {
        let mut names = Vec::new();
        let mut at = inode;
        while let Some(entry) = self.entries.get(&at) {
            names.push(entry.name.as_str());
            at = entry.parent;
        }
        names.reverse();
        names.join("/")
    }

    /// Inserts an entry as it was stored.
    pub fn restore(&mut self, entry: Entry) {
        self.children.insert((entry.parent, entry.name.clone()), entry.inode);
        self.entries.insert(entry.inode, entry);
    }

    fn insert(
        &mut self,
        parent: u64,
        name: &str,
        data: Option<Arc<Vec<u8>>>,
        stamp: Stamp,
    ) -> Result<u64, Errno> {
        if parent != ROOT && !self.entries.get(&parent).is_some_and(Entry::is_directory) {
            return Err(Errno::ENOENT);
        }
        if name.len() > MAX_NAME {
            return Err(Errno::ENAMETOOLONG);
        }
        if self.child(parent, name).is_some() {
            return Err(Errno::EEXIST);
        }
        self.check_guest(parent, name, None)?;
        self.version += 1;
        let inode = self.version;
        self.restore(Entry {
            inode,
            parent,
            name: name.to_owned(),
            version: self.version,
            writer: stamp.writer,
            mtime: stamp.time,
            data,
        });
        self.touch_parent(parent, stamp);
        Ok(inode)
    }

    fn touch_parent(&mut self, parent: u64, stamp: Stamp) {
        if let Some(directory) = self.entries.get_mut(&parent) {
            directory.mtime = stamp.time;
        }
    }

    /// A guest's number is unique in the cluster: a second config file of the same number is refused.
    fn check_guest(&self, parent: u64, name: &str, moved: Option<u64>) -> Result<(), Errno> {
        let Some(id) = guest_id(&self.path(parent), name) else { return Ok(()) };
        let taken = self.guests().any(|guest| guest.id == id && Some(guest.inode) != moved);
        if taken { Err(Errno::EEXIST) } else { Ok(()) }
    }

    pub fn create(&mut self, parent: u64, name: &str, stamp: Stamp) -> Result<u64, Errno> {
        self.insert(parent, name, Some(Arc::default()), stamp)
    }

    pub fn mkdir(&mut self, parent: u64, name: &str, stamp: Stamp) -> Result<u64, Errno> {
        self.insert(parent, name, None, stamp)
    }

    pub fn write(&mut self, inode: u64, offset: usize, bytes: &[u8], stamp: Stamp) -> Result<(), Errno> {
        let end = offset + bytes.len();
        self.change(inode, stamp, |data| {
            if end > MAX_FILE {
                return Err(Errno::EFBIG);
            }
            if data.len() < end {
                data.resize(end, 0);
            }
            data[offset..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    pub fn truncate(&mut self, inode: u64, size: usize, stamp: Stamp) -> Result<(), Errno> {
        self.change(inode, stamp, |data| {
            if size > MAX_FILE {
                return Err(Errno::EFBIG);
            }
            data.resize(size, 0);
            Ok(())
        })
    }

    fn change(
        &mut self,
        inode: u64,
        stamp: Stamp,
        edit: impl FnOnce(&mut Vec<u8>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let total: usize =
            self.entries.values().filter_map(|entry| entry.data.as_ref()).map(|d| d.len()).sum();
        if total > MAX_TOTAL {
            return Err(Errno::ENOSPC);
        }
        let entry = self.entries.get_mut(&inode).ok_or(Errno::ENOENT)?;
        let data = entry.data.as_mut().ok_or(Errno::EISDIR)?;
        edit(Arc::make_mut(data))?;
        self.version += 1;
        entry.version = self.version;
        entry.writer = stamp.writer;
        entry.mtime = stamp.time;
        Ok(())
    }

    /// Sets the time of an entry. On a lock directory 0 asks for its removal, granted once it is stale.
    pub fn set_mtime(&mut self, inode: u64, mtime: u32, stamp: Stamp) -> Result<(), Errno> {
        let is_lock = self.path(inode).starts_with("priv/lock/");
        let entry = self.entries.get_mut(&inode).ok_or(Errno::ENOENT)?;
        if is_lock && entry.is_directory() && mtime == 0 {
            if stamp.time.saturating_sub(entry.mtime) <= LOCK_LIFETIME {
                return Err(Errno::EACCES);
            }
            return self.remove(inode, stamp);
        }
        self.version += 1;
        entry.version = self.version;
        entry.mtime = mtime;
        entry.writer = stamp.writer;
        Ok(())
    }

    pub fn unlink(&mut self, parent: u64, name: &str, stamp: Stamp) -> Result<(), Errno> {
        let entry = self.child(parent, name).ok_or(Errno::ENOENT)?;
        if entry.is_directory() {
            return Err(Errno::EISDIR);
        }
        self.remove(entry.inode, stamp)
    }

    pub fn rmdir(&mut self, parent: u64, name: &str, stamp: Stamp) -> Result<(), Errno> {
        let entry = self.child(parent, name).ok_or(Errno::ENOENT)?;
        if !entry.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        self.remove(entry.inode, stamp)
    }

    fn remove(&mut self, inode: u64, stamp: Stamp) -> Result<(), Errno> {
        if self.children(inode).next().is_some() {
            return Err(Errno::ENOTEMPTY);
        }
        let entry = self.entries.remove(&inode).ok_or(Errno::ENOENT)?;
        self.children.remove(&(entry.parent, entry.name));
        self.version += 1;
        self.touch_parent(entry.parent, stamp);
        Ok(())
    }

    pub fn rename(&mut self, from: (u64, &str), to: (u64, &str), stamp: Stamp) -> Result<(), Errno> {
        let source = self.child(from.0, from.1).ok_or(Errno::ENOENT)?.clone();
        if source.is_directory() && self.children(source.inode).next().is_some() {
            return Err(Errno::ENOTEMPTY);
        }
        if to.1.len() > MAX_NAME {
            return Err(Errno::ENAMETOOLONG);
        }
        let target = self.child(to.0, to.1).cloned();
        match &target {
            Some(target) if target.inode == source.inode => return Ok(()),
            Some(target) if target.is_directory() || source.is_directory() => return Err(Errno::EEXIST),
            _ => {}
        }
        let replaced = target.as_ref().map(|target| target.inode);
        if replaced.is_none() {
            self.check_guest(to.0, to.1, Some(source.inode))?;
        }
        if let Some(inode) = replaced {
            self.remove(inode, stamp)?;
        }
        self.children.remove(&(source.parent, source.name.clone()));
        self.entries.remove(&source.inode);
        self.version += 1;
        self.touch_parent(from.0, stamp);
        self.touch_parent(to.0, stamp);
        self.restore(Entry {
            parent: to.0,
            name: to.1.to_owned(),
            version: self.version,
            writer: stamp.writer,
            mtime: stamp.time,
            ..source
        });
        Ok(())
    }

    /// Every virtual guest: a config file under nodes/*/qemu-server or nodes/*/lxc.
    pub fn guests(&self) -> impl Iterator<Item = Guest> + '_ {
        self.entries.values().filter(|entry| !entry.is_directory()).filter_map(|entry| {
            let directory = self.path(entry.parent);
            let id = guest_id(&directory, &entry.name)?;
            let mut parts = directory.split('/').skip(1);
            let node = parts.next()?.to_owned();
            let kind = if parts.next()? == "lxc" { "lxc" } else { "qemu" };
            Some(Guest { id, node, kind, inode: entry.inode, version: entry.version })
        })
    }
}

/// A virtual guest of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    pub id: u32,
    pub node: String,
    pub kind: &'static str,
    pub inode: u64,
    pub version: u64,
}

fn guest_id(directory: &str, name: &str) -> Option<u32> {
    let mut parts = directory.split('/');
    let is_guest_directory = parts.next() == Some("nodes")
        && parts.next().is_some()
        && matches!(parts.next(), Some("qemu-server" | "lxc"))
        && parts.next().is_none();
    if !is_guest_directory {
        return None;
    }
    name.strip_suffix(".conf")?.parse().ok()
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
