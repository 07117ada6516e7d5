//! One cell: an operation is struck at a step, a fault befalls it and is taken away again, one rerun follows; and the
//! proof that it ended well and nothing was lost.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use super::column::{self, Column};
use super::controller::{Attempt, Controller};
use super::proof;
use super::record::{Cell, Outcome};
use super::rows::{Operation, Row};
use super::stage::{self, Group, PATIENCE};
use crate::lab::{Lab, Node};
use crate::quorum_watch;
use crate::strike::{self, Struck};

/// Seconds that the operation has under the fault.
const TIMEOUT: u64 = 30;
/// The playbook that a refusal names where commands for one node are not enough.
const RECOVER: &str = "playbooks/recover.yml";
/// How far a clock jumps.
const DAY: i64 = 86_400;

/// Who takes part.
struct Cast<'g> {
    lab: &'g Lab<'g>,
    row: Row,
    column: Column,
    nodes: Vec<Node>,
    on: Node,
    other: Option<Node>,
    /// All that have power before the fault.
    live: Vec<Node>,
    nonce: String,
}

/// Plays a cell; the group is in a known state afterwards, or known to be in none.
pub fn play(group: &mut Group<'_>, row: Row, column: Column) -> Result<Cell> {
    group.bring_to(row.operation.members().0)?;
    group.spoil();
    let start = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (nodes, operation) = (group.nodes.clone(), row.operation);
    let live = match operation {
        Operation::Create => 1,
        Operation::AdmitSecond | Operation::JoinSecond | Operation::Remove => 2,
        _ => 3,
    };
    let cast = Cast {
        lab: group.lab,
        row,
        column,
        on: nodes[operation.runs_on()],
        other: operation.other().map(|other| nodes[other]),
        live: nodes[..live].to_vec(),
        nodes,
        nonce: format!("nonce-{}-{}-{now}", row.word(), column.word()),
    };
    let mut cell = cast.play()?;
    cell.seconds = start.elapsed().as_secs_f64();
    if column == Column::DiskFull {
        column::without_small_disk(cast.lab, cast.on)?;
    }
    match operation {
        Operation::Reset => {
            let (controller, mut attempt) = (Controller::new(cast.lab, PATIENCE), Attempt::default());
            let is_gone = controller.remove(&mut attempt, &cast.nodes[..2], cast.nodes[2], true)?;
            ensure!(is_gone, "who was reset can't be removed: {}", attempt.text());
        }
        Operation::Remove => {
            cast.lab.heal(cast.nodes[2], None)?;
            let (controller, mut attempt) = (Controller::new(cast.lab, PATIENCE), Attempt::default());
            let is_apart = controller.leave(&mut attempt, cast.nodes[2], "cluster")?;
            ensure!(is_apart, "who was removed can't be separated: {}", attempt.text());
            proof::is_alone(cast.lab, cast.nodes[2])?;
        }
        _ => {}
    }
    if operation == Operation::Reset || column == Column::DiskFull {
        proof::are_members(cast.lab, &cast.nodes[..operation.members().1])?;
    }
    // A pvecm or pvesh that was killed keeps PVE's own lock for two minutes: the next cell is about something else.
    proof::sh(cast.lab, cast.nodes[0], "rmdir /etc/pve/priv/lock/file-* 2>/dev/null; true")?;
    group.proven(operation.members().1);
    Ok(cell)
}

