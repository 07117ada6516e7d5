//! Creating a cluster: what is refused, what is accepted though it should not be, and the state after it (golden
//! 03 to 06).

use crate::session::Session;

pub fn refusals(session: &mut Session<'_>) {
    session.fresh(&["pve1", "pve2"]);
    session.all("03-create-errors/name-*");
    session.all("03-create-errors/nodeid-*");
    session.all("03-create-errors/votes-*");
    session.all("03-create-errors/link0-bad-*");
    session.all("03-create-errors/api-create-*");
    session.sequence("03-create-errors", "extra-arg link8 unknown-option");
    // Nothing of all that may have made a cluster.
    session.must("pve1", "test ! -e /etc/pve/corosync.conf");
}

/// Links that PVE takes and corosync can't use.
pub fn unusable(session: &mut Session<'_>) {
    let nodes = ["pve1", "pve3", "pve4"];
    session.fresh(&nodes);
    // Recorded in the seconds after create in which nothing can be written yet.
    session.delays(&nodes, true);
    for case in ["link0-not-local", "link1-dup-address", "link0-unresolvable"] {
        session.case(&format!("03-create-errors/{case}"));
        session.all(&format!("03-create-errors/{case}--after-write"));
        if case != "link0-unresolvable" {
            let node = if case == "link0-not-local" { "pve4" } else { "pve3" };
            session.until_quorate(node, 1);
        }
        session.all(&format!("03-create-errors/{case}--after-*"));
    }
}

pub fn success(session: &mut Session<'_>) {
    session.fresh(&["pve1"]);
    session.case("04-create-success/pvecm-create");
    session.until_quorate("pve1", 1);
    session.all("04-create-success/task-log");
    session.all("05-single-node/*");
    let folder = "06-create-again";
    session.sequence(folder, "pvecm-create-same pvecm-create-other api-create updatecerts updatecerts-force");
    session.sequence(folder, "cert-after-force expected-1 expected-3 status-after-expected-3 expected-back");
    session.sequence(folder, "delnode-self delnode-unknown");
    session.fresh(&["pve1"]);
    session.case("04-create-success/pvecm-create-2nd-sample");
}
