//! `state: absent`: half members of a join that failed, members that are to go, and what is left of those that went.

use ansible_module::{Diff, Failure, Invocation, Outcome};
use pve::corosync_conf::CorosyncConf;
use pve::operation::{self, Journal, Kind, Work};
use pve::removal::{self, Fault, Leftovers, Sight};
use pve::{Node, observe, withdrawal};

use super::spec::{Args, Asked};
use crate::operating::Session;

/// What is to be done about a node.
enum Step {
    Withdraw(withdrawal::Request),
    Remove(removal::Request),
}

/// Takes the named nodes off the list, and removes what is left of them here. All of them, or none.
pub(super) fn remove(node: &Node, call: &Invocation, args: &Args) -> Result<Outcome, Failure> {
    let Some(first) = args.nodes.first() else { return Ok(Outcome::unchanged("no node was named")) };
    let under_way = operation::unended(node).ok().flatten().filter(|journal| is_of(journal, args));
    let kind = under_way.as_ref().map_or(Kind::Remove, |journal| journal.kind);
    let target = |own: &str| match under_way {
        Some(journal) => journal.target,
        None => removal_request(args, own, first).target(),
    };
    let mut session = Session::begin(node, args.timeout, call.check_mode, kind, target)?;
    session.audit = args.audit;
    if let Some(text) = session.unsettled.take() {
        return Ok(session.outcome(true, text));
    }
    let own = session.facts.node.clone();
    let cluster = &args.cluster_name;
    let names: Vec<String> = args.nodes.iter().map(|asked| asked.name.clone()).collect();
    session.about(cluster, None, names.clone());
    let before = observe::shared_conf(node)?.map(|conf| conf.render()).unwrap_or_default();

    let (mut steps, mut faults, mut notes, mut diffs, mut removed) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for asked in &args.nodes {
        let request = removal_request(args, &own, asked);
        let sight = session.look("look whether it may go", |node| removal::look(node, &request))?;
        if sight.is_half {
            let request = withdrawal_request(args, &own, asked);
            session.look("look whether it may be withdrawn", |node| withdrawal::decide(node, &request))?;
            steps.push(Step::Withdraw(request));
            removed.push(asked.name.clone());
            continue;
        }
        if args.only_pending {
            faults.extend(was_member(&sight, &asked.name));
            continue;
        }
        notes.extend(sight.leftovers.notes.iter().cloned());
        if sight.listed.is_some() {
            removed.push(asked.name.clone());
        } else if sight.leftovers.is_clean() {
            continue;
        }
        faults.extend(removal::refusals(&sight, &request));
        diffs.extend(leftover_diffs(&sight.leftovers));
        steps.push(Step::Remove(request));
    }
    if !faults.is_empty() {
        let texts: Vec<String> = faults.iter().map(Fault::to_string).collect();
        let ids: Vec<&str> = faults.iter().map(|fault| fault.id).collect();
        let what = format!("{} can't be removed from {cluster:?} by member {own:?}", names.join(", "));
        return Err(session.refusal(&what, &texts).with("refusals", ids));
    }

    let is_needed = !steps.is_empty();
    let mut copies = Vec::new();
    if !call.check_mode {
        for step in steps {
            match step {
                Step::Withdraw(request) => drop(session.perform(Work::Withdraw(request))?),
                Step::Remove(request) => {
                    let result = session.perform(Work::Remove(request))?;
                    copies.extend(result["copy"].as_str().map(str::to_owned));
                }
            }
        }
    }
    // What an earlier run had begun and this one has seen to its end.
    if let Some(result) = session.attached.as_ref().map(|report| &report.result) {
        removed.extend(result["removed"].as_str().map(str::to_owned));
        copies.extend(result["copy"].as_str().map(str::to_owned));
    }
    session.warnings.extend(notes);
    let changed = is_needed || session.attached.is_some();
    let msg = sentence(&names, &removed, cluster, changed, call.check_mode);
    let after = match call.check_mode {
        false => observe::shared_conf(node)?.map(|conf| conf.render()).unwrap_or_default(),
        true => without(&before, &removed),
    };
    let version = CorosyncConf::parse(&after).ok().and_then(|conf| conf.config_version());
    let mut outcome = session.outcome(changed, msg);
    if before != after {
        outcome = outcome.diff(super::conf_diff(before, after));
    }
    outcome = diffs.into_iter().fold(outcome, Outcome::diff);
    Ok(outcome.with("removed", removed).with("copies", copies).with("config_version", version))
}

