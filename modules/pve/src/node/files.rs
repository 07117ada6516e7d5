//! Files of a node: lenient reads, atomic writes. pmxcfs refuses chmod, chown and links, so nothing here
//! asks for them below /etc/pve.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;

use super::Node;

/// Permission bits of a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// 0600: root only.
    Private,
    /// 0400: root only, as corosync's authkey.
    PrivateReadOnly,
    /// 0644.
    Public,
    /// 0755: a program.
    Program,
}

impl FileMode {
    fn bits(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::PrivateReadOnly => 0o400,
            Self::Public => 0o644,
            Self::Program => 0o755,
        }
    }
}

/// The longest text that is read; a file that holds more is not what its name says.
const TEXT_LIMIT: u64 = 32 << 20;

/// More than a file of pmxcfs usually has, and what one request to it brings.
const ONE_READ: usize = 128 << 10;

/// Whether a write changed the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The content was there already.
    Same,
    /// It is new or other content.
    Changed,
}

/// What EIO of pmxcfs means, and what helps.
pub(crate) const BROKEN_PMXCFS: &str = "pmxcfs could not write its database and changes nothing until it is started anew: see \
                                        that /var/lib/pve-cluster has room, then run \"systemctl restart pve-cluster\"";

/// Why nothing can be written there. pmxcfs refuses every change after a write of its own database that failed, until it
/// is started anew (pve-cluster `src/pmxcfs/memdb.c`, `memdb->errors`).
pub(crate) fn unwritten(error: io::Error, path: &str) -> anyhow::Error {
    let is_broken = path.starts_with("/etc/pve/") && error.raw_os_error() == Some(nix::libc::EIO);
    let error = anyhow::Error::from(error);
    if is_broken { error.context(BROKEN_PMXCFS) } else { error }
}

/// What a file holds, up to a limit. pmxcfs answers each read from what there is at that moment: a second one, from
/// where a shorter file ended, brings the tail of a newer, longer one. So its files are taken by one read (pve-cluster
/// `src/pmxcfs/pmxcfs.c`, `cfs_fuse_read`).
fn contents(file: &Path, path: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(file)?;
    let mut bytes = Vec::new();
    if path.starts_with("/etc/pve/") {
        bytes.resize(ONE_READ, 0);
        let count = loop {
            match file.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        bytes.truncate(count);
        if count < ONE_READ {
            return Ok(bytes);
        }
    }
    file.take(limit - bytes.len() as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Node {
    /// The content of a text file, `None` when there is none.
    pub fn read(&self, path: &str) -> anyhow::Result<Option<String>> {
        // One byte more tells a longer file from one of just this length; a device or pipe has no length to ask for.
        match contents(&self.path(path), path, TEXT_LIMIT + 1) {
            Ok(bytes) if bytes.len() as u64 > TEXT_LIMIT => {
                anyhow::bail!("cannot read {path:?}: it is longer than {} MiB", TEXT_LIMIT >> 20)
            }
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {path:?}")),
        }
    }

    /// The content of a file, `None` when there is none.
    pub fn read_bytes(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        match contents(&self.path(path), path, u64::MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {path:?}")),
        }
    }

    /// Whether nobody but root can read or change a file: owned as the root directory is, and closed to all others.
    pub fn is_private(&self, path: &str) -> anyhow::Result<bool> {
        let look = |path: &Path| fs::metadata(path).with_context(|| format!("cannot look at {path:?}"));
        let (file, root) = (look(&self.path(path))?, look(&self.root)?);
        Ok(file.uid() == root.uid() && file.mode() & 0o077 == 0)
    }

    /// Whether something stands there, a dangling link included.
    pub fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// Names in a directory, sorted; none when there is no such directory.
    pub fn list(&self, path: &str) -> anyhow::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(path)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot list {path:?}")),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {path:?}"))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Replaces a file as a whole: temporary file beside it, fsync, rename, fsync of the directory.
    pub fn write(&self, path: &str, content: &[u8], mode: FileMode) -> anyhow::Result<Replaced> {
        let target = self.path(path);
        let same_mode =
            fs::metadata(&target).is_ok_and(|meta| meta.permissions().mode() & 0o7777 == mode.bits());
        if same_mode && self.read_bytes(path)?.as_deref() == Some(content) {
            return Ok(Replaced::Same);
        }
        replace(&target, content, mode)
            .map_err(|error| unwritten(error, path))
            .with_context(|| format!("cannot write {path:?}"))?;
        Ok(Replaced::Changed)
    }

    /// Creates a directory and its parents, root only where it creates them.
    pub fn create_private_dir(&self, path: &str) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.path(path))
            .map_err(|error| unwritten(error, path))
            .with_context(|| format!("cannot create directory {path:?}"))
    }

    /// Creates a directory and its parents, for everyone to read where it creates them.
    pub fn create_public_dir(&self, path: &str) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(self.path(path))
            .map_err(|error| unwritten(error, path))
            .with_context(|| format!("cannot create directory {path:?}"))
    }

    /// Removes a file or link; tells whether there was one.
    pub fn remove(&self, path: &str) -> anyhow::Result<bool> {
        match fs::remove_file(self.path(path)) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(unwritten(error, path)).with_context(|| format!("cannot remove {path:?}")),
        }
    }

    /// The same for a file that holds a secret, with the copies of it that writes which were cut off have left.
    pub fn remove_wholly(&self, path: &str) -> anyhow::Result<bool> {
        let (dir, name) = path.rsplit_once('/').unwrap_or_default();
        for other in self.list(dir)?.iter().filter(|other| other.starts_with(&draft(name))) {
            self.remove(&format!("{dir}/{other}"))?;
        }
        self.remove(path)
    }
}

