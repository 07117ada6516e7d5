//! Links by network: the inventory names networks, each node takes its one address there.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::play::Run;
use super::scene::{Scene, same};
use crate::lab::{LINKS, Node};

/// The lab's networks as the links of no inventory that names addresses.
pub fn chosen(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let inventory = without_links(scene)?;
    // The other way round than the lab's own inventory has them.
    let networks =
        format!("{{\"pve_links\": {{\"0\": \"{}\", \"1\": \"{}\"}}}}", LINKS[1].subnet(), LINKS[0].subnet());
    let play = |label: &str, playbook: &str, networks: &str| -> Result<Run> {
        scene.play(playbook, label).inventory(inventory.clone()).args(["-e", networks]).run()
    };

    let elsewhere = networks.replace(&LINKS[1].subnet(), "192.0.2.0/24");
    let run = play("no-address", "site.yml", &elsewhere)?;
    ensure!(!run.is_success, "nodes without an address in a link's network were taken");
    for word in ["192.0.2.0/24", "link 0", "pve1"] {
        ensure!(run.messages().contains(word), "the refusal does not say {word:?}: {}", run.messages());
    }
    for node in &nodes {
        let made = scene.sh(*node, "find /etc/corosync /etc/pve -name corosync.conf")?;
        same("configurations after the refusal", &String::new(), &made)?;
    }

    let run = play("networks", "site.yml", &networks)?;
    ensure!(run.is_success, "site.yml failed: {}", run.messages());
    scene.healthy(&nodes)?;
    for (number, network) in [(0, LINKS[1]), (1, LINKS[0])] {
        let wanted: Vec<String> = nodes.iter().map(|node| node.address(network)).collect();
        for node in &nodes {
            same("ring addresses", &wanted, &ring_addresses(scene, *node, number)?)?;
        }
    }
    let again = play("again", "site.yml", &networks)?;
    ensure!(again.is_success, "the second run failed: {}", again.messages());
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    let check = play("check", "check.yml", &networks)?;
    ensure!(check.is_success, "check.yml finds faults: {}", check.messages());
    Ok(())
}

/// The addresses of a link as the running corosync has them.
fn ring_addresses(scene: &Scene<'_>, node: Node, link: u8) -> Result<Vec<String>> {
    let said = scene.sh(node, &format!("corosync-cmapctl nodelist. | grep ring{link}_addr"))?;
    said.lines().map(|line| line.rsplit(' ').next().map(str::to_owned).context("no address")).collect()
}

/// The lab's inventory without a word of links.
fn without_links(scene: &Scene<'_>) -> Result<PathBuf> {
    let own = scene.project.lab_inventory();
    let text = fs::read_to_string(&own).with_context(|| format!("can't read {}", own.display()))?;
    let words = |line: &str| {
        line.split(' ').filter(|word| !word.starts_with("pve_link")).collect::<Vec<_>>().join(" ")
    };
    let path = scene.dir().join("inventory");
    fs::write(&path, text.lines().map(|line| words(line) + "\n").collect::<String>())?;
    Ok(path)
}
