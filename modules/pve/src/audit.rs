//! Who did what to the cluster: one JSON line an operation, each with the hash of the line before it, in a
//! file that only root reads, and in the journal. Never a secret: an entry has no field that could hold one.
//! logrotate may move the file away: the first line of a new one carries the hash of the last line of the old one.

pub mod trail;

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Cmd, Deadline, Node};

/// Where the lines are.
pub const LOG: &str = "/var/log/pve-cluster-audit.jsonl";
const LOCK: &str = "/run/sddc-pve/audit.lock";
/// What is written to see whether the disk takes anything; more than any line.
const PROBE: (&str, [u8; 8192]) = ("/var/log/.pve-cluster-audit.probe", [b' '; 8192]);
/// What stands in the first line for the hash of the line before it.
const NO_LINE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One operation that ended.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Entry {
    /// Node name.
    pub node: String,
    /// Cluster name.
    pub cluster: String,
    /// `create`, `admit`, `withdraw`, `remove`, `join`, `reset`.
    pub operation: String,
    /// How, such as `brokered`.
    pub method: Option<String>,
    /// Id of the credential used, never the credential.
    pub credential: Option<String>,
    /// Which nodes it was about.
    pub subjects: Vec<String>,
    /// Who asked for it.
    pub who: Origin,
    /// `succeeded`, `failed`, `rolled_back`, `refused`.
    pub result: String,
    /// Seconds.
    pub duration: f64,
    /// Id of the operation's journal.
    pub id: Option<String>,
}

/// Who asked for an operation, as far as the process knows.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Origin {
    /// User the program runs for.
    pub user: Option<String>,
    /// Who became that user by sudo.
    pub sudo_user: Option<String>,
    /// Address that the ssh connection came from.
    pub controller: Option<String>,
}

#[derive(Serialize)]
struct Line {
    time: String,
    #[serde(flatten)]
    entry: Entry,
    previous: String,
}

impl Origin {
    /// What this process's environment tells.
    pub fn of(node: &Node) -> Self {
        let own = node.variable("SSH_CONNECTION").or_else(|| node.variable("SSH_CLIENT"));
        let connection = own.or_else(|| connection_of_parents(node));
        Self {
            user: node.variable("USER").or_else(|| node.variable("LOGNAME")),
            sudo_user: node.variable("SUDO_USER"),
            controller: connection.and_then(|text| text.split(' ').next().map(str::to_owned)),
        }
    }
}

/// What sudo has taken out of the environment the process that sshd started still has: the outermost, which whoever came by
/// it could change least.
fn connection_of_parents(node: &Node) -> Option<String> {
    let mut found = None;
    let mut process = "self".to_owned();
    while let Ok(Some(status)) = node.read(&format!("/proc/{process}/status")) {
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map_or("0", str::trim);
        if parent == "0" || parent == process {
            break;
        }
        parent.clone_into(&mut process);
        let environment = node.read(&format!("/proc/{process}/environ")).ok().flatten().unwrap_or_default();
        let connection = environment.split('\0').find_map(|word| word.strip_prefix("SSH_CONNECTION="));
        found = connection.map(str::to_owned).or(found);
    }
    found
}

/// What is said of an entry that could not be appended when what it tells of had been done.
pub fn not_audited(error: &anyhow::Error) -> String {
    format!(
        "not audited, but for the line that \"journalctl -t sddc-pve\" shows: {error:#}; see that {LOG} can be written"
    )
}

/// Appends an entry to the file and to the journal. A journal that can't be written is no failure: the file
/// is the record.
pub fn append(node: &Node, entry: Entry) -> anyhow::Result<()> {
    let unchained = serde_json::to_string(&entry).unwrap_or_default();
    let appended = chain(node, entry);
    // Where the file takes no line, the journal has what was done all the same, as no part of the chain.
    let text = appended.as_deref().unwrap_or(&unchained);
    let args = ["-t", "sddc-pve", "-p", "authpriv.notice"];
    let _ = node.run(&Cmd::new("logger", args, Duration::from_secs(2)).stdin(text.to_owned().into()));
    appended.map(drop)
}

/// Adds the entry to the file; returns its line.
fn chain(node: &Node, entry: Entry) -> anyhow::Result<String> {
    node.create_private_dir(crate::seal::RUNTIME_DIR)?;
    node.create_private_dir("/var/log")?;
    let lock = node.lock(LOCK, Deadline::after(node, Duration::from_secs(5)))?;
    let mut file = open(node)?;
    let previous = last_line(&mut file).with_context(|| format!("cannot read audit log {LOG:?}"))?;
    let previous = match previous {
        None => trail::last_rotated_line(node)?,
        line => line,
    };
    let now = node.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let line = Line { time: utc(now), entry, previous: previous.map_or(NO_LINE.to_owned(), |l| hash(&l)) };
    let mut text = serde_json::to_string(&line).context("an audit entry can't be written as JSON")?;
    text.push('\n');
    add(&mut file, &text).with_context(|| format!("cannot append to audit log {LOG:?}"))?;
    drop(lock);
    Ok(text)
}

