//! `/version`, `/cluster/status`, `/cluster/resources`, `/cluster/tasks`.

use serde_json::{Map, Value, json};

use super::Answer;
use super::cluster_config::any_order;
use crate::corosync;
use crate::host::Host;
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

/// Names of all nodes, as the API lists them.
pub fn node_names(host: &Host) -> Vec<String> {
    match corosync::cluster_state(host) {
        Some(state) => any_order(state.members.into_iter().map(|member| member.name).collect()),
        None => vec![host.nodename()],
    }
}

pub fn resources(host: &Host) -> Answer {
    let nodes = node_names(host);
    let mut list = Vec::new();
    for node in &nodes {
        list.push(json!({"id": format!("node/{node}"), "node": node, "status": "unknown", "type": "node"}));
    }
    for node in &nodes {
        list.push(json!({
            "content": "images,backup,vztmpl,iso,import,rootdir", "disk": 22_582_743_040u64,
            "id": format!("storage/{node}/local"), "maxdisk": 270_553_174_016u64, "node": node,
            "plugintype": "dir", "shared": 0, "status": "available", "storage": "local", "type": "storage",
        }));
    }
    for node in &nodes {
        list.push(json!({
            "id": format!("network/{node}/zone/localnetwork"), "network": "localnetwork",
            "network-type": "zone", "node": node, "status": "ok", "type": "network",
        }));
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
