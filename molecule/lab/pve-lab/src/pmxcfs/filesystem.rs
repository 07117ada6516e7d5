//! The FUSE side of pmxcfs: modes, owners and refusals as measured (golden 40 and 15). Inode 1 is the root, the
//! tree's inodes follow, virtual files and links have numbers far above.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::cfs::{Cfs, State, now};
use super::tree::{Entry, ROOT};
use super::virtual_files::{self, Counters};

/// Nothing is cached by the kernel: others change files too.
const TTL: Duration = Duration::ZERO;
const WWW_DATA: u32 = 33;
const VIRTUAL: u64 = 1 << 60;

/// What an inode number stands for.
enum Object {
    Root,
    Tree(u64),
    File(&'static str, u16),
    Link(&'static str),
}

/// The file system that the kernel talks to.
pub struct CfsFuse {
    cfs: Arc<Cfs>,
    counters: Mutex<Counters>,
}

fn virtual_names() -> impl Iterator<Item = (u64, Object, &'static str)> {
    let files = virtual_files::FILES.iter().map(|&(name, mode)| (Object::File(name, mode), name));
    let links = virtual_files::link_names().map(|name| (Object::Link(name), name));
    files.chain(links).enumerate().map(|(index, (object, name))| (VIRTUAL + index as u64, object, name))
}

fn object(ino: INodeNo) -> Option<Object> {
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

fn errno(from: nix::errno::Errno) -> Errno {
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
    fn attr(&self, ino: INodeNo, state: &State) -> Result<FileAttr, Errno> {
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

    fn entry(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let state = self.cfs.view();
        self.attr(self.find(parent, name, &state)?, &state)
    }

    /// Parent and name of something that is to be made or moved; virtual names belong to nobody.
    fn place<'a>(&self, parent: INodeNo, name: &'a OsStr) -> Result<(u64, &'a str), Errno> {
        let name = name.to_str().ok_or(Errno::EINVAL)?;
        if parent == INodeNo::ROOT && virtual_names().any(|(_, _, known)| known == name) {
            return Err(Errno::EACCES);
        }
        Ok((tree_inode(parent)?, name))
    }

    fn make(&self, parent: INodeNo, name: &OsStr, is_directory: bool) -> Result<FileAttr, Errno> {
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

    fn set(&self, ino: INodeNo, size: Option<u64>, mtime: Option<TimeOrNow>) -> Result<FileAttr, Errno> {
        if let Some(Object::File(".debug", _)) = object(ino) {
            return self.attr(ino, &self.cfs.view());
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

    fn listing(&self, ino: INodeNo) -> Result<Vec<(u64, FileType, String)>, Errno> {
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

    fn bytes(&self, ino: INodeNo) -> Result<Vec<u8>, Errno> {
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

    fn put(&self, ino: INodeNo, offset: u64, data: &[u8]) -> Result<u32, Errno> {
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

    fn chmod(&self, ino: INodeNo, mode: u32) -> Result<FileAttr, Errno> {
        let state = self.cfs.view();
        let attr = self.attr(ino, &state)?;
        let private = matches!(object(ino), Some(Object::Tree(inode)) if is_private(&state.tree.path(inode)));
        let allowed = if private { 0o600 } else { 0o640 };
        if mode & 0o777 == allowed { Ok(attr) } else { Err(Errno::EPERM) }
    }

    fn chown(&self, ino: INodeNo, uid: Option<u32>, gid: Option<u32>) -> Result<FileAttr, Errno> {
        if uid.is_some_and(|uid| uid != 0) || gid.is_some_and(|gid| gid != WWW_DATA) {
            return Err(Errno::EPERM);
        }
        self.attr(ino, &self.cfs.view())
    }
}

macro_rules! answer {
    ($reply:ident, $result:expr, $value:ident => $ok:expr) => {
        match $result {
            Ok($value) => $ok,
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for CfsFuse {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, self.entry(parent, name), attr => reply.entry(&TTL, &attr, Generation(0)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.attr(ino, &self.cfs.view()), attr => reply.attr(&TTL, &attr));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let result = if let Some(mode) = mode {
            self.chmod(ino, mode)
        } else if uid.is_some() || gid.is_some() {
            self.chown(ino, uid, gid)
        } else {
            self.set(ino, size, mtime)
        };
        answer!(reply, result, attr => reply.attr(&TTL, &attr));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match object(ino) {
            Some(Object::Link(name)) => {
                let target = virtual_files::link_target(name, &self.cfs.nodename).unwrap_or_default();
                reply.data(target.as_bytes());
            }
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn mknod(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        // Only regular files (S_IFREG) exist here.
        if mode & 0o170_000 != 0o100_000 {
            return reply.error(Errno::ENOSYS);
        }
        answer!(reply, self.make(parent, name, false), attr => reply.entry(&TTL, &attr, Generation(0)));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        answer!(reply, self.make(parent, name, true), attr => reply.entry(&TTL, &attr, Generation(0)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.place(parent, name).and_then(|(directory, name)| {
            self.cfs.change(|tree, stamp| tree.unlink(directory, name, stamp)).map_err(errno)
        });
        answer!(reply, result, _done => reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.place(parent, name).and_then(|(directory, name)| {
            self.cfs.change(|tree, stamp| tree.rmdir(directory, name, stamp)).map_err(errno)
        });
        answer!(reply, result, _done => reply.ok());
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::ENOSYS);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let result = self.place(parent, name).and_then(|from| {
            let to = self.place(newparent, newname)?;
            let fault = self.cfs.host.faults.now().rename_fails;
            self.cfs
                .change(|tree, stamp| {
                    let target = format!("/etc/pve/{}/{}", tree.path(to.0), to.1).replace("//", "/");
                    if fault.contains(&target) {
                        return Err(nix::errno::Errno::EIO);
                    }
                    tree.rename(from, to, stamp)
                })
                .map_err(errno)
        });
        answer!(reply, result, _done => reply.ok());
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let result = self.attr(ino, &self.cfs.view());
        // Direct I/O, as pmxcfs has it: no shared writable mapping, and every read asks.
        answer!(reply, result, _attr => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO));
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        answer!(reply, self.bytes(ino), bytes => {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let end = start.saturating_add(size as usize).min(bytes.len());
            reply.data(&bytes[start..end]);
        });
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        answer!(reply, self.put(ino, offset, data), written => reply.written(written));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        answer!(reply, self.listing(ino), list => {
            for (index, (inode, kind, name)) in list.into_iter().enumerate().skip(offset as usize) {
                if reply.add(INodeNo(inode), index as u64 + 1, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let state = self.cfs.view();
        let files = state.tree.entries().count() as u64;
        let used: u64 =
            state.tree.entries().filter_map(|entry| entry.data.as_ref()).map(|d| d.len() as u64).sum();
        let free = 32768 - used.div_ceil(4096);
        reply.statfs(32768, free, free, 262_144, 262_144 - files, 4096, 256, 4096);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        answer!(reply, self.make(parent, name, false), attr => {
            reply.created(&TTL, &attr, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
        });
    }
}
