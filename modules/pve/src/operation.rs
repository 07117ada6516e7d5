//! Operations: what changes a node in several steps. Each runs apart from who asked for it, with a journal and
//! a deadline of its own, so that a lost connection stops nothing; who asks again attaches to it, and what a
//! crash left behind is undone before anything else is begun.
//!
//! What the single kinds do is `work`; where they run is `unit`.

pub mod journal;
mod run;
mod unit;
mod work;

use std::fmt;
use std::time::Duration;

use anyhow::{bail, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::audit::Origin;
use crate::{Deadline, Node, Progress};
pub use journal::{Journal, Kind, State, Step};
pub use run::Run;
pub(crate) use unit::until_gone;
pub use unit::{COMMAND, NAME as UNIT, install, run_unit};
pub use work::Work;

const LOCK: &str = "/run/sddc-pve/operation.lock";
/// What undoing, or finishing, may take after the deadline: services stop and start, the API comes back, and a lock of the
/// cluster whose holder was killed is anybody's after 120 s.
const UNDO_TIME: Duration = Duration::from_secs(180);
/// How often the journal of a running operation is looked at: an operation has a step every second or so.
const LOOK: Duration = Duration::from_millis(100);

/// What came of an operation that succeeded.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Id of its journal.
    pub id: String,
    /// What was done.
    pub steps: Vec<Step>,
    /// What it found in the end.
    pub result: Value,
    /// What else is to be known of it.
    pub warnings: Vec<String>,
    /// It was under way already.
    pub attached: bool,
}

