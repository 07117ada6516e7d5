//! `/version`, `/cluster/status`, `/cluster/resources`, `/cluster/tasks`.

use serde_json::{Map, Value, json};

use super::Answer;
use super::cluster_config::any_order;
use crate::corosync;
use crate::host::Host;
use crate::http::message::http_date;
use crate::tasks;

pub const VERSION: &str = "9.1.10";
pub const REPOSITORY_ID: &str = "cf3780f987144a6d";

pub fn version() -> Answer {
    Ok(json!({"release": "9.1", "repoid": REPOSITORY_ID, "version": VERSION}).into())
}

/// The cluster and its nodes; standalone the node alone, with node id 0.
pub fn status(host: &Host) -> Answer {
    let own = host.nodename();
    let node = |name: &str, id: u64, online: bool, address: Option<String>| {
        let mut map = Map::new();
        map.insert("id".to_owned(), format!("node/{name}").into());
        if let Some(address) = address {
            map.insert("ip".to_owned(), address.into());
        }
        map.insert("level".to_owned(), "".into());
        map.insert("local".to_owned(), u8::from(name == own).into());
        map.insert("name".to_owned(), name.into());
        map.insert("nodeid".to_owned(), id.into());
        map.insert("online".to_owned(), u8::from(online).into());
        map.insert("type".to_owned(), "node".into());
        Value::Object(map)
    };
    let Some(state) = corosync::cluster_state(host) else {
        return Ok(json!([node(&own, 0, true, host.own_address())]).into());
    };
    let mut list = vec![json!({
        "id": "cluster", "name": state.name, "nodes": state.nodes, "quorate": u8::from(state.is_quorate),
        "type": "cluster", "version": state.version,
    })];
    for member in any_order(state.members) {
        list.push(node(&member.name, member.id, member.is_online, member.address));
    }
    Ok(Value::from(list).into())
}

/// Names of all nodes, as the API lists them, and the status it has for each: no node has a status daemon here, so a
/// node that is online is `unknown`, as on genuine nodes whose daemon has said nothing yet.
pub fn nodes(host: &Host) -> Vec<(String, &'static str)> {
    let status = |is_online: bool| if is_online { "unknown" } else { "offline" };
    match corosync::cluster_state(host) {
        Some(state) => any_order(
            state.members.into_iter().map(|member| (member.name, status(member.is_online))).collect(),
        ),
        None => vec![(host.nodename(), status(true))],
    }
}

pub fn resources(host: &Host) -> Answer {
    let nodes = nodes(host);
    let mut list = Vec::new();
    for (node, status) in &nodes {
        list.push(json!({"id": format!("node/{node}"), "node": node, "status": status, "type": "node"}));
    }
    for (node, _) in &nodes {
        list.push(json!({
            "content": "images,backup,vztmpl,iso,import,rootdir", "disk": 22_582_743_040u64,
            "id": format!("storage/{node}/local"), "maxdisk": 270_553_174_016u64, "node": node,
            "plugintype": "dir", "shared": 0, "status": "available", "storage": "local", "type": "storage",
        }));
    }
    for (node, _) in &nodes {
        list.push(json!({
            "id": format!("network/{node}/zone/localnetwork"), "network": "localnetwork",
            "network-type": "zone", "node": node, "status": "ok", "type": "network",
        }));
    }
    Ok(Value::from(list).into())
}

/// Quorum and the local resource managers, as `PVE/API2/HA/Status.pm` words them. No transcript holds it.
pub fn ha_status(host: &Host) -> Answer {
    let is_quorate = corosync::cluster_state(host).is_none_or(|state| state.is_quorate);
    let word = if is_quorate { "OK" } else { "No quorum on node" };
    let mut list = vec![json!({
        "id": "quorum", "node": host.nodename(), "quorate": u8::from(is_quorate), "status": word,
        "type": "quorum",
    })];
    for (node, _) in nodes(host) {
        let text = host.read_text(&format!("/etc/pve/nodes/{node}/lrm_status")).unwrap_or_default();
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        let told = match (status["timestamp"].as_u64(), status["state"].as_str()) {
            (Some(time), Some("wait_for_agent_lock")) => format!("{node} (idle, {})", http_date(time)),
            (Some(time), state) => format!("{node} ({}, {})", state.unwrap_or("unknown"), http_date(time)),
            (None, _) => format!("{node} (unable to read lrm status)"),
        };
        list.push(json!({"id": format!("lrm:{node}"), "node": node, "status": told, "type": "lrm"}));
    }
    Ok(Value::from(list).into())
}

/// Finished tasks of the cluster. Each node knows its own here.
pub fn tasks(host: &Host) -> Answer {
    let list: Vec<Value> = tasks::finished(host)
        .into_iter()
        .map(|mut task| {
            task.remove("pid");
            task.remove("pstart");
            task.insert("saved".to_owned(), "1".into());
            Value::Object(task)
        })
        .collect();
    Ok(Value::from(list).into())
}
