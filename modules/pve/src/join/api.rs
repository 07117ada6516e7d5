//! The way in with root's password: `pvecm add` under the pinned fingerprint, the password on its standard
//! input. It exits 0 on every failure and waits for quorum without end, so it is killed at the deadline with
//! all it started, and only the state afterwards counts.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use super::expect::Dialogue;
use super::finish::{self, Api};
use super::{ApiSecret, DATABASE, Request};
use crate::create::link_value;
use crate::gather::AUTHKEY;
use crate::https::Fingerprint;
use crate::observe;
use crate::operation::Run;
use crate::snapshot::Snapshot;
use crate::{Cmd, Node, Output, Progress};

/// Beside the password.
pub(super) struct Options {
    pub secret: ApiSecret,
    pub peer: IpAddr,
    pub fingerprint: Fingerprint,
    pub nodeid: Option<u32>,
    pub votes: Option<u32>,
}

pub(super) fn run(
    run: &mut Run<'_>,
    request: &Request,
    options: &Options,
    password: &SecretString,
    api: Api,
) -> anyhow::Result<()> {
    add(run, request, api, &mut |run| tell(run, request, options, password))
}

/// `pvecm add`, by whatever way `tell` makes it, watched from the copy of the database to the member.
pub(super) fn add(
    run: &mut Run<'_>,
    request: &Request,
    api: Api,
    tell: &mut dyn FnMut(&Run<'_>) -> anyhow::Result<Output>,
) -> anyhow::Result<()> {
    run.step("copy the database", |run| {
        let id = run.id().to_owned();
        let mut snapshot = Snapshot::open(run.node, &id)?.context("the snapshot is gone")?;
        copy_quiet_database(run, &mut snapshot)?;
        Ok(((), "while nothing wrote to it".to_owned()))
    })?;
    run.step("pvecm add", |run| {
        run.mark("pvecm", "add")?;
        let output = match tell(run) {
            Ok(output) => output,
            Err(error) => {
                stop_what_runs(run.node);
                return Err(error).with_context(|| task_log(run));
            }
        };
        let told = output.tail().replace('\n', " | ");
        // Without an authkey it failed before it changed corosync; quorum would be waited for in vain.
        if !run.node.exists(AUTHKEY) {
            anyhow::bail!("pvecm add joined nothing: {told}{}", task_log(run));
        }
        run.mark("api", "restarted")?;
        Ok(((), told))
    })?;
    // What is left is watched: pvecm add has waited for quorum, or has given up because corosync failed.
    run.step("wait for quorum", |run| {
        let deadline = run.deadline.within(run.node, Duration::from_secs(30));
        let view = observe::wait_until_quorate(run.node, &request.cluster_name, &[], deadline)
            .with_context(|| format!("pvecm add ended without membership{}", task_log(run)))?;
        run.mark(finish::MEMBER, &request.cluster_name)?;
        Ok(((), format!("config version {}", view.config_version)))
    })?;
    match (finish::is_complete(run.node, &request.node), api) {
        (false, _) => finish::complete(run, &request.node, api),
        (true, Api::Awaited) => finish::wait_for_api(run),
        (true, Api::Begun) => Ok(()),
    }
}

/// Gives pvecm the password: on standard input, or at a terminal, where it asks for a yes to the fingerprint too.
fn tell(
    run: &Run<'_>,
    request: &Request,
    options: &Options,
    password: &SecretString,
) -> anyhow::Result<Output> {
    let pin = match options.secret {
        ApiSecret::Dialogue => Vec::new(),
        _ => vec!["--fingerprint".to_owned(), options.fingerprint.to_string()],
    };
    let args = command(request, options.peer, &pin, options.nodeid, options.votes);
    let cmd = Cmd::new("pvecm", args, run.deadline.left(run.node));
    if options.secret != ApiSecret::Dialogue {
        let line = SecretString::from(format!("{}\n", password.expose_secret()));
        return Ok(run.node.run(&cmd.stdin(line))?);
    }
    let peer = options.peer.to_string();
    let mut dialogue = Dialogue::new(&peer, options.fingerprint, password);
    let output = run.node.converse(&cmd, &mut |shown, is_silent| dialogue.turn(shown, is_silent))?;
    match dialogue.refusal() {
        Some(why) => anyhow::bail!("{why}"),
        None => Ok(output),
    }
}

/// The words of `pvecm add`.
pub(super) fn command(
    request: &Request,
    peer: IpAddr,
    more: &[String],
    nodeid: Option<u32>,
    votes: Option<u32>,
) -> Vec<String> {
    let mut args = vec!["add".to_owned(), peer.to_string()];
    args.extend(more.iter().cloned());
    for link in &request.links {
        args.extend([format!("--link{}", link.number), link_value(link)]);
    }
    let mut option = |name: &str, value: Option<u32>| {
        args.extend(value.into_iter().flat_map(|value| [name.to_owned(), value.to_string()]));
    };
    option("--nodeid", nodeid);
    option("--votes", votes);
    args
}

/// Copies database and write-ahead log between two writes of pmxcfs: as it runs, a copy counts only when
/// neither file changed meanwhile. The shared-memory index is left out: SQLite makes it anew.
fn copy_quiet_database(run: &Run<'_>, snapshot: &mut Snapshot<'_>) -> anyhow::Result<()> {
    let files = &DATABASE[..2];
    let stamp = || -> Vec<Option<(u64, std::time::SystemTime)>> {
        let of = |path: &&str| std::fs::metadata(run.node.path(path)).ok();
        files.iter().map(|path| of(path).and_then(|meta| Some((meta.len(), meta.modified().ok()?)))).collect()
    };
    run.deadline.wait(run.node, "pmxcfs to rest for a moment", Duration::from_millis(50), || {
        let before = stamp();
        snapshot.take(files)?;
        match stamp() == before {
            true => Ok(Progress::Done(())),
            false => Ok(Progress::Pending("its database changed while it was copied".to_owned())),
        }
    })
}

/// Kills whatever this operation's unit still runs beside this process: PVE's worker leaves the process group
/// of the `pvecm` that started it.
pub(super) fn stop_what_runs(node: &Node) {
    let unit = node.read("/proc/self/cgroup").ok().flatten().unwrap_or_default();
    let Some(group) = unit.lines().find_map(|line| line.strip_prefix("0::")) else { return };
    if !group.ends_with(crate::operation::UNIT) {
        return;
    }
    let own = std::process::id().to_string();
    let listed = node.read(&format!("/sys/fs/cgroup{group}/cgroup.procs")).ok().flatten().unwrap_or_default();
    let others = listed.lines().filter(|pid| *pid != own).map(str::to_owned);
    let args: Vec<String> = ["-KILL".to_owned()].into_iter().chain(others).collect();
    if args.len() > 1 {
        // One that has ended meanwhile is what was wanted.
        let _ = node.run(&Cmd::new("kill", args, Duration::from_secs(5)));
    }
}

/// The end of the log of PVE's latest join task on this node, if it is one of this operation's time.
fn task_log(run: &Run<'_>) -> String {
    let (node, began) = (run.node, run.started());
    let dir = "/var/log/pve/tasks";
    let mut latest: Option<(u64, String)> = None;
    for digit in node.list(dir).unwrap_or_default() {
        for upid in node.list(&format!("{dir}/{digit}")).unwrap_or_default() {
            // UPID:node:pid:pstart:starttime:type:id:user: with hexadecimal numbers.
            let fields: Vec<&str> = upid.split(':').collect();
            let start =
                fields.get(4).and_then(|start| u64::from_str_radix(start, 16).ok()).unwrap_or_default();
            let is_later = start >= began && latest.as_ref().is_none_or(|(known, _)| *known < start);
            if fields.get(5) == Some(&"clusterjoin") && is_later {
                latest = Some((start, format!("{dir}/{digit}/{upid}")));
            }
        }
    }
    let text = latest.and_then(|(_, path)| node.read(&path).ok().flatten()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines[lines.len().saturating_sub(5)..].join(" | ") {
        tail if tail.is_empty() => String::new(),
        tail => format!("; its task log ends: {tail}"),
    }
}
