//! Pulls and plugs the network cables of nodes: on this machine's end, so that inside the node nothing is
//! changed but the carrier, and nothing of it outlives the container.

use std::fs;

use anyhow::{Result, bail};

use super::docker;
use super::layout::{Link, Node};
use crate::command::Cmd;

/// Unplugs or plugs one link of a running node. Returns whether that changed anything.
pub fn set(node: Node, link: Link, is_plugged: bool) -> Result<bool> {
    let device = device(node, link)?;
    if is_up(&device)? == is_plugged {
        return Ok(false);
    }
    let state = if is_plugged { "up" } else { "down" };
    Cmd::new("ip").args(["link", "set", "dev", &device, state]).read()?;
    Ok(true)
}

/// Lets a cable carry packets of so many bytes only, though the node's own interface still sends longer ones.
pub fn narrow(node: Node, link: Link, mtu: u32) -> Result<()> {
    let device = device(node, link)?;
    Cmd::new("ip").args(["link", "set", "dev", &device, "mtu", &mtu.to_string()]).read().map(drop)
}

/// Whether a link of a running node is plugged in.
pub fn is_plugged(node: Node, link: Link) -> Result<bool> {
    is_up(&device(node, link)?)
}

/// This machine's end of the virtual cable.
fn device(node: Node, link: Link) -> Result<String> {
    let file = format!("/sys/class/net/{}/iflink", link.card());
    let said = docker::exec(&node.container(), &["cat", &file], 60)?;
    let index = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    if !said.status.success() || index.is_empty() {
        bail!(
            "{node} has no {}: start it first: {}",
            link.card(),
            String::from_utf8_lossy(&said.stderr).trim()
        );
    }
    for entry in fs::read_dir("/sys/class/net")? {
        let entry = entry?;
        // /sys/class/net also holds files (bonding_masters), and devices come and go while it is read.
        let found = fs::read_to_string(entry.path().join("ifindex")).unwrap_or_default();
        if found.trim() == index {
            return Ok(entry.file_name().to_string_lossy().into_owned());
        }
    }
    bail!(
        "the cable of {node}'s {} does not end on this machine: run this where the Docker engine is",
        link.card()
    )
}

fn is_up(device: &str) -> Result<bool> {
    const IFF_UP: u32 = 1;
    let flags = fs::read_to_string(format!("/sys/class/net/{device}/flags"))?;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16)?;
    Ok(flags & IFF_UP != 0)
}
