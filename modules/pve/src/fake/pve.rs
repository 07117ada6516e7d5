//! PVE's own programs on a fake node, as far as forming a cluster needs them: they change the fake as PVE
//! changes a node, and like PVE's they end with 0 whatever came of it.

use std::fs;

use super::Machine;
use super::machine::certificate;
use super::programs::printed;
use crate::corosync_conf::{ConfNode, CorosyncConf, NewCluster, NewLink};
use crate::{Cmd, Output, Partner, RunError, Turn};

const SHARED: &str = "/etc/pve/corosync.conf";
const LOCAL: &str = "/etc/corosync/corosync.conf";

/// Runs one of them; `None` for any other program.
pub(super) fn run(machine: &mut Machine, cmd: &Cmd) -> Option<Result<Output, RunError>> {
    let args: Vec<&str> = cmd.args.iter().map(String::as_str).collect();
    let text = match (cmd.program.as_str(), args.as_slice()) {
        ("pvecm", ["create", name, options @ ..]) => create(machine, name, options),
        ("pvecm", ["add", _, options @ ..]) => add(machine, options, cmd.input()),
        ("pvecm", ["updatecerts", options @ ..]) => updatecerts(machine, options.contains(&"--force")),
        ("pvecm", ["delnode", name]) => delnode(machine, name),
        ("pvecm", ["expected", "1"]) => {
            machine.expected = Some(1);
            String::new()
        }
        ("pvesh", ["create", path, options @ ..]) => admit(machine, path, options)?,
        ("pmxcfs", ["-l"]) => {
            machine.mount_local();
            String::new()
        }
        ("killall", ["pmxcfs"]) => {
            machine.stop_local();
            String::new()
        }
        ("sqlite3", [_, ".dump"]) => "BEGIN TRANSACTION;\nCOMMIT;\n".to_owned(),
        ("gzip", ["-f", path]) => {
            let path = machine.path(path);
            let _ = fs::rename(&path, path.with_extension("sql.gz"));
            String::new()
        }
        ("sshd", ["-T", ..]) => {
            "permitrootlogin yes\nauthorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\n".to_owned()
        }
        ("ssh", ["-V"]) => {
            let stderr = "OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1 1 Jul 2025\n".to_owned();
            return Some(Ok(Output { code: Some(0), stdout: String::new(), stderr }));
        }
        ("perl", ["-MPVE::AccessControl", "-e", _]) => "PVE:root@pam:6A61F1E0::TICKET-SECRET==".to_owned(),
        ("tar", ["--create", "--gzip", "--file", path, ..]) => {
            machine.write(path, "a copy");
            String::new()
        }
        ("logger" | "kill", _) => String::new(),
        ("journalctl", ["-u", "corosync", ..]) => "  [KNET  ] host: host: 1 has no active links\n".to_owned(),
        _ => return None,
    };
    Some(Ok(printed(text)))
}

/// `pvecm add` at a terminal: asks for the password, shows the peer's certificate, asks for a yes.
pub(super) fn converse(
    machine: &mut Machine,
    cmd: &Cmd,
    partner: &mut Partner<'_>,
) -> Result<Output, RunError> {
    let args: Vec<&str> = cmd.args.iter().map(String::as_str).collect();
    let ("pvecm", ["add", peer, options @ ..]) = (cmd.program.as_str(), args.as_slice()) else {
        return Err(RunError::NotFound { program: cmd.program.clone() });
    };
    let mut ask = |shown: &str| match partner(shown, true) {
        Turn::Say(text) => Some(text),
        Turn::Wait | Turn::HangUp => None,
    };
    let killed = Ok(Output::default());
    let question = format!("Please enter superuser (root) password for '{peer}': ");
    let Some(password) = ask(&question) else { return killed };
    let shown = machine.peer_certificate.clone();
    let question = format!(
        "X509 SHA256 key fingerprint is {shown}.\nAre you sure you want to continue connecting (yes/no)? "
    );
    let Some(answer) = ask(&question) else { return killed };
    assert_eq!(secrecy::ExposeSecret::expose_secret(&answer), "yes");
    let password = format!("{}\n", secrecy::ExposeSecret::expose_secret(&password));
    Ok(printed(add(machine, options, &password)))
}

/// Options `--linkN address[,priority=P]` and others by name.
fn links(options: &[&str]) -> Vec<NewLink> {
    let pairs = options.chunks(2).filter_map(|pair| Some((pair[0].strip_prefix("--link")?, *pair.get(1)?)));
    pairs
        .filter_map(|(number, value)| {
            let (address, priority) = value.split_once(",priority=").unwrap_or((value, ""));
            Some(NewLink {
                number: number.parse().ok()?,
                address: address.to_owned(),
                priority: priority.parse().ok(),
            })
        })
        .collect()
}

fn number(options: &[&str], name: &str) -> Option<u32> {
    let at = options.iter().position(|option| *option == name)?;
    options.get(at + 1)?.parse().ok()
}

fn create(machine: &mut Machine, name: &str, options: &[&str]) -> String {
    let conf = CorosyncConf::create(&NewCluster {
        cluster_name: name.to_owned(),
        node: machine.hostname.clone(),
        nodeid: number(options, "--nodeid").unwrap_or(1),
        votes: number(options, "--votes").unwrap_or(1),
        links: links(options),
        token_coefficient: Some(125),
    });
    machine.write("/etc/corosync/authkey", [7; 256]);
    machine.write(SHARED, conf.render());
    machine.write(LOCAL, conf.render());
    machine.write("/etc/pve/priv/known_hosts", "fake ssh-rsa AAAA\n");
    machine.start("corosync.service");
    "Writing corosync config to /etc/pve/corosync.conf\nRestart corosync and cluster filesystem\n".to_owned()
}

