//! Looking until something is so: quorum, pmxcfs, membership, the API's certificate. Success of an operation
//! is what is seen here, never an exit code.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::corosync_conf::CorosyncConf;
use crate::facts::Quorum;
use crate::gather::SHARED_CONF;
use crate::https::{Fingerprint, api};
use crate::node::unwritten;
use crate::pmxcfs::Members;
use crate::{Cmd, Deadline, Node, Progress, certificate, names, quorumtool};

const TOOL_TIMEOUT: Duration = Duration::from_secs(10);
/// quorumtool and a file cost 5 ms together.
const LOOK: Duration = Duration::from_millis(150);
/// A link of a node, as arguments and requests have it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct LinkAddress {
    /// Link number, 0 to 7.
    pub number: u8,
    /// Address of this node on it.
    pub address: String,
    /// knet's priority, set once for the cluster; the highest number wins.
    #[serde(default)]
    pub priority: Option<u32>,
}

/// What a member sees of its cluster.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct View {
    /// Cluster name.
    pub cluster: String,
    /// Config version.
    pub config_version: u64,
    /// Names of the nodes that are online.
    pub members: Vec<String>,
}

/// This node's name.
pub fn own_name(node: &Node) -> anyhow::Result<String> {
    let hostname = node.read("/proc/sys/kernel/hostname")?.unwrap_or_default();
    let name = names::node_name(&hostname).to_owned();
    anyhow::ensure!(!name.is_empty(), "the node has no host name: see /proc/sys/kernel/hostname");
    Ok(name)
}

/// An error unless this process is root.
pub fn is_root(node: &Node) -> anyhow::Result<()> {
    let status = node.read("/proc/self/status")?.unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    let effective = uids.split_whitespace().nth(1);
    anyhow::ensure!(effective == Some("0"), "this must run as root: use become");
    Ok(())
}

/// The cluster's configuration as pmxcfs has it.
pub fn shared_conf(node: &Node) -> anyhow::Result<Option<CorosyncConf>> {
    let text = node.read(SHARED_CONF)?;
    text.map(|text| CorosyncConf::parse(&text).with_context(|| format!("cannot read {SHARED_CONF:?}")))
        .transpose()
}

/// Waits until corosync and pmxcfs of this node are in the cluster, quorate, with all `others` online.
pub fn wait_until_quorate(
    node: &Node,
    cluster: &str,
    others: &[String],
    deadline: Deadline,
) -> anyhow::Result<View> {
    let what = format!("this node to be a quorate member of {cluster:?}");
    deadline.wait(node, &what, LOOK, || {
        if let Progress::Pending(state) = votes(node)? {
            return Ok(Progress::Pending(state));
        }
        let Some(text) = node.read("/etc/pve/.members")? else {
            return Ok(Progress::Pending("pmxcfs is not mounted".to_owned()));
        };
        let members = Members::parse(&text)?;
        let Some(shown) = members.cluster.as_ref().filter(|shown| shown.name == cluster) else {
            return Ok(Progress::Pending("pmxcfs does not show the cluster yet".to_owned()));
        };
        let online = members.online();
        let missing: Vec<&str> =
            others.iter().map(String::as_str).filter(|name| !online.iter().any(|on| on == name)).collect();
        if shown.quorate != 1 || !missing.is_empty() {
            return Ok(Progress::Pending(format!(
                "pmxcfs shows quorate: {}, not online: {}",
                shown.quorate == 1,
                if missing.is_empty() { "none".to_owned() } else { missing.join(", ") }
            )));
        }
        let view = View { cluster: shown.name.clone(), config_version: shown.version, members: online };
        Ok(Progress::Done(view))
    })
}

/// Waits until corosync of this node is quorate, whatever pmxcfs is.
pub fn wait_until_votes_suffice(node: &Node, deadline: Deadline) -> anyhow::Result<Quorum> {
    deadline.wait(node, "corosync to be quorate", LOOK, || votes(node))
}

/// Whether pmxcfs of this node knows that there is quorum.
pub fn is_pmxcfs_quorate(node: &Node) -> anyhow::Result<bool> {
    let Some(text) = node.read("/etc/pve/.members")? else { return Ok(false) };
    Ok(Members::parse(&text)?.cluster.is_some_and(|cluster| cluster.quorate == 1))
}

