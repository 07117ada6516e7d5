//! Controllers that play at the same time and know nothing of each other, and what the nodes say afterwards: the files of
//! corosync on each of them, and corosync's own tools.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::play::{Play, Run};
use super::scene::{Scene, same};
use crate::lab::Node;

/// What no run may say, however it ends.
const NEVER: [&str; 5] =
    ["panicked", "Traceback", "MODULE FAILURE", "could not be undone", "two certificate authorities"];
/// How long corosync may take over what has just been done.
const SETTLING: Duration = Duration::from_secs(20);
/// What a node has of a cluster: a line for each thing, the words after the first are its value.
const LOOK: &str = "for file in /etc/corosync/authkey /etc/corosync/corosync.conf /etc/pve/corosync.conf /etc/pve/pve-root-ca.pem; do \
                    [ -e $file ] && echo \"$(basename $(dirname $file))/$(basename $file) $(sha256sum <$file)\"; done; \
                    corosync-quorumtool -s 2>/dev/null | grep -E '^(Quorate|Nodes|Expected votes):' | sed 's/ votes//; s/^/tool/'; \
                    corosync-cmapctl nodelist 2>/dev/null | awk '$1 ~ /[.](nodeid|name)$/ {print \"map\", $1, $NF}'; \
                    awk '$1 ~ /^(nodeid|name):$/ {print \"conf\", $1, $2}' /etc/corosync/corosync.conf 2>/dev/null; true";

/// A play that begins so much later than the others.
pub struct Rival {
    pub label: String,
    playbook: PathBuf,
    pub args: Vec<String>,
    /// Another inventory than the lab's own.
    pub inventory: Option<PathBuf>,
    pub after: Duration,
}

impl Rival {
    /// A playbook of the project at once, over the lab's own inventory.
    pub fn new(label: &str, playbook: &str) -> Rival {
        let playbook = PathBuf::from("playbooks").join(playbook);
        Rival { label: label.to_owned(), playbook, args: Vec::new(), inventory: None, after: Duration::ZERO }
    }

    /// One task on one host.
    pub fn task(scene: &Scene<'_>, label: &str, host: Node, module: &str, args: &Value) -> Result<Rival> {
        let task = json!({ "name": label, format!("sddc.pve.{module}"): args });
        let plays = json!([{ "hosts": host.name(), "gather_facts": false, "tasks": [task] }]);
        let playbook = scene.dir().join(format!("{label}.yml"));
        fs::write(&playbook, plays.to_string())?;
        Ok(Rival { playbook, ..Rival::new(label, "") })
    }

    pub fn after(mut self, seconds: f64) -> Rival {
        self.after = Duration::from_secs_f64(seconds);
        self
    }

    pub fn over(mut self, inventory: PathBuf) -> Rival {
        self.inventory = Some(inventory);
        self
    }

    pub fn var(mut self, var: &str) -> Rival {
        self.args.extend(["-e".to_owned(), var.to_owned()]);
        self
    }
}

/// Plays all of them, each with connections and temporary files of its own; returns what each printed.
pub fn at_once(scene: &Scene<'_>, rivals: &[Rival]) -> Result<Vec<Run>> {
    let runs: Vec<Result<Run>> = thread::scope(|threads| {
        let started: Vec<_> = rivals.iter().map(|rival| threads.spawn(move || play(scene, rival))).collect();
        let join = |one: thread::ScopedJoinHandle<'_, Result<Run>>| {
            one.join().unwrap_or_else(|_| Err(anyhow!("the thread of a play panicked")))
        };
        started.into_iter().map(join).collect()
    });
    let runs = runs.into_iter().collect::<Result<Vec<_>>>()?;
    for (rival, run) in rivals.iter().zip(&runs) {
        let said = run.messages();
        let verdict =
            if run.is_success { "ended well".to_owned() } else { format!("says: {}", first_line(&said)) };
        println!(
            "  {}: {:.1} s, {} changes, {verdict}",
            rival.label,
            run.elapsed.as_secs_f64(),
            run.changed.len()
        );
        for word in NEVER {
            ensure!(!run.output.contains(word), "{} says {word:?}: {said}", rival.label);
        }
        ensure!(run.is_success || !said.is_empty(), "{} failed without a reason", rival.label);
    }
    Ok(runs)
}

