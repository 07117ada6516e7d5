//! How modules reach a node: as every kind of user, with every keyword of a task, from every state of the copy that
//! the node keeps. What a module returns is the same, field by field, whichever way it came.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::play::Run;
use super::scene::{Scene, same};
use crate::lab::Node;

/// Users of the nodes: with sudo, with sudo that asks for a password, with nothing.
const USERS: &str = "\
for u in alice bob carol; do id $u >/dev/null 2>&1 || useradd -m -s /bin/bash $u; done
echo 'carol:Open-Sesame-7' | chpasswd
for u in alice carol; do
  install -d -m 700 -o $u -g $u /home/$u/.ssh
  install -m 600 -o $u -g $u /root/.ssh/authorized_keys /home/$u/.ssh/authorized_keys
done
echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice
echo 'carol ALL=(ALL) ALL' >/etc/sudoers.d/carol";
const SUDO_PASSWORD: &str = "Open-Sesame-7";
/// An argument that the module's table calls a secret.
const SECRET: &str = "Hunter-2-Hunter";
/// Where the plugin keeps the binary unless told otherwise.
const CACHE: &str = "/root/.ansible/tmp/sddc.pve-*";

/// A way for modules to travel: what it is, and the variables of the controller that make Ansible take it.
type Way = (&'static str, &'static [(&'static str, &'static str)]);

/// The collection's own way, the same without pipelining, and Ansible's way with and without it: keeping remote
/// files is what the plugin leaves to Ansible.
const WAYS: [Way; 4] = [
    ("plugin", &[]),
    ("plugin-no-pipelining", &[("ANSIBLE_PIPELINING", "0")]),
    ("core", &[("ANSIBLE_KEEP_REMOTE_FILES", "1")]),
    ("core-no-pipelining", &[("ANSIBLE_KEEP_REMOTE_FILES", "1"), ("ANSIBLE_PIPELINING", "0")]),
];

/// Users and keywords, with and without the plugin.
pub fn both_ways(scene: &Scene<'_>) -> Result<()> {
    compare(scene, &[WAYS[0], WAYS[2]])
}

/// The same without pipelining, too.
pub fn every_way(scene: &Scene<'_>) -> Result<()> {
    compare(scene, &WAYS)
}

fn compare(scene: &Scene<'_>, ways: &[Way]) -> Result<()> {
    let nodes = prepared(scene)?;
    let mut first: Option<Map<String, Value>> = None;
    for (way, environment) in ways.iter().copied() {
        let (run, rows) = play(scene, way, &rows(), environment)?;
        check(&rows, &run).with_context(|| format!("by way of {way}"))?;
        let kept = scene.sh(nodes[0], &format!("ls -d {CACHE} 2>/dev/null | wc -l"))?;
        ensure!(kept.trim() == "1", "{} copies of the binary are kept on {}", kept.trim(), nodes[0]);
        match &first {
            None => first = Some(rows),
            Some(first) => equal(first, &rows).with_context(|| format!("{way} differs"))?,
        }
    }
    println!("  {} rows, {} ways", rows().len(), ways.len());
    Ok(())
}

/// Every state that the kept copy can be in, and what a node can do to it.
pub fn every_cache(scene: &Scene<'_>) -> Result<()> {
    let node = prepared(scene)?[0];
    let look = json!({ "sddc.pve.pve_cluster_info": {} });
    let expected = one(scene, "fresh", &look)?;
    let whole = scene.sh(node, &format!("sha256sum <$(echo {CACHE})/pve"))?;
    let harms = [
        ("missing", "rm -rf $c"),
        ("empty", ": >$c/pve"),
        ("truncated", "truncate -s 1000000 $c/pve"),
        ("tampered", "printf '#!/bin/sh\\necho \"{\\\\\"changed\\\\\": true}\"\\n' >$c/pve"),
        ("one-byte", "printf x | dd of=$c/pve bs=1 seek=1000000 conv=notrunc status=none"),
        ("not-executable", "chmod 600 $c/pve"),
        ("directory-writable", "chmod 777 $c/pve"),
        ("of-another-user", "chown -R bob: $c"),
    ];
    for (name, harm) in harms {
        scene.sh(node, &format!("c=$(echo {CACHE}); {harm}"))?;
        let seen = one(scene, name, &look)?;
        same(name, &settled(&expected), &settled(&seen)).context("the result differs")?;
        if name == "of-another-user" {
            let own = scene.sh(node, &format!("ls -d {CACHE}-0/pve"))?;
            ensure!(!own.is_empty(), "no copy of root's own beside that of bob");
            scene.sh(node, &format!("rm -rf {CACHE}"))?;
        } else {
            let now = scene.sh(node, &format!("sha256sum <$(echo {CACHE})/pve"))?;
            same(name, &whole, &now).context("the copy was not made whole")?;
        }
    }
    places(scene, node, &expected)?;
    at_once(scene, node)?;
    foreign_machine(scene, node)
}

