//! Validation: a cluster that is broken in one way is found broken in that way, and found whole once it is mended.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::form::await_members;
use super::scene::Scene;
use crate::lab::Node;

/// A way to break a cluster.
struct Fault {
    what: &'static str,
    /// The check that must name it.
    id: &'static str,
    /// Whether the node itself says so and no other one; else the first one says it of the node.
    is_own: bool,
    break_it: fn(&Scene<'_>, Node) -> Result<()>,
    mend_it: fn(&Scene<'_>, Node) -> Result<()>,
}

const CERTIFICATE: &str = "cd /etc/pve/nodes/$(hostname) && cp pve-ssl.pem /root/kept.pem && openssl req -x509 -newkey \
                           rsa:2048 -nodes -keyout /dev/null -subj /CN=$(hostname) -days 7 -out /root/other.pem 2>/dev/null \
                           && cp /root/other.pem pve-ssl.pem";

/// corosync notices after some seconds.
const UNTIL_DISCONNECTED: &str =
    "timeout 60 sh -c 'until corosync-cfgtool -s | grep -q disconnected; do sleep 0.2; done'";

const FAULTS: &[Fault] = &[
    Fault {
        what: "a node is switched off",
        id: "members-complete",
        is_own: false,
        break_it: |scene, node| scene.lab.kill(node),
        mend_it: |scene, node| scene.lab.start(node),
    },
    Fault {
        what: "one link is cut",
        id: "links-connected",
        is_own: false,
        break_it: |scene, node| scene.lab.cut(node, Some("1".parse()?)),
        mend_it: |scene, node| scene.lab.heal(node, Some("1".parse()?)),
    },
    Fault {
        what: "chrony is frozen",
        id: "time-synchronised",
        is_own: true,
        break_it: |scene, node| scene.sh(node, "systemctl kill --signal=STOP chrony").map(drop),
        mend_it: |scene, node| scene.sh(node, "systemctl kill --signal=CONT chrony").map(drop),
    },
    Fault {
        what: "a certificate is replaced",
        id: "certificates",
        is_own: true,
        break_it: |scene, node| scene.sh(node, CERTIFICATE).map(drop),
        mend_it: |scene, node| {
            scene.sh(node, "cp /root/kept.pem /etc/pve/nodes/$(hostname)/pve-ssl.pem").map(drop)
        },
    },
    Fault {
        what: "corosync.conf of one node is another",
        id: "config-current",
        is_own: true,
        break_it: |scene, node| {
            let line = "cp /etc/corosync/corosync.conf /root/kept.conf && sed -i s/token/tokem/ /etc/corosync/corosync.conf";
            scene.sh(node, line).map(drop)
        },
        mend_it: |scene, node| scene.sh(node, "cp /root/kept.conf /etc/corosync/corosync.conf").map(drop),
    },
];

/// check.yml names each fault, in one table and with a failure, and nothing once it is mended.
pub fn faults_are_named(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    let patient = nodes[2];
    let whole = |label: &str| -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let run = scene.play("check.yml", label).run()?;
            if run.is_success {
                for node in &nodes {
                    let line = run.output.lines().find(|line| line.contains(&format!("{node} ")));
                    ensure!(line.is_some(), "the table does not show {node}");
                }
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{label}: the cluster is not found healthy: {}", run.output);
            }
        }
    };
    whole("healthy")?;
    for fault in FAULTS {
        (fault.break_it)(scene, patient)?;
        match fault.id {
            "members-complete" => await_members(scene, nodes[0], 2)?,
            "links-connected" => _ = scene.sh(nodes[0], UNTIL_DISCONNECTED)?,
            _ => {}
        }
        let run = scene.play("check.yml", fault.id).run();
        (fault.mend_it)(scene, patient)?;
        let run = run?;
        ensure!(!run.is_success, "{}: check.yml found nothing", fault.what);
        let (told, other) = if fault.is_own { (patient, nodes[0]) } else { (nodes[0], patient) };
        let line = |node: Node| {
            let named = format!("{node} [ERROR {}]", fault.id);
            run.output.lines().find(|line| line.contains(&named))
        };
        let named = line(told).is_some_and(|line| fault.is_own || line.contains(&patient.name()));
        ensure!(named, "{}: {} is not named on {told}:\n{}", fault.what, fault.id, run.output);
        ensure!(
            !fault.is_own || line(other).is_none(),
            "{}: told of {other} too:\n{}",
            fault.what,
            run.output
        );
        ensure!(run.output.contains("NODE") && run.output.contains("VERDICT"), "there is no table");
        println!("  {}: {}", fault.what, fault.id);
        whole(&format!("mended-{}", fault.id))?;
    }
    Ok(())
}