/// A whole line or none of it, on a line of its own also after one that a loss of power has torn.
fn add(file: &mut std::fs::File, line: &str) -> std::io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let text = if last == [b'\n'] { line.to_owned() } else { format!("\n{line}") };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(length)?;
    }
    written
}

/// An error where no line could be written now: who asks has changed nothing yet.
pub fn ensure_writable(node: &Node) -> anyhow::Result<()> {
    ensure_writable_or(node, "audit=best_effort goes on without")
}

/// The same, with what else could be done than to make it writable.
pub fn ensure_writable_or(node: &Node, otherwise: &str) -> anyhow::Result<()> {
    let remedy = "make room on the disk or see who keeps the file from being written";
    let probe = || -> anyhow::Result<()> {
        node.create_private_dir("/var/log")?;
        open(node)?;
        let (path, content) = PROBE;
        let written = node.write(path, &content, crate::FileMode::Private);
        node.remove(path)?;
        written.map(|_| ())
    };
    probe().map_err(|error| {
        anyhow::anyhow!(
            "the audit trail can't be written, so nothing was done: {error:#}; {remedy}; {otherwise}"
        )
    })
}

fn open(node: &Node) -> anyhow::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).read(true).mode(0o600).open(node.path(LOG));
    file.with_context(|| format!("cannot open audit log {LOG:?}"))
}

fn hash(line: &str) -> String {
    Sha256::digest(line.trim_end_matches('\n')).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The last line without reading a long file as a whole: a line is some hundred bytes.
fn last_line(file: &mut std::fs::File) -> std::io::Result<Option<String>> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(64 << 10)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    Ok(tail.lines().next_back().map(str::to_owned))
}

/// `2026-11-22T15:08:12Z`, from the days since 1970 (civil calendar, H. Hinnant's algorithm).
pub fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::fake::Fake;

    fn entry(result: &str) -> Entry {
        Entry {
            node: "pve1".into(),
            cluster: "oracle".into(),
            operation: "create".into(),
            result: result.into(),
            ..Entry::default()
        }
    }

    #[test]
    fn who_came_by_sudo_is_known_by_the_process_that_sshd_started() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        assert_eq!(connection_of_parents(&fake.node()), None);
        for (process, parent, environment) in [
            ("self", "7", ""),
            ("7", "6", "SUDO_USER=ops\0"),
            ("6", "5", "SSH_CONNECTION=1.2.3.4 5 6 7\0"),
            ("5", "1", "HOME=/home/ops\0SSH_CONNECTION=10.88.0.1 50 10.88.0.11 22\0"),
            ("1", "0", "PATH=/bin\0"),
        ] {
            fake.write(&format!("/proc/{process}/status"), format!("Name:\tx\nPPid:\t{parent}\n"));
            fake.write(&format!("/proc/{process}/environ"), environment);
        }
        let origin = Origin::of(&fake.node());
        assert_eq!(origin.controller.as_deref(), Some("10.88.0.1"));
    }

    #[test]
    fn what_the_file_cannot_take_is_in_the_journal_and_no_part_of_the_chain() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        std::fs::create_dir_all(fake.path(LOG)).unwrap();
        let logged = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let heard = logged.clone();
        fake.on(move |_, cmd| {
            (cmd.program == "logger").then(|| {
                heard.lock().unwrap().push_str(cmd.input());
                Ok(crate::Output { code: Some(0), ..crate::Output::default() })
            })
        });
        append(&fake.node(), entry("succeeded")).unwrap_err();
        let said: serde_json::Value = serde_json::from_str(&logged.lock().unwrap()).unwrap();
        assert_eq!((said["result"].as_str(), said.get("previous")), (Some("succeeded"), None), "{said}");
    }

    #[test]
    fn lines_are_chained_and_only_root_reads_them() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        for result in ["failed", "succeeded", "succeeded"] {
            append(&node, entry(result)).unwrap();
        }
        let text = node.read(LOG).unwrap().unwrap();
        let trail = trail::read(&node).unwrap();
        assert_eq!((trail.ok, trail.lines, trail.is_complete), (true, 3, true), "{trail:?}");
        assert!(text.starts_with("{\"time\":\"2026-11-22T"), "{text}");
        assert_eq!(std::fs::metadata(fake.path(LOG)).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_line_that_a_loss_of_power_has_torn_takes_no_other_with_it() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        append(&node, entry("failed")).unwrap();
        let text = node.read(LOG).unwrap().unwrap();
        fake.write(LOG, format!("{text}{{\"time\":\"2026"));
        append(&node, entry("succeeded")).unwrap();
        let trail = trail::read(&node).unwrap();
        assert_eq!((trail.lines, trail.entries.len()), (3, 2), "{trail:?}");
        assert_eq!(trail.findings, ["/var/log/pve-cluster-audit.jsonl line 2 is no entry"]);
    }

    #[test]
    fn the_calendar_knows_leap_years() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_359_600, "2026-11-22T15:00:00Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }
}
