//! Joins with credentials: each method on fresh nodes, with nothing left behind; and what must be refused of a token
//! and of a ticket, tried with ssh itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::scene::{PASSWORD, Scene, refused, same};
use crate::lab::{LINKS, Node};

const CLUSTER: &str = "sddc-cluster";
/// A public key that nobody has the other half of.
const SAMPLE_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const LIMIT: Duration = Duration::from_secs(30);
/// Whatever of a credential could be left on a node.
/// Not looked for is the claim of a controller that was killed: it is over at the second that it names.
const LEFT: &str = "grep -l 'sddc-pve-token-' /etc/pve/priv/authorized_keys; \
    find /etc/pve/priv/sddc-pve /var/lib/sddc-pve/token-key.json /var/lib/sddc-pve/asker-key.json \
    /var/lib/sddc-pve/issuing /run/sddc-pve -type f ! -name '*.lock' ! -name claim \
    2>/dev/null; true";
/// Root has a second factor, and no password that could be given.
const HARDENED: &str = "passwd -q -l root; mkdir -p /etc/pve/priv; \
    echo '{\"users\":{\"root@pam\":{\"totp\":[{\"id\":\"x\",\"entry\":\"otpauth://totp/x?secret=AAAA\"}]}}}' >/etc/pve/priv/tfa.cfg";

/// site.yml joins with tickets where root has a second factor and a locked password; a password does not get in there.
pub fn ticket(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    scene.sh(nodes[0], HARDENED)?;
    let args = ["-e", "pve_join_method=ticket"];
    let check = scene.site("check", &[&args[..], &["--check", "--diff"]].concat())?;
    ensure!(check.is_success, "check mode failed");
    let run = scene.site("ticket", &[&args[..], &["-vvvv"]].concat())?;
    scene.healthy(&nodes)?;
    ensure!(!run.output.contains("PVE:root@pam:"), "the output at -vvvv has a ticket");
    for node in &nodes {
        let logs = "journalctl --no-pager | grep -c 'PVE:root@pam:[0-9A-F]*::'; \
            grep -rls 'PVE:root@pam:' /var/log/pve-cluster-audit.jsonl /var/lib/sddc-pve /run/sddc-pve /var/log/pve";
        let hits = scene.sh(*node, &format!("{logs}; true"))?;
        same("tickets in the logs", &"0", &hits.trim())?;
    }
    let again = scene.site("again", &args)?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    nothing_left(scene, &nodes)?;

    scene.lab.reset(&nodes[2..])?;
    let pin = "openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256 | cut -d= -f2";
    let password = json!({ "cluster_name": CLUSTER, "method": "api", "peer": nodes[0].address(LINKS[0]),
        "password": PASSWORD, "fingerprint": scene.sh(nodes[0], pin)?.trim(), "links": links(nodes[2]) });
    let run = scene.task("password", nodes[2], "pve_cluster_join", &password, &[])?;
    refused(&run, &["password", "brokered"], LIMIT)
}

/// site.yml joins with tokens; then a node joins with a token alone, without a controller.
pub fn token(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let args = ["-e", "pve_join_method=token", "-vvvv"];
    let run = scene.site("token", &args)?;
    scene.healthy(&nodes)?;
    ensure!(!run.output.contains("proxmox."), "the output at -vvvv has a token");
    let again = scene.site("again", &args)?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    nothing_left(scene, &nodes)?;

    scene.lab.up(4)?;
    let all = Node::first(4);
    let newcomer = all[3];
    // What the image of a node that joins at its first boot would bring along.
    scene.play("site.yml", "prepare").args(["--check"]).run()?;
    let found = scene.sh(newcomer, "find /root/.ansible -type f -name pve | head -1")?;
    let text = issue(scene, nodes[1], "alone", json!({ "node": newcomer.name() }))?;
    scene.sh(newcomer, &format!("cp {} /usr/local/bin/pve; chmod 0755 /usr/local/bin/pve", found.trim()))?;
    scene.sh(newcomer, &format!("umask 077; echo '{text}' >/root/join-token"))?;
    let names: String =
        all.iter().map(|node| format!("{} {}\\n", node.address(LINKS[0]), node.name())).collect();
    scene.sh(newcomer, &format!("printf '{names}' >>/etc/hosts"))?;
    let line = format!(
        "pve pve_cluster_join --token-file /root/join-token --link0 {} --link1 {}",
        newcomer.address(LINKS[0]),
        newcomer.address(LINKS[1])
    );
    let said = scene.sh(newcomer, &line)?;
    let said: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    same(
        "members after a join without a controller",
        &json!(["pve1", "pve2", "pve3", "pve4"]),
        &said["members"],
    )?;
    scene.healthy(&all)?;
    let again: Value = serde_json::from_str(&scene.sh(newcomer, &line)?)?;
    same("changed by the second run", &json!(false), &again["changed"])?;
    nothing_left(scene, &all)
}

