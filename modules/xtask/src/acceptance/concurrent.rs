//! Two controllers at once: over the same fresh nodes, as creators of one name, joining and removing, joining and resetting.
//! One wins, the other attaches or reports; there is never a second cluster, and nobody who is a member loses quorum.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Scenario;
use super::rivals::{Rival, at_once, inventory, one_cluster, settles};
use super::scene::{Scene, same};
use crate::lab::{LINKS, Node};
use crate::quorum_watch::{OFTEN, proven, start};

/// What two controllers at once may do.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "concurrent",
        what: "two controllers at once over the same fresh nodes: one cluster, and the second run finds nothing to do",
        is_long: true,
        run: sites,
    },
    Scenario {
        name: "concurrent-creators",
        what: "two controllers who would each have another node create the cluster: one does",
        is_long: true,
        run: creators,
    },
    Scenario {
        name: "concurrent-changes",
        what: "the same creation and join twice at once, a join beside a removal and beside a reset: never a lost quorum",
        is_long: true,
        run: changes,
    },
];

const CLUSTER: &str = "sddc-cluster";
/// Seconds by which the second controller is later.
const OFFSETS: [f64; 4] = [0.0, 0.5, 2.0, 5.0];

/// site.yml twice over fresh nodes.
fn sites(scene: &Scene<'_>) -> Result<()> {
    for offset in OFFSETS {
        let nodes = scene.fresh(3)?;
        start(&scene.lab, &nodes, OFTEN)?;
        let (first, second) = (format!("first-{offset}"), format!("second-{offset}"));
        let runs =
            at_once(scene, &[Rival::new(&first, "site.yml"), Rival::new(&second, "site.yml").after(offset)])?;
        ensure!(runs.iter().any(|run| run.is_success), "neither controller ended well");
        one_cluster(scene, &nodes)?;
        settles(scene, &format!("{offset}"), &nodes)?;
        proven(&scene.lab, &nodes)?;
        let created =
            runs.iter().flat_map(|run| &run.changed).filter(|line| line.ends_with("Create the cluster"));
        ensure!(created.count() >= 1, "nobody created the cluster");
    }
    Ok(())
}

/// Two inventories, each with the other half of the nodes first: two who would create the cluster.
fn creators(scene: &Scene<'_>) -> Result<()> {
    for offset in OFFSETS {
        let nodes = scene.fresh(4)?;
        let turned: Vec<Node> = nodes[2..].iter().chain(&nodes[..2]).copied().collect();
        let other = inventory(scene, "turned", &turned)?;
        start(&scene.lab, &nodes, OFTEN)?;
        let (first, second) = (format!("first-{offset}"), format!("second-{offset}"));
        let runs = at_once(
            scene,
            &[Rival::new(&first, "site.yml"), Rival::new(&second, "site.yml").over(other).after(offset)],
        )?;
        one_cluster(scene, &nodes)?;
        ensure!(runs.iter().any(|run| run.is_success), "neither controller ended well");
        settles(scene, &format!("{offset}"), &nodes)?;
        proven(&scene.lab, &nodes)?;
    }
    Ok(())
}

/// The same creation and the same join twice; a node joins while another one is removed; all are reset while one joins.
fn changes(scene: &Scene<'_>) -> Result<()> {
    created_twice(scene)?;
    joined_twice(scene)?;
    joined_and_removed(scene)?;
    joined_and_reset(scene)
}

fn created_twice(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(2)?;
    let links: Vec<Value> =
        LINKS.iter().map(|link| json!({ "number": link.0, "address": nodes[0].address(*link) })).collect();
    let args = json!({ "cluster_name": CLUSTER, "links": links, "audit": "best_effort" });
    let create = |label| Rival::task(scene, label, nodes[0], "pve_cluster_create", &args);
    let runs = at_once(scene, &[create("create-first")?, create("create-second")?])?;
    ensure!(runs.iter().any(|run| run.is_success), "nobody created the cluster");
    same("members", &nodes[..1].to_vec(), &one_cluster(scene, &nodes)?)?;
    same("creations by the node's own record", &1, &recorded(scene, nodes[0], "create")?)
}

