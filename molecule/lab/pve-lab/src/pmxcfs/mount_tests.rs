//! The file system on a real mount, against what was measured on a genuine pmxcfs (golden 40). Needs root and
//! /dev/fuse, as every test of the lab does.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::BackgroundSession;
use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::cfs::Cfs;
use super::cluster_info::{ClusterInfo, QuorumView};
use super::daemon::mount;
use crate::host::Host;
use crate::system::RealSystem;

/// One node's file system, mounted in a temporary directory.
struct Mounted {
    cfs: Arc<Cfs>,
    _session: BackgroundSession,
    root: PathBuf,
    directory: tempfile::TempDir,
}

impl Mounted {
    fn standalone() -> Mounted {
        Mounted::new(tempfile::tempdir().unwrap(), "10.0.0.1")
    }

    fn new(directory: tempfile::TempDir, address: &str) -> Mounted {
        for folder in ["etc/pve", "etc/corosync", "var/lib/pve-cluster", "var/lib/pve-lab"] {
            fs::create_dir_all(directory.path().join(folder)).unwrap();
        }
        fs::write(directory.path().join("var/lib/pve-lab/delays"), "off").unwrap();
        let host = Host::new(directory.path(), Arc::new(RealSystem));
        let cfs = Arc::new(Cfs::start(host, address, false).unwrap());
        let root = directory.path().join("etc/pve");
        let session = mount(&cfs, &root).unwrap();
        Mounted { cfs, _session: session, root, directory }
    }

    /// A member of the cluster of `shared`, with itself as the only member that corosync sees.
    fn member(shared: &Path) -> Mounted {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("etc/corosync")).unwrap();
        fs::create_dir_all(directory.path().join("var/lib/pve-lab")).unwrap();
        fs::create_dir_all(directory.path().join("var/lib/pve-cluster")).unwrap();
        symlink(shared, directory.path().join("var/lib/pve-lab/shared")).unwrap();
        fs::write(directory.path().join("etc/corosync/authkey"), "key").unwrap();
        fs::write(directory.path().join("etc/corosync/corosync.conf"), "totem {\n  config_version: 1\n}\n")
            .unwrap();
        Mounted::new(directory, "10.0.0.1")
    }

    fn set_quorum(&self, is_quorate: bool) {
        let nodes = [(self.cfs.nodename.clone(), 1)].into();
        self.cfs.cluster_seen(ClusterInfo { name: "c".to_owned(), version: 1, nodes });
        self.cfs.quorum_seen(QuorumView { is_quorate, members: [1].into() });
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Errno {
    Errno::from_raw(result.unwrap_err().raw_os_error().unwrap())
}

#[test]
fn mode_and_owner_are_fixed() {
    let pve = Mounted::standalone();
    let file = pve.at("f");
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).unwrap().write_all(b"x").unwrap();
    let meta = fs::metadata(&file).unwrap();
    assert_eq!((meta.mode(), meta.uid(), meta.gid()), (0o100_640, 0, 33));
    let chmod = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode));
    assert_eq!(chmod(0o640).unwrap(), ());
    assert_eq!(errno(chmod(0o600)), Errno::EPERM);
    assert_eq!(chown(&file, Some(0), Some(33)).unwrap(), ());
    assert_eq!(errno(chown(&file, Some(0), Some(0))), Errno::EPERM);
    fs::create_dir(pve.at("priv")).unwrap();
    assert_eq!(fs::metadata(pve.at("priv")).unwrap().mode(), 0o40_700);
    fs::write(pve.at("priv/key"), "k").unwrap();
    assert_eq!(fs::metadata(pve.at("priv/key")).unwrap().mode(), 0o100_600);
}

#[test]
fn links_and_pipes_are_refused() {
    let pve = Mounted::standalone();
    fs::write(pve.at("f"), "x").unwrap();
    assert_eq!(errno(symlink("f", pve.at("s"))), Errno::ENOSYS);
    assert_eq!(errno(fs::hard_link(pve.at("f"), pve.at("h"))), Errno::EPERM);
    assert_eq!(mkfifo(&pve.at("p"), Mode::S_IRUSR), Err(Errno::ENOSYS));
    assert_eq!(errno(fs::remove_file(pve.at("local"))), Errno::EACCES);
    let node = &pve.cfs.nodename;
    assert_eq!(fs::read_link(pve.at("lxc")).unwrap(), Path::new(&format!("nodes/{node}/lxc")));
    assert_eq!(errno(fs::write(pve.at(".members"), "x")), Errno::EIO);
}