/// Other places for the copy: another remote_tmp, one that nothing can be started from, one that is full.
fn places(scene: &Scene<'_>, node: Node, expected: &Value) -> Result<()> {
    let at =
        |place: &str| json!({ "sddc.pve.pve_cluster_info": {}, "vars": { "ansible_remote_tmp": place } });
    scene.sh(node, "mount -o remount,noexec /tmp")?;
    let seen = one(scene, "noexec-elsewhere", &json!({ "sddc.pve.pve_cluster_info": {} }))?;
    same("noexec /tmp", &settled(expected), &settled(&seen))?;
    let seen = one(scene, "noexec", &at("/tmp/ansible"))?;
    says(&seen, &["does not start", "noexec", "ansible_remote_tmp"])?;
    scene.sh(node, "mount -o remount,exec /tmp")?;

    scene.sh(node, "mkdir -p /small && mount -t tmpfs -o size=1m none /small")?;
    let seen = one(scene, "full", &at("/small/ansible"))?;
    says(&seen, &["cannot keep the binary on the host", "No space left on device"])?;
    let left = scene.sh(node, "find /small -type f")?;
    ensure!(left.is_empty(), "half a binary stays on a full disk: {left}");
    // Room for the binary and nothing else: once it is there, a full disk does not matter.
    scene.sh(node, "mount -o remount,size=8m /small")?;
    one(scene, "full-warm", &at("/small/ansible"))?;
    scene.sh(node, "dd if=/dev/zero of=/small/fill bs=64k status=none; true")?;
    let seen = one(scene, "full-kept", &at("/small/ansible"))?;
    same("a full disk with a kept copy", &settled(expected), &settled(&seen))?;
    scene.sh(node, "umount /small && rmdir /small").map(drop)
}

/// Two controllers at once, neither of which finds a copy.
fn at_once(scene: &Scene<'_>, node: Node) -> Result<()> {
    scene.sh(node, &format!("rm -rf {CACHE}"))?;
    let look = json!({ "sddc.pve.pve_cluster_info": {} });
    let results: Vec<Result<Value>> = std::thread::scope(|threads| {
        let plays = ["at-once-a", "at-once-b"].map(|name| {
            let look = &look;
            threads.spawn(move || one(scene, name, look))
        });
        plays.into_iter().map(|play| play.join().expect("a play's thread does not panic")).collect()
    });
    for result in results {
        ensure!(result?["failed"] == false, "one of two plays at once failed");
    }
    let files = scene.sh(node, &format!("ls {CACHE}"))?;
    same("what two plays at once leave", &"pve", &files.trim())
}

/// A machine that no binary is shipped for.
fn foreign_machine(scene: &Scene<'_>, node: Node) -> Result<()> {
    scene.sh(node, &format!("rm -rf {CACHE}"))?;
    let fake = "#!/bin/sh\n[ \"$1\" = -m ] && echo riscv64 || exec /usr/bin/uname \"$@\"";
    scene.lab.write(node, "/usr/local/bin/uname", fake)?;
    scene.sh(node, "chmod 755 /usr/local/bin/uname")?;
    let seen = one(scene, "foreign-machine", &json!({ "sddc.pve.pve_cluster_info": {} }))?;
    scene.sh(node, "rm /usr/local/bin/uname")?;
    says(&seen, &["riscv64 is not supported", "Linux x86_64"])
}

/// Two nodes with users; what they were before does not matter.
fn prepared(scene: &Scene<'_>) -> Result<Vec<Node>> {
    let mut nodes = crate::lab::Lab::nodes()?;
    if nodes.len() < 2 {
        nodes = scene.fresh(2)?;
    }
    nodes.truncate(2);
    let member = "test -e /etc/pve/corosync.conf && echo member; true";
    if nodes.iter().any(|node| scene.sh(*node, member).is_ok_and(|said| !said.is_empty())) {
        scene.lab.reset(&nodes)?;
    }
    for node in &nodes {
        scene.sh(*node, USERS)?;
        scene.sh(*node, "rm -rf /root/.ansible /home/*/.ansible")?;
    }
    Ok(nodes)
}

