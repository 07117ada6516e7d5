//! Creation of a cluster: `POST /cluster/config` and `pvecm create`.

use super::schema::{self, Kind, Param, optional, required};
use super::{ApiError, Params, updatecerts};
use crate::corosync::{AUTHKEY, CLUSTER_CONF};
use crate::corosync_conf::{CorosyncConf, Link, Section};
use crate::delays::Step;
use crate::host::Host;
use crate::ssh_keys;
use crate::tasks::Task;

pub const SCHEMA: [Param; 5] = [
    required("clustername", Kind::ClusterName),
    optional("link[n]", Kind::Links),
    optional("nodeid", Kind::Integer(1)),
    optional("token-coefficient", Kind::Integer(0)),
    optional("votes", Kind::Integer(1)),
];

/// What is checked before the task starts.
pub fn check(host: &Host, params: &Params) -> Result<(), ApiError> {
    schema::verify(&SCHEMA, params)?;
    if host.exists(CLUSTER_CONF) {
        return Err(ApiError::die(format!("cluster config '{CLUSTER_CONF}' already exists\n")));
    }
    Ok(())
}

/// The task: key, configuration, restart. An address that is not local is accepted, as PVE does.
pub fn run(host: &Host, task: &Task, params: &Params) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    ssh_keys::permit_root_login(host).map_err(text)?;
    ssh_keys::ensure_root_key(host).map_err(text)?;
    ssh_keys::link_authorized_keys(host).map_err(text)?;
    task.line("Corosync Cluster Engine Authentication key generator.");
    task.line("Gathering 2048 bits for key from /dev/urandom.");
    task.line(&format!("Writing corosync key to {AUTHKEY}."));
    host.create_dir("/etc/corosync", 0o755).map_err(text)?;
    host.write(AUTHKEY, &random_key()?, 0o400).map_err(text)?;
    let address =
        host.own_address().ok_or_else(|| format!("unable to resolve own node name '{}'", host.nodename()))?;
    let conf = configuration(host, params, &address);
    task.line(&format!("Writing corosync config to {CLUSTER_CONF}"));
    host.write(CLUSTER_CONF, conf.to_string().as_bytes(), 0o640).map_err(text)?;
    ssh_keys::merge_authorized_keys(host).map_err(text)?;
    updatecerts::node_files(host, false).map_err(text)?;
    ssh_keys::merge_known_hosts(host, &address).map_err(text)?;
    task.line("Restart corosync and cluster filesystem");
    host.delays.take(Step::CreateCluster);
    let restarted = host.run(&["systemctl", "restart", "corosync", "pve-cluster"]);
    if !restarted.succeeded() {
        // As on PVE the outcome is not looked at any further: the task ends well.
        task.record(&restarted.stderr);
    }
    Ok(())
}

fn random_key() -> Result<Vec<u8>, String> {
    use ring::rand::SecureRandom;
    let mut key = vec![0; 256];
    ring::rand::SystemRandom::new().fill(&mut key).map_err(|_| "no random numbers".to_owned())?;
    Ok(key)
}

fn configuration(host: &Host, params: &Params, address: &str) -> CorosyncConf {
    let mut links = schema::links(params);
    if links.is_empty() {
        links.insert(0, Link { address: address.to_owned(), priority: None });
    }
    let name = host.nodename();
    let mut node = Section::default();
    node.set("name", &name);
    node.set("nodeid", params.get("nodeid").map_or("1", String::as_str));
    node.set("quorum_votes", params.get("votes").map_or("1", String::as_str));
    for (number, link) in &links {
        node.set(&format!("ring{number}_addr"), &link.address);
    }
    let coefficient = params.get("token-coefficient").and_then(|text| text.parse().ok()).unwrap_or(125);
    CorosyncConf::create(&params["clustername"], node, &links, coefficient)
}
