//! `pve_link_probe`: whether corosync's links are fit for it, before it runs. Changes nothing but a responder that it
//! starts and stops.

mod spec;

use std::time::Duration;

use ansible_module::{Failure, Invocation, Module, Outcome};
use pve::link_probe::compare::{Mesh, compare};
use pve::link_probe::datagram::Key;
use pve::link_probe::measure::{self, Request};
use pve::link_probe::{Limits, Listener, Path, Row, unit};
use pve::verdict::{fatal_lines, warning_lines};
use pve::{Deadline, Node, observe};
use serde_json::Value;

use crate::ranges;
use crate::steps::Steps;
use spec::{Args, State};

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    ranges::check(&call.params)?;
    let args: Args = call.args()?;
    let mut steps = Steps::start(node);
    let deadline = Deadline::after(node, Duration::from_secs(args.timeout));
    let outcome = match args.state {
        State::Listening => listening(node, args, call.check_mode, deadline, &mut steps),
        State::Probed => probed(node, args, call, deadline, &mut steps),
        State::Absent => absent(node, call.check_mode, deadline, &mut steps),
        State::Compared => {
            let failure =
                |failure: Failure| failure.with("elapsed", steps.elapsed(node)).with("steps", steps.done());
            return compared(args, call)
                .map(|outcome| outcome.with("elapsed", steps.elapsed(node)).with("steps", steps.done()))
                .map_err(failure);
        }
    };
    let (elapsed, steps) = (steps.elapsed(node), steps.done());
    match outcome {
        Ok(outcome) => Ok(outcome.with("elapsed", elapsed).with("steps", steps)),
        Err(error) => Err(Failure::new(format!("{error:#}")).with("elapsed", elapsed).with("steps", steps)),
    }
}

fn own_name(node: &Node, given: Option<String>) -> anyhow::Result<String> {
    given.map_or_else(|| observe::own_name(node), Ok)
}

fn listening(
    node: &Node,
    args: Args,
    is_check: bool,
    deadline: Deadline,
    steps: &mut Steps,
) -> anyhow::Result<Outcome> {
    observe::is_root(node)?;
    let own = own_name(node, args.node)?;
    let key = Key::new(args.key.unwrap_or_default())?;
    let links = args.links.unwrap_or_default();
    anyhow::ensure!(!links.is_empty(), "links is empty: give at least the address of link 0");
    if is_check {
        let told = format!("{own} would answer on {} links for {} s", links.len(), args.lifetime);
        return Ok(Outcome::new(true, told).with("listener", Value::Null));
    }
    let listener = steps.attempt(node, "start the responder", || {
        unit::start(node, &own, links, &key, args.lifetime, deadline)
    })?;
    let ports: Vec<String> =
        listener.links.iter().map(|ear| format!("{} UDP {}", ear.address, ear.port)).collect();
    let beside: Vec<String> =
        listener.links.iter().filter(|ear| ear.is_beside).map(|ear| ear.number.to_string()).collect();
    let beside = match beside.as_slice() {
        [] => String::new(),
        numbers => format!("; corosync's port of link {} is taken, so it is another one", numbers.join(", ")),
    };
    let msg = format!("{own} answers for {} s at {}{beside}", args.lifetime, ports.join(", "));
    Ok(Outcome::new(true, msg).with("listener", listener.to_json()))
}

fn probed(
    node: &Node,
    args: Args,
    call: &Invocation,
    deadline: Deadline,
    steps: &mut Steps,
) -> anyhow::Result<Outcome> {
    let request = Request {
        limits: limits(&args),
        own: own_name(node, args.node)?,
        listeners: returned(call, "listeners", Listener::of_json),
        key: Key::new(args.key.unwrap_or_default())?,
        count: args.count,
    };
    if call.check_mode && request.listeners.is_empty() {
        return Ok(
            Outcome::unchanged("nobody listens in check mode: nothing is measured").with("row", Value::Null)
        );
    }
    let row = steps.attempt(node, "measure", || measure::measure(node, &request, deadline))?;
    let answered: Vec<&Path> = row.paths.iter().filter(|path| path.answered > 0).collect();
    let medians = answered.iter().filter_map(|path| Some(path.round_trip.as_ref()?.median));
    let worst = medians.reduce(f64::max).map(|median| format!(", the slowest in {median:.2} ms"));
    let msg = format!(
        "{}: {} of {} paths answer{}",
        row.node,
        answered.len(),
        row.paths.len(),
        worst.unwrap_or_default()
    );
    Ok(Outcome::unchanged(msg).with("row", row.to_json()))
}

fn absent(node: &Node, is_check: bool, deadline: Deadline, steps: &mut Steps) -> anyhow::Result<Outcome> {
    observe::is_root(node)?;
    let changed = unit::is_present(node);
    let msg = match (changed, is_check) {
        (false, _) => "no responder runs",
        (true, false) => "the responder is stopped",
        (true, true) => "the responder would be stopped",
    };
    let listener = match changed && !is_check {
        true => steps.attempt(node, "stop the responder", || unit::stop(node, deadline))?,
        false => None,
    };
    Ok(Outcome::new(changed, msg).with("listener", listener.map(|listener| listener.to_json())))
}

fn compared(args: Args, call: &Invocation) -> Result<Outcome, Failure> {
    let mesh = Mesh {
        limits: limits(&args),
        rows: returned(call, "rows", Row::of_json),
        listeners: returned(call, "listeners", Listener::of_json),
    };
    if call.check_mode && mesh.rows.is_empty() {
        return Ok(Outcome::unchanged("nothing was measured in check mode")
            .with("checks", [(); 0])
            .with("report", [(); 0])
            .with("ok", true));
    }
    let compared = compare(&mesh, &args.ignore)?;
    let (fatal, warnings) = (fatal_lines(&compared.checks), warning_lines(&compared.checks));
    let paths = mesh.rows.iter().map(|row: &Row| row.paths.len()).sum::<usize>();
    if fatal.is_empty() {
        let msg = format!("{paths} paths between {} nodes are fit for corosync", mesh.rows.len());
        let outcome = Outcome::unchanged(msg)
            .with("checks", &compared.checks)
            .with("report", &compared.report)
            .with("ok", true);
        return Ok(warnings.into_iter().fold(outcome, Outcome::warn));
    }
    let msg = format!(
        "the links are not fit for corosync, and nothing was changed: {} of {} checks failed\n{}\n{}",
        fatal.len(),
        compared.checks.len(),
        fatal.join("\n"),
        compared.report.join("\n")
    );
    let failure =
        Failure::new(msg).with("checks", &compared.checks).with("report", &compared.report).with("ok", false);
    Err(warnings.into_iter().fold(failure, Failure::warn))
}

/// What this module returned on the nodes, null where it returned nothing.
fn returned<T>(call: &Invocation, option: &str, read: fn(&Value) -> Option<T>) -> Vec<T> {
    let values = call.params.get(option).and_then(Value::as_array);
    values.into_iter().flatten().filter_map(read).collect()
}

fn limits(args: &Args) -> Limits {
    Limits { latency: f64::from(args.latency_limit), loss: f64::from(args.loss_limit) }
}

#[cfg(test)]
mod tests;
