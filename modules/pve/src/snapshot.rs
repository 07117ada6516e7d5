//! Copies of files and directories that an operation is about to change, and their return: content, mode and
//! owner, and that what was not there is gone again. Knows nothing of what the files mean.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::Node;
use crate::node::FileMode;

/// Where snapshots are.
pub const DIR: &str = "/var/lib/sddc-pve/snapshots";

/// A snapshot of some paths.
pub struct Snapshot<'a> {
    node: &'a Node,
    dir: String,
    manifest: Manifest,
}

#[derive(Default, Deserialize, Serialize)]
struct Manifest {
    /// Paths that were asked for; what is below them and not in `entries` was not there.
    roots: Vec<String>,
    entries: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
struct Entry {
    path: String,
    mode: u32,
    uid: u32,
    gid: u32,
    content: Content,
}

#[derive(Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Content {
    Directory,
    /// Name of the copy in the snapshot.
    File(String),
    /// Target.
    Link(PathBuf),
}

impl<'a> Snapshot<'a> {
    /// Begins an empty snapshot of a name, replacing one of the same name.
    pub fn begin(node: &'a Node, name: &str) -> anyhow::Result<Self> {
        let dir = format!("{DIR}/{name}");
        discard(node, name)?;
        node.create_private_dir(&dir)?;
        let snapshot = Self { node, dir, manifest: Manifest::default() };
        snapshot.save()?;
        Ok(snapshot)
    }

    /// Opens a snapshot; `None` when there is none, so nothing had been changed yet, or everything is undone.
    pub fn open(node: &'a Node, name: &str) -> anyhow::Result<Option<Self>> {
        if name.is_empty() {
            return Ok(None);
        }
        let dir = format!("{DIR}/{name}");
        let Some(text) = node.read(&format!("{dir}/manifest.json"))? else {
            // Cut off while it was removed, it still holds keys.
            discard(node, name)?;
            return Ok(None);
        };
        let manifest =
            serde_json::from_str(&text).with_context(|| format!("snapshot {dir:?} can't be read"))?;
        Ok(Some(Self { node, dir, manifest }))
    }

    /// Whether a path was taken into it.
    pub fn holds(&self, path: &str) -> bool {
        self.manifest.roots.iter().any(|root| root == path)
    }

    /// Adds paths, with everything below them; one that does not exist is remembered as absent.
    pub fn take(&mut self, paths: &[&str]) -> anyhow::Result<()> {
        for path in paths {
            self.take_tree(path).with_context(|| format!("cannot take a copy of {path:?}"))?;
            self.manifest.roots.push((*path).to_owned());
        }
        // The manifest comes last: what it names is there.
        self.save()
    }

    /// Brings paths back to what they were.
    pub fn restore(&self, paths: &[&str]) -> anyhow::Result<()> {
        for root in paths.iter().filter(|path| self.holds(path)) {
            self.restore_tree(root)
                .with_context(|| format!("cannot restore {root:?} from {:?}", self.dir))?;
        }
        Ok(())
    }

    fn save(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec(&self.manifest).context("a snapshot's list can't be written")?;
        self.node.write(&format!("{}/manifest.json", self.dir), &text, FileMode::Private).map(|_| ())
    }

    fn take_tree(&mut self, path: &str) -> anyhow::Result<()> {
        let Ok(meta) = fs::symlink_metadata(self.node.path(path)) else { return Ok(()) };
        let content = if meta.is_dir() {
            Content::Directory
        } else if meta.is_symlink() {
            Content::Link(fs::read_link(self.node.path(path))?)
        } else if meta.is_file() {
            let name = format!("{:04}", self.manifest.entries.len());
            let bytes = zeroize::Zeroizing::new(fs::read(self.node.path(path))?);
            self.node.write(&format!("{}/{name}", self.dir), &bytes, FileMode::Private)?;
            Content::File(name)
        } else {
            // A socket or a pipe is its program's to make anew.
            return Ok(());
        };
        let is_directory = content == Content::Directory;
        let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
        self.manifest.entries.push(Entry { path: path.to_owned(), mode, uid, gid, content });
        if is_directory {
            for name in self.node.list(path)? {
                self.take_tree(&format!("{path}/{name}"))?;
            }
        }
        Ok(())
    }

    fn restore_tree(&self, root: &str) -> anyhow::Result<()> {
        let below = format!("{root}/");
        let entries: Vec<&Entry> = self
            .manifest
            .entries
            .iter()
            .filter(|entry| entry.path == root || entry.path.starts_with(&below))
            .collect();
        self.remove_others(root, &entries)?;
        for entry in entries {
            self.restore_entry(entry).with_context(|| format!("cannot restore {:?}", entry.path))?;
        }
        Ok(())
    }

    fn remove_others(&self, path: &str, entries: &[&Entry]) -> anyhow::Result<()> {
        let target = self.node.path(path);
        let Ok(meta) = fs::symlink_metadata(&target) else { return Ok(()) };
        let known = entries.iter().find(|entry| entry.path == path);
        let is_same_kind = known.is_some_and(|entry| match &entry.content {
            Content::Directory => meta.is_dir(),
            Content::File(_) => meta.is_file(),
            Content::Link(_) => meta.is_symlink(),
        });
        match (meta.is_dir(), is_same_kind) {
            (true, true) => self
                .node
                .list(path)?
                .iter()
                .try_for_each(|name| self.remove_others(&format!("{path}/{name}"), entries)),
            (true, false) => Ok(fs::remove_dir_all(target)?),
            (false, false) => Ok(fs::remove_file(target)?),
            (false, true) => Ok(()),
        }
    }

