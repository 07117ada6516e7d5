//! A quorum device for two nodes, with Debian's own corosync-qnetd and corosync-qdevice: set up, at work when a node is lost,
//! missed when its host is, in the way of a join, removed without a trace. Proven with corosync's tools and NSS'.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::form::await_members;
use super::play::Run;
use super::scene::{Scene, refused, same};
use crate::lab::{LINKS, Node};
use crate::quorum_watch::{OFTEN, proven, start};

const LIMIT: Duration = Duration::from_secs(180);
const ABSENT: [&str; 2] = ["-e", "pve_qdevice_state=absent"];
/// Whatever a device may leave on a member.
const TRACES: &str = "ls -d /etc/corosync/qdevice /run/sddc-pve/qdevice 2>/dev/null; grep -n device /etc/corosync/corosync.conf; \
                      systemctl is-enabled corosync-qdevice | grep -v disabled; systemctl is-active corosync-qdevice | grep -v \
                      inactive; corosync-quorumtool -s | grep -i qdevice; true";
/// Copies of a key that was to stay in its database.
const KEYS: &str = "find /etc /run /root /tmp /var/tmp /var/lib -xdev -name '*.p12' 2>/dev/null; true";

/// Plays a playbook over the two nodes: its name, a label, arguments.
type Plays<'p> = dyn Fn(&str, &str, &[&str]) -> Result<Run> + 'p;

/// One cluster through all of it.
pub fn all(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(4)?;
    let (pair, host) = (&nodes[..2], nodes[2]);
    let two = inventory(scene, "two", pair, host)?;
    let play = |playbook: &str, label: &str, args: &[&str]| -> Result<Run> {
        scene.play(playbook, label).inventory(two.clone()).args(args.iter().copied()).run()
    };
    let succeeded = |playbook: &str, label: &str, args: &[&str]| -> Result<Run> {
        let run = play(playbook, label, args)?;
        ensure!(run.is_success, "{label}: {}", run.messages());
        Ok(run)
    };
    let formed = succeeded("site.yml", "form", &[])?;
    ensure!(
        formed.output.contains("playbooks/qdevice.yml"),
        "the plan of two nodes does not name the playbook"
    );
    scene.healthy(pair)?;

    let before = scene.untouched(&nodes[..3])?;
    let nobody = host.address(LINKS[0]).replace(".13", ".250");
    let member = pair[1].address(LINKS[0]);
    for (label, address, id) in
        [("nobody", nobody, "[qnetd-unreachable]"), ("member", member, "[host-is-member]")]
    {
        let run = play("qdevice.yml", label, &["-e", &format!("pve_qdevice_address={address}")])?;
        refused(&run, &[id], LIMIT)?;
    }
    let foretold = succeeded("qdevice.yml", "check", &["--check", "--diff"])?;
    ensure!(foretold.output.contains("algorithm: ffsplit"), "the check run shows no corosync.conf");
    ensure!(!foretold.changed.is_empty(), "the check run foretells nothing");
    scene.still(&before)?;

    start(&scene.lab, pair, OFTEN)?;
    let version = scene.config_version(pair[0])?;
    let run = succeeded("qdevice.yml", "set-up", &[])?;
    println!("  set up in {:.1} s", run.elapsed.as_secs_f64());
    proven(&scene.lab, pair)?;
    voting(scene, pair)?;
    certified(scene, pair, host)?;
    same("config_version", &(version + 1), &scene.config_version(pair[1])?)?;
    let again = succeeded("qdevice.yml", "again", &[])?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    let site = succeeded("site.yml", "site-again", &[])?;
    same("changes of site.yml", &Vec::<String>::new(), &site.changed)?;

    loss_of_a_node(scene, pair, &play)?;
    loss_of_the_host(scene, pair, host, &play)?;

    let three = [pair[0], pair[1], nodes[3]];
    let all = inventory(scene, "three", &three, host)?;
    let run = scene.play("site.yml", "join-refused").inventory(all.clone()).run()?;
    refused(&run, &["quorum device", "pve_qdevice_state=absent"], LIMIT)?;
    same("config_version", &(version + 1), &scene.config_version(pair[0])?)?;

    start(&scene.lab, pair, OFTEN)?;
    let run = succeeded("qdevice.yml", "remove", &ABSENT)?;
    println!("  removed in {:.1} s", run.elapsed.as_secs_f64());
    proven(&scene.lab, pair)?;
    gone(scene, pair, host)?;
    let again = succeeded("qdevice.yml", "remove-again", &ABSENT)?;
    same("changes of the second removal", &Vec::<String>::new(), &again.changed)?;

    scene.play("site.yml", "join").inventory(all.clone()).succeed()?;
    scene.healthy(&three)?;
    let run = scene.play("qdevice.yml", "odd").inventory(all).run()?;
    refused(&run, &["[odd-votes]", "3 nodes"], LIMIT)?;
    gone(scene, pair, host)
}

/// The other goes on alone, the device can't be taken from it, and the node comes back.
fn loss_of_a_node(scene: &Scene<'_>, pair: &[Node], play: &Plays<'_>) -> Result<()> {
    start(&scene.lab, &pair[..1], OFTEN)?;
    scene.lab.kill(pair[1])?;
    await_members(scene, pair[0], 1)?;
    let text = awaited(scene, pair[0], |text| value(text, "Total votes:") == Some("2"))?;
    ensure!(value(&text, "Quorate:") == Some("Yes"), "{} is alone and not quorate: {text}", pair[0]);
    scene.sh(pair[0], "touch /etc/pve/written && rm /etc/pve/written")?;
    proven(&scene.lab, &pair[..1])?;
    let run = play("qdevice.yml", "remove-alone", &[ABSENT[0], ABSENT[1]])?;
    refused(&run, &["[quorum-forecast]", pair[1].name().as_str()], LIMIT)?;
    scene.lab.start(pair[1])?;
    scene.healthy(pair)?;
    voting(scene, pair)
}

