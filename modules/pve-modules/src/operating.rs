//! What the modules that run operations have in common: settling what an earlier run left, facts before and
//! after it, and the result or failure with all steps.

use std::time::Duration;

use ansible_module::{Failure, Outcome};
use pve::audit::{self, Entry, Origin};
use pve::facts::NodeFacts;
use pve::gather::gather;
use pve::observe::LinkAddress;
use pve::operation::{self, Failed, Kind, Report, Standing, State, Work};
use pve::{Deadline, Node};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::steps::Steps;

/// How long each small program may take while facts are gathered.
const TOOL_LIMIT: Duration = Duration::from_secs(10);

/// What an audit trail that can't be written means.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Audit {
    /// Nothing is done.
    #[default]
    Required,
    /// It is done with a warning.
    BestEffort,
}

/// One run of a module over a node.
pub struct Session<'a> {
    /// The node.
    pub node: &'a Node,
    /// Facts of the node.
    pub facts: NodeFacts,
    /// What is to be shown with the result.
    pub warnings: Vec<String>,
    /// The same operation was under way and has ended well.
    pub attached: Option<Report>,
    /// What an audit trail that can't be written means.
    pub audit: Audit,
    /// In check mode: an operation of an earlier run that has not ended, so that facts mean little.
    pub unsettled: Option<String>,
    /// What the audit log says of an attempt that is refused; nothing in check mode.
    attempt: Option<Entry>,
    steps: Steps,
    done: Vec<Value>,
    timeout: Duration,
    deadline: Deadline,
}

impl<'a> Session<'a> {
    /// Settles what an earlier run left of the operation, then gathers facts. The operation's target may depend
    /// on the node's name, so it is asked for with it.
    pub fn begin(
        node: &'a Node,
        timeout: u64,
        is_check: bool,
        kind: Kind,
        target: impl FnOnce(&str) -> String,
    ) -> Result<Self, Failure> {
        let timeout = Duration::from_secs(timeout);
        let mut session = Self {
            node,
            facts: NodeFacts::default(),
            warnings: Vec::new(),
            attached: None,
            audit: Audit::Required,
            unsettled: None,
            attempt: (!is_check).then(|| Entry { operation: kind.word().to_owned(), ..Entry::default() }),
            steps: Steps::start(node),
            done: Vec::new(),
            timeout,
            deadline: Deadline::after(node, timeout),
        };
        let settled = pve::observe::is_root(node)
            .and_then(|()| pve::observe::own_name(node))
            .and_then(|name| operation::settle_earlier(node, kind, &target(&name), timeout, is_check));
        match settled.map_err(|error| session.failure(error))? {
            Standing::Clear => {}
            Standing::Recovered(text) => session.warnings.push(text),
            Standing::Unsettled(text) => session.unsettled = Some(text),
            Standing::Attached(report) => session.attach(report),
            Standing::Finished(report, text) => {
                session.warnings.push(text);
                session.attach(report);
            }
        }
        session.facts = session.steps.run(node, "gather facts", || gather(node, TOOL_LIMIT));
        Ok(session)
    }

    fn attach(&mut self, report: Report) {
        self.warnings.extend(report.warnings.iter().cloned());
        self.attached = Some(report);
    }

    /// Says what is attempted, for the audit log.
    pub fn about(&mut self, cluster: &str, method: Option<&str>, subjects: Vec<String>) {
        if let Some(attempt) = &mut self.attempt {
            cluster.clone_into(&mut attempt.cluster);
            attempt.method = method.map(str::to_owned);
            attempt.subjects = subjects;
        }
    }