#[test]
fn a_large_file_is_refused_at_one_mebibyte() {
    let pve = Mounted::standalone();
    fs::write(pve.at("f"), vec![0; 1024 * 1024]).unwrap();
    let mut file = OpenOptions::new().append(true).open(pve.at("f")).unwrap();
    assert_eq!(errno(file.write_all(b"x")), Errno::EFBIG);
    assert_eq!(fs::metadata(pve.at("f")).unwrap().len(), 1024 * 1024);
}

#[test]
fn the_tree_survives_a_remount() {
    let pve = Mounted::standalone();
    fs::write(pve.at("f"), "kept").unwrap();
    let Mounted { cfs, _session, directory, .. } = pve;
    drop((cfs, _session));
    let again = Mounted::new(directory, "10.0.0.1");
    assert_eq!(fs::read_to_string(again.at("f")).unwrap(), "kept");
}

#[test]
fn after_a_write_of_the_database_that_failed_nothing_can_be_changed_until_a_new_start() {
    let pve = Mounted::standalone();
    fs::write(pve.at("f"), "kept").unwrap();
    let folder = pve.directory.path().join("var/lib/pve-cluster");
    fs::rename(&folder, folder.with_extension("full")).unwrap();
    assert_eq!(errno(fs::create_dir(pve.at("d"))), Errno::EIO);
    fs::rename(folder.with_extension("full"), &folder).unwrap();
    assert_eq!(errno(fs::remove_file(pve.at("f"))), Errno::EIO);
    assert_eq!(fs::read_to_string(pve.at("f")).unwrap(), "kept");
    let Mounted { cfs, _session, directory, .. } = pve;
    drop((cfs, _session));
    fs::remove_file(Mounted::new(directory, "10.0.0.1").at("f")).unwrap();
}

#[test]
fn without_quorum_everything_is_refused_and_the_old_view_stays() {
    let shared = tempfile::tempdir().unwrap();
    let pve = Mounted::member(shared.path());
    assert_eq!(errno(fs::write(pve.at("f"), "x")), Errno::EACCES);
    pve.set_quorum(true);
    fs::write(pve.at("f"), "x").unwrap();
    pve.set_quorum(false);
    assert_eq!(fs::read_to_string(pve.at("f")).unwrap(), "x");
    assert_eq!(fs::metadata(pve.at("f")).unwrap().mode(), 0o100_440);
    assert_eq!(errno(fs::create_dir(pve.at("d"))), Errno::EACCES);
    assert_eq!(errno(fs::rename(pve.at("f"), pve.at("g"))), Errno::EACCES);
    assert_eq!(errno(fs::remove_file(pve.at("f"))), Errno::EACCES);
    let mut file = OpenOptions::new().append(true).open(pve.at("f")).unwrap();
    assert_eq!(errno(file.write_all(b"y")), Errno::EACCES);
}

#[test]
fn members_of_one_cluster_see_each_write_when_it_returns() {
    let shared = tempfile::tempdir().unwrap();
    let (one, two) = (Mounted::member(shared.path()), Mounted::member(shared.path()));
    one.set_quorum(true);
    two.set_quorum(true);
    for round in 0..20 {
        let text = format!("round {round}");
        fs::write(one.at("f"), &text).unwrap();
        assert_eq!(fs::read_to_string(two.at("f")).unwrap(), text);
    }
    fs::create_dir(one.at("lock")).unwrap();
    assert_eq!(fs::create_dir(two.at("lock")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    two.set_quorum(false);
    fs::write(one.at("f"), "unseen").unwrap();
    assert_eq!(fs::read_to_string(two.at("f")).unwrap(), "round 19");
    two.set_quorum(true);
    assert_eq!(fs::read_to_string(two.at("f")).unwrap(), "unseen");
}