/// An operation that ended without success.
#[derive(Debug)]
pub struct Failed {
    /// Its journal at the end.
    pub journal: Journal,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.journal.error.as_deref().unwrap_or("it ended without saying why");
        let step = self.journal.steps.iter().rev().find(|step| step.status == "failed");
        let what = step.map_or_else(|| self.journal.kind.word().to_owned(), |step| step.name.clone());
        write!(f, "{what}: {error}")?;
        if self.journal.state == State::RolledBack {
            write!(f, "; everything was undone, and this node is as it was before")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failed {}

/// What an earlier operation means for one that is about to begin.
#[derive(Debug)]
pub enum Standing {
    /// Nothing is in the way.
    Clear,
    /// The same was under way and has now ended well.
    Attached(Report),
    /// What a crash left behind was finished; the text says what.
    Finished(Report, String),
    /// What a crash left behind was undone; the text says what.
    Recovered(String),
    /// In check mode: what has not ended and would be settled first.
    Unsettled(String),
}

/// Looks for an operation that has not ended: waits for the same one, refuses beside another one, undoes one
/// whose process is gone. With `is_check` nothing is waited for and nothing undone, only said.
pub fn settle_earlier(
    node: &Node,
    kind: Kind,
    target: &str,
    timeout: Duration,
    is_check: bool,
) -> anyhow::Result<Standing> {
    let Some(journal) = unended(node)? else { return Ok(Standing::Clear) };
    let is_same = journal.kind == kind && journal.target == target;
    if unit::is_alive(node)? {
        ensure!(
            is_same,
            "{} is under way on this node: wait for it, or see \"systemctl status {}\"",
            journal.title(),
            unit::NAME
        );
        if is_check {
            return Ok(Standing::Unsettled(format!(
                "{} is under way: a real run would wait for its end",
                journal.title()
            )));
        }
        let mut report = wait_for_end(node, &journal.id, timeout + UNDO_TIME)?;
        report.attached = true;
        return Ok(Standing::Attached(report));
    }
    if is_check {
        return Ok(Standing::Unsettled(format!(
            "{} was cut off: a real run would first finish or undo it",
            journal.title()
        )));
    }
    // The state may have changed between the two looks: it is read anew under the lock. After a loss of
    // power the directory of the lock is gone.
    node.create_private_dir(crate::seal::RUNTIME_DIR)?;
    let lock = node.lock(LOCK, Deadline::after(node, Duration::from_secs(10)))?;
    let Some(mut journal) = unended(node)?.filter(|current| current.id == journal.id) else {
        return settle_earlier(node, kind, target, timeout, is_check);
    };
    if !journal.is_half_undone() {
        work::may_settle(node, &journal, kind, target)?;
    }
    // Of one that is half undone, too, the end is waited for.
    journal.state = State::Running;
    journal.save(node)?;
    let title = journal.title();
    unit::start(node, &journal, None, &Origin::of(node), UNDO_TIME)?;
    drop(lock);
    // Finishing has its time, and undoing another, should it fail.
    match wait_for_end(node, &journal.id, 2 * UNDO_TIME) {
        Ok(report) => {
            Ok(Standing::Finished(report, format!("{title} had been cut off: it was finished first")))
        }
        Err(error) => match error.downcast_ref::<Failed>().map(|end| &end.journal) {
            Some(end) if end.state == State::RolledBack => {
                let told = [&["it was undone first".to_owned()][..], &end.warnings].concat().join("; ");
                Ok(Standing::Recovered(format!("{title} had been cut off: {told}")))
            }
            // What it had done by then is seen in the cluster's configuration, and taken into account.
            Some(end) if !end.marks.contains_key(journal::UNDO) => Ok(Standing::Recovered(format!(
                "{title} had been cut off: what it had not done yet is left to whoever asks for it again"
            ))),
            _ => Err(error.context(format!("{title} had been cut off and can't be undone"))),
        },
    }
}

/// Runs an operation to its end, apart from this process where the host can.
pub fn perform(node: &Node, work: Work, timeout: Duration) -> anyhow::Result<Report> {
    node.create_private_dir(crate::seal::RUNTIME_DIR)?;
    let lock = node.lock(LOCK, Deadline::after(node, Duration::from_secs(10)))?;
    if let Some(other) = unended(node)? {
        bail!("{} began at the same moment: run again, which waits for it if it is the same", other.title());
    }
    crate::link_probe::unit::make_way(node)?;
    let started = journal::unix_seconds(node);
    let millis = node.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().subsec_millis();
    let journal = Journal {
        version: 1,
        id: format!("{started}-{millis:03}-{}-{}", work.kind().word(), std::process::id()),
        number: Journal::all(node)?.last().map_or(0, |last| last.number) + 1,
        kind: work.kind(),
        target: work.target(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        deadline: started + timeout.as_secs(),
        state: State::Running,
        ..Journal::default()
    };
    journal.save(node)?;
    unit::start(node, &journal, Some(work), &Origin::of(node), timeout)?;
    drop(lock);
    wait_for_end(node, &journal.id, timeout + UNDO_TIME)
}

/// The operation whose journal says that it has not ended; or the last one, where it failed and was undone half.
pub fn unended(node: &Node) -> anyhow::Result<Option<Journal>> {
    let mut journals = Journal::all(node)?;
    if let Some(running) = journals.iter().rposition(|journal| journal.state == State::Running) {
        return Ok(Some(journals.swap_remove(running)));
    }
    Ok(journals.pop().filter(Journal::is_half_undone))
}

fn wait_for_end(node: &Node, id: &str, timeout: Duration) -> anyhow::Result<Report> {
    let mut looks_without_unit = 0;
    let ended = Deadline::after(node, timeout).wait(node, &format!("operation {id} to end"), LOOK, || {
        let journal = Journal::of_begun(node, id)?;
        if journal.state != State::Running {
            return Ok(Progress::Done(journal));
        }
        // A unit that is gone while its journal still says running was killed. It may also have ended just
        // between the two looks, so one look is not enough; asking systemd each time would cost more than it tells.
        looks_without_unit += 1;
        if looks_without_unit % 20 == 0 && !unit::is_alive(node)? {
            let journal = Journal::of_begun(node, id)?;
            ensure!(
                journal.state != State::Running,
                "{} ended in the middle: it was killed, or could not write down how far it is{}; run again, which \
                 undoes what it left; its journal is {}/{id}.json",
                journal.title(),
                run::tail(node, unit::NAME, "2").map(|last| format!(" (it said last: {last})")).unwrap_or_default(),
                journal::DIR
            );
            return Ok(Progress::Done(journal));
        }
        let last = journal.steps.last().map_or("it has not begun", |step| step.name.as_str());
        Ok(Progress::Pending(format!("step {last:?}")))
    })?;
    match ended.state {
        State::Succeeded => {
            let Journal { id, steps, result, warnings, .. } = ended;
            Ok(Report { id, steps, result, warnings, attached: false })
        }
        _ => Err(Failed { journal: ended }.into()),
    }
}

#[cfg(test)]
mod tests;