/// Validation names it; nothing else is lost, and the vote comes back with the host.
fn loss_of_the_host(scene: &Scene<'_>, pair: &[Node], host: Node, play: &Plays<'_>) -> Result<()> {
    scene.sh(host, "systemctl stop corosync-qnetd")?;
    awaited(scene, pair[0], |text| value(text, "Total votes:") == Some("2"))?;
    let run = play("check.yml", "host-down", &[])?;
    ensure!(!run.is_success, "check.yml finds nothing wrong without the QNetd host");
    ensure!(run.output.contains("ERROR qdevice-votes]"), "qdevice-votes is not named:\n{}", run.output);
    // The playbook brings back what it set up.
    let run = play("qdevice.yml", "host-back", &[])?;
    ensure!(run.is_success, "{}", run.messages());
    voting(scene, pair)?;
    let run = play("check.yml", "healthy", &[])?;
    ensure!(run.is_success, "check.yml: {}", run.messages());
    Ok(())
}

/// Every member casts the device's vote, and all see it.
fn voting(scene: &Scene<'_>, pair: &[Node]) -> Result<()> {
    for node in pair {
        awaited(scene, *node, |text| {
            let rows = text.lines().filter(|line| line.contains("A,V,NMW")).count();
            let votes = ["Expected votes:", "Total votes:"].map(|key| value(text, key));
            rows == pair.len() && votes == [Some("3"), Some("3")] && text.contains("Qdevice")
        })?;
    }
    Ok(())
}

/// Each member showed a certificate of its own to the QNetd host, and no key has left its database.
fn certified(scene: &Scene<'_>, pair: &[Node], host: Node) -> Result<()> {
    let clients = scene.sh(host, "corosync-qnetd-tool -lv")?;
    let verified = clients.matches("client certificate verified").count();
    same("clients that QNetd verified", &pair.len(), &verified)?;
    let mut keys = Vec::new();
    for node in pair {
        let key = "certutil -K -d /etc/corosync/qdevice/net/nssdb -f /etc/corosync/qdevice/net/nssdb/pwdfile.txt 2>/dev/null";
        keys.push(scene.sh(*node, key)?);
        same("copies of the key", &String::new(), &scene.sh(*node, KEYS)?)?;
    }
    ensure!(keys[0] != keys[1] && keys[0].contains("rsa"), "the members share a key: {keys:?}");
    same("copies of the key on the QNetd host", &String::new(), &scene.sh(host, KEYS)?)?;
    let trail = scene.sh(pair[0], "grep '\"operation\":\"qdevice\"' /var/log/pve-cluster-audit.jsonl")?;
    ensure!(
        trail.contains("\"refused\"") || trail.contains("\"succeeded\""),
        "the trail does not tell: {trail}"
    );
    Ok(())
}

fn gone(scene: &Scene<'_>, pair: &[Node], host: Node) -> Result<()> {
    for node in pair {
        same("traces of the device", &String::new(), &scene.sh(*node, TRACES)?)?;
        let text = scene.sh(*node, "corosync-quorumtool -s || true")?;
        let nodes = value(&text, "Nodes:").map(str::to_owned);
        same("expected votes", &nodes, &value(&text, "Expected votes:").map(str::to_owned))?;
    }
    let left = scene.sh(host, "ls /etc/corosync/qnetd/nssdb | grep cluster-; corosync-qnetd-tool -l")?;
    same("what the QNetd host keeps", &String::new(), &left)
}

/// What corosync-quorumtool says once it says so.
fn awaited(scene: &Scene<'_>, node: Node, is_so: impl Fn(&str) -> bool) -> Result<String> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let said = scene.lab.exec(node, &["corosync-quorumtool", "-s"])?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        if is_so(&text) {
            return Ok(text);
        }
        if Instant::now() >= deadline {
            bail!("{node} goes on saying: {text}");
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// The lab's inventory with these nodes in the group, and the host in the group of QNetd hosts.
fn inventory(scene: &Scene<'_>, name: &str, members: &[Node], host: Node) -> Result<PathBuf> {
    let whole = fs::read_to_string(scene.project.lab_inventory()).context("the lab's inventory")?;
    let is_of = |line: &str, node: &Node| line.split(' ').next() == Some(node.name().as_str());
    let is_node = |line: &&str| Node::first(9).iter().any(|node| is_of(line, node));
    let line_of = |node: &Node| whole.lines().find(|line| is_of(line, node)).unwrap_or_default().to_owned();
    let mut text = "[qnetd]\n".to_owned() + &line_of(&host) + "\n";
    for line in whole.lines().filter(|line| !is_node(line)) {
        text += &line.replace("[proxmox_nodes:vars]", "[all:vars]");
        text += "\n";
        if line == "[proxmox_nodes]" {
            for node in members {
                text += &(line_of(node) + "\n");
            }
        }
    }
    let path = scene.dir().join(format!("{name}.ini"));
    fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
    Ok(path)
}