fn play(scene: &Scene<'_>, rival: &Rival) -> Result<Run> {
    let home = scene.dir().join(&rival.label);
    let sockets = home.join("cp");
    fs::create_dir_all(&sockets).with_context(|| format!("can't make {}", sockets.display()))?;
    let log = scene.dir().join(format!("{}.log", rival.label));
    let mut play = Play::new(scene.project, &rival.playbook, log)
        .args(rival.args.iter().cloned())
        .args(["-e".to_owned(), format!("ansible_control_path_dir={}", sockets.display())])
        .env("ANSIBLE_HOME", &home.display().to_string())
        .env("ANSIBLE_LOCAL_TEMP", &home.join("tmp").display().to_string());
    if let Some(inventory) = &rival.inventory {
        play = play.inventory(inventory.clone());
    }
    thread::sleep(rival.after);
    play.run()
}

fn first_line(said: &str) -> &str {
    said.lines().next().unwrap_or_default()
}

/// An inventory of the lab with its nodes in another order, or with some of them only.
pub fn inventory(scene: &Scene<'_>, name: &str, nodes: &[Node]) -> Result<PathBuf> {
    let text = fs::read_to_string(scene.project.lab_inventory())?;
    let line_of = |node: &Node| {
        let start = format!("{node} ");
        text.lines()
            .find(|line| line.starts_with(&start))
            .with_context(|| format!("the inventory has no {node}"))
    };
    let hosts = nodes.iter().map(line_of).collect::<Result<Vec<_>>>()?.join("\n");
    let vars = text.split_once("\n[proxmox_nodes:vars]").context("the inventory has no variables")?.1;
    let path = scene.dir().join(format!("{name}.ini"));
    fs::write(&path, format!("[proxmox_nodes]\n{hosts}\n\n[proxmox_nodes:vars]{vars}"))?;
    Ok(path)
}

/// What one node has of a cluster.
#[derive(Debug, Default, PartialEq, Eq)]
struct Part {
    files: BTreeMap<String, String>,
    quorate: Option<String>,
    members: Option<String>,
    expected: Option<String>,
    /// Node ids and names of corosync.conf, and of the corosync that runs.
    listed: Vec<String>,
    running: Vec<String>,
}

/// Whoever has anything of a cluster is a quorate member of the one cluster there is; returns the members.
pub fn one_cluster(scene: &Scene<'_>, nodes: &[Node]) -> Result<Vec<Node>> {
    let deadline = Instant::now() + SETTLING;
    let parts = loop {
        let look = |node: &Node| Ok((*node, read(&scene.sh(*node, LOOK)?)));
        let parts = nodes.iter().map(look).collect::<Result<Vec<_>>>()?;
        let faults = faults(&parts);
        if faults.is_empty() {
            break parts;
        }
        ensure!(Instant::now() < deadline, "{}", faults.join("\n"));
        thread::sleep(Duration::from_millis(500));
    };
    let is_member = |part: &Part| part.files.contains_key("corosync/corosync.conf");
    Ok(parts.iter().filter(|(_, part)| is_member(part)).map(|(node, _)| *node).collect())
}

fn read(said: &str) -> Part {
    let mut part = Part::default();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["toolQuorate:", value] => part.quorate = Some(value.to_owned()),
            ["toolNodes:", value] => part.members = Some(value.to_owned()),
            ["toolExpected:", value] => part.expected = Some(value.to_owned()),
            ["map", _, value] => part.running.push(value.to_owned()),
            ["conf", _, value] => part.listed.push(value.to_owned()),
            [file, sum, ..] => drop(part.files.insert(file.to_owned(), sum.to_owned())),
            _ => {}
        }
    }
    part.listed.sort();
    part.running.sort();
    part
}

