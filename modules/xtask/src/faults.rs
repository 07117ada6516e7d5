//! `cargo xtask faults [--write] [--workers N] [CELL…]`: the fault matrix. Each step of each operation is met by each
//! fault, on groups of lab nodes side by side; what was played is remembered, and `--write` makes docs/faults.md of it.
//! This file owns which cells are played by whom.

mod cell;
mod column;
mod controller;
mod proof;
mod record;
mod rows;
mod stage;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::build;
use crate::command::Cmd;
use crate::lab::Lab;
use crate::project::Project;
use crate::test::clock;
use cell::play;
use column::Column;
use record::{Cell, Outcome, Record};
use rows::{Operation, Row};
use stage::Group;

const USAGE: &str = "\
usage: cargo xtask faults [--write] [--workers N] [--binary FILE] [CELL…]

A CELL is the beginning of a cell's name, as join-second, join-second-4/ or join-second-4/link-cut, or /link-cut for
a column. Cells that are named are played again; without a name all that have not ended well yet are played.
--workers 0 plays none; --binary FILE is played in place of one that is built first.";
/// Groups of three nodes that one machine carries side by side: most of a cell is waiting.
const WORKERS: usize = 4;

/// What the user asked for.
#[derive(Default)]
struct Choice {
    is_write: bool,
    workers: usize,
    binary: Option<PathBuf>,
    cells: Vec<String>,
}

/// What is still to be played, and what came of the rest.
struct Queue {
    cells: Vec<(Row, Column)>,
    played: usize,
    failed: usize,
}

/// The command.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let choice = parse(args)?;
    let record = Record::open(project)?;
    let is_named = |name: &str| {
        choice.cells.iter().any(|cell| match cell.strip_prefix('/') {
            Some(column) => name.ends_with(&format!("/{column}")),
            None => name == cell || name.starts_with(cell.as_str()),
        })
    };
    let is_open = |(row, column): &(Row, Column)| match choice.cells.is_empty() {
        true => record.of(*row, *column).is_none_or(|cell| cell.outcome == Outcome::Failed),
        false => is_named(&record::name(*row, *column)),
    };
    let cells: Vec<(Row, Column)> = every().into_iter().filter(is_open).collect();
    ensure!(choice.cells.is_empty() || !cells.is_empty(), "no such cell\n\n{USAGE}");
    let failed = if choice.workers == 0 { 0 } else { play_all(project, &record, cells, &choice)? };
    if choice.is_write {
        table::write(project, &record)?;
    }
    if failed > 0 {
        bail!("{failed} cells failed: see {}", project.target().join("faults").display())
    } else {
        Ok(())
    }
}

/// A covering sample for the test command: every fault and every operation at least once, on one group of nodes.
pub fn sample(project: &Project) -> Result<()> {
    let record = Record::at(project.target().join("faults-sample"))?;
    let cells = SAMPLE.map(|(operation, step, column)| (Row { operation, step }, column)).to_vec();
    let choice = Choice { workers: 1, ..Choice::default() };
    let failed = play_all(project, &record, cells, &choice)?;
    ensure!(failed == 0, "{failed} cells of the sample failed");
    println!("{} of {} cells of the matrix", SAMPLE.len(), every().len());
    Ok(())
}

/// In an order in which one cell leaves what the next one needs.
const SAMPLE: [(Operation, usize, Column); 12] = [
    (Operation::Create, 3, Column::ReadOnly),
    (Operation::AdmitSecond, 2, Column::Killed),
    (Operation::AdmitThird, 2, Column::ControllerKilled),
    (Operation::Reset, 3, Column::Clock),
    (Operation::JoinThird, 6, Column::CorosyncRefuses),
    (Operation::Remove, 2, Column::OtherOff),
    (Operation::JoinThird, 10, Column::ApiFails),
    (Operation::Reset, 5, Column::ApiForeign),
    (Operation::JoinThird, 7, Column::LinkCut),
    (Operation::Reset, 3, Column::NodeOff),
    (Operation::JoinThird, 11, Column::ApiHangs),
    (Operation::Remove, 1, Column::DiskFull),
];

/// Every cell that there can be.
fn every() -> Vec<(Row, Column)> {
    let of = |row: Row| Column::ALL.into_iter().map(move |column| (row, column));
    Row::all()
        .into_iter()
        .flat_map(of)
        .filter(|(row, column)| column.impossible(row.operation).is_none())
        .collect()
}