impl Cast<'_> {
    fn play(&self) -> Result<Cell> {
        let (lab, operation) = (self.lab, self.row.operation);
        if operation == Operation::Remove {
            // To all others this is what a node without power is, and it need not boot afterwards.
            lab.cut(self.nodes[2], None)?;
            proof::are_quorate(lab, &self.nodes[..2], 2)?;
        }
        proof::put(lab, self.nodes[0], "nonce", &self.nonce)?;
        if let Some(joiner) = self.joiner() {
            proof::put(lab, joiner, "nonce-own", &format!("own-{}", self.nonce))?;
        }
        self.column.prepare(lab, &self.live, self.on)?;
        if self.column == Column::DiskFull && operation.members().0 > 0 {
            proof::settle(lab, self.nodes[0], Duration::from_secs(20))?;
        }
        // What a member had not heard yet before the fault, it can't be blamed for losing.
        for node in self.live.iter().take(operation.members().0) {
            proof::is_there(lab, *node, "nonce", &self.nonce).context("before the fault")?;
        }
        let bystanders: Vec<Node> = operation.bystanders().iter().map(|index| self.nodes[*index]).collect();
        let must_stay = !self.column.takes_quorum(operation);
        quorum_watch::start(lab, &bystanders, Duration::from_millis(400))?;

        let (first, struck) = self.struck()?;
        let state = self.state(&struck.id)?;
        self.nothing_lost(&state).context("before the rerun")?;
        let mut cell = Cell::of(self.row, self.column);
        cell.first = first.text();
        if first.is_success && state == "succeeded" {
            cell.outcome = Outcome::ByItself;
        } else {
            let again = Controller::new(lab, PATIENCE).perform(operation, &self.nodes)?;
            cell.rerun = again.text();
            cell.outcome = outcome(&state, &self.state(&struck.id)?);
            if !again.is_success {
                self.remedied(&mut cell)?;
            }
        }
        self.goal().with_context(|| format!("in the end; first: {}; rerun: {}", cell.first, cell.rerun))?;
        proof::watched(lab, &bystanders, must_stay)?;
        self.kept()?;
        proof::access(lab, &self.live, "in the end")?;
        proof::sh(lab, self.nodes[0], "rm -f /etc/pve/nonce /etc/pve/nonce-own")?;
        Ok(cell)
    }

    /// The first attempt, with what befalls it.
    fn struck(&self) -> Result<(Attempt, Struck)> {
        let (lab, operation) = (self.lab, self.row.operation);
        let controller = Controller::new(lab, TIMEOUT);
        let ahead = strike::ahead(self.on, operation.kind(), self.row.step, 150)?;
        thread::scope(|threads| {
            let first = threads.spawn(|| controller.perform(operation, &self.nodes));
            let befallen = ahead.struck().and_then(|struck| match struck {
                Some(struck) => self.befall(&controller, &struck).map(|()| struck),
                None => bail!("the operation ended before it came to the step"),
            });
            if befallen.is_err() {
                let _ = strike::go_on(lab, self.on);
            }
            let first = first.join().map_err(|_| anyhow!("the controller's thread panicked"))??;
            let struck = befallen.with_context(|| format!("the first attempt said: {}", first.text()))?;
            if self.column == Column::Clock {
                column::move_times(lab, self.on, if self.is_back() { DAY } else { -DAY })?;
            }
            Ok((first, struck))
        })
    }

    /// The operation stands still; when this returns, it is over and the fault is gone.
    fn befall(&self, controller: &Controller<'_>, struck: &Struck) -> Result<()> {
        let (lab, column) = (self.lab, self.column);
        let name =
            self.nodes.iter().fold(struck.name.clone(), |name, node| name.replace(&node.name(), "NODE"));
        ensure!(struck.late == 0, "struck {} steps too late: this machine is too busy", struck.late);
        ensure!(name == self.row.name(), "step {} is {name:?}, not {:?}", self.row.step, self.row.name());
        column.strike(lab, &self.live, self.on, self.other)?;
        if matches!(column, Column::ControllerKilled | Column::NodeOff) {
            controller.kill()?;
        }
        if !column.is_deadly() {
            strike::go_on(lab, self.on)?;
        }
        if column != Column::NodeOff {
            strike::await_ended(lab, self.on)?;
        }
        let reachable: Vec<Node> = self.live.iter().copied().filter(|node| !self.is_away(*node)).collect();
        let access = proof::access(lab, &reachable, "under the fault");
        column.lift(lab, &self.live, self.on, self.other)?;
        access
    }

    /// What must be so as soon as the fault is gone.
    fn nothing_lost(&self, state: &str) -> Result<()> {
        let lab = self.lab;
        let away: Vec<Node> = self.live.iter().copied().filter(|node| self.is_away(*node)).collect();
        proof::access(lab, &away, "after the fault")?;
        proof::is_there(lab, self.nodes[0], "nonce", &self.nonce)?;
        if let Some(joiner) = self.joiner().filter(|joiner| *joiner == self.on && state == "rolled_back") {
            proof::is_there(lab, joiner, "nonce-own", &format!("own-{}", self.nonce))?;
        }
        if matches!(self.column, Column::NodeOff | Column::OtherOff | Column::LinkCut) {
            // A lone member that lists a second node gets no quorum by waiting.
            let is_lone = matches!(self.row.operation, Operation::AdmitSecond | Operation::JoinSecond);
            proof::settle(lab, self.nodes[0], Duration::from_secs(if is_lone { 6 } else { 25 }))?;
        }
        Ok(())
    }

    /// The rerun was refused: what its refusal says is carried out, and the next run must end well.
    fn remedied(&self, cell: &mut Cell) -> Result<()> {
        let controller = Controller::new(self.lab, PATIENCE);
        let remedy = match cell.rerun.contains(RECOVER) {
            true => {
                let members = &self.nodes[..self.row.operation.members().1];
                let recovered = controller.recover(members)?;
                ensure!(recovered.is_success, "{RECOVER} does not help: {}", recovered.text());
                format!("{RECOVER} -e pve_recover=apply")
            }
            false => self.carried_out(cell)?,
        };
        let again = controller.perform(self.row.operation, &self.nodes)?;
        ensure!(again.is_success, "the remedy {remedy:?} does not help: {}", again.text());
        cell.outcome = Outcome::Remedied;
        cell.remedy = remedy;
        Ok(())
    }

    /// The commands that a refusal names, as a person carries them out.
    fn carried_out(&self, cell: &Cell) -> Result<String> {
        let commands = commands(&cell.rerun);
        ensure!(
            !commands.is_empty(),
            "the rerun names no remedy; first: {}; rerun: {}",
            cell.first,
            cell.rerun
        );
        // Once more until corosync has noticed who is gone, pmxcfs the new votes, and PVE's lock of a pvecm that was cut off
        // is anybody's.
        let line = format!("timeout 180 sh -c 'until {}; do sleep 0.5; done'", commands.join(" && "));
        proof::sh(self.lab, self.nodes[0], &line)?;
        Ok(commands.join("; "))
    }

    fn goal(&self) -> Result<()> {
        let (lab, nodes) = (self.lab, &self.nodes);
        match self.row.operation {
            Operation::Reset => {
                proof::is_alone(lab, nodes[2])?;
                proof::are_quorate(lab, &nodes[..2], 2)
            }
            operation => proof::are_members(lab, &nodes[..operation.members().1]),
        }
    }

    /// Data is where it belongs.
    fn kept(&self) -> Result<()> {
        let (lab, nodes) = (self.lab, &self.nodes);
        for node in &self.live {
            proof::is_there(lab, *node, "nonce", &self.nonce)?;
        }
        if let Some(joiner) = self.joiner() {
            proof::is_in_backup(lab, joiner, &format!("own-{}", self.nonce))?;
        }
        match self.row.operation {
            Operation::Reset => proof::is_in_copy(lab, nodes[2], "/var/lib/sddc-pve/resets", "etc/pve/nonce"),
            Operation::Remove => {
                let file = format!("etc/pve/nodes/{}/pve-ssl.key", nodes[2]);
                proof::is_in_copy(lab, nodes[0], "/var/lib/sddc-pve/removed", &file)
            }
            _ => Ok(()),
        }
    }

    /// Whether the fault takes a node's power or network.
    fn is_away(&self, node: Node) -> bool {
        match self.column {
            Column::NodeOff | Column::LinkCut => node == self.on,
            Column::OtherOff => Some(node) == self.other,
            _ => false,
        }
    }

    fn joiner(&self) -> Option<Node> {
        match self.row.operation {
            Operation::AdmitSecond | Operation::JoinSecond => Some(self.nodes[1]),
            Operation::AdmitThird | Operation::JoinThird => Some(self.nodes[2]),
            _ => None,
        }
    }

    /// One step's clock jumps back, the next one's forward.
    fn is_back(&self) -> bool {
        self.row.step % 2 == 1
    }

    fn state(&self, id: &str) -> Result<String> {
        let journal = stage::journal(self.lab, self.on, id)?.unwrap_or(Value::Null);
        Ok(journal["state"].as_str().unwrap_or("gone").to_owned())
    }
}

