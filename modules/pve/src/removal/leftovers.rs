//! What a node leaves on a member and in /etc/pve, and its removal: its directory, root's key of it, its host keys, its
//! name in HA rules and groups. All by exact match; whatever else a file holds stays as it is.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::Context;

use super::Request;
use crate::cluster_lock::ClusterLock;
use crate::credential::authorized_keys;
use crate::validate::NONCES;
use crate::{Deadline, FileMode, Node, known_hosts, sshd};

/// HA's own lists of nodes: rules since PVE 9, groups before.
const HA_FILES: [&str; 2] = ["/etc/pve/ha/rules.cfg", "/etc/pve/ha/groups.cfg"];
/// The lock under which PVE changes them (PVE/HA/Config.pm, `cfs_lock_domain`).
const HA_LOCK: &str = "domain-ha";
/// Where a node's name may stand for reasons that only its administrator knows, with the keys that hold names of nodes.
const TOLD_ONLY: [(&str, &[&str]); 3] = [
    ("/etc/pve/storage.cfg", &["nodes"]),
    ("/etc/pve/jobs.cfg", &["node"]),
    ("/etc/pve/replication.cfg", &["target", "source"]),
];

/// What is left of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Its directory in /etc/pve and what is in it.
    pub directory: Option<(String, Vec<String>)>,
    /// What it wrote there for the other members to read.
    pub nonce: Option<String>,
    /// Files that name it.
    pub edits: Vec<Edit>,
    /// What is told and not removed.
    pub notes: Vec<String>,
}

/// A file that names the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Its path.
    pub path: String,
    /// Content as it is.
    pub before: Vec<u8>,
    /// Content without the node.
    pub after: Vec<u8>,
}

impl Leftovers {
    /// Whether there is nothing to remove.
    pub fn is_clean(&self) -> bool {
        self.directory.is_none() && self.nonce.is_none() && self.edits.is_empty()
    }

    /// Whether anything of it lies in /etc/pve, which takes quorum to remove.
    pub fn is_in_cluster(&self) -> bool {
        self.paths().iter().any(|path| path.starts_with("/etc/pve/"))
    }

    /// Where it is.
    pub fn paths(&self) -> Vec<&str> {
        let files = self.edits.iter().map(|edit| edit.path.as_str());
        let own = self.directory.as_ref().map(|(path, _)| path.as_str()).into_iter();
        own.chain(self.nonce.as_deref()).chain(files).collect()
    }
}

/// Looks for what is left of a node with these addresses.
pub(super) fn find(node: &Node, name: &str, addresses: &[String]) -> anyhow::Result<Leftovers> {
    let mut found = Leftovers::default();
    let directory = format!("/etc/pve/nodes/{name}");
    if node.exists(&directory) {
        let content = node.list(&directory)?;
        found.directory = Some((directory, content));
    }
    found.nonce = Some(format!("{NONCES}/{name}")).filter(|path| node.exists(path));
    let is_other = |line: &str| !authorized_keys::is_of_node(line, name);
    for path in [authorized_keys::PATH, sshd::OWN_KEYS] {
        found.consider(node, path, |text| lines(text, is_other))?;
    }
    let names: Vec<String> =
        std::iter::once(name).chain(addresses.iter().map(String::as_str)).map(str::to_owned).collect();
    for path in known_hosts::FILES {
        // A link shows a file that is looked at by its own name, or that belongs to somebody else.
        if !node.path(path).is_symlink() {
            found.consider(node, path, |content| known_hosts::forget(content, &names))?;
        }
    }
    for path in HA_FILES {
        let (mut sections, file) = (Vec::new(), path.rsplit('/').next().unwrap_or(path));
        found.consider(node, path, |content| {
            let text = String::from_utf8_lossy(content);
            let (after, only) = without_node(&text, name);
            sections = only;
            (after != text).then(|| after.into_bytes())
        })?;
        found.notes.extend(sections.iter().map(|section| {
            format!("{file}: {section:?} names no other node than {name:?}, and is left as it is: change or remove it")
        }));
    }
    for (path, keys) in TOLD_ONLY {
        let text = node.read(path)?.unwrap_or_default();
        if text.lines().any(|line| is_named(line, keys, name)) {
            found.notes.push(format!("{path} names {name:?}, and is left as it is"));
        }
    }
    Ok(found)
}

