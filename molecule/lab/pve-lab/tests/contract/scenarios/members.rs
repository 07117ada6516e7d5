//! Three nodes: healthy, one down, without quorum, and the admission of more (golden 12 to 15).

use crate::session::Session;

const NODES: [&str; 3] = ["pve1", "pve2", "pve3"];

pub fn three_nodes(session: &mut Session<'_>) {
    session.cluster(&NODES);
    NODES.iter().for_each(|node| session.until_quorate(node, 3));
    session.all("12-three-nodes/*");
}

pub fn admission(session: &mut Session<'_>) {
    let folder = "13-addnode-api";
    session.cluster(&NODES);
    session
        .sequence(folder, "pvesh-create-nodes-existing pvesh-create-nodes-existing-force conf-after-force");
    session
        .sequence(folder, "pvesh-create-nodes-new-no-args conf-after-no-args pvesh-create-nodes-new-apiver");
    session.sequence(folder, "status-with-phantom-node delnode-phantom pvesh-create-nodes-badname");
    session
        .sequence(folder, "pvesh-create-nodes-dup-ip pvesh-create-nodes-link1 pvesh-create-nodes-apiver-0");
    session
        .sequence(folder, "pvecm-addnode-cli join-info-with-phantom-node join-info-with-phantom-node-http");
    session.sequence(folder, "cluster-status-with-phantom-node-http join-info-phantom-cleanup");
}

pub fn without_quorum(session: &mut Session<'_>) {
    session.cluster(&NODES);
    // As before on the recorded cluster: its file is in a listing.
    session.case("12-three-nodes/token-on-cluster");
    session.bench.kill("pve3");
    session.until("pve1", "grep -q '\"pve3\": { \"id\": 3, \"online\": 0' /etc/pve/.members");
    session.all("14-one-down/*");
    session.fresh(&["pve4"]);
    session.bench.kill("pve2");
    session.until("pve1", "grep -q '\"quorate\": 0' /etc/pve/.members");
    session.all("15-no-quorum/*");
}