/// How the next content of a file is called until it is in place; the number of the process follows.
fn draft(name: &str) -> String {
    format!(".{name}.sddc.")
}

/// A path through something that is no directory, or below a stopped pmxcfs mount, holds nothing to read.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn replace(target: &Path, content: &[u8], mode: FileMode) -> io::Result<()> {
    let dir = target.parent().unwrap_or(Path::new("/"));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!("{}{}", draft(&name), std::process::id()));
    let written = write_new(&temporary, content, mode).and_then(|()| fs::rename(&temporary, target));
    if written.is_err() {
        // The first error is the one to report; a leftover temporary file is overwritten by the next try.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    // pmxcfs knows no fsync of directories (EINVAL or ENOSYS); everywhere else it makes the rename durable.
    match fs::File::open(dir).and_then(|dir| dir.sync_all()) {
        Err(error) if !matches!(error.raw_os_error(), Some(22 | 38 | 95)) => Err(error),
        _ => Ok(()),
    }
}

fn write_new(path: &Path, content: &[u8], mode: FileMode) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode.bits()).open(path)?;
    file.write_all(content)?;
    // The umask may have taken bits away; pmxcfs fixes modes itself and refuses others with EPERM.
    if let Err(error) = file.set_permissions(fs::Permissions::from_mode(mode.bits()))
        && error.kind() != io::ErrorKind::PermissionDenied
    {
        return Err(error);
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealHost;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::new(Box::new(RealHost::default()), dir.path().to_owned());
        (dir, node)
    }

    #[test]
    fn a_second_write_of_the_same_content_changes_nothing() {
        let (_dir, node) = node();
        assert_eq!(node.write("/key", b"x", FileMode::PrivateReadOnly).unwrap(), Replaced::Changed);
        assert_eq!(node.write("/key", b"x", FileMode::PrivateReadOnly).unwrap(), Replaced::Same);
        assert_eq!(node.write("/key", b"x", FileMode::Private).unwrap(), Replaced::Changed);
        assert_eq!(node.list("/").unwrap(), ["key"]);
        assert_eq!(fs::metadata(node.path("/key")).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn what_is_absent_reads_as_none() {
        let (_dir, node) = node();
        assert_eq!(node.read("/etc/pve/corosync.conf").unwrap(), None);
        assert!(node.list("/etc/pve/nodes").unwrap().is_empty());
        assert!(!node.remove("/etc/corosync/authkey").unwrap());
    }

    /// A pipe that stays open stands for a file that has grown: whoever reads on gets (here: waits for) what came later.
    #[test]
    fn a_file_of_pmxcfs_is_of_one_moment() {
        let (_dir, node) = node();
        fs::create_dir_all(node.path("/etc/pve")).unwrap();
        let path = node.path("/etc/pve/.members");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (read, content) = std::sync::mpsc::channel();
        std::thread::spawn(move || read.send(node.read("/etc/pve/.members").unwrap()));
        let mut pipe = OpenOptions::new().write(true).open(&path).unwrap();
        pipe.write_all(b"{}").unwrap();
        let content = content.recv_timeout(std::time::Duration::from_secs(20));
        assert_eq!(content.unwrap().as_deref(), Some("{}"));
    }

    #[test]
    fn a_pmxcfs_that_changes_nothing_any_more_is_told_from_another_disk_error() {
        let of = |path| unwritten(io::Error::from_raw_os_error(nix::libc::EIO), path);
        let text = format!("{:#}", of("/etc/pve/priv/lock/a"));
        assert!(text.contains("\"systemctl restart pve-cluster\"") && text.contains("os error 5"), "{text}");
        assert!(!format!("{:#}", of("/etc/corosync/authkey")).contains("pmxcfs"));
        let other = unwritten(io::Error::from_raw_os_error(nix::libc::EACCES), "/etc/pve/a");
        assert!(!format!("{other:#}").contains("pmxcfs"));
    }

    #[test]
    fn a_file_without_end_is_refused_and_not_held() {
        let (_dir, node) = node();
        let file = fs::File::create(node.path("/corosync.conf")).unwrap();
        file.set_len(100 << 20).unwrap();
        let error = node.read("/corosync.conf").unwrap_err().to_string();
        assert_eq!(error, "cannot read \"/corosync.conf\": it is longer than 32 MiB");
        fs::write(node.path("/corosync.conf"), [0xff, b'x']).unwrap();
        assert_eq!(node.read("/corosync.conf").unwrap().as_deref(), Some("\u{fffd}x"));
    }

    #[test]
    fn a_secret_goes_with_what_a_write_that_was_cut_off_left_of_it() {
        let (_dir, node) = node();
        for name in ["key", ".key.sddc.1", ".key.sddc.22", ".key2.sddc.1", "key.sddc"] {
            fs::write(node.path(&format!("/{name}")), b"x").unwrap();
        }
        assert!(node.remove_wholly("/key").unwrap());
        assert_eq!(node.list("/").unwrap(), [".key2.sddc.1", "key.sddc"]);
        assert!(!node.remove_wholly("/key").unwrap());
        assert!(!node.remove_wholly("/no/such/key").unwrap());
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file_and_names_the_path() {
        let (_dir, node) = node();
        fs::create_dir_all(node.path("/etc/corosync.conf/busy")).unwrap();
        let error = node.write("/etc/corosync.conf", b"x", FileMode::Public).unwrap_err();
        assert_eq!(error.to_string(), "cannot write \"/etc/corosync.conf\"");
        assert_eq!(node.list("/etc").unwrap(), ["corosync.conf"]);
    }
}
