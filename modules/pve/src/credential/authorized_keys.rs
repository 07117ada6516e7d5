//! Lines of tokens among the keys that let root in on every member. A line lets its key do one thing, for its
//! time only: sshd itself refuses everything else. Other lines are left as they are.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::ensure;

use super::registry::Registered;
use super::token;
use crate::cluster_lock::ClusterLock;
use crate::node::FileMode;
use crate::operation::Run;
use crate::{Deadline, Node};

/// The cluster's file, which root's own is a link to on every member.
pub const PATH: &str = "/etc/pve/priv/authorized_keys";
const LOCK: &str = "sddc-pve-authorized-keys";
/// A lock whose holder was killed is anybody's after 120 s.
const LOCK_TIME: Duration = Duration::from_secs(135);
/// Left to an operation for what comes after the lock.
const AFTER_LOCK: Duration = Duration::from_secs(10);
const MARK: &str = "sddc-pve-token-";
/// PVE writes this file too, without a lock of ours: what was written is looked at, and written again.
const TRIES: u32 = 3;

/// Adds the line of a token.
pub fn add(node: &Node, token: &Registered, program: &str) -> anyhow::Result<()> {
    let Registered { id, public_key, expires, from, .. } = token;
    let time: String =
        crate::audit::utc(*expires).chars().filter(|letter| !"-:T".contains(*letter)).collect();
    let command = format!("{program} {} {id}", super::answer::COMMAND);
    let from = if from.is_empty() { String::new() } else { format!(",from=\"{}\"", from.join(",")) };
    let line = format!("restrict,expiry-time=\"{time}\",command=\"{command}\"{from} {public_key} {MARK}{id}");
    change(node, lock(node)?, |lines| {
        drop_tokens(lines, std::slice::from_ref(id));
        lines.push(line.clone().into_bytes());
    })
}

/// Removes the lines of tokens.
pub fn remove(node: &Node, ids: &[String]) -> anyhow::Result<()> {
    if !listed(node)?.iter().any(|id| ids.contains(id)) {
        return Ok(());
    }
    change(node, lock(node)?, |lines| drop_tokens(lines, ids))
}

/// The same in an operation, so that a lock which it is killed with is given back.
pub fn remove_in(run: &mut Run<'_>, ids: &[String]) -> anyhow::Result<()> {
    if !listed(run.node)?.iter().any(|id| ids.contains(id)) {
        return Ok(());
    }
    let left = run.deadline.left(run.node).saturating_sub(AFTER_LOCK);
    let deadline = Deadline::after(run.node, LOCK_TIME.min(left));
    let lock = ClusterLock::take_for(run, LOCK, deadline)?;
    change(run.node, lock, |lines| drop_tokens(lines, ids))
}

fn drop_tokens(lines: &mut Vec<Vec<u8>>, ids: &[String]) {
    lines.retain(|line| !id_of(&text(line)).is_some_and(|id| ids.iter().any(|other| other == id)));
}

/// A line to look at: what others wrote in it may be in any encoding, and stays as it is.
fn text(line: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(line)
}

fn lock(node: &Node) -> anyhow::Result<ClusterLock<'_>> {
    ClusterLock::take(node, LOCK, Deadline::after(node, LOCK_TIME))
}

/// Ids of the tokens that have a line.
pub fn listed(node: &Node) -> anyhow::Result<Vec<String>> {
    let text = node.read(PATH)?.unwrap_or_default();
    Ok(text.lines().filter_map(id_of).map(str::to_owned).collect())
}

/// Removes every line of a node's own key.
pub fn forget_node(node: &Node, name: &str, deadline: Deadline) -> anyhow::Result<()> {
    let lock = ClusterLock::take(node, LOCK, deadline.within(node, LOCK_TIME))?;
    change(node, lock, |lines| lines.retain(|line| !is_of_node(&text(line), name)))
}

/// Whether a line is the key of root on a node as PVE shares it (PVE/Cluster/Setup.pm, `ssh_merge_keys`): type, key and
/// `root@NODE`, nothing else. Whoever wrote options before it wrote the line himself.
pub fn is_of_node(line: &str, name: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], [algorithm, _, comment]
        if (algorithm.starts_with("ssh-") || algorithm.starts_with("ecdsa-")) && comment.strip_prefix("root@") == Some(name))
}

fn change(node: &Node, lock: ClusterLock<'_>, edit: impl Fn(&mut Vec<Vec<u8>>)) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let mut lines = lines(node)?;
        edit(&mut lines);
        lines.push(Vec::new());
        node.write(PATH, &lines.join(&b'\n'), FileMode::Private)?;
        let mut read = self::lines(node)?;
        let before = read.clone();
        edit(&mut read);
        if read == before {
            return Ok(());
        }
    }
    drop(lock);
    ensure!(false, "{PATH:?} is rewritten by something else again and again: try again");
    Ok(())
}

fn lines(node: &Node) -> anyhow::Result<Vec<Vec<u8>>> {
    let content = node.read_bytes(PATH)?.unwrap_or_default();
    let mut lines: Vec<Vec<u8>> = content.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    // What follows the last end of a line is no line.
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    Ok(lines)
}

/// Whether a line is of a token.
pub fn is_token(line: &str) -> bool {
    id_of(line).is_some()
}

/// The id of the token that a line is of.
fn id_of(line: &str) -> Option<&str> {
    let id = line.split_whitespace().last()?.strip_prefix(MARK)?;
    token::is_id(id).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_key_is_known_by_its_whole_line() {
        assert!(is_of_node("ssh-rsa AAAA root@pve4", "pve4"));
        for other in [
            "ssh-rsa AAAA root@pve41",
            "ssh-rsa AAAA admin@pve4",
            "ssh-rsa AAAA pve4",
            "# ssh-rsa root@pve4",
            "from=\"10.0.0.1\" ssh-rsa AAAA root@pve4",
            "ssh-rsa AAAA laptop of root@pve4",
        ] {
            assert!(!is_of_node(other, "pve4"), "{other}");
        }
    }
}
