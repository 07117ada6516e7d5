//! The FUSE side of pmxcfs: requests of the kernel turned into operations, results into answers.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::operations::{CfsFuse, Object, errno, object};
use super::virtual_files;

/// Nothing is cached by the kernel: others change files too.
const TTL: Duration = Duration::ZERO;

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
                        return Err(nix::errno::Errno::ENOENT);
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
