//! The register of tokens where things go wrong: a member that was cut off while it spent one, a member that is down, and
//! clocks that differ, for which sshd and the forced command must each refuse alone.

use anyhow::{Result, ensure};
use serde_json::json;

use super::credentials::{issue, join, links, must, nothing_left, refuse};
use super::scene::{Scene, same};
use crate::lab::Node;

const CLUSTER: &str = "sddc-cluster";
const KEYS: &str = "/etc/pve/priv/authorized_keys";

/// Two members and a joiner.
pub fn holds(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let (first, second, joiner) = (nodes[0], nodes[1], nodes[2]);
    let create = json!({ "cluster_name": CLUSTER, "links": links(first) });
    must(scene, "create", first, "pve_cluster_create", &create)?;
    let text = issue(scene, first, "second", json!({ "node": second.name() }))?;
    must(scene, "join", second, "pve_cluster_join", &join(&text, second))?;
    scene.healthy(&nodes[..2])?;

    // Killed between the directory that spends a token and the file that says who did: it is nobody's from now on.
    let text = issue(scene, first, "half", json!({}))?;
    scene.sh(second, &format!("mkdir {}/spent", home(&text)))?;
    refuse(scene, "half-spent", joiner, &text, &["cut off", "issue another"])?;
    not_listed(scene, first, joiner)?;
    let half = id(&text).to_owned();
    let text = issue(scene, first, "instead", json!({ "replaces": [half] }))?;
    ensure!(!scene.sh(second, "ls /etc/pve/priv/sddc-pve/tokens")?.contains(&half), "it was not revoked");

    clocks(scene, second, joiner, &text)?;

    // The other member has no power: quorum is gone, and the token must not be spent for nothing.
    scene.lab.kill(second)?;
    let lost =
        "timeout 60 sh -c 'until corosync-quorumtool -s | grep -q \"Quorate:.*No\"; do sleep 0.2; done'";
    scene.sh(first, lost)?;
    refuse(scene, "no-quorum", joiner, &text, &["quor"])?;
    same(
        "the token's directory",
        &"token.json\n".to_owned(),
        &scene.sh(first, &format!("ls {}", home(&text)))?,
    )?;
    scene.lab.start(second)?;
    scene.healthy(&nodes[..2])?;

    // The first that the token names does not answer at all: the next one does.
    scene
        .sh(first, "systemctl stop ssh.socket ssh.service 2>/dev/null; ! systemctl is-active --quiet ssh")?;
    let joined = scene.task("one-answers", joiner, "pve_cluster_join", &join(&text, joiner), &[]);
    scene.sh(first, "systemctl start ssh")?;
    let joined = joined?;
    ensure!(joined.is_success, "the other member was not asked: {}", joined.messages());
    scene.healthy(&nodes)?;
    nothing_left(scene, &nodes)
}

/// A clock can't be put wrong in a container; the expiry that it is compared with can. First only for the forced command,
/// as on a member whose clock is ahead of the one that let the key in; then only for sshd.
fn clocks(scene: &Scene<'_>, member: Node, joiner: Node, text: &str) -> Result<()> {
    let (file, id) = (format!("{}/token.json", home(text)), id(text));
    let before = scene.sh(member, &format!("cat {file}"))?;
    scene.sh(member, &format!("cp {file} /root/token.json; sed -i \"s/\\\"expires\\\":[0-9]*/\\\"expires\\\":$(($(date +%s) - 600))/\" {file}"))?;
    ensure!(scene.sh(member, &format!("cat {file}"))? != before, "the register was not changed");
    refuse(scene, "ahead-command", joiner, text, &["expired", id])?;
    scene.sh(member, &format!("tee {file} </root/token.json"))?;

    scene.sh(member, &format!("cp {KEYS} /root/keys; sed -i \"/{id}/s/expiry-time=.[0-9]*Z/expiry-time=\\\"$(date -u -d '-10 min' +%Y%m%d%H%M%SZ)/\" {KEYS}"))?;
    ensure!(
        scene.sh(member, &format!("diff -q {KEYS} /root/keys || echo other"))?.contains("other"),
        "no line was changed"
    );
    refuse(scene, "ahead-sshd", joiner, text, &["refuses the key"])?;
    scene.sh(member, &format!("tee {KEYS} </root/keys")).map(drop)
}

fn not_listed(scene: &Scene<'_>, member: Node, joiner: Node) -> Result<()> {
    let conf = scene.sh(member, "cat /etc/pve/corosync.conf")?;
    ensure!(!conf.contains(&joiner.name()), "the cluster lists {joiner}: {conf}");
    Ok(())
}

fn id(text: &str) -> &str {
    text.split('.').nth(1).unwrap_or_default()
}

fn home(text: &str) -> String {
    format!("/etc/pve/priv/sddc-pve/tokens/{}", id(text))
}
