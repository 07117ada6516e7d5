//! The whole audit trail of a node, with what logrotate moved away: is every line the one that was written, does each
//! follow the one before, and is the end still there. The journal keeps a copy of each line, which tells whether
//! somebody cut lines off the end of the file.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use super::{LOG, NO_LINE, hash};
use crate::{Cmd, Node};

const DIR: &str = "/var/log";
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a look at a trail found.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct Trail {
    /// Nothing is wrong with it.
    pub ok: bool,
    /// Its files, the oldest first.
    pub files: Vec<String>,
    /// Number of lines.
    pub lines: usize,
    /// The first line is the first that was ever written; else older ones were rotated out.
    pub is_complete: bool,
    /// What is wrong, each with file and line.
    pub findings: Vec<String>,
    /// The entries, the oldest first.
    pub entries: Vec<Value>,
}

/// Reads and verifies the trail.
pub fn read(node: &Node) -> anyhow::Result<Trail> {
    let mut trail = Trail::default();
    let mut expected: Option<String> = None;
    for (name, is_packed) in files(node)? {
        let text = content(node, &name, is_packed)?;
        for (index, line) in text.lines().enumerate() {
            let place = format!("{name} line {}", index + 1);
            trail.lines += 1;
            let entry: Option<Value> = serde_json::from_str(line).ok();
            match (entry.as_ref().and_then(previous), &expected) {
                (None, _) => trail.findings.push(format!("{place} is no entry")),
                (Some(first), None) => trail.is_complete = first == NO_LINE,
                (Some(told), Some(hash)) if told != hash => trail.findings.push(format!(
                    "{place} does not follow the line before it: one of the two was changed, or lines between them were \
                     removed"
                )),
                _ => {}
            }
            trail.entries.extend(entry);
            expected = Some(hash(line));
        }
        trail.files.push(name);
    }
    let missing = missing(&trail, &in_journal(node));
    if missing > 0 {
        trail
            .findings
            .push(format!("the journal has {missing} entries that the files lack: lines were removed"));
    }
    trail.ok = trail.findings.is_empty();
    Ok(trail)
}

/// The last line before the present file was begun.
pub(super) fn last_rotated_line(node: &Node) -> anyhow::Result<Option<String>> {
    let Some((name, is_packed)) = files(node)?.into_iter().rev().find(|(name, _)| name != LOG) else {
        return Ok(None);
    };
    Ok(content(node, &name, is_packed)?.lines().next_back().map(str::to_owned))
}

/// Names of the trail's files, the oldest first, and whether they are packed: logrotate numbers them from the newest.
fn files(node: &Node) -> anyhow::Result<Vec<(String, bool)>> {
    let base = LOG.rsplit('/').next().unwrap_or(LOG);
    let mut found: Vec<(u32, String, bool)> = Vec::new();
    for name in node.list(DIR)? {
        let Some(rest) = name.strip_prefix(base) else { continue };
        let (number, is_packed) = match rest.strip_suffix(".gz") {
            Some(number) => (number, true),
            None => (rest, false),
        };
        let number =
            if number.is_empty() { Some(0) } else { number.strip_prefix('.').and_then(|n| n.parse().ok()) };
        found.extend(number.map(|number| (number, format!("{DIR}/{name}"), is_packed)));
    }
    found.sort_by_key(|(number, ..)| std::cmp::Reverse(*number));
    Ok(found.into_iter().map(|(_, name, is_packed)| (name, is_packed)).collect())
}

fn content(node: &Node, name: &str, is_packed: bool) -> anyhow::Result<String> {
    if is_packed {
        return Ok(node.run_ok(&Cmd::new("gzip", ["-dc", name], TIMEOUT))?.stdout);
    }
    Ok(node.read(name).with_context(|| format!("cannot read audit trail {name:?}"))?.unwrap_or_default())
}

/// Entries of the journal that the trail should have: all where it begins with the first there ever was, else those after
/// one that it has, for older ones may have been rotated out; where it has none of them, the newest.
fn missing(trail: &Trail, journal: &[Value]) -> usize {
    let first = match trail.is_complete {
        true => 0,
        false => {
            let known = journal.iter().position(|entry| trail.entries.contains(entry));
            known.unwrap_or(journal.len().saturating_sub(1))
        }
    };
    journal[first..].iter().filter(|entry| !trail.entries.contains(entry)).count()
}

/// The newest entries that root has put into the journal (anybody can log under any name), the oldest first; none where there
/// is no journal, or it has forgotten. Those that no file took carry no hash and are no part of the trail.
fn in_journal(node: &Node) -> Vec<Value> {
    let args = ["_UID=0", "-t", "sddc-pve", "-n", "500", "-o", "cat", "--no-pager", "-q"];
    let said =
        node.run(&Cmd::new("journalctl", args, TIMEOUT)).map(|output| output.stdout).unwrap_or_default();
    let entries = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries.filter(|entry| previous(entry).is_some()).collect()
}