/// What must be refused of a token is, and its key serves for nothing but its one question.
pub fn token_attacks(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let (member, other, joiner) = (nodes[0], nodes[1], nodes[2]);
    let create = json!({ "cluster_name": CLUSTER, "links": links(member) });
    must(scene, "create", member, "pve_cluster_create", &create)?;
    let first = issue(scene, member, "first", json!({ "node": "pve2" }))?;
    must(scene, "join", other, "pve_cluster_join", &join(&first, other))?;
    scene.healthy(&nodes[..2])?;
    let expiring = issue(scene, member, "expiring", json!({ "ttl": 60 }))?;
    let issued = Instant::now();

    let bound = issue(scene, member, "bound", json!({ "node": "pve9" }))?;
    refuse(scene, "other-node", joiner, &bound, &["pve9", "pve3"])?;
    refuse(scene, "reused", joiner, &first, &["pve2"])?;
    let good = issue(scene, member, "good", json!({}))?;
    let mut altered = good.clone();
    altered.replace_range(40..42, "__");
    refuse(scene, "altered", joiner, &altered, &["altered"])?;
    key_serves_for_nothing_else(scene, member, joiner, &good)?;
    other_host_key(scene, member, other, joiner, &good)?;

    let id = good.split('.').nth(1).unwrap_or_default();
    let revoke = json!({ "cluster_name": CLUSTER, "type": "token", "state": "absent", "id": id });
    must(scene, "revoke", other, "pve_join_credential", &revoke)?;
    refuse(scene, "revoked", joiner, &good, &["refuses the key"])?;

    let left = Duration::from_secs(62).saturating_sub(issued.elapsed());
    std::thread::sleep(left);
    refuse(scene, "expired", joiner, &expiring, &["expired"])?;
    race(scene, member, other, |number| (format!("race{number}"), SAMPLE_KEY.to_owned()))?;
    // One name by twenty machines, each with a key of its own.
    race(scene, member, other, |number| ("twin".to_owned(), key(number)))?;
    let prune = json!({ "cluster_name": CLUSTER, "type": "token", "state": "pruned" });
    must(scene, "prune", other, "pve_join_credential", &prune)
}

/// A public key like any other.
fn key(number: u8) -> String {
    SAMPLE_KEY.replacen('A', &char::from(b'B' + number).to_string(), 1)
}

/// Twenty at once, each with a name and a key, use one token on two members: one wins, and is taken off the list again.
fn race(
    scene: &Scene<'_>,
    member: Node,
    other: Node,
    of: impl Fn(u8) -> (String, String) + Copy + Sync,
) -> Result<()> {
    let text = issue(scene, member, "race", json!({}))?;
    let id = text.split('.').nth(1).unwrap_or_default().to_owned();
    let program = "/usr/local/lib/sddc-pve/*/pve __token";
    let uses = |node: Node, numbers: std::ops::Range<u8>| -> Result<String> {
        let lines: String = numbers
            .map(|number| {
                let (name, key) = of(number);
                let question = json!({ "action": "join", "cluster_name": CLUSTER, "node": name, "public_key": key,
                    "links": [{ "number": 0, "address": LINKS[0].address(100 + number) },
                              { "number": 1, "address": LINKS[1].address(100 + number) }] });
                format!("echo '{question}' | {program} {id} & ")
            })
            .collect();
        scene.sh(node, &format!("({lines}wait) 2>&1; true"))
    };
    let ask_all = || -> Result<String> {
        let (one, two) = std::thread::scope(|threads| {
            let one = threads.spawn(|| uses(member, 0..10));
            let two = threads.spawn(|| uses(other, 10..20));
            (one.join(), two.join())
        });
        let (Ok(one), Ok(two)) = (one, two) else { bail!("a thread panicked") };
        Ok(one? + &two?)
    };
    let mut answers = ask_all()?;
    // Twenty at once may keep a busy machine's two members from hearing each other: who was refused for want of quorum has
    // spent nothing, and asks again.
    for _ in 0..3 {
        if !answers.lines().all(|line| line.contains("quorum")) {
            break;
        }
        scene.healthy(&[member, other])?;
        answers = ask_all()?;
    }
    let won = answers.lines().filter(|line| line.contains("\"ok\":true")).count();
    same("winners of twenty", &1, &won).with_context(|| answers.clone())?;
    // The winner was answered by one of the two; what it wrote reaches the other one's pmxcfs a moment later.
    let list = "sed -n 's/ *name: \\([rt][a-z0-9]*\\)$/\\1/p' /etc/pve/corosync.conf";
    let wait = format!("timeout 20 sh -c \"until {list} | grep -q .; do sleep 0.2; done\"; {list}");
    let listed = scene.sh(member, &wait)?;
    same("nodes that were admitted", &1, &listed.lines().count()).with_context(|| listed.clone())?;
    let forget = format!(
        "pvecm delnode {} && timeout 30 sh -c 'until corosync-quorumtool -s | grep -q \"Expected votes: *2\"; do sleep 0.2; done'",
        listed.trim()
    );
    scene.sh(member, &forget).map(drop)
}

