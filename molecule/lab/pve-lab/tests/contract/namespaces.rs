//! Nodes as namespaces of this machine: each has its own root directory, network, processes and host name, the real
//! emulator with its real FUSE mount and TLS, and fakes for corosync and systemd. Needs root or user namespaces.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;

use crate::bench::{Bench, ENVIRONMENT, address};
use crate::fakes;

/// The world's network: one bridge a link, one network namespace a node, nothing that leads outside.
const WORLD: &str = "\
set -e
mount --make-rprivate /
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

/// Turns a namespace into a node: $1 world folder, $2 name, $3 test binary, $4 emulator.
const NODE: &str = "\
set -e
mount --make-rprivate /
root=$1/$2
hostname $2
mount --bind $1/usr $root/usr
mount --bind /usr $root/host/usr
mount --bind $3 $root/usr/lib/contract/fake
mount --bind $4 $root/usr/lib/pve-lab/pve-lab
mount --rbind /dev $root/dev
mount --rbind /sys $root/sys
mount -t proc proc $root/proc
mount -t tmpfs tmpfs $root/run
mkdir -m 1777 $root/run/lock
mount --bind $1/shared $root/var/lib/pve-lab/shared
mount --bind $1/fabric $root/var/lib/fabric
exec chroot $root /usr/lib/contract/init
";

/// All nodes of one scenario.
pub struct Namespaces {
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

fn test_binary() -> PathBuf {
    std::env::current_exe().expect("the test knows its own file")
}

impl Namespaces {
    pub fn new() -> Namespaces {
        let folder = tempfile::Builder::new().prefix("pve-contract").tempdir().expect("temporary folder");
        for name in ["shared", "fabric", "bin"] {
            fs::create_dir(folder.path().join(name)).expect("temporary folder");
        }
        symlink(test_binary(), folder.path().join("bin/https-request")).expect("temporary folder");
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
        Namespaces { folder, world, nodes: BTreeMap::new() }
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

impl Bench for Namespaces {
    fn fresh(&mut self, node: &str) {
        if self.nodes.contains_key(node) {
            self.kill(node);
        }
        let root = self.root(node);
        if root.exists() {
            fs::remove_dir_all(&root).expect("the node is off, nothing is mounted");
        }
        install(&root, node);
        self.boot(node);
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
            .arg(node)
            .arg(test_binary())
            .arg(env!("CARGO_BIN_EXE_pve-lab"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nsenter is installed");
        let life = child.stdin.take();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        lines.read_line(&mut said).expect("the node speaks");
        assert_eq!(said, "booted\n", "{node} does not boot");
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
        command.args(["--target", &pid.to_string(), "--mount", "--uts", "--net", "--pid", "--root", "--wd=/root"]);
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

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
            self.kill(&name);
        }
        // `cat` ends with its input.
        drop(self.world.stdin.take());
        let _ = self.world.wait();
    }
}

/// The programs that all nodes share: those of this machine, the emulator's links, and the fakes over them.
fn programs(usr: &Path) {
    for folder in ["bin", "sbin", "lib"] {
        let to = usr.join(folder);
        fs::create_dir_all(&to).expect("temporary folder");
        for entry in fs::read_dir(format!("/usr/{folder}")).expect("this machine has programs") {
            let name = entry.expect("a readable folder").file_name();
            symlink(Path::new("/host/usr").join(folder).join(&name), to.join(&name)).expect("temporary folder");
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

/// The disk of a freshly installed node.
fn install(root: &Path, node: &str) {
    let folders = "usr host/usr dev sys proc run tmp root/.ssh var/log/pve/tasks var/lib/pve-cluster var/lib/fabric \
                   var/lib/pve-lab/shared var/lib/dpkg var/lib/corosync etc/corosync/uidgid.d etc/ssh etc/network etc/pve var/tmp";
    for folder in folders.split_whitespace() {
        fs::create_dir_all(root.join(folder)).expect("temporary folder");
    }
    for (link, target) in
        [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("var/lock", "/run/lock"), ("var/run", "/run")]
    {
        symlink(target, root.join(link)).expect("temporary folder");
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("temporary folder");
    fs::set_permissions(root.join("root/.ssh"), fs::Permissions::from_mode(0o700)).expect("temporary folder");
    // Accounts, name services, libraries and terminals as this machine has them.
    for name in ["passwd", "group", "nsswitch.conf", "ld.so.cache", "alternatives", "ssl", "pam.d", "security", "login.defs"] {
        let copied = Command::new("cp").arg("-a").arg(format!("/etc/{name}")).arg(root.join("etc")).status();
        assert!(copied.is_ok_and(|status| status.success()), "/etc/{name} can't be copied");
    }
    let address = address(node, 0);
    let files = [
        ("etc/hostname", format!("{node}\n")),
        ("etc/hosts", format!("127.0.0.1 localhost.localdomain localhost\n{address} {node}.oracle.test {node}\n")),
        ("etc/resolv.conf", "search oracle.test\nnameserver 10.88.0.1\noptions timeout:1 attempts:1\n".to_owned()),
        ("etc/ssh/sshd_config", "PermitRootLogin yes\n".to_owned()),
        ("etc/shadow", format!("root:{}:20000:0:99999:7:::\n", password_hash("Secret123!"))),
        ("root/.ssh/authorized_keys", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnwWTvpRCDIDyFcOq9XbuaFbX3Pt4PTWdDVYKbBk7uQ oracle-lab\n".to_owned()),
        ("var/lib/pve-lab/delays", "off\n".to_owned()),
    ];
    for (path, text) in files {
        fs::write(root.join(path), text).expect("temporary folder");
    }
    for path in ["root/.ssh/authorized_keys", "etc/shadow"] {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o600)).expect("temporary folder");
    }
    for (kind, bits) in [("rsa", "2048"), ("ed25519", "256")] {
        let file = root.join(format!("etc/ssh/ssh_host_{kind}_key"));
        let comment = format!("root@{node}");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", kind, "-b", bits, "-N", "", "-C", &comment, "-f"])
            .arg(file)
            .status();
        assert!(made.is_ok_and(|status| status.success()), "ssh-keygen makes no host key");
    }
}

/// As /etc/shadow holds it.
fn password_hash(password: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["passwd", "-6", "-salt", "contract", "-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(format!("{password}\n").as_bytes()).expect("openssl reads");
    drop(input);
    let output = child.wait_with_output().expect("openssl ends");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