/// The hash that an entry carries of the line before it.
fn previous(entry: &Value) -> Option<&str> {
    entry.get("previous")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, append};
    use super::*;
    use crate::Output;
    use crate::fake::Fake;

    fn written(results: &[&str]) -> Fake {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        write(&fake, results);
        fake
    }

    fn write(fake: &Fake, results: &[&str]) {
        for result in results {
            append(&fake.node(), Entry { result: (*result).into(), ..Entry::default() }).unwrap();
        }
    }

    fn rotate(fake: &Fake, to: &str) {
        std::fs::rename(fake.path(LOG), fake.path(to)).unwrap();
    }

    #[test]
    fn a_trail_holds_over_rotation_and_packing() {
        let fake = written(&["failed", "succeeded"]);
        rotate(&fake, "/var/log/pve-cluster-audit.jsonl.2.gz");
        fake.on(|machine, cmd| {
            let path = cmd.line().strip_prefix("gzip -dc ")?.to_owned();
            Some(Ok(Output { code: Some(0), stdout: machine.read(&path), stderr: String::new() }))
        });
        write(&fake, &["succeeded", "rolled_back"]);
        rotate(&fake, "/var/log/pve-cluster-audit.jsonl.1");
        // logrotate makes a new, empty file.
        fake.write(LOG, "");
        write(&fake, &["succeeded"]);
        let trail = read(&fake.node()).unwrap();
        assert_eq!((trail.ok, trail.lines, trail.is_complete), (true, 5, true), "{trail:?}");
        std::fs::remove_file(fake.path("/var/log/pve-cluster-audit.jsonl.2.gz")).unwrap();
        let trail = read(&fake.node()).unwrap();
        assert_eq!((trail.ok, trail.lines, trail.is_complete), (true, 3, false), "{trail:?}");
        std::fs::remove_file(fake.path("/var/log/pve-cluster-audit.jsonl.1")).unwrap();
        write(&fake, &["succeeded"]);
        assert!(read(&fake.node()).unwrap().ok);
    }

    #[test]
    fn what_was_changed_removed_or_cut_off_is_named() {
        let findings = |edit: &dyn Fn(Vec<&str>) -> Vec<String>| {
            let fake = written(&["failed", "succeeded", "refused"]);
            let text = fake.machine().read(LOG);
            fake.answer("journalctl _UID=0 -t sddc-pve -n 500 -o cat --no-pager -q", 0, &text);
            fake.write(
                LOG,
                edit(text.lines().collect()).iter().map(|line| format!("{line}\n")).collect::<String>(),
            );
            read(&fake.node()).unwrap().findings
        };
        let own = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(findings(&|lines| own(lines)), Vec::<String>::new());
        let changed =
            findings(&|lines| own(lines).iter().map(|line| line.replace("failed", "good")).collect());
        assert!(
            changed[0].starts_with("/var/log/pve-cluster-audit.jsonl line 2 does not follow"),
            "{changed:?}"
        );
        let removed = findings(&|lines| vec![lines[0].to_owned(), lines[2].to_owned()]);
        assert!(removed[0].contains("line 2 does not follow"), "{removed:?}");
        let cut = findings(&|lines| own(lines[..2].to_vec()));
        assert_eq!(cut, ["the journal has 1 entries that the files lack: lines were removed"]);
        // Also once others have been appended, which follow what is there.
        let forged = findings(&|lines| {
            let first = lines[0].to_owned();
            let mut later: Value = serde_json::from_str(lines[2]).unwrap();
            later["previous"] = Value::from(hash(&first));
            vec![first, later.to_string()]
        });
        assert!(forged[0].contains("lines were removed"), "{forged:?}");
        let emptied = findings(&|_| Vec::new());
        assert_eq!(emptied, ["the journal has 1 entries that the files lack: lines were removed"]);
        let torn = findings(&|lines| vec![lines[0].to_owned(), lines[1][..20].to_owned()]);
        assert!(torn[0].contains("line 2 is no entry"), "{torn:?}");
    }

    #[test]
    fn a_trail_that_was_never_begun_is_no_fault() {
        let trail = read(&Fake::standalone("pve1", "10.88.0.11").node()).unwrap();
        assert_eq!((trail.ok, trail.lines), (true, 0));
    }

    #[test]
    fn a_log_that_cannot_be_written_is_told_before_anything_is_done() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        super::super::ensure_writable(&fake.node()).unwrap();
        assert_eq!(fake.node().list("/var/log").unwrap(), ["pve-cluster-audit.jsonl"]);
        std::fs::remove_file(fake.path(LOG)).unwrap();
        std::fs::create_dir_all(fake.path(LOG)).unwrap();
        let error = super::super::ensure_writable(&fake.node()).unwrap_err().to_string();
        assert!(error.contains("nothing was done") && error.contains("audit=best_effort"), "{error}");
    }
}
