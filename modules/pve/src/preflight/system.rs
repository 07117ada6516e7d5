//! Checks of the node by itself: who runs, what is installed, which files, what time.

use super::Context;
use crate::facts::PveVersion;
use crate::verdict::Finding;
use crate::{certificate, packages, time_sync};

/// Versions of Proxmox VE that are taken: 9 is tested, 8 and 7 are best effort.
const SUPPORTED: std::ops::RangeInclusive<u32> = 7..=9;
const TESTED: u32 = 9;

pub(super) fn running_as_root(context: &Context<'_>) -> anyhow::Result<Finding> {
    let status = context.node.read("/proc/self/status")?.unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // real, effective, saved, file system (proc_pid_status(5))
    match ids.and_then(|ids| ids.split_whitespace().nth(1)) {
        Some("0") => Finding::passed("runs as root"),
        Some(uid) => Finding::failed(format!("runs as user id {uid}"), "run it as root: use become"),
        None => anyhow::bail!("/proc/self/status tells no user id"),
    }
}

pub(super) fn pve_installed(context: &Context<'_>) -> anyhow::Result<Finding> {
    match &context.facts.version {
        Some(version) => Finding::passed(format!("pve-manager {}", version.manager)),
        None => Finding::failed(
            "pve-manager is not installed",
            "install Proxmox VE, or take the host out of the inventory group",
        ),
    }
}

pub(super) fn pve_version_supported(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(PveVersion { manager, major, .. }) = &context.facts.version else {
        return Finding::skipped("Proxmox VE is not installed");
    };
    let range = format!("{} to {}", SUPPORTED.start(), SUPPORTED.end());
    match *major {
        TESTED => Finding::passed(format!("version {manager}")),
        major if SUPPORTED.contains(&major) => {
            Finding::passed(format!("version {manager}: works as far as is known, tested is {TESTED}"))
        }
        _ => Finding::failed(format!("version {manager} is not supported: {range}"), "upgrade Proxmox VE"),
    }
}

pub(super) fn packages_installed(context: &Context<'_>) -> anyhow::Result<Finding> {
    let names: Vec<&str> = context.wanted.packages.iter().map(String::as_str).collect();
    if names.is_empty() {
        return Finding::skipped("no packages are asked for");
    }
    let installed = packages::versions(context.node, &names)?;
    let missing: Vec<&str> = names.into_iter().filter(|name| !installed.contains_key(*name)).collect();
    if missing.is_empty() {
        return Finding::passed(format!("{} packages are installed", installed.len()));
    }
    Finding::failed(
        format!("not installed: {}", missing.join(", ")),
        format!("apt-get install {}", missing.join(" ")),
    )
}

pub(super) fn files_current(context: &Context<'_>) -> anyhow::Result<Finding> {
    let files = &context.wanted.files;
    if files.is_empty() {
        return Finding::skipped("no files are asked for");
    }
    let mut differing = Vec::new();
    for file in files {
        match context.node.read_bytes(&file.path)? {
            None => differing.push(format!("{} is missing", file.path)),
            Some(content) if certificate::digest(&content) != file.sha256.to_ascii_lowercase() => {
                differing.push(format!("{} has other content", file.path));
            }
            Some(_) => {}
        }
    }
    if differing.is_empty() {
        return Finding::passed(format!("{} files are as they should be", files.len()));
    }
    Finding::failed(differing.join(", "), "sddc.pve.node_prepare supplies them")
}

pub(super) fn pmxcfs_running(context: &Context<'_>) -> anyhow::Result<Finding> {
    let state = context.facts.services.get("pve-cluster").map_or("not known", |unit| unit.active.as_str());
    if context.facts.pmxcfs.mounted {
        return Finding::passed("/etc/pve is mounted");
    }
    if context.facts.is_in_transition() {
        return Finding::skipped(super::cluster::IN_TRANSITION);
    }
    Finding::failed(
        format!("/etc/pve is not mounted, pve-cluster.service is {state}"),
        "see journalctl -u pve-cluster, then systemctl restart pve-cluster",
    )
}

pub(super) fn time_synchronised(context: &Context<'_>) -> anyhow::Result<Finding> {
    let hint = "install and start chrony, and give it a time server the node can reach";
    match time_sync::query(context.node, context.timeout)? {
        None => Finding::failed("neither chrony nor systemd tells of the time", hint),
        Some(sync) if !sync.is_synchronised => {
            Finding::failed(format!("the clock is not synchronised, says {}", sync.source), hint)
        }
        Some(sync) if sync.is_local_reference => {
            Finding::passed("chrony takes the node's own clock as the reference (local stratum)")
        }
        Some(sync) => Finding::passed(match sync.offset {
            Some(offset) => format!("{}: {:.3} ms off the reference", sync.source, offset.abs() * 1000.0),
            None => format!("{}: synchronised", sync.source),
        }),
    }
}
