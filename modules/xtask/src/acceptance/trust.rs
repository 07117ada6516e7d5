//! By what members are trusted: each conflict is made, shown in check mode, mended by trust.yml, proven with ssh and openssl,
//! and not found again; lines and certificates of others stay byte for byte.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::play::Run;
use super::scene::{Scene, refused, same};
use crate::lab::{LINKS, Node};

const SHARED_KEYS: &str = "/etc/pve/priv/authorized_keys";

/// A file of known hosts with wrong keys in it.
struct Spoilt {
    path: String,
    /// Hosts that it names wrongly.
    hosts: Vec<String>,
    /// What it is once mended.
    expected: String,
}

/// A way to spoil the own certificate, in its directory.
const CERTIFICATES: [(&str, &str, &str); 6] = [
    (
        "ended",
        "the certificate ended on",
        "sign -CA /etc/pve/pve-root-ca.pem -CAkey /etc/pve/priv/pve-root-ca.key \
        -not_before 20200101000000Z -not_after 20210101000000Z",
    ),
    (
        "foreign",
        "not of this cluster's authority",
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/ca.key \
        -subj /CN=other -days 30 -out /root/ca.pem 2>/dev/null; sign -CA /root/ca.pem -CAkey /root/ca.key -days 30",
    ),
    ("missing", "pve-ssl.pem is missing", "rm pve-ssl.pem"),
    (
        "other-key",
        "of another key than pve-ssl.key",
        "openssl genrsa 2048 2>/dev/null >/root/new.key; \
        cp /root/new.key pve-ssl.key",
    ),
    ("broken-key", "can't read the certificate's key", "echo nonsense >pve-ssl.key"),
    ("unreadable", "can't read /etc/pve/nodes/", "echo nonsense >pve-ssl.pem"),
];
/// Signs a request of the node's key for the node's name.
const SIGN: &str = "cd /etc/pve/nodes/$(hostname); sign() { printf 'subjectAltName=DNS:%s' \"$(hostname)\" >/root/san; \
    openssl req -new -key pve-ssl.key -subj /CN=$(hostname) | openssl x509 -req -set_serial 77 -extfile /root/san \"$@\" \
    -out /root/signed.pem 2>/dev/null && cp /root/signed.pem pve-ssl.pem; }; ";

/// Everything, on a cluster of three.
pub fn all(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    let run = trust(scene, "healthy", &[])?;
    same("changes of a healthy cluster", &Vec::<String>::new(), &run.changed)?;
    host_keys(scene, &nodes)?;
    for (what, told, line) in CERTIFICATES {
        certificate(scene, &nodes, what, told, line)
            .with_context(|| format!("a certificate that is {what}"))?;
    }
    root_keys(scene, &nodes)?;
    without_quorum(scene, &nodes)?;
    let trail = scene.sh(nodes[1], "grep -c mend_trust /var/log/pve-cluster-audit.jsonl; true")?;
    ensure!(trail.trim() != "0", "the audit trail of pve2 has no line");
    scene.healthy(&nodes)
}

fn trust(scene: &Scene<'_>, label: &str, args: &[&str]) -> Result<Run> {
    scene.play("trust.yml", label).args(args.iter().copied()).succeed()
}

/// Check mode shows it and changes nothing, the run mends it on these nodes only, a second run finds nothing.
fn mend(scene: &Scene<'_>, nodes: &[Node], label: &str, changed: &[Node], shown: &[&str]) -> Result<Run> {
    let before = scene.untouched(nodes)?;
    let check = trust(scene, &format!("{label}-check"), &["--check", "--diff"])?;
    scene.still_but(&before, &["/root/.ansible", "/var/log", "/run"])?;
    for text in shown {
        ensure!(check.output.contains(text), "check mode does not show {text:?}");
    }
    let run = trust(scene, label, &["--diff"])?;
    let hosts = |run: &Run| -> Vec<String> {
        run.changed.iter().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
    };
    let mut seen = hosts(&run);
    seen.sort();
    same("changed nodes", &changed.iter().map(|node| node.name()).collect::<Vec<_>>(), &seen)?;
    let again = trust(scene, &format!("{label}-again"), &[])?;
    same("changes of the second run", &Vec::<String>::new(), &hosts(&again))?;
    println!("  mended: {label}");
    Ok(run)
}

