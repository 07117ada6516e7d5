//! What every scenario stands on: the lab in a known state, plays over it, and proofs that nothing changed taken
//! with corosync's own tools and file listings.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Container;
use super::play::{Play, Run};
use crate::lab::{Lab, Node};
use crate::oracle;
use crate::project::Project;

/// root's password on every node of the lab.
pub const PASSWORD: &str = "Secret123!";
/// Links of the lab.
const LINKS: u8 = 2;

/// One scenario at work.
pub struct Scene<'a> {
    /// The checkout.
    pub project: &'a Project,
    /// The nodes.
    pub lab: Lab<'a>,
    name: &'static str,
    container: Option<Container>,
}

/// The state of nodes that a refused operation must leave as it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Untouched {
    files: BTreeMap<Node, String>,
    membership: BTreeMap<Node, String>,
    units: BTreeMap<Node, String>,
}

impl<'a> Scene<'a> {
    /// A scenario and where it keeps its logs.
    pub fn open(project: &'a Project, name: &'static str) -> Result<Scene<'a>> {
        let scene = Scene { project, lab: Lab::open(project)?, name, container: None };
        let dir = scene.dir();
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("can't empty {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        Ok(scene)
    }

    /// The same scenario, played by a container.
    pub fn by(&self, container: Container) -> Result<Scene<'a>> {
        let lab = Lab::open(self.project)?;
        Ok(Scene { project: self.project, lab, name: self.name, container: Some(container) })
    }

    /// Where logs and generated files of this scenario go.
    pub fn dir(&self) -> PathBuf {
        self.project.target().join("acceptance").join(self.name)
    }

    /// Makes the lab consist of so many nodes, all as freshly installed.
    pub fn fresh(&self, count: u8) -> Result<Vec<Node>> {
        let nodes = Node::first(count);
        let extra: Vec<Node> = Lab::nodes()?.into_iter().filter(|node| !nodes.contains(node)).collect();
        if !extra.is_empty() {
            self.lab.down(false)?;
        }
        let there = Lab::nodes()?;
        let old: Vec<Node> = nodes.iter().copied().filter(|node| there.contains(node)).collect();
        if !old.is_empty() {
            self.lab.reset(&old)?;
        }
        self.lab.up(count)?;
        Ok(nodes)
    }

    /// The first nodes as one healthy cluster: what an earlier scenario left, if it is that, else formed anew.
    pub fn formed(&self, count: u8) -> Result<Vec<Node>> {
        let nodes = Node::first(count);
        if Lab::nodes()? == nodes
            && oracle::look(&self.lab, &nodes).is_ok_and(|sights| oracle::faults(&sights, LINKS).is_empty())
        {
            return Ok(nodes);
        }
        self.fresh(count)?;
        self.site("form", &[])?;
        self.healthy(&nodes)?;
        Ok(nodes)
    }

    /// A play of a playbook of the project.
    pub fn play(&self, playbook: &str, label: &str) -> Play<'a> {
        let play = Play::new(self.project, format!("playbooks/{playbook}"), self.log(label));
        play.by(self.container.clone())
    }

    /// site.yml, which must succeed.
    pub fn site(&self, label: &str, args: &[&str]) -> Result<Run> {
        self.play("site.yml", label).args(args.iter().copied()).succeed()
    }

    /// One task on one host, in a playbook made for it: the module itself, without the roles' own care.
    pub fn task(&self, label: &str, host: Node, module: &str, args: &Value, more: &[&str]) -> Result<Run> {
        self.tasks(
            label,
            json!([{ "hosts": host.name(), "gather_facts": false, "tasks": [
                { "name": label, format!("sddc.pve.{module}"): args }
            ]}]),
            more,
        )
    }

    /// A playbook made for this scenario. JSON is YAML.
    pub fn tasks(&self, label: &str, plays: Value, more: &[&str]) -> Result<Run> {
        self.tasks_with(label, plays, more, &[])
    }

    /// The same, with variables of the controller's environment.
    pub fn tasks_with(
        &self,
        label: &str,
        plays: Value,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Run> {
        let path = self.dir().join(format!("{label}.yml"));
        fs::write(&path, serde_json::to_string_pretty(&plays)?)?;
        let play = Play::new(self.project, path, self.log(label)).args(more.iter().copied());
        let play = play.by(self.container.clone());
        environment.iter().fold(play, |play, (name, value)| play.env(name, value)).run()
    }

    fn log(&self, label: &str) -> PathBuf {
        self.dir().join(format!("{label}.log"))
    }

    /// The nodes are one quorate cluster with all links and one /etc/pve, says corosync.
    pub fn healthy(&self, nodes: &[Node]) -> Result<()> {
        oracle::await_healthy(&self.lab, nodes, LINKS, Duration::from_secs(60)).map(drop)
    }

    /// What must be the same before and after something that was refused.
    pub fn untouched(&self, nodes: &[Node]) -> Result<Untouched> {
        let mut seen =
            Untouched { files: BTreeMap::new(), membership: BTreeMap::new(), units: BTreeMap::new() };
        for node in nodes {
            seen.files.insert(*node, self.lab.snapshot(*node)?);
            seen.membership.insert(*node, self.membership(*node)?);
            let units = ["systemctl", "is-active", "corosync", "pve-cluster", "pvedaemon", "pveproxy", "ssh"];
            let units = self.lab.exec(*node, &units)?;
            seen.units.insert(*node, String::from_utf8_lossy(&units.stdout).into_owned());
        }
        Ok(seen)
    }

    /// Nothing of it has changed since.
    pub fn still(&self, before: &Untouched) -> Result<()> {
        self.still_but(before, &[])
    }

    /// Nothing of it has changed since but files below these paths.
    pub fn still_but(&self, before: &Untouched, but: &[&str]) -> Result<()> {
        let nodes: Vec<Node> = before.files.keys().copied().collect();
        let after = self.untouched(&nodes)?;
        for node in &nodes {
            let mut lines = differing(&before.files[node], &after.files[node]);
            lines.retain(|line| !but.iter().any(|path| line[2..].starts_with(path)));
            ensure!(lines.is_empty(), "files of {node} changed:\n{}", lines.join("\n"));
            for (what, was, is) in [
                ("membership", &before.membership[node], &after.membership[node]),
                ("units", &before.units[node], &after.units[node]),
            ] {
                ensure!(was == is, "{what} of {node} changed from\n{was}to\n{is}");
            }
        }
        Ok(())
    }

    /// Votes and members as corosync has them, without the date; the reason where it does not answer.
    fn membership(&self, node: Node) -> Result<String> {
        let said = self.lab.exec(node, &["corosync-quorumtool", "-s"])?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let kept = |line: &&str| !line.starts_with("Date:") && !line.starts_with("Ring ID:");
        Ok(text.lines().filter(kept).map(|line| format!("{line}\n")).collect())
    }

    /// A shell line on a node; its standard output.
    pub fn sh(&self, node: Node, line: &str) -> Result<String> {
        self.lab.succeed(node, &["sh", "-c", line])
    }

    /// totem.config_version as the node's corosync.conf has it.
    pub fn config_version(&self, node: Node) -> Result<u64> {
        let conf = self.sh(node, "cat /etc/corosync/corosync.conf")?;
        let version = conf.lines().find_map(|line| line.trim().strip_prefix("config_version:"));
        version.context("no config_version")?.trim().parse().context("config_version is no number")
    }
}

