//! The probe of corosync's links: on networks that are bad in one way each, it names which, where and in which
//! direction, before anything has changed; its responder serves nobody but the probe, and ends.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::play::Run;
use super::scene::{Scene, same};
use crate::lab::{LINKS, Node, Spoilt};

const UNIT: &str = "sddc-pve-link-probe.service";
/// The key of the probes that are made here by hand, to be looked for where it must not be.
const KEY: &str = "acceptance-key-0123456789-abcdefghij";

/// The networks' faults, the responder's manners, the role, and a corosync that runs.
pub fn all(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    good(scene, &nodes)?;
    faults(scene, &nodes)?;
    responder(scene, &nodes)?;
    dead_host(scene, &nodes)?;
    role(scene, &nodes)?;
    beside_corosync(scene, &nodes)
}

/// The four tasks of a probe, as plays; options of the measuring, and of the judging.
pub(super) fn plays(hosts: &[Node], count: u32) -> Value {
    let names: Vec<String> = hosts.iter().map(Node::to_string).collect();
    let all = |register: &str, field: &str| {
        format!("{{{{ ansible_play_hosts | map('extract', hostvars, ['{register}', '{field}']) | list }}}}")
    };
    let links = json!([{ "number": 0, "address": "{{ pve_link0 | default(ansible_host) }}" },
        { "number": 1, "address": "{{ pve_link1 }}" }]);
    json!([{ "hosts": names, "gather_facts": false, "tasks": [
        { "name": "listen", "sddc.pve.pve_link_probe": { "state": "listening", "links": links, "key": KEY },
          "register": "listening" },
        { "name": "measure", "sddc.pve.pve_link_probe":
            { "state": "probed", "listeners": all("listening", "listener"), "key": KEY, "count": count },
          "register": "probed" },
        { "name": "stop", "sddc.pve.pve_link_probe": { "state": "absent" }, "register": "heard" },
        { "name": "judge", "sddc.pve.pve_link_probe":
            { "state": "compared", "rows": all("probed", "row"), "listeners": all("heard", "listener") },
          "run_once": true, "register": "mesh" },
        { "name": "show", "ansible.builtin.debug": { "msg": "{{ [mesh.msg] + mesh.report }}" }, "run_once": true },
    ]}])
}

fn probe(scene: &Scene<'_>, label: &str, nodes: &[Node], count: u32) -> Result<Run> {
    scene.tasks(label, plays(nodes, count), &[])
}

