//! `corosync-cmapctl -m stats`: what knet, corosync's transport, measures of each link all the time by its own pings.

use std::time::Duration;

use crate::{Cmd, Node};

/// Round trip on one link to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The other node.
    pub nodeid: u32,
    /// Link number.
    pub link: u8,
    /// Average of late (cmap_keys(8), `latency_ave`).
    pub microseconds: u32,
}

/// Asks corosync; nothing where it does not run, or has another transport.
pub fn query(node: &Node, timeout: Duration) -> anyhow::Result<Vec<Latency>> {
    match node.run(&Cmd::new("corosync-cmapctl", ["-m", "stats", "stats.knet."], timeout)) {
        Ok(output) => Ok(parse(&output.stdout)),
        Err(crate::RunError::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Reads lines as `stats.knet.node2.link0.latency_ave (u32) = 926`. Before the first answer it is 0, and so it is of the
/// node itself: neither is told.
pub fn parse(text: &str) -> Vec<Latency> {
    text.lines().filter_map(latency).filter(|latency| latency.microseconds > 0).collect()
}

fn latency(line: &str) -> Option<Latency> {
    let (key, value) = line.split_once(" (u32) = ")?;
    let (nodeid, link) =
        key.strip_prefix("stats.knet.node")?.strip_suffix(".latency_ave")?.split_once(".link")?;
    let microseconds = value.trim().parse().ok()?;
    Some(Latency { nodeid: nodeid.parse().ok()?, link: link.parse().ok()?, microseconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::golden;

    #[test]
    fn round_trips_are_told_by_node_and_link_without_the_node_itself() {
        let told = |case: &str| {
            let paths = parse(&golden::stdout(case)).into_iter();
            paths.map(|path| (path.nodeid, path.link, path.microseconds)).collect::<Vec<_>>()
        };
        assert_eq!(told("12-three-nodes/pve1/cmapctl-stats-knet"), [(2, 0, 926), (3, 0, 2257)]);
        assert_eq!(told("05-single-node/cmapctl-stats-knet"), []);
    }

    #[test]
    fn another_transport_tells_nothing() {
        assert_eq!(parse("Can't get value of stats.knet.. Error CS_ERR_NOT_EXIST\n"), []);
    }
}
