//! Where the tree lives: the node's own database file, and the store that the members of one cluster share (the
//! lab's stand-in for corosync's group communication). Knows no FUSE and no quorum.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};

use super::tree::{Entry, Tree};

const MAGIC: &[u8; 8] = b"PVELAB01";

/// The tree as bytes: magic, version, then each entry.
fn encode(tree: &Tree) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(tree.version.to_le_bytes());
    for entry in tree.entries() {
        for number in [entry.inode, entry.parent, entry.version] {
            out.extend(number.to_le_bytes());
        }
        out.extend(entry.writer.to_le_bytes());
        out.extend(entry.mtime.to_le_bytes());
        put_bytes(&mut out, entry.name.as_bytes());
        match &entry.data {
            None => out.push(0),
            Some(data) => {
                out.push(1);
                put_bytes(&mut out, data);
            }
        }
    }
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

fn decode(bytes: &[u8]) -> Option<Tree> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut tree = Tree::default();
    tree.version = take_u64(&mut rest)?;
    while !rest.is_empty() {
        let (inode, parent, version) = (take_u64(&mut rest)?, take_u64(&mut rest)?, take_u64(&mut rest)?);
        let (writer, mtime) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
        let name = String::from_utf8(take_bytes(&mut rest)?.to_vec()).ok()?;
        let data = match take(&mut rest, 1)?[0] {
            0 => None,
            _ => Some(Arc::new(take_bytes(&mut rest)?.to_vec())),
        };
        tree.restore(Entry { inode, parent, name, version, writer, mtime, data });
    }
    Some(tree)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take(rest, 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest, 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_u64(rest)?).ok()?;
    take(rest, length)
}

fn save(path: &Path, tree: &Tree) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&encode(tree))?;
    fs::rename(temporary, path)
}

fn load(path: &Path) -> io::Result<Option<Tree>> {
    match fs::read(path) {
        Ok(bytes) => decode(&bytes).map(Some).ok_or_else(|| {
            io::Error::other(format!("{}: not a database of the emulator: remove it", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `/var/lib/pve-cluster/config.db`: the node's own copy, which survives everything but a join.
#[derive(Clone, Debug)]
pub struct LocalDatabase {
    path: PathBuf,
}

impl LocalDatabase {
    pub fn at(path: &Path) -> LocalDatabase {
        LocalDatabase { path: path.to_owned() }
    }

    pub fn load(&self) -> io::Result<Option<Tree>> {
        load(&self.path)
    }

    pub fn save(&self, tree: &Tree) -> io::Result<()> {
        save(&self.path, tree)
    }

    /// The database as the SQL that `sqlite3 .dump` of a genuine one gives: contents in hexadecimal.
    pub fn dump(&self) -> io::Result<String> {
        let tree = self.load()?.unwrap_or_default();
        let mut out = String::from("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n");
        for entry in tree.entries() {
            let kind = if entry.is_directory() { 4 } else { 8 };
            let data = entry.data.as_ref().map_or("NULL".to_owned(), |data| {
                format!("X'{}'", data.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            });
            out.push_str(&format!(
                "INSERT INTO tree VALUES({},{},{},{},{},{kind},'{}',{data});\n",
                entry.inode, entry.parent, entry.version, entry.writer, entry.mtime, entry.name
            ));
        }
        out.push_str("COMMIT;\n");
        Ok(out)
    }
}

/// The store of one cluster, in a directory that all its nodes mount.
#[derive(Debug)]
pub struct SharedStore {
    directory: PathBuf,
}

impl SharedStore {
    pub fn open(directory: &Path) -> io::Result<SharedStore> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory.join("members"))?;
        Ok(SharedStore { directory: directory.to_owned() })
    }

    fn tree_file(&self) -> PathBuf {
        self.directory.join("tree.db")
    }

    /// Version of the tree last written, without reading it whole.
    pub fn version(&self) -> io::Result<Option<u64>> {
        let mut header = [0; 16];
        match File::open(self.tree_file()) {
            Ok(mut file) => file.read_exact(&mut header)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(header[8..].try_into().ok().map(u64::from_le_bytes))
    }

    pub fn load(&self) -> io::Result<Option<Tree>> {
        load(&self.tree_file())
    }

    pub fn save(&self, tree: &Tree) -> io::Result<()> {
        save(&self.tree_file(), tree)
    }

    /// Excludes every other writer of the cluster until dropped.
    pub fn lock(&self) -> io::Result<Flock<File>> {
        lock_file(&self.directory.join("lock"), FlockArg::LockExclusive)
    }

    /// Says that this node's pmxcfs runs, for as long as the value lives.
    pub fn register(&self, node: &str, address: &str) -> io::Result<Flock<File>> {
        let mut lock =
            lock_file(&self.directory.join("members").join(node), FlockArg::LockExclusiveNonblock)?;
        lock.set_len(0)?;
        lock.write_all(address.as_bytes())?;
        Ok(lock)
    }

    /// The address of a node whose pmxcfs runs now.
    pub fn running(&self, node: &str) -> Option<String> {
        let path = self.directory.join("members").join(node);
        let text = fs::read_to_string(&path).ok()?;
        match File::open(&path).map(|file| Flock::lock(file, FlockArg::LockSharedNonblock)) {
            Ok(Err(_)) => Some(text),
            _ => None,
        }
    }
}

fn lock_file(path: &Path, how: FlockArg) -> io::Result<Flock<File>> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Flock::lock(file, how).map_err(|(_, errno)| errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pmxcfs::tree::{ROOT, Stamp};

    #[test]
    fn a_tree_survives_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        let stamp = Stamp { writer: 3, time: 77 };
        let private = tree.mkdir(ROOT, "priv", stamp).unwrap();
        let key = tree.create(private, "authkey.key", stamp).unwrap();
        tree.write(key, 0, b"secret", stamp).unwrap();
        let database = LocalDatabase::at(&directory.path().join("config.db"));
        assert_eq!(database.load().unwrap(), None);
        database.save(&tree).unwrap();
        assert_eq!(database.load().unwrap(), Some(tree));
        assert!(database.dump().unwrap().contains("'authkey.key',X'736563726574'"));
    }

    #[test]
    fn a_node_runs_for_as_long_as_it_is_registered() {
        let directory = tempfile::tempdir().unwrap();
        let store = SharedStore::open(directory.path()).unwrap();
        assert_eq!(store.running("pve1"), None);
        let registration = store.register("pve1", "10.88.0.11").unwrap();
        assert_eq!(store.running("pve1").as_deref(), Some("10.88.0.11"));
        drop(registration);
        assert_eq!(store.running("pve1"), None);
    }
}
