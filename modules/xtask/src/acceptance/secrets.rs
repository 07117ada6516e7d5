//! No secret where it could be read: output at -vvvv, journals, processes, files.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use super::scene::{PASSWORD, Scene};

/// Watches every process's command line and environment until its flag file is gone.
const WATCH: &str = "\
while [ -e /run/ps-watch ]; do
  for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do tr '\\0' ' ' <$f; echo; done
done >/root/ps-watch.log 2>/dev/null
";
const START: &str =
    "touch /run/begun /run/ps-watch; setsid sh /root/ps-watch.sh </dev/null >/dev/null 2>&1 &";
/// Regular files that others than root can read, or that outlive the join, newer than the play.
const FILES: &str = "find / -xdev \\( -path /proc -o -path /sys -o -name ps-watch.log \\) -prune -o -type f -newer /run/begun -print0";

/// Joins over the API with root's password at -vvvv and looks for the password everywhere, then for the cluster's key.
pub fn nowhere(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let secrets = scene.dir().join("secrets.yml");
    std::fs::write(&secrets, format!("pve_join_password: \"{PASSWORD}\"\n"))?;
    for node in &nodes {
        scene.lab.write(*node, "/root/ps-watch.sh", WATCH)?;
        scene.sh(*node, START)?;
    }
    let run = scene
        .play("site.yml", "vvvv")
        .args(["-vvvv", "--diff", "-e", "pve_join_method=api", "-e"])
        .args([format!("@{}", secrets.display())])
        .run()?;
    for node in &nodes {
        scene.sh(*node, "rm /run/ps-watch")?;
    }
    ensure!(run.is_success, "the join over the API failed: {}", run.messages());
    scene.healthy(&nodes)?;
    ensure!(!run.output.contains(PASSWORD), "the output at -vvvv has the password");

    let key = scene.sh(nodes[0], "base64 -w0 /etc/corosync/authkey")?;
    let key = key.get(..60).ok_or_else(|| anyhow!("no authkey"))?;
    ensure!(!run.output.contains(key), "the output at -vvvv has the authkey");
    for node in &nodes {
        // The watch ends by itself once its flag is gone.
        thread::sleep(Duration::from_millis(300));
        let seen = scene.sh(*node, "wc -l </root/ps-watch.log")?;
        ensure!(seen.trim().parse::<u64>().unwrap_or(0) > 1000, "no processes were watched on {node}");
        for secret in [PASSWORD, key] {
            let hits = scene.sh(*node, &format!("grep -cF -- '{secret}' /root/ps-watch.log || true"))?;
            ensure!(hits.trim() == "0", "a process of {node} showed a secret {} times", hits.trim());
            let hits =
                scene.sh(*node, &format!("journalctl --no-pager | grep -F -- '{secret}' | head -3"))?;
            ensure!(hits.is_empty(), "the journal of {node} has a secret: {hits}");
            let hits = scene.sh(*node, &format!("{FILES} | xargs -0 -r grep -lF -- '{secret}' || true"))?;
            ensure!(hits.is_empty(), "files of {node} have a secret: {hits}");
        }
        let open = scene.sh(
            *node,
            "find /var/lib/sddc-pve /run/sddc-pve /var/log/pve-cluster-audit.jsonl -perm /077 -type f; true",
        )?;
        ensure!(open.is_empty(), "others can read {open} on {node}");
        let audit = scene.sh(*node, "cat /var/log/pve-cluster-audit.jsonl")?;
        ensure!(!audit.is_empty(), "{node} has no audit line");
    }
    Ok(())
}
