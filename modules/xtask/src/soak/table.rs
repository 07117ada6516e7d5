//! The soak's table: printed, or put into BENCHMARKS.md in place of the one before.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::record::{END, Record, TOLERANCE};
use crate::command::Cmd;
use crate::project::Project;

const FILE: &str = "BENCHMARKS.md";
const MARKS: [&str; 2] = ["<!-- soak:begin -->\n", "<!-- soak:end -->\n"];
/// What the document says around the table, where there is none yet.
const SECTION: &str = "\n## Soak: the same nodes again and again\n\n";
/// Faults that are told in full.
const SHOWN: usize = 10;

/// Prints the table or writes it down.
pub fn write(project: &Project, record: &Record, is_write: bool) -> Result<()> {
    let date = Cmd::new("date").arg("+%F").read()?;
    let text = text(record, date.trim());
    if !is_write {
        print!("{text}");
        return Ok(());
    }
    let path = project.path(FILE);
    let document = fs::read_to_string(&path).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
    fs::write(&path, insert(&document, &text)?).with_context(|| format!("can't write {}", path.display()))
}

fn text(record: &Record, date: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "Played on {date} by `cargo xtask soak --write` on three lab nodes without PVE's delays, all and the controller on \
         {cores} cores. A round: `site.yml` forms a cluster of two, `site.yml` adds the third, `rejoin.yml` lets it leave and \
         join again, `remove.yml` removes it, `reset.yml` takes the rest apart; after each play corosync says that the \
         cluster is as it should be. In each round, as a cluster of three and in no cluster, every node is looked at: \
         processes by name, files of ours and of PVE's, keys and host keys, locks, units, timers, sockets, mounts; none may \
         be more than in the first three rounds, copies and journals not more than their bound, and the audit trail grows by \
         as much in each round. Time is judged by the processors' work for nodes and controller (at most {:.0} % more), since \
         the clock on the wall follows the machine's other work, which is what the load shows.\n\n",
        TOLERANCE * 100.0
    );
    let Some(ends) = record.ends() else {
        let _ = writeln!(text, "{} rounds: too few to compare.", record.rounds.len());
        return text;
    };
    let row = |what: &str, values: [String; 3]| format!("| {what} | {} |\n", values.join(" | "));
    let seconds = |values: [f64; 2]| values.map(|value| format!("{value:.1} s"));
    let percent = |values: [f64; 2]| format!("{:+.0} %", (values[1] / values[0] - 1.0) * 100.0);
    let _ =
        write!(text, "| median of a round | first {0} | last {0} | more |\n|---|---|---|---|\n", ends.count);
    let [first, last] = seconds(ends.process);
    text += &row("process time", [first, last, percent(ends.process)]);
    let [first, last] = seconds(ends.seconds);
    text += &row("wall clock", [first, last, percent(ends.seconds)]);
    let [first, last] = ends.load.map(|load| format!("{load:.1}"));
    text += &row("load average", [first, last, String::new()]);
    let wall: Vec<f64> = record.rounds.iter().map(|round| round.seconds).collect();
    let least = wall.iter().copied().fold(f64::INFINITY, f64::min);
    let most = wall.iter().copied().fold(0.0, f64::max);
    let _ = write!(
        text,
        "\n{} rounds on the same nodes{}, the shortest {least:.1} s, the longest {most:.1} s; {} failed.\n",
        record.rounds.len(),
        if record.sets() > 1 {
            format!(" (which were made anew {} times)", record.sets() - 1)
        } else {
            String::new()
        },
        record.failures.len()
    );
    let leaks = record.leaks();
    let _ = match leaks.as_slice() {
        [] => writeln!(text, "Leaks: none."),
        _ => writeln!(text, "Leaks:\n\n- {}", leaks[..leaks.len().min(SHOWN)].join("\n- ")),
    };
    if ends.count < END {
        let _ = writeln!(text, "Drift in time takes {} rounds to tell.", 2 * END);
    }
    text
}

/// The document with the table in place of the one before, or after everything else.
fn insert(document: &str, table: &str) -> Result<String> {
    let [begin, end] = MARKS;
    let Some((before, rest)) = document.split_once(begin) else {
        return Ok(format!("{}\n{SECTION}{begin}{table}{end}", document.trim_end()));
    };
    let (_, after) = rest.split_once(end).with_context(|| format!("{FILE} has no mark {end:?}"))?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::super::record::example;
    use super::*;

    #[test]
    fn the_table_has_both_ends_and_what_leaked() {
        let mut record = example((0..50).map(|round| 10.0 + f64::from(round) / 50.0));
        let shown = text(&record, "2026-11-30");
        assert!(shown.contains("| process time | 10.1 s | 10.9 s | +8 % |\n"), "{shown}");
        assert!(
            shown.contains("50 rounds on the same nodes, the shortest 20.0 s, the longest 22.0 s; 0 failed."),
            "{shown}"
        );
        assert!(shown.contains("Leaks: none."), "{shown}");
        record.rounds[20].leaks.push("in no cluster: pve1: files /tmp: 4, at first 3".to_owned());
        let shown = text(&record, "2026-11-30");
        assert!(shown.contains("- round 21: in no cluster: pve1: files /tmp"), "{shown}");
        assert!(text(&example([1.0]), "x").contains("too few"));
    }

    #[test]
    fn the_table_replaces_its_own_and_nobody_elses() {
        let first = insert("# Benchmarks\n\nother\n", "one\n").unwrap();
        assert!(first.starts_with("# Benchmarks\n\nother\n\n## Soak"), "{first}");
        assert_eq!(insert(&first, "two\n").unwrap(), first.replace("one\n", "two\n"));
        assert!(insert(MARKS[0], "x").is_err());
    }
}