/// The key of a token, tried for a shell, another command, a file, a tunnel.
fn key_serves_for_nothing_else(scene: &Scene<'_>, member: Node, joiner: Node, text: &str) -> Result<()> {
    let seed = text.split('.').nth(2).unwrap_or_default();
    // RFC 8410: the seed in its frame, which OpenSSH reads as a key.
    let make = format!(
        "umask 077; (printf '302e020100300506032b657004220420' | perl -pe 's/(..)/chr hex $1/ge'; \
         printf '%s=' '{seed}' | tr -- '-_' '+/' | base64 -d) | openssl pkey -inform DER -out /root/stolen; \
         ssh-keygen -y -f /root/stolen"
    );
    let public = scene.sh(joiner, &make)?;
    let public = public.split_whitespace().nth(1).context("no public key")?;
    let keys = scene.sh(member, "cat /etc/pve/priv/authorized_keys")?;
    ensure!(keys.contains(public), "the key made of the seed is not the authorised one");
    let ssh = format!(
        "ssh -i /root/stolen -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
         -o UserKnownHostsFile=/root/stolen.hosts root@{}",
        member.address(LINKS[0])
    );
    for (what, line) in [
        ("a shell", format!("{ssh} </dev/null")),
        ("a terminal", format!("{ssh} -tt </dev/null")),
        ("another command", format!("{ssh} 'id; cat /etc/shadow' </dev/null")),
        ("a command as input", format!("echo id | {ssh} sh")),
        ("sftp", format!("echo 'get /etc/shadow' | timeout 20 {} ", ssh.replacen("ssh ", "sftp -b - ", 1))),
    ] {
        let said = scene.sh(joiner, &format!("timeout 20 {line} 2>&1; true"))?;
        ensure!(!said.contains("uid=0") && !said.contains("root:"), "the token's key gave {what}: {said}");
    }
    let tunnel = format!(
        "timeout 10 {ssh} -N -L 18006:127.0.0.1:8006 & sleep 3; \
        curl -ks --max-time 4 https://127.0.0.1:18006/api2/json/version; echo ended $?; wait; true"
    );
    let said = scene.sh(joiner, &tunnel)?;
    ensure!(said.contains("ended") && !said.contains("ended 0"), "the token's key gave a tunnel: {said}");
    scene.sh(joiner, "rm -f /root/stolen /root/stolen.hosts").map(drop)
}

/// Somebody else answers in the members' place.
fn other_host_key(scene: &Scene<'_>, member: Node, other: Node, joiner: Node, text: &str) -> Result<()> {
    let swap = "mkdir -p /root/keys; cp -p /etc/ssh/ssh_host_* /root/keys; rm /etc/ssh/ssh_host_*; ssh-keygen -qA; \
        systemctl restart ssh";
    let back = "cp -p /root/keys/* /etc/ssh/; rm -r /root/keys; systemctl restart ssh";
    for node in [member, other] {
        scene.sh(node, swap)?;
    }
    let outcome = refuse(scene, "other-host-key", joiner, text, &["another host key", "nothing was sent"]);
    for node in [member, other] {
        scene.sh(node, back)?;
    }
    outcome
}

pub(super) fn refuse(scene: &Scene<'_>, label: &str, joiner: Node, text: &str, words: &[&str]) -> Result<()> {
    let before = scene.untouched(&[joiner])?;
    let run = scene.task(label, joiner, "pve_cluster_join", &join(text, joiner), &[])?;
    refused(&run, words, LIMIT).with_context(|| label.to_owned())?;
    scene.still(&before).with_context(|| label.to_owned())
}

pub(super) fn join(text: &str, joiner: Node) -> Value {
    json!({ "cluster_name": CLUSTER, "method": "token", "token": text, "links": links(joiner), "timeout": 90 })
}

/// Issues a token with a program on the member, not a play, so that no log of a run holds it.
pub(super) fn issue(scene: &Scene<'_>, member: Node, label: &str, more: Value) -> Result<String> {
    let mut args = json!({ "cluster_name": CLUSTER, "type": "token" });
    if let (Some(args), Value::Object(more)) = (args.as_object_mut(), more) {
        args.extend(more);
    }
    let line = format!(
        "p=$(ls -t /usr/local/lib/sddc-pve/*/pve /root/.ansible/*/*/pve 2>/dev/null | head -1); echo '{args}' | $p pve_join_credential -"
    );
    let said: Value = serde_json::from_str(&scene.sh(member, &line)?)?;
    said["join_string"].as_str().map(str::to_owned).with_context(|| format!("{label}: {said}"))
}

pub(super) fn links(node: Node) -> Value {
    json!([{ "number": 0, "address": node.address(LINKS[0]) }, { "number": 1, "address": node.address(LINKS[1]) }])
}

pub(super) fn must(scene: &Scene<'_>, label: &str, node: Node, module: &str, args: &Value) -> Result<()> {
    let run = scene.task(label, node, module, args, &[])?;
    ensure!(run.is_success, "{label} failed: {}", run.messages());
    Ok(())
}

/// No key, no entry, no file of a credential is left on any node.
pub(super) fn nothing_left(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let left = scene.sh(*node, LEFT)?;
        ensure!(left.is_empty(), "{node} still has {left}");
    }
    Ok(())
}
