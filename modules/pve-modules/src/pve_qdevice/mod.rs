//! `pve_qdevice`: sets up or removes the quorum device of a cluster, on a member or on the QNetd host.

mod spec;

use std::time::Duration;

use ansible_module::{Diff, Failure, Invocation, Module, Outcome};
use pve::audit::{self, Entry, Origin};
use pve::qdevice::{self, Request, Sight, qnetd};
use pve::{Deadline, Node, observe};
use serde_json::Value;

use crate::ranges;
use crate::steps::Steps;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

/// What came of a run that was not refused.
type Came = anyhow::Result<Outcome>;

/// One run.
struct Run<'a> {
    node: &'a Node,
    call: &'a Invocation,
    state: &'a str,
    request: Request,
    is_check: bool,
    deadline: Deadline,
    audit_warning: Option<String>,
    faults: Vec<String>,
}

// Arguments are read one by one: a type of their own costs more of the binary than all that is done with them.
fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    ranges::check(&call.params)?;
    let text = |name: &str| call.params.get(name).and_then(Value::as_str);
    let timeout = call.params.get("timeout").and_then(Value::as_u64).unwrap_or(180);
    let mut run = Run {
        node,
        call,
        state: text("state").unwrap_or_default(),
        request: Request {
            cluster_name: text("cluster_name").unwrap_or_default().to_owned(),
            host: text("host").unwrap_or_default().to_owned(),
            authority: text("ca").map(str::to_owned),
            certificate: text("certificate").map(str::to_owned),
        },
        is_check: call.check_mode,
        deadline: Deadline::after(node, Duration::from_secs(timeout)),
        audit_warning: None,
        faults: Vec::new(),
    };
    let mut steps = Steps::start(node);
    let came = steps.attempt(node, "quorum device", || {
        observe::is_root(node)?;
        match run.state {
            "serving" => run.serve(),
            "forgotten" => run.forget(),
            "absent" => run.take_down(),
            _ => run.set_up(),
        }
    });
    match came {
        Ok(outcome) => {
            let outcome = outcome.with("steps", steps.done()).with("elapsed", steps.elapsed(node));
            Ok(run.audit_warning.into_iter().fold(outcome, Outcome::warn))
        }
        Err(error) => Err(Failure::new(format!("{error:#}"))
            .with("faults", run.faults.as_slice())
            .with("steps", steps.done())
            .with("elapsed", steps.elapsed(node))),
    }
}

