//! Changes of the cluster's node list by a member: `POST` and `DELETE /cluster/config/nodes/X`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::schema::{self, Kind, Param, optional, required, truth};
use super::{ApiError, Params, Reply, lock};
use crate::corosync::{self, AUTHKEY, CLUSTER_CONF};
use crate::corosync_conf::{CorosyncConf, Link, Section};
use crate::delays::Step;
use crate::host::Host;
use crate::pmxcfs::QuorumView;

pub const ADD_SCHEMA: [Param; 7] = [
    required("node", Kind::NodeName),
    optional("apiversion", Kind::Text),
    optional("force", Kind::Boolean),
    optional("link[n]", Kind::Links),
    optional("new_node_ip", Kind::Address),
    optional("nodeid", Kind::Integer(1)),
    optional("votes", Kind::Integer(0)),
];

/// Time in which the others notice that a killed corosync is gone.
const GONE_LIMIT: Duration = Duration::from_secs(10);

fn invalid(problem: &str, exit: u8) -> ApiError {
    ApiError {
        errors: [("error0".to_owned(), problem.to_owned())].into(),
        exit,
        ..ApiError::die("invalid corosync.conf\n")
    }
}

/// The configuration, or what PVE says standalone.
fn member_config(host: &Host) -> Result<CorosyncConf, ApiError> {
    if !host.exists(CLUSTER_CONF) {
        return Err(invalid("no nodes found", 2));
    }
    let conf = corosync::config(host).map_err(|error| ApiError::die(format!("{error}\n")))?;
    if conf.nodes().is_empty() {
        return Err(invalid("no nodes found", 255));
    }
    Ok(conf)
}

fn write_config(host: &Host, conf: &mut CorosyncConf) -> Result<(), ApiError> {
    conf.next_version();
    host.write(&format!("{CLUSTER_CONF}.new"), conf.to_string().as_bytes(), 0o640)?;
    std::fs::rename(host.path(&format!("{CLUSTER_CONF}.new")), host.path(CLUSTER_CONF))?;
    Ok(())
}

fn locked<T>(host: &Host, work: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
    if !corosync::has_quorum(host) {
        return Err(ApiError::die("cluster not ready - no quorum?\n"));
    }
    // A single node has nobody to contend with, and could not give the cluster's lock back once its second node is
    // listed (PVE/API2/ClusterConfig.pm, config_change_lock).
    let is_alone = corosync::config(host).is_ok_and(|conf| conf.nodes().len() <= 1);
    lock::with_local_lock(host, || match is_alone {
        true => work(),
        false => lock::with_cluster_lock(host, "file-corosync_conf", work),
    })
}

/// Admits a node: writes it into corosync.conf and hands out what it needs.
pub fn add(host: &Host, params: &Params) -> Result<Reply, ApiError> {
    schema::verify(&ADD_SCHEMA, params)?;
    if host.exists(CLUSTER_CONF) && !corosync::has_quorum(host) {
        return Err(ApiError::die("cluster not ready - no quorum?\n"));
    }
    locked(host, || add_locked(host, params))
}

fn add_locked(host: &Host, params: &Params) -> Result<Reply, ApiError> {
    let mut conf = member_config(host)?;
    let name = params["node"].as_str();
    let is_forced = params.get("force").and_then(|text| truth(text)).unwrap_or(false);
    let mut printed = String::new();
    let links = requested_links(&conf, params)?;
    let existing = conf.node(name).cloned();
    check_links(&conf, &links, name)?;
    if existing.is_some() {
        if !is_forced {
            return Err(ApiError::die(format!("can't add existing node '{name}'\n")));
        }
        printed = format!("forcing overwrite of configured node '{name}'\n");
    }
    let kept_id = existing.as_ref().and_then(|node| node.get("nodeid")).map(str::to_owned);
    let id = params.get("nodeid").cloned().or(kept_id).unwrap_or_else(|| free_id(&conf));
    let mut node = Section::default();
    node.set("name", name);
    node.set("nodeid", id);
    node.set("quorum_votes", params.get("votes").map_or("1", String::as_str));
    for (number, link) in &links {
        node.set(&format!("ring{number}_addr"), &link.address);
    }
    conf.nodes_mut().retain(|other| other.get("name") != Some(name));
    conf.nodes_mut().push(node);
    write_config(host, &mut conf)?;
    let _ = host.create_dir(&format!("/etc/pve/nodes/{name}"), 0o755);
    let key = host.read(AUTHKEY)?;
    let data = json!({
        "corosync_authkey": key.iter().map(|byte| char::from(*byte)).collect::<String>(),
        "corosync_conf": conf.to_string(),
        "warnings": [],
    });
    Ok(Reply { data, printed, total: None })
}

