//! `pve_qdevice`: sets up or removes the quorum device of a cluster, on a member or on the QNetd host.

mod spec;

use std::time::Duration;

use ansible_module::{Diff, Failure, Invocation, Module, Outcome};
use pve::audit::{self, Entry, Origin};
use pve::qdevice::{self, Request, Sight, qnetd};
use pve::{Deadline, Node, observe};

use crate::operating::Audit;
use crate::ranges;
use crate::steps::Steps;
use spec::{Args, State};

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

/// What came of a run that was not refused.
type Came = anyhow::Result<Outcome>;

/// One run.
struct Run<'a> {
    node: &'a Node,
    args: Args,
    request: Request,
    is_check: bool,
    deadline: Deadline,
    audit_warning: Option<String>,
    faults: Vec<String>,
}

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    ranges::check(&call.params)?;
    let mut args: Args = call.args()?;
    let deadline = Deadline::after(node, Duration::from_secs(args.timeout));
    let request = Request {
        cluster_name: args.cluster_name.clone(),
        host: args.host.take().unwrap_or_default(),
        authority: args.ca.take(),
        certificate: args.certificate.take(),
    };
    let is_check = call.check_mode;
    let mut run = Run { node, args, request, is_check, deadline, audit_warning: None, faults: Vec::new() };
    let mut steps = Steps::start(node);
    let came = steps.attempt(node, "quorum device", || {
        observe::is_root(node)?;
        match run.args.state {
            State::Serving => run.serve(),
            State::Forgotten => run.forget(),
            State::Requested | State::Present => run.set_up(),
            State::Absent => run.take_down(),
        }
    });
    match came {
        Ok(outcome) => {
            let outcome = outcome.with("steps", steps.done()).with("elapsed", steps.elapsed(node));
            Ok(run.audit_warning.into_iter().fold(outcome, Outcome::warn))
        }
        Err(error) => Err(Failure::new(format!("{error:#}"))
            .with("faults", &run.faults)
            .with("steps", steps.done())
            .with("elapsed", steps.elapsed(node))),
    }
}