impl Run<'_> {
    fn serve(&mut self) -> Came {
        let (node, deadline) = (self.node, self.deadline);
        let cluster = self.request.cluster_name.clone();
        let none = serde_json::Map::new();
        let requests = self.call.params.get("requests").and_then(Value::as_object).unwrap_or(&none);
        let mut service = qnetd::serve(node, &cluster, requests, true, deadline)?;
        if !self.is_check {
            let is_due = !service.done.is_empty();
            let mut work = || {
                service = qnetd::serve(node, &cluster, requests, false, deadline)?;
                Ok(())
            };
            if is_due { self.audited(&mut work)? } else { work()? }
        }
        let outcome = told("this host serves as QNetd host", &service.done)
            .with("certificates", Value::Object(service.certificates));
        Ok(match service.authority {
            Some(pem) => outcome.with("ca", Value::String(pem)),
            None => outcome,
        })
    }

    fn forget(&mut self) -> Came {
        let (node, cluster) = (self.node, self.request.cluster_name.clone());
        let is_there = qnetd::forget(node, &cluster, true)?;
        if is_there && !self.is_check {
            self.audited(&mut || qnetd::forget(node, &cluster, false).map(drop))?;
        }
        let done = [format!("certificate of cluster {cluster:?} removed")];
        Ok(told("this host keeps nothing of the cluster", if is_there { &done } else { &[] }))
    }

    fn set_up(&mut self) -> Came {
        let (node, deadline) = (self.node, self.deadline);
        let request = std::mem::take(&mut self.request);
        let sight = qdevice::look(node, &request)?;
        let is_request = self.state == "requested";
        let is_certified = sight.is_certified(&request);
        if is_request && is_certified && sight.conf.qdevice_host() == Some(&request.host) {
            return Ok(told("this member has a certificate", &[]));
        }
        if sight.is_whole(&request) {
            // Nothing is to be changed; whether it does what it is for is looked at all the same.
            if !self.is_check {
                qdevice::set_up(node, &request, &sight, deadline)?;
            }
            return Ok(told("the quorum device is set up, and this member casts its vote", &[]));
        }
        self.refuse(qdevice::against_setup(node, &sight, &request)?)?;
        if is_request && is_certified {
            return Ok(told("this member has a certificate", &[]));
        }
        let diff = diff(&sight, &request);
        match (is_request, self.is_check) {
            (true, false) if request.authority.is_none() => {
                return Ok(told("nothing speaks against the quorum device", &[]));
            }
            (true, true) => return Ok(told("", &["a certificate would be asked for".to_owned()])),
            (false, true) => return Ok(told("", &["the device would be set up".to_owned()]).diff(diff)),
            (_, false) => {}
        }
        let mut made = String::new();
        let mut done = vec!["key and request made".to_owned()];
        self.audited(&mut || {
            if is_request {
                made = qdevice::request_certificate(node, &request, &sight, deadline)?;
            } else {
                done = qdevice::set_up(node, &request, &sight, deadline)?;
            }
            Ok(())
        })?;
        let outcome = told("", &done);
        Ok(if is_request { outcome.with("request", Value::String(made)) } else { outcome.diff(diff) })
    }

    fn take_down(&mut self) -> Came {
        let (node, deadline) = (self.node, self.deadline);
        // Whatever host it is at.
        let request =
            Request { cluster_name: std::mem::take(&mut self.request.cluster_name), ..Request::default() };
        let sight = qdevice::look(node, &request)?;
        if sight.is_clean(node) {
            return Ok(told("there is no quorum device", &[]));
        }
        self.refuse(qdevice::against_removal(&sight))?;
        let diff = diff(&sight, &request);
        if self.is_check {
            return Ok(told("", &["the device would be removed".to_owned()]).diff(diff));
        }
        let mut done = Vec::new();
        self.audited(&mut || {
            done = qdevice::take_down(node, &request, deadline)?;
            Ok(())
        })?;
        let outcome = told("", &done).diff(diff);
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
    fn audited(&mut self, work: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.note(audit::ensure_writable(self.node))?;
        let began = self.node.monotonic();
        let came = work();
        let result = if came.is_ok() { "succeeded" } else { "failed" };
        let recorded = self.record(result, self.node.monotonic().saturating_sub(began));
        came.and_then(|()| self.note(recorded))
    }

    fn note(&mut self, audited: anyhow::Result<()>) -> anyhow::Result<()> {
        let is_required = self.call.params.get("audit").and_then(Value::as_str) != Some("best_effort");
        match audited {
            Err(error) if !is_required => {
                self.audit_warning = Some(format!("not audited: {error:#}"));
                Ok(())
            }
            other => other,
        }
    }

    fn record(&self, result: &str, duration: Duration) -> anyhow::Result<()> {
        let own = observe::own_name(self.node)?;
        let entry = Entry {
            cluster: self
                .call
                .params
                .get("cluster_name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            operation: "qdevice".to_owned(),
            method: Some(self.state.to_owned()),
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
fn told(is_so: &str, done: &[String]) -> Outcome {
    let msg = if done.is_empty() { is_so.to_owned() } else { done.join("; ") };
    Outcome::new(!done.is_empty(), msg).with("done", done)
}

fn diff(sight: &Sight, request: &Request) -> Diff {
    Diff::text("/etc/pve/corosync.conf", sight.conf.render(), sight.wanted(request).render())
}

#[cfg(test)]
mod tests;
