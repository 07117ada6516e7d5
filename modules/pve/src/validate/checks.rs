//! The checks of a cluster as one member sees it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::view::is_nonce_read;
use super::{Expected, View, former};
use crate::cluster_lock::ClusterLock;
use crate::corosync_conf::CorosyncConf;
use crate::facts::{ClusterConfig, NodeFacts, Service};
use crate::gather::LOCAL_CONF;
use crate::https::api;
use crate::network::is_same;
use crate::services::OF_A_MEMBER;
use crate::verdict::{CheckReport, Finding, Severity};
use crate::{
    Deadline, Node, clocks, cluster_lock, node_certificate, observe, qdevice, quorumtool, services, time_sync,
};

/// The node, what is known of it, and what is expected.
pub(super) struct Subject<'a> {
    pub(super) node: &'a Node,
    pub(super) facts: &'a NodeFacts,
    pub(super) cluster: &'a ClusterConfig,
    expected: &'a Expected,
    timeout: Duration,
}

pub(super) fn run(
    node: &Node,
    facts: &NodeFacts,
    view: Option<&View>,
    unread: Option<anyhow::Error>,
    expected: &Expected,
    timeout: Duration,
) -> Vec<CheckReport> {
    let report = |id: &str, found| {
        let known = super::CHECKS.iter().find(|(known, ..)| *known == id);
        CheckReport::new(id, known.map_or(Severity::Error, |(_, severity, _)| *severity), found)
    };
    let wanted = &expected.cluster_name;
    let cluster = match &facts.cluster {
        Some(cluster) if cluster.name == *wanted => cluster,
        Some(other) => {
            let finding = format!("the node is in cluster {:?}, not in {wanted:?}", other.name);
            return vec![report(
                "in-cluster",
                Finding::failed(finding, "correct cluster_name or the inventory"),
            )];
        }
        None if !facts.problems.is_empty() => {
            let finding = format!("the node's cluster can't be told: {}", facts.problems.join("; "));
            let hint =
                "mend what can't be read; corosync.conf is also in /etc/corosync, as corosync last took it";
            return vec![report("in-cluster", Finding::failed(finding, hint))];
        }
        None => {
            let finding = format!("the node is in no cluster, expected is {wanted:?}");
            return vec![report("in-cluster", Finding::failed(finding, "let it join with pve_cluster_join"))];
        }
    };
    let subject = Subject { node, facts, cluster, expected, timeout };
    let agreement = match unread {
        Some(unread) => Err(unread),
        None => views_agree(view, expected),
    };
    vec![
        report("in-cluster", Finding::passed(format!("{wanted:?}"))),
        report("quorate", quorate(&subject)),
        report("qdevice-votes", qdevice_votes(&subject)),
        report("members-complete", members_complete(&subject)),
        report("config-current", config_current(&subject)),
        report("links-connected", links_connected(&subject)),
        report("pmxcfs-writable", pmxcfs_writable(&subject)),
        report("certificates", certificates(&subject, view)),
        report("services-enabled", services_enabled(&subject)),
        report("no-remnants", no_remnants(&subject)),
        report("no-former-members", former::no_former_members(&subject)),
        report("time-synchronised", time_synchronised(&subject)),
        report("clocks-agree", clocks_agree(&subject)),
        report("replicated", replicated(&subject)),
        report("views-complete", views_complete(&subject)),
        report("views-agree", agreement),
    ]
}

fn quorate(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let Some(votes) = &subject.facts.quorum else {
        return Finding::failed(
            "corosync does not answer",
            "correct what \"journalctl -u corosync\" complains of, then systemctl restart corosync",
        );
    };
    let text = format!("{} of {} votes, quorum {}", votes.total_votes, votes.expected_votes, votes.quorum);
    if !votes.quorate {
        return Finding::failed(
            format!("no quorum: {text}"),
            "bring the missing nodes up, or repair their links",
        );
    }
    if subject.facts.pmxcfs.quorate != Some(true) {
        return Finding::failed(
            format!("corosync is quorate ({text}), pmxcfs is not"),
            "systemctl restart pve-cluster; \"journalctl -u pve-cluster\" says why",
        );
    }
    Finding::passed(text)
}

