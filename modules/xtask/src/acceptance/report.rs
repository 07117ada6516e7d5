//! The report: written whatever the nodes answer, with the figures that corosync and openssl tell as well, and with what a
//! hostile node or inventory says as text.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::scene::{Scene, same};
use crate::lab::Node;
use crate::test::report::legible;

const SCRIPT: &str = "<script>document.title=1</script>";
const ESCAPED: &str = "&lt;script&gt;document.title=1&lt;/script&gt;";

/// Before there is a cluster, healthy, with hostile texts, with one node off, without quorum.
pub fn of_every_state(scene: &Scene<'_>) -> Result<()> {
    fresh(scene)?;
    let nodes = scene.formed(3)?;
    let before = scene.untouched(&nodes)?;
    let healthy = write(scene, "healthy", &[])?;
    scene.still_but(&before, &["/etc/pve/priv/sddc-pve-seen"])?;
    says(&healthy, &["<strong>Healthy</strong>", "Every check of the cluster passed on every node"])?;
    figures(scene, &nodes, &healthy)?;

    hostile(scene, &nodes)?;

    scene.lab.kill(nodes[2])?;
    let lost = "timeout 60 sh -c 'until corosync-quorumtool -s | grep -q \"^Nodes: *2\"; do sleep 0.2; done'";
    scene.sh(nodes[0], lost)?;
    let sick = write(scene, "sick", &[])?;
    says(&sick, &["<strong>Needs attention</strong>", "1 of 3 nodes does not answer", "members-complete"])?;
    says(&sick, &[">2 of 3</span>", "2 present ≥ 2 needed: the next vote that is lost costs quorum"])?;
    ensure!(sick.contains(">down</span>"), "no path is down");

    scene.lab.kill(nodes[1])?;
    let lost =
        "timeout 60 sh -c 'until corosync-quorumtool -s | grep -q \"Quorate:.*No\"; do sleep 0.2; done'";
    scene.sh(nodes[0], lost)?;
    let lost = write(scene, "no-quorum", &[])?;
    says(&lost, &["<strong>Without quorum</strong>", "1 present &lt; 2 needed: 1 vote is missing"])?;

    scene.lab.kill(nodes[0])?;
    let silent = write(scene, "silent", &[])?;
    says(&silent, &["<strong>No node answered</strong>", ">0 of 3</span>"])?;
    for node in &nodes {
        scene.lab.start(*node)?;
    }
    scene.healthy(&nodes)
}

/// Nodes that are no members yet tell of no link; measured, they do, and no responder stays.
fn fresh(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let before = scene.untouched(&nodes)?;
    let plain = write(scene, "fresh", &[])?;
    says(&plain, &["No node tells of a link to another one"])?;
    let probed = write(scene, "fresh-probed", &["-e", "pve_report_probe=true"])?;
    says(&probed, &["measured by <code>pve_link_probe</code>", "% lost, MTU 1500"])?;
    same("measured paths", &12, &probed.matches("lost, MTU 1500</small>").count())?;
    scene.still_but(&before, &["/root/.ansible"])?;
    for node in &nodes {
        let sockets = scene.sh(*node, "ss --no-header -ulpn 'sport >= 5405 and sport <= 5412'")?;
        ensure!(sockets.is_empty(), "{node} still listens: {sockets}");
    }
    Ok(())
}

/// Plays report.yml, which never fails for what it finds; the file is for the eyes of its owner only.
fn write(scene: &Scene<'_>, label: &str, args: &[&str]) -> Result<String> {
    use std::os::unix::fs::PermissionsExt;
    let file = scene.dir().join(format!("{label}.html"));
    let into = format!("pve_report_file={}", file.display());
    let run = scene.play("report.yml", label).args(["-e", &into]).args(args.iter().copied()).succeed()?;
    println!("  {label}: {:.1} s", run.elapsed.as_secs_f32());
    let mode = fs::metadata(&file).with_context(|| format!("no {}", file.display()))?.permissions().mode();
    same("mode of the report", &0o600, &(mode & 0o777))?;
    legible(scene.project, scene.dir().join(format!("{label}-pictures")), &file)?;
    Ok(fs::read_to_string(&file)?)
}

