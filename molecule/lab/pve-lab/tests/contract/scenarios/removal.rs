//! Removal of nodes, separation without reinstallation, and the same name again (golden 17 to 19).

use crate::session::Session;

const NODES: [&str; 3] = ["pve1", "pve2", "pve3"];

pub fn removal(session: &mut Session<'_>) {
    let folder = "17-delnode";
    session.cluster(&NODES);
    session.bench.kill("pve3");
    session.until_quorate("pve1", 2);
    // What 13 left on the recorded cluster.
    session.must("pve1", "mkdir /etc/pve/nodes/pve8 /etc/pve/nodes/pve9");
    session.sequence(folder, "before delnode-offline-success after delnode-again");
    session.sequence(folder, "http-DELETE-no-csrf http-DELETE-self http-DELETE-unknown");
    session.bench.boot("pve3");
    session.all("17-delnode/removed-node-booted-*");
}

/// A node that is online is removed all the same, and left with what it had.
pub fn of_online_node(session: &mut Session<'_>) {
    session.cluster(&NODES);
    session.sequence("17-delnode", "delnode-ONLINE-node delnode-ONLINE-node--pve2-view");
}

pub fn separation(session: &mut Session<'_>) {
    session.cluster(&NODES);
    session.bench.kill("pve3");
    session.until_quorate("pve1", 2);
    session.must("pve1", "pvecm delnode pve3");
    session.bench.boot("pve3");
    session.all("18-separate-node/*");
}

pub fn same_name(session: &mut Session<'_>) {
    session.cluster(&NODES);
    session.bench.kill("pve3");
    session.until_quorate("pve1", 2);
    session.reinstalled("pve3");
    let folder = "19-rejoin-same-name";
    session.sequence(
        folder,
        "quorate-fresh-node-same-name quorate-conf-after quorate-fresh-node-same-name-force",
    );
    session.until_quorate("pve1", 3);
    session.sequence(folder, "quorate-conf-after-force quorate-pve3-after-force");
}

/// The node that is made anew is the one that the cluster's quorum depends on.
pub fn same_name_without_quorum(session: &mut Session<'_>) {
    session.cluster(&["pve1", "pve3"]);
    session.bench.kill("pve3");
    session.until("pve1", "grep -q '\"quorate\": 0' /etc/pve/.members");
    session.reinstalled("pve3");
    let folder = "19-rejoin-same-name";
    session.sequence(folder, "fresh-node-same-name-still-in-cluster pve1-status fresh-node-same-name-force");
    session.sequence(folder, "pve1-after-force pve3-after-force");
}