fn votes(node: &Node) -> anyhow::Result<Progress<Quorum>> {
    let Some(status) = quorumtool::query(node, TOOL_TIMEOUT)? else {
        return Ok(Progress::Pending("corosync does not answer".to_owned()));
    };
    let votes = status.quorum;
    let (total, expected) = (votes.total_votes, votes.expected_votes);
    Ok(match votes.quorate {
        true => Progress::Done(votes),
        false => Progress::Pending(format!("corosync has {total} of {expected} votes, no quorum")),
    })
}

/// Waits until /etc/pve takes writes: right after a start it is quorate some time before it does.
pub fn wait_until_writable(node: &Node, deadline: Deadline) -> anyhow::Result<()> {
    const PROBE: &str = "/etc/pve/priv/lock/sddc-pve-probe";
    deadline.wait(node, "/etc/pve to be writable", LOOK, || {
        let made = node.create_private_dir("/etc/pve/priv/lock").and_then(|()| {
            std::fs::create_dir(node.path(PROBE)).or_else(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(unwritten(error, PROBE)),
            })?;
            Ok(())
        });
        match made {
            Ok(()) => {
                let _ = std::fs::remove_dir(node.path(PROBE));
                Ok(Progress::Done(()))
            }
            // Without quorum it waits; a pmxcfs that changes nothing any more does not come back by itself.
            Err(error) if is_input_output(&error) => Err(error),
            Err(error) => Ok(Progress::Pending(format!("{error:#}"))),
        }
    })
}

fn is_input_output(error: &anyhow::Error) -> bool {
    let of = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error)
    };
    error.chain().any(|cause| of(cause) == Some(nix::libc::EIO))
}

/// The certificate that the API of this node should serve.
pub fn own_certificate(node: &Node) -> anyhow::Result<Option<Fingerprint>> {
    let own = own_name(node)?;
    for name in ["pveproxy-ssl.pem", "pve-ssl.pem"] {
        if let Some(pem) = node.read(&format!("/etc/pve/nodes/{own}/{name}"))? {
            return Ok(Some(certificate::fingerprint_of_pem(&pem)?.parse()?));
        }
    }
    Ok(None)
}

/// Waits until the API of this node serves its present certificate. For some seconds after a restart workers
/// from before it go on answering with the old one, now and then: whether only the new one is left is for who
/// looks at the whole cluster, since the next node need not wait for it.
pub fn wait_for_api(node: &Node, address: IpAddr, deadline: Deadline) -> anyhow::Result<Fingerprint> {
    let expected = own_certificate(node)?.context(
        "this node has no certificate in /etc/pve: run \"pvecm updatecerts --force\" on it and look at its output",
    )?;
    let what = format!("the API on {address} to serve certificate {expected}");
    deadline.wait(node, &what, LOOK, || match api::served_certificate(node, address, TOOL_TIMEOUT) {
        Ok(shown) if shown == expected => Ok(Progress::Done(expected)),
        Ok(shown) => Ok(Progress::Pending(format!("it serves {shown}"))),
        Err(error) => Ok(Progress::Pending(error.to_string())),
    })
}

/// The address at which this node's own API is asked: the one that its name stands for, as PVE takes it.
pub fn own_address(node: &Node) -> anyhow::Result<IpAddr> {
    let name = own_name(node)?;
    let addresses = names::resolve(node, &name, TOOL_TIMEOUT)?;
    let address = addresses.iter().find_map(|text| text.parse().ok());
    address.with_context(|| {
        format!("the node's own name {name:?} resolves to no address: put it into /etc/hosts")
    })
}

/// Runs systemctl; its refusal is an error.
pub fn systemctl(node: &Node, args: &[&str], timeout: Duration) -> anyhow::Result<()> {
    node.run_ok(&Cmd::new("systemctl", args.iter().copied(), timeout)).map(|_| ())
}

/// Addresses of links by number.
pub fn by_number(links: &[LinkAddress]) -> BTreeMap<u8, String> {
    let mut addresses = BTreeMap::new();
    for link in links {
        addresses.insert(link.number, link.address.clone());
    }
    addresses
}

/// Ids of the guests of a node, as pmxcfs lists those of the cluster.
pub fn guests(node: &Node, name: &str) -> anyhow::Result<Vec<u32>> {
    let text = node.read("/etc/pve/.vmlist")?;
    let guests = text.map(|text| crate::pmxcfs::parse_guests(&text, name)).transpose()?.unwrap_or_default();
    Ok(guests.into_iter().map(|guest| guest.vmid).collect())
}