/// A refusal says all these things, and says them in time.
pub fn refused(run: &Run, words: &[&str], limit: Duration) -> Result<()> {
    let said = run.messages();
    ensure!(!run.is_success, "it was not refused");
    for word in words {
        ensure!(
            said.to_lowercase().contains(&word.to_lowercase()),
            "the refusal does not say {word:?}: {said}"
        );
    }
    ensure!(run.elapsed <= limit, "the refusal took {:?}, more than {limit:?}: {said}", run.elapsed);
    Ok(())
}

/// Lines that only one of two listings has.
fn differing(before: &str, after: &str) -> Vec<String> {
    let gone = before.lines().filter(|line| !after.lines().any(|other| other == *line));
    let new = after.lines().filter(|line| !before.lines().any(|other| other == *line));
    gone.map(|line| format!("- {line}")).chain(new.map(|line| format!("+ {line}"))).collect()
}

/// Fails with what was expected and what is.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, seen: &T) -> Result<()> {
    if expected != seen {
        bail!("{what}: expected {expected:?}, saw {seen:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_shows_as_two_lines() {
        let (before, after) = ("/etc/a f 644 x\n/etc/b f 644 y\n", "/etc/a f 600 x\n/etc/b f 644 y\n");
        assert_eq!(differing(before, after), ["- /etc/a f 644 x", "+ /etc/a f 600 x"]);
        assert!(differing(before, before).is_empty());
    }
}