fn qdevice_votes(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    if !subject.cluster.qdevice {
        return Finding::passed("no quorum device is configured");
    }
    let conf = CorosyncConf::parse(&subject.cluster.text)?;
    let status = quorumtool::query(subject.node, subject.timeout)?.unwrap_or_default();
    let hint = "bring the QNetd host up, see that its port 5403/tcp can be reached, and journalctl -u corosync-qdevice; \
                playbooks/qdevice.yml sets up what is missing";
    if let Some(fault) = qdevice::fault(&conf, &status) {
        return Finding::failed(fault, hint);
    }
    let unit = services::query(subject.node, &[qdevice::UNIT], subject.timeout)?;
    if !unit.values().all(Service::is_enabled) {
        return Finding::failed("corosync-qdevice does not come back after a boot", hint);
    }
    Finding::passed(format!("{} votes", conf.qdevice_votes()))
}

fn members_complete(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let listed: BTreeSet<&str> = subject.cluster.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut wrong = Vec::new();
    let mut tell = |what: &str, names: Vec<&str>| {
        if !names.is_empty() {
            wrong.push(format!("{what}: {}", names.join(", ")));
        }
    };
    if let Some(names) = &subject.expected.nodes {
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        tell("not listed", wanted.difference(&listed).copied().collect());
        tell("listed and not expected", listed.difference(&wanted).copied().collect());
    }
    let nodes = || subject.cluster.nodes.iter();
    tell(
        "offline",
        nodes().filter(|node| node.online != Some(true)).map(|node| node.name.as_str()).collect(),
    );
    let is_shown = |name: &str| subject.facts.pmxcfs.online.iter().any(|online| online == name);
    let hidden = nodes().filter(|node| node.online == Some(true) && !is_shown(&node.name));
    tell("online for corosync and not for pmxcfs", hidden.map(|node| node.name.as_str()).collect());
    if let Some(count) = subject.expected.count.filter(|count| *count != listed.len()) {
        wrong.push(format!("{} nodes are listed, expected are {count}", listed.len()));
    }
    if wrong.is_empty() {
        return Finding::passed(format!("{} nodes, all online", listed.len()));
    }
    Finding::failed(wrong.join("; "), "bring the nodes up, let them join, or take them out of the cluster")
}

fn config_current(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let findings = CorosyncConf::parse(&subject.cluster.text)?.findings();
    if !findings.is_empty() {
        return Finding::failed(
            findings.join("; "),
            "correct /etc/pve/corosync.conf and increase config_version",
        );
    }
    let version = subject.cluster.config_version;
    let local = subject.node.read(LOCAL_CONF)?.unwrap_or_default();
    let local = CorosyncConf::parse(&local)?;
    if local.render() != subject.cluster.text {
        let own = local.config_version().unwrap_or(0);
        return Finding::failed(
            format!("corosync.conf of corosync has version {own}, that of pmxcfs has {version}"),
            "systemctl restart pve-cluster copies it to corosync",
        );
    }
    let behind = subject.cluster.behind();
    let behind: Vec<String> =
        behind.map(|(node, has)| format!("corosync of {} has {has}", node.name)).collect();
    if !behind.is_empty() {
        return Finding::failed(
            format!("the file has config version {version}, {}", behind.join(", ")),
            "corosync-cfgtool -R, on any member, has all of them read it again",
        );
    }
    Finding::passed(format!("config version {version}"))
}