/// Plays cells on so many groups of nodes side by side; tells how many failed.
fn play_all(project: &Project, record: &Record, cells: Vec<(Row, Column)>, choice: &Choice) -> Result<usize> {
    let workers = choice.workers;
    if cells.is_empty() {
        println!("every cell has been played");
        return Ok(0);
    }
    let program = match &choice.binary {
        Some(binary) => binary.clone(),
        None => build::build(project, None)?.path,
    };
    let mut lab = Lab::open(project)?;
    lab.is_entered = true;
    // Builds the image; what a run that was cut off left without power is switched on.
    lab.up(1)?;
    for node in Lab::nodes()?.into_iter().filter(|node| lab.exec(*node, &["true"]).is_err()) {
        lab.start(node)?;
    }
    lab.delays(false)?;
    let (total, product, date) = (cells.len(), product(&program)?, Cmd::new("date").arg("+%F").read()?);
    let queue = Mutex::new(Queue { cells, played: 0, failed: 0 });
    let start = Instant::now();
    std::thread::scope(|threads| -> Result<()> {
        let running: Vec<_> = (0..workers)
            .map(|number| {
                let (lab, queue, product, date, program) = (&lab, &queue, &product, date.trim(), &program);
                threads.spawn(move || -> Result<()> {
                    let mut group = Group::new(program, lab, number);
                    group.recognise()?;
                    while let Some((row, column)) = take(queue, group.members(), number, workers) {
                        let began = Instant::now();
                        let mut cell = played(&mut group, row, column);
                        (cell.product, cell.date) = (product.clone(), date.to_owned());
                        record.add(&cell)?;
                        let mut state = queue.lock().unwrap_or_else(PoisonError::into_inner);
                        state.played += 1;
                        state.failed += usize::from(cell.outcome == Outcome::Failed);
                        println!(
                            "[{}/{total} {}] {:40} {:28} {:12} {:>6} {}",
                            state.played,
                            clock(start.elapsed()),
                            cell.name,
                            cell.step,
                            table::word(cell.outcome),
                            clock(began.elapsed()),
                            cell.error
                        );
                    }
                    Ok(())
                })
            })
            .collect();
        running.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })?;
    lab.delays(true)?;
    let failed = queue.lock().unwrap_or_else(PoisonError::into_inner).failed;
    Ok(failed)
}

/// The next cell: one that begins as the last one ended, if there is any. Every other group plays with two nodes first.
fn take(
    queue: &Mutex<Queue>,
    members: Option<usize>,
    number: usize,
    workers: usize,
) -> Option<(Row, Column)> {
    let mut state = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let is_mine = |(row, _): &(Row, Column)| (row.operation <= Operation::JoinSecond) == (number % 2 == 0);
    let fits = |(row, _): &(Row, Column)| Some(row.operation.members().0) == members;
    let find = |wanted: &dyn Fn(&(Row, Column)) -> bool| state.cells.iter().position(wanted);
    let at = match workers {
        1 => 0,
        _ => find(&|cell| is_mine(cell) && fits(cell))
            .or_else(|| find(&is_mine))
            .or_else(|| find(&fits))
            .unwrap_or(0),
    };
    (!state.cells.is_empty()).then(|| state.cells.remove(at))
}

/// A cell, and if it was the machine's fault once more.
fn played(group: &mut Group<'_>, row: Row, column: Column) -> Cell {
    let mut tries = 0;
    loop {
        tries += 1;
        match play(group, row, column) {
            Ok(cell) => return cell,
            Err(error) => {
                group.spoil();
                let error = format!("{error:#}");
                if tries == 3 || !error.contains("too late") {
                    return Cell { error, ..Cell::of(row, column) };
                }
            }
        }
    }
}

fn parse(args: &[String]) -> Result<Choice> {
    let mut choice = Choice { is_write: false, workers: WORKERS, binary: None, cells: Vec::new() };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--write" => choice.is_write = true,
            "--binary" => choice.binary = Some(words.next().context(USAGE)?.into()),
            "--workers" => choice.workers = words.next().context(USAGE)?.parse().context(USAGE)?,
            other if other.starts_with('-') => bail!(USAGE),
            other => choice.cells.push(other.to_owned()),
        }
    }
    ensure!(choice.workers <= 12, "12 groups have 36 nodes: no more");
    Ok(choice)
}

/// Version of the product, and the beginning of its binary's hash: a commit may say nothing of what was given.
fn product(program: &Path) -> Result<String> {
    let hash =
        Sha256::digest(fs::read(program).with_context(|| format!("can't read {}", program.display()))?);
    let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{} ({hash})", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_covers_every_operation_and_every_fault() {
        for column in Column::ALL {
            assert!(SAMPLE.iter().any(|(_, _, used)| *used == column), "{column:?}");
        }
        for kind in ["create", "admit", "join", "reset", "remove"] {
            assert!(SAMPLE.iter().any(|(operation, ..)| operation.kind() == kind), "{kind}");
        }
        let all = every();
        assert!(SAMPLE.iter().all(|(operation, step, column)| {
            all.contains(&(Row { operation: *operation, step: *step }, *column))
        }));
    }

    #[test]
    fn names_of_cells_are_each_one_cell() {
        let mut names: Vec<String> =
            every().iter().map(|(row, column)| record::name(*row, *column)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(count, 43 * 12 - 6);
    }
}
