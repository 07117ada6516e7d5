//! A temporary password where things go wrong: two that want one, an administrator in between, a lock that somebody holds
//! when the time is up, a process killed at any moment. Root's entry must be the old one byte for byte, or the
//! administrator's.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::credentials::{links, must};
use super::passwords::{LEFT, command, shadow, until};
use super::scene::{Scene, same};
use crate::lab::Node;

const CLUSTER: &str = "sddc-cluster";
/// Ages that a restore by chpasswd or passwd would lose.
const AGES: &str = "chage -d 2026-01-05 -m 1 -M 3000 -W 5 -I 10 -E 2031-01-01 root";
/// As `vipw -s` holds it for as long as somebody edits (lckpwdf(3)).
const HOLD: &str = "systemd-run --quiet --unit=edits python3 -c 'import fcntl, time; \
    lock = open(\"/etc/.pwd.lock\", \"w\"); fcntl.lockf(lock, fcntl.LOCK_EX); time.sleep(85)'";

/// On one member.
pub fn holds(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(1)?;
    let node = nodes[0];
    must(
        scene,
        "create",
        node,
        "pve_cluster_create",
        &json!({ "cluster_name": CLUSTER, "links": links(node) }),
    )?;
    scene.sh(node, AGES)?;
    let before = shadow(scene, node)?;

    let (one, two) = std::thread::scope(|threads| {
        let one = threads.spawn(|| scene.sh(node, &command(3600)));
        let two = threads.spawn(|| scene.sh(node, &command(3600)));
        (one.join(), two.join())
    });
    let (Ok(one), Ok(two)) = (one, two) else { bail!("a thread panicked") };
    let said = [one?, two?];
    let won = said.iter().filter(|said| said.contains("\"changed\":true")).count();
    same("winners of two at once", &1, &won)?;
    ensure!(said.iter().any(|said| said.contains("not stacked")), "the other was not refused: {said:?}");
    let meanwhile = shadow(scene, node)?;
    ensure!(meanwhile != before, "root has no temporary password");
    same("root's ages meanwhile", &ages(&before), &ages(&meanwhile))?;
    end(scene, node)?;
    clean(scene, node, &before)?;

    killed_anywhere(scene, node, &before)?;

    // An administrator changes the password: by hand it is said, by the timer it stays too.
    begin(scene, node, 3600)?;
    scene.sh(node, "echo 'root:Chosen-by-hand-1' | chpasswd")?;
    let chosen = shadow(scene, node)?;
    let said = end(scene, node)?;
    ensure!(
        said["warnings"].to_string().contains("that change stays"),
        "nothing is said of the change: {said}"
    );
    clean(scene, node, &chosen)?;
    begin(scene, node, 60)?;
    scene.sh(node, "echo 'root:Chosen-by-hand-2' | chpasswd")?;
    let chosen = shadow(scene, node)?;
    until("the timer", || clean(scene, node, &chosen))?;

    // Somebody edits the passwords while the time is up: theirs is waited for, and then the old entry is back.
    begin(scene, node, 60)?;
    scene.sh(node, HOLD)?;
    until("the timer once the lock was free", || clean(scene, node, &chosen))
}

/// Killed later each time, until it comes through.
fn killed_anywhere(scene: &Scene<'_>, node: Node, before: &str) -> Result<()> {
    let (mut cut, mut whole) = (0, 0);
    for number in 0..40u32 {
        let line = format!(
            "({}) >/root/said 2>&1 & sleep {}; pkill -KILL -x pve; wait; \
             cat /root/said; ! test -e /var/lib/sddc-pve/temporary-password.json || echo KEPT",
            command(3600),
            f64::from(number * number) * 0.004
        );
        let said = scene.sh(node, &line)?;
        if said.contains("\"changed\":true") {
            whole += 1;
        } else if said.contains("KEPT") {
            cut += 1;
        }
        if number % 4 == 3 {
            scene.lab.kill(node)?;
            scene.lab.start(node)?;
            until("the boot", || {
                same("root's entry in /etc/shadow", &before.to_owned(), &shadow(scene, node)?)?;
                let kept =
                    scene.sh(node, "ls /var/lib/sddc-pve/temporary-password.json 2>/dev/null || true")?;
                same("hashes that are kept", &String::new(), &kept)
            })?;
        }
        // One that was cut off before its unit was enabled may leave that, without a secret, for the next one to remove.
        end(scene, node)?;
        clean(scene, node, before)?;
        if whole == 2 {
            break;
        }
    }
    ensure!(
        cut >= 3 && whole > 0,
        "{cut} were cut off in the middle and {whole} came through: that proves nothing"
    );
    Ok(())
}

fn begin(scene: &Scene<'_>, node: Node, ttl: u32) -> Result<()> {
    let said = scene.sh(node, &command(ttl))?;
    ensure!(said.contains("\"changed\":true"), "no temporary password: {said}");
    Ok(())
}

fn end(scene: &Scene<'_>, node: Node) -> Result<Value> {
    let args = json!({ "cluster_name": CLUSTER, "type": "temporary_password", "state": "absent" });
    let program = "$(ls -t /usr/local/lib/sddc-pve/*/pve | head -1)";
    let said = scene.sh(node, &format!("echo '{args}' | {program} pve_join_credential -; true"))?;
    Ok(serde_json::from_str(&said)?)
}

fn clean(scene: &Scene<'_>, node: Node, expected: &str) -> Result<()> {
    same("root's entry in /etc/shadow", &expected.to_owned(), &shadow(scene, node)?)?;
    same("what is left of a temporary password", &String::new(), &scene.sh(node, LEFT)?)?;
    let timers = scene.sh(node, "systemctl list-timers --all --no-legend | grep sddc-pve || true")?;
    same("timers that are left", &String::new(), &timers)
}

/// Everything of root's line but the hash.
fn ages(shadow: &str) -> Vec<String> {
    let line = shadow.lines().find(|line| line.starts_with("root:")).unwrap_or_default();
    line.split(':').skip(2).map(str::to_owned).collect()
}
