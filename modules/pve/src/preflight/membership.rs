//! Checks of what a member, or a node that becomes one, carries into the cluster: key, certificates, quorum
//! device, replication, high availability, second factors, versions.

use super::{Context, Purpose};
use crate::credential::ticket;
use crate::gather::AUTHKEY;
use crate::node_certificate;
use crate::verdict::Finding;

/// What corosync accepts (totemconfig.c: 1024 bits to 4096 bytes), and what its own keygen and PVE make.
const KEY_SIZES: std::ops::RangeInclusive<usize> = 128..=4096;

pub(super) fn authkey_fits(context: &Context<'_>) -> anyhow::Result<Finding> {
    if context.purpose != Purpose::Member {
        return Finding::skipped("the node is no member yet");
    }
    let Some(key) = context.node.read_bytes(AUTHKEY)?.map(zeroize::Zeroizing::new) else {
        return Finding::failed(
            format!("{AUTHKEY} is missing on a member"),
            "copy it from another member, root only, mode 0400",
        );
    };
    if KEY_SIZES.contains(&key.len()) {
        return Finding::passed(format!("{} bytes", key.len()));
    }
    Finding::failed(
        format!(
            "{AUTHKEY} has {} bytes, corosync takes {} to {}",
            key.len(),
            KEY_SIZES.start(),
            KEY_SIZES.end()
        ),
        "a damaged copy: take it from another member",
    )
}

pub(super) fn certificate_valid(context: &Context<'_>) -> anyhow::Result<Finding> {
    if !context.facts.pmxcfs.mounted {
        return Finding::skipped("/etc/pve is not mounted");
    }
    node_certificate::inspect(context.node, &context.facts.node, context.timeout)
}

pub(super) fn no_qdevice(context: &Context<'_>) -> anyhow::Result<Finding> {
    match context.facts.cluster.as_ref().map(|cluster| cluster.qdevice) {
        Some(true) => Finding::failed(
            "the cluster has a quorum device, and PVE lets nobody join beside one",
            "remove it with playbooks/qdevice.yml -e pve_qdevice_state=absent, let the nodes join, and set it up again with \
             playbooks/qdevice.yml",
        ),
        Some(false) => Finding::passed("no quorum device"),
        None => Finding::skipped("the node is in no cluster"),
    }
}

pub(super) fn ha_quiet(context: &Context<'_>) -> anyhow::Result<Finding> {
    let ha = &context.facts.ha;
    let resources = ha.resources.join(", ");
    match (context.purpose, ha.active, ha.resources.is_empty()) {
        (Purpose::Join, _, false) => Finding::warned(
            format!("high availability is set up for {resources}: joining replaces that by the cluster's"),
            "set it up again in the cluster",
        ),
        (Purpose::Join, ..) => Finding::passed("no high availability on this node"),
        (_, true, _) => Finding::warned(
            "high availability is active: while quorum is lost for 60 seconds this node fences itself",
            "a second node can't be admitted until it is quiet: ha-manager set SID --state ignored",
        ),
        _ => Finding::passed("high availability is not active"),
    }
}

pub(super) fn no_replication(context: &Context<'_>) -> anyhow::Result<Finding> {
    let text = context.node.read("/etc/pve/replication.cfg")?.unwrap_or_default();
    let is_heading = |line: &&str| !line.starts_with(char::is_whitespace) && line.contains(": ");
    let jobs: Vec<&str> = text.lines().filter(is_heading).collect();
    match (jobs.is_empty(), context.purpose) {
        (true, _) => Finding::passed("no replication jobs"),
        (false, Purpose::Join) => Finding::failed(
            format!("replication is set up ({}): joining replaces that by the cluster's", jobs.join(", ")),
            "set them up again in the cluster",
        ),
        (false, _) => Finding::passed(format!("{} replication jobs", jobs.len())),
    }
}

pub(super) fn root_without_second_factor(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(method) = context.wanted.method.as_deref() else {
        return Finding::skipped("the method of joining is not known");
    };
    if !matches!(method, "api" | "expect" | "auto") {
        return Finding::skipped(format!("method {method} gives no password"));
    }
    if context.purpose == Purpose::Join {
        return Finding::skipped("asked of those who let others in");
    }
    let used = ticket::second_factors(context.node)?;
    if used.is_empty() {
        return Finding::passed("root@pam has no second factor");
    }
    Finding::failed(
        format!("root@pam has a second factor ({}), which method {method} can't give", used.join(", ")),
        "use method brokered or ticket, which need no password",
    )
}

pub(super) fn package_versions_match(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(own) = &context.facts.version else { return Finding::skipped("Proxmox VE is not installed") };
    let (mut differing, mut count) = (Vec::new(), 0);
    for peer in context.peers() {
        let Some(theirs) = peer.facts().and_then(|facts| facts.version.as_ref()) else { continue };
        count += 1;
        let pairs = [
            ("pve-manager", Some(&own.manager), Some(&theirs.manager)),
            ("pve-cluster", own.pve_cluster.as_ref(), theirs.pve_cluster.as_ref()),
            ("corosync", own.corosync.as_ref(), theirs.corosync.as_ref()),
        ];
        for (package, mine, other) in pairs {
            if let (Some(mine), Some(other)) = (mine, other)
                && mine != other
            {
                differing.push(format!("{package} {mine} here, {other} on {}", peer.name));
            }
        }
    }
    if count == 0 {
        return Finding::skipped("the other nodes' packages are not known");
    }
    if differing.is_empty() {
        return Finding::passed(format!("the same packages as {count} other nodes"));
    }
    Finding::failed(differing.join("; "), "apt-get dist-upgrade on the older ones")
}
