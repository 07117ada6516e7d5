//! Joins with root's password: a temporary one, that comes and goes by itself, and odd ones.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::scene::{Scene, refused, same};
use crate::lab::{LINKS, Node};

const CLUSTER: &str = "sddc-cluster";
pub(super) const LEFT: &str = "ls /var/lib/sddc-pve/temporary-password.json /etc/systemd/system/sddc-pve-restore-password.* \
    /etc/systemd/system/*/sddc-pve-restore-password.* /etc/.shadow.sddc 2>/dev/null; true";
const FACTOR: &str = "echo '{\"users\":{\"root@pam\":{\"totp\":[{\"id\":\"x\"}]}}}' >/etc/pve/priv/tfa.cfg";
/// As lckpwdf(3) does.
const HOLD: &str = "systemd-run --quiet --collect --unit=hold python3 -c 'import fcntl, time; f = open(\"/etc/.pwd.lock\", \"w\"); \
    fcntl.lockf(f, fcntl.LOCK_EX); open(\"/run/held\", \"w\"); time.sleep(120)'; \
    timeout 20 sh -c 'until [ -e /run/held ]; do sleep 0.1; done'";

/// site.yml joins with temporary passwords, and every node's shadow is as before; a password whose controller died goes
/// by its timer and by a boot.
pub fn auto(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let entries: Vec<String> = nodes.iter().map(|node| shadow(scene, *node)).collect::<Result<_>>()?;
    let args = ["-e", "pve_join_method=auto", "-vvvv"];
    let run = scene.site("auto", &args)?;
    scene.healthy(&nodes)?;
    ensure!(!run.output.contains("$6$"), "the output at -vvvv has a hash");
    let again = scene.site("again", &args)?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    let clean = |node: usize| -> Result<()> {
        same("root's entry in /etc/shadow", &entries[node], &shadow(scene, nodes[node])?)?;
        same("what is left of a temporary password", &String::new(), &scene.sh(nodes[node], LEFT)?)
    };
    (0..3).try_for_each(clean)?;

    // Nobody comes back to end it: the timer does, and so does a boot.
    issue(scene, nodes[0], 60)?;
    issue(scene, nodes[2], 3600)?;
    for node in [0, 2] {
        ensure!(shadow(scene, nodes[node])? != entries[node], "{} has no temporary password", nodes[node]);
    }
    let second = scene.sh(nodes[0], &command(60))?;
    ensure!(second.contains("not stacked"), "a second password was stacked: {second}");
    scene.lab.kill(nodes[2])?;
    scene.lab.start(nodes[2])?;
    until("the boot", || clean(2))?;
    until("the timer", || clean(0))?;

    // passwd and its like hold the system's lock of passwords: it is waited for, and not for ever.
    scene.sh(nodes[0], HOLD)?;
    let said = scene.sh(nodes[0], &command(60))?;
    ensure!(said.contains("lock of passwords"), "the lock was not respected: {said}");
    scene.sh(nodes[0], "systemctl stop hold")?;
    clean(0)?;

    scene.sh(nodes[0], FACTOR)?;
    let said = scene.sh(nodes[0], &command(60))?;
    ensure!(said.contains("second factor") && said.contains("ticket"), "not refused: {said}");
    clean(0)
}

/// A password may hold whatever a shell, a form or a terminal could trip over.
pub fn odd(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(2)?;
    let (member, joiner) = (nodes[0], nodes[1]);
    let create = json!({ "cluster_name": CLUSTER, "links": links(member) });
    let run = scene.task("create", member, "pve_cluster_create", &create, &[])?;
    ensure!(run.is_success, "create failed: {}", run.messages());
    let pin = "openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256 | cut -d= -f2";
    let pin = scene.sh(member, pin)?.trim().to_owned();
    let join = |password: &str, method: &str| {
        json!({ "cluster_name": CLUSTER, "method": method, "peer": member.address(LINKS[0]), "fingerprint": pin,
            "password": password, "links": links(joiner), "timeout": 90 })
    };
    let long = |length: usize| -> String { "Aa1+&=%#".chars().cycle().take(length).collect() };
    let passwords = [
        "qu\"o'te`s".to_owned(),
        " spaces  inside ".to_owned(),
        "-leading --dash".to_owned(),
        "Umläute, 漢字 und 🙂".to_owned(),
        long(128),
        long(129),
    ];
    for (number, password) in passwords.iter().enumerate() {
        scene.lab.write(member, "/root/line", &format!("root:{password}"))?;
        scene.sh(member, "chpasswd </root/line; rm /root/line")?;
        let run = scene.task(
            &format!("proof-{number}"),
            joiner,
            "pve_cluster_join",
            &join(password, "api"),
            &["--check"],
        )?;
        ensure!(run.is_success, "password {number} is not taken: {}", run.messages());
        let mut wrong = password.clone();
        wrong.push('x');
        let run = scene.task(
            &format!("wrong-{number}"),
            joiner,
            "pve_cluster_join",
            &join(&wrong, "api"),
            &["--check"],
        )?;
        refused(&run, &["password"], Duration::from_secs(30))?;
    }
    let password = "-q\"u'o te Ü$x";
    scene.lab.write(member, "/root/line", &format!("root:{password}"))?;
    scene.sh(member, "chpasswd </root/line; rm /root/line")?;
    let other = ["AB"; 32].join(":");
    let mut wrong = join(password, "expect");
    wrong["fingerprint"] = json!(other);
    let run = scene.task("wrong-pin", joiner, "pve_cluster_join", &wrong, &[])?;
    refused(&run, &["certificate"], Duration::from_secs(30))?;
    let run = scene.task("expect", joiner, "pve_cluster_join", &join(password, "expect"), &["-vvvv"])?;
    ensure!(run.is_success, "the join at a terminal failed: {}", run.messages());
    scene.healthy(&nodes)?;
    for node in &nodes {
        let hits = scene.sh(*node, "journalctl --no-pager | grep -cF 'te Ü$x'; grep -rlsF 'te Ü$x' /var/log /var/lib/sddc-pve /run/sddc-pve; true")?;
        same("the password in logs", &"0", &hits.trim())?;
    }
    Ok(())
}

pub(super) fn shadow(scene: &Scene<'_>, node: Node) -> Result<String> {
    scene.sh(node, "stat -c '%a %U %G' /etc/shadow; cat /etc/shadow")
}

fn issue(scene: &Scene<'_>, node: Node, ttl: u32) -> Result<()> {
    let said: Value = serde_json::from_str(&scene.sh(node, &command(ttl))?)?;
    ensure!(said["changed"] == true, "no temporary password on {node}: {said}");
    Ok(())
}

pub(super) fn command(ttl: u32) -> String {
    let args = json!({ "cluster_name": CLUSTER, "type": "temporary_password", "node": "pve9", "ttl": ttl,
        "public_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" });
    format!("echo '{args}' | $(ls -t /usr/local/lib/sddc-pve/*/pve | head -1) pve_join_credential -; true")
}

pub(super) fn until(what: &str, mut look: impl FnMut() -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(()) => return Ok(()),
            Err(error) if begun.elapsed() > Duration::from_secs(140) => {
                bail!("not restored by {what}: {error:#}")
            }
            Err(_) => std::thread::sleep(Duration::from_secs(2)),
        }
    }
}

fn links(node: Node) -> Value {
    json!([{ "number": 0, "address": node.address(LINKS[0]) }, { "number": 1, "address": node.address(LINKS[1]) }])
}
