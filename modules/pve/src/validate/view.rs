//! What one member sees of its cluster, in a form that must be the same on all members.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::facts::NodeFacts;
use crate::order::sort_short_by;
use crate::{Node, certificate};

/// Files of pmxcfs that change by themselves, or are a node's own: nothing to compare.
const MOVING: [&str; 4] = ["lrm_status", "manager_status", "crm_commands", "pve-root-ca.srl"];

/// What members write for each other to read; it tells when each was last validated, and nothing else.
pub(crate) const NONCES: &str = "/etc/pve/priv/sddc-pve-seen";
/// What one node keeps there.
const NONCES_KEPT: usize = 8;

/// What a member sees.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct View {
    /// Who saw it.
    pub node: String,
    /// Cluster name.
    pub cluster: String,
    /// Config version.
    pub config_version: u64,
    /// SHA-256 of corosync.conf.
    pub digest: String,
    /// Names of the nodes that corosync has in the membership.
    pub members: Vec<String>,
    /// Address of each node on each link.
    pub rings: BTreeMap<String, BTreeMap<u8, String>>,
    /// Fingerprint of the certificate authority.
    pub ca_fingerprint: Option<String>,
    /// Fingerprint of each node's own certificate.
    pub fingerprints: BTreeMap<String, Option<String>>,
    /// SHA-256 over /etc/pve, without what moves by itself.
    pub pve_digest: String,
    /// What the node wrote below /etc/pve for the others to read.
    pub nonce: Option<String>,
}

impl View {
    /// What this node sees; `None` when it is in no cluster of that name.
    pub fn of(node: &Node, facts: &NodeFacts, cluster_name: &str) -> anyhow::Result<Option<Self>> {
        let Some(cluster) = facts.cluster.as_ref().filter(|cluster| cluster.name == cluster_name) else {
            return Ok(None);
        };
        let mut members: Vec<String> = cluster
            .nodes
            .iter()
            .filter(|node| node.online == Some(true))
            .map(|node| node.name.clone())
            .collect();
        members.sort();
        let mut fingerprints = BTreeMap::new();
        for listed in &cluster.nodes {
            let path = format!("/etc/pve/nodes/{}/pve-ssl.pem", listed.name);
            let pem = node.read(&path)?;
            let fingerprint =
                pem.map(|pem| certificate::fingerprint_of_pem(&pem).context(path)).transpose()?;
            fingerprints.insert(listed.name.clone(), fingerprint);
        }
        Ok(Some(Self {
            node: facts.node.clone(),
            cluster: cluster.name.clone(),
            config_version: cluster.config_version,
            digest: cluster.digest.clone(),
            members,
            rings: cluster.nodes.iter().map(|node| (node.name.clone(), node.links.clone())).collect(),
            ca_fingerprint: facts.ca_fingerprint.clone(),
            fingerprints,
            pve_digest: pve_digest(node)?,
            nonce: None,
        }))
    }

    /// What is another thing in another view; empty when both show the same.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            ("cluster name", self.cluster == other.cluster),
            ("config version", self.config_version == other.config_version),
            ("corosync.conf", self.digest == other.digest),
            ("members", self.members == other.members),
            ("addresses", self.rings == other.rings),
            ("certificate authority", self.ca_fingerprint == other.ca_fingerprint),
            ("certificates", self.fingerprints == other.fingerprints),
            ("content of /etc/pve", self.pve_digest == other.pve_digest),
        ];
        parts.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
    }
}

/// Where a node writes what the others are to read.
fn nonce_path(name: &str) -> String {
    format!("{NONCES}/{name}")
}

/// Writes something new for the others to read; `None` where /etc/pve takes no writes, which a check of its own tells.
pub(super) fn write_nonce(node: &Node, name: &str) -> Option<String> {
    let since = node.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let nonce = format!("{}-{}", since.as_nanos(), std::process::id());
    let path = node.path(&nonce_path(name));
    node.create_private_dir(NONCES).ok()?;
    // Of a few runs: who validates at the same moment still reads what was written for him.
    let before = node.read(&nonce_path(name)).ok()?.unwrap_or_default();
    let lines: Vec<&str> = std::iter::once(nonce.as_str()).chain(before.lines()).take(NONCES_KEPT).collect();
    // Not by a rename: one small file, written anew each time, by its own node only.
    fs::write(path, format!("{}\n", lines.join("\n"))).ok()?;
    Some(nonce)
}

/// Whether what a node wrote is read here.
pub(super) fn is_nonce_read(node: &Node, name: &str, nonce: &str) -> anyhow::Result<bool> {
    Ok(node.read(&nonce_path(name))?.is_some_and(|text| text.lines().any(|line| line.trim() == nonce)))
}

/// One digest of all files of /etc/pve: their paths and contents. Dot files are pmxcfs's own status, links point
/// to each node's own directory, and locks come and go.
pub fn pve_digest(node: &Node) -> anyhow::Result<String> {
    let mut whole = Sha256::new();
    add(&mut whole, &node.path("/etc/pve"), "")?;
    Ok(whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn add(whole: &mut Sha256, dir: &Path, prefix: &str) -> anyhow::Result<()> {
    let reading = |path: &str| format!("cannot read \"/etc/pve/{path}\"");
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| reading(prefix))? {
        let entry = entry.with_context(|| reading(prefix))?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry));
    }
    sort_short_by(&mut entries, |a: &(String, _), b| a.0.cmp(&b.0));
    for (name, entry) in entries {
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().with_context(|| reading(&path))?;
        if name.starts_with('.')
            || kind.is_symlink()
            || MOVING.contains(&name.as_str())
            || path == "priv/lock"
            || path == "priv/sddc-pve-seen"
        {
            continue;
        }
        if kind.is_dir() {
            whole.update(format!("{path}/\0"));
            add(whole, &entry.path(), &format!("{path}/"))?;
            continue;
        }
        match fs::read(entry.path()) {
            Ok(content) => {
                whole.update(format!("{path}\0{}\0", content.len()));
                whole.update(&content);
            }
            // It was removed between the two looks: the next one is right.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| reading(&path)),
        }
    }
    Ok(())
}
