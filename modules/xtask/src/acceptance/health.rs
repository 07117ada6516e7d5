//! Validation: a cluster that is broken in one way is found broken in that way, and found whole once it is mended.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::scene::Scene;
use crate::lab::Node;

/// A way to break a cluster.
struct Fault {
    what: &'static str,
    /// The check that must name it.
    id: &'static str,
    break_it: fn(&Scene<'_>, Node) -> Result<()>,
    mend_it: fn(&Scene<'_>, Node) -> Result<()>,
}

const CERTIFICATE: &str = "cd /etc/pve/nodes/$(hostname) && cp pve-ssl.pem /root/kept.pem && openssl req -x509 -newkey \
                           rsa:2048 -nodes -keyout /dev/null -subj /CN=$(hostname) -days 7 -out /root/other.pem 2>/dev/null \
                           && cp /root/other.pem pve-ssl.pem";

const FAULTS: &[Fault] = &[
    Fault {
        what: "a node is switched off",
        id: "members-complete",
        break_it: |scene, node| scene.lab.kill(node),
        mend_it: |scene, node| scene.lab.start(node),
    },
    Fault {
        what: "one link is cut",
        id: "links-connected",
        break_it: |scene, node| scene.lab.cut(node, Some("1".parse()?)),
        mend_it: |scene, node| scene.lab.heal(node, Some("1".parse()?)),
    },
    Fault {
        what: "chrony is frozen",
        id: "time-synchronised",
        break_it: |scene, node| scene.sh(node, "systemctl kill --signal=STOP chrony").map(drop),
        mend_it: |scene, node| scene.sh(node, "systemctl kill --signal=CONT chrony").map(drop),
    },
    Fault {
        what: "a certificate is replaced",
        id: "certificates",
        break_it: |scene, node| scene.sh(node, CERTIFICATE).map(drop),
        mend_it: |scene, node| {
            scene.sh(node, "cp /root/kept.pem /etc/pve/nodes/$(hostname)/pve-ssl.pem").map(drop)
        },
    },
    Fault {
        what: "corosync.conf of one node is another",
        id: "config-current",
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
        if fault.id == "links-connected" || fault.id == "members-complete" {
            // corosync notices after its token's time.
            std::thread::sleep(Duration::from_secs(5));
        }
        let run = scene.play("check.yml", fault.id).run();
        (fault.mend_it)(scene, patient)?;
        let run = run?;
        ensure!(!run.is_success, "{}: check.yml found nothing", fault.what);
        let named = format!("ERROR {}]", fault.id);
        ensure!(run.output.contains(&named), "{}: {named} is not named:\n{}", fault.what, run.output);
        ensure!(run.output.contains("NODE") && run.output.contains("VERDICT"), "there is no table");
        println!("  {}: {}", fault.what, fault.id);
        whole(&format!("mended-{}", fault.id))?;
    }
    Ok(())
}
