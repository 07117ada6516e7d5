//! Joins over ssh: as root with a key that serves one join, and as the dedicated user with its one sudo rule. What a
//! thief of either could try is tried with real ssh and real sudo.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::credentials::{must, nothing_left};
use super::scene::{Scene, same};
use crate::lab::{LINKS, Node};

/// What the user's command says to an empty question, when it runs at all.
const FIRST_REFUSAL: &str = "a node that asks must have a node's name";
const CLUSTER: &str = "sddc-cluster";
const METHOD: [&str; 2] = ["-e", "pve_join_method=ssh"];
const AS_USER: [&str; 4] = ["-e", "pve_join_method=ssh", "-e", "pve_join_ssh_user=clusteradmin"];
const OTHER_KEY: &str = "{\"pve_join_host_keys\": [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICLVWHPjk1JdyQdmfQXwktDJzhXLQ30QV4N9U9N7zVoF\"]}";
/// What could be left of an ssh login: known hosts, configuration, keys, users.
const TRACES: &str = "cd /root/.ssh; ls -A | grep -v '^id_rsa\\|^authorized_keys'; cat known_hosts config 2>/dev/null; \
    stat -c %a config 2>/dev/null; cut -d: -f1 /etc/passwd; \
    find /etc/sudoers.d /run/sddc-pve -type f ! -name '*.lock' 2>/dev/null; true";
const PROGRAM: &str = "/usr/local/lib/sddc-pve/admin/pve";

/// site.yml joins with pvecm add --use_ssh; a wrong host key is refused before anything is sent; nothing is left.
pub fn method(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let before = scene.untouched(&nodes)?;
    let check = scene.site("check", &[&METHOD[..], &["--check", "--diff"]].concat())?;
    scene.still(&before)?;
    let foretold = check.changed.iter().filter(|line| line.ends_with("Join the cluster")).count();
    same("joins foretold", &2, &foretold)?;

    let traces: Vec<String> = traces(scene, &nodes)?;
    let run = scene.play("site.yml", "other-host-key").args(METHOD).args(["-e", OTHER_KEY]).run()?;
    ensure!(!run.is_success, "a wrong host key was taken");
    for word in ["another host key", "nothing was sent"] {
        ensure!(run.messages().contains(word), "the refusal does not say {word:?}: {}", run.messages());
    }
    same("config_version", &1, &scene.config_version(nodes[0])?)?;
    let accepted = logins(scene, nodes[0], nodes[1])?;
    ensure!(accepted.is_empty(), "pve1 let pve2 in all the same: {accepted}");
    nothing_left(scene, &nodes[..1])?;

    let run = scene.site("join", &[&METHOD[..], &["-vvvv"]].concat())?;
    scene.healthy(&nodes)?;
    ensure!(!run.output.contains("OPENSSH PRIVATE KEY"), "the output at -vvvv has a key");
    ensure!(!logins(scene, nodes[0], nodes[1])?.is_empty(), "pve2 joined without ssh");
    let told = scene.sh(
        nodes[1],
        "journalctl --no-pager -u sddc-pve-operation; cat /var/log/pve/tasks/*/*clusterjoin*",
    )?;
    ensure!(told.contains("copy corosync auth key"), "pvecm add --use_ssh was not what joined: {told}");
    let again = scene.site("again", &METHOD)?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    nothing_left(scene, &nodes)?;
    same("traces", &traces, &self::traces(scene, &nodes)?)?;
    key_serves_one_join(scene, nodes[0], nodes[2])
}

