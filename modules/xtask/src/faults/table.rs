//! docs/faults.md: all cells as one table an operation, with what the words mean, and what was said where a person had
//! something to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::column::Column;
use super::record::{Cell, Outcome, Record};
use super::rows::{Operation, Row};
use crate::project::Project;

const FILE: &str = "docs/faults.md";
/// What each word means.
const LEGEND: [(Outcome, &str); 8] = [
    (Outcome::ByItself, "the operation succeeded all the same, no rerun was needed"),
    (
        Outcome::Done,
        "the operation succeeded, and its controller did not see it, or what comes after it failed; the rerun found it done and did the rest",
    ),
    (Outcome::RolledBack, "the operation failed and took itself back; the rerun succeeded"),
    (Outcome::Finished, "the operation was cut off; the rerun finished it first"),
    (Outcome::Undone, "the operation was cut off; the rerun took it back first, did it anew, and succeeded"),
    (
        Outcome::WentOn,
        "the operation failed or was cut off and kept what it had done; the rerun went on from there and succeeded",
    ),
    (
        Outcome::Remedied,
        "the rerun refused and named commands; they were carried out word by word, and the next run succeeded",
    ),
    (Outcome::Failed, "it did not end well, or something was lost"),
];
const COLUMNS: &str = "\
- **kill -9**: the process of the operation and all that it started.
- **controller killed**: kill -9 of the controller's connection; the operation goes on alone.
- **node off**: the node that the operation runs on (the joiner, of a join) loses its power, and gets it back.
- **other off**: the other one does: the member that is joined; of an admission the joiner; of a removal the other member.
- **links cut**: both cables of the node, ssh's included, until the operation is over.
- **disk full**: the file systems of /var/lib/sddc-pve, /var/lib/pve-cluster, /var/lib/corosync, /etc/corosync, /etc/ssh,
  /root/.ssh and /var/log (one small tmpfs in place of them) have no block left.
- **pmxcfs read-only**: every write below /etc/pve is refused on the node.
- **corosync refuses**: corosync can't be started on the node. One that runs goes on.
- **API: 500**, **API hangs**, **API: certificate**: port 8006 of every node answers 500, never, or with a certificate of
  somebody else.
- **clock**: nodes of the lab share one kernel, whose clock can't be set for one of them. So the operation is killed, and
  all times that are stored on its node (journals, locks, what lies below /run/sddc-pve) are moved by a day, which to the
  rerun is what a clock is that jumped: back at odd steps, forward at even ones.
";

/// The word of an outcome.
pub fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::ByItself => "converged",
        Outcome::Done => "done",
        Outcome::RolledBack => "rolled back",
        Outcome::Finished => "finished",
        Outcome::Undone => "undone",
        Outcome::WentOn => "went on",
        Outcome::Remedied => "remedy",
        Outcome::Failed => "**FAILED**",
    }
}

/// Writes down what is known; the document only of all cells.
pub fn write(project: &Project, record: &Record) -> Result<()> {
    let every = super::every();
    let known: Vec<Cell> = every.iter().filter_map(|(row, column)| record.of(*row, *column)).collect();
    Record::keep(project, &known)?;
    if known.len() < every.len() {
        println!("{} of {} cells have been played: {FILE} is made of all of them", known.len(), every.len());
        return Ok(());
    }
    let path = project.path(FILE);
    fs::write(&path, document(&|row, column| record.of(row, column)))
        .with_context(|| format!("can't write {}", path.display()))
}

/// The document, of what is known of each cell.
fn document(of: &dyn Fn(Row, Column) -> Option<Cell>) -> String {
    let cells: Vec<Cell> = super::every().into_iter().filter_map(|(row, column)| of(row, column)).collect();
    let (total, played) = (super::every().len(), cells.len());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in &cells {
        *counts.entry(word(cell.outcome)).or_default() += 1;
    }
    let set = |of: fn(&Cell) -> &str| {
        let all: BTreeSet<&str> = cells.iter().map(of).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    let seconds: f64 = cells.iter().map(|cell| cell.seconds).sum();
    let mut text = format!(
        "# What befalls an operation\n\nWritten by `cargo xtask faults --write` ({}), over sddc.pve {} on lab nodes without PVE's \
         delays: {played} of {total} cells were played, in {:.0} s each on average.\n\n\
         Each cell: the operation is stopped when its journal shows the step, the fault befalls it, and it goes on (or was \
         killed). When it is over, the fault is taken away, and the same is asked for **once more**. What is proven then, with \
         cat, grep, corosync's own tools and ssh: the cluster is what was wanted, on every node; a file that lay in /etc/pve \
         before is there and in config.db, of a joiner in the dump of its old database, of a node that left in the copies; the \
         members that had nothing to do with it were quorate all the time (but where the fault itself takes their quorum: \
         two of three nodes off); the controller's key let in to each node that had power and network, under the fault, \
         after it and in the end; no lock, snapshot or unended journal is left, and the API serves the right certificate.\n\n\
         | cells | word | meaning |\n|---|---|---|\n",
        set(|cell| &cell.date),
        set(|cell| &cell.product),
        seconds / played.max(1) as f64,
    );
    for (outcome, meaning) in LEGEND {
        let count = counts.get(word(outcome)).copied().unwrap_or(0);
        if count > 0 || outcome == Outcome::Failed {
            let _ = writeln!(text, "| {count} | {} | {meaning} |", word(outcome));
        }
    }
    let _ = write!(text, "\nThe faults:\n\n{COLUMNS}");
    for operation in Operation::ALL {
        text.push_str(&table(operation, of));
    }
    text.push_str(&remedies(&cells));
    text
}

fn table(operation: Operation, of: &dyn Fn(Row, Column) -> Option<Cell>) -> String {
    let mut text = format!("\n## {}\n\n| step |", operation.title());
    for column in Column::ALL {
        let _ = write!(text, " {} |", column.title());
    }
    let _ = writeln!(text, "\n|---{}|", "|---".repeat(Column::ALL.len()));
    for row in Row::all().into_iter().filter(|row| row.operation == operation) {
        let _ = write!(text, "| {}. {} |", row.step, row.name());
        for column in Column::ALL {
            let said = match (column.impossible(operation), of(row, column)) {
                (Some(reason), _) => reason.to_owned(),
                (None, Some(cell)) => word(cell.outcome).to_owned(),
                (None, None) => "not played".to_owned(),
            };
            let _ = write!(text, " {said} |");
        }
        text.push('\n');
    }
    text
}

fn remedies(cells: &[Cell]) -> String {
    let mut text = String::new();
    for cell in cells.iter().filter(|cell| cell.outcome == Outcome::Remedied) {
        let _ = writeln!(text, "- `{}`: `{}`", cell.name, cell.remedy);
    }
    if text.is_empty() { text } else { format!("\n## What a person had to do\n\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_says_something() {
        let text = document(&|row, column| {
            (column != Column::Clock).then(|| Cell { outcome: Outcome::Undone, ..Cell::of(row, column) })
        });
        assert_eq!(text.matches("not played").count(), Row::all().len());
        assert_eq!(text.matches("| no other node").count(), 6);
        assert!(!text.contains("|  |"), "an empty cell");
        assert!(text.contains("| undone |"));
    }
}