    fn restore_entry(&self, entry: &Entry) -> anyhow::Result<()> {
        let target = self.node.path(&entry.path);
        match &entry.content {
            Content::Directory => fs::create_dir_all(&target)?,
            Content::Link(to) => {
                if fs::read_link(&target).ok().as_ref() != Some(to) {
                    let _ = fs::remove_file(&target);
                    symlink(to, &target)?;
                }
            }
            Content::File(name) => {
                let copy = format!("{}/{name}", self.dir);
                let Some(bytes) = self.node.read_bytes(&copy)? else { bail!("its copy {copy:?} is gone") };
                let bytes = zeroize::Zeroizing::new(bytes);
                if fs::read(&target).ok().as_deref() != Some(bytes.as_slice()) {
                    replace(&target, &bytes)?;
                }
            }
        }
        set_owner_and_mode(&target, entry)
    }
}

/// Removes a snapshot: it holds keys, and its time is over.
pub fn discard(node: &Node, name: &str) -> anyhow::Result<()> {
    let dir = format!("{DIR}/{name}");
    match fs::remove_dir_all(node.path(&dir)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove snapshot {dir:?}"))
        }
        _ => Ok(()),
    }
}

/// Root only until the mode is set, then moved into place as a whole.
fn replace(target: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let temporary = target.with_file_name(format!(".{name}.sddc.{}", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, target)?;
    Ok(())
}

fn set_owner_and_mode(target: &Path, entry: &Entry) -> anyhow::Result<()> {
    let meta = fs::symlink_metadata(target)?;
    if (meta.uid(), meta.gid()) != (entry.uid, entry.gid) {
        lchown(target, Some(entry.uid), Some(entry.gid))?;
    }
    // A link has no mode of its own; chown takes setuid bits away, so the mode comes after it.
    if !meta.is_symlink() && fs::metadata(target)?.mode() & 0o7777 != entry.mode {
        fs::set_permissions(target, fs::Permissions::from_mode(entry.mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    fn listing(root: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(path) = open.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_file() {
                fs::read_to_string(&path).unwrap()
            } else {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                String::new()
            };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            lines.push(format!("{name} {:o} {}:{} {content}", meta.mode(), meta.uid(), meta.gid()));
        }
        lines.sort();
        lines
    }

    #[test]
    fn everything_comes_back_bit_for_bit_and_nothing_else_stays() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let node = fake.node();
        fake.write("/root/.ssh/id_rsa", "private");
        fs::set_permissions(fake.path("/root/.ssh/id_rsa"), fs::Permissions::from_mode(0o600)).unwrap();
        fake.write("/root/.ssh/sub/deep", "deep");
        symlink("/etc/pve/priv/authorized_keys", fake.path("/root/.ssh/authorized_keys")).unwrap();
        let before = listing(&fake.path("/root/.ssh"));

        let mut snapshot = Snapshot::begin(&node, "1-join").unwrap();
        snapshot.take(&["/root/.ssh", "/etc/ssh/sshd_config.d/10-new.conf"]).unwrap();
        fs::remove_file(fake.path("/root/.ssh/authorized_keys")).unwrap();
        fake.write("/root/.ssh/authorized_keys", "now a file");
        fake.write("/root/.ssh/id_rsa", "another");
        fs::set_permissions(fake.path("/root/.ssh/id_rsa"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::remove_dir_all(fake.path("/root/.ssh/sub")).unwrap();
        fake.write("/root/.ssh/sub", "now a file");
        fake.write("/root/.ssh/known_hosts/x", "new directory");
        fake.write("/etc/ssh/sshd_config.d/10-new.conf", "new");

        let snapshot = Snapshot::open(&node, "1-join").unwrap().unwrap();
        snapshot.restore(&["/root/.ssh", "/etc/ssh/sshd_config.d/10-new.conf", "/never/taken"]).unwrap();
        assert_eq!(listing(&fake.path("/root/.ssh")), before);
        assert!(!node.exists("/etc/ssh/sshd_config.d/10-new.conf"));
    }

    #[test]
    fn a_snapshot_is_root_only_and_can_be_discarded() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let node = fake.node();
        fake.write("/etc/corosync/authkey", "secret");
        Snapshot::begin(&node, "2-join").unwrap().take(&["/etc/corosync"]).unwrap();
        let dir = fake.path("/var/lib/sddc-pve/snapshots/2-join");
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::metadata(dir.join("0001")).unwrap().mode() & 0o7777, 0o600);
        discard(&node, "2-join").unwrap();
        assert!(Snapshot::open(&node, "2-join").unwrap().is_none());
    }

    #[test]
    fn what_a_removal_that_was_cut_off_left_goes_and_no_other_does() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let node = fake.node();
        fake.write(&format!("{DIR}/1-join/0003"), "a key");
        Snapshot::begin(&node, "2-join").unwrap();
        assert!(Snapshot::open(&node, "").unwrap().is_none());
        assert!(Snapshot::open(&node, "1-join").unwrap().is_none());
        assert_eq!(node.list(DIR).unwrap(), ["2-join"]);
    }
}