fn links_connected(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let others: Vec<_> =
        subject.cluster.nodes.iter().filter(|node| node.name != subject.facts.node).collect();
    let configured: BTreeSet<u8> =
        subject.cluster.nodes.iter().flat_map(|node| node.links.keys().copied()).collect();
    let wanted: BTreeSet<u8> = match &subject.expected.links {
        Some(links) => links.iter().copied().collect(),
        None => configured.clone(),
    };
    let mut wrong: Vec<String> =
        wanted.difference(&configured).map(|number| format!("link {number} is not configured")).collect();
    let own = subject.cluster.nodes.iter().find(|node| node.name == subject.facts.node);
    for (number, address) in own.iter().flat_map(|node| &node.links) {
        // pvecm create takes an address that the node does not have, and corosync runs with it.
        let is_here = subject.facts.addresses.iter().any(|own| is_same(&own.address, address));
        if !is_here && address.parse::<IpAddr>().is_ok() {
            wrong.push(format!("link {number} is on {address}, which is no address of this node"));
        }
    }
    for number in wanted.intersection(&configured) {
        let link = subject.facts.links.iter().find(|link| link.number == *number);
        for other in &others {
            let peer = link.and_then(|link| link.peers.iter().find(|peer| peer.nodeid == other.nodeid));
            if !peer.is_some_and(|peer| peer.connected) {
                let status = peer.map_or("not shown by corosync", |peer| peer.status.as_str());
                wrong.push(format!("link {number} to {} is {status}", other.name));
            }
        }
    }
    if wrong.is_empty() {
        return Finding::passed(format!("{} links to {} nodes", wanted.len(), others.len()));
    }
    Finding::failed(
        wrong.join("; "),
        "bring that node or its link up, and let UDP 5405 plus the link's number in on both sides: pve_link_probe tells which \
         way is blocked",
    )
}

fn pmxcfs_writable(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    if subject.expected.is_read_only {
        return Finding::skipped("nothing is written in check mode");
    }
    let limit = Deadline::after(subject.node, Duration::from_secs(2));
    let name = format!("sddc-pve-validate-{}", subject.facts.node);
    match ClusterLock::take(subject.node, &name, limit) {
        Ok(_lock) => {
            // It may be writable again only now.
            cluster_lock::release_ended(subject.node)?;
            Finding::passed("a lock can be made and removed")
        }
        Err(error) => Finding::failed(
            format!("{error:#}"),
            "without quorum /etc/pve is read-only: get it back first; with it, systemctl restart pve-cluster",
        ),
    }
}

