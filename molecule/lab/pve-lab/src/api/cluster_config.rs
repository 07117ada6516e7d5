//! `/cluster/config` and what is below it, as far as it only reads.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use ring::digest;
use serde_json::{Value, json};

use super::schema::{self, Kind, optional};
use super::{Answer, ApiError, Params};
use crate::certificates;
use crate::corosync::{self, CLUSTER_CONF};
use crate::corosync_conf::{CorosyncConf, text_map};
use crate::host::Host;

/// Nodes come out of a Perl hash: in another order each time.
pub fn any_order<T>(mut list: Vec<T>) -> Vec<T> {
    let random = RandomState::new();
    let mut keys: Vec<u64> = (0..list.len()).map(|at| random.hash_one(at)).collect();
    for at in 0..list.len() {
        let least = (at..list.len()).min_by_key(|other| keys[*other]).unwrap_or(at);
        list.swap(at, least);
        keys.swap(at, least);
    }
    list
}

pub fn index() -> Answer {
    let names = ["nodes", "totem", "join", "qdevice", "apiversion"];
    Ok(Value::from(names.map(|name| json!({"name": name})).to_vec()).into())
}

fn config(host: &Host) -> Result<Option<CorosyncConf>, ApiError> {
    if !host.exists(CLUSTER_CONF) {
        return Ok(None);
    }
    corosync::config(host).map(Some).map_err(|error| ApiError::die(format!("{error}\n")))
}

pub fn nodes(host: &Host) -> Answer {
    let list: Vec<Value> = config(host)?
        .iter()
        .flat_map(CorosyncConf::nodes)
        .map(|node| {
            let mut map = text_map(node);
            map.insert("node".to_owned(), node.get("name").unwrap_or_default().into());
            Value::Object(map)
        })
        .collect();
    Ok(Value::from(any_order(list)).into())
}

pub fn totem(host: &Host) -> Answer {
    Ok(config(host)?.map_or(Value::Null, |conf| conf.totem_json()).into())
}

/// What a node needs to know to join: 424 standalone, an error while a listed node has no certificate.
pub fn join_info(host: &Host, params: &Params) -> Answer {
    schema::verify(&[optional("node", Kind::NodeName)], params)?;
    let Some(conf) = config(host)? else {
        return Err(ApiError {
            exit: 2,
            ..ApiError::status(424, "node is not in a cluster, no join info available!")
        });
    };
    let mut nodes = Vec::new();
    for node in conf.nodes() {
        let name = node.get("name").unwrap_or_default();
        let mut map = text_map(node);
        let fingerprint =
            certificates::node_fingerprint(host, name).map_err(|error| ApiError::errno(error, 2))?;
        map.insert("pve_fp".to_owned(), fingerprint.into());
        if let Some(address) = corosync::address_of(host, name) {
            map.insert("pve_addr".to_owned(), address.into());
        }
        nodes.push(Value::Object(map));
    }
    let text = host.read(CLUSTER_CONF)?;
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &text);
    let config_digest: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let preferred = params.get("node").cloned().unwrap_or_else(|| host.nodename());
    Ok(json!({
        "config_digest": config_digest,
        "nodelist": any_order(nodes),
        "preferred_node": preferred,
        "totem": conf.totem_json(),
    })
    .into())
}
