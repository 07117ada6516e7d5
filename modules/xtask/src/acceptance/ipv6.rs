//! Links over IPv6: the probe measures them and names what is wrong, and a cluster forms and grows over them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::link_probe::{named, plays};
use super::scene::{PASSWORD, Scene, same};
use crate::lab::{LINKS, Node, Spoilt};

/// Fresh nodes are probed, with faults and without, and become a cluster; the last one joins over the API's IPv6 address.
pub fn cluster(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    for node in &nodes {
        scene.lab.add_ipv6(*node)?;
    }
    let inventory = inventory(scene, &nodes)?;
    probed(scene, &nodes, &inventory)?;

    let play = |playbook: &str, label: &str| scene.play(playbook, label).inventory(inventory.clone());
    let two = play("site.yml", "check").args(["--check", "--diff"]).succeed()?;
    ensure!(two.output.contains(&nodes[2].address_v6(LINKS[1])), "the plan shows no IPv6 address");
    play("site.yml", "form").succeed()?;
    over_ipv6(scene, &nodes)?;
    let again = play("site.yml", "again").succeed()?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    play("check.yml", "check-yml").succeed()?;
    let told = play("recover.yml", "recover").succeed()?;
    ensure!(!told.output.contains("by hand"), "a healthy cluster is ill: {}", told.output);

    // It leaves and joins again by a method that speaks to the member's API at its IPv6 address.
    let secrets = scene.dir().join("secrets.yml");
    fs::write(&secrets, format!("pve_join_password: \"{PASSWORD}\"\n"))?;
    play("remove.yml", "remove").args(["-e", "pve_remove=pve3"]).succeed()?;
    scene.healthy(&nodes[..2])?;
    let with = format!("@{}", secrets.display());
    play("site.yml", "join-api").args(["-e", "pve_join_method=api", "-e", &with]).succeed()?;
    over_ipv6(scene, &nodes)
}

/// The lab's inventory with IPv6 addresses as links and as the API's.
fn inventory(scene: &Scene<'_>, nodes: &[Node]) -> Result<PathBuf> {
    let own = scene.project.lab_inventory();
    let mut text = fs::read_to_string(&own).with_context(|| format!("can't read {}", own.display()))?;
    for node in nodes {
        for link in LINKS {
            let at = |address: String| format!(" pve_link{}={address}", link.0);
            text = text
                .replace(&format!("{} ", at(node.address(link))), &format!("{} ", at(node.address_v6(link))));
        }
        let host = format!("{node} ansible_host=");
        text =
            text.replace(&host, &format!("{node} pve_address={} ansible_host=", node.address_v6(LINKS[0])));
    }
    let path = scene.dir().join("ipv6.ini");
    fs::write(&path, text)?;
    Ok(path)
}

fn probed(scene: &Scene<'_>, nodes: &[Node], inventory: &std::path::Path) -> Result<()> {
    let with = ["-i".to_owned(), inventory.display().to_string()];
    let with: Vec<&str> = with.iter().map(String::as_str).collect();
    let probe = |label: &str| scene.tasks(label, plays(nodes, 60), &with);
    let good = probe("good")?;
    named(&good, false, &["12 paths between 3 nodes are fit for corosync", "2/2", "1500"])?;
    let bad = Spoilt::new(&scene.lab)?;
    let [from, to] = [nodes[1], nodes[2]].map(|node| node.address_v6(LINKS[1]));
    bad.drop_matching(&format!("ip6 saddr {from} ip6 daddr {to} udp dport 5406"))?;
    let run = probe("one-way")?;
    drop(bad);
    let words = format!("nothing from pve2 reaches pve3 ({to}, UDP 5406), though the other way passes");
    named(&run, true, &["[ERROR links-pass] link 1: ", &words])?;
    println!("  one-way block: {words}");

    let mut bad = Spoilt::new(&scene.lab)?;
    bad.narrow(nodes[2], LINKS[1], 1400)?;
    let run = probe("mtu")?;
    drop(bad);
    named(&run, true, &["[ERROR path-mtu] link 1: ", "on the way to pve3", "interface sends 1500"])?;
    println!("  MTU 1400: named");
    Ok(())
}

/// A healthy cluster, of which corosync has no other addresses.
fn over_ipv6(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    scene.healthy(nodes)?;
    for node in nodes {
        let said = scene.sh(*node, "corosync-cfgtool -n | grep LINK:")?;
        let (own, all) = (node.address_v6(LINKS[0]), said.lines().count());
        ensure!(said.contains(&format!("({own}%")), "{node} is not at {own}: {said}");
        same(
            "links over IPv6",
            &(2 * (nodes.len() - 1)),
            &said.lines().filter(|line| line.contains("fd00:")).count(),
        )?;
        same("links", &(2 * (nodes.len() - 1)), &all)?;
    }
    Ok(())
}
