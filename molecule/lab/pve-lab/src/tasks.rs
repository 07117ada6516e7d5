//! Tasks as PVE keeps them: UPIDs, the log of each under /var/log/pve/tasks, `active` and `index`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;

use nix::unistd::{Uid, chown};
use serde_json::{Map, Value, json};

use crate::host::Host;

const DIRECTORY: &str = "/var/log/pve/tasks";

/// Name of a task: `UPID:node:pid:pstart:starttime:type:id:user:`, numbers in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upid {
    pub node: String,
    pub pid: u32,
    pub pstart: u64,
    pub starttime: u64,
    pub kind: String,
    pub id: String,
    pub user: String,
}

impl std::fmt::Display for Upid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "UPID:{}:{:08X}:{:08X}:{:08X}:{}:{}:{}:",
            self.node, self.pid, self.pstart, self.starttime, self.kind, self.id, self.user
        )
    }
}

impl Upid {
    pub fn parse(text: &str) -> Option<Upid> {
        let fields: Vec<&str> = text.split(':').collect();
        let ["UPID", node, pid, pstart, starttime, kind, id, user, ""] = fields[..] else { return None };
        Some(Upid {
            node: node.to_owned(),
            pid: u32::from_str_radix(pid, 16).ok()?,
            pstart: u64::from_str_radix(pstart, 16).ok()?,
            starttime: u64::from_str_radix(starttime, 16).ok()?,
            kind: kind.to_owned(),
            id: id.to_owned(),
            user: user.to_owned(),
        })
    }

    /// The log lies in a folder named after the last digit of the start time.
    pub fn log_file(&self) -> String {
        format!("{DIRECTORY}/{:X}/{self}", self.starttime & 0xf)
    }

    fn is_alive(&self) -> bool {
        start_of(self.pid) == Some(self.pstart)
    }

    fn json(&self) -> Map<String, Value> {
        let fields = json!({
            "upid": self.to_string(), "node": self.node, "pid": self.pid, "pstart": self.pstart,
            "starttime": self.starttime, "type": self.kind, "id": self.id, "user": self.user,
        });
        fields.as_object().cloned().unwrap_or_default()
    }
}

/// Start time of a process in clock ticks since boot (proc(5), field 22 of stat).
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

pub fn epoch() -> u64 {
    u64::from(crate::pmxcfs::now())
}

/// A running task: what it prints goes to its log and, at a shell, to the terminal.
pub struct Task {
    pub upid: Upid,
    log: Mutex<fs::File>,
    is_interactive: bool,
    host: Host,
}

impl Task {
    pub fn start(host: &Host, kind: &str, id: &str, user: &str, is_interactive: bool) -> io::Result<Task> {
        let pid = std::process::id();
        let mut upid = Upid {
            node: host.nodename(),
            pid,
            pstart: start_of(pid).unwrap_or(0),
            starttime: epoch(),
            kind: kind.to_owned(),
            id: id.to_owned(),
            user: user.to_owned(),
        };
        // One process may start several tasks within a second: their names still differ.
        while host.exists(&upid.log_file()) {
            upid.starttime += 1;
        }
        let path = host.path(&upid.log_file());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let log = OpenOptions::new().create(true).append(true).mode(0o640).open(&path)?;
        let _ = chown(&path, Some(Uid::from_raw(33)), None);
        let active =
            OpenOptions::new().create(true).append(true).open(host.path(&format!("{DIRECTORY}/active")));
        active.and_then(|mut file| writeln!(file, "{upid} 0"))?;
        Ok(Task { upid, log: Mutex::new(log), is_interactive, host: host.clone() })
    }

    pub fn print(&self, text: &str) {
        if self.is_interactive {
            print!("{text}");
            let _ = io::stdout().flush();
        }
        self.record(text);
    }

    pub fn line(&self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    /// To the log only: what the terminal has seen already.
    pub fn record(&self, text: &str) {
        let mut log = self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = log.write_all(text.as_bytes());
    }

    /// A warning: standard error at a shell.
    pub fn warn(&self, text: &str) {
        if self.is_interactive {
            eprintln!("{text}");
        }
        self.record(&format!("{text}\n"));
    }

    /// Ends the task. At a shell the error goes to standard error, and nothing else tells of it.
    pub fn finish(self, result: Result<(), String>) {
        let status = match &result {
            Ok(()) => {
                self.record("TASK OK\n");
                "OK".to_owned()
            }
            Err(error) => {
                let error = error.trim_end();
                if self.is_interactive {
                    eprintln!("{error}");
                    self.record("\n");
                }
                self.record(&format!("TASK ERROR: {error}\n"));
                error.replace('\n', " ")
            }
        };
        let active = format!("{DIRECTORY}/active");
        let kept: String = self
            .host
            .read_text(&active)
            .unwrap_or_default()
            .lines()
            .filter(|line| !line.starts_with(&self.upid.to_string()))
            .map(|line| format!("{line}\n"))
            .collect();
        let ended = format!("{} 1 {:08X} {status}\n", self.upid, epoch());
        let _ = self.host.write(&active, format!("{kept}{ended}").as_bytes(), 0o644);
        let index =
            OpenOptions::new().create(true).append(true).open(self.host.path(&format!("{DIRECTORY}/index")));
        let _ = index.and_then(|mut file| writeln!(file, "{} {:08X} {status}", self.upid, epoch()));
    }
}

/// Finished tasks of this node, newest first: start, end, status.
pub fn finished(host: &Host) -> Vec<Map<String, Value>> {
    let index = host.read_text(&format!("{DIRECTORY}/index")).unwrap_or_default();
    let mut list: Vec<_> = index.lines().filter_map(finished_task).collect();
    list.reverse();
    list
}

fn finished_task(line: &str) -> Option<Map<String, Value>> {
    let mut words = line.splitn(3, ' ');
    let mut task = Upid::parse(words.next()?)?.json();
    let end = u64::from_str_radix(words.next()?, 16).ok()?;
    task.insert("endtime".to_owned(), Value::from(end));
    task.insert("status".to_owned(), Value::from(words.next().unwrap_or("unknown")));
    Some(task)
}

/// What `/nodes/X/tasks/<upid>/status` says.
pub fn status(host: &Host, upid: &Upid) -> Map<String, Value> {
    let mut task = upid.json();
    let log = host.read_text(&upid.log_file()).unwrap_or_default();
    let last = log.lines().last().unwrap_or_default();
    let exit = match last.strip_prefix("TASK ERROR: ") {
        Some(error) => Some(error),
        None if last == "TASK OK" => Some("OK"),
        None => None,
    };
    if exit.is_none() && upid.is_alive() {
        task.insert("status".to_owned(), Value::from("running"));
    } else {
        task.insert("status".to_owned(), Value::from("stopped"));
        task.insert("exitstatus".to_owned(), Value::from(exit.unwrap_or("unexpected status")));
    }
    task
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_genuine_upid_is_read_and_written_back() {
        let text = "UPID:pve2:0000025A:0005990D:6B030378:clusterjoin::root@pam:";
        let upid = Upid::parse(text).unwrap();
        assert_eq!((upid.pid, upid.starttime, upid.kind.as_str()), (602, 1_795_359_608, "clusterjoin"));
        assert_eq!(upid.to_string(), text);
        assert_eq!(upid.log_file(), format!("/var/log/pve/tasks/8/{text}"));
    }
}
