//! Strikes at an operation in the middle: a watcher on the node stops its process the moment that its journal shows the
//! wanted step. What is done to it then is the caller's.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::lab::{Lab, Node};

/// The unit of the operation.
pub const UNIT: &str = "sddc-pve-operation.service";
/// Says "ready", then waits for the journal of a new operation of the kind to come to so many steps. Woken by the kernel
/// for each new state of a journal, and ahead of whom it watches: a step may be over in milliseconds.
const WATCHER: &str = r#"
import ctypes, glob, json, os, select, signal, sys, time
kind, wanted, limit = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
folder = "/var/lib/sddc-pve/operations"
os.makedirs(folder, 0o700, exist_ok=True)
try:
    os.nice(-10)
except OSError:
    pass
libc = ctypes.CDLL(None)
events = libc.inotify_init1(0o4000)
libc.inotify_add_watch(events, folder.encode(), 0x80)
seen = set(glob.glob(folder + "/*.json"))
print("ready", flush=True)

def stopped():
    found = False
    for process in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(process) as file:
                words = file.read().split("\0")
        except OSError:
            continue
        if "__operation" in words and words[0].startswith("/usr/local/lib/sddc-pve/"):
            os.kill(int(process.split("/")[2]), signal.SIGSTOP)
            found = True
    return found

while time.monotonic() < limit:
    select.select([events], [], [], 0.5)
    try:
        os.read(events, 65536)
    except BlockingIOError:
        pass
    for path in set(glob.glob(folder + "/*.json")) - seen:
        try:
            with open(path) as file:
                journal = json.load(file)
            if journal["kind"] != kind:
                continue
            if journal["state"] != "running":
                print("ended", flush=True)
                sys.exit()
            if len(journal["steps"]) < wanted or not stopped():
                continue
            with open(path) as file:
                journal = json.load(file)
        except (OSError, ValueError):
            continue
        late = len(journal["steps"]) - wanted
        print("struck", journal["id"], late, journal["steps"][wanted - 1]["name"], flush=True)
        sys.exit()
print("nothing", flush=True)
"#;

/// A watcher that lies in wait.
pub struct Ahead {
    watcher: Child,
    said: BufReader<ChildStdout>,
    node: Node,
}

/// An operation that stands still.
#[derive(Debug, PartialEq, Eq)]
pub struct Struck {
    /// Its id.
    pub id: String,
    /// How many steps it was ahead of the watcher.
    pub late: usize,
    /// Name of the wanted step.
    pub name: String,
}

/// Lies in wait for the next operation of a kind; returns when nothing can be missed any more.
pub fn ahead(node: Node, kind: &str, step: usize, seconds: u64) -> Result<Ahead> {
    let mut watcher = Command::new("docker")
        .args(["exec", &node.container(), "python3", "-c", WATCHER, kind])
        .args([step.to_string(), seconds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("can't start docker")?;
    let mut said = BufReader::new(watcher.stdout.take().context("the watcher has no output")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    if line.trim() != "ready" {
        bail!("no watcher on {node}: it said {line:?}");
    }
    Ok(Ahead { watcher, said, node })
}

impl Ahead {
    /// The operation that was struck, nothing when it ended before it came to the step.
    pub fn struck(mut self) -> Result<Option<Struck>> {
        let mut text = String::new();
        self.said.read_to_string(&mut text)?;
        self.watcher.wait()?;
        parse(&text).with_context(|| format!("{} came to no such step, and to no end", self.node))
    }
}

impl Drop for Ahead {
    /// Who gives up waits for nobody: the watcher on the node ends by its own limit.
    fn drop(&mut self) {
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

fn parse(text: &str) -> Result<Option<Struck>> {
    let mut words = text.trim().splitn(4, ' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("ended"), None, ..) => Ok(None),
        (Some("struck"), Some(id), Some(late), Some(name)) => {
            Ok(Some(Struck { id: id.to_owned(), late: late.parse()?, name: name.to_owned() }))
        }
        _ => bail!("the watcher said {text:?}"),
    }
}

/// Lets it go on.
pub fn go_on(lab: &Lab<'_>, node: Node) -> Result<()> {
    lab.succeed(node, &["systemctl", "kill", "--signal=CONT", UNIT]).map(drop)
}

/// Kills it, with all that it started.
pub fn kill(lab: &Lab<'_>, node: Node) -> Result<()> {
    lab.succeed(node, &["systemctl", "kill", "--signal=KILL", UNIT]).map(drop)
}

/// Until no operation runs on a node: each has a deadline of its own.
pub fn await_ended(lab: &Lab<'_>, node: Node) -> Result<()> {
    let wait = format!("timeout 300 sh -c 'while systemctl is-active --quiet {UNIT}; do sleep 0.2; done'");
    let said = lab.exec_within(node, &["sh", "-c", &wait], 310)?;
    if !said.status.success() {
        bail!("an operation on {node} does not end: {}", String::from_utf8_lossy(&said.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_watcher_says_is_read() {
        assert_eq!(parse("ended\n").unwrap(), None);
        let struck = parse("struck 17-join-3 0 wait for quorum\n").unwrap().unwrap();
        assert_eq!((struck.late, struck.name.as_str()), (0, "wait for quorum"));
        for text in ["", "nothing\n", "struck 17-join-3 0\n"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