fn free_id(conf: &CorosyncConf) -> String {
    let taken: BTreeSet<u64> =
        conf.nodes().iter().filter_map(|node| node.get("nodeid")?.parse().ok()).collect();
    (1..).find(|id| !taken.contains(id)).unwrap_or(1).to_string()
}

fn requested_links(
    conf: &CorosyncConf,
    params: &Params,
) -> Result<std::collections::BTreeMap<u8, Link>, ApiError> {
    let mut links = schema::links(params);
    if links.is_empty() {
        let Some(address) = params.get("new_node_ip") else {
            return Err(ApiError::die(
                "no links and no fallback ip (new_node_ip) given, cannot join cluster\n",
            ));
        };
        if conf.links().len() > 1 {
            return Err(ApiError::die(
                "no links given but multiple links found on other nodes, fallback only supported on single-link clusters\n",
            ));
        }
        links.insert(0, Link { address: address.clone(), priority: None });
    }
    Ok(links)
}

/// Every node has the links that the cluster has, and no address twice on a link.
fn check_links(
    conf: &CorosyncConf,
    links: &std::collections::BTreeMap<u8, Link>,
    name: &str,
) -> Result<(), ApiError> {
    let configured = conf.links();
    if let Some(missing) = configured.iter().find(|number| !links.contains_key(number)) {
        return Err(ApiError::die(format!(
            "corosync: link {missing} exists in cluster config but wasn't specified for new node\n"
        )));
    }
    for (number, link) in links {
        if !configured.contains(number) {
            return Err(ApiError::die(format!(
                "corosync: link {number} specified for new node doesn't exist in cluster config\n"
            )));
        }
        let key = format!("ring{number}_addr");
        let owner = conf
            .nodes()
            .iter()
            .filter(|node| node.get("name") != Some(name))
            .find(|node| node.get(&key) == Some(link.address.as_str()));
        if let Some(owner) = owner {
            return Err(ApiError::die(format!(
                "corosync: address '{}' already used on link {key} by node '{}'\n",
                link.address,
                owner.get("name").unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// Removes a node from corosync.conf and makes corosync drop it. The node itself is not asked.
pub fn remove(host: &Host, name: &str) -> Result<Reply, ApiError> {
    // An address is no node name, although the search below would find it.
    schema::verify(&[required("node", Kind::NodeName)], &[("node".to_owned(), name.to_owned())].into())?;
    if host.exists(CLUSTER_CONF) && !corosync::has_quorum(host) {
        return Err(ApiError::die("cluster not ready - no quorum?\n"));
    }
    let unknown =
        |exit| ApiError::errno(format!("Node/IP: {name} is not a known host of the cluster.\n"), exit);
    if !host.exists(CLUSTER_CONF) {
        return Err(unknown(2));
    }
    locked(host, || {
        let mut conf = member_config(host)?;
        let found = conf
            .nodes()
            .iter()
            .find(|node| {
                node.texts().any(|(key, text)| text == name && (key == "name" || key.starts_with("ring")))
            })
            .cloned()
            .ok_or_else(|| unknown(255))?;
        let node = found.get("name").unwrap_or(name).to_owned();
        if node == host.nodename() {
            return Err(ApiError::die("Cannot delete myself from cluster!\n"));
        }
        let id = found.get("nodeid").unwrap_or_default().to_owned();
        let killed = host.run(&["corosync-cfgtool", "-k", &id]);
        if killed.stderr.trim().is_empty() {
            wait_until_gone(host, &id);
        } else {
            eprintln!("{}", killed.stderr.trim_end());
        }
        conf.nodes_mut().retain(|other| other.get("name") != Some(node.as_str()));
        write_config(host, &mut conf)?;
        let printed = format!("Killing node {id}\n");
        Ok(Reply { printed, ..Reply::default() })
    })
}

/// A write right after the kill is delivered once the others have noticed, and no more to the killed one.
fn wait_until_gone(host: &Host, id: &str) {
    let deadline = Instant::now() + GONE_LIMIT;
    let is_member = || {
        let shown = corosync::quorumtool(host, &["-s"]);
        QuorumView::from_quorumtool(&shown.stdout)
            .is_some_and(|view| id.parse().is_ok_and(|id| view.members.contains(&id)))
    };
    while is_member() && Instant::now() < deadline {
        host.delays.take(Step::MembershipLook);
    }
}