impl Leftovers {
    fn consider(
        &mut self,
        node: &Node,
        path: &str,
        edit: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> anyhow::Result<()> {
        let Some(before) = node.read_bytes(path)? else { return Ok(()) };
        if let Some(after) = edit(&before) {
            self.edits.push(Edit { path: path.to_owned(), before, after });
        }
        Ok(())
    }
}

/// Removes what is left of a node; tells what.
pub(super) fn clean(node: &Node, request: &Request, deadline: Deadline) -> anyhow::Result<Vec<String>> {
    let found = find(node, &request.name, &request.addresses)?;
    if let Some((path, _)) = &found.directory {
        std::fs::remove_dir_all(node.path(path)).with_context(|| format!("cannot remove {path:?}"))?;
    }
    if let Some(path) = &found.nonce {
        node.remove(path)?;
    }
    let is_ha = |edit: &&Edit| HA_FILES.contains(&edit.path.as_str());
    for edit in found.edits.iter().filter(|edit| !is_ha(edit)) {
        match edit.path == authorized_keys::PATH {
            // PVE writes it too, at any time.
            true => authorized_keys::forget_node(node, &request.name, deadline)?,
            false => write(node, edit)?,
        }
    }
    if found.edits.iter().any(|edit| is_ha(&edit)) {
        let lock = ClusterLock::take(node, HA_LOCK, deadline.within(node, Duration::from_secs(30)))?;
        for edit in find(node, &request.name, &request.addresses)?.edits.iter().filter(is_ha) {
            write(node, edit)?;
        }
        drop(lock);
    }
    Ok(found.paths().into_iter().map(str::to_owned).collect())
}

fn write(node: &Node, edit: &Edit) -> anyhow::Result<()> {
    let mode = std::fs::metadata(node.path(&edit.path))
        .with_context(|| format!("cannot look at {:?}", edit.path))?
        .permissions()
        .mode();
    let mode = if mode & 0o004 == 0 { FileMode::Private } else { FileMode::Public };
    node.write(&edit.path, &edit.after, mode).map(drop)
}

fn lines(content: &[u8], is_kept: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    // What others wrote may be in any encoding, and stays as it is.
    let lines = content.split_inclusive(|byte| *byte == b'\n');
    let kept: Vec<u8> =
        lines.filter(|line| is_kept(&String::from_utf8_lossy(line))).flatten().copied().collect();
    (kept != content).then_some(kept)
}

/// A section file without a node in its lists of nodes (`nodes pve1:2,pve2`), and the headings of sections that name no
/// other node: what an empty list would mean is not ours to decide.
fn without_node(text: &str, name: &str) -> (String, Vec<String>) {
    let (mut after, mut only, mut heading) = (String::with_capacity(text.len()), Vec::new(), "");
    for line in text.split_inclusive('\n') {
        if !line.starts_with([' ', '\t']) {
            heading = line.trim();
        }
        match nodes_of(line, &["nodes"]) {
            Some(nodes) if nodes.iter().any(|node| is_name(node, name)) => {
                let others: Vec<&str> = nodes.iter().copied().filter(|node| !is_name(node, name)).collect();
                if others.is_empty() {
                    only.push(heading.to_owned());
                    after.push_str(line);
                    continue;
                }
                let indent = &line[..line.len() - line.trim_start().len()];
                let end = if line.ends_with('\n') { "\n" } else { "" };
                after.push_str(&format!("{indent}nodes {}{end}", others.join(",")));
            }
            _ => after.push_str(line),
        }
    }
    (after, only)
}

fn is_named(line: &str, keys: &[&str], name: &str) -> bool {
    nodes_of(line, keys).is_some_and(|nodes| nodes.iter().any(|node| is_name(node, name)))
}

/// The nodes that a property of a section lists.
fn nodes_of<'a>(line: &'a str, keys: &[&str]) -> Option<Vec<&'a str>> {
    let (key, value) = line.strip_prefix([' ', '\t'])?.trim().split_once(' ')?;
    keys.contains(&key).then(|| value.split(',').map(str::trim).collect())
}

/// A node of a list may have a priority: `pve1:2`.
fn is_name(entry: &str, name: &str) -> bool {
    entry.split(':').next() == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "node-affinity: near\n\tresources vm:100\n\tnodes pve1:2,pve4:1\n\tstrict 0\n\nnode-affinity: only\n\t\
                         resources vm:101\n\tnodes pve4\n\nresource-affinity: together\n\tresources vm:100,vm:101\n\tcomment \
                         nodes pve4\n";

    #[test]
    fn a_node_goes_from_lists_that_name_others_too() {
        let (after, only) = without_node(RULES, "pve4");
        assert_eq!(after, RULES.replace("pve1:2,pve4:1", "pve1:2"));
        assert_eq!(only, ["node-affinity: only"]);
        assert_eq!(without_node(RULES, "pve"), (RULES.to_owned(), Vec::new()));
    }

    #[test]
    fn names_elsewhere_are_told_by_their_key() {
        assert!(is_named("\tnodes pve1,pve4\n", &["nodes"], "pve4"));
        for line in ["\tnodes pve41\n", "\tcontent pve4\n", "nodes: pve4\n", ""] {
            assert!(!is_named(line, &["nodes"], "pve4"), "{line}");
        }
    }
}
