//! Lines of known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT) that contradict keys which are known for certain.
//! Hosts are told apart by exact name and address, hashed ones included, never by pattern; every other line stays as it
//! is, byte for byte. Pure: reads and writes no file.

use std::net::IpAddr;

use sha1::{Digest, Sha1};

use crate::base64;
use crate::facts::{HostKey, NodeFacts};
use crate::inventory::WantedNode;

/// Where root's ssh looks for hosts: the cluster's list, the system's two, which may be a link to it, and root's own two.
pub const FILES: [&str; 5] = [
    CLUSTER,
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
    "/root/.ssh/known_hosts",
    "/root/.ssh/known_hosts2",
];
/// The cluster's list, which older versions of PVE merged and `pvecm create` still begins.
pub const CLUSTER: &str = "/etc/pve/priv/known_hosts";

/// A node, and the host keys that it really has.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Its name.
    pub node: String,
    /// Exact names and addresses that ssh may reach it by.
    pub names: Vec<String>,
    /// Its keys.
    pub keys: Vec<HostKey>,
}

/// A key under a node's name that is not the node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Number of the line, from 1.
    pub line: usize,
    /// The node.
    pub node: String,
    /// Key type.
    pub algorithm: String,
}

/// A file as it should be, and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// New content.
    pub content: Vec<u8>,
    /// What was wrong.
    pub conflicts: Vec<Conflict>,
}

/// The parts of a line that names hosts and their key.
struct Entry<'a> {
    before: &'a str,
    hosts: &'a str,
    algorithm: &'a str,
    key: &'a str,
    after: &'a str,
}

impl Identity {
    /// A node as the inventory and its own facts have it; what its name resolves to counts, loopback does not.
    pub fn of(wanted: &WantedNode, facts: &NodeFacts) -> Self {
        let mut identity =
            Self { node: wanted.name.clone(), names: Vec::new(), keys: facts.host_keys.clone() };
        for name in [&wanted.name, &wanted.address, &facts.hostname].into_iter().chain(&facts.name_addresses)
        {
            identity.add_name(name);
        }
        wanted.links().iter().for_each(|link| identity.add_name(&link.address));
        identity
    }

    /// One more name or address, unless it could be anybody's.
    pub fn add_name(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        if is_of_one_host(&name) && !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}

fn is_of_one_host(name: &str) -> bool {
    let is_plain = !name.is_empty() && name != "localhost" && !name.contains(['*', '?', '!', ',', '|']);
    is_plain && !name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// The content without contradictions; `None` where there are none. A wrong key is replaced by the right one, or goes
/// where the right one is known already. A key of a type that the node has no key of is no contradiction.
pub fn mend(content: &[u8], known: &[Identity]) -> Option<Mended> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    // Name and key of what is right already: nothing is written twice.
    let mut right: Vec<(&str, &str)> = Vec::new();
    for entry in lines.iter().filter_map(|line| parse(line)) {
        for host in entry.hosts.split(',') {
            if let Some((identity, name)) = owner(host, known)
                && let Some(key) = identity.keys.iter().find(|key| key.key == entry.key)
            {
                right.push((name, &key.key));
            }
        }
    }
    let mut mended = Mended { content: Vec::with_capacity(content.len()), conflicts: Vec::new() };
    for (index, line) in lines.iter().enumerate() {
        match parse(line).and_then(|entry| replacement(&entry, known, &mut right)) {
            None => mended.content.extend_from_slice(line),
            Some((texts, node, algorithm)) => {
                mended.content.extend_from_slice(texts.join("\n").as_bytes());
                if !texts.is_empty() && line.ends_with(b"\n") {
                    mended.content.push(b'\n');
                }
                mended.conflicts.push(Conflict { line: index + 1, node, algorithm });
            }
        }
    }
    (!mended.conflicts.is_empty()).then_some(mended)
}

/// The content without these exact names and addresses; `None` where it has none of them. A line that names no other host
/// goes.
pub fn forget(content: &[u8], names: &[String]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let Some(entry) = parse(line) else {
            kept.extend_from_slice(line);
            continue;
        };
        let is_other = |host: &&str| !names.iter().any(|name| is_host(host, name));
        let others: Vec<&str> = entry.hosts.split(',').filter(is_other).collect();
        if others.len() == entry.hosts.split(',').count() {
            kept.extend_from_slice(line);
        } else if !others.is_empty() {
            let Entry { before, algorithm, key, after, .. } = entry;
            kept.extend_from_slice(
                format!("{before}{} {algorithm} {key}{after}", others.join(",")).as_bytes(),
            );
            kept.extend(line.ends_with(b"\n").then_some(b'\n'));
        }
    }
    (kept != content).then_some(kept)
}

