//! How this machine reaches the nodes: the lab's own ssh key, the nodes' host keys, the inventory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::docker;
use super::layout::{CLUSTER, LINKS, Node};
use crate::command::Cmd;
use crate::project::Project;
use crate::tool;

/// The lab's state on this machine.
pub struct Access {
    dir: PathBuf,
    inventory: PathBuf,
}

impl Access {
    /// Makes the lab's key unless it is there.
    pub fn prepare(project: &Project) -> Result<Access> {
        let access = Access { dir: project.lab(), inventory: project.lab_inventory() };
        fs::create_dir_all(&access.dir).with_context(|| format!("can't make {}", access.dir.display()))?;
        tool::need("ssh", "openssh-client")?;
        let key = access.key();
        if !key.exists() {
            let mut making =
                Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "sddc-pve-lab"]);
            making = making.arg("-f").arg(&key);
            making.read()?;
        }
        let authorized = access.authorized_keys();
        fs::copy(key.with_extension("pub"), &authorized)?;
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o600))?;
        Ok(access)
    }

    /// The private key.
    pub fn key(&self) -> PathBuf {
        self.dir.join("id_ed25519")
    }

    /// What a node's root is given as authorized_keys.
    pub fn authorized_keys(&self) -> PathBuf {
        self.dir.join("authorized_keys")
    }

    /// The public key itself, to tell this checkout's lab from another's.
    pub fn public_key(&self) -> Result<String> {
        let text = fs::read_to_string(self.authorized_keys())?;
        text.split_whitespace().nth(1).map(str::to_owned).context("the lab's public key is damaged")
    }

    fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// Where Ansible keeps its open connections to a node: apart from the others', to end them alone.
    fn sockets(&self, node: Node) -> PathBuf {
        self.dir.join("cp").join(node.name())
    }

    /// Options of ssh: the lab's key and no other, the nodes' keys as read from the nodes and no other.
    pub fn ssh_options(&self) -> Vec<String> {
        vec![
            format!("-oIdentityFile={}", self.key().display()),
            format!("-oUserKnownHostsFile={}", self.known_hosts().display()),
            "-oGlobalKnownHostsFile=/dev/null".to_owned(),
            "-oIdentitiesOnly=yes".to_owned(),
            "-oStrictHostKeyChecking=yes".to_owned(),
            "-oConnectTimeout=5".to_owned(),
            // A node that lost power or network is noticed after 15 s, not after TCP's quarter of an hour.
            "-oServerAliveInterval=5".to_owned(),
            "-oServerAliveCountMax=3".to_owned(),
        ]
    }

    /// ssh to a node, as root.
    pub fn ssh(&self, node: Node) -> Cmd {
        Cmd::new("ssh").args(self.ssh_options()).arg(format!("root@{}", node.address(LINKS[0])))
    }

    /// Reads the host keys of these nodes and writes known_hosts and the inventory.
    /// A node that does not run keeps the keys that were read while it did.
    pub fn write(&self, nodes: &[Node]) -> Result<()> {
        // Nodes may be made anew side by side, while others are logged in to.
        static WRITING: Mutex<()> = Mutex::new(());
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let before = fs::read_to_string(self.known_hosts()).unwrap_or_default();
        let mut known = String::new();
        for node in nodes {
            let hosts = format!("{},{node}", node.address(LINKS[0]));
            let script = "cat /etc/ssh/ssh_host_*_key.pub";
            let keys = docker::exec(&node.container(), &["sh", "-c", script], 10)?;
            match keys.status.success() {
                true => known.push_str(&host_lines(&hosts, &String::from_utf8_lossy(&keys.stdout))),
                false => known.extend(
                    before.lines().filter(|line| line.starts_with(&hosts)).map(|line| format!("{line}\n")),
                ),
            }
        }
        replace(&self.known_hosts(), &known)?;
        replace(&self.inventory, &self.inventory_text(nodes))
    }

    fn inventory_text(&self, nodes: &[Node]) -> String {
        let mut text =
            String::from("# Written by `cargo xtask lab`: the nodes of the lab.\n[proxmox_nodes]\n");
        for node in nodes {
            text.push_str(&format!("{node} ansible_host={}", node.address(LINKS[0])));
            for link in LINKS {
                text.push_str(&format!(" pve_link{}={}", link.0, node.address(link)));
            }
            text.push_str(&format!(" ansible_control_path_dir={}\n", self.sockets(*node).display()));
        }
        text.push_str(&format!(
            "\n[proxmox_nodes:vars]\n\
             ansible_user=root\n\
             ansible_python_interpreter=/usr/bin/python3\n\
             ansible_ssh_common_args=\"{}\"\n\
             cluster_name={CLUSTER}\n",
            self.ssh_options().join(" "),
        ));
        text
    }

    /// Ends the ssh connections to a node that Ansible keeps open: to a node that is gone they would hang.
    pub fn close_connections(&self, node: Node) -> Result<()> {
        // No directory: Ansible never connected.
        for socket in fs::read_dir(self.sockets(node)).into_iter().flatten() {
            let socket = socket?.path();
            // A socket that nobody listens on any more refuses: it only has to go.
            Cmd::new("timeout").args(["5", "ssh", "-O", "exit", "-S"]).arg(&socket).arg("lab").succeeds();
            let _ = fs::remove_file(&socket);
        }
        Ok(())
    }

    /// Forgets the nodes; the key stays, so that a later lab lets in who was let in before.
    pub fn forget(&self, nodes: &[Node]) -> Result<()> {
        for node in nodes {
            self.close_connections(*node)?;
        }
        for file in [self.known_hosts(), self.inventory.clone()] {
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

/// As a whole: somebody may be reading it.
fn replace(path: &Path, text: &str) -> Result<()> {
    let aside = path.with_extension("new");
    fs::write(&aside, text)
        .and_then(|()| fs::rename(&aside, path))
        .with_context(|| format!("can't write {}", path.display()))
}

fn host_lines(hosts: &str, keys: &str) -> String {
    let line = |key: &str| {
        let mut words = key.split_whitespace();
        Some(format!("{hosts} {} {}\n", words.next()?, words.next()?))
    };
    keys.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_host_is_address_and_name_without_the_comment() {
        let keys = "ssh-ed25519 AAAA root@pve1\nssh-rsa BBBB root@pve1\n";
        assert_eq!(
            host_lines("10.88.0.11,pve1", keys),
            "10.88.0.11,pve1 ssh-ed25519 AAAA\n10.88.0.11,pve1 ssh-rsa BBBB\n"
        );
    }

    #[test]
    fn the_inventory_names_every_node_with_its_links() {
        let access = Access { dir: "/lab".into(), inventory: "/lab/inventory.ini".into() };
        let text = access.inventory_text(&Node::first(2));
        assert!(text.contains("pve2 ansible_host=10.88.0.12 pve_link0=10.88.0.12 pve_link1=10.89.0.12 "));
        assert!(text.contains("-oStrictHostKeyChecking=yes"));
    }
}
