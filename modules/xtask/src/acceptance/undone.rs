//! Joins that fail at their worst moment, by every method: once the node has given up what it was, corosync does not start.
//! Afterwards the node is what it was, byte for byte, and so is the cluster; the next method finds it fit for another try.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::play::Run;
use super::scene::{PASSWORD, Scene, same};
use crate::lab::Node;
use crate::oracle;

const METHODS: [&str; 7] = ["brokered", "ticket", "token", "ssh", "auto", "api", "expect"];
/// What a join touches outside of /etc and /root/.ssh, which the listing of a node covers: pmxcfs' database (its copies in
/// backup/ are PVE's own records), what corosync keeps, root's password, and credentials.
const MORE: &str = "cd /var/lib; find pve-cluster corosync -path pve-cluster/backup -prune -o -type f -print0 | sort -z | \
                    xargs -0 -r sha256sum; grep ^root: /etc/shadow | sha256sum; find sddc-pve/snapshots /run/sddc-pve ! -type d ! -name '*.lock' 2>/dev/null | sort";

/// What a join could leave in the cluster. The registry's own directory stays once there has been a token, and nonces expire.
const LISTED: &str = "cat /etc/pve/priv/authorized_keys; ls /etc/pve/nodes; \
                      find /etc/pve/priv ! -path '/etc/pve/priv/sddc-pve*' | sort; find /etc/pve/priv/sddc-pve ! -type d 2>/dev/null | sort";

/// One method after the other on the same two nodes.
pub fn every_method(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(2)?;
    let (member, joiner) = (nodes[0], nodes[1]);
    let secrets = scene.dir().join("secrets.yml");
    fs::write(&secrets, format!("pve_join_password: \"{PASSWORD}\"\n"))?;
    let join = |label: &str, method: &str| -> Result<Run> {
        let args = [
            "-e".to_owned(),
            format!("pve_join_method={method}"),
            "-e".to_owned(),
            format!("@{}", secrets.display()),
        ];
        scene.play("site.yml", label).args(args).run()
    };
    creation(scene, joiner)?;

    scene.sh(joiner, "chmod 0644 /usr/sbin/corosync")?;
    // Prepares both nodes, which is no part of a join, and makes the cluster.
    let prepared = join("prepare", "brokered")?;
    ensure!(!prepared.is_success, "pve2 joined without corosync");
    for method in METHODS {
        let what = || format!("method {method}");
        let (before, more) = (scene.untouched(&[joiner])?, scene.sh(joiner, MORE)?);
        let listed = scene.sh(member, LISTED)?;
        let run = join(method, method)?;
        ensure!(!run.is_success, "method {method} joined without corosync");
        ensure!(run.messages().contains("corosync"), "method {method} does not say why: {}", run.messages());
        scene.still(&before).with_context(what)?;
        same("database, corosync's state, password", &more, &scene.sh(joiner, MORE)?).with_context(what)?;
        oracle::await_healthy(&scene.lab, &nodes[..1], 2, Duration::from_secs(60)).with_context(what)?;
        let conf = scene.sh(member, "cat /etc/pve/corosync.conf")?;
        ensure!(!conf.contains("pve2"), "method {method}: the cluster lists pve2: {conf}");
        let after = scene.sh(member, LISTED)?;
        same("keys and files of the cluster", &listed, &after).with_context(what)?;
        println!("  {method}: undone after {:.1} s", run.elapsed.as_secs_f64());
    }
    scene.sh(joiner, "chmod 0755 /usr/sbin/corosync")?;
    scene.site("join", &[])?;
    scene.healthy(&nodes)
}

/// A creation that fails is undone as well.
fn creation(scene: &Scene<'_>, node: Node) -> Result<()> {
    scene.sh(node, "chmod 0644 /usr/sbin/corosync")?;
    let (before, more) = (scene.untouched(&[node])?, scene.sh(node, MORE)?);
    let run =
        scene.task("create", node, "pve_cluster_create", &json!({ "cluster_name": "sddc-cluster" }), &[])?;
    ensure!(!run.is_success, "a cluster was made without corosync");
    scene.still_but(&before, &["/etc/logrotate.d/sddc-pve"])?;
    // /etc/pve was written to and cleaned, so its database is another file with the same content, which the listing shows.
    let apart = |text: &str| {
        text.lines().filter(|line| !line.contains("config.db")).map(str::to_owned).collect::<Vec<_>>()
    };
    same("corosync's state, password", &apart(&more), &apart(&scene.sh(node, MORE)?))?;
    scene.sh(node, "chmod 0755 /usr/sbin/corosync")?;
    println!("  create: undone after {:.1} s", run.elapsed.as_secs_f64());
    Ok(())
}
