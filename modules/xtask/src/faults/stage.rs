//! A group of three nodes that cells are played on, and the way from the state that one cell left to that which the next
//! one needs. Nothing is taken for granted: what is not proven whole is made anew.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::controller::{Attempt, Controller, PROGRAM};
use super::proof::{self, sh};
use super::rows::Operation;
use crate::lab::{Lab, Node};

/// What an operation without a fault may take on a busy machine.
pub const PATIENCE: u64 = 120;

/// No fault of a cell that was cut off is left.
const SOUND: &str =
    "test ! -e /var/lib/pve-lab/faults.json && test -x /usr/sbin/corosync && ! mountpoint -q /mnt/small";

/// Three nodes.
pub struct Group<'l> {
    /// The lab.
    pub lab: &'l Lab<'l>,
    /// The nodes, in the order in which they become members.
    pub nodes: Vec<Node>,
    program: PathBuf,
    /// How many are members; nothing where that is not known.
    members: Option<usize>,
}

/// A manager of root's own services that stays, as logind keeps one of a user who lingers.
const LINGER: &str = "mkdir -p /var/lib/systemd/linger && touch /var/lib/systemd/linger/root && systemctl start user@0.service";

impl<'l> Group<'l> {
    /// The group of a number, in an unknown state.
    pub fn new(program: &Path, lab: &'l Lab<'l>, number: usize) -> Group<'l> {
        let last = u8::try_from(3 * number + 3).unwrap_or(99);
        let nodes = Node::first(last)[3 * number..].to_vec();
        Group { lab, nodes, program: program.to_owned(), members: None }
    }

    /// How many are members now.
    pub fn members(&self) -> Option<usize> {
        self.members
    }

    /// The nodes are not what they were any more.
    pub fn spoil(&mut self) {
        self.members = None;
    }

    /// So many are members now, and it was proven.
    pub fn proven(&mut self, members: usize) {
        self.members = Some(members);
    }

    /// Makes the first so many a cluster, the others in none.
    pub fn bring_to(&mut self, members: usize) -> Result<()> {
        let Err(error) = self.go_to(members) else { return Ok(()) };
        println!("  {} and its group are made anew: {error:#}", self.nodes[0]);
        self.spoil();
        self.go_to(members)
    }

    /// What an earlier run left, if it is whole: nodes need not boot for each run.
    pub fn recognise(&mut self) -> Result<()> {
        let there = Lab::nodes()?;
        let is_sound = |node: &Node| {
            there.contains(node) && self.lab.heal(*node, None).is_ok() && sh(self.lab, *node, SOUND).is_ok()
        };
        if !self.nodes.iter().all(is_sound) {
            return Ok(());
        }
        let members = sh(self.lab, self.nodes[0], "corosync-quorumtool -s | sed -n 's/^Nodes: *//p'");
        let members = members.ok().and_then(|count| count.trim().parse::<usize>().ok()).unwrap_or(0).min(3);
        let alone = &self.nodes[members..];
        if (members == 0 || proof::are_members(self.lab, &self.nodes[..members]).is_ok())
            && alone.iter().all(|node| proof::is_alone(self.lab, *node).is_ok())
        {
            self.nodes.iter().try_for_each(|node| self.lab.install(*node, &self.program, PROGRAM))?;
            self.members = Some(members);
        }
        Ok(())
    }

    fn go_to(&mut self, members: usize) -> Result<()> {
        if self.members.is_none() {
            self.anew(&self.nodes.clone())?;
            self.members = Some(0);
        }
        while let Some(now) = self.members.filter(|now| *now != members) {
            // Until it is proven again.
            self.members = None;
            let next = match now {
                _ if now < members => self.grow(now)?,
                3 => self.third_leaves()?,
                _ => self.take_apart(now)?,
            };
            self.members = Some(next);
        }
        Ok(())
    }

    fn anew(&self, nodes: &[Node]) -> Result<()> {
        let there = Lab::nodes()?;
        let (old, new): (Vec<Node>, Vec<Node>) = nodes.iter().copied().partition(|node| there.contains(node));
        if !old.is_empty() {
            self.lab.reset(&old)?;
        }
        if !new.is_empty() {
            self.lab.add(&new)?;
        }
        nodes.iter().try_for_each(|node| {
            // Else each login waits for a manager of root's own services, which nobody needs. What loginctl does, which asks
            // logind to, and that refuses on a node that has just booted.
            sh(self.lab, *node, LINGER)?;
            self.lab.install(*node, &self.program, PROGRAM)
        })
    }

    fn grow(&self, members: usize) -> Result<usize> {
        let operation = [Operation::Create, Operation::JoinSecond, Operation::JoinThird][members];
        let attempt = Controller::new(self.lab, PATIENCE).perform(operation, &self.nodes)?;
        ensure!(attempt.is_success, "{} without a fault: {}", operation.word(), attempt.text());
        if members > 0 {
            self.has_rows(Operation::AdmitSecond)?;
        }
        self.has_rows(operation)?;
        proof::are_members(self.lab, &self.nodes[..=members])?;
        Ok(members + 1)
    }

    fn third_leaves(&self) -> Result<usize> {
        let (controller, mut attempt) = (Controller::new(self.lab, PATIENCE), Attempt::default());
        let is_gone = controller.leave(&mut attempt, self.nodes[2], "leaving")?
            && controller.remove(&mut attempt, &self.nodes[..2], self.nodes[2], true)?;
        ensure!(is_gone, "leaving without a fault: {}", attempt.text());
        self.has_rows(Operation::Reset)?;
        self.has_rows(Operation::Remove)?;
        proof::are_members(self.lab, &self.nodes[..2])?;
        proof::is_alone(self.lab, self.nodes[2])?;
        Ok(2)
    }

    fn take_apart(&self, members: usize) -> Result<usize> {
        let (controller, mut attempt) = (Controller::new(self.lab, PATIENCE), Attempt::default());
        for node in &self.nodes[..members] {
            ensure!(controller.leave(&mut attempt, *node, "cluster")?, "taking apart: {}", attempt.text());
        }
        self.nodes[..members].iter().try_for_each(|node| proof::is_alone(self.lab, *node))?;
        Ok(0)
    }

    /// The matrix has a row for each step that the operation really has.
    fn has_rows(&self, operation: Operation) -> Result<()> {
        let journal = newest(self.lab, self.nodes[operation.runs_on()], operation.kind())?;
        let journal = journal.context("the operation has no journal")?;
        let names = self.nodes.iter().map(|node| node.name());
        let plain = |step: &Value| {
            let name = step["name"].as_str().unwrap_or_default().to_owned();
            names.clone().fold(name, |name, node| name.replace(&node, "NODE"))
        };
        let steps: Vec<String> = journal["steps"].as_array().into_iter().flatten().map(plain).collect();
        ensure!(
            steps == operation.steps(),
            "the matrix has other rows than {} has steps: {steps:?}",
            operation.word()
        );
        Ok(())
    }
}

/// The newest journal of a kind on a node.
pub fn newest(lab: &Lab<'_>, node: Node, kind: &str) -> Result<Option<Value>> {
    let look = format!(
        "cd /var/lib/sddc-pve/operations 2>/dev/null && ls -t | grep -e '-{kind}-[0-9]*.json$' | head -1 | xargs -r cat"
    );
    let text = sh(lab, node, &format!("{look}; true"))?;
    Ok(serde_json::from_str(text.trim()).ok())
}

/// The journal of an id.
pub fn journal(lab: &Lab<'_>, node: Node, id: &str) -> Result<Option<Value>> {
    let text = sh(lab, node, &format!("cat /var/lib/sddc-pve/operations/{id}.json 2>/dev/null; true"))?;
    Ok(serde_json::from_str(text.trim()).ok())
}
