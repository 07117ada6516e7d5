//! Joining: what is refused and what it leaves behind, success, and once more on a member (golden 07 to 11).

use crate::session::Session;

pub fn refusals(session: &mut Session<'_>) {
    let folder = "07-add-errors";
    session.cluster(&["pve1"]);
    session.fresh(&["pve2", "pve3"]);
    session.sequence(
        folder,
        "missing-arg malformed-fingerprint cwd-etc-pve no-pty-stdin-devnull ctrl-c-at-password",
    );
    session
        .sequence(folder, "wrong-password wrong-password-with-fingerprint empty-password wrong-fingerprint");
    session.sequence(folder, "lowercase-fingerprint-wrong-pw no-pty-wrong-password-on-stdin");
    session.sequence(folder, "fingerprint-answer-no fingerprint-answer-no-2 fingerprint-answer-empty");
    session.sequence(
        folder,
        "host-unreachable host-unresolvable host-no-8006 host-is-standalone-node host-self",
    );
    session.sequence(folder, "link-address-not-local link1-not-in-cluster only-link1");
    session.sequence(folder, "pve1-clusterconf-after-failed-attempts");
    session.all("07-add-errors/pve2-files-after-failed-attempts/*");
    session.sequence(folder, "prep-guest guests-exist prep-guest-rm");
    session.sequence(folder, "nodeid-taken");
    session.all("07-add-errors/nodeid-taken--after-*");
}

pub fn success(session: &mut Session<'_>) {
    session.cluster(&["pve1"]);
    session.fresh(&["pve2", "pve3"]);
    session.case("08-add-success/pvecm-add-fingerprint");
    session.until_quorate("pve2", 2);
    session.until_quorate("pve1", 2);
    session.all("08-add-success/pve1-files/*");
    session.all("08-add-success/pve2-files/*");
    session.all("09-two-nodes/*");
    session.all("10-already-member/*");
    session.case("08-add-success/no-pty-password-on-stdin");
    session.until_quorate("pve3", 3);
}

/// Needs sshd, which only the lab's containers run.
pub fn over_ssh(session: &mut Session<'_>) {
    if !session.bench.is_genuine() {
        return;
    }
    session.cluster(&["pve1", "pve2"]);
    session.fresh(&["pve3"]);
    session.all("11-add-use_ssh/*");
}