/// All that a run says, in one line, so that a warning that is wrapped is found too.
fn said(run: &Run) -> String {
    format!("{} {}", run.messages(), run.output).split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn named(run: &Run, is_refused: bool, words: &[&str]) -> Result<()> {
    let said = said(run);
    ensure!(run.is_success != is_refused, "refused: {}, expected: {is_refused}: {said}", !run.is_success);
    for word in words {
        ensure!(said.contains(word), "it does not say {word:?}: {said}");
    }
    Ok(())
}

fn good(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let run = probe(scene, "good", nodes, 20)?;
    named(&run, false, &["12 paths between 3 nodes are fit for corosync", "GRADE", "2/2", "1500"])?;
    ensure!(!said(&run).contains("[ERROR"), "a good network is complained of: {}", run.output);
    nothing_listens(scene, nodes)
}

/// Each fault on fresh nodes, of which nothing changes.
fn faults(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let [one, two, three] = [nodes[0], nodes[1], nodes[2]];
    let at = |node: Node, link: usize| node.address(LINKS[link]);
    let before = scene.untouched(nodes)?;
    let spoil = || Spoilt::new(&scene.lab);
    let told = |run: &Run, is_refused: bool, what: &str, words: &[&str]| -> Result<()> {
        named(run, is_refused, words).with_context(|| what.to_owned())?;
        scene.still_but(&before, &["/root/.ansible"]).with_context(|| what.to_owned())?;
        println!("  {what}: {}", words.join(" … "));
        Ok(())
    };

    let mut bad = spoil()?;
    bad.delay(one, two, 15, 0)?;
    let run = probe(scene, "delay", nodes, 20)?;
    drop(bad);
    told(&run, true, "delay", &["[ERROR link-latency] link 0: pve1 - pve2 ", "ms at best", "below 5 ms"])?;

    let mut bad = spoil()?;
    bad.delay(one, two, 1, 40)?;
    let run = probe(scene, "jitter", nodes, 50)?;
    drop(bad);
    told(&run, false, "jitter", &["[WARNING link-jitter] link 0: pve1 - pve2 differ by"])?;

    let bad = spoil()?;
    bad.drop_matching(&format!(
        "ip saddr {} ip daddr {} udp dport 5405 numgen random mod 100 < 40",
        at(one, 0),
        at(three, 0)
    ))?;
    let run = probe(scene, "loss", nodes, 100)?;
    drop(bad);
    told(&run, true, "loss", &["[ERROR link-loss] link 0: ", "% of what pve1 sends to pve3 is lost"])?;

    let bad = spoil()?;
    bad.drop_matching(&format!("ip daddr {} udp dport 5405", at(three, 0)))?;
    let run = probe(scene, "blocked-port", nodes, 20)?;
    drop(bad);
    let blocked = format!(
        "nothing from pve1, pve2 reaches pve3 ({}, UDP 5405), though the other way passes",
        at(three, 0)
    );
    told(&run, true, "blocked port", &["[ERROR links-pass] link 0: ", &blocked, "let UDP 5405 to 5412 in"])?;

    let bad = spoil()?;
    bad.drop_matching(&format!("ip saddr {} ip daddr {}", at(two, 1), at(one, 1)))?;
    let run = probe(scene, "one-way", nodes, 20)?;
    drop(bad);
    let blocked = format!(
        "link 1: nothing from pve2 reaches pve1 ({}, UDP 5406), though the other way passes",
        at(one, 1)
    );
    told(&run, true, "one-way block", &[&blocked, "1 of 6 checks failed"])?;
    ensure!(!said(&run).contains("nothing from pve1"), "the way that passes is named, too: {}", run.output);

    let mut bad = spoil()?;
    bad.narrow(three, LINKS[1], 1400)?;
    let run = probe(scene, "mtu", nodes, 20)?;
    drop(bad);
    // 1400, or 1404 where the kernel leaves room for the tag of a VLAN.
    let narrow = [
        "[ERROR path-mtu] link 1: packets of more than 140",
        "bytes from pve1, pve2 are lost on the way to pve3",
    ];
    told(&run, true, "MTU 1400", &[narrow[0], narrow[1], "interface sends 1500"])?;

    scene.lab.cut(three, Some(LINKS[1]))?;
    // Who was there a moment ago is remembered for some seconds.
    for node in nodes {
        scene.sh(*node, "ip neighbour flush dev nic1")?;
    }
    let run = probe(scene, "cut", nodes, 20);
    scene.lab.heal(three, Some(LINKS[1]))?;
    let cut = format!("the address of {three}: it is up, so its cable, VLAN or address is not right");
    told(&run?, true, "cable cut", &["[ERROR links-pass] link 1: no host answers", &cut])
}

/// A node that dies after it began to listen is told from one whose port is blocked.
fn dead_host(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let (living, dead) = (&nodes[..2], nodes[2]);
    let mut listen = plays(nodes, 20);
    listen[0]["tasks"].as_array_mut().context("no tasks")?.truncate(1);
    let run = scene.tasks("dead-listen", listen, &[])?;
    ensure!(run.is_success, "the nodes do not listen: {}", run.messages());
    scene.lab.kill(dead)?;
    let listeners: Vec<Value> = nodes.iter().map(|node| listener(*node)).collect();
    let measure = json!({ "state": "probed", "listeners": listeners, "key": KEY });
    let mut plays = plays(living, 20);
    plays[0]["tasks"][0] = json!({ "name": "nothing", "ansible.builtin.debug": { "msg": "they listen" } });
    plays[0]["tasks"][1]["sddc.pve.pve_link_probe"] = measure;
    let run = scene.tasks("dead", plays, &[]);
    scene.lab.start(dead)?;
    let told = "took no part";
    named(&run?, true, &["[ERROR links-pass]", told, "pve3", "down or cut off"])?;
    println!("  dead host: {told} … down or cut off");
    Ok(())
}

/// Where a node listens, as the module tells it.
fn listener(node: Node) -> Value {
    let ears: Vec<Value> = LINKS
        .iter()
        .map(|link| json!({ "number": link.0, "address": node.address(*link), "port": 5405 + u16::from(link.0) }))
        .collect();
    json!({ "node": node.name(), "links": ears })
}

/// Takes one genuine question that is meant for another node, then sends it there, twice, and changed.
const REPLAY: &str = r#"
import socket, sys
own, peer = sys.argv[1:]
trap = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
trap.bind((own, 7777))
trap.settimeout(60)
ask = trap.recv(9000)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.bind((own, 0))
out.settimeout(1)
def answer(data):
    out.sendto(data, (peer, 5405))
    try:
        return len(out.recv(9000))
    except TimeoutError:
        return None
spoilt = bytearray(ask)
spoilt[20] ^= 1
print("forged", answer(b"SPL1" + b"\1" * 200), answer(bytes(spoilt)), answer(b""))
print("good", answer(ask), "of", len(ask))
print("replayed", answer(ask), answer(ask))
"#;

/// The responder keeps its key to itself, answers nobody else and nothing twice, and ends by itself.
fn responder(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let (one, two) = (nodes[0], nodes[1]);
    let listen = json!({ "state": "listening", "links": [{ "number": 0, "address": one.address(LINKS[0]) }],
        "key": KEY, "lifetime": 40 });
    let run = scene.task("listen", one, "pve_link_probe", &listen, &["-vvv"])?;
    ensure!(run.is_success, "it does not listen: {}", run.messages());
    ensure!(!run.output.contains(KEY), "the key stands in what is shown: {}", run.output);
    let sockets = scene.sh(one, "ss --no-header -ulpne 'sport >= 5405 and sport <= 5412'")?;
    same("sockets of the responder", &1, &sockets.lines().count())?;
    ensure!(sockets.contains(&format!("{}:5405", one.address(LINKS[0]))), "it listens elsewhere: {sockets}");
    // The key stands in a file outside of what is searched, so that the search itself does not show it.
    scene.lab.write(one, "/dev/shm/key", KEY)?;
    let search = format!(
        "grep -rlsFf /dev/shm/key /run /var/log /var/lib/sddc-pve /tmp /root/.ansible; grep -lsFf /dev/shm/key \
         /proc/[0-9]*/cmdline /proc/[0-9]*/environ; systemctl show {UNIT} | grep -Ff /dev/shm/key; journalctl --no-pager | \
         grep -cFf /dev/shm/key; rm /dev/shm/key"
    );
    same("places that hold the key, and lines of the journal", &"0\n".to_owned(), &scene.sh(one, &search)?)?;

    scene.lab.write(two, "/dev/shm/replay.py", REPLAY)?;
    let script = format!(
        "python3 /dev/shm/replay.py {} {} >/dev/shm/replayed 2>&1 & echo started",
        two.address(LINKS[0]),
        one.address(LINKS[0])
    );
    scene.sh(two, &script)?;
    let trap = json!({ "number": 0, "address": two.address(LINKS[0]), "port": 7777 });
    let listeners = json!([listener(two), { "node": "pve1", "links": [trap] }]);
    let measure =
        json!({ "state": "probed", "node": "pve2", "listeners": listeners, "key": KEY, "count": 1 });
    let run = scene.task("trap", two, "pve_link_probe", &measure, &[])?;
    ensure!(run.is_success, "the question was not asked: {}", run.messages());
    let told = scene.sh(two, "timeout 30 sh -c 'until grep -q replayed /dev/shm/replayed; do sleep 0.2; done'; cat /dev/shm/replayed")?;
    let lines: Vec<&str> = told.lines().collect();
    let [forged, good, replayed] = lines[..] else { anyhow::bail!("the replay did not end: {told}") };
    same("answers to forged questions", &"forged None None None", &forged)?;
    same("answers to the same question again", &"replayed None None", &replayed)?;
    let words: Vec<&str> = good.split(' ').collect();
    let lengths = [words[1], words[3]].map(str::parse::<usize>);
    let [Ok(answer), Ok(ask)] = lengths else { anyhow::bail!("the question was not answered: {told}") };
    ensure!(answer <= ask, "an answer of {answer} bytes to a question of {ask}");
    println!("  responder: {forged}; {good}; {replayed}");

    let gone = format!(
        "timeout 60 sh -c 'while systemctl is-active --quiet {UNIT}; do sleep 0.5; done'; systemctl show --property=LoadState {UNIT}"
    );
    same("the unit in the end", &"LoadState=not-found\n".to_owned(), &scene.sh(one, &gone)?)?;
    nothing_listens(scene, &[one])
}

fn nothing_listens(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let sockets = scene.sh(*node, "ss --no-header -ulpn 'sport >= 5405 and sport <= 5412'")?;
        ensure!(sockets.is_empty(), "{node} still listens: {sockets}");
    }
    Ok(())
}

