//! Nodes as namespaces of this machine: each has its own root directory, network, processes and host name, the real
//! emulator with its real FUSE mount and TLS, and fakes for corosync and systemd. Needs root or user namespaces.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use crate::bench::{Bench, ENVIRONMENT};
use crate::{disk, fakes};

/// The world's network: one bridge a link, one network namespace a node, nothing that leads outside. What this machine
/// has mounted of other namespaces is let go: each container that is removed meanwhile would keep its network, and
/// answer at the address of the one that is made in its place.
const WORLD: &str = "\
set -e
mount --make-rprivate /
while read -r _ _ _ _ place rest; do
  case $rest in *' nsfs '*) umount --lazy \"$place\" ;; esac
done </proc/self/mountinfo
mount -t tmpfs tmpfs /run
ip link set lo up
for link in 0 1; do
  ip link add br$link type bridge
  ip address add 10.$((88 + link)).0.1/24 dev br$link
  ip link set br$link up
done
for number in 1 2 3 4; do
  ip netns add pve$number
  ip -n pve$number link set lo up
  ip link add p${number}l0 type veth peer name vmbr0 netns pve$number
  ip link add p${number}l1 type veth peer name nic1 netns pve$number
  for link in 0 1; do
    ip link set p${number}l$link master br$link
    ip link set p${number}l$link up
  done
  ip -n pve$number address add 10.88.0.1$number/24 dev vmbr0
  ip -n pve$number address add 10.89.0.1$number/24 dev nic1
  ip -n pve$number link set vmbr0 up
  ip -n pve$number link set nic1 up
done
echo ready
exec cat
";

/// Turns a namespace into a node: $1 world folder, $2 name.
const NODE: &str = "\
set -e
mount --make-rprivate /
root=$1/$2
hostname $2
mount --bind $1/usr $root/usr
mount --bind /usr $root/host/usr
mount --bind $1/bin/fake $root/usr/lib/contract/fake
mount --bind $1/bin/pve-lab $root/usr/lib/pve-lab/pve-lab
mount --rbind /dev $root/dev
mount --rbind /sys $root/sys
mount -t proc proc $root/proc
mount -t tmpfs tmpfs $root/run
mkdir -m 1777 $root/run/lock
mount --bind $1/shared $root/var/lib/pve-lab/shared
mount --bind $1/fabric $root/var/lib/fabric
exec chroot $root /usr/lib/contract/init
";

/// Disks of nodes that have booted once: making keys and certificates takes seconds, copying them does not.
#[derive(Default)]
pub struct Disks(Mutex<BTreeMap<String, TempDir>>);

/// All nodes of one scenario.
pub struct Namespaces<'a> {
    disks: &'a Disks,
    folder: TempDir,
    world: Child,
    nodes: BTreeMap<String, Node>,
}

struct Node {
    child: Child,
    /// The node ends when this closes.
    _life: Option<ChildStdin>,
    /// Process 1 of the node, as this machine numbers it.
    pid: u32,
}

impl<'a> Namespaces<'a> {
    pub fn new(disks: &'a Disks) -> Namespaces<'a> {
        let folder = tempfile::Builder::new().prefix("pve-contract").tempdir().expect("temporary folder");
        for name in ["shared", "fabric", "bin"] {
            fs::create_dir(folder.path().join(name)).expect("temporary folder");
        }
        let bin = folder.path().join("bin");
        // Copies: a build that goes on meanwhile must not take the programs away from under the nodes.
        for (program, name) in [("/proc/self/exe", "fake"), (env!("CARGO_BIN_EXE_pve-lab"), "pve-lab")] {
            fs::copy(program, bin.join(name)).expect("temporary folder");
        }
        symlink("fake", bin.join("https-request")).expect("temporary folder");
        programs(&folder.path().join("usr"));
        let mut world = Command::new("unshare")
            .args(["--mount", "--net", "sh", "-c", WORLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is installed");
        let mut said = String::new();
        let mut lines = BufReader::new(world.stdout.take().expect("piped"));
        lines.read_line(&mut said).expect("the world speaks");
        assert_eq!(said, "ready\n", "the namespaces for the test network can't be made: run as root");
        Namespaces { disks, folder, world, nodes: BTreeMap::new() }
    }

    fn root(&self, node: &str) -> PathBuf {
        self.folder.path().join(node)
    }

    fn in_world(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.world.id().to_string(), "--mount", "--net", "--"]);
        command
    }
}

impl Bench for Namespaces<'_> {
    fn fresh(&mut self, node: &str, with_new_keys: bool) {
        if self.nodes.contains_key(node) {
            self.kill(node);
        }
        let root = self.root(node);
        if root.exists() {
            fs::remove_dir_all(&root).expect("the node is off, nothing is mounted");
        }
        match self.disks.lock().get(node).filter(|_| !with_new_keys) {
            Some(disk) => copy(&disk.path().join(node), self.folder.path()),
            None => disk::install(&root, node),
        }
        self.boot(node);
    }