fn admit(machine: &mut Machine, path: &str, options: &[&str]) -> Option<String> {
    let name = path.strip_prefix("/cluster/config/nodes/")?;
    let mut conf = CorosyncConf::parse(&machine.read(SHARED)).ok()?;
    let listed = conf.nodes().into_iter().map(|node| node.name);
    // Whoever was listed is online as before; the new node is not up yet.
    machine.online = Some(machine.online.take().unwrap_or_else(|| listed.collect()));
    conf.put_node(&ConfNode {
        name: name.to_owned(),
        nodeid: number(options, "--nodeid").unwrap_or_else(|| conf.free_nodeid()),
        votes: number(options, "--votes").unwrap_or(1),
        links: links(options).into_iter().map(|link| (link.number, link.address)).collect(),
    });
    conf.increase_version();
    machine.write(SHARED, conf.render());
    machine.write(LOCAL, conf.render());
    fs::create_dir_all(machine.path(&format!("/etc/pve/nodes/{name}"))).ok()?;
    Some(r#"{"corosync_authkey":"SECRET-AUTHKEY","corosync_conf":"","warnings":[]}"#.to_owned())
}

fn add(machine: &mut Machine, _options: &[&str], password: &str) -> String {
    machine.passwords.push(password.to_owned());
    let Some(conf) = machine.cluster_files.get(SHARED).cloned() else {
        return "An error occurred on the cluster node: invalid corosync.conf\nCluster join aborted!\n"
            .to_owned();
    };
    let keys = machine.path("/root/.ssh/authorized_keys");
    let _ = fs::remove_file(&keys);
    let _ = fs::create_dir_all(machine.path("/root/.ssh"));
    let _ = std::os::unix::fs::symlink("/etc/pve/priv/authorized_keys", keys);
    machine.write("/etc/corosync/authkey", [7; 256]);
    machine.write(LOCAL, conf);
    machine.stop("pve-cluster.service");
    let _ = fs::remove_file(machine.path("/var/lib/pve-cluster/config.db"));
    if !machine.start("corosync.service") {
        return "starting pve-cluster failed: See \"systemctl status corosync.service\"\n".to_owned();
    }
    machine.start("pve-cluster.service");
    updatecerts(machine, true) + "successfully added node to cluster.\n"
}

fn updatecerts(machine: &mut Machine, is_forced: bool) -> String {
    let own = format!("/etc/pve/nodes/{}", machine.hostname);
    let name = machine.hostname.clone();
    if is_forced || !machine.path(&format!("{own}/pve-ssl.pem")).exists() {
        machine.write(&format!("{own}/pve-ssl.pem"), certificate("node of the cluster", &name));
    }
    if !machine.path(&format!("{own}/pve-ssl.key")).exists() {
        machine.write(&format!("{own}/pve-ssl.key"), "key");
    }
    share_root_keys(machine, &name);
    let host_key = machine.read("/etc/ssh/ssh_host_ed25519_key.pub");
    let host_key: Vec<&str> = host_key.split_whitespace().take(2).collect();
    machine.write(&format!("{own}/ssh_known_hosts"), format!("{name} {}", host_key.join(" ")));
    if !is_forced {
        return String::new();
    }
    "(re)generate node files\ngenerate new node certificate\n".to_owned()
}

/// Root's key, the link to the cluster's authorised keys, and the key among them.
fn share_root_keys(machine: &mut Machine, name: &str) {
    const SHARED_KEYS: &str = "/etc/pve/priv/authorized_keys";
    let public = machine.path("/root/.ssh/id_rsa.pub");
    if !public.exists() {
        machine.write("/root/.ssh/id_rsa.pub", format!("ssh-rsa AAAAroot{name} root@{name}\n"));
    }
    let link = machine.path("/root/.ssh/authorized_keys");
    if !link.is_symlink() {
        let _ = fs::rename(&link, machine.path("/root/.ssh/authorized_keys.org"));
        let _ = std::os::unix::fs::symlink(SHARED_KEYS, &link);
    }
    let mut keys = machine.read(SHARED_KEYS) + &machine.read("/root/.ssh/authorized_keys.org");
    let _ = fs::remove_file(machine.path("/root/.ssh/authorized_keys.org"));
    let own = machine.read("/root/.ssh/id_rsa.pub");
    if !keys.contains(own.trim()) {
        keys.push_str(&own);
    }
    machine.write(SHARED_KEYS, keys);
}

fn delnode(machine: &mut Machine, name: &str) -> String {
    let is_quorate = machine.quorum().is_some_and(|quorum| quorum.quorate);
    if let Ok(mut conf) = CorosyncConf::parse(&machine.read(SHARED))
        && is_quorate
    {
        let id = |name: &str| conf.node(name).map(|node| node.nodeid);
        if id(name) == id(&machine.hostname) {
            // It kills by id and writes afterwards.
            machine.stop("corosync.service");
            return "Killing node 1\n".to_owned();
        }
        conf.remove_node(name);
        conf.increase_version();
        machine.write(SHARED, conf.render());
        machine.write(LOCAL, conf.render());
        machine.expected = None;
    }
    "Killing node 2\n".to_owned()
}
