//! A cluster with two links: made, joined wrongly, healthy, and with one link of one node cut (golden 30).

use crate::session::Session;

/// What the transcripts were recorded with: link 0 preferred; the third node has id 7 and two votes.
fn options(node: &str) -> String {
    let number = &node[3..];
    match node {
        "pve1" => "--link0 10.88.0.11,priority=20 --link1 10.89.0.11,priority=10".to_owned(),
        "pve3" => "--link0 10.88.0.13 --link1 10.89.0.13 --nodeid 7 --votes 2".to_owned(),
        _ => format!("--link0 10.88.0.1{number} --link1 10.89.0.1{number}"),
    }
}

pub fn two_links(session: &mut Session<'_>) {
    let nodes = ["pve1", "pve2", "pve3"];
    session.cluster_with(&nodes, options);
    nodes.iter().for_each(|node| session.until_quorate(node, 3));
    session.all("30-dual-link/10-*");
    session.bench.plug("pve3", 1, false);
    session.until("pve1", "corosync-cfgtool -s | grep disconnected");
    session.until("pve3", "corosync-cfgtool -s | grep disconnected");
    session.all("30-dual-link/11-*");
}

pub fn errors(session: &mut Session<'_>) {
    session.fresh(&["pve1", "pve2"]);
    session.case("30-dual-link/01-create");
    session.until_quorate("pve1", 1);
    session.sequence("30-dual-link", "02-conf 03-join-no-links 04-join-link0-only");
    session.case("30-dual-link/05-join-link1-address-wrong-net");
    session.until_quorate("pve1", 2);
    session.sequence("30-dual-link", "05b-conf-after 05c-pve2-state 05d-pve1-state");
}

/// A join that comes too early, and one whose end fails.
pub fn unlucky_joins(session: &mut Session<'_>) {
    session.fresh(&["pve1", "pve2", "pve3"]);
    // The early join needs the time that a genuine node takes to become quorate.
    session.delays(&["pve1"], true);
    session.sequence("30-dual-link", "05e-create-again 06a-join-immediately-after-create-RACE");
    session.delays(&["pve1"], false);
    session.until_quorate("pve1", 1);
    session.known.forget();
    let fault = r#"{"rename_fails":["/etc/pve/priv/authorized_keys"]}"#;
    session.must("pve3", &format!("echo '{fault}' >/var/lib/pve-lab/faults.json"));
    session.case("30-dual-link/07a-add-nodeid7-votes2-as-second-node");
    session.must("pve3", "rm /var/lib/pve-lab/faults.json");
    session.until_quorate("pve1", 2);
    session.case("30-dual-link/06-join-both-links-pvesh");
    session.until_quorate("pve1", 3);
    session.case("30-dual-link/07c-state-pve3-after");
}
