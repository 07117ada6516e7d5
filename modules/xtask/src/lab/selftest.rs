//! Proves that the lab is what the tests above it take it for: hosts, networks and a corosync that notices when
//! they break. Looks with the system's own tools. Makes pve1 to pve3 anew.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::layout::{LINKS, Link, Node};
use super::nodes::Lab;
use super::ready::wait;

/// What corosync may take to notice and to settle.
const SETTLE: Duration = Duration::from_secs(40);
/// What making a node anew may take on a machine that does a lot besides: 5 s where it does not.
const RESET: Duration = Duration::from_secs(60);

type Check = (&'static str, fn(&Lab<'_>, &[Node]) -> Result<()>);

const CHECKS: &[Check] = &[
    ("each node has an identity of its own", identities_differ),
    ("each name resolves to the address of the bridge vmbr0", names_resolve),
    ("root may log in over ssh, by password too", root_may_log_in),
    ("the clock counts as synchronised, and not without chrony", clock_is_synchronised),
    ("no file or packet filter rule is Docker's", nothing_is_dockers),
    ("transient units run, and apt works without a mirror", units_and_apt_work),
    ("three nodes form a quorate cluster over two links", cluster_forms),
    ("a cable that is pulled breaks its link and no other", one_link_breaks),
    ("a node without network loses quorum, the others keep it", lonely_node_loses_quorum),
    ("a node that lost its power comes back by itself", power_loss_heals),
    ("a node that was shut down comes back by itself", shutdown_heals),
    ("a node made anew is fresh, in time", reset_is_fresh),
];

/// Runs all checks, on a lab of three fresh nodes.
pub fn run(lab: &Lab<'_>) -> Result<()> {
    let nodes = Node::first(3);
    lab.up(3)?;
    lab.reset(&nodes)?;
    let mut failed = 0;
    for (what, check) in CHECKS {
        let begin = Instant::now();
        let found = check(lab, &nodes);
        let took = begin.elapsed().as_secs_f32();
        match found {
            Ok(()) => println!("ok    {what} ({took:.1} s)"),
            Err(error) => {
                failed += 1;
                println!("FAIL  {what} ({took:.1} s): {error:#}");
            }
        }
    }
    ensure!(failed == 0, "{failed} of {} checks of the lab failed: see above", CHECKS.len());
    lab.reset(&nodes)
}

fn identities_differ(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    for file in ["/etc/machine-id", "/etc/hostname", "/etc/ssh/ssh_host_ed25519_key.pub"] {
        let found: Result<BTreeSet<String>> =
            nodes.iter().map(|node| lab.succeed(*node, &["cut", "-d ", "-f1-2", file])).collect();
        ensure!(found?.len() == nodes.len(), "{file} is the same on several nodes");
    }
    Ok(())
}

fn names_resolve(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let address = node.address(LINKS[0]);
        let resolved = lab.succeed(*node, &["getent", "ahostsv4", &node.name()])?;
        ensure!(resolved.starts_with(&address), "{node} resolves its name to {resolved:?}");
        let bridge = lab.succeed(*node, &["ip", "-4", "-br", "address", "show", "dev", "vmbr0"])?;
        let words: Vec<&str> = bridge.split_whitespace().collect();
        ensure!(words == ["vmbr0", "UP", &format!("{address}/24")], "{node}: {bridge:?}");
    }
    Ok(())
}

fn root_may_log_in(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let sshd = lab.succeed(*node, &["sshd", "-T"])?;
        for setting in ["permitrootlogin yes", "passwordauthentication yes"] {
            ensure!(sshd.lines().any(|line| line == setting), "{node}: sshd has not {setting:?}");
        }
        // "P": the account has a password that can be used.
        let account = lab.succeed(*node, &["passwd", "--status", "root"])?;
        ensure!(account.starts_with("root P "), "{node}: {account}");
    }
    Ok(())
}

