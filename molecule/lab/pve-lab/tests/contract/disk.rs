//! The disk of a freshly installed node in a namespace: folders, accounts, addresses, keys. Knows nothing of what
//! runs on it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bench::address;

/// As Debian ships it, without its comments, and as Proxmox VE's installer leaves it.
const SSHD_CONFIG: &str = "\
Include /etc/ssh/sshd_config.d/*.conf
PermitRootLogin yes
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_* COLORTERM NO_COLOR
Subsystem\tsftp\t/usr/lib/openssh/sftp-server
";

/// As the installer writes it.
const HOSTS: &str = "\
127.0.0.1 localhost.localdomain localhost
ADDRESS NODE.oracle.test NODE

# The following lines are desirable for IPv6 capable hosts

::1     ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff00::0 ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
ff02::3 ip6-allhosts
";

/// The recorded nodes' networks.
const INTERFACES: &str = "\
auto lo
iface lo inet loopback

iface nic0 inet manual

auto vmbr0
iface vmbr0 inet static
\taddress 10.88.0.1NUMBER/24
\tbridge-ports nic0
\tbridge-stp off
\tbridge-fd 0

auto nic1
iface nic1 inet static
\taddress 10.89.0.1NUMBER/24


source /etc/network/interfaces.d/*
";

/// The disk of a freshly installed node.
pub fn install(root: &Path, node: &str) {
    let folders = "usr host/usr dev sys proc run tmp root/.ssh var/log/pve/tasks var/lib/pve-cluster var/lib/fabric \
                   var/lib/pve-lab/shared var/lib/dpkg var/lib/corosync etc/corosync/uidgid.d etc/ssh etc/network etc/pve var/tmp";
    for folder in folders.split_whitespace() {
        fs::create_dir_all(root.join(folder)).expect("temporary folder");
    }
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("var/lock", "/run/lock"),
        ("var/run", "/run"),
    ] {
        symlink(target, root.join(link)).expect("temporary folder");
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("temporary folder");
    for folder in ["root", "root/.ssh"] {
        fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o700)).expect("temporary folder");
    }
    // Accounts, name services, libraries and terminals as this machine has them.
    for name in [
        "passwd",
        "group",
        "nsswitch.conf",
        "ld.so.cache",
        "alternatives",
        "ssl",
        "pam.d",
        "security",
        "login.defs",
    ] {
        let copied = Command::new("cp").arg("-a").arg(format!("/etc/{name}")).arg(root.join("etc")).status();
        assert!(copied.is_ok_and(|status| status.success()), "/etc/{name} can't be copied");
    }
    let address = address(node, 0);
    let files = [
        ("etc/hostname", format!("{node}\n")),
        ("etc/hosts", HOSTS.replace("NODE", node).replace("ADDRESS", &address)),
        ("etc/network/interfaces", INTERFACES.replace("NUMBER", &node[3..])),
        (
            "etc/resolv.conf",
            "search oracle.test\nnameserver 10.88.0.1\noptions timeout:1 attempts:1\n".to_owned(),
        ),
        ("etc/ssh/sshd_config", SSHD_CONFIG.to_owned()),
        ("etc/ssh/moduli", String::new()),
        ("etc/ssh/ssh_config", String::new()),
        ("etc/shadow", format!("root:{}:20000:0:99999:7:::\n", password_hash("Secret123!"))),
        (
            "root/.ssh/authorized_keys",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnwWTvpRCDIDyFcOq9XbuaFbX3Pt4PTWdDVYKbBk7uQ oracle-lab\n"
                .to_owned(),
        ),
        ("var/lib/pve-lab/delays", "off\n".to_owned()),
    ];
    for (path, text) in files {
        fs::write(root.join(path), text).expect("temporary folder");
    }
    for path in ["root/.ssh/authorized_keys", "etc/shadow"] {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o600)).expect("temporary folder");
    }
    for folder in ["ssh_config.d", "sshd_config.d"] {
        fs::create_dir(root.join("etc/ssh").join(folder)).expect("temporary folder");
    }
    for (kind, bits) in [("rsa", "2048"), ("ed25519", "256"), ("ecdsa", "256")] {
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
