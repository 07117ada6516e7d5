//! Waves of joins: nodes that are admitted and started together, while every node writes down all the time what
//! corosync says of its quorum.

use anyhow::{Result, ensure};

use super::scene::{Scene, same};
use crate::lab::Node;
use crate::quorum_watch::{OFTEN, proven, start};

/// Nine nodes join in three runs: 1, 1 and a wave of two that fails as a whole; the two again; four more in one wave.
pub fn nine(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(5)?;
    let (members, joiners) = (&nodes[..3], &nodes[3..]);
    for node in joiners {
        scene.sh(*node, "chmod 0644 /usr/sbin/corosync")?;
    }
    start(&scene.lab, &nodes, OFTEN)?;
    let run = scene.play("site.yml", "wave-fails").run()?;
    ensure!(!run.is_success, "two nodes joined without corosync");
    for node in joiners {
        let said = run.failed.get(&node.name()).map(|told| told.join("\n")).unwrap_or_default();
        ensure!(said.contains("did not join") && said.contains("taken off the list"), "{node} says: {said}");
        scene.sh(*node, "chmod 0755 /usr/sbin/corosync")?;
    }
    scene.healthy(members)?;
    // Created, two admitted, two admitted, two taken off.
    same("config_version after the failed wave", &7, &scene.config_version(nodes[0])?)?;

    one_wave(scene, "wave", &nodes, 9)?;

    scene.lab.up(9)?;
    let nodes = Node::first(9);
    start(&scene.lab, &nodes[5..], OFTEN)?;
    one_wave(scene, "next-wave", &nodes, 13)?;
    proven(&scene.lab, &nodes)?;
    let again = scene.site("again", &[])?;
    same("changes of the next run", &Vec::<String>::new(), &again.changed)
}

/// All that are missing join in one wave.
fn one_wave(scene: &Scene<'_>, label: &str, nodes: &[Node], config_version: u64) -> Result<()> {
    let run = scene.site(label, &[])?;
    scene.healthy(nodes)?;
    same("config_version", &config_version, &scene.config_version(nodes[0])?)?;
    let admissions = run.changed.iter().filter(|line| line.ends_with("Admit the nodes to the cluster"));
    same(&format!("admissions of {label}"), &1, &admissions.count())
}
