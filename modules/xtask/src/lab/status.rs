//! What `cargo xtask lab status` shows.

use anyhow::Result;

use super::cable;
use super::docker::{self, Container};
use super::layout::{DELAYS_FILE, LINKS, Node};

const LOOK: &str = "systemctl is-system-running; \
                    corosync-quorumtool -s 2>/dev/null | sed -n 's/^Quorate: *//p' | grep . || echo -; \
                    cat \"$0\" 2>/dev/null || echo 1";

/// Prints one line a node.
pub fn print() -> Result<()> {
    let mut containers = docker::containers()?;
    containers.sort_by(|a, b| (a.name.len(), &a.name).cmp(&(b.name.len(), &b.name)));
    if containers.is_empty() {
        println!("there is no lab: `cargo xtask lab up` makes one");
        return Ok(());
    }
    println!(
        "{:<6} {:<13} {:<13} {:<9} {:<9} {:<9} {:<7} image",
        "node", "link 0", "link 1", "power", "system", "quorate", "delays"
    );
    for container in &containers {
        let Some(node) = Node::of_container(&container.name) else { continue };
        println!("{}", line(node, container)?);
    }
    Ok(())
}

fn line(node: Node, container: &Container) -> Result<String> {
    let mut links = Vec::new();
    let mut seen = vec!["-".to_owned(); 3];
    let is_on = container.state == "running";
    if is_on {
        let said = docker::exec(&container.name, &["sh", "-c", LOOK, DELAYS_FILE], 20)?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        for (at, word) in said.lines().take(3).enumerate() {
            seen[at] = word.to_owned();
        }
    }
    for link in LINKS {
        let is_cut = is_on && !cable::is_plugged(node, link).unwrap_or(true);
        links.push(if is_cut { "unplugged".to_owned() } else { node.address(link) });
    }
    Ok(format!(
        "{node:<6} {:<13} {:<13} {:<9} {:<9} {:<9} {:<7} {}",
        links[0],
        links[1],
        if is_on { "on" } else { "off" },
        seen[0],
        seen[1],
        seen[2],
        container.image,
    ))
}