/// The tasks of the first test, by name.
fn rows() -> Vec<(&'static str, Value)> {
    let info = |more: Value| with(json!({ "sddc.pve.pve_cluster_info": {} }), more);
    let who = json!({ "sddc.pve.pve_preflight": {
        "cluster_name": "x", "nodes": [], "only": ["running-as-root"], "report_only": true
    }});
    let who = |more: Value| with(who.clone(), more);
    let create = json!({ "sddc.pve.pve_cluster_create": { "cluster_name": "delivered" }});
    let join = |nodeid: &str| {
        json!({ "sddc.pve.pve_cluster_join": {
            "cluster_name": "x", "method": "api", "password": SECRET, "nodeid": nodeid
        }})
    };
    vec![
        ("root", info(json!({}))),
        ("check", with(create.clone(), json!({ "check_mode": true }))),
        ("diff", with(create, json!({ "check_mode": true, "diff": true }))),
        ("as_root", who(json!({}))),
        ("sudo", who(json!({ "become": true, "vars": { "ansible_user": "alice" } }))),
        (
            "sudo_password",
            who(
                json!({ "become": true, "vars": { "ansible_user": "carol", "ansible_become_password": SUDO_PASSWORD } }),
            ),
        ),
        ("become_other", who(json!({ "become": true, "become_user": "bob" }))),
        (
            "sudo_other",
            who(json!({ "become": true, "become_user": "bob", "vars": {
                "ansible_user": "alice", "ansible_shell_allow_world_readable_temp": true
            }})),
        ),
        ("no_log", info(json!({ "no_log": true }))),
        ("secret", join("none")),
        ("async", info(json!({ "async": 60, "poll": 1 }))),
        (
            "loop",
            with(
                json!({ "sddc.pve.pve_cluster_info": { "timeout": "{{ item }}" } }),
                json!({ "loop": [8, 9] }),
            ),
        ),
        ("delegated", info(json!({ "delegate_to": "pve2" }))),
        ("once", info(json!({ "run_once": true }))),
        ("environment", info(json!({ "environment": { "LC_ALL": "de_DE.UTF-8", "X": "it's \"a\" $b" } }))),
        ("other_tmp", info(json!({ "vars": { "ansible_remote_tmp": "/var/tmp/other" } }))),
        ("unknown", json!({ "sddc.pve.pve_cluster_info": { "tiemout": 1 } })),
        ("text", json!({ "sddc.pve.pve_cluster_info": "timeout=9" })),
    ]
}

/// What each row must show, whichever way it came.
fn check(rows: &Map<String, Value>, run: &Run) -> Result<()> {
    let node = |row: &str| rows[row]["info"]["node"].as_str().unwrap_or_default().to_owned();
    for row in ["root", "no_log", "async", "once", "environment", "other_tmp", "text"] {
        ensure!(rows[row]["failed"] == false, "{row} failed: {}", rows[row]);
        same(row, &"pve1".to_owned(), &node(row))?;
    }
    same("delegated", &"pve2".to_owned(), &node("delegated"))?;
    same(
        "once, on the other node",
        &"pve1",
        &rows["once_elsewhere"]["info"]["node"].as_str().unwrap_or_default(),
    )?;
    ensure!(rows["check"]["changed"] == true, "check mode foretells nothing: {}", rows["check"]);
    ensure!(rows["check"].get("diff").is_none(), "a diff that was not asked for");
    ensure!(!rows["diff"]["diff"].is_null(), "no diff: {}", rows["diff"]);
    let user = |row: &str| rows[row]["checks"][0]["finding"].as_str().unwrap_or_default().to_owned();
    for row in ["as_root", "sudo", "sudo_password"] {
        same(row, &"runs as root".to_owned(), &user(row))?;
    }
    for row in ["become_other", "sudo_other"] {
        ensure!(user(row).starts_with("runs as user id 1"), "{row}: {}", rows[row]);
    }
    let loops = rows["loop"]["results"].as_array().map_or(0, Vec::len);
    same("results of the loop", &2, &loops)?;
    says(&rows["unknown"], &["Unsupported parameters", "tiemout", "timeout"])?;
    says(&rows["secret"], &["nodeid", "unable to convert to int"])?;
    for secret in [SECRET, SUDO_PASSWORD] {
        ensure!(!run.output.contains(secret), "the output shows a secret");
        ensure!(!rows["secret"].to_string().contains(secret), "the result shows a secret");
    }
    ensure!(run.output.contains("no_log: true"), "the output does not say that no_log hides a result");
    Ok(())
}

