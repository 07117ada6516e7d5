//! Carries remedies out on this node. Each is whole in itself and may be repeated: one that was cut off is diagnosed anew.

use std::time::Duration;

use anyhow::ensure;

use super::{Action, Diagnosis};
use crate::corosync_conf::CorosyncConf;
use crate::gather::LOCAL_CONF;
use crate::operation::{self, Kind, Standing};
use crate::services::OF_A_MEMBER;
use crate::{Deadline, FileMode, Node, Progress, observe, quorumtool, reload};

const SERVICE_TIME: Duration = Duration::from_secs(120);
const TOOL_TIMEOUT: Duration = Duration::from_secs(10);
/// corosync finds the others within seconds, or not by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Carries out the remedy of a diagnosis of this node; tells what was done.
pub fn apply(
    node: &Node,
    found: &Diagnosis,
    newest: Option<&str>,
    deadline: Deadline,
) -> anyhow::Result<String> {
    match (found.action, newest) {
        (Action::Settle, _) => settle(node, deadline),
        (Action::Adopt, Some(newest)) => adopt(node, newest, deadline),
        (Action::Reload, _) => {
            let version = reload::reload(node, deadline.within(node, PATIENCE))?;
            Ok(format!("corosync of every member runs with config version {version}"))
        }
        (Action::Start, _) => start(node),
        _ => Ok("left to others".to_owned()),
    }
}

fn settle(node: &Node, deadline: Deadline) -> anyhow::Result<String> {
    Ok(match operation::settle_earlier(node, Kind::Unknown, "", deadline.left(node), false)? {
        Standing::Finished(_, text) | Standing::Recovered(text) | Standing::Unsettled(text) => text,
        Standing::Clear | Standing::Attached(_) => "it has ended meanwhile".to_owned(),
    })
}

/// corosync is stopped first: cut off anywhere, it is down, or has the new file and is to be started.
fn adopt(node: &Node, newest: &str, deadline: Deadline) -> anyhow::Result<String> {
    let own = observe::own_name(node)?;
    let conf = CorosyncConf::parse(newest)?;
    let is_listed = conf.node(&own).is_some();
    let has = node.read(LOCAL_CONF)?.and_then(|text| CorosyncConf::parse(&text).ok()).unwrap_or_default();
    ensure!(
        is_listed
            && has.cluster_name() == conf.cluster_name()
            && has.config_version() <= conf.config_version(),
        "this node's corosync.conf is of another cluster or newer: look again"
    );
    let is_quorate = || -> anyhow::Result<bool> {
        Ok(quorumtool::query(node, TOOL_TIMEOUT)?.is_some_and(|status| status.quorum.quorate))
    };
    ensure!(!is_quorate()?, "this node is quorate by now: look again");
    observe::systemctl(node, &["stop", "corosync"], SERVICE_TIME)?;
    node.write(LOCAL_CONF, newest.as_bytes(), FileMode::Public)?;
    // A start that failed often enough is refused until this.
    let _ = observe::systemctl(node, &["reset-failed", "corosync"], TOOL_TIMEOUT);
    observe::systemctl(node, &["start", "corosync"], SERVICE_TIME)?;
    let version = conf.config_version().unwrap_or_default();
    let outcome = match observe::wait_until_votes_suffice(node, deadline.within(node, PATIENCE)) {
        Ok(_) => wait_until_started(node, deadline.within(node, SERVICE_TIME))
            .map_or_else(|error| format!("quorate; {error:#}"), |()| "quorate".to_owned()),
        Err(_) => "not quorate yet".to_owned(),
    };
    Ok(format!("corosync runs with config version {version}, {outcome}"))
}

/// What starts with the node waits for quorum (pveproxy.service runs `pvecm updatecerts` first): it is not down.
fn wait_until_started(node: &Node, deadline: Deadline) -> anyhow::Result<()> {
    deadline.wait(node, "the services of the node to have started", Duration::from_millis(300), || {
        let services = crate::services::query(node, &OF_A_MEMBER, TOOL_TIMEOUT)?;
        let starting: Vec<&str> = services
            .iter()
            .filter(|(_, unit)| unit.active == "activating")
            .map(|(name, _)| name.as_str())
            .collect();
        if !starting.is_empty() {
            return Ok(Progress::Pending(format!("{} not yet", starting.join(", "))));
        }
        let is_mounted = services.get("pve-cluster").is_some_and(|unit| unit.is_active());
        Ok(match is_mounted && !observe::is_pmxcfs_quorate(node)? {
            true => Progress::Pending("pmxcfs does not know of the quorum yet".to_owned()),
            false => Progress::Done(()),
        })
    })
}

fn start(node: &Node) -> anyhow::Result<String> {
    let stopped = crate::services::query(node, &OF_A_MEMBER, TOOL_TIMEOUT)?;
    let stopped: Vec<&str> = OF_A_MEMBER
        .into_iter()
        .filter(|unit| stopped.get(*unit).is_none_or(|service| service.active != "active"))
        .collect();
    if stopped.is_empty() {
        return Ok("all run by now".to_owned());
    }
    let with = |verb| [&[verb], &stopped[..]].concat();
    let _ = observe::systemctl(node, &with("reset-failed"), TOOL_TIMEOUT);
    observe::systemctl(node, &with("start"), SERVICE_TIME)?;
    Ok(format!("started {}", stopped.join(", ")))
}
