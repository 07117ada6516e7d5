//! `pve_cluster_trust`: mends by what a member is trusted: host keys in lists of known hosts, root's shared keys, the
//! node's own certificate.

mod spec;

use std::time::Duration;

use ansible_module::{Diff, Failure, Invocation, Module, Outcome};
use pve::audit::{self, Entry, Origin};
use pve::trust::{self, Plan, Request, Sight};
use pve::{Deadline, Node, observe};

use crate::operating::Audit;
use crate::ranges;
use crate::steps::Steps;
use spec::Args;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    ranges::check(&call.params)?;
    let args: Args = call.args()?;
    let mut steps = Steps::start(node);
    let deadline = Deadline::after(node, Duration::from_secs(args.timeout));
    let audit = args.audit;
    let request = Request::from(args);
    let outcome = look_and_mend(node, call, &request, audit, deadline, &mut steps);
    match outcome {
        Ok(outcome) => Ok(outcome.with("steps", steps.done()).with("elapsed", steps.elapsed(node))),
        Err(error) => Err(Failure::new(format!("{error:#}"))
            .with("steps", steps.done())
            .with("elapsed", steps.elapsed(node))),
    }
}

fn look_and_mend(
    node: &Node,
    call: &Invocation,
    request: &Request,
    audit: Audit,
    deadline: Deadline,
    steps: &mut Steps,
) -> anyhow::Result<Outcome> {
    observe::is_root(node)?;
    let sight =
        steps.attempt(node, "look by what the node is trusted", || trust::look(node, request, deadline))?;
    let mut plan = trust::plan(&sight)?;
    let mut audit_warning = None;
    if plan.has_work() && !call.check_mode {
        match audit::ensure_writable(node) {
            Err(error) if audit == Audit::Required => return Err(error),
            Err(error) => audit_warning = Some(format!("not audited: {error:#}")),
            Ok(()) => {}
        }
        let mended = steps.attempt(node, "mend it", || trust::apply(node, request, deadline));
        let recorded = record(node, request, &sight, mended.is_ok(), steps.elapsed(node));
        plan = mended?;
        match recorded {
            Err(error) if audit == Audit::Required => return Err(error),
            Err(error) => audit_warning = Some(format!("not audited: {error:#}")),
            Ok(()) => {}
        }
    }
    let lines = plan.lines();
    let changed = plan.has_work();
    let msg = match (changed, call.check_mode) {
        (false, _) => format!("node {:?} is trusted as it should be", sight.own),
        (true, true) => format!("to be mended: {}", lines.join("; ")),
        (true, false) => format!("mended: {}", lines.join("; ")),
    };
    let outcome = Outcome::new(changed, msg)
        .with("mended", &lines)
        .with("unverified", &sight.unverified)
        .with("notes", &plan.notes);
    let outcome = diffs(&sight, &plan).into_iter().fold(outcome, Outcome::diff);
    Ok(plan.notes.iter().cloned().chain(audit_warning).fold(outcome, Outcome::warn))
}

fn diffs(sight: &Sight, plan: &Plan) -> Vec<Diff> {
    let mut diffs = Vec::new();
    for edit in &plan.edits {
        let (before, after) = (String::from_utf8_lossy(&edit.before), String::from_utf8_lossy(&edit.after));
        diffs.push(Diff::text(&edit.path, before, after));
    }
    if !plan.keys.is_empty() {
        diffs.push(Diff::text("root's keys", plan.keys.join("\n") + "\n", "as PVE sets them up\n"));
    }
    if let Some(fault) = &plan.certificate {
        let path = format!("/etc/pve/nodes/{}/pve-ssl.pem", sight.own);
        diffs.push(Diff::text(
            &path,
            format!("{}\n", fault.text),
            "a new certificate of the cluster's authority\n",
        ));
    }
    if let Some(shown) = &plan.api {
        diffs.push(Diff::text("pveproxy", format!("{shown}\n"), "the API shows the node's certificate\n"));
    }
    diffs
}

fn record(
    node: &Node,
    request: &Request,
    sight: &Sight,
    is_mended: bool,
    duration: f64,
) -> anyhow::Result<()> {
    let entry = Entry {
        node: sight.own.clone(),
        cluster: request.cluster_name.clone(),
        operation: "mend_trust".to_owned(),
        subjects: vec![sight.own.clone()],
        who: Origin::of(node),
        result: if is_mended { "succeeded" } else { "failed" }.to_owned(),
        duration,
        ..Entry::default()
    };
    audit::append(node, entry)
}

#[cfg(test)]
mod tests;