fn host_keys(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let (here, subject) = (nodes[0], nodes[1]);
    let key = |line: &str| -> Result<String> { Ok(scene.sh(here, line)?.trim().to_owned()) };
    let right = scene.sh(subject, "cut -d' ' -f1,2 /etc/ssh/ssh_host_rsa_key.pub")?.trim().to_owned();
    let wrong = key("rm -f /root/w /root/w.pub; ssh-keygen -q -t rsa -b 2048 -N '' -C '' -f /root/w; \
                     cut -d' ' -f1,2 /root/w.pub")?;
    let (name, addresses) = (subject.name(), LINKS.map(|link| subject.address(link)));
    let kept = format!(
        "# kept\nother {wrong}\n{name}x {wrong} a  comment\n[{name}]:2222 {wrong}\n@revoked {name} {wrong}\n"
    );
    let shared = key("cat /etc/pve/priv/known_hosts")?;
    let plain = |hosts: &[&str]| -> String { hosts.iter().map(|host| format!("{host} {wrong}\n")).collect() };
    let mut spoilt = Vec::new();
    let mut spoil = |path: &str, text: String, hosts: &[&str]| -> Result<()> {
        scene.sh(here, &format!("cat >{path} <<'END'\n{text}END"))?;
        let is_subject = |line: &str| hosts.iter().any(|host| line == format!("{host} {wrong}"));
        let line = |line: &str| {
            let line = if is_subject(line) { line.replace(&wrong, &right) } else { line.to_owned() };
            format!("{line}\n")
        };
        let expected = text.lines().map(line).collect();
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        spoilt.push(Spoilt { path: path.to_owned(), hosts, expected });
        Ok(())
    };
    let both = [name.as_str(), addresses[0].as_str()];
    spoil("/etc/pve/priv/known_hosts", format!("{shared}\n{}{kept}", plain(&both)), &both)?;
    spoil("/root/.ssh/known_hosts2", format!("{kept}{}", plain(&[&addresses[1]])), &[&addresses[1]])?;
    spoil(&format!("/etc/pve/nodes/{name}/ssh_known_hosts"), plain(&[&name]), &[&name])?;
    // Hashed by OpenSSH itself.
    spoil("/root/.ssh/known_hosts", format!("{}other {wrong}\n", plain(&both)), &both)?;
    let hashed = key(
        "ssh-keygen -q -H -f /root/.ssh/known_hosts >/dev/null 2>&1; rm -f /root/.ssh/known_hosts.old; \
                      cat /root/.ssh/known_hosts",
    )?;
    let mended: Vec<String> = hashed
        .lines()
        .enumerate()
        .map(|(at, line)| if at < 2 { line.replace(&wrong, &right) } else { line.to_owned() } + "\n")
        .collect();
    ensure!(hashed.lines().all(|line| line.starts_with("|1|")), "ssh-keygen hashed nothing: {hashed}");
    spoilt.last_mut().context("a file")?.expected = mended.concat();

    for file in &spoilt {
        for host in &file.hosts {
            ensure!(
                !reaches(scene, here, host, &name, &file.path)?,
                "{}: the wrong key of {host} is taken",
                file.path
            );
        }
    }
    let shown: Vec<&str> = spoilt.iter().map(|file| file.path.as_str()).collect();
    // What all share is mended by who comes first.
    let before = scene.untouched(nodes)?;
    let check = trust(scene, "host-keys-check", &["--check", "--diff"])?;
    scene.still_but(&before, &["/root/.ansible", "/var/log", "/run"])?;
    for path in shown {
        ensure!(check.output.contains(path), "check mode does not show {path}");
    }
    let run = trust(scene, "host-keys", &["--diff"])?;
    ensure!(
        run.changed.iter().any(|line| line.starts_with(&here.name())),
        "nothing was changed: {:?}",
        run.changed
    );
    for file in &spoilt {
        let seen = scene.sh(here, &format!("cat {}", file.path))?;
        same(&format!("{} once mended", file.path), &file.expected, &seen)?;
        for host in &file.hosts {
            ensure!(reaches(scene, here, host, &name, &file.path)?, "{}: {host} is not reached", file.path);
        }
    }
    let again = trust(scene, "host-keys-again", &[])?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    scene.sh(here, "rm -f /root/.ssh/known_hosts /root/.ssh/known_hosts2 /root/w /root/w.pub")?;
    println!("  mended: host keys in {} files", spoilt.len());
    Ok(())
}

