//! The states: what a genuine cluster's own tools told of each, and which checks it deserves to fail.

use std::fs;

use crate::fake::{Fake, golden};
use crate::validate::tests::THREE;

/// A state: what it was, on which node, and what its tools said (transcripts of tests/golden).
pub(super) struct State {
    pub(super) what: &'static str,
    pub(super) node: (&'static str, &'static str),
    pub(super) conf: fn() -> String,
    /// Where the text of corosync-quorumtool is, or of `pvecm status`, which prints it; corosync is down without.
    pub(super) votes: Option<&'static str>,
    /// Where that of `corosync-cfgtool -s` is; follows from the votes without.
    pub(super) links: Option<&'static str>,
    /// Where `.members` is; follows from the votes without.
    pub(super) members: Option<&'static str>,
    /// What else is known of it.
    pub(super) besides: fn(&Fake),
    /// Checks that fail, those that only warn included, and no others.
    pub(super) fails: &'static [&'static str],
}

const PVE1: (&str, &str) = ("pve1", "10.88.0.11");
const PVE3: (&str, &str) = ("pve3", "10.88.0.13");

/// A state of pve1 where nothing is wrong: the others say what differs.
const GOOD: State = State {
    what: "",
    node: PVE1,
    conf: three,
    votes: None,
    links: None,
    members: None,
    besides: |_| (),
    fails: &[],
};

