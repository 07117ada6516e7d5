//! Proofs that nothing was lost: files, quorum and access, looked at with cat, corosync's own tools and ssh.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::lab::{Lab, Node};
use crate::{oracle, quorum_watch};

/// What must come true by itself has so long: the machine is busy.
const SETTLING: Duration = Duration::from_secs(60);
const LINKS: u8 = 2;
/// What may not be on a node on which everything has ended. PVE's own lock of a pvecm that was killed ends by itself.
const ENDED: &str = "grep -l '\"state\":\"running\"' /var/lib/sddc-pve/operations/*.json 2>/dev/null; \
    ls -d /etc/pve/priv/lock/* 2>/dev/null | grep -v /file-; find /var/lib/sddc-pve/snapshots -mindepth 1 -maxdepth 1 2>/dev/null; \
    find /run/sddc-pve -name '*.assignment' 2>/dev/null; \
    for unit in pve-cluster pvedaemon pveproxy ssh; do systemctl is-active --quiet $unit || echo $unit is down; done; \
    served=$(timeout 10 openssl s_client -connect localhost:8006 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256); \
    own=$(openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256); \
    test \"$served\" = \"$own\" || echo \"the API serves $served, not $own\"; true";
/// What else may not be on a node that is in no cluster.
const ALONE: &str = "systemctl is-active --quiet corosync && echo corosync runs; ls /etc/pve/nodes | grep -vx $(hostname); \
    touch /etc/pve/probe && rm /etc/pve/probe || echo /etc/pve is not writable; true";

/// A shell line on a node; its standard output.
pub fn sh(lab: &Lab<'_>, node: Node, line: &str) -> Result<String> {
    lab.succeed(node, &["sh", "-c", line])
}

/// Asks until the answer is empty.
fn until_none(what: &str, mut look: impl FnMut() -> Result<String>) -> Result<()> {
    let deadline = Instant::now() + SETTLING;
    loop {
        let seen = look()?;
        if seen.trim().is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("{what}: {}", seen.trim().replace('\n', "; "));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The nodes are one healthy cluster, which lists nobody else, and nothing goes on on any of them.
pub fn are_members(lab: &Lab<'_>, nodes: &[Node]) -> Result<()> {
    oracle::await_healthy(lab, nodes, LINKS, SETTLING)?;
    let mut names: Vec<String> = nodes.iter().map(|node| node.name()).collect();
    names.sort();
    for node in nodes {
        until_none(&format!("left on {node}"), || sh(lab, *node, ENDED))?;
        let listed =
            sh(lab, *node, "sed -n 's/^ *name: //p' /etc/pve/corosync.conf | sort; ls /etc/pve/nodes")?;
        let expected = [names.as_slice(), names.as_slice()].concat();
        let listed: Vec<&str> = listed.lines().collect();
        ensure!(listed == expected, "{node} lists {listed:?}, not {names:?} twice");
        sh(lab, *node, "cmp /etc/pve/corosync.conf /etc/corosync/corosync.conf")?;
    }
    Ok(())
}

/// A node is in no cluster, and nothing goes on on it.
pub fn is_alone(lab: &Lab<'_>, node: Node) -> Result<()> {
    until_none(&format!("left on {node}"), || {
        Ok(sh(lab, node, oracle::OF_A_CLUSTER)? + &sh(lab, node, ALONE)? + &sh(lab, node, ENDED)?)
    })
}

/// Waits until a node is quorate and /etc/pve writable, or until its time is up: what must be, others look at.
pub fn settle(lab: &Lab<'_>, node: Node, limit: Duration) -> Result<()> {
    let look =
        "corosync-quorumtool -s | grep -q 'Quorate: *Yes' && touch /etc/pve/probe && rm /etc/pve/probe";
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline && !lab.exec(node, &["sh", "-c", look])?.status.success() {
        std::thread::sleep(Duration::from_millis(400));
    }
    Ok(())
}

/// Waits until corosync of each node has so many members, and quorum.
pub fn are_quorate(lab: &Lab<'_>, nodes: &[Node], members: usize) -> Result<()> {
    nodes.iter().try_for_each(|node| {
        until_none(&format!("quorum of {node}"), || {
            let look = format!(
                "said=$(corosync-quorumtool -s); echo \"$said\" | grep -q 'Nodes: *{members}$' && echo \"$said\" | grep -q \
                 'Quorate: *Yes' || echo \"$said\" | grep -e Nodes: -e Quorate:; true"
            );
            sh(lab, *node, &look)
        })
    })
}

/// Every node lets the lab's key in.
pub fn access(lab: &Lab<'_>, nodes: &[Node], when: &str) -> Result<()> {
    std::thread::scope(|threads| {
        let tries: Vec<_> = nodes.iter().map(|node| threads.spawn(|| lets_in(lab, *node, when))).collect();
        tries.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| bail!("a login panicked")))
    })
}

fn lets_in(lab: &Lab<'_>, node: Node, when: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let said = lab.ssh(node).arg("true").stdin(std::process::Stdio::null()).output()?;
        if said.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        ensure!(!said.contains("Permission denied"), "{node} does not let the key in {when}: {said}");
        ensure!(Instant::now() < deadline, "{node} can't be logged in to {when}: {said}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Puts a file into /etc/pve.
pub fn put(lab: &Lab<'_>, node: Node, name: &str, text: &str) -> Result<()> {
    sh(lab, node, &format!("echo '{text}' >/etc/pve/{name}")).map(drop)
}

/// The file is in /etc/pve as it was, and in pmxcfs' database.
pub fn is_there(lab: &Lab<'_>, node: Node, name: &str, text: &str) -> Result<()> {
    let look = format!(
        "grep -qx '{text}' /etc/pve/{name} || echo /etc/pve/{name} of {node} is lost; \
         grep -qa '{text}' /var/lib/pve-cluster/config.db || echo config.db of {node} has lost it"
    );
    until_none("data", || sh(lab, node, &look))
}

/// What a joiner had is in the copy of its old database: a dump, or of one that is no SQLite, as the lab's, the file itself.
pub fn is_in_backup(lab: &Lab<'_>, node: Node, text: &str) -> Result<()> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let look = format!(
        "cd /var/lib/pve-cluster/backup; {{ zcat *.gz; cat *.db; }} 2>/dev/null | grep -aqi -e '{hex}' -e '{text}' || echo the \
         old database of {node} is lost"
    );
    until_none("data", || sh(lab, node, &look))
}

/// A kept copy holds a file.
pub fn is_in_copy(lab: &Lab<'_>, node: Node, copies: &str, file: &str) -> Result<()> {
    let look = format!(
        "cd {copies}; for copy in *.tar.gz; do tar tzf $copy; done | grep -q '{file}' || echo no copy of {file} on {node}"
    );
    until_none("data", || sh(lab, node, &look))
}

/// Ends watching; with `must` none of them may ever have been without quorum.
pub fn watched(lab: &Lab<'_>, nodes: &[Node], must: bool) -> Result<()> {
    for node in nodes {
        let seen = quorum_watch::end(lab, *node)?;
        if must {
            let samples = quorum_watch::samples(&seen)?;
            let lost = quorum_watch::without_quorum(&samples);
            let is_kept = !samples.is_empty() && lost.is_empty();
            ensure!(is_kept, "{node} was without quorum meanwhile: {lost:?} of {} samples", samples.len());
        }
    }
    Ok(())
}