/// Whether root gets from one node to another with only this file of known hosts.
fn reaches(scene: &Scene<'_>, from: Node, host: &str, name: &str, file: &str) -> Result<bool> {
    let alias = if file.contains("/nodes/") {
        format!("-oHostKeyAlias={name}")
    } else {
        "-oCheckHostIP=no".to_owned()
    };
    let file = format!("-oUserKnownHostsFile={file}");
    let argv = [
        "ssh",
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=yes",
        "-oHostKeyAlgorithms=rsa-sha2-512",
        "-oConnectTimeout=5",
        "-oGlobalKnownHostsFile=/dev/null",
        "-oUpdateHostKeys=no",
        &file,
        &alias,
        &format!("root@{host}"),
        "true",
    ];
    Ok(scene.lab.exec(from, &argv)?.status.success())
}

fn certificate(scene: &Scene<'_>, nodes: &[Node], what: &str, told: &str, line: &str) -> Result<()> {
    let (here, subject) = (nodes[0], nodes[1]);
    let others =
        "sha256sum /etc/pve/nodes/pve[13]/pve-ssl.* /etc/pve/pve-root-ca.pem /etc/pve/priv/pve-root-ca.key";
    let before = scene.sh(here, others)?;
    scene.sh(subject, &format!("{SIGN}{line}"))?;
    mend(scene, nodes, what, &[subject], &[told])?;
    same("certificates of others", &before, &scene.sh(here, others)?)?;
    let own = format!("/etc/pve/nodes/{subject}");
    scene.sh(
        subject,
        &format!(
            "openssl verify -CAfile /etc/pve/pve-root-ca.pem -verify_hostname {subject} {own}/pve-ssl.pem"
        ),
    )?;
    let keys = format!(
        "test \"$(openssl x509 -in {own}/pve-ssl.pem -noout -pubkey)\" = \"$(openssl pkey -in {own}/pve-ssl.key -pubout)\""
    );
    scene.sh(subject, &keys).context("the certificate is not of the node's key")?;
    let wanted =
        scene.sh(subject, &format!("openssl x509 -in {own}/pve-ssl.pem -noout -fingerprint -sha256"))?;
    let served = format!(
        "openssl s_client -connect {}:8006 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256",
        subject.address(LINKS[0])
    );
    // Workers from before the reload go on for some seconds.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let shown = scene.sh(here, &served)?;
        if shown == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the API shows {shown}, not {wanted}");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn root_keys(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let (here, subject) = (nodes[0], nodes[2]);
    let spoil = format!(
        "rm /root/.ssh/authorized_keys; (cat {SHARED_KEYS}; echo 'ssh-ed25519 AAAAdesk desk') >/root/.ssh/authorized_keys"
    );
    scene.sh(subject, &spoil)?;
    let before = scene.sh(here, &format!("cat {SHARED_KEYS}"))?;
    mend(scene, nodes, "authorised-keys", &[subject], &["a file of its own"])?;
    same("root's file", &SHARED_KEYS, &scene.sh(subject, "readlink /root/.ssh/authorized_keys")?.trim())?;
    same("the cluster's keys", &before, &scene.sh(here, &format!("cat {SHARED_KEYS}"))?)?;
    scene
        .sh(subject, "grep -q desk /root/.ssh/authorized_keys2")
        .context("the node's own key does not let in any more")?;
    scene.sh(
        subject,
        "sed -i /desk/d /root/.ssh/authorized_keys2; rm /root/.ssh/authorized_keys.before-sddc-pve",
    )?;

    let own = format!("root@{subject}$");
    scene.sh(
        here,
        &format!("grep -v '{own}' {SHARED_KEYS} >/root/keys; cat /root/keys >{SHARED_KEYS}; rm /root/keys"),
    )?;
    let file = "/etc/pve/nodes/pve1/ssh_known_hosts";
    ensure!(!reaches(scene, subject, &here.name(), &here.name(), file)?, "it gets in without its key");
    mend(scene, nodes, "own-key", &[subject], &["root's key of"])?;
    ensure!(reaches(scene, subject, &here.name(), &here.name(), file)?, "its key does not let it in");
    Ok(())
}

fn without_quorum(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    for node in &nodes[1..] {
        scene.sh(*node, "systemctl stop corosync")?;
    }
    let limit = Duration::from_secs(30);
    let deadline = Instant::now() + limit;
    while scene.sh(nodes[0], "corosync-quorumtool -s | grep Quorate:; true")?.contains("Yes") {
        ensure!(Instant::now() < deadline, "quorum is not lost");
        std::thread::sleep(Duration::from_millis(500));
    }
    let run = scene.play("trust.yml", "no-quorum").args(["--limit", "pve1"]).run();
    for node in &nodes[1..] {
        scene.sh(*node, "systemctl start corosync; systemctl restart pve-cluster")?;
    }
    refused(&run?, &["no quorum", "bring its nodes up"], limit)
}