/// site.yml refuses before it changes a cluster's worth, and forms one on good networks, with one host at a time too.
fn role(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let bad = Spoilt::new(&scene.lab)?;
    let three = nodes[2].address(LINKS[1]);
    bad.drop_matching(&format!("ip daddr {three} udp dport 5406"))?;
    let run = scene.play("site.yml", "site-blocked").run()?;
    let ignored = scene.play("site.yml", "site-check").args(["--check"]).run()?;
    drop(bad);
    named(
        &run,
        true,
        &["[ERROR links-pass] link 1: nothing from pve1, pve2 reaches pve3", "nothing was changed"],
    )?;
    ensure!(ignored.is_success && !ignored.output.contains("Measure every link"), "check mode probes");
    for node in nodes {
        let conf = "ls /etc/pve/corosync.conf /etc/corosync/corosync.conf 2>/dev/null; true";
        same("corosync's configuration", &String::new(), &scene.sh(*node, conf)?)?;
    }
    nothing_listens(scene, nodes)?;
    println!("  site.yml: refused before anything was changed");

    // A responder that a controller left behind is no obstacle, neither to the checks nor to corosync.
    let listen = json!({ "state": "listening", "links": [{ "number": 0, "address": nodes[0].address(LINKS[0]) }], "key": KEY });
    scene.task("left", nodes[0], "pve_link_probe", &listen, &[])?;
    let run = scene.site("site-one-fork", &["--forks", "1"])?;
    ensure!(run.output.contains("GRADE"), "the table is not shown");
    scene.healthy(nodes)?;
    ensure!(
        !run.changed.iter().any(|line| line.contains("nswer")),
        "a responder counts as a change: {:?}",
        run.changed
    );
    let again = scene.site("site-again", &[])?;
    ensure!(!again.output.contains("Measure every link"), "a cluster that stays as it is is probed");
    same("changes of the second run", &Vec::<String>::new(), &again.changed)
}