fn says(report: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(report.contains(word), "the report does not say {word:?}");
    }
    Ok(())
}

/// What others tell of the same: votes, configuration, end of certificates, paths and their round trips, operations.
fn figures(scene: &Scene<'_>, nodes: &[Node], report: &str) -> Result<()> {
    let version = format!("corosync.conf version {}", scene.config_version(nodes[0])?);
    says(
        report,
        &[&version, "⌊3 ÷ 2⌋ + 1 = 2", "3 present ≥ 2 needed: 1 more vote may be lost", ">12 of 12</span>"],
    )?;
    for node in nodes {
        let line = "end=$(openssl x509 -noout -enddate -in /etc/pve/nodes/$(hostname)/pve-ssl.pem | cut -d= -f2); \
                    echo $((($(date -d \"$end\" +%s) - $(date +%s)) / 86400))";
        let days: i64 = scene.sh(*node, line)?.trim().parse().context("no days")?;
        let row = format!("{node}<small>pve-ssl.pem</small></th>\n<td class=\"number\">");
        let told = report.split_once(&row).and_then(|(_, rest)| rest.split_once(" days"));
        let told: i64 = told.context("no days of the certificate")?.0.parse()?;
        ensure!((told - days).abs() <= 1, "{node}: {told} days in the report, {days} says openssl");
    }
    // knet's averages move; none is ever this far off, in a lab or in the report.
    let averages = scene
        .sh(nodes[0], "corosync-cmapctl -m stats stats.knet. | awk '/latency_ave/ && $NF > 0 {print $NF}'")?;
    same("paths that corosync measures", &4, &averages.lines().count())?;
    let cells: Vec<f32> = report
        .split("<td class=\"heat ")
        .skip(1)
        .filter_map(|cell| cell.split_once("<span>")?.1.split_once("</span>")?.0.parse().ok())
        .collect();
    same("round trips in the report", &12, &cells.len())?;
    ensure!(cells.iter().all(|took| (0.01..1000.0).contains(took)), "round trips of {cells:?} ms");
    let joins = scene.sh(nodes[1], "grep -c '\"operation\":\"join\"' /var/log/pve-cluster-audit.jsonl")?;
    ensure!(joins.trim() != "0" && report.contains("<strong>join</strong>"), "the audit trail is not shown");
    Ok(())
}

/// A host name in a file of a node, a line in its audit trail, a name in the inventory.
fn hostile(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let inventory = scene.dir().join("hostile.ini");
    let host = format!("hostile ansible_host=127.0.0.1 ansible_port=1 pve_node_name='{SCRIPT}'");
    fs::write(&inventory, format!("[proxmox_nodes]\n{host}\n"))?;
    scene.lab.write(nodes[0], "/root/hostile", SCRIPT)?;
    let log = "/var/log/pve-cluster-audit.jsonl";
    let spoil = format!(
        "cp -p /etc/hostname /root/kept-name; cp /root/hostile /etc/hostname; cp -p {log} /root/kept-log; \
         sed -i '$s|\"operation\":\"[a-z_]*\"|\"operation\":\"'\"$(cat /root/hostile)\"'\"|' {log}"
    );
    scene.sh(nodes[0], &spoil)?;
    let written = write(scene, "hostile", &["-i", &inventory.display().to_string()]);
    scene.sh(nodes[0], &format!("cp -p /root/kept-name /etc/hostname; cp -p /root/kept-log {log}"))?;
    let report = written?;
    ensure!(!report.contains("<script"), "a script is in the report");
    let count = report.matches(ESCAPED).count();
    ensure!(count >= 10, "what is hostile is shown {count} times only");
    says(&report, &["hostname-kept", "is not as it was written", &format!("<strong>{ESCAPED}</strong>")])
}