/// Whether an operation is about one of the nodes.
fn is_of(journal: &Journal, args: &Args) -> bool {
    matches!(journal.kind, Kind::Remove | Kind::Withdraw)
        && args.nodes.iter().any(|asked| removal_request(args, "", asked).target() == journal.target)
}

fn was_member(sight: &Sight, name: &str) -> Option<Fault> {
    sight.listed.as_ref()?;
    let text = match sight.standing.online.contains(name) {
        true => format!("node {name:?} is online: this is no admission that did not end"),
        false => format!(
            "node {name:?} has been a member (/etc/pve/nodes/{name}/pve-ssl.pem exists), so this is no admission that did \
             not end: playbooks/rejoin.yml -e pve_rejoin={name} has it leave and join again, remove.yml -e \
             pve_remove={name} removes it"
        ),
    };
    Some(Fault { id: "was-member", text })
}

fn stopped(args: &Args) -> Vec<String> {
    args.nodes.iter().filter(|asked| asked.proven_stopped).map(|asked| asked.name.clone()).collect()
}

fn withdrawal_request(args: &Args, own: &str, asked: &Asked) -> withdrawal::Request {
    withdrawal::Request {
        cluster_name: args.cluster_name.clone(),
        own_name: own.to_owned(),
        name: asked.name.clone(),
        is_proven_stopped: asked.proven_stopped,
        nodes_before: asked.nodes_before,
        also_stopped: stopped(args),
    }
}

fn removal_request(args: &Args, own: &str, asked: &Asked) -> removal::Request {
    let links = asked.newcomer().links.into_values();
    removal::Request {
        cluster_name: args.cluster_name.clone(),
        own_name: own.to_owned(),
        name: asked.name.clone(),
        addresses: links.chain(asked.address.clone()).collect(),
        is_proven_stopped: asked.proven_stopped,
        also_stopped: stopped(args),
        guests: args.guests.clone(),
        ignore: args.ignore.clone(),
    }
}

fn sentence(names: &[String], removed: &[String], cluster: &str, changed: bool, is_check: bool) -> String {
    let verb = if is_check { "would be" } else { "was" };
    match (removed.is_empty(), changed) {
        (true, false) => {
            format!("not listed in cluster {cluster:?}, and nothing is left: {}", names.join(", "))
        }
        (true, true) => format!("what was left of {} {verb} removed", names.join(", ")),
        (false, _) => format!("{} {verb} taken off the list of cluster {cluster:?}", removed.join(", ")),
    }
}

fn without(before: &str, removed: &[String]) -> String {
    let Ok(mut conf) = CorosyncConf::parse(before) else { return before.to_owned() };
    for name in removed {
        if conf.remove_node(name) {
            conf.increase_version();
        }
    }
    conf.render()
}

fn leftover_diffs(leftovers: &Leftovers) -> Vec<Diff> {
    let mut diffs = Vec::new();
    if let Some((path, content)) = &leftovers.directory {
        let listing: String = content.iter().map(|name| format!("{name}\n")).collect();
        diffs.push(Diff::text(path, listing, ""));
    }
    for edit in &leftovers.edits {
        let (before, after) = (String::from_utf8_lossy(&edit.before), String::from_utf8_lossy(&edit.after));
        diffs.push(Diff::text(&edit.path, before, after));
    }
    diffs
}

#[cfg(test)]
mod tests;