fn clock_is_synchronised(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let tracking = lab.succeed(*node, &["chronyc", "tracking"])?;
        ensure!(tracking.contains("Leap status     : Normal"), "{node}: {tracking}");
    }
    lab.succeed(nodes[0], &["systemctl", "stop", "chrony"])?;
    let output = lab.exec(nodes[0], &["chronyc", "tracking"])?;
    lab.succeed(nodes[0], &["systemctl", "start", "chrony"])?;
    ensure!(!output.status.success(), "chronyc answers although chrony was stopped");
    Ok(())
}

fn nothing_is_dockers(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    let modes =
        lab.succeed(nodes[2], &["stat", "-c%a %U", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"])?;
    ensure!(modes == "644 root\n".repeat(3), "modes and owners are {modes:?}");
    let script = "set -e; cd /etc; for f in hosts hostname resolv.conf; do cp -p $f .$f.new; mv .$f.new $f; done; \
                  echo '192.0.2.7 kept.over.restart' >>hosts";
    lab.succeed(nodes[2], &["sh", "-c", script])?;
    lab.stop(nodes[2])?;
    lab.start(nodes[2])?;
    lab.succeed(nodes[2], &["getent", "hosts", "kept.over.restart"]).map(drop)
}

fn units_and_apt_work(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    let run = ["systemd-run", "--wait", "--pipe", "--quiet", "--unit=lab-selftest", "echo", "ran"];
    let said = lab.succeed(nodes[0], &run)?;
    ensure!(said == "ran\n", "systemd-run said {said:?}");
    let journal = lab.succeed(nodes[0], &["journalctl", "--no-pager", "-o", "cat", "-u", "lab-selftest"])?;
    ensure!(journal.contains("Started lab-selftest"), "the journal has {journal:?}");
    lab.succeed(nodes[0], &["apt-get", "update", "-qq"])?;
    lab.succeed(nodes[0], &["apt-get", "install", "-y", "-qq", "chrony", "sudo"])?;
    let version =
        lab.succeed(nodes[0], &["dpkg-query", "-W", "-f", "${Status} ${Version}", "pve-manager"])?;
    ensure!(version == "install ok installed 9.1.10", "dpkg says of pve-manager: {version}");
    Ok(())
}

fn cluster_forms(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    let conf = corosync_conf(nodes);
    let key: String = (0..64).map(|number| format!("{:04x}", number * 977)).collect();
    for node in nodes {
        lab.succeed(*node, &["sh", "-c", "umask 077; printf %s \"$1\" >/etc/corosync/authkey", "sh", &key])?;
        lab.write(*node, "/etc/corosync/corosync.conf", &conf)?;
        lab.succeed(*node, &["systemctl", "start", "--no-block", "corosync"])?;
    }
    for node in nodes {
        members(lab, *node, true, 3)?;
        links(lab, *node, [2, 2])?;
    }
    Ok(())
}

fn one_link_breaks(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    lab.cut(nodes[2], Some(LINKS[1]))?;
    links(lab, nodes[0], [2, 1])?;
    links(lab, nodes[2], [2, 0])?;
    members(lab, nodes[2], true, 3)?;
    lab.heal(nodes[2], Some(LINKS[1]))?;
    links(lab, nodes[0], [2, 2])?;
    lab.cut(nodes[2], Some(LINKS[0]))?;
    links(lab, nodes[0], [1, 2])?;
    members(lab, nodes[2], true, 3)?;
    lab.heal(nodes[2], None)?;
    links(lab, nodes[2], [2, 2])
}

fn lonely_node_loses_quorum(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    lab.cut(nodes[2], None)?;
    members(lab, nodes[2], false, 1)?;
    members(lab, nodes[0], true, 2)?;
    lab.heal(nodes[2], None)?;
    members(lab, nodes[2], true, 3)
}

fn power_loss_heals(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    lab.succeed(nodes[2], &["logger", "--tag", "lab", "the lights go out"])?;
    lab.kill(nodes[2])?;
    members(lab, nodes[0], true, 2)?;
    lab.start(nodes[2])?;
    members(lab, nodes[2], true, 3)?;
    links(lab, nodes[2], [2, 2])?;
    services(lab, nodes[2])?;
    let journal = lab.succeed(nodes[2], &["journalctl", "--no-pager", "-o", "cat", "-t", "lab"])?;
    ensure!(journal.contains("the lights go out"), "the journal lost what was before the power loss");
    Ok(())
}

fn shutdown_heals(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    lab.stop(nodes[1])?;
    members(lab, nodes[0], true, 2)?;
    lab.start(nodes[1])?;
    members(lab, nodes[1], true, 3)?;
    services(lab, nodes[1])
}

fn reset_is_fresh(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    let before = lab.succeed(nodes[2], &["cat", "/etc/machine-id"])?;
    let begin = Instant::now();
    lab.reset(&nodes[2..3])?;
    let took = begin.elapsed();
    ensure!(before != lab.succeed(nodes[2], &["cat", "/etc/machine-id"])?, "it is the same machine");
    ensure!(!lab.exec(nodes[2], &["test", "-e", "/etc/corosync/corosync.conf"])?.status.success());
    ensure!(took < RESET, "it took {:.1} s", took.as_secs_f32());
    Ok(())
}

/// Until a node sees so many members and is quorate or not.
fn members(lab: &Lab<'_>, node: Node, is_quorate: bool, count: usize) -> Result<()> {
    let what = format!("{node} has {count} members and quorum: {is_quorate}");
    wait(&what, SETTLE, || {
        // Exit status 2 is its word for "not quorate".
        let said = text(&lab.exec(node, &["corosync-quorumtool", "-s"])?);
        let has = |key: &str, value: &str| {
            said.lines()
                .any(|line| line.split_once(':').is_some_and(|(k, v)| k.trim() == key && v.trim() == value))
        };
        let is_so = has("Quorate", if is_quorate { "Yes" } else { "No" }) && has("Nodes", &count.to_string());
        Ok(if is_so { Ok(()) } else { Err(said) })
    })
}

/// Until a node's links 0 and 1 are connected to so many others.
fn links(lab: &Lab<'_>, node: Node, connected: [usize; 2]) -> Result<()> {
    wait(&format!("{node} has {connected:?} connections on its links"), SETTLE, || {
        let said = text(&lab.exec(node, &["corosync-cfgtool", "-s"])?);
        let of = |link: &str| {
            let section = said.split("LINK ID ").find(|section| section.starts_with(link))?;
            Some(section.lines().filter(|line| line.trim_end().ends_with("\tconnected")).count())
        };
        let is_so = [of("0"), of("1")] == connected.map(Some);
        Ok(if is_so { Ok(()) } else { Err(said) })
    })
}

/// Until the services of a member run.
fn services(lab: &Lab<'_>, node: Node) -> Result<()> {
    let units = ["corosync", "pve-cluster", "pvedaemon", "pveproxy", "ssh", "chrony"];
    wait(&format!("the services of {node} run"), SETTLE, || {
        let said = text(&lab.exec(node, &[&["systemctl", "is-active"], &units[..]].concat())?);
        let running = said.lines().filter(|line| *line == "active").count();
        Ok(if running == units.len() { Ok(()) } else { Err(said.replace('\n', " ")) })
    })
}

/// All that a program said.
fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|part| String::from_utf8_lossy(part)).concat()
}

fn corosync_conf(nodes: &[Node]) -> String {
    let mut conf = String::from("nodelist {\n");
    for (index, node) in nodes.iter().enumerate() {
        conf.push_str(&format!(
            "  node {{\n    name: {node}\n    nodeid: {}\n    quorum_votes: 1\n",
            index + 1
        ));
        for link in LINKS {
            conf.push_str(&format!("    ring{}_addr: {}\n", link.0, node.address(link)));
        }
        conf.push_str("  }\n");
    }
    conf.push_str("}\nquorum {\n  provider: corosync_votequorum\n}\ntotem {\n  cluster_name: selftest\n");
    conf.push_str(
        "  config_version: 1\n  ip_version: ipv4-6\n  link_mode: passive\n  secauth: on\n  version: 2\n",
    );
    for Link(number) in LINKS {
        conf.push_str(&format!("  interface {{\n    linknumber: {number}\n  }}\n"));
    }
    conf.push_str("}\nlogging {\n  to_syslog: yes\n}\n");
    conf
}
