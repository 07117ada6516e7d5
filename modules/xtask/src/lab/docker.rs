//! What the lab asks of Docker, one function a question. Knows nothing of PVE.

use std::process::Output;

use anyhow::{Result, ensure};

use super::layout::prefix;
use super::say;
use crate::command::Cmd;

/// The docker client with these arguments.
pub fn docker<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Cmd {
    Cmd::new("docker").args(args)
}

/// A container of the lab.
#[derive(Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// `running`, `exited`, `created`, …
    pub state: String,
    /// The image that it was made of, as named then.
    pub image: String,
    /// The key that its root lets in.
    pub key: String,
}

/// The label that tells which key a container lets in.
pub const KEY_LABEL: &str = "sddc-pve.key";

/// Every container of the lab.
pub fn containers() -> Result<Vec<Container>> {
    let format = format!("{{{{.Names}}}}\t{{{{.State}}}}\t{{{{.Image}}}}\t{{{{.Label \"{KEY_LABEL}\"}}}}");
    let filter = format!("name=^{}", prefix());
    let listed = docker(["ps", "--all", "--no-trunc", "--filter", &filter, "--format", &format]).read()?;
    Ok(parse_containers(&listed))
}

fn parse_containers(listed: &str) -> Vec<Container> {
    let container = |line: &str| {
        let mut words = line.split('\t').map(str::to_owned);
        let mut next = || words.next();
        Some(Container { name: next()?, state: next()?, image: next()?, key: next()? })
    };
    listed.lines().filter_map(container).collect()
}

/// The names that a listing command (`network ls`, `volume ls`) gives for the lab.
pub fn names(kind: &str) -> Result<Vec<String>> {
    let filter = format!("name=^{}", prefix());
    let listed = docker([kind, "ls", "--filter", &filter, "--format", "{{.Name}}"]).read()?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// The lab's images, as `repository:tag`.
pub fn images() -> Result<Vec<String>> {
    let reference = format!("reference={}*", prefix());
    let listed = docker(["images", "--filter", &reference, "--format", "{{.Repository}}:{{.Tag}}"]).read()?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// Whether an object is there.
pub fn exists(kind: &str, name: &str) -> bool {
    docker([kind, "inspect", name]).succeeds()
}

/// Frees a network of the lab from containers that are gone: the engine, when it removes several at once, now and then
/// forgets to take one off, and then neither removes the network nor gives the address again.
pub fn let_go(network: &str) -> Result<()> {
    let there = containers()?;
    for name in attached(network)?.iter().filter(|name| name.starts_with(&prefix())) {
        if !there.iter().any(|container| container.name == *name) {
            say(&format!("taking {name}, which is gone, off {network}"));
            docker(["network", "disconnect", "--force", network, name]).read()?;
        }
    }
    Ok(())
}

/// Removes a network of the lab. The engine may also have lost count of what was on it, and then refuses though nothing is:
/// such a network is used again by the next lab.
pub fn remove_network(network: &str) -> Result<()> {
    let_go(network)?;
    match docker(["network", "rm", network]).read() {
        Err(error) if attached(network)?.is_empty() => {
            say(&format!(
                "{network} stays, though nothing is on it ({error:#}): the engine lets go of it when it is restarted"
            ));
            Ok(())
        }
        removed => removed.map(drop),
    }
}

/// Names of what is on a network.
fn attached(network: &str) -> Result<Vec<String>> {
    let format = "{{range .Containers}}{{.Name}}\n{{end}}";
    let listed = docker(["network", "inspect", "--format", format, network]).read()?;
    Ok(listed.lines().filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Runs a program in a container; its exit status is the caller's to judge. 124: it took longer than `seconds`.
pub fn exec(container: &str, argv: &[&str], seconds: u64) -> Result<Output> {
    Cmd::new("timeout").arg(seconds.to_string()).args(["docker", "exec", container]).args(argv).output()
}

/// The same by way of the container's namespaces, a tenth of the cost: for who asks very often, on the engine's own machine.
pub fn enter(container: &str, argv: &[&str], seconds: u64) -> Result<Output> {
    let process = docker(["inspect", "--format", "{{.State.Pid}}", container]).read()?;
    let process = process.trim();
    ensure!(process != "0", "{container} does not run");
    Cmd::new("timeout")
        .arg(seconds.to_string())
        .args(["nsenter", "--target", process])
        .args([
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
            "--",
            "env",
            "--ignore-environment",
        ])
        .args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"])
        .args(argv)
        .dir("/")
        .output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_line_by_line() {
        let listed =
            "sddc-pve-pve2\texited\tsddc-pve-node:12\tAB\nsddc-pve-pve1\trunning\tsddc-pve-node:12\tAB\n";
        let found = parse_containers(listed);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].state, "exited");
        assert_eq!(found[1].name, "sddc-pve-pve1");
    }
}