/// A key of this kind, tried by real ssh for everything but its join.
fn key_serves_one_join(scene: &Scene<'_>, member: Node, thief: Node) -> Result<()> {
    let address = thief.address(LINKS[0]);
    let key = json!({ "cluster_name": CLUSTER, "type": "ssh_key", "node": "pve9", "from": [address],
        "public_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" });
    must(scene, "issue", member, "pve_join_credential", &key)?;
    // The secret is sealed to nobody: a key of the thief's own takes its place on the line.
    let public = scene
        .sh(thief, "ssh-keygen -q -t ed25519 -N '' -f /root/stolen; cut -d' ' -f1-2 /root/stolen.pub")?;
    let keys = "/etc/pve/priv/authorized_keys";
    scene.sh(
        member,
        &format!("grep sddc-pve-token- {keys} | sed 's|ssh-ed25519 [^ ]*|{}|' >/run/line; cat /run/line >>{keys}; rm /run/line", public.trim()),
    )?;
    let ssh = format!(
        "ssh -i /root/stolen -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
         -o UserKnownHostsFile=/root/stolen.hosts root@{}",
        member.address(LINKS[0])
    );
    let said = scene.sh(thief, &format!("{ssh} pvecm apiver </dev/null"))?;
    same("what it is for", &"1", &said.trim())?;
    let conf = scene.sh(member, "cat /etc/pve/corosync.conf")?;
    let fetch = "rsync --server --sender -logpqe.LsfxCIvu . /etc/corosync/authkey /etc/pve/corosync.conf";
    for (what, line) in [
        ("a shell", format!("{ssh} </dev/null")),
        ("a terminal", format!("{ssh} -tt </dev/null")),
        ("another command", format!("{ssh} 'id; cat /etc/shadow' </dev/null")),
        ("a command behind its own", format!("{ssh} 'pvecm apiver; id' </dev/null")),
        (
            "another name",
            format!("{ssh} 'pvecm addnode pve1 --force 1 --link0 10.9.9.9 --link1 10.9.9.8' </dev/null"),
        ),
        ("a removal", format!("{ssh} 'pvecm delnode pve2' </dev/null")),
        ("the authkey before its admission", format!("{ssh} '{fetch}' </dev/null")),
        (
            "another file",
            format!("rsync -e '{}' -q :/etc/shadow /root/stolen.shadow", ssh.replace("root@", "-l root ")),
        ),
        (
            "sftp",
            format!(
                "echo 'get /etc/shadow /root/stolen.shadow' | {}",
                ssh.replacen("ssh ", "timeout 10 sftp -b - ", 1)
            ),
        ),
    ] {
        let said = scene.sh(thief, &format!("timeout 20 {line} 2>&1 && echo LET IN; true"))?;
        ensure!(
            !said.contains("uid=0") && !said.contains("root:") && !said.contains("LET IN"),
            "it gave {what}: {said}"
        );
    }
    ensure!(scene.sh(thief, "ls /root/stolen.shadow 2>/dev/null; true")?.is_empty(), "it gave /etc/shadow");
    same("corosync.conf", &conf, &scene.sh(member, "cat /etc/pve/corosync.conf")?)?;
    // From another address sshd itself refuses it.
    let second = scene.sh(
        thief,
        &format!(
            "timeout 20 {} true 2>&1; true",
            ssh.replace(&member.address(LINKS[0]).to_string(), &member.address(LINKS[1]).to_string())
        ),
    )?;
    ensure!(second.contains("Permission denied"), "from another address: {second}");
    scene.sh(thief, "rm -f /root/stolen*").map(drop)
}

/// The dedicated user admits nodes, can do nothing else, and goes without a trace.
pub fn user(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let before = traces(scene, &nodes)?;
    let admin =
        |label: &str, args: &[&str]| scene.play("cluster_admin.yml", label).args(args.iter().copied()).run();
    for state in ["present", "absent"] {
        let state = format!("pve_admin_state={state}");
        let taken = admin("taken", &["-e", "pve_admin_user=backup", "-e", &state])?;
        ensure!(taken.messages().contains("an account of pve1 already"), "not refused: {}", taken.messages());
    }
    same("traces of what was refused", &before, &traces(scene, &nodes)?)?;
    ensure!(admin("check", &["--check", "--diff"])?.is_success, "check mode failed");
    same("traces of check mode", &before, &traces(scene, &nodes)?)?;
    let made = admin("present", &[])?;
    ensure!(made.is_success, "the role failed: {}", made.messages());
    same("changes of the second run", &Vec::<String>::new(), &admin("again", &[])?.changed)?;

    let check = scene.site("join-check", &[&AS_USER[..], &["--check", "--diff"]].concat())?;
    ensure!(check.is_success, "check mode failed");
    scene.site("join", &AS_USER)?;
    scene.healthy(&nodes)?;
    let again = scene.site("join-again", &AS_USER)?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    let audit = scene.sh(nodes[0], "grep -c '\"operation\":\"admit_by_sudo\".*\"sudo_user\":\"clusteradmin\"' /var/log/pve-cluster-audit.jsonl")?;
    same("admissions in the audit trail", &"2", &audit.trim())?;

    escalation(scene, nodes[0])?;
    doors(scene, nodes[0], nodes[1])?;

    let gone = admin("absent", &["-e", "pve_admin_state=absent"])?;
    ensure!(gone.is_success, "the removal failed: {}", gone.messages());
    same("traces", &before, &traces(scene, &nodes)?)?;
    let left = scene.sh(nodes[1], "ls -d /etc/sddc-pve/admin /var/lib/sddc-pve-admin /usr/local/lib/sddc-pve/admin 2>/dev/null; getent passwd clusteradmin; true")?;
    ensure!(left.is_empty(), "the removal left {left}");
    same(
        "changes of the second removal",
        &Vec::<String>::new(),
        &admin("absent-again", &["-e", "pve_admin_state=absent"])?.changed,
    )
}

