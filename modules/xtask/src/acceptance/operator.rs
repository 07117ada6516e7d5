//! The playbooks that a person plays by hand: tokens and the audit trails, with what they say when something is wrong.

use anyhow::{Context, Result, ensure};

use super::play::Run;
use super::scene::{Scene, same};
use crate::lab::Node;

const KEYS: &str = "grep -o 'sddc-pve-token-[a-z0-9]*' /etc/pve/priv/authorized_keys | sort; true";
const TRAIL: &str = "/var/log/pve-cluster-audit.jsonl";

/// token.yml and audit.yml over a cluster.
pub fn playbooks(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    tokens(scene, nodes[0])?;
    // It has more than one line: created the cluster, admitted, issued.
    trails(scene, nodes[0])
}

fn tokens(scene: &Scene<'_>, member: Node) -> Result<()> {
    let play = |label: &str, args: &[&str]| -> Result<Run> {
        let args: Vec<&str> = args.iter().flat_map(|arg| ["-e", arg]).collect();
        scene.play("token.yml", label).args(args).run()
    };
    let must = |label: &str, args: &[&str]| -> Result<Run> {
        let run = play(label, args)?;
        ensure!(run.is_success, "{label} failed: {}", run.messages());
        Ok(run)
    };
    let first = must("issue", &["pve_token=issue", "pve_token_node=pve9", "pve_token_ttl=600"])?;
    let first = issued(&first)?;
    ensure!(scene.sh(member, KEYS)?.contains(&first), "sshd was not told of token {first}");
    let listed = must("list", &[])?;
    ensure!(listed.output.contains(&first) && !listed.output.contains("proxmox."), "the list is not right");

    // Reasons are told though results are not.
    for (label, args, words) in [
        ("rotate-another", &["pve_token=rotate", "pve_token_id=k3x9mqp2ab"][..], "k3x9mqp2ab"),
        ("too-long", &["pve_token=issue", "pve_token_ttl=604801"], "60 to 604800"),
        ("other-cluster", &["pve_token=issue", "cluster_name=prod"], "not \"prod\""),
        ("no-id", &["pve_token=revoke"], "pve_token_id"),
    ] {
        let run = play(label, args)?;
        ensure!(!run.is_success && run.messages().contains(words), "{label} says: {}", run.messages());
    }
    let before = scene.sh(member, KEYS)?;
    let rotated = issued(&must("rotate", &["pve_token=rotate", &format!("pve_token_id={first}")])?)?;
    let after = scene.sh(member, KEYS)?;
    ensure!(after.contains(&rotated) && !after.contains(&first), "rotated from {before} to {after}");
    must("revoke", &["pve_token=revoke", &format!("pve_token_id={rotated}")])?;
    same("keys after the last token was revoked", &String::new(), &scene.sh(member, KEYS)?)?;
    let pruned = must("prune", &["pve_token=prune"])?;
    same("changes of pruning nothing", &Vec::<String>::new(), &pruned.changed)
}

/// The id in the token that a play showed.
fn issued(run: &Run) -> Result<String> {
    let id = run.output.split("proxmox.").nth(1).and_then(|rest| rest.split('.').next());
    id.map(str::to_owned).with_context(|| format!("no token is shown: {}", run.output))
}

fn trails(scene: &Scene<'_>, victim: Node) -> Result<()> {
    let play = |label: &str| scene.play("audit.yml", label).run();
    let whole = play("whole")?;
    ensure!(whole.is_success, "a whole trail is doubted: {}", whole.messages());
    for word in ["create", "join", "issue_token", "revoke_token", "pve3"] {
        ensure!(whole.output.contains(word), "the table does not show {word}");
    }
    // A line that is no entry of ours, and one that was changed.
    for (label, edit) in [
        ("foreign", format!("echo '{{\"previous\":\"x\"}}' >>{TRAIL}")),
        ("changed", format!("sed -i '1s/\"result\":\"[a-z_]*\"/\"result\":\"refused\"/' {TRAIL}")),
    ] {
        scene.sh(victim, &format!("cp -p {TRAIL} /root/trail"))?;
        scene.sh(victim, &edit)?;
        let run = play(label)?;
        scene.sh(victim, &format!("cp -p /root/trail {TRAIL}"))?;
        let doubted: Vec<&String> = run.failed.keys().collect();
        same("nodes whose trail is doubted", &vec![&victim.name()], &doubted).context(label)?;
        ensure!(run.output.contains("does not follow"), "{label}: {}", run.output);
    }
    let again = play("again")?;
    ensure!(again.is_success, "the trail that was put back is doubted: {}", again.messages());
    Ok(())
}
