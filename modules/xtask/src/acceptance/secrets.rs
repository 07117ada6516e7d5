//! No secret where it could be read: output at -vvvv, journals, processes, files on disk and in memory, the memory of
//! pmxcfs. What a method makes up by itself is caught where it passes a tool. The same search must find a word that was
//! put into each of these places on purpose, so that it can't be blind.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, ensure};

use super::scene::{PASSWORD, Scene, same};
use crate::lab::Node;

/// Watches every process's command line and environment until its flag file is gone, then says that it is over. The key of a
/// join over ssh, which no tool is given by its command line, is caught where it lies while pvecm runs.
const WATCH: &str = "\
while [ -e /run/ps-watch ]; do
  for f in $(grep -ls 'OPENSSH PRIVATE KEY' /run/sddc-pve/*); do cat $f >/root/taps/key; done
  for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do tr '\\0' ' ' <$f; echo; done
done >/root/ps-watch.log 2>/dev/null
touch /run/ps-watch.over
";
const START: &str =
    "touch /run/begun /run/ps-watch; setsid sh /root/ps-watch.sh </dev/null >/dev/null 2>&1 &";
const STOP: &str = "rm /run/ps-watch; timeout 30 sh -c 'until [ -e /run/ps-watch.over ]; do sleep 0.1; done'";
/// A word that is no secret, and where it is put.
const CANARY: &str = "canary-7f3a9c";
const PLANT: &str = "\
echo canary-7f3a9c >/tmp/canary; echo canary-7f3a9c >/run/canary; echo canary-7f3a9c >/var/tmp/canary
logger canary-7f3a9c; CANARY=canary-7f3a9c setsid sleep 3 </dev/null >/dev/null 2>&1 &";
/// Regular files newer than the play, on disk, in memory and in pmxcfs.
const FILES: &str = "find / /run /tmp /dev/shm /etc/pve -xdev \\( -path /proc -o -path /sys -o -name ps-watch.log \
                     -o -path /root/taps \\) -prune -o -type f -newer /run/begun -print0 2>/dev/null";
/// Tools before the system's own ones that keep what a credential passes through them: the temporary password on its
/// way to be hashed, the ticket as it is made, the token's key as ssh is given it.
const TAPS: &str = r#"
mkdir -m 0700 /root/taps; cd /usr/local/sbin
cat >openssl <<'END'
#!/bin/sh
if [ "$1" = passwd ]; then tee -a /root/taps/password | /usr/bin/openssl "$@"; else exec /usr/bin/openssl "$@"; fi
END
cat >perl <<'END'
#!/bin/sh
case "$*" in
*assemble_ticket*) /usr/bin/perl "$@" | tee -a /root/taps/ticket; echo >>/root/taps/ticket ;;
*) exec /usr/bin/perl "$@" ;;
esac
END
cat >ssh <<'END'
#!/bin/sh
for word; do case "$word" in IdentityFile=/run/*) cat "${word#IdentityFile=}" >/root/taps/key ;; esac; done
exec /usr/bin/ssh "$@"
END
chmod 0755 openssl perl ssh"#;
/// The seed of a token's key, as the token has it (openssh, PROTOCOL.key), once it proved to be that of the key.
const SEED: &str = r#"
cd /root/taps; umask 077; chmod 0600 key
grep -v -- ----- key | base64 -d | dd bs=1 skip=161 count=32 2>/dev/null >seed
(printf '302e020100300506032b657004220420' | perl -pe 's/(..)/chr hex $1/ge'; cat seed) | openssl pkey -inform DER -out made
[ "$(ssh-keygen -y -f made)" = "$(ssh-keygen -y -f key | cut -d' ' -f1-2)" ] && base64 -w0 seed | tr '+/' '-_' | tr -d ="#;
/// Whether a word stands in the memory of pmxcfs.
const MEMORY: &str = r#"
import subprocess, sys
word = sys.argv[1].encode()
for pid in subprocess.run(["pgrep", "-x", "pmxcfs"], capture_output=True, text=True).stdout.split():
    read = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            area, rights = line.split()[:2]
            first, last = (int(end, 16) for end in area.split("-"))
            if "rw" not in rights or "[v" in line:
                continue
            memory.seek(first)
            content = memory.read(last - first)
            read += len(content)
            if word in content:
                print("found")
    print("read", read > 65536)
"#;

/// Joins over the API with root's password at -vvvv and looks for the password everywhere, then for the cluster's key.
pub fn nowhere(scene: &Scene<'_>) -> Result<()> {
    search(scene, "api")
}

/// The same with every other method, and with what each makes up by itself.
pub fn every_method(scene: &Scene<'_>) -> Result<()> {
    ["brokered", "expect", "auto", "ticket", "token", "ssh"]
        .iter()
        .try_for_each(|method| search(scene, method).with_context(|| format!("method {method}")))
}

fn search(scene: &Scene<'_>, method: &str) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let secrets = scene.dir().join("secrets.yml");
    std::fs::write(&secrets, format!("pve_join_password: \"{PASSWORD}\"\n"))?;
    for node in &nodes {
        scene.sh(*node, TAPS)?;
        scene.lab.write(*node, "/root/ps-watch.sh", WATCH)?;
        scene.sh(*node, START)?;
    }
    for node in &nodes {
        scene.sh(*node, PLANT)?;
    }
    let run = scene
        .play("site.yml", &format!("vvvv-{method}"))
        .args(["-vvvv", "--diff", "-e", &format!("pve_join_method={method}"), "-e"])
        .args([format!("@{}", secrets.display())])
        .run()?;
    for node in &nodes {
        scene.sh(*node, STOP)?;
    }
    ensure!(run.is_success, "the join failed: {}", run.messages());
    scene.healthy(&nodes)?;

    let key = scene.sh(nodes[0], "base64 -w0 /etc/corosync/authkey")?;
    let key = key.get(..60).ok_or_else(|| anyhow!("no authkey"))?;
    let mut secrets = vec![PASSWORD.to_owned(), key.to_owned()];
    secrets.extend(caught(scene, &nodes, method)?);
    for secret in &secrets {
        ensure!(!run.output.contains(secret), "the output at -vvvv has a secret");
    }
    for node in &nodes {
        let planted = ["/run/canary", "/tmp/canary", "/var/tmp/canary", "a process", "the journal"];
        let planted: BTreeSet<String> = planted.map(str::to_owned).into();
        same("places of the planted word", &planted, &places(scene, *node, CANARY)?)?;
        let own = format!("{CANARY}-{node}");
        scene.sh(*node, &format!("echo {own} >/etc/pve/nodes/{node}/canary"))?;
        ensure!(
            is_in_memory(scene, *node, &own)?,
            "a word written to /etc/pve of {node} is not in its memory"
        );
        scene.sh(*node, &format!("rm /etc/pve/nodes/{node}/canary"))?;
        for secret in &secrets {
            let places = places(scene, *node, secret)?;
            ensure!(places.is_empty(), "a secret is to be read on {node}: {places:?}");
            ensure!(!is_in_memory(scene, *node, secret)?, "a secret is in the memory of pmxcfs on {node}");
        }
        let open = scene.sh(
            *node,
            "find /var/lib/sddc-pve /run/sddc-pve /var/log/pve-cluster-audit.jsonl -perm /077 -type f; true",
        )?;
        ensure!(open.is_empty(), "others can read {open} on {node}");
        let audit = scene.sh(*node, "cat /var/log/pve-cluster-audit.jsonl")?;
        ensure!(!audit.is_empty(), "{node} has no audit line");
    }
    Ok(())
}

/// What the tools before the system's own ones kept of a method's secrets: one for each of the two joins.
fn caught(scene: &Scene<'_>, nodes: &[Node], method: &str) -> Result<Vec<String>> {
    let lines = |node: Node, name: &str| -> Result<Vec<String>> {
        let text = scene.sh(node, &format!("cat /root/taps/{name} 2>/dev/null || true"))?;
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    };
    let caught = match method {
        "auto" => lines(nodes[0], "password")?,
        // All of a ticket but its signature is to be guessed.
        "ticket" => lines(nodes[0], "ticket")?
            .iter()
            .filter_map(|ticket| Some(ticket.split_once("::")?.1.get(..60)?.to_owned()))
            .collect(),
        "token" | "ssh" => nodes[1..].iter().map(|node| scene.sh(*node, SEED)).collect::<Result<_>>()?,
        _ => return Ok(Vec::new()),
    };
    same("secrets that were caught", &2, &caught.len())?;
    ensure!(caught.iter().all(|secret| secret.len() >= 24), "what was caught is too short");
    Ok(caught)
}

/// Whether a word is in the memory of a node's pmxcfs.
fn is_in_memory(scene: &Scene<'_>, node: Node, word: &str) -> Result<bool> {
    let said = scene.lab.succeed(node, &["python3", "-c", MEMORY, word])?;
    ensure!(said.contains("read True"), "the memory of pmxcfs can't be read on {node}: {said}");
    Ok(said.contains("found"))
}

/// Where a word stands on a node.
fn places(scene: &Scene<'_>, node: Node, word: &str) -> Result<BTreeSet<String>> {
    let hits = scene.sh(node, &format!("{FILES} | xargs -0 -r grep -lF -- '{word}' || true"))?;
    // The journal is a file too; what it says of itself counts.
    let files = hits.lines().filter(|path| !path.contains("/log/journal/"));
    let mut places: BTreeSet<String> = files.map(str::to_owned).collect();
    let hits = scene.sh(node, &format!("grep -cF -- '{word}' /root/ps-watch.log || true"))?;
    if hits.trim() != "0" {
        places.insert("a process".to_owned());
    }
    if !scene.sh(node, &format!("journalctl --no-pager | grep -F -- '{word}' | head -3"))?.is_empty() {
        places.insert("the journal".to_owned());
    }
    Ok(places)
}