    fn settled(&mut self, node: &str) {
        let mut disks = self.disks.lock();
        if !disks.contains_key(node) {
            let disk =
                tempfile::Builder::new().prefix("pve-contract-disk").tempdir().expect("temporary folder");
            copy(&self.root(node), disk.path());
            disks.insert(node.to_owned(), disk);
        }
    }

    fn kill(&mut self, node: &str) {
        let mut node = self.nodes.remove(node).expect("the node runs");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(node.pid).expect("a process number"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("the node runs");
        node.child.wait().expect("the node is a child of this test");
    }

    fn boot(&mut self, node: &str) {
        let mut command = self.in_world();
        command
            .args(["nsenter", &format!("--net=/run/netns/{node}"), "unshare"])
            .args(["--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c", NODE, "node"])
            .arg(self.folder.path())
            .arg(node);
        // What the making says is of interest only when it fails: the end of a node is loud too.
        let log = self.folder.path().join(format!("{node}.log"));
        let file = fs::File::create(&log).expect("temporary folder");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().expect("nsenter is installed");
        let life = child.stdin.take();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        lines.read_line(&mut said).expect("the node speaks");
        let log = fs::read_to_string(log).unwrap_or_default();
        assert_eq!(said, "booted\n", "{node} does not boot: {log}");
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id()));
        let pid = children.ok().and_then(|pids| pids.trim().parse().ok()).expect("unshare has one child");
        self.nodes.insert(node.to_owned(), Node { child, _life: life, pid });
    }

    fn plug(&mut self, node: &str, link: u8, is_plugged: bool) {
        let port = format!("p{}l{link}", &node[3..]);
        let state = if is_plugged { "up" } else { "down" };
        let done = self.in_world().args(["ip", "link", "set", &port, state]).status();
        assert!(done.is_ok_and(|status| status.success()), "{port} can't be set {state}");
        let cuts = self.folder.path().join("fabric").join(fakes::CUTS);
        let line = format!("{node} {link}\n");
        let mut text = fs::read_to_string(&cuts).unwrap_or_default().replace(&line, "");
        if !is_plugged {
            text.push_str(&line);
        }
        fs::write(cuts, text).expect("the fabric is writable");
    }

    fn command(&self, node: &str, argv: &[&str], on_terminal: bool) -> Command {
        let pid = self.nodes.get(node).unwrap_or_else(|| panic!("{node} is off")).pid;
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &pid.to_string(),
            "--mount",
            "--uts",
            "--net",
            "--pid",
            "--root",
            "--wd=/root",
        ]);
        command.args(["--", "/usr/bin/env", "-i", "-C", "/root"]).args(ENVIRONMENT);
        if on_terminal {
            command.args(["setsid", "--ctty", "--wait"]);
        }
        command.args(argv);
        command
    }

    fn https(&self, address: &str) -> Command {
        let mut command = self.in_world();
        command.arg(self.folder.path().join("bin/https-request")).arg(address);
        command
    }

    fn is_genuine(&self) -> bool {
        false
    }
}

impl Drop for Namespaces<'_> {
    fn drop(&mut self) {
        for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
            self.kill(&name);
        }
        // `cat` ends with its input.
        drop(self.world.stdin.take());
        let _ = self.world.wait();
    }
}

impl Disks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, TempDir>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies a disk into a folder. What a node mounts is not seen from here.
fn copy(disk: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(disk).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} can't be copied", disk.display());
}

/// The programs that all nodes share: those of this machine, the emulator's links, and the fakes over them.
fn programs(usr: &Path) {
    for folder in ["bin", "sbin", "lib"] {
        let to = usr.join(folder);
        fs::create_dir_all(&to).expect("temporary folder");
        for entry in fs::read_dir(format!("/usr/{folder}")).expect("this machine has programs") {
            let name = entry.expect("a readable folder").file_name();
            symlink(Path::new("/host/usr").join(folder).join(&name), to.join(&name))
                .expect("temporary folder");
        }
    }
    for name in ["share", "lib64", "libexec"] {
        symlink(Path::new("/host/usr").join(name), usr.join(name)).expect("temporary folder");
    }
    for (folder, file) in [("contract", "fake"), ("pve-lab", "pve-lab")] {
        fs::create_dir(usr.join("lib").join(folder)).expect("temporary folder");
        fs::write(usr.join("lib").join(folder).join(file), "").expect("temporary folder");
    }
    let links = fs::read_to_string(image().join("links.txt")).expect("the image lists the emulator's names");
    for link in links.lines().filter(|line| line.starts_with('/')) {
        place(usr, link, "/usr/lib/pve-lab/pve-lab");
    }
    for (folder, name) in fakes::NAMES {
        place(usr, &format!("{folder}/{name}"), fakes::PROGRAM);
    }
}

fn place(usr: &Path, path: &str, target: &str) {
    let at = usr.join(path.strip_prefix("/usr/").expect("programs are below /usr"));
    let _ = fs::remove_file(&at);
    symlink(target, at).expect("temporary folder");
}

/// What the lab's node image is made of.
fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../image")
}
