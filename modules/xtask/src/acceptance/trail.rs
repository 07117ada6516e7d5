//! The audit trail: it holds over what logrotate makes of it and shows each alteration; and where no line can be written
//! nothing is done, unless that was asked for.

use anyhow::{Result, ensure};
use serde_json::json;

use super::credentials::{issue, join, links, must, refuse};
use super::scene::{Scene, same};
use crate::lab::Node;

const CLUSTER: &str = "sddc-cluster";
const LOG: &str = "/var/log/pve-cluster-audit.jsonl";
const READ_ONLY: &str = "touch LOG; chmod 0600 LOG; mount --bind LOG LOG; mount -o remount,bind,ro LOG";
const VERIFY: &str = "$(ls -t /usr/local/lib/sddc-pve/*/pve | head -1) audit verify 2>&1; echo status $?";

/// A joiner's and a member's log that can't be written, then three rotations.
pub fn holds(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(2)?;
    let (member, joiner) = (nodes[0], nodes[1]);
    must(
        scene,
        "create",
        member,
        "pve_cluster_create",
        &json!({ "cluster_name": CLUSTER, "links": links(member) }),
    )?;
    let text = issue(scene, member, "token", json!({ "node": joiner.name() }))?;
    let read_only = READ_ONLY.replace("LOG", LOG);
    let write_again = format!("umount {LOG}");
    for (label, node, spoil, mend) in [
        ("read-only", joiner, read_only.as_str(), write_again.as_str()),
        ("full", joiner, "mount -t tmpfs -o size=4k,mode=755 tmpfs /var/log", "umount /var/log"),
        ("member-read-only", member, &read_only, &write_again),
    ] {
        scene.sh(node, spoil)?;
        let before = scene.untouched(&[member])?;
        let refused =
            refuse(scene, label, joiner, &text, &["audit trail can't be written", "nothing was done"]);
        scene.sh(node, mend)?;
        refused?;
        scene.still(&before)?;
    }
    let unspent = scene.sh(member, "cd /etc/pve/priv/sddc-pve/tokens && ls *")?;
    same("what the register has of the token", &"token.json\n".to_owned(), &unspent)?;

    scene.sh(joiner, &read_only)?;
    let mut args = join(&text, joiner);
    args["audit"] = json!("best_effort");
    let run = scene.task("best-effort", joiner, "pve_cluster_join", &args, &[])?;
    scene.sh(joiner, &write_again)?;
    ensure!(run.is_success, "best_effort does not join: {}", run.messages());
    scene.healthy(&nodes)?;

    // node_prepare puts logrotate's file in place.
    scene.site("prepare", &[])?;
    for round in 0..3 {
        issue(scene, member, "line", json!({}))?;
        let older = scene.sh(member, &format!("logrotate -f /etc/logrotate.d/sddc-pve; ls {LOG}*"))?;
        ensure!(older.contains(".jsonl.1\n"), "round {round}: logrotate moved nothing: {older}");
        issue(scene, member, "line", json!({}))?;
        verdict(scene, member, true)?;
    }
    let files = scene.sh(member, &format!("ls {LOG}* | tr '\\n' ' '; stat -c '%a %U' {LOG}"))?;
    same("the files", &format!("{LOG} {LOG}.1 {LOG}.2.gz {LOG}.3.gz 600 root\n"), &files)?;
    for (what, spoil) in [
        ("a name changed in the newest file", format!("sed -i '1s/issue_token/revoke_token/' {LOG}")),
        ("a name changed in a rotated file", format!("sed -i '1s/issue_token/revoke_token/' {LOG}.1")),
        (
            "a packed file changed",
            format!("gzip -dc {LOG}.2.gz | sed '1s/_token/_thing/' | gzip >/root/x; cat /root/x >{LOG}.2.gz"),
        ),
        ("a packed file removed", format!("rm {LOG}.2.gz")),
        ("the last line cut off", format!("sed -i '$d' {LOG}")),
    ] {
        scene
            .sh(member, &format!("rm -rf /root/kept; mkdir /root/kept; cp -p {LOG}* /root/kept/; {spoil}"))?;
        let seen = verdict(scene, member, false);
        scene.sh(member, &format!("rm {LOG}*; cp -p /root/kept/* /var/log/"))?;
        seen.map_err(|error| error.context(what))?;
        verdict(scene, member, true)?;
    }
    Ok(())
}

fn verdict(scene: &Scene<'_>, node: Node, is_good: bool) -> Result<()> {
    let said = scene.sh(node, VERIFY)?;
    let expected = if is_good { "status 0" } else { "status 1" };
    ensure!(said.trim_end().ends_with(expected), "pve audit verify: expected {expected}, saw {said}");
    Ok(())
}
