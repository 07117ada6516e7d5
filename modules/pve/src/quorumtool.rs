//! `corosync-quorumtool -s`: votes and members. Only node ids are taken from its membership table: the names
//! in it are what corosync resolves, not node names, and a quorum device has a row of its own.

use std::time::Duration;

use crate::facts::Quorum;
use crate::order::sort_short_by_key;
use crate::{Cmd, Node};

/// What `corosync-quorumtool -s` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumStatus {
    /// Votes and members.
    pub quorum: Quorum,
    /// The node id of the node that was asked.
    pub nodeid: u32,
    /// `1.d`: changes with every membership.
    pub ring_id: String,
    /// `Flags:`, such as `Quorate`, `Qdevice`, `2Node`.
    pub flags: Vec<String>,
    /// Votes of each member, by node id.
    pub votes: Vec<(u32, u32)>,
    /// Votes of the quorum device, where there is one.
    pub qdevice_votes: Option<u32>,
    /// What each member with a running corosync-qdevice says of it, by node id, as in `A,V,NMW`: alive, it votes, no
    /// master wins.
    pub qdevices: Vec<(u32, String)>,
}

/// Asks corosync; `None` when it is not running (exit code 1, `Cannot initialize CMAP service`).
pub fn query(node: &Node, timeout: Duration) -> anyhow::Result<Option<QuorumStatus>> {
    match node.run(&Cmd::new("corosync-quorumtool", ["-s"], timeout)) {
        // It exits with 2 when it is not quorate in newer versions, so only the text counts.
        Ok(output) => Ok(parse(&output.stdout)),
        Err(crate::RunError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the text of `-s`, `-l` apart, with decimal or hexadecimal (`-H`) node ids; `None` without a
/// `Quorate:` line.
pub fn parse(text: &str) -> Option<QuorumStatus> {
    let mut status = QuorumStatus::default();
    let mut has_verdict = false;
    for line in text.lines() {
        if let Some((key, value)) = line.split_once(':') {
            let value = value.trim();
            let first = value.split_whitespace().next().unwrap_or_default();
            match key.trim() {
                "Quorate" => {
                    has_verdict = true;
                    status.quorum.quorate = first == "Yes";
                }
                "Node ID" => status.nodeid = number(first)?,
                "Ring ID" => status.ring_id = value.to_owned(),
                "Expected votes" => status.quorum.expected_votes = number(first)?,
                "Total votes" => status.quorum.total_votes = number(first)?,
                "Quorum" => status.quorum.quorum = number(first)?,
                "Flags" => status.flags = value.split_whitespace().map(str::to_owned).collect(),
                _ => member(line, &mut status),
            }
        } else {
            member(line, &mut status);
        }
    }
    sort_short_by_key(&mut status.quorum.members, |member| *member);
    sort_short_by_key(&mut status.votes, |vote| *vote);
    has_verdict.then_some(status)
}

/// A row `nodeid votes [qdevice flags] name [(local)]`; names may be IPv6 addresses, so hold colons.
fn member(line: &str, status: &mut QuorumStatus) {
    let mut words = line.split_whitespace();
    let ids = (words.next().and_then(number), words.next().and_then(number), words.next());
    let (Some(nodeid), Some(votes), Some(third)) = ids else { return };
    if nodeid == 0 {
        // votequorum's QDEVICE_NODEID
        status.qdevice_votes = Some(votes);
    } else {
        status.quorum.members.push(nodeid);
        status.votes.push((nodeid, votes));
        // `NR` is none that is registered; a node's name has no comma.
        if third.contains(',') {
            status.qdevices.push((nodeid, third.to_owned()));
        }
    }
}

fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::golden;

    fn status(case: &str) -> QuorumStatus {
        parse(&golden::stdout(case)).unwrap()
    }

    #[test]
    fn reads_votes_and_members_of_every_state() {
        let three = status("12-three-nodes/pve3/quorumtool-s");
        let expected =
            Quorum { quorate: true, expected_votes: 3, total_votes: 3, quorum: 2, members: vec![1, 2, 3] };
        assert_eq!((three.quorum, three.nodeid, three.ring_id.as_str()), (expected, 3, "1.d"));
        let down = status("14-one-down/quorumtool-s").quorum;
        assert_eq!((down.quorate, down.total_votes, down.members), (true, 2, vec![1, 2]));
    }

    #[test]
    fn without_quorum_the_number_before_activity_blocked_counts() {
        let lost = status("15-no-quorum/quorumtool-s");
        let expected =
            Quorum { quorate: false, expected_votes: 3, total_votes: 1, quorum: 2, members: vec![1] };
        assert_eq!((lost.quorum, lost.flags), (expected, vec![]));
    }

    #[test]
    fn hexadecimal_ids_and_gaps_read_the_same() {
        for state in ["05-single-node", "09-two-nodes", "15-no-quorum", "30-dual-link/10-healthy-pve3"] {
            let (decimal, hex) =
                (status(&format!("{state}/quorumtool-s")), status(&format!("{state}/quorumtool-siH")));
            assert_eq!(decimal, hex, "{state}");
        }
        let gap = status("30-dual-link/10-healthy-pve3/quorumtool-s");
        assert_eq!((gap.nodeid, gap.votes), (7, vec![(1, 1), (2, 1), (7, 2)]));
    }

    #[test]
    fn a_quorum_device_and_addresses_with_colons_are_no_surprise() {
        let text = "Quorate:          Yes\nFlags:            Quorate Qdevice \n\n    Nodeid      Votes    Qdevice \
                    Name\n         1          1    A,V,NMW fd00::11 (local)\n         5          1         NR \
                    node5.example.org\n         0          1            Qdevice\n";
        let status = parse(text).unwrap();
        assert_eq!((status.quorum.members, status.qdevice_votes), (vec![1, 5], Some(1)));
        assert_eq!(status.flags, ["Quorate", "Qdevice"]);
        assert_eq!(status.qdevices, [(1, "A,V,NMW".to_owned())]);
    }

    #[test]
    fn no_answer_is_none() {
        assert_eq!(parse(&golden::stdout("01-standalone/quorumtool-s")), None);
    }
}