/// Plays the rows on both nodes at -vv; returns what they registered on the first.
fn play(
    scene: &Scene<'_>,
    label: &str,
    rows: &[(&'static str, Value)],
    environment: &[(&str, &str)],
) -> Result<(Run, Map<String, Value>)> {
    let file = scene.dir().join(format!("{label}.json"));
    let name = |row: &str| format!("row_{row}");
    let mut tasks: Vec<Value> = rows
        .iter()
        .map(|(row, task)| {
            with(task.clone(), json!({ "name": row, "register": name(row), "ignore_errors": true }))
        })
        .collect();
    let mut results: Vec<String> = rows.iter().map(|(row, _)| format!("'{row}': {}", name(row))).collect();
    if rows.iter().any(|(row, _)| *row == "once") {
        results.push("'once_elsewhere': hostvars.pve2.row_once".to_owned());
    }
    tasks.push(json!({
        "name": "Write down",
        "ansible.builtin.copy": {
            "content": format!("{{{{ {{{}}} | to_json }}}}", results.join(", ")),
            "dest": file.display().to_string(),
            "mode": "0600",
        },
        "delegate_to": "localhost", "connection": "local", "run_once": true, "no_log": true, "diff": false,
        "vars": { "ansible_python_interpreter": "{{ ansible_playbook_python }}" },
    }));
    let hosts = if rows.len() > 1 { "pve1,pve2" } else { "pve1" };
    let plays = json!([{ "hosts": hosts, "gather_facts": false, "tasks": tasks }]);
    let run = scene.tasks_with(label, plays, &["-vv"], environment)?;
    ensure!(run.is_success, "the play {label} did not end: {}", run.messages());
    let text = std::fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
    match serde_json::from_str(&text)? {
        Value::Object(rows) => Ok((run, rows)),
        other => bail!("{}: {other}", file.display()),
    }
}

/// One task on the first node.
fn one(scene: &Scene<'_>, label: &str, task: &Value) -> Result<Value> {
    let (_, mut rows) = play(scene, label, &[("only", task.clone())], &[])?;
    rows.remove("only").context("the row is not there")
}

/// Every row is the same, but for what cannot be: durations, and where an asynchronous job kept its result.
pub fn equal(first: &Map<String, Value>, second: &Map<String, Value>) -> Result<()> {
    for (row, value) in first {
        let (one, two) = (settled(value), settled(&second[row]));
        ensure!(one == two, "{row}:\n{one}\n{two}");
    }
    Ok(())
}

/// A result without what no two runs have in common.
pub fn settled(value: &Value) -> Value {
    // A key for a join or for a probe is made anew for each; what a link took is of that moment.
    const PASSING: [&str; 10] = [
        "elapsed",
        "looks",
        "ansible_job_id",
        "results_file",
        "started",
        "finished",
        "start",
        "public_key",
        "probe_key",
        "latency",
    ];
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, value)| !PASSING.contains(&key.as_str()) && !is_ansibles_own(key, value))
                .map(|(key, value)| (key.clone(), settled(value)))
                .collect(),
        ),
        Value::Array(items) => items.iter().map(settled).collect(),
        Value::String(text) => settled_text(text).map_or_else(|| value.clone(), Value::from),
        other => other.clone(),
    }
}

/// What is left on a disk differs from one look to the next, and so does how often was looked in which time.
fn settled_text(text: &str) -> Option<String> {
    if let Some((_, place)) = text.split_once(" MiB left on ") {
        return Some(format!("room left on {place}"));
    }
    let (before, rest) = text.split_once(" after ")?;
    let (_, limit) = rest.split_once(" looks in ")?.1.split_once(" of ")?;
    Some(format!("{before} after looks in {limit}"))
}

/// Ansible warns of what only its own way of becoming another user does.
fn is_ansibles_own(key: &str, value: &Value) -> bool {
    let is_it = |warning: &Value| warning.as_str().is_some_and(|text| text.contains("world-readable"));
    key == "warnings" && value.as_array().is_some_and(|all| all.iter().all(is_it))
}

fn says(result: &Value, words: &[&str]) -> Result<()> {
    let said = result["msg"].as_str().unwrap_or_default();
    ensure!(result["failed"] == true, "it did not fail: {result}");
    for word in words {
        ensure!(said.contains(word), "the failure does not say {word:?}: {said}");
    }
    Ok(())
}

fn with(mut task: Value, more: Value) -> Value {
    if let (Value::Object(task), Value::Object(more)) = (&mut task, more) {
        task.extend(more);
    }
    task
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_the_same_but_for_durations() {
        let rows = |seconds: f64, node: &str| {
            let row =
                json!({ "elapsed": seconds, "steps": [{ "elapsed": seconds, "name": "a" }], "node": node });
            Map::from_iter([("row".to_owned(), row)])
        };
        assert!(equal(&rows(0.1, "pve1"), &rows(0.2, "pve1")).is_ok());
        let error = equal(&rows(0.1, "pve1"), &rows(0.1, "pve2")).unwrap_err().to_string();
        assert!(error.starts_with("row:"), "{error}");
    }

    #[test]
    fn what_was_looked_for_is_the_same_in_whatever_time() {
        let text = |looks: u8, failed: u8| {
            settled_text(&format!(
                "seen after {looks} looks in {looks} of 60 s: {failed} of 16 checks failed"
            ))
        };
        assert_eq!(text(1, 1), text(2, 1));
        assert_ne!(text(1, 1), text(1, 2));
    }
}