/// What somebody with the account itself could try, against real sudo.
fn escalation(scene: &Scene<'_>, node: Node) -> Result<()> {
    let allowed = scene.sh(node, "runuser -u clusteradmin -- sudo -n -l")?;
    let rules: Vec<&str> = allowed.lines().filter(|line| line.trim_start().starts_with('(')).collect();
    same("rules", &vec![format!("    (root : root) NOPASSWD: {PROGRAM} admit").as_str()], &rules)?;
    let own =
        scene.sh(node, &format!("echo '{{}}' | runuser -u clusteradmin -- sudo -n {PROGRAM} admit; true"))?;
    ensure!(own.contains(FIRST_REFUSAL), "its own command does not run: {own}");
    let module = json!({ "cluster_name": CLUSTER, "state": "absent", "nodes": [{ "name": "pve3" }] });
    for attempt in [
        "sudo -n -s".to_owned(),
        "sudo -n -i".to_owned(),
        "sudo -n id".to_owned(),
        "sudo -n pvecm status".to_owned(),
        format!("sudo -n {PROGRAM}"),
        format!("sudo -n {PROGRAM} admit admit"),
        format!("sudo -n {PROGRAM} pve_cluster_member -"),
        format!("sudo -n {PROGRAM} __operation x"),
        format!("sudo -n {PROGRAM} __token x"),
        format!("sudo -n {PROGRAM} pve_cluster_join --token-file /etc/shadow"),
        "sudo -n /usr/local/lib/sddc-pve/admin/../admin/pve admit".to_owned(),
        "sudo -n /usr/local/lib/sddc-pve/admin/./pve id".to_owned(),
        "sh -c 'cd /tmp; ln -sf /bin/sh pve; PATH=/tmp sudo -n pve admit'".to_owned(),
        "sh -c 'cd /tmp; ln -sf /bin/sh pve; sudo -n ./pve admit'".to_owned(),
        "sh -c 'mkdir -p /tmp/usr/local/lib/sddc-pve/admin; cp /usr/bin/id /tmp/usr/local/lib/sddc-pve/admin/pve; sudo -n -R /tmp /usr/local/lib/sddc-pve/admin/pve admit'".to_owned(),
        format!("sudo -n -E {PROGRAM} admit"),
        format!("sudo -n LD_PRELOAD=/tmp/x.so {PROGRAM} admit"),
        format!("sudo -n SSH_ORIGINAL_COMMAND=exit {PROGRAM} admit"),
        format!("sudo -n -D /etc {PROGRAM} admit"),
        format!("sudo -n -u www-data {PROGRAM} admit"),
        format!("sudo -n -g shadow {PROGRAM} admit"),
        format!("sudoedit -n {PROGRAM}"),
        format!("sh -c 'echo x >>{PROGRAM}'"),
        format!("sh -c 'mv {PROGRAM} {PROGRAM}.old'"),
        format!("sh -c 'ln -sfT /bin/sh {PROGRAM}'"),
        "sh -c 'echo x >>/var/lib/sddc-pve-admin/.ssh/authorized_keys'".to_owned(),
        "sh -c 'echo x >/var/lib/sddc-pve-admin/.ssh/rc'".to_owned(),
        "sh -c 'echo x >/var/lib/sddc-pve-admin/.profile'".to_owned(),
        "cat /etc/corosync/authkey".to_owned(),
        "cat /etc/sddc-pve/admin/key".to_owned(),
        "su -c id".to_owned(),
    ] {
        let line = format!("echo '{module}' | timeout 20 runuser -u clusteradmin -- {attempt} 2>&1 && echo LET IN; true");
        let said = scene.sh(node, &line)?;
        ensure!(!said.contains("LET IN") && !said.contains("uid=0"), "{attempt} was let through: {said}");
    }
    let text = scene.sh(
        node,
        "find / -xdev -user clusteradmin -not -path '/proc/*' -not -path '/tmp/*' 2>/dev/null; true",
    )?;
    ensure!(text.is_empty(), "the user owns {text}");
    scene.sh(node, "rm -rf /tmp/pve /tmp/usr").map(drop)
}

