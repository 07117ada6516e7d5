//! One operation while it runs: its steps go to the journal as they begin and end. Knows no kind of operation.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use super::journal::{self, Journal, State, Step, UNDO};
use super::work::{self, TakeBack, Work};
use crate::audit::{self, Entry, Origin};
use crate::deadline::Expired;
use crate::{Cmd, Deadline, Node, RunError, cluster_lock};

const TOLD_TO_END: &str = "it was told to end (SIGTERM)";

/// An operation that runs now.
pub struct Run<'a> {
    /// The node it changes.
    pub node: &'a Node,
    /// When it must have ended.
    pub deadline: Deadline,
    journal: Journal,
    /// What is undone is undone whether or not it can be written down: the journal on the disk says that it is not ended.
    is_undoing: bool,
}

impl<'a> Run<'a> {
    /// Takes up the operation of a journal.
    pub(super) fn new(node: &'a Node, journal: Journal, timeout: Duration) -> Self {
        Self { node, deadline: Deadline::after(node, timeout), journal, is_undoing: false }
    }

    /// Does one step; its detail text is what was seen.
    pub fn step<T>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Self) -> anyhow::Result<(T, String)>,
    ) -> anyhow::Result<T> {
        let begun = self.begin(name)?;
        match work(self) {
            Ok((value, detail)) => self.end(&begun, "ok", detail).map(|()| value),
            Err(error) => {
                // Why it failed counts, not that this can't be written down for the same reason.
                let _ = self.end(&begun, "failed", format!("{error:#}"));
                Err(error)
            }
        }
    }

    fn note(&self) -> anyhow::Result<()> {
        match self.journal.save(self.node) {
            Err(_) if self.is_undoing => Ok(()),
            saved => saved,
        }
    }

    // Apart from what is made anew for each step's type: it is most of the code.
    #[inline(never)]
    fn begin(&mut self, name: &str) -> anyhow::Result<(usize, Duration)> {
        ensure!(!self.node.is_told_to_end(), "step {name:?} was not begun");
        let begun = (self.journal.steps.len(), self.node.monotonic());
        let step = Step { name: name.to_owned(), status: "running".to_owned(), ..Step::default() };
        self.journal.steps.push(step);
        self.note()?;
        Ok(begun)
    }

    #[inline(never)]
    fn end(&mut self, begun: &(usize, Duration), status: &str, detail: String) -> anyhow::Result<()> {
        let elapsed = self.node.monotonic().saturating_sub(begun.1).as_secs_f64();
        let step = &mut self.journal.steps[begun.0];
        step.elapsed = (elapsed * 1000.0).round() / 1000.0;
        status.clone_into(&mut step.status);
        step.detail = detail;
        self.note()
    }

    /// Id of the operation.
    pub fn id(&self) -> &str {
        &self.journal.id
    }

    /// When it was begun, in seconds since 1970.
    pub fn started(&self) -> u64 {
        self.journal.started
    }

    /// Notes what undoing must know, before the change that would have to be undone.
    pub fn mark(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        self.journal.marks.insert(name.to_owned(), value.to_owned());
        self.journal.save(self.node)
    }

    /// What whoever asked for the operation should know, whatever comes of it.
    pub fn warn(&mut self, text: String) {
        self.journal.warnings.push(text);
    }

    /// A note made earlier.
    pub fn marked(&self, name: &str) -> Option<&str> {
        self.journal.marks.get(name).map(String::as_str)
    }

    /// Runs the work to its end, undoes it if it fails, and closes the journal and the audit entry.
    pub(super) fn execute(mut self, work: Work, origin: &Origin) -> anyhow::Result<()> {
        let began = self.node.monotonic();
        let entry = work.audit_entry();
        let take_back = work.take_back();
        match work.run(&mut self) {
            Ok(result) => self.conclude(State::Succeeded, result, None),
            Err(error) if self.node.is_told_to_end() => {
                let error = error.context(TOLD_TO_END);
                if work::goes_on_after_a_crash(self.journal.kind) || is_shutting_down(self.node) {
                    return Err(error);
                }
                self.fail(&error, take_back)?;
            }
            Err(error) => self.fail(&error, take_back)?,
        }
        self.close(entry, origin, began)
    }

    /// Finishes or undoes what an operation left behind whose process is gone.
    pub(super) fn recover(mut self, origin: &Origin) -> anyhow::Result<()> {
        let began = self.node.monotonic();
        let entry = Entry { subjects: vec![self.journal.target.clone()], ..Entry::default() };
        if let Some(state) = self.journal.concluded() {
            self.journal.state = state;
            return self.close(entry, origin, began);
        }
        if let Some(step) = self.journal.steps.last_mut().filter(|step| step.status == "running") {
            "failed".clone_into(&mut step.status);
            "cut off".clone_into(&mut step.detail);
        }
        if let Some(mark) = self.marked(cluster_lock::MARK) {
            cluster_lock::release(self.node, mark);
        }
        let finished = match self.journal.is_half_undone() {
            true => Ok(None),
            false => work::finish(self.journal.kind, &mut self),
        };
        match finished {
            Ok(Some(result)) => self.conclude(State::Succeeded, result, None),
            // Its waits have ended early, so nothing follows from them: the next run takes it up once more.
            Ok(None) if self.node.is_told_to_end() => return Err(anyhow::anyhow!(TOLD_TO_END)),
            Err(error) if self.node.is_told_to_end() => return Err(error.context(TOLD_TO_END)),
            Ok(None) => self.fail(&anyhow::anyhow!("its process was killed before it ended"), None)?,
            Err(error) => {
                let text = "its process was killed before it ended, and it could not be finished";
                self.fail(&error.context(text), None)?;
            }
        }
        self.close(entry, origin, began)
    }

    /// Undoes. An error: that was not possible now, and the journal says still that it was cut off.
    fn fail(&mut self, error: &anyhow::Error, take_back: Option<TakeBack>) -> anyhow::Result<()> {
        // Whoever tells it to end wants just this.
        self.node.hear_end();
        let mut text = format!("{error:#}");
        if is_time_out(error)
            && let Some(tail) = corosync_tail(self.node)
        {
            text.push_str(&format!("; corosync said last: {tail}"));
        }
        self.journal.error = Some(text.clone());
        // Undoing has its own time: the deadline of the work is what has often just passed.
        self.deadline = Deadline::after(self.node, super::UNDO_TIME);
        self.is_undoing = true;
        match work::undo(self.journal.kind, self) {
            Ok(true) => {
                if let Some(told) = take_back.and_then(|what| work::take_back(self, &what)) {
                    text.push_str(&format!("; {told}"));
                }
                self.conclude(State::RolledBack, Value::Null, Some(text));
            }
            Ok(false) => self.conclude(State::Failed, Value::Null, Some(text)),
            // Nothing can be started any more.
            Err(undo) if is_shutting_down(self.node) => return Err(undo.context("this node goes down")),
            Err(undo) => {
                let kept = format!("{}/{}", crate::snapshot::DIR, self.journal.id);
                let text = format!(
                    "{text}; and what it had changed could not be undone: {undo:#}; what was there before is in {kept}"
                );
                // Tried once more by the next run, and then never again.
                let tried = if self.journal.is_half_undone() { "failed again" } else { journal::HALF };
                self.journal.marks.insert(UNDO.to_owned(), tried.to_owned());
                self.conclude(State::Failed, Value::Null, Some(text));
            }
        }
        Ok(())
    }

    fn conclude(&mut self, state: State, result: Value, error: Option<String>) {
        if state != State::Failed {
            self.journal.marks.remove(UNDO);
        }
        self.journal.state = state;
        self.journal.result = result;
        self.journal.error = error;
        // A lock that could not be given back, as without quorum, is given back by the next operation.
        let is_held = |mark: &&str| cluster_lock::is_held(self.node, mark);
        if self.marked(cluster_lock::MARK).filter(is_held).is_none() {
            self.journal.marks.remove(cluster_lock::MARK);
        }
    }

    /// Writes down what came of it: in the audit trail first, since whoever waits for the journal's end goes on with it.
    /// Cut off in between, it is closed once more, as what it is.
    fn close(mut self, entry: Entry, origin: &Origin, began: Duration) -> anyhow::Result<()> {
        if let Err(error) = self.journal.save_conclusion(self.node) {
            self.warn(format!("the end is not in the journal of the operation: {error:#}"));
        }
        let entry = Entry {
            node: crate::observe::own_name(self.node).unwrap_or_default(),
            operation: self.journal.kind.word().to_owned(),
            who: origin.clone(),
            result: self.journal.state.word().to_owned(),
            duration: self.node.monotonic().saturating_sub(began).as_secs_f64(),
            id: Some(self.journal.id.clone()),
            ..entry
        };
        if let Err(error) = audit::append(self.node, entry) {
            self.warn(audit::not_audited(&error));
        }
        self.journal.save(self.node)?;
        journal::prune(self.node)
    }
}

fn is_time_out(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.is::<Expired>() || matches!(cause.downcast_ref(), Some(RunError::TimedOut { .. })))
}

fn is_shutting_down(node: &Node) -> bool {
    let state = node.run(&Cmd::new("systemctl", ["is-system-running"], Duration::from_secs(5)));
    state.is_ok_and(|output| output.stdout.trim() == "stopping")
}

/// The last lines of corosync's journal, on one line.
pub fn corosync_tail(node: &Node) -> Option<String> {
    tail(node, "corosync", "12")
}

/// The last lines of a unit's journal, on one line.
pub(super) fn tail(node: &Node, unit: &str, lines: &str) -> Option<String> {
    let args = ["-u", unit, "-n", lines, "-o", "cat", "--no-pager", "-q"];
    let output = node.run(&Cmd::new("journalctl", args, Duration::from_secs(5))).ok()?;
    let lines: Vec<&str> = output.stdout.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    (!lines.is_empty()).then(|| lines.join(" | "))
}
