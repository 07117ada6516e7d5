//! `cargo xtask lab`: containers that are Proxmox VE hosts as far as anybody on the network can tell.
//! Reads the command line; what it does is in `lab/`. Knows nothing of Ansible but the inventory it writes.

mod access;
mod cable;
mod docker;
mod image;
mod ipv6;
mod layer;
pub mod layout;
mod limits;
mod lock;
mod nodes;
mod ready;
mod selftest;
mod snapshot;
mod spoil;
mod status;

use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context, Result, bail};

pub use layout::{CLUSTER, LINKS, Node};
pub use nodes::Lab;
pub use spoil::Spoilt;

use crate::project::Project;

const HELP: &str = "\
cargo xtask lab COMMAND

  up [--nodes N]            build the image, start N nodes (3), wait until they are ready
  down [--images]           remove nodes, networks and volumes; and the images
  status                    what runs, and how
  add NODE                  one more node
  reset [NODE…]             make nodes anew, as freshly installed (all, when none is named)
  start|stop|kill NODE      switch on, shut down, take the power away
  cut|heal NODE [--link N]  unplug or plug the network (of every link, when none is named)
  slow NODE FACTOR|off      PVE's own slowness, as a multiple of what was measured
  fault NODE JSON|off       faults of PVE's layer (molecule/lab/pve-lab/src/faults.rs names them)
  delays on|off             the same for all nodes: as measured, or none
  exec NODE [--] COMMAND…   run a command on a node without ssh
  ssh NODE [COMMAND…]       log in to a node
  logs NODE [ARGS…]         the journal of a node, with arguments of journalctl
  snapshot NODE             files of /etc and /root/.ssh with mode, owner and content's hash, to compare
  selftest                  prove nodes, networks, corosync and faults (makes the nodes anew)

Nodes are pve1, pve2, … on 10.88.0.11, … (link 0) and 10.89.0.11, … (link 1); with SDDC_PVE_LAB=1 a second lab
runs beside them on 10.90.0.11 and 10.91.0.11, and so on to 9. up, add, reset
and selftest take --emulator FILE in place of building pve-lab. Key, known hosts and inventory are under target/lab,
with the number behind it where there is one.
";

/// The command.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    // Two of these at once would pull each other's cables.
    let changes = ["up", "down", "add", "reset", "start", "stop", "kill", "cut", "heal", "selftest"];
    let _lock = if changes.contains(&command) { Some(lock::take(project)?) } else { None };
    match (command, words.as_slice()) {
        ("help" | "--help" | "-h", _) => print!("{HELP}"),
        ("up", options) => {
            let mut options = Options::parse(options, &["--nodes", "--emulator"])?;
            let count = options.take("--nodes").map(|n| n.parse().context("--nodes takes a number"));
            let mut lab = Lab::open(project)?;
            lab.emulator = options.take("--emulator").map(Into::into);
            lab.up(count.transpose()?.unwrap_or(layout::DEFAULT_NODES))?;
            status::print()?;
        }
        ("add" | "reset", nodes) => {
            let mut options = Options::parse(nodes, &["--emulator"])?;
            let mut lab = Lab::open(project)?;
            lab.emulator = options.take("--emulator").map(Into::into);
            match (command, options.nodes()?.as_slice()) {
                ("add", []) => bail!("name the node to add: cargo xtask lab add pve4"),
                ("add", nodes) => lab.add(nodes)?,
                (_, []) => lab.reset(&Lab::nodes()?)?,
                (_, nodes) => lab.reset(nodes)?,
            }
        }
        ("down", []) => Lab::open(project)?.down(false)?,
        ("down", ["--images"]) => Lab::open(project)?.down(true)?,
        ("status", []) => status::print()?,
        ("start", [node]) => Lab::open(project)?.start(node.parse()?)?,
        ("stop", [node]) => Lab::open(project)?.stop(node.parse()?)?,
        ("kill", [node]) => Lab::open(project)?.kill(node.parse()?)?,
        ("cut", [node]) => Lab::open(project)?.cut(node.parse()?, None)?,
        ("cut", [node, "--link", link]) => Lab::open(project)?.cut(node.parse()?, Some(link.parse()?))?,
        ("heal", [node]) => Lab::open(project)?.heal(node.parse()?, None)?,
        ("heal", [node, "--link", link]) => Lab::open(project)?.heal(node.parse()?, Some(link.parse()?))?,
        ("slow", [node, factor]) => Lab::open(project)?.slow(node.parse()?, Some(factor))?,
        ("fault", [node, "off"]) => Lab::open(project)?.fault(node.parse()?, None)?,
        ("fault", [node, faults]) => Lab::open(project)?.fault(node.parse()?, Some(faults))?,
        ("delays", ["on"]) => Lab::open(project)?.delays(true)?,
        ("delays", ["off"]) => Lab::open(project)?.delays(false)?,
        ("exec", [node, "--", argv @ ..] | [node, argv @ ..]) if !argv.is_empty() => {
            leave_with(Lab::open(project)?.attach(node.parse()?, argv)?)
        }
        ("ssh", [node, argv @ ..]) => leave_with(Lab::open(project)?.log_in(node.parse()?, argv)?),
        ("logs", [node, options @ ..]) => {
            let argv = [&["journalctl", "--no-pager"], options].concat();
            leave_with(Lab::open(project)?.attach(node.parse()?, &argv)?)
        }
        ("snapshot", [node]) => print!("{}", Lab::open(project)?.snapshot(node.parse()?)?),
        ("selftest", options) => {
            let mut options = Options::parse(options, &["--emulator"])?;
            let mut lab = Lab::open(project)?;
            lab.emulator = options.take("--emulator").map(Into::into);
            selftest::run(&lab)?;
        }
        _ => bail!("cargo xtask lab {} is not understood\n\n{HELP}", args.join(" ")),
    }
    Ok(())
}

/// What a command took for itself ends with its own exit status.
fn leave_with(status: ExitStatus) {
    if !status.success() {
        std::process::exit(status.code().unwrap_or(1));
    }
}

/// Says what is being done.
fn say(what: &str) {
    eprintln!("lab: {what}");
}

/// Options with a value, and what stands between them.
struct Options {
    given: Vec<(String, String)>,
    words: Vec<String>,
}

impl Options {
    fn parse(args: &[&str], known: &[&str]) -> Result<Options> {
        let mut options = Options { given: Vec::new(), words: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if known.contains(arg) {
                let value = args.next().with_context(|| format!("{arg} takes a value"))?;
                options.given.push((arg.to_string(), value.to_string()));
            } else if arg.starts_with('-') {
                bail!("unknown option {arg:?}\n\n{HELP}");
            } else {
                options.words.push(arg.to_string());
            }
        }
        Ok(options)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.given.iter().position(|(given, _)| given == name)?;
        Some(self.given.remove(at).1)
    }

    fn nodes(&self) -> Result<Vec<Node>> {
        self.words.iter().map(|word| word.parse()).collect()
    }
}

/// Refuses a path that a later message would show only as "not found".
fn check_emulator(path: &Path) -> Result<()> {
    if !path.is_file() {
        bail!("no emulator at {}: build it with `cargo build --release -p pve-lab`", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_from_nodes() {
        let mut options = Options::parse(&["pve1", "--emulator", "/x", "pve2"], &["--emulator"]).unwrap();
        assert_eq!(options.take("--emulator").as_deref(), Some("/x"));
        assert_eq!(options.nodes().unwrap(), Node::first(2));
        assert!(Options::parse(&["--emulator"], &["--emulator"]).is_err());
        assert!(Options::parse(&["--force"], &["--emulator"]).is_err());
    }
}