/// What somebody with the node's key could try, against real sshd.
fn doors(scene: &Scene<'_>, member: Node, thief: Node) -> Result<()> {
    let admin = "/etc/sddc-pve/admin";
    let ssh = format!(
        "ssh -i {admin}/key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null \
         -o UserKnownHostsFile={admin}/known_hosts clusteradmin@{}",
        member.address(LINKS[0])
    );
    let own = scene.sh(thief, &format!("echo '{{}}' | {ssh} anything; true"))?;
    ensure!(own.contains(FIRST_REFUSAL), "the key with its pins does not reach its command: {own}");
    for (what, line) in [
        ("a shell", format!("{ssh} </dev/null")),
        ("a terminal", format!("{ssh} -tt </dev/null")),
        ("another command", format!("{ssh} 'id; cat /etc/passwd' </dev/null")),
        ("a command as input", format!("echo id | {ssh} sh")),
        (
            "sftp",
            format!(
                "echo 'get /etc/passwd /root/stolen' | {}",
                ssh.replacen("ssh ", "timeout 10 sftp -b - ", 1)
            ),
        ),
        ("root", format!("{} id </dev/null", ssh.replace("clusteradmin@", "root@"))),
    ] {
        let said = scene.sh(thief, &format!("timeout 20 {line} 2>&1 && echo LET IN; true"))?;
        ensure!(
            !said.contains("uid=") && !said.contains("root:") && !said.contains("LET IN"),
            "the key gave {what}: {said}"
        );
    }
    let tunnel = format!(
        "timeout 10 {ssh} -N -L 18006:127.0.0.1:8006 & sleep 3; \
        curl -ks --max-time 4 https://127.0.0.1:18006/api2/json/version; echo ended $?; wait; true"
    );
    let said = scene.sh(thief, &tunnel)?;
    ensure!(said.contains("ended") && !said.contains("ended 0"), "the key gave a tunnel: {said}");
    // The key of another node, from an address that is not that node's.
    let copied = scene.sh(member, &format!("base64 -w0 {admin}/key"))?;
    let line = format!(
        "umask 077; echo {copied} | base64 -d >/root/stolen; echo '{{}}' | timeout 20 {} 2>&1; rm /root/stolen; true",
        ssh.replace(&format!("{admin}/key"), "/root/stolen")
    );
    let said = scene.sh(thief, &line)?;
    ensure!(said.contains("Permission denied"), "another node's key from here: {said}");
    Ok(())
}

/// All of site.yml by an ordinary user with sudo.
pub fn sudo_user(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    for node in &nodes {
        scene.sh(
            *node,
            "id ops >/dev/null 2>&1 || useradd -m -s /bin/sh -p '*' ops; install -d -m 0700 -o ops -g ops /home/ops/.ssh; \
             cat /root/.ssh/authorized_keys /root/.ssh/authorized_keys2 2>/dev/null >/home/ops/.ssh/authorized_keys; \
             chown ops:ops /home/ops/.ssh/authorized_keys; chmod 0600 /home/ops/.ssh/authorized_keys; \
             echo 'ops ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops; chmod 0440 /etc/sudoers.d/ops",
        )?;
    }
    let outcome = as_ops(scene, &nodes);
    for node in &nodes {
        scene.sh(*node, "rm -f /etc/sudoers.d/ops; userdel -rf ops 2>/dev/null; true")?;
    }
    outcome
}

fn as_ops(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let args = ["-e", "ansible_user=ops", "-e", "ansible_become=true"];
    let before = scene.untouched(nodes)?;
    scene.site("check", &[&args[..], &["--check", "--diff"]].concat())?;
    scene.still_but(&before, &["/home/ops"])?;
    scene.site("first", &args)?;
    scene.healthy(nodes)?;
    let audit = scene.sh(nodes[1], "grep '\"operation\":\"join\"' /var/log/pve-cluster-audit.jsonl")?;
    ensure!(audit.contains("\"sudo_user\":\"ops\""), "the audit trail does not say who it was: {audit}");
    let again = scene.site("again", &args)?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    let check = scene.play("check.yml", "health").args(args).run()?;
    ensure!(check.is_success, "check.yml failed: {}", check.messages());
    Ok(())
}

fn traces(scene: &Scene<'_>, nodes: &[Node]) -> Result<Vec<String>> {
    nodes.iter().map(|node| scene.sh(*node, TRACES)).collect()
}

/// Lines of a member's sshd that let somebody in from a node.
fn logins(scene: &Scene<'_>, member: Node, from: Node) -> Result<String> {
    let line =
        format!("journalctl --no-pager -u ssh | grep 'Accepted .* from {} '; true", from.address(LINKS[0]));
    scene.sh(member, &line).context("sshd's journal")
}