/// A cluster of one, and two controllers who let the same second node in.
fn joined_twice(scene: &Scene<'_>) -> Result<()> {
    for offset in [0.0, 1.0, 4.0] {
        let nodes = scene.fresh(2)?;
        let links: Vec<Value> = LINKS
            .iter()
            .map(|link| json!({ "number": link.0, "address": nodes[0].address(*link) }))
            .collect();
        let args = json!({ "cluster_name": CLUSTER, "links": links, "audit": "best_effort" });
        let label = format!("create-{offset}");
        let created = scene.task(&label, nodes[0], "pve_cluster_create", &args, &[])?;
        ensure!(created.is_success, "no cluster: {}", created.messages());
        let (first, second) = (format!("join-first-{offset}"), format!("join-second-{offset}"));
        let runs =
            at_once(scene, &[Rival::new(&first, "site.yml"), Rival::new(&second, "site.yml").after(offset)])?;
        ensure!(runs.iter().any(|run| run.is_success), "neither controller ended well");
        one_cluster(scene, &nodes)?;
        settles(scene, &format!("join-{offset}"), &nodes)?;
        same("joins by the node's own record", &1, &recorded(scene, nodes[1], "join")?)?;
    }
    Ok(())
}

/// pve4 joins while pve3 is removed, now the one a little later, now the other.
fn joined_and_removed(scene: &Scene<'_>) -> Result<()> {
    for (join, removal) in [(0.0, 0.0), (0.0, 3.0), (1.5, 0.0), (4.0, 0.0)] {
        let nodes = scene.fresh(4)?;
        let three = inventory(scene, "three", &nodes[..3])?;
        let formed = scene.play("site.yml", "form").inventory(three);
        formed.succeed()?;
        start(&scene.lab, &nodes, OFTEN)?;
        let label = format!("{join}-{removal}");
        let (first, second) = (format!("join-{label}"), format!("remove-{label}"));
        at_once(
            scene,
            &[
                Rival::new(&first, "site.yml").after(join),
                Rival::new(&second, "remove.yml").var("pve_remove=pve3").after(removal),
            ],
        )?;
        one_cluster(scene, &nodes)?;
        proven(&scene.lab, &nodes[..2])?;
        settles(scene, &format!("removed-{label}"), &nodes)?;
    }
    Ok(())
}

/// pve4 joins while the cluster that it joins is taken apart.
fn joined_and_reset(scene: &Scene<'_>) -> Result<()> {
    for (join, reset) in [(0.0, 0.0), (0.0, 4.0), (2.0, 0.0)] {
        let nodes = scene.fresh(4)?;
        let three = inventory(scene, "three", &nodes[..3])?;
        scene.play("site.yml", "form").inventory(three).succeed()?;
        let label = format!("{join}-{reset}");
        let (first, second) = (format!("join-{label}"), format!("reset-{label}"));
        at_once(
            scene,
            &[
                Rival::new(&first, "site.yml").after(join),
                Rival::new(&second, "reset.yml").var("pve_reset_confirm=sddc-cluster").after(reset),
            ],
        )?;
        one_cluster(scene, &nodes)?;
        settles(scene, &format!("reset-{label}"), &nodes)?;
    }
    Ok(())
}

/// Operations of a kind that ended well, by the node's own record.
fn recorded(scene: &Scene<'_>, node: Node, operation: &str) -> Result<usize> {
    let trail = scene.sh(node, "cat /var/log/pve-cluster-audit.jsonl")?;
    let word = format!("\"operation\":\"{operation}\"");
    Ok(trail.lines().filter(|line| line.contains(&word) && line.contains("\"succeeded\"")).count())
}
