//! Checks of the clock: what it follows, and how far it is from the clocks of the other nodes.

use std::net::IpAddr;

use super::Context;
use crate::verdict::Finding;
use crate::{clocks, time_sync};

pub(super) fn time_source_reachable(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(sources) = time_sync::sources(context.node, context.timeout)? else {
        return Finding::skipped("chrony does not run here");
    };
    let hint = "see \"chronyc sources\": name a server in /etc/chrony that answers, and open UDP 123 to it";
    if sources.is_empty() {
        return match time_sync::query(context.node, context.timeout)? {
            Some(sync) if sync.is_local_reference => {
                Finding::passed("chrony has no source and takes the node's own clock")
            }
            _ => Finding::warned("chrony has no source", hint),
        };
    }
    let silent: Vec<&str> =
        sources.iter().filter(|source| !source.is_reachable).map(|source| source.name.as_str()).collect();
    match sources.iter().find(|source| source.is_selected) {
        Some(selected) => Finding::passed(format!("chrony follows {}", selected.name)),
        None if silent.len() == sources.len() => {
            Finding::warned(format!("no time source answers: {}", silent.join(", ")), hint)
        }
        None => Finding::warned("chrony has chosen no source yet", hint),
    }
}

pub(super) fn clock_agrees(context: &Context<'_>) -> anyhow::Result<Finding> {
    let own = context.wanted.nodes.iter().position(|node| node.name == context.wanted.own).unwrap_or(0);
    let ring = context.wanted.nodes.iter().cycle().skip(own + 1);
    let peers: Vec<(&str, IpAddr)> = ring
        .take(context.wanted.nodes.len().saturating_sub(1))
        .filter_map(|peer| Some((peer.name.as_str(), peer.address.parse().ok()?)))
        .collect();
    clocks::compare(context.node, &peers)
}
