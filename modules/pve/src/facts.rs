//! What is known of one node: the shape that `pve_cluster_info` returns and that plan, preflight and
//! validation take from every node. Gathering fills it; nothing here reads the machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything known of one node.
///
/// Reads back leniently: facts may come from a node that has an older or a newer version of this.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct NodeFacts {
    /// Node name: the host name up to the first dot, as PVE takes it (`PVE::INotify::nodename`).
    pub node: String,
    /// Host name as the kernel has it.
    pub hostname: String,
    /// /etc/machine-id.
    pub machine_id: Option<String>,
    /// Versions; `None` when Proxmox VE is not installed.
    pub version: Option<PveVersion>,
    /// What the node is, in one word.
    pub state: ClusterState,
    /// Addresses of all interfaces, loopback apart.
    pub addresses: Vec<Address>,
    /// What the node's own name resolves to.
    pub name_addresses: Vec<String>,
    /// The cluster's configuration as this node has it; `None` on a node that is in no cluster.
    pub cluster: Option<ClusterConfig>,
    /// corosync's votes; `None` when corosync does not answer.
    pub quorum: Option<Quorum>,
    /// corosync's links as this node sees them.
    pub links: Vec<Link>,
    /// pmxcfs: mounted, writable, who is online (`/etc/pve/.members`).
    pub pmxcfs: Pmxcfs,
    /// SHA-256 of the certificate that the API serves: `pveproxy-ssl.pem`, else `pve-ssl.pem`.
    pub fingerprint: Option<String>,
    /// SHA-256 of `/etc/pve/pve-root-ca.pem`.
    pub ca_fingerprint: Option<String>,
    /// The certificates of this node and of the cluster's authority. Told, and compared with nobody's: not read back.
    #[serde(skip_deserializing)]
    pub certificates: Vec<Certificate>,
    /// Public ssh host keys.
    pub host_keys: Vec<HostKey>,
    /// Guests configured on this node.
    pub guests: Vec<Guest>,
    /// High availability.
    pub ha: Ha,
    /// Units this collection depends on.
    pub services: BTreeMap<String, Service>,
    /// Traces of an earlier cluster or of a join that did not end.
    pub remnants: Vec<Remnant>,
    /// An operation of this collection that has not ended: it goes on, or its process was killed.
    pub operation: Option<UnendedOperation>,
    /// What could not be read, each with its reason; empty on a healthy node.
    pub problems: Vec<String>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ClusterState {
    /// Proxmox VE is not installed.
    #[default]
    NotInstalled,
    /// In no cluster, nothing left of one.
    Standalone,
    /// In no cluster, but with traces of one.
    Remnants,
    /// In a cluster, quorate, pmxcfs answers.
    Member,
    /// In a cluster, without quorum, or with corosync or pmxcfs down.
    NoQuorum,
}

/// Installed versions.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct PveVersion {
    /// pve-manager, as in `9.1.10`.
    pub manager: String,
    /// Its first number.
    pub major: u32,
    /// pve-cluster.
    pub pve_cluster: Option<String>,
    /// corosync.
    pub corosync: Option<String>,
}

/// An address of the node.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Address {
    /// Interface name.
    pub interface: String,
    /// IPv4 or IPv6 address.
    pub address: String,
    /// Prefix length.
    pub prefix: u8,
    /// MTU of the interface.
    #[serde(default)]
    pub mtu: Option<u32>,
}

/// The cluster's corosync.conf in short.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct ClusterConfig {
    /// Cluster name.
    pub name: String,
    /// totem.config_version.
    pub config_version: u64,
    /// SHA-256 of the file.
    pub digest: String,
    /// Nodes, by node id.
    pub nodes: Vec<ClusterNode>,
    /// Whether a quorum device is configured.
    pub qdevice: bool,
    /// The host that it asks.
    pub qdevice_host: Option<String>,
    /// Votes that it casts for this node's part of the cluster; `None` where corosync tells of none.
    pub qdevice_votes: Option<u32>,
    /// The file itself. It holds no secret: that is corosync's authkey.
    pub text: String,
}

/// A node of the cluster.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct ClusterNode {
    /// Node name.
    pub name: String,
    /// corosync's node id.
    pub nodeid: u32,
    /// Its votes.
    pub votes: u32,
    /// Ring address of each link.
    pub links: BTreeMap<u8, String>,
    /// Whether corosync has it in the membership; `None` when corosync does not answer.
    pub online: Option<bool>,
    /// Config version that its corosync runs with; `None` where it is not in the membership.
    pub config_version: Option<u64>,
}

