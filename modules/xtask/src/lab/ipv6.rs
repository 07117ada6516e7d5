//! IPv6 in the lab: Docker's networks have none and switch it off in the nodes; the bridges carry it all the same.

use anyhow::{Context, Result};

use super::docker::{self, docker};
use super::layout::{Link, Node};
use crate::command::Cmd;

/// Gives a running node an address on a link, beside its own one there, until it is switched off.
pub fn add(node: Node, link: Link) -> Result<String> {
    // /proc/sys is read-only inside; the name space is what counts.
    let pid = docker(["inspect", "--format", "{{.State.Pid}}", &node.container()]).read()?;
    let switches = ["all", "default"].map(|which| format!("net.ipv6.conf.{which}.disable_ipv6=0"));
    Cmd::new("nsenter")
        .args(["--target", pid.trim(), "--net", "sysctl", "--quiet", "--write"])
        .args(switches)
        .read()?;
    let address = node.address_v6(link);
    let line = format!(
        "card=$(ip -o -4 address show to {} | cut -d' ' -f2); ip -6 address replace {address}/64 dev $card nodad",
        node.address(link)
    );
    let said = docker::exec(&node.container(), &["sh", "-ec", &line], 10)?;
    let problem = String::from_utf8_lossy(&said.stderr).trim().to_owned();
    said.status
        .success()
        .then_some(address)
        .with_context(|| format!("{node} takes no IPv6 address: {problem}"))
}
