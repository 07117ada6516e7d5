//! corosync's own programs and the state of the cluster as PVE's tools see it.

use crate::corosync_conf::CorosyncConf;
use crate::host::Host;
use crate::system::Output;

pub const CLUSTER_CONF: &str = "/etc/pve/corosync.conf";
pub const AUTHKEY: &str = "/etc/corosync/authkey";

/// A cluster member as `.members` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    pub name: String,
    pub id: u64,
    pub is_online: bool,
    pub address: Option<String>,
}

/// What `.members` says; None standalone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    pub name: String,
    pub version: u64,
    pub nodes: u64,
    pub is_quorate: bool,
    pub members: Vec<MemberState>,
}

pub fn cluster_state(host: &Host) -> Option<ClusterState> {
    let text = host.read("/etc/pve/.members").ok()?;
    let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let cluster = json.get("cluster")?;
    let members = json
        .get("nodelist")?
        .as_object()?
        .iter()
        .map(|(name, node)| MemberState {
            name: name.clone(),
            id: node["id"].as_u64().unwrap_or(0),
            is_online: node["online"] == 1,
            address: node["ip"].as_str().map(str::to_owned),
        })
        .collect();
    Some(ClusterState {
        name: cluster["name"].as_str().unwrap_or_default().to_owned(),
        version: cluster["version"].as_u64().unwrap_or(0),
        nodes: cluster["nodes"].as_u64().unwrap_or(0),
        is_quorate: cluster["quorate"] == 1,
        members,
    })
}

/// True standalone and in a quorate cluster: what PVE asks before it writes.
pub fn has_quorum(host: &Host) -> bool {
    match cluster_state(host) {
        Some(state) => state.is_quorate,
        // A cluster configuration of which pmxcfs knows no state yet: corosync is not there.
        None => !host.exists(CLUSTER_CONF),
    }
}

pub fn config(host: &Host) -> Result<CorosyncConf, String> {
    let text = host.read_text(CLUSTER_CONF).map_err(|error| error.to_string())?;
    CorosyncConf::parse(&text)
}

/// Address of a member: as pmxcfs knows it, else as its name resolves.
pub fn address_of(host: &Host, node: &str) -> Option<String> {
    let known = cluster_state(host)
        .and_then(|state| state.members.into_iter().find(|member| member.name == node))
        .and_then(|member| member.address);
    known.or_else(|| host.system.resolve(node).ok().map(|address| address.to_string()))
}

pub fn is_running(host: &Host) -> bool {
    host.run(&["systemctl", "is-active", "--quiet", "corosync"]).succeeded()
}

pub fn quorumtool(host: &Host, args: &[&str]) -> Output {
    let argv: Vec<&str> = ["corosync-quorumtool"].into_iter().chain(args.iter().copied()).collect();
    host.run(&argv)
}
