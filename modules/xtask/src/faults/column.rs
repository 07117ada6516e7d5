//! The columns of the matrix: what befalls an operation, how that is made in the lab, and where it can't be.

use anyhow::Result;

use super::rows::Operation;
use crate::lab::{Lab, Node};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// kill -9 of the operation and all that it started.
    Killed,
    /// kill -9 of the controller's connections.
    ControllerKilled,
    /// The node that the operation runs on loses its power.
    NodeOff,
    /// The other node does.
    OtherOff,
    /// Both links of the node are cut.
    LinkCut,
    /// No room on the node's disk.
    DiskFull,
    /// The node's pmxcfs takes no write.
    ReadOnly,
    /// corosync does not start on the node.
    CorosyncRefuses,
    /// The API of every node answers 500.
    ApiFails,
    /// The API of every node never answers.
    ApiHangs,
    /// The API of every node shows another certificate.
    ApiForeign,
    /// The clock of the node jumps.
    Clock,
}

/// Where the small disk is mounted, and what lies on it: all that an operation writes outside of /etc/pve and /run.
const SMALL: &str = "/mnt/small";
const ON_SMALL: &str =
    "/var/lib/sddc-pve /var/lib/pve-cluster /var/lib/corosync /etc/corosync /etc/ssh /root/.ssh /var/log";
const FOREIGN: &str = "/root/foreign.pem";