fn faults(parts: &[(Node, Part)]) -> Vec<String> {
    let mut faults = Vec::new();
    let members: Vec<&(Node, Part)> = parts
        .iter()
        .filter(|(_, part)| part.files.keys().any(|file| file != "pve/pve-root-ca.pem"))
        .collect();
    for file in ["corosync/authkey", "corosync/corosync.conf", "pve/corosync.conf", "pve/pve-root-ca.pem"] {
        let sums: BTreeSet<Option<&String>> = members.iter().map(|(_, part)| part.files.get(file)).collect();
        if sums.len() > 1 || sums.contains(&None) {
            faults.push(format!("{file} is not the same on all members, or not there: {sums:?}"));
        }
    }
    for (node, part) in members.iter().copied() {
        let distinct: BTreeSet<&String> = part.listed.iter().collect();
        if distinct.len() < part.listed.len() {
            faults.push(format!("{node} lists a node id or a name twice: {:?}", part.listed));
        }
        if part.listed != part.running {
            faults.push(format!(
                "corosync of {node} runs with {:?}, its file has {:?}",
                part.running, part.listed
            ));
        }
        if part.quorate.as_deref() != Some("Yes") {
            faults.push(format!("{node} is not quorate"));
        }
        let count = Some((part.listed.len() / 2).to_string());
        if part.members != count || part.expected != count || members.len() * 2 != part.listed.len() {
            faults.push(format!(
                "{node} lists {:?}, sees {:?} nodes and expects {:?} votes; {} nodes have a cluster",
                part.listed,
                part.members,
                part.expected,
                members.len()
            ));
        }
    }
    faults
}

/// site.yml by one controller alone makes the nodes one healthy cluster; the next run finds nothing to do.
pub fn settles(scene: &Scene<'_>, label: &str, nodes: &[Node]) -> Result<()> {
    scene.site(&format!("{label}-after"), &[])?;
    let again = scene.site(&format!("{label}-again"), &[])?;
    same("changes of the last run", &Vec::<String>::new(), &again.changed)?;
    scene.healthy(nodes)?;
    same("members", &nodes.to_vec(), &one_cluster(scene, nodes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: &str = "corosync/authkey aa  -\ncorosync/corosync.conf bb  -\npve/corosync.conf bb  -\npve/pve-root-ca.pem cc  -\n\
                          toolNodes:            2\ntoolQuorate:          Yes\ntoolExpected:   2\n\
                          map nodelist.node.0.name pve1\nmap nodelist.node.0.nodeid 1\nmap nodelist.node.1.name pve2\n\
                          map nodelist.node.1.nodeid 2\nconf name: pve1\nconf nodeid: 1\nconf name: pve2\nconf nodeid: 2\n";

    fn found(texts: &[&str]) -> Vec<String> {
        let parts: Vec<(Node, Part)> =
            Node::first(9).into_iter().zip(texts).map(|(node, text)| (node, read(text))).collect();
        faults(&parts)
    }

    #[test]
    fn two_clusters_twins_and_strangers_are_seen() {
        let alone = "pve/pve-root-ca.pem dd  -\n";
        assert!(found(&[MEMBER, MEMBER, alone]).is_empty(), "{:?}", found(&[MEMBER, MEMBER, alone]));
        assert!(found(&[alone, alone]).is_empty());
        let told = |texts: &[&str], word: &str| found(texts).iter().any(|fault| fault.contains(word));
        assert!(told(&[MEMBER, &MEMBER.replace("aa", "ee")], "corosync/authkey"));
        assert!(told(&[MEMBER, &MEMBER.replace("cc", "ee")], "pve-root-ca"));
        assert!(told(&[MEMBER, &MEMBER.replace("nodeid: 2", "nodeid: 1")], "twice"));
        assert!(told(&[MEMBER, &MEMBER.replace("Yes", "No")], "not quorate"));
        assert!(told(&[MEMBER, MEMBER, MEMBER], "3 nodes have a cluster"));
        assert!(told(&[MEMBER, "corosync/authkey aa  -\n"], "not there"));
    }
}