pub(super) const STATES: &[State] = &[
    State {
        what: "one node",
        conf: || golden::file_in("05-single-node/files/corosync-conf-pve"),
        votes: Some("05-single-node/quorumtool-s"),
        links: Some("05-single-node/cfgtool-s"),
        members: Some("05-single-node/files/members"),
        ..GOOD
    },
    State {
        what: "one node on an address that it does not have, by pvecm create",
        node: ("pve4", "10.88.0.14"),
        conf: || golden::file_in("03-create-errors/link0-not-local--after-conf"),
        votes: Some("03-create-errors/link0-not-local--after-status"),
        fails: &["links-connected"],
        ..GOOD
    },
    State {
        what: "one node on a name that does not resolve, by pvecm create",
        conf: || golden::file_in("03-create-errors/link0-unresolvable--after-conf"),
        fails: &["members-complete", "pmxcfs-writable", "quorate", "services-enabled"],
        ..GOOD
    },
    State {
        what: "one address on both links of one node, by pvecm create: pmxcfs has not found corosync yet",
        node: PVE3,
        conf: || golden::file_in("03-create-errors/link1-dup-address--after-conf"),
        votes: Some("03-create-errors/link1-dup-address--after-status"),
        besides: |fake| {
            let text = fs::read_to_string(fake.path("/etc/pve/.members")).unwrap();
            let apart =
                text.replace("\"quorate\": 1", "\"quorate\": 0").replace("\"online\": 1", "\"online\": 0");
            fake.machine().members = Some(apart);
            // As the node itself was asked then: "Permission denied".
            refuse_locks(fake);
        },
        fails: &["config-current", "members-complete", "pmxcfs-writable", "quorate"],
        ..GOOD
    },
    State {
        what: "two nodes with one id, by pvecm add",
        conf: || golden::file_in("07-add-errors/nodeid-taken--after-pve1-corosync-conf"),
        node: ("pve2", "10.88.0.12"),
        fails: &[
            "config-current",
            "links-connected",
            "members-complete",
            "pmxcfs-writable",
            "quorate",
            "services-enabled",
        ],
        ..GOOD
    },
    State {
        what: "two nodes",
        node: ("pve2", "10.88.0.12"),
        conf: || golden::file_in("08-add-success/pve1-files/corosync-conf-pve"),
        votes: Some("09-two-nodes/quorumtool-s"),
        links: Some("09-two-nodes/cfgtool-s"),
        members: Some("08-add-success/pve1-files/members"),
        ..GOOD
    },
    State {
        what: "three nodes",
        votes: Some("12-three-nodes/pve1/quorumtool-s"),
        links: Some("12-three-nodes/pve1/cfgtool-s"),
        members: Some("12-three-nodes/pve1-files/members"),
        ..GOOD
    },
    State {
        what: "three nodes, from the third",
        node: PVE3,
        votes: Some("12-three-nodes/pve3/quorumtool-s"),
        links: Some("12-three-nodes/pve3/cfgtool-s"),
        ..GOOD
    },
    State {
        what: "a node was admitted that never came",
        conf: || {
            three().replace("}\n\nquorum", "  node {\n    name: pve9\n    nodeid: 4\n    quorum_votes: 1\n    ring0_addr: 10.88.0.19\n  }\n}\n\nquorum")
        },
        votes: Some("13-addnode-api/status-with-phantom-node"),
        members: Some("13-addnode-api/status-with-phantom-node"),
        fails: &["links-connected", "members-complete"],
        ..GOOD
    },
    State {
        what: "one of three is down",
        votes: Some("14-one-down/quorumtool-s"),
        links: Some("14-one-down/cfgtool-s"),
        members: Some("14-one-down/members"),
        fails: &["links-connected", "members-complete"],
        ..GOOD
    },
    State {
        what: "two of three are down",
        votes: Some("15-no-quorum/quorumtool-s"),
        links: Some("15-no-quorum/cfgtool-s"),
        members: Some("15-no-quorum/members"),
        fails: &["links-connected", "members-complete", "pmxcfs-writable", "quorate"],
        ..GOOD
    },
    State {
        what: "one of three is off, and two former nodes' files are left",
        conf: || golden::file_in("17-delnode/before"),
        votes: Some("17-delnode/before"),
        besides: leave_former_files,
        fails: &["links-connected", "members-complete", "no-former-members"],
        ..GOOD
    },
    State {
        what: "the same after it was removed",
        conf: || golden::file_in("17-delnode/after"),
        votes: Some("17-delnode/after"),
        members: Some("17-delnode/after"),
        besides: |fake| fake.write("/etc/pve/nodes/pve3/pve-ssl.pem", "left"),
        fails: &["no-former-members"],
        ..GOOD
    },
    State {
        what: "a node that was removed while it was off, and is up again",
        node: PVE3,
        votes: Some("17-delnode/removed-node-booted-pve3-view"),
        links: Some("17-delnode/removed-node-booted-pve3-view"),
        members: Some("17-delnode/removed-node-booted-pve3-view"),
        fails: &["links-connected", "members-complete", "pmxcfs-writable", "quorate"],
        ..GOOD
    },
    State {
        what: "a node that was removed while it ran: corosync was killed",
        node: ("pve2", "10.88.0.12"),
        fails: &["links-connected", "members-complete", "pmxcfs-writable", "quorate", "services-enabled"],
        ..GOOD
    },
    State {
        what: "the cluster that removed it while it ran",
        conf: || conf_in("17-delnode/delnode-ONLINE-node"),
        votes: Some("17-delnode/delnode-ONLINE-node"),
        besides: |fake| fake.write("/etc/pve/nodes/pve2/pve-ssl.pem", "left"),
        fails: &["no-former-members"],
        ..GOOD
    },
    State {
        what: "a node that was separated has joined again, and two former nodes' files are left",
        conf: || conf_in("18-separate-node/9-after-rejoin"),
        votes: Some("18-separate-node/9-after-rejoin"),
        besides: leave_former_files,
        fails: &["no-former-members"],
        ..GOOD
    },
    State {
        what: "a node that was installed anew was let in by force, without quorum: from the first member",
        conf: || conf_in("19-rejoin-same-name/pve1-after-force"),
        votes: Some("19-rejoin-same-name/pve1-after-force"),
        besides: |fake| fake.write("/etc/pve/nodes/pve2/pve-ssl.pem", "left"),
        fails: &["links-connected", "members-complete", "no-former-members", "pmxcfs-writable", "quorate"],
        ..GOOD
    },
    State {
        what: "a node that was installed anew was let in by force, with quorum",
        node: PVE3,
        conf: || conf_in("19-rejoin-same-name/quorate-conf-after-force"),
        votes: Some("19-rejoin-same-name/quorate-pve3-after-force"),
        members: Some("19-rejoin-same-name/quorate-pve3-after-force"),
        ..GOOD
    },
    State {
        what: "the cluster that removed it",
        conf: || golden::file_in("08-add-success/pve1-files/corosync-conf-pve"),
        votes: Some("17-delnode/removed-node-booted-pve1-view"),
        ..GOOD
    },
    State {
        what: "a member whose peer was installed anew under its name",
        conf: || golden::file_in("08-add-success/pve1-files/corosync-conf-pve"),
        votes: Some("19-rejoin-same-name/pve1-status"),
        fails: &["links-connected", "members-complete", "pmxcfs-writable", "quorate"],
        ..GOOD
    },
    State {
        what: "two joins at once, from the first member",
        conf: concurrent,
        votes: Some("22-concurrent-join/pve1-after"),
        fails: &["links-connected", "members-complete"],
        ..GOOD
    },
    State {
        what: "two joins at once, from the one that came in",
        node: PVE3,
        conf: concurrent,
        votes: Some("22-concurrent-join/state-pve3"),
        members: Some("22-concurrent-join/state-pve3"),
        fails: &["links-connected", "members-complete"],
        ..GOOD
    },
    State {
        what: "two joins at once, from the one that hangs",
        node: ("pve4", "10.88.0.14"),
        conf: || {
            let pve3 = "  node {\n    name: pve3\n    nodeid: 4\n    quorum_votes: 1\n    ring0_addr: 10.88.0.13\n  }\n";
            concurrent().replace(pve3, "").replace("config_version: 4", "config_version: 3")
        },
        votes: Some("22-concurrent-join/state-pve4"),
        members: Some("22-concurrent-join/state-pve4"),
        fails: &["links-connected", "members-complete", "pmxcfs-writable", "quorate"],
        ..GOOD
    },
    State {
        what: "two joins at once, from the one that hung, after it was helped",
        node: ("pve4", "10.88.0.14"),
        conf: concurrent,
        votes: Some("22-concurrent-join/recover-3-updatecerts"),
        // As pve1 saw them: pmxcfs has one list.
        members: Some("22-concurrent-join/recover-4-pve1-view"),
        ..GOOD
    },
    State {
        what: "one address on both links, by pvecm add",
        conf: duplicate,
        votes: Some("30-dual-link/05d-pve1-state"),
        links: Some("30-dual-link/05d-pve1-state"),
        members: Some("08-add-success/pve1-files/members"),
        fails: &["config-current"],
        ..GOOD
    },
    State {
        what: "the same from the other node",
        node: ("pve2", "10.88.0.12"),
        conf: duplicate,
        votes: Some("30-dual-link/05c-pve2-state"),
        links: Some("30-dual-link/05c-pve2-state"),
        members: Some("08-add-success/pve1-files/members"),
        fails: &["config-current"],
        ..GOOD
    },
    State {
        what: "a join that ended before its certificate",
        node: PVE3,
        conf: dual,
        votes: Some("30-dual-link/10-healthy-pve3/quorumtool-s"),
        links: Some("30-dual-link/10-healthy-pve3/cfgtool-s"),
        members: Some("30-dual-link/07c-state-pve3-after"),
        besides: |fake| fs::remove_file(fake.path("/etc/pve/nodes/pve3/pve-ssl.pem")).unwrap(),
        fails: &["certificates"],
    },
    State {
        what: "two links",
        conf: dual,
        votes: Some("30-dual-link/10-healthy-pve1/quorumtool-s"),
        links: Some("30-dual-link/10-healthy-pve1/cfgtool-s"),
        ..GOOD
    },
    State {
        what: "two links, from a node with another id and two votes",
        node: PVE3,
        conf: dual,
        votes: Some("30-dual-link/10-healthy-pve3/quorumtool-s"),
        links: Some("30-dual-link/10-healthy-pve3/cfgtool-s"),
        ..GOOD
    },
    State {
        what: "link 1 of a node is down, from another",
        conf: dual,
        votes: Some("30-dual-link/11-link1-of-pve3-down-pve1/quorumtool-s"),
        links: Some("30-dual-link/11-link1-of-pve3-down-pve1/cfgtool-s"),
        fails: &["links-connected"],
        ..GOOD
    },
    State {
        what: "link 1 of a node is down, from itself",
        node: PVE3,
        conf: dual,
        votes: Some("30-dual-link/11-link1-of-pve3-down-pve3/quorumtool-s"),
        links: Some("30-dual-link/11-link1-of-pve3-down-pve3/cfgtool-s"),
        fails: &["links-connected"],
        ..GOOD
    },
];

/// What two nodes left that were removed long before.
fn leave_former_files(fake: &Fake) {
    for former in ["pve8", "pve9"] {
        fake.write(&format!("/etc/pve/nodes/{former}/pve-ssl.pem"), "left");
    }
}

/// What pmxcfs refuses without quorum. The tests are root's, who may write anywhere: so a file is in the directory's place.
pub(super) fn refuse_locks(fake: &Fake) {
    let _ = fs::remove_dir_all(fake.path("/etc/pve/priv/lock"));
    fake.write("/etc/pve/priv/lock", "");
}

fn three() -> String {
    golden::file_in(THREE)
}

fn dual() -> String {
    golden::file_in("30-dual-link/10-conf")
}

fn duplicate() -> String {
    golden::file_in("30-dual-link/05b-conf-after")
}

fn concurrent() -> String {
    conf_in("22-concurrent-join/pve1-after")
}

/// corosync.conf among what else the case's commands printed.
fn conf_in(case: &str) -> String {
    let text = golden::file_in(case);
    text[text.find("logging {").unwrap()..].to_owned()
}