impl Run<'_> {
    fn serve(&mut self) -> Came {
        let (node, deadline, is_check) = (self.node, self.deadline, self.is_check);
        let (cluster, requests) =
            (self.request.cluster_name.clone(), self.args.requests.take().unwrap_or_default());
        let foreseen = qnetd::serve(node, &cluster, &requests, true, deadline)?;
        let mut service = foreseen;
        if !is_check {
            service = match service.done.is_empty() {
                true => qnetd::serve(node, &cluster, &requests, false, deadline)?,
                false => self.audited(|| qnetd::serve(node, &cluster, &requests, false, deadline))?,
            };
        }
        let outcome =
            told("this host serves as QNetd host", service.done).with("certificates", &service.certificates);
        Ok(service.authority.into_iter().fold(outcome, |outcome, pem| outcome.with("ca", &pem)))
    }

    fn forget(&mut self) -> Came {
        let (node, cluster) = (self.node, self.request.cluster_name.clone());
        let mut is_there = qnetd::forget(node, &cluster, true)?;
        if is_there && !self.is_check {
            is_there = self.audited(|| qnetd::forget(node, &cluster, false))?;
        }
        let done =
            if is_there { vec![format!("certificate of cluster {cluster:?} removed")] } else { Vec::new() };
        Ok(told("this host keeps nothing of the cluster", done))
    }

    fn set_up(&mut self) -> Came {
        let (node, deadline) = (self.node, self.deadline);
        let request = std::mem::take(&mut self.request);
        let sight = qdevice::look(node, &request)?;
        let is_request = self.args.state == State::Requested;
        let is_certified = sight.is_certified(&request);
        if is_request && is_certified && sight.conf.qdevice_host() == Some(&request.host) {
            return Ok(told("this member has a certificate", Vec::new()));
        }
        if sight.is_whole(&request) {
            // Nothing is to be changed; whether it does what it is for is looked at all the same.
            if !self.is_check {
                qdevice::set_up(node, &request, &sight, deadline)?;
            }
            return Ok(told("the quorum device is set up, and this member casts its vote", Vec::new()));
        }
        self.refuse(qdevice::against_setup(node, &sight, &request)?)?;
        if is_request && is_certified {
            return Ok(told("this member has a certificate", Vec::new()));
        }
        let diff = diff(&sight, &request);
        match (is_request, self.is_check) {
            (true, false) if request.authority.is_none() => {
                return Ok(told("nothing speaks against the quorum device", Vec::new()));
            }
            (true, true) => return Ok(told("", vec!["a certificate would be asked for".to_owned()])),
            (false, true) => return Ok(told("", vec!["the device would be set up".to_owned()]).diff(diff)),
            (_, false) => {}
        }
        if is_request {
            let made = self.audited(|| qdevice::request_certificate(node, &request, &sight, deadline))?;
            return Ok(told("", vec!["key and request made".to_owned()]).with("request", &made));
        }
        let done = self.audited(|| qdevice::set_up(node, &request, &sight, deadline))?;
        Ok(told("", done).diff(diff))
    }

    fn take_down(&mut self) -> Came {
        let (node, deadline) = (self.node, self.deadline);
        // Whatever host it is at.
        let request =
            Request { cluster_name: std::mem::take(&mut self.request.cluster_name), ..Request::default() };
        let sight = qdevice::look(node, &request)?;
        if sight.is_clean(node) {
            return Ok(told("there is no quorum device", Vec::new()));
        }
        self.refuse(qdevice::against_removal(&sight))?;
        let diff = diff(&sight, &request);
        if self.is_check {
            return Ok(told("", vec!["the device would be removed".to_owned()]).diff(diff));
        }
        let done = self.audited(|| qdevice::take_down(node, &request, deadline))?;
        let outcome = told("", done).diff(diff);
        let offline = qdevice::offline(&sight);
        Ok(match offline.is_empty() {
            true => outcome,
            false => outcome.warn(format!(
                "{} not online: with an older corosync.conf it will not come back by itself; playbooks/recover.yml gives it the \
                 new one",
                offline.join(", ")
            )),
        })
    }

    fn refuse(&mut self, faults: Vec<String>) -> anyhow::Result<()> {
        self.faults = faults;
        if self.faults.is_empty() {
            return Ok(());
        }
        if !self.is_check {
            // A refusal is none the less one where it can't be written down.
            let _ = self.record("refused", Duration::ZERO);
        }
        anyhow::bail!("{}", self.faults.join("; "))
    }

    /// Does what changes this host, with a line in the audit log.
    fn audited<T>(&mut self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.note(audit::ensure_writable(self.node))?;
        let began = self.node.monotonic();
        let came = work();
        let result = if came.is_ok() { "succeeded" } else { "failed" };
        let recorded = self.record(result, self.node.monotonic().saturating_sub(began));
        let came = came?;
        self.note(recorded)?;
        Ok(came)
    }

    fn note(&mut self, audited: anyhow::Result<()>) -> anyhow::Result<()> {
        match audited {
            Err(error) if self.args.audit == Audit::Required => Err(error),
            Err(error) => {
                self.audit_warning = Some(format!("not audited: {error:#}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn record(&self, result: &str, duration: Duration) -> anyhow::Result<()> {
        let own = observe::own_name(self.node)?;
        let entry = Entry {
            cluster: self.args.cluster_name.clone(),
            operation: "qdevice".to_owned(),
            method: Some(self.args.state.word().to_owned()),
            subjects: vec![own.clone()],
            node: own,
            who: Origin::of(self.node),
            result: result.to_owned(),
            duration: duration.as_secs_f64(),
            ..Entry::default()
        };
        audit::append(self.node, entry)
    }
}

/// `is_so` is said where nothing was done.
fn told(is_so: &str, done: Vec<String>) -> Outcome {
    let msg = if done.is_empty() { is_so.to_owned() } else { done.join("; ") };
    Outcome::new(!done.is_empty(), msg).with("done", &done)
}

fn diff(sight: &Sight, request: &Request) -> Diff {
    Diff::text("/etc/pve/corosync.conf", sight.conf.render(), sight.wanted(request).render())
}

#[cfg(test)]
mod tests;
