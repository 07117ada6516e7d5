//! Where an operation runs: a transient systemd unit that executes a lasting copy of this program, or this
//! process where the host can start nothing apart. Secrets reach the unit in a file that only root reads and
//! that the unit removes before it begins.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Journal, Run, UNDO_TIME, Work};
use crate::audit::Origin;
use crate::node::FileMode;
use crate::seal::RUNTIME_DIR;
use crate::{Cmd, Deadline, Node, Progress};

/// Name of the unit: one operation at a time.
pub const NAME: &str = "sddc-pve-operation.service";
/// The program's word for running an operation, followed by its id.
pub const COMMAND: &str = "__operation";
const PROGRAM_DIR: &str = concat!("/usr/local/lib/sddc-pve/", env!("CARGO_PKG_VERSION"));

/// What the unit is told.
#[derive(Deserialize, Serialize)]
struct Assignment {
    /// What to do; nothing: undo what the journal says.
    work: Option<Work>,
    origin: Origin,
    timeout: u64,
}

/// Begins the operation of a journal; returns when its process has begun, or, in this process, has ended.
pub(super) fn start(
    node: &Node,
    journal: &Journal,
    work: Option<Work>,
    origin: &Origin,
    timeout: Duration,
) -> anyhow::Result<()> {
    let Some(source) = node.own_program() else {
        return execute(node, journal.clone(), work, origin, timeout);
    };
    let program = copy_program(node, &source)?;
    let assignment = Assignment { work, origin: origin.clone(), timeout: timeout.as_secs() };
    let text = Zeroizing::new(serde_json::to_vec(&assignment).context("an operation can't be written down")?);
    node.create_private_dir(RUNTIME_DIR)?;
    node.write(&assignment_path(&journal.id), &text, FileMode::Private)?;
    let limit = (timeout + UNDO_TIME + Duration::from_secs(30)).as_secs();
    let args = [
        format!("--unit={NAME}"),
        format!("--description=sddc.pve: {}", journal.title()),
        "--collect".to_owned(),
        "--quiet".to_owned(),
        "--service-type=exec".to_owned(),
        // A backstop only: the operation keeps its own deadline.
        format!("--property=RuntimeMaxSec={limit}"),
        // Told to end, it lets what it has started come to its end, and undoes what it has done.
        "--property=KillMode=mixed".to_owned(),
        format!("--property=TimeoutStopSec={}", UNDO_TIME.as_secs() + 30),
        "--property=UMask=0077".to_owned(),
        "--".to_owned(),
        program,
        COMMAND.to_owned(),
        journal.id.clone(),
    ];
    // One that has closed its journal may take a moment to end.
    let started = until_gone(node, NAME, Deadline::after(node, Duration::from_secs(30)))
        .and_then(|()| node.run_ok(&Cmd::new("systemd-run", args, Duration::from_secs(30))));
    if let Err(error) = started {
        node.remove(&assignment_path(&journal.id))?;
        close_if_not_begun(node, journal.clone(), &error)?;
        return Err(error.context("cannot start the operation as a transient systemd unit"));
    }
    Ok(())
}

/// Where nothing was begun nothing is left to be undone; one that was cut off is the next run's to settle still.
fn close_if_not_begun(node: &Node, mut journal: Journal, error: &anyhow::Error) -> anyhow::Result<()> {
    if journal.steps.is_empty() && journal.marks.is_empty() {
        journal.state = super::State::Failed;
        journal.error = Some(format!("{error:#}"));
        journal.save(node)?;
    }
    Ok(())
}

/// Waits until systemd has cleared a transient unit away: it takes no second one of the name.
pub(crate) fn until_gone(node: &Node, name: &str, deadline: Deadline) -> anyhow::Result<()> {
    let path = format!("/run/systemd/transient/{name}");
    deadline.wait(node, "the unit before this one to end", Duration::from_millis(5), || {
        Ok(match node.exists(&path) {
            true => Progress::Pending(format!("systemd still has {name}")),
            false => Progress::Done(()),
        })
    })
}

/// The entry of the lasting copy: runs the operation of an id to its end. Success means that the journal was
/// closed, whatever it says.
pub fn run_unit(node: &Node, id: &str) -> anyhow::Result<()> {
    let journal = Journal::load(node, id)?.with_context(|| format!("operation {id:?} has no journal"))?;
    match read_assignment(node, id) {
        Ok(told) => {
            let timeout = Duration::from_secs(told.timeout);
            execute(node, journal, told.work, &told.origin, timeout)
        }
        Err(error) => {
            close_if_not_begun(node, journal, &error)?;
            Err(error)
        }
    }
}

/// Reads what the unit is told, once: the file is gone before the work begins.
fn read_assignment(node: &Node, id: &str) -> anyhow::Result<Assignment> {
    let path = assignment_path(id);
    let text = node.read_bytes(&path)?.map(Zeroizing::new);
    node.remove(&path)?;
    let text = text.with_context(|| format!("no operation {id:?} waits in {RUNTIME_DIR:?}"))?;
    let text = std::str::from_utf8(&text).with_context(|| format!("operation {id:?} is no text"))?;
    serde_json::from_str(text).map_err(|error| {
        let kind = error.classify();
        anyhow::anyhow!("operation {id:?} is of another form than this program knows ({kind:?} error)")
    })
}

/// Whether the unit exists and has not ended.
pub(super) fn is_alive(node: &Node) -> anyhow::Result<bool> {
    if node.own_program().is_none() {
        return Ok(false);
    }
    let output = node.run(&Cmd::new("systemctl", ["is-active", NAME], Duration::from_secs(10)))?;
    Ok(matches!(output.stdout.trim(), "active" | "activating" | "deactivating" | "reloading"))
}

fn execute(
    node: &Node,
    journal: Journal,
    work: Option<Work>,
    origin: &Origin,
    timeout: Duration,
) -> anyhow::Result<()> {
    let run = Run::new(node, journal, timeout);
    match work {
        Some(work) => run.execute(work, origin),
        None => run.recover(origin),
    }
}

/// Puts this program where it stays, for what shall run it later; returns its path.
pub fn install(node: &Node) -> anyhow::Result<String> {
    match node.own_program() {
        Some(source) => copy_program(node, &source),
        None => Ok(format!("{PROGRAM_DIR}/pve")),
    }
}

/// Copies this program to where it stays; a running older copy keeps its own file.
fn copy_program(node: &Node, source: &std::path::Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(source).with_context(|| format!("cannot read own program {source:?}"))?;
    ensure!(bytes.starts_with(b"\x7fELF"), "own program {source:?} is no program");
    node.create_public_dir(PROGRAM_DIR)?;
    let path = format!("{PROGRAM_DIR}/pve");
    node.write(&path, &bytes, FileMode::Program)?;
    Ok(path)
}

fn assignment_path(id: &str) -> String {
    format!("{RUNTIME_DIR}/{id}.assignment")
}
