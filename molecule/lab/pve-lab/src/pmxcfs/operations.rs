//! What the file system does, inode by inode: modes, owners and refusals as measured (golden 40 and 15). Inode 1
//! is the root, the tree's inodes follow, virtual files and links have numbers far above. Knows no FUSE request.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, INodeNo, TimeOrNow};

use super::cfs::{Cfs, State, now};
use super::tree::{Entry, ROOT};
use super::virtual_files::{self, Counters};

const WWW_DATA: u32 = 33;
const VIRTUAL: u64 = 1 << 60;

/// What an inode number stands for.
pub(super) enum Object {
    Root,
    Tree(u64),
    File(&'static str, u16),
    Link(&'static str),
}

/// The file system that the kernel talks to.
pub struct CfsFuse {
    pub(super) cfs: Arc<Cfs>,
    counters: Mutex<Counters>,
}

fn virtual_names() -> impl Iterator<Item = (u64, Object, &'static str)> {
    let files = virtual_files::FILES.iter().map(|&(name, mode)| (Object::File(name, mode), name));
    let links = virtual_files::link_names().map(|name| (Object::Link(name), name));
    files.chain(links).enumerate().map(|(index, (object, name))| (VIRTUAL + index as u64, object, name))
}

pub(super) fn object(ino: INodeNo) -> Option<Object> {
    match ino.0 {
        1 => Some(Object::Root),
        number if number >= VIRTUAL => {
            virtual_names().find(|(inode, ..)| *inode == number).map(|(_, object, _)| object)
        }
        number => Some(Object::Tree(number - 1)),
    }
}

fn tree_inode(ino: INodeNo) -> Result<u64, Errno> {
    match object(ino) {
        Some(Object::Root) => Ok(ROOT),
        Some(Object::Tree(inode)) => Ok(inode),
        _ => Err(Errno::ENOENT),
    }
}

fn is_private(path: &str) -> bool {
    let mut parts = path.split('/');
    match parts.next() {
        Some("priv") => true,
        Some("nodes") => parts.nth(1) == Some("priv"),
        _ => false,
    }
}

pub(super) fn errno(from: nix::errno::Errno) -> Errno {
    Errno::from_i32(from as i32)
}

impl CfsFuse {
    pub fn new(cfs: Arc<Cfs>) -> CfsFuse {
        CfsFuse { cfs, counters: Mutex::new(Counters::default()) }
    }

    fn virtual_content(&self, name: &str, state: &State) -> String {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        virtual_files::content(name, &self.cfs, state, &mut counters).unwrap_or_default()
    }

    /// Modes are fixed; without quorum nothing but the root and `.debug` shows a write bit.
    pub(super) fn attr(&self, ino: INodeNo, state: &State) -> Result<FileAttr, Errno> {
        let writable = self.cfs.is_writable(state);
        let mask = if writable { 0o777 } else { 0o555 };
        let (kind, mode, size, mtime) = match object(ino).ok_or(Errno::ENOENT)? {
            Object::Root => (FileType::Directory, 0o755, 0, 0),
            Object::Tree(inode) => {
                let entry = state.tree.entry(inode).ok_or(Errno::ENOENT)?;
                let private = is_private(&state.tree.path(inode));
                let (kind, mode) = match (entry.is_directory(), private) {
                    (true, true) => (FileType::Directory, 0o700),
                    (true, false) => (FileType::Directory, 0o755),
                    (false, true) => (FileType::RegularFile, 0o600),
                    (false, false) => (FileType::RegularFile, 0o640),
                };
                (kind, mode & mask, entry.data.as_ref().map_or(0, |data| data.len()), entry.mtime)
            }
            Object::File(name, mode) => {
                (FileType::RegularFile, mode, self.virtual_content(name, state).len(), 0)
            }
            Object::Link(name) => {
                let target = virtual_files::link_target(name, &self.cfs.nodename).unwrap_or_default();
                (FileType::Symlink, 0o755 & mask, target.len(), 0)
            }
        };
        let time: SystemTime = UNIX_EPOCH + Duration::from_secs(u64::from(mtime));
        Ok(FileAttr {
            ino,
            size: size as u64,
            blocks: (size as u64).div_ceil(4096),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm: mode,
            nlink: if kind == FileType::Directory { 2 } else { 1 },
            uid: 0,
            gid: WWW_DATA,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn find(&self, parent: INodeNo, name: &OsStr, state: &State) -> Result<INodeNo, Errno> {
        let name = name.to_str().ok_or(Errno::ENOENT)?;
        if parent == INodeNo::ROOT {
            if let Some((inode, ..)) = virtual_names().find(|(_, _, known)| *known == name) {
                return Ok(INodeNo(inode));
            }
        }
        let child = state.tree.child(tree_inode(parent)?, name).ok_or(Errno::ENOENT)?;
        Ok(INodeNo(child.inode + 1))
    }

    pub(super) fn entry(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let state = self.cfs.view();
        self.attr(self.find(parent, name, &state)?, &state)
    }

    /// Parent and name of something that is to be made or moved; virtual names belong to nobody.
    pub(super) fn place<'a>(&self, parent: INodeNo, name: &'a OsStr) -> Result<(u64, &'a str), Errno> {
        let name = name.to_str().ok_or(Errno::EINVAL)?;
        if parent == INodeNo::ROOT && virtual_names().any(|(_, _, known)| known == name) {
            return Err(Errno::EACCES);
        }
        Ok((tree_inode(parent)?, name))
    }

    pub(super) fn make(&self, parent: INodeNo, name: &OsStr, is_directory: bool) -> Result<FileAttr, Errno> {
        let (directory, name) = self.place(parent, name)?;
        let inode = self
            .cfs
            .change(|tree, stamp| {
                if is_directory {
                    tree.mkdir(directory, name, stamp)
                } else {
                    tree.create(directory, name, stamp)
                }
            })
            .map_err(errno)?;
        self.attr(INodeNo(inode + 1), &self.cfs.view())
    }

    pub(super) fn set(
        &self,
        ino: INodeNo,
        size: Option<u64>,
        mtime: Option<TimeOrNow>,
    ) -> Result<FileAttr, Errno> {
        match object(ino) {
            Some(Object::File(".debug", _)) => return self.attr(ino, &self.cfs.view()),
            Some(Object::File(..)) => return Err(Errno::EIO),
            _ => {}
        }
        let inode = tree_inode(ino)?;
        if let Some(size) = size {
            let size = usize::try_from(size).map_err(|_| Errno::EFBIG)?;
            self.cfs.change(|tree, stamp| tree.truncate(inode, size, stamp)).map_err(errno)?;
        } else if let Some(time) = mtime {
            let seconds = match time {
                TimeOrNow::Now => now(),
                TimeOrNow::SpecificTime(time) => {
                    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                    u32::try_from(since).unwrap_or(u32::MAX)
                }
            };
            self.cfs.change(|tree, stamp| tree.set_mtime(inode, seconds, stamp)).map_err(errno)?;
        }
        self.attr(ino, &self.cfs.view())
    }

    pub(super) fn listing(&self, ino: INodeNo) -> Result<Vec<(u64, FileType, String)>, Errno> {
        let state = self.cfs.view();
        let inode = tree_inode(ino)?;
        let kind = |entry: &Entry| {
            if entry.is_directory() { FileType::Directory } else { FileType::RegularFile }
        };
        let mut list =
            vec![(ino.0, FileType::Directory, ".".to_owned()), (1, FileType::Directory, "..".to_owned())];
        list.extend(
            state.tree.children(inode).map(|entry| (entry.inode + 1, kind(entry), entry.name.clone())),
        );
        if inode == ROOT {
            list.extend(virtual_names().map(|(inode, object, name)| {
                let kind =
                    if matches!(object, Object::Link(_)) { FileType::Symlink } else { FileType::RegularFile };
                (inode, kind, name.to_owned())
            }));
        }
        Ok(list)
    }

    pub(super) fn bytes(&self, ino: INodeNo) -> Result<Vec<u8>, Errno> {
        let state = self.cfs.view();
        match object(ino).ok_or(Errno::ENOENT)? {
            Object::File(name, _) => Ok(self.virtual_content(name, &state).into_bytes()),
            Object::Tree(inode) => {
                let entry = state.tree.entry(inode).ok_or(Errno::ENOENT)?;
                entry.data.as_ref().map(|data| data.to_vec()).ok_or(Errno::EISDIR)
            }
            _ => Err(Errno::EISDIR),
        }
    }

    pub(super) fn put(&self, ino: INodeNo, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let length = u32::try_from(data.len()).map_err(|_| Errno::EFBIG)?;
        match object(ino).ok_or(Errno::ENOENT)? {
            Object::File(".debug", _) => self.cfs.lock().debug = data.first() == Some(&b'1'),
            Object::File(..) => return Err(Errno::EIO),
            _ => {
                let offset = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
                let inode = tree_inode(ino)?;
                self.cfs.change(|tree, stamp| tree.write(inode, offset, data, stamp)).map_err(errno)?;
            }
        }
        Ok(length)
    }

    pub(super) fn chmod(&self, ino: INodeNo, mode: u32) -> Result<FileAttr, Errno> {
        let state = self.cfs.view();
        let attr = self.attr(ino, &state)?;
        let private = matches!(object(ino), Some(Object::Tree(inode)) if is_private(&state.tree.path(inode)));
        let allowed = if private { 0o600 } else { 0o640 };
        if mode & 0o777 == allowed { Ok(attr) } else { Err(Errno::EPERM) }
    }

    pub(super) fn chown(&self, ino: INodeNo, uid: Option<u32>, gid: Option<u32>) -> Result<FileAttr, Errno> {
        if uid.is_some_and(|uid| uid != 0) || gid.is_some_and(|gid| gid != WWW_DATA) {
            return Err(Errno::EPERM);
        }
        self.attr(ino, &self.cfs.view())
    }
}