    /// Runs a step that only reads.
    pub fn look<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce(&Node) -> anyhow::Result<T>,
    ) -> Result<T, Failure> {
        let node = self.node;
        self.steps.attempt(node, name, || step(node)).map_err(|error| self.refused(self.failure(error)))
    }

    /// Runs an operation with the time that is left.
    pub fn perform(&mut self, work: Work) -> Result<Value, Failure> {
        match (pve::audit::ensure_writable(self.node), self.audit) {
            (Err(error), Audit::Required) => return Err(self.failure(error)),
            (Err(error), Audit::BestEffort) => self.warnings.push(format!("not audited: {error:#}")),
            (Ok(()), _) => {}
        }
        // From here on the operation writes its own line.
        self.attempt = None;
        let left = self.deadline.left(self.node).max(Duration::from_secs(1));
        match operation::perform(self.node, work, left) {
            Ok(report) => {
                self.done.extend(report.steps.iter().map(|step| json!(step)));
                self.warnings.extend(report.warnings);
                Ok(report.result)
            }
            Err(error) => Err(self.failure(error)),
        }
    }

    /// When the whole must have ended.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Seconds of the whole operation.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A failure with every reason and the steps so far.
    pub fn refusal(&self, what: &str, faults: &[String]) -> Failure {
        let text = match faults {
            [only] => format!("{what}: {only}"),
            _ => format!("{what}:\n- {}", faults.join("\n- ")),
        };
        self.refused(self.failure(anyhow::anyhow!(text)).with("faults", faults))
    }

    /// A line in the audit log for an attempt that was refused before anything changed: a wrong password is worth one.
    /// It does not say why, since a reason is free text.
    fn refused(&self, failure: Failure) -> Failure {
        let Some(attempt) = self.attempt.clone() else { return failure };
        let entry = Entry {
            node: self.facts.node.clone(),
            who: Origin::of(self.node),
            result: "refused".to_owned(),
            duration: self.steps.elapsed(self.node),
            ..attempt
        };
        match audit::append(self.node, entry) {
            Ok(()) => failure,
            Err(error) => failure.warn(format!("the refusal is not in the audit log: {error:#}")),
        }
    }

    /// A failure with the steps of the operation, and what it left.
    pub fn failure(&self, error: anyhow::Error) -> Failure {
        let mut steps = self.all_steps();
        let mut failure = Failure::new(format!("{error:#}"));
        if let Some(failed) = error.downcast_ref::<Failed>() {
            let journal = &failed.journal;
            steps.extend(journal.steps.iter().map(|step| json!(step)));
            failure = failure
                .with("operation", &journal.id)
                .with("rolled_back", journal.state == State::RolledBack);
            failure = journal.warnings.iter().fold(failure, Failure::warn);
        }
        let failure = failure.with("steps", steps).with("elapsed", self.steps.elapsed(self.node));
        self.warnings.iter().fold(failure, Failure::warn)
    }

    /// The outcome with the steps and warnings of this run.
    pub fn outcome(&self, changed: bool, msg: impl Into<String>) -> Outcome {
        let mut steps = self.all_steps();
        let mut outcome = Outcome::new(changed, msg);
        if let Some(report) = &self.attached {
            steps.extend(report.steps.iter().map(|step| json!(step)));
            outcome = outcome.with("operation", &report.id);
        }
        let outcome = outcome
            .with("attached", self.attached.as_ref().is_some_and(|report| report.attached))
            .with("steps", steps)
            .with("elapsed", self.steps.elapsed(self.node));
        self.warnings.iter().fold(outcome, Outcome::warn)
    }

    fn all_steps(&self) -> Vec<Value> {
        self.steps.done().iter().map(|step| json!(step)).chain(self.done.iter().cloned()).collect()
    }
}

/// The links that are asked for; link 0 on the address of the node's own name where none are given.
pub fn links_or_own(links: Option<Vec<LinkAddress>>, facts: &NodeFacts) -> Vec<LinkAddress> {
    let mut links = links.unwrap_or_default();
    if links.is_empty() {
        let own = facts.name_addresses.first().cloned().unwrap_or_default();
        links.push(LinkAddress { number: 0, address: own, priority: None });
    }
    links.sort_by_key(|link| link.number);
    links
}