impl Column {
    /// All of them.
    pub const ALL: [Column; 12] = [
        Self::Killed,
        Self::ControllerKilled,
        Self::NodeOff,
        Self::OtherOff,
        Self::LinkCut,
        Self::DiskFull,
        Self::ReadOnly,
        Self::CorosyncRefuses,
        Self::ApiFails,
        Self::ApiHangs,
        Self::ApiForeign,
        Self::Clock,
    ];

    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::ControllerKilled => "controller-killed",
            Self::NodeOff => "node-off",
            Self::OtherOff => "other-off",
            Self::LinkCut => "link-cut",
            Self::DiskFull => "disk-full",
            Self::ReadOnly => "pmxcfs-read-only",
            Self::CorosyncRefuses => "corosync-refuses",
            Self::ApiFails => "api-500",
            Self::ApiHangs => "api-hangs",
            Self::ApiForeign => "api-certificate",
            Self::Clock => "clock",
        }
    }

    /// Its head in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Killed => "kill -9",
            Self::ControllerKilled => "controller killed",
            Self::NodeOff => "node off",
            Self::OtherOff => "other off",
            Self::LinkCut => "links cut",
            Self::DiskFull => "disk full",
            Self::ReadOnly => "pmxcfs read-only",
            Self::CorosyncRefuses => "corosync refuses",
            Self::ApiFails => "API: 500",
            Self::ApiHangs => "API hangs",
            Self::ApiForeign => "API: certificate",
            Self::Clock => "clock",
        }
    }

    /// Why there is no such cell.
    pub fn impossible(self, operation: Operation) -> Option<&'static str> {
        (self == Self::OtherOff && operation.other().is_none())
            .then_some("no other node: who creates a cluster is alone")
    }

    /// Whether the operation itself ends by it.
    pub fn is_deadly(self) -> bool {
        matches!(self, Self::Killed | Self::NodeOff | Self::Clock)
    }

    /// Whether members lose quorum by it without anybody's fault: of three members, one is off by then.
    pub fn takes_quorum(self, operation: Operation) -> bool {
        match operation {
            Operation::Remove => matches!(self, Self::NodeOff | Self::OtherOff | Self::LinkCut),
            Operation::AdmitThird => matches!(self, Self::NodeOff | Self::LinkCut),
            Operation::JoinThird | Operation::Reset => self == Self::OtherOff,
            _ => true,
        }
    }

    /// What must be there before the operation begins.
    pub fn prepare(self, lab: &Lab<'_>, nodes: &[Node], on: Node) -> Result<()> {
        match self {
            // corosync has a /tmp of its own, and so a view of its own of what is mounted: that of its start. The journal of
            // many cells would be more than the disk holds.
            Self::DiskFull => {
                let lines = format!(
                    "set -e; was=$(systemctl is-active corosync || true); systemctl stop pve-cluster corosync; journalctl --quiet --rotate --vacuum-size=16M; mkdir -p {SMALL}; mount -t tmpfs -o size=96m,mode=755 tmpfs {SMALL}; \
                     for dir in {ON_SMALL}; do mkdir -p $dir {SMALL}$dir; chmod --reference=$dir {SMALL}$dir; \
                     cp -a $dir/. {SMALL}$dir/; mount --bind {SMALL}$dir $dir; done; \
                     test \"$was\" != active || systemctl start corosync; systemctl start pve-cluster; \
                     timeout 30 sh -c 'until test -e /etc/pve/.members; do sleep 0.1; done'"
                );
                lab.succeed(on, &["sh", "-c", &lines]).map(drop)
            }
            Self::ApiForeign => nodes.iter().try_for_each(|node| {
                let lines = format!(
                    "test -e {FOREIGN} || openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=foreign -days 2 \
                     -keyout /root/foreign.key -out /root/foreign.crt 2>/dev/null; \
                     cat /root/foreign.key /root/foreign.crt >{FOREIGN}"
                );
                lab.succeed(*node, &["sh", "-c", &lines]).map(drop)
            }),
            _ => Ok(()),
        }
    }

    /// Lets it befall the operation, which stands still. Killing the controller is the caller's.
    pub fn strike(self, lab: &Lab<'_>, nodes: &[Node], on: Node, other: Option<Node>) -> Result<()> {
        let shell = |node: Node, line: &str| lab.succeed(node, &["sh", "-c", line]).map(drop);
        let api = |fault: &str| {
            let faults = format!("{{\"api\":[{fault}]}}");
            nodes.iter().try_for_each(|node| lab.fault(*node, Some(&faults)))
        };
        match self {
            Self::Killed => crate::strike::kill(lab, on),
            Self::ControllerKilled => Ok(()),
            Self::NodeOff => lab.kill(on),
            Self::OtherOff => other.map_or(Ok(()), |other| lab.kill(other)),
            Self::LinkCut => lab.cut(on, None),
            Self::DiskFull => shell(
                on,
                &format!(
                    "cat /dev/zero >{SMALL}/filler 2>/dev/null; test $(df --output=avail {SMALL} | tail -1) = 0"
                ),
            ),
            Self::ReadOnly => lab.fault(on, Some(r#"{"pmxcfs":"read-only"}"#)),
            // The lab's own fault waits for a start of pmxcfs, and some operations start corosync before.
            Self::CorosyncRefuses => shell(on, "chmod 0644 /usr/sbin/corosync"),
            Self::ApiFails => api(r#"{"path":"/","status":500}"#),
            Self::ApiHangs => api(r#"{"path":"/","hang":true}"#),
            Self::ApiForeign => nodes.iter().try_for_each(|node| {
                lab.fault(*node, Some(&format!("{{\"wrong_certificate\":\"{FOREIGN}\"}}")))?;
                shell(*node, "systemctl reload-or-restart pveproxy")
            }),
            Self::Clock => {
                crate::strike::kill(lab, on)?;
                crate::strike::await_ended(lab, on)
            }
        }
    }

    /// Takes it away again, when the operation is over.
    pub fn lift(self, lab: &Lab<'_>, nodes: &[Node], on: Node, other: Option<Node>) -> Result<()> {
        let shell = |node: Node, line: &str| lab.succeed(node, &["sh", "-c", line]).map(drop);
        match self {
            Self::Killed | Self::ControllerKilled => Ok(()),
            Self::NodeOff => lab.start(on),
            Self::OtherOff => other.map_or(Ok(()), |other| lab.start(other)),
            Self::LinkCut => lab.heal(on, None),
            Self::DiskFull => shell(on, &format!("rm {SMALL}/filler")),
            Self::ReadOnly => lab.fault(on, None),
            Self::CorosyncRefuses => shell(on, "chmod 0755 /usr/sbin/corosync"),
            Self::ApiFails | Self::ApiHangs => nodes.iter().try_for_each(|node| lab.fault(*node, None)),
            Self::ApiForeign => nodes.iter().try_for_each(|node| {
                lab.fault(*node, None)?;
                shell(*node, "systemctl reload-or-restart pveproxy")
            }),
            Self::Clock => Ok(()),
        }
    }
}

/// Puts what lies on the small disk back to where it was, without the operation's help.
pub fn without_small_disk(lab: &Lab<'_>, on: Node) -> Result<()> {
    let lines = format!(
        "set -e; was=$(systemctl is-active corosync || true); systemctl stop pve-cluster corosync; for dir in {ON_SMALL}; do \
         umount -l $dir; test $dir = /var/log || find $dir -mindepth 1 -delete; cp -a {SMALL}$dir/. $dir/; done; umount {SMALL}; \
         test $was != active || systemctl start corosync; systemctl start pve-cluster; systemctl try-restart ssh"
    );
    lab.succeed(on, &["sh", "-c", &lines]).map(drop)
}

/// The jump itself, of the times that are stored on a node: the journals', the cluster's locks' and those that a journal
/// tells of its lock. To who reads them, the clock has jumped the other way.
pub fn move_times(lab: &Lab<'_>, on: Node, seconds: i64) -> Result<()> {
    const MOVE: &str = r#"
import glob, json, os, sys
by = int(sys.argv[1])
for path in glob.glob("/var/lib/sddc-pve/operations/*.json"):
    with open(path) as file:
        journal = json.load(file)
    journal["started"] += by
    journal["deadline"] += by
    lock = journal["marks"].get("cluster_lock")
    if lock:
        name, *times = lock.split(" ")
        journal["marks"]["cluster_lock"] = " ".join([name] + [str(int(time) + by) for time in times])
    with open(path, "w") as file:
        json.dump(journal, file)
for path in glob.glob("/etc/pve/priv/lock/*") + glob.glob("/run/sddc-pve/*") + glob.glob("/var/lib/sddc-pve/*"):
    time = os.stat(path).st_mtime + by
    try:
        os.utime(path, (time, time))
    except PermissionError:
        pass
"#;
    lab.succeed(on, &["python3", "-c", MOVE, &seconds.to_string()]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_creation_has_no_other_node() {
        let missing: Vec<_> = Operation::ALL
            .into_iter()
            .flat_map(|operation| Column::ALL.map(|column| (operation, column)))
            .filter(|(operation, column)| column.impossible(*operation).is_some())
            .collect();
        assert_eq!(missing, [(Operation::Create, Column::OtherOff)]);
    }
}