/// What the journal of the struck operation says of it before the rerun and after it.
fn outcome(before: &str, after: &str) -> Outcome {
    match (before, after) {
        ("succeeded", _) => Outcome::Done,
        ("rolled_back", _) => Outcome::RolledBack,
        ("running", "succeeded") => Outcome::Finished,
        ("running", "rolled_back") => Outcome::Undone,
        _ => Outcome::WentOn,
    }
}

/// The commands of a message: what stands in quotes and begins with a program for members.
fn commands(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for quoted in text.split('"').skip(1).step_by(2) {
        let is_new = !found.iter().any(|known| known == quoted);
        let is_command = quoted.starts_with("pvecm ") || quoted.starts_with("systemctl restart ");
        if is_command && !quoted.contains("add") && is_new {
            found.push(quoted.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_read_from_a_message_once_and_in_order() {
        let text = "no quorum since \"pve2\" was admitted: run \"pvecm expected 1\" and \"pvecm delnode pve2\" here | \
                    then again \"pvecm expected 1\"";
        // Quotes are counted, so names in quotes don't shift them.
        assert_eq!(commands(text), ["pvecm expected 1", "pvecm delnode pve2"]);
        assert!(commands("run again").is_empty());
    }

    #[test]
    fn an_outcome_is_what_the_journal_says() {
        assert_eq!(outcome("running", "succeeded"), Outcome::Finished);
        assert_eq!(outcome("running", "rolled_back"), Outcome::Undone);
        assert_eq!(outcome("rolled_back", "rolled_back"), Outcome::RolledBack);
        assert_eq!(outcome("failed", "failed"), Outcome::WentOn);
    }
}
