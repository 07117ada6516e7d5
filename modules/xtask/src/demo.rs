//! `cargo xtask demo`: from a checkout to three nodes that playbooks/site.yml made one cluster, every step said
//! and timed, the result confirmed by corosync's own tools.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command::Cmd;
use crate::lab::{self, Lab, Node};
use crate::project::Project;
use crate::test::clock;
use crate::{oracle, stage, venv};

const NODES: u8 = 3;
const LINKS: u8 = 2;

/// The command.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask demo");
    }
    let mut steps = Steps::default();
    steps.run("build the modules, assemble the collection", || stage::run(project, &[]))?;
    steps.run("ansible-core and tools into target/venv", || venv::ensure(project))?;
    steps.run("three Proxmox VE nodes in containers", || {
        lab::run(project, &["up".to_owned(), "--nodes".to_owned(), NODES.to_string()])
    })?;
    steps.run("form the cluster", || playbook(project, "site.yml", &[]).run())?;
    steps.run("ask every node", || playbook(project, "check.yml", &[]).run())?;
    steps.run("ask corosync itself", || {
        let nodes = Node::first(NODES);
        let sights = oracle::await_healthy(&Lab::open(project)?, &nodes, LINKS, Duration::from_secs(15))?;
        for (node, sight) in sights {
            println!("{node}: {sight}");
        }
        Ok(())
    })?;
    steps.print();
    print!("{NEXT}");
    Ok(())
}

/// A playbook over the lab's inventory, as the README runs it over the user's.
pub fn playbook(project: &Project, name: &str, args: &[&str]) -> Cmd {
    let inventory = project.lab_inventory();
    let inventory = inventory.strip_prefix(project.root()).unwrap_or(&inventory);
    let cmd = venv::program(project, "ansible-playbook").arg("-i").arg(inventory);
    cmd.arg(format!("playbooks/{name}")).args(args)
}

const NEXT: &str = "
What to look at next
  cargo xtask lab status                       the nodes
  cargo xtask lab ssh pve1 pvecm status        the cluster, as Proxmox VE's own tool shows it
  . target/venv/bin/activate                   then, as on your own nodes:
  ansible-playbook -i target/lab/inventory.ini playbooks/site.yml --check --diff
                                               nothing to do: the cluster is as the inventory says
  ansible-playbook -i target/lab/inventory.ini playbooks/check.yml
                                               the status of every node
  cargo xtask lab down                         removes nodes and networks
";

#[derive(Default)]
struct Steps {
    taken: Vec<(&'static str, Duration)>,
}

impl Steps {
    fn run(&mut self, what: &'static str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("\n== {what}");
        let start = Instant::now();
        step()?;
        self.taken.push((what, start.elapsed()));
        Ok(())
    }

    fn print(&self) {
        println!();
        for (what, elapsed) in &self.taken {
            println!("{:>10}  {what}", clock(*elapsed));
        }
        let all = self.taken.iter().map(|(_, elapsed)| *elapsed).sum();
        println!("{:>10}  in all", clock(all));
    }
}