fn certificates(subject: &Subject<'_>, view: Option<&View>) -> anyhow::Result<Finding> {
    let Some(view) = view else { anyhow::bail!("the certificates could not be read") };
    let hint = "pvecm updatecerts --force on the node, then systemctl reload-or-restart pveproxy pvedaemon";
    let without: Vec<&str> = view
        .fingerprints
        .iter()
        .filter(|(_, found)| found.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if view.ca_fingerprint.is_none() {
        return Finding::failed("there is no /etc/pve/pve-root-ca.pem", hint);
    }
    if !without.is_empty() {
        return Finding::failed(format!("no certificate of {}", without.join(", ")), hint);
    }
    let inspected = node_certificate::inspect(subject.node, &subject.facts.node, subject.timeout)?;
    if let Finding::Failed { .. } = inspected {
        return Ok(inspected);
    }
    let own = observe::own_certificate(subject.node)?;
    let address = observe::own_address(subject.node)?;
    let shown =
        match api::served_certificate(subject.node, address, subject.timeout.min(Duration::from_secs(5))) {
            Ok(shown) => shown,
            Err(error) => return Finding::failed(format!("{error}"), "systemctl status pveproxy"),
        };
    if Some(shown) != own {
        return Finding::failed(
            format!("the API on {address} shows {shown}, which is not the node's certificate"),
            hint,
        );
    }
    if let Finding::Warned { .. } = inspected {
        return Ok(inspected);
    }
    Finding::passed(format!("{} certificates, the API on {address} shows its own", view.fingerprints.len()))
}

fn services_enabled(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    anyhow::ensure!(!subject.facts.services.is_empty(), "systemd did not tell of the services");
    let mut wrong = Vec::new();
    for name in OF_A_MEMBER {
        let state = subject.facts.services.get(name).cloned().unwrap_or_default();
        if !state.is_active() {
            wrong.push(format!("{name} is {}", state.active));
        }
        if !state.is_enabled() {
            let word = if state.is_installed() { state.enabled.as_str() } else { "not installed" };
            wrong.push(format!("{name} is {word}"));
        }
    }
    if wrong.is_empty() {
        return Finding::passed(format!("{} run and are enabled", OF_A_MEMBER.join(", ")));
    }
    Finding::failed(wrong.join("; "), "systemctl enable --now, and see journalctl -u for the reason")
}

fn no_remnants(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let traces: Vec<String> =
        subject.facts.remnants.iter().map(|trace| format!("{}: {}", trace.path, trace.detail)).collect();
    if traces.is_empty() {
        return Finding::passed("nothing is left unfinished");
    }
    Finding::failed(
        traces.join("; "),
        "ask for the same again: what was begun is attached to, or undone first",
    )
}

fn time_synchronised(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let hint = "install and start chrony, and give it a time server the node can reach";
    match time_sync::query(subject.node, subject.timeout)? {
        None => Finding::failed("neither chrony nor systemd tells of the time", hint),
        Some(sync) if sync.is_synchronised => Finding::passed(format!("{} keeps the clock", sync.source)),
        Some(sync) => Finding::failed(format!("the clock is not synchronised, says {}", sync.source), hint),
    }
}

fn clocks_agree(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let nodes = &subject.cluster.nodes;
    let own = nodes.iter().position(|node| node.name == subject.facts.node).unwrap_or(0);
    let ring = nodes.iter().cycle().skip(own + 1).take(nodes.len().saturating_sub(1));
    let peers: Vec<(&str, IpAddr)> = ring
        .filter(|node| node.online == Some(true))
        .filter_map(|node| Some((node.name.as_str(), node.links.values().next()?.parse().ok()?)))
        .collect();
    clocks::compare(subject.node, &peers)
}

fn replicated(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let Some(views) = &subject.expected.views else { return Finding::skipped("no views were given") };
    let written: Vec<_> = views
        .iter()
        .filter(|view| view.node != subject.facts.node)
        .filter_map(|view| Some((view, view.nonce.as_deref()?)))
        .collect();
    if written.is_empty() {
        return Finding::skipped("no view has what its node wrote");
    }
    let mut missing = Vec::new();
    for (view, nonce) in &written {
        if !is_nonce_read(subject.node, &view.node, nonce)? {
            missing.push(view.node.as_str());
        }
    }
    if missing.is_empty() {
        return Finding::passed(format!("what {} other members wrote is read here", written.len()));
    }
    Finding::failed(
        format!("what {} wrote is not read here", missing.join(", ")),
        "pmxcfs of these nodes is not in touch with this one's: journalctl -u pve-cluster on both",
    )
}

fn views_complete(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let Some(views) = &subject.expected.views else { return Finding::skipped("no views were given") };
    let seen: BTreeSet<&str> =
        views.iter().map(|view| view.node.as_str()).chain([subject.facts.node.as_str()]).collect();
    let expected: BTreeSet<&str> = match &subject.expected.nodes {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => subject.cluster.nodes.iter().map(|node| node.name.as_str()).collect(),
    };
    let missing: Vec<&str> = expected.difference(&seen).copied().collect();
    if missing.is_empty() {
        return Finding::passed(format!("{} views", seen.len()));
    }
    Finding::failed(
        format!("no view of {}", missing.join(", ")),
        "run the module on these nodes first, and pass what they return as view",
    )
}

fn views_agree(own: Option<&View>, expected: &Expected) -> anyhow::Result<Finding> {
    let (Some(own), Some(views)) = (own, &expected.views) else {
        return Finding::skipped("no views were given");
    };
    let mut wrong = Vec::new();
    for view in views.iter().filter(|view| view.node != own.node) {
        let differences = own.differences(view);
        if !differences.is_empty() {
            wrong.push(format!("{} and {} differ in {}", own.node, view.node, differences.join(", ")));
        }
    }
    if wrong.is_empty() {
        return Finding::passed("all views show the same");
    }
    Finding::failed(
        wrong.join("; "),
        "systemctl restart pve-cluster on the one that is behind: a member that pmxcfs does not reach keeps an old view",
    )
}