/// A corosync that runs keeps its ports, its ring and its links; the probe says that it measured beside it.
fn beside_corosync(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let look = "ss --no-header -ulpn 'sport >= 5405 and sport <= 5412' | sort; corosync-cfgtool -s; corosync-quorumtool -s | \
                grep -v ^Date; systemctl show --property=MainPID,ActiveEnterTimestampMonotonic corosync";
    let sights = || nodes.iter().map(|node| scene.sh(*node, look)).collect::<Result<Vec<_>>>();
    let before = sights()?;
    ensure!(
        before.iter().all(|sight| sight.contains("corosync\"") && sight.contains("connected")),
        "{before:?}"
    );
    let run = probe(scene, "beside", nodes, 100)?;
    let words = [
        "12 paths between 3 nodes are fit",
        "pve1 runs corosync, which says that link 1 connects 2 of 2 nodes",
    ];
    named(&run, false, &words)?;
    same("corosync after the probe", &before, &sights()?)?;
    scene.healthy(nodes)?;
    let listen = json!({ "state": "listening", "links": [{ "number": 0, "address": nodes[0].address(LINKS[0]) }], "key": KEY });
    scene.task("beside-listen", nodes[0], "pve_link_probe", &listen, &[])?;
    let sockets = scene.sh(nodes[0], "ss --no-header -ulpn 'sport = 5412'")?;
    ensure!(
        sockets.contains(&format!("{}:5412", nodes[0].address(LINKS[0]))),
        "it does not listen beside: {sockets}"
    );
    scene.task("beside-stop", nodes[0], "pve_link_probe", &json!({ "state": "absent" }), &[])?;
    same("corosync in the end", &before, &sights()?)?;
    println!("  beside corosync: UDP 5412, its sockets, ring and links as before");
    Ok(())
}