/// What takes the place of a line with a wrong key, of which node and type it is; `None` for any other line.
fn replacement<'a>(
    entry: &Entry<'_>,
    known: &'a [Identity],
    right: &mut Vec<(&'a str, &'a str)>,
) -> Option<(Vec<String>, String, String)> {
    let (mut kept, mut wrong) = (Vec::new(), Vec::new());
    for host in entry.hosts.split(',') {
        match owner(host, known)
            .and_then(|(identity, name)| Some((identity, name, right_key(identity, entry)?)))
        {
            Some((identity, name, key)) => wrong.push((host, identity, name, key)),
            None => kept.push(host),
        }
    }
    let mut nodes: Vec<&str> = wrong.iter().map(|(_, identity, ..)| identity.node.as_str()).collect();
    nodes.dedup();
    if nodes.is_empty() {
        return None;
    }
    let line = |hosts: &[&str], key: &str| {
        let Entry { before, algorithm, after, .. } = entry;
        format!("{before}{} {algorithm} {key}{after}", hosts.join(","))
    };
    let mut texts = Vec::new();
    if !kept.is_empty() {
        texts.push(line(&kept, entry.key));
    }
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (host, _, name, key) in &wrong {
        let of_host = (*name, key.key.as_str());
        if right.contains(&of_host) {
            continue;
        }
        right.push(of_host);
        match groups.iter_mut().find(|(of, _)| *of == key.key) {
            Some((_, hosts)) => hosts.push(host),
            None => groups.push((&key.key, vec![host])),
        }
    }
    texts.extend(groups.iter().map(|(key, hosts)| line(hosts, key)));
    Some((texts, nodes.join(", "), entry.algorithm.to_owned()))
}

/// The key that a node has in place of the one of this line; `None` where the line is right, or of a type that it has no
/// key of.
fn right_key<'a>(identity: &'a Identity, entry: &Entry<'_>) -> Option<&'a HostKey> {
    let mut same_type = identity.keys.iter().filter(|key| key.algorithm == entry.algorithm).peekable();
    let first = same_type.peek().copied();
    if same_type.any(|key| key.key == entry.key) { None } else { first }
}

/// The node that a host of a line is, and by which name. A name that two nodes claim is nobody's.
fn owner<'a>(host: &str, known: &'a [Identity]) -> Option<(&'a Identity, &'a str)> {
    let mut owners = known.iter().filter_map(|identity| {
        Some((identity, identity.names.iter().find(|name| is_host(host, name))?.as_str()))
    });
    let first = owners.next()?;
    owners.next().is_none().then_some(first)
}

/// Whether a host of a line is of this name: as it stands, or hashed (`HashKnownHosts`): `|1|salt|HMAC-SHA1`.
fn is_host(host: &str, name: &str) -> bool {
    let Some(hashed) = host.strip_prefix("|1|") else { return host.eq_ignore_ascii_case(name) };
    let parts =
        hashed.split_once('|').and_then(|(salt, hash)| Some((base64::decode(salt)?, base64::decode(hash)?)));
    parts.is_some_and(|(salt, hash)| hmac_sha1(&salt, name.as_bytes())[..] == hash[..])
}

/// RFC 2104.
fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    const BLOCK: usize = 64;
    let mut padded = [0; BLOCK];
    match key.len() <= BLOCK {
        true => padded[..key.len()].copy_from_slice(key),
        false => padded[..20].copy_from_slice(&Sha1::digest(key)),
    }
    let inner = Sha1::new().chain_update(padded.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha1::new().chain_update(padded.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// Comments, markers (`@revoked`, `@cert-authority`) and what is no text or no entry are `None`: they stay.
fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n").unwrap_or(line)).ok()?;
    let body = text.trim_start_matches([' ', '\t']);
    if body.starts_with(['#', '@']) {
        return None;
    }
    let (hosts, rest) = body.split_once([' ', '\t'])?;
    let (algorithm, rest) = rest.trim_start_matches([' ', '\t']).split_once([' ', '\t'])?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let (key, after) = rest.split_at(rest.find([' ', '\t', '\r']).unwrap_or(rest.len()));
    let before = &text[..text.len() - body.len()];
    (!key.is_empty()).then_some(Entry { before, hosts, algorithm, key, after })
}

#[cfg(test)]
mod tests;
