//! What corosync's tools and pmxcfs say of a fake node's membership.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Machine;
use crate::corosync_conf::{ConfNode, CorosyncConf};
use crate::facts::Quorum;

impl Machine {
    /// Votes, while corosync runs.
    pub(super) fn quorum(&self) -> Option<Quorum> {
        let started = self.corosync_started.filter(|_| self.is_active("corosync.service"))?;
        let conf = self.corosync_conf()?;
        let settled = self.clock >= started + self.settles;
        let present: Vec<ConfNode> = conf
            .nodes()
            .into_iter()
            .filter(|node| node.name == self.hostname || (settled && self.is_online(&node.name)))
            .collect();
        let expected = self.expected.unwrap_or_else(|| conf.expected_votes() + conf.qdevice_votes());
        let cast = if self.is_device_voting() { conf.qdevice_votes() } else { 0 };
        let total = present.iter().map(|node| node.votes).sum::<u32>() + cast;
        let quorum = expected / 2 + 1;
        Some(Quorum {
            quorate: total >= quorum,
            expected_votes: expected,
            total_votes: total,
            quorum,
            members: present.iter().map(|node| node.nodeid).collect(),
        })
    }

    fn is_online(&self, name: &str) -> bool {
        self.online.as_ref().is_none_or(|online| online.contains(name))
    }

    /// `corosync-quorumtool -s`, with what it prints when corosync is down.
    pub(super) fn quorumtool(&self) -> Result<String, &'static str> {
        let (Some(quorum), Some(conf)) = (self.quorum(), self.corosync_conf()) else {
            return Err("Cannot initialize CMAP service\n");
        };
        let own = conf.node(&self.hostname).unwrap_or_default();
        let (verdict, blocked, flags) =
            if quorum.quorate { ("Yes", " ", "Quorate ") } else { ("No", "Activity blocked", "") };
        let mut text = format!(
            "Quorum information\n------------------\nDate:             Sun Nov 22 15:07:12 2026\nQuorum provider:  \
             corosync_votequorum\nNodes:            {}\nNode ID:          {}\nRing ID:          1.d\nQuorate:          \
             {verdict}\n\nVotequorum information\n----------------------\nExpected votes:   {}\nHighest expected: \
             {}\nTotal votes:      {}\nQuorum:           {} {blocked}\nFlags:            {flags}\n\nMembership \
             information\n----------------------\n    Nodeid      Votes Name\n",
            quorum.members.len(),
            own.nodeid,
            quorum.expected_votes,
            quorum.expected_votes,
            quorum.total_votes,
            quorum.quorum,
        );
        let daemons = self.device_flags(&conf);
        for node in conf.nodes().iter().filter(|node| quorum.members.contains(&node.nodeid)) {
            let local = if node.name == self.hostname { " (local)" } else { "" };
            let device =
                daemons.as_ref().map(|daemons| format!("{:>10} ", daemons(&node.name))).unwrap_or_default();
            let _ = writeln!(text, "{:>10} {:>10} {device}{}{local}", node.nodeid, node.votes, node.name);
        }
        if daemons.is_some() {
            let cast = if self.is_device_voting() { conf.qdevice_votes() } else { 0 };
            let _ = writeln!(text, "{:>10} {cast:>10}            Qdevice", 0);
        }
        Ok(text)
    }

    /// `corosync-cmapctl runtime.members`.
    pub(super) fn cmapctl_members(&self) -> Result<String, &'static str> {
        let (Some(quorum), Some(conf)) = (self.quorum(), self.corosync_conf()) else {
            return Err("Failed to initialize the cmap API. Error CS_ERR_LIBRARY\n");
        };
        let mut text = String::new();
        for id in quorum.members {
            let version = self.behind.get(&id).copied().or(conf.config_version()).unwrap_or_default();
            let _ = writeln!(
                text,
                "runtime.members.{id}.config_version (u64) = {version}\nruntime.members.{id}.status (str) = joined"
            );
        }
        Ok(text)
    }

    /// `corosync-cfgtool -s`.
    pub(super) fn cfgtool(&self) -> Result<String, &'static str> {
        let (Some(quorum), Some(conf)) = (self.quorum(), self.corosync_conf()) else {
            return Err("Could not initialize corosync configuration API error 2\n");
        };
        let own = conf.node(&self.hostname).unwrap_or_default();
        let mut text = format!("Local node ID {}, transport knet\n", own.nodeid);
        for (number, address) in &own.links {
            let _ = writeln!(text, "LINK ID {number} udp\n\taddr\t= {address}\n\tstatus:");
            for node in conf.nodes() {
                let up = quorum.members.contains(&node.nodeid) && !self.cut.contains(&(*number, node.nodeid));
                let state = match (node.nodeid == own.nodeid, up) {
                    (true, _) => "localhost",
                    (false, true) => "connected",
                    (false, false) => "disconnected",
                };
                let _ = writeln!(text, "\t\tnodeid: {:>10}:\t{state}", node.nodeid);
            }
        }
        Ok(text)
    }

    /// `/etc/pve/.members`.
    pub(super) fn members_text(&self, conf: Option<&CorosyncConf>, quorum: Option<&Quorum>) -> String {
        let Some(conf) = conf else {
            return format!("{{\n\"nodename\": {:?},\n\"version\": 0\n}}\n", self.hostname);
        };
        let present: BTreeSet<u32> =
            quorum.map(|quorum| quorum.members.iter().copied().collect()).unwrap_or_default();
        let quorate = u8::from(quorum.is_some_and(|quorum| quorum.quorate));
        let nodes: Vec<String> = conf
            .nodes()
            .iter()
            .map(|node| {
                let (online, ip) = (u8::from(present.contains(&node.nodeid)), node.links.values().next());
                let ip = ip.cloned().unwrap_or_default();
                format!(
                    "  {:?}: {{ \"id\": {}, \"online\": {online}, \"ip\": {ip:?}}}",
                    node.name, node.nodeid
                )
            })
            .collect();
        format!(
            "{{\n\"nodename\": {:?},\n\"version\": 3,\n\"cluster\": {{ \"name\": {:?}, \"version\": {}, \"nodes\": {}, \
             \"quorate\": {quorate} }},\n\"nodelist\": {{\n{}\n  }}\n}}\n",
            self.hostname,
            conf.cluster_name().unwrap_or_default(),
            conf.config_version().unwrap_or_default(),
            nodes.len(),
            nodes.join(",\n"),
        )
    }
}