/// Votes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Quorum {
    /// Whether this node's partition has quorum.
    pub quorate: bool,
    /// Votes of all listed nodes.
    pub expected_votes: u32,
    /// Votes present.
    pub total_votes: u32,
    /// Votes needed.
    pub quorum: u32,
    /// Node ids present.
    pub members: Vec<u32>,
}

/// A corosync link as this node sees it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Link {
    /// Link number, 0 to 7.
    pub number: u8,
    /// This node's ring address.
    pub address: String,
    /// The other nodes.
    pub peers: Vec<LinkPeer>,
}

/// The other end of a link.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct LinkPeer {
    /// Its node id.
    pub nodeid: u32,
    /// Whether the link to it is up.
    pub connected: bool,
    /// corosync's word for it.
    pub status: String,
    /// Round trip in microseconds as knet measures it all the time; `None` where nobody asked, or it is not up.
    #[serde(skip_deserializing)]
    pub latency: Option<u32>,
}

/// The cluster file system.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Pmxcfs {
    /// Whether /etc/pve is mounted and answers.
    pub mounted: bool,
    /// What `.members` says; `None` on a node in no cluster.
    pub quorate: Option<bool>,
    /// Nodes that `.members` shows online.
    pub online: Vec<String>,
}

/// A certificate.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Certificate {
    /// Its file: `pveproxy-ssl.pem` (what the API serves where it is there), `pve-ssl.pem`, `pve-root-ca.pem`.
    pub file: String,
    /// SHA-256 of it.
    pub fingerprint: String,
    /// When it ends, as in `2028-11-22T15:00:00Z`; `None` where it does not say so.
    pub ends: Option<String>,
}

/// An ssh host key, public half.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct HostKey {
    /// Key type, as in `ssh-ed25519`.
    pub algorithm: String,
    /// Base64 of the key.
    pub key: String,
    /// `SHA256:…` as ssh-keygen prints it.
    pub fingerprint: String,
}

/// A guest.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Guest {
    /// Its number.
    pub vmid: u32,
    /// `qemu` or `lxc`.
    pub kind: String,
}

/// High availability on this node.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Ha {
    /// Whether losing quorum would fence this node: its LRM is active, or watchdog-mux has a client.
    pub active: bool,
    /// Configured resources, as in `vm:100`.
    pub resources: Vec<String>,
}

/// A systemd unit.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Service {
    /// `ActiveState`.
    pub active: String,
    /// `UnitFileState`; empty when the unit is not installed.
    pub enabled: String,
}

/// What to do about traces of an earlier cluster.
pub const SEPARATE: &str = "if the node is to be in no cluster, stop corosync and remove what is named: pvecm(1), \
                            \"separate a node without reinstalling\", says how";

/// A trace of an earlier cluster.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Remnant {
    /// Stable id: `corosync-conf`, `authkey`, `pmxcfs-corosync-conf`, `foreign-nodes`, `not-listed`,
    /// `unfinished-operation`.
    pub id: String,
    /// Where.
    pub path: String,
    /// What it means.
    pub detail: String,
}

/// An operation whose journal says that it has not ended.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct UnendedOperation {
    /// Its id.
    pub id: String,
    /// `create`, `join`, `admit`, `withdraw`, `remove` or `reset`.
    pub kind: String,
    /// What it is about.
    pub target: String,
}

impl ClusterConfig {
    /// Members whose corosync did not read the file as it is, and the config version that each runs with.
    pub fn behind(&self) -> impl Iterator<Item = (&ClusterNode, u64)> {
        let other = |node: &ClusterNode| node.config_version.filter(|has| *has != self.config_version);
        self.nodes.iter().filter_map(move |node| Some((node, other(node)?)))
    }
}

impl NodeFacts {
    /// Whether the node is being made a member: what is found on it now is neither its old nor its new state.
    /// The module that began it attaches to it, or undoes what a crash left.
    pub fn is_in_transition(&self) -> bool {
        let is_own = self
            .operation
            .as_ref()
            .is_some_and(|operation| ["create", "join"].contains(&operation.kind.as_str()));
        is_own && self.state != ClusterState::Member
    }
}
