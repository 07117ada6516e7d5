//! corosync's tools over the fabric. What they print is held against the golden transcripts of the genuine ones.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::thread::sleep;
use std::time::Duration;

use super::corosync::own_name;
use super::corosync_conf::{id, links, votes};
use super::fabric::{self, Peer, connected, members};

/// Quorum as one corosync sees it.
struct Quorum {
    members: Vec<Peer>,
    expected: u32,
    total: u32,
    needed: u32,
}

impl Quorum {
    fn of(own: &Peer) -> Quorum {
        let members = members(own);
        let listed = own.conf.nodes.iter().map(votes).sum();
        let expected = fabric::expected(&own.name).unwrap_or(listed);
        let total = members.iter().map(|member| member.votes).sum();
        Quorum { members, expected, total, needed: expected / 2 + 1 }
    }

    fn is_quorate(&self) -> bool {
        self.total >= self.needed
    }
}

pub fn quorumtool(args: &[&str]) -> i32 {
    let node = own_name();
    let Some(own) = fabric::peer(&node) else {
        eprintln!("Cannot initialize CMAP service");
        return 1;
    };
    let flags: String = args.iter().filter_map(|arg| arg.strip_prefix('-')).collect();
    if let (true, Some(wanted)) = (flags.contains('e'), args.last().and_then(|votes| votes.parse().ok())) {
        return set_expected(&own, wanted);
    }
    if flags.contains('m') {
        return monitor(&node);
    }
    let as_address = flags.contains('i');
    let quorum = Quorum::of(&own);
    if flags.contains('l') {
        print!("{}", membership(&own, &quorum, as_address, flags.contains('H')));
        return 0;
    }
    print!("{}", status(&own, &quorum, as_address, flags.contains('H')));
    if quorum.is_quorate() { 0 } else { 2 }
}

fn set_expected(own: &Peer, wanted: u32) -> i32 {
    let quorum = Quorum::of(own);
    if wanted < quorum.total || wanted / 2 + 1 > quorum.total {
        eprintln!("Unable to set expected votes: CS_ERR_INVALID_PARAM");
        return 1;
    }
    let told =
        quorum.members.iter().map(|member| fabric::tell(&member.name, "expected", &wanted.to_string()));
    i32::from(told.filter(Result::is_err).count() > 0)
}

/// `-m`: the status, and again whenever it changes.
fn monitor(node: &str) -> i32 {
    let mut last = String::new();
    while let Some(own) = fabric::peer(node) {
        let quorum = Quorum::of(&own);
        let now = status(&own, &quorum, false, false);
        // The first lines carry the date, which is no news.
        let news = now.split_once("Quorum provider").map_or(now.clone(), |(_, rest)| rest.to_owned());
        if news != last {
            print!("{now}");
            if std::io::stdout().flush().is_err() {
                return 0;
            }
            last = news;
        }
        sleep(Duration::from_millis(10));
    }
    1
}

fn status(own: &Peer, quorum: &Quorum, as_address: bool, as_hex: bool) -> String {
    let lowest = quorum.members.first().map_or(own.id, |member| member.id);
    let own_id = if as_hex { format!("{:#010x}", own.id) } else { own.id.to_string() };
    let (blocked, flags) = if quorum.is_quorate() { ("", "Quorate ") } else { ("Activity blocked", "") };
    format!(
        "Quorum information\n------------------\nDate:             {}\nQuorum provider:  corosync_votequorum\n\
         Nodes:            {}\nNode ID:          {own_id}\nRing ID:          {lowest:x}.5\nQuorate:          {}\n\n\
         Votequorum information\n----------------------\nExpected votes:   {}\nHighest expected: {}\n\
         Total votes:      {}\nQuorum:           {} {blocked} \nFlags:            {flags}\n{}",
        date(),
        quorum.members.len(),
        if quorum.is_quorate() { "Yes" } else { "No" },
        quorum.expected,
        quorum.expected,
        quorum.total,
        quorum.needed,
        membership(own, quorum, as_address, as_hex)
    )
    .replace("Activity blocked ", "Activity blocked")
}

fn membership(own: &Peer, quorum: &Quorum, as_address: bool, as_hex: bool) -> String {
    let mut out = "\nMembership information\n----------------------\n    Nodeid      Votes Name\n".to_owned();
    for member in &quorum.members {
        let id = if as_hex { format!("{:#010x}", member.id) } else { format!("{:>10}", member.id) };
        let first = member.links.values().next().cloned().unwrap_or_default();
        let name = if as_address { &first } else { &member.name };
        let local = if member.name == own.name { " (local)" } else { "" };
        out.push_str(&format!("{id} {:>10} {name}{local}\n", member.votes));
    }
    out
}

fn date() -> String {
    let said = std::process::Command::new("/usr/bin/date").arg("+%a %b %e %H:%M:%S %Y").output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}

pub fn cfgtool(args: &[&str]) -> i32 {
    let node = own_name();
    let Some(own) = fabric::peer(&node) else {
        eprintln!("Could not initialize corosync configuration API error 2");
        return 1;
    };
    match args {
        ["-R"] => {
            println!("Reloading corosync.conf...");
            let told = members(&own).into_iter().map(|member| fabric::tell(&member.name, "reload", ""));
            let failed = told.filter(Result::is_err).count();
            println!("Done");
            i32::from(failed > 0)
        }
        ["-k", id] => kill(&own, id),
        ["-n"] => {
            print!("{}", neighbours(&own));
            0
        }
        _ => {
            print!("{}", link_states(&own));
            0
        }
    }
}

fn kill(own: &Peer, wanted: &str) -> i32 {
    println!("Killing node {wanted}");
    let found = members(own).into_iter().find(|member| member.id.to_string() == wanted);
    match found.map(|member| fabric::tell(&member.name, "kill", "")) {
        Some(Ok(())) => 0,
        _ => {
            eprintln!("Could not kill node (error = CS_ERR_NOT_EXIST)");
            1
        }
    }
}

fn link_states(own: &Peer) -> String {
    let mut out = format!("Local node ID {}, transport knet\n", own.id);
    // A node alone has nobody to reach on its other links: corosync shows the first only.
    let shown = if own.conf.nodes.len() == 1 { 1 } else { own.links.len() };
    for (link, address) in own.links.iter().take(shown) {
        out.push_str(&format!("LINK ID {link} udp\n\taddr\t= {address}\n\tstatus:\n"));
        for other in &own.conf.nodes {
            let peer = other.get("name").and_then(|name| fabric::peer(name));
            let state = match peer {
                _ if id(other) == own.id => "localhost",
                Some(peer) if connected(own, &peer, *link) => "connected",
                _ => "disconnected",
            };
            out.push_str(&format!("\t\tnodeid: {:>10}:\t{state}\n", id(other)));
        }
    }
    out
}

fn neighbours(own: &Peer) -> String {
    let mut out = format!("Local node ID {}, transport knet\n", own.id);
    for other in members(own).iter().filter(|member| member.id != own.id) {
        out.push_str(&format!("nodeid: {} reachable\n", other.id));
        for (link, address) in &own.links {
            let state = if connected(own, other, *link) { "enabled connected" } else { "enabled" };
            let remote = other.links.get(link).cloned().unwrap_or_default();
            out.push_str(&format!("   LINK: {link} udp ({address}->{remote}) {state} mtu: 1397\n"));
        }
        out.push('\n');
    }
    out
}

pub fn cmapctl(args: &[&str]) -> i32 {
    let Some(own) = fabric::peer(&own_name()) else {
        eprintln!("Failed to initialize the cmap API. Error CS_ERR_LIBRARY");
        return 1;
    };
    let wanted = args.last().copied().unwrap_or_default();
    let known = [nodelist(&own), member_keys(&own), totem(&own)].concat();
    for (key, value) in known.iter().filter(|(key, _)| key.starts_with(wanted)) {
        println!("{key} {value}");
    }
    0
}

fn nodelist(own: &Peer) -> Vec<(String, String)> {
    let position = own.conf.nodes.iter().position(|node| id(node) == own.id).unwrap_or(0);
    let mut keys = vec![("nodelist.local_node_pos".to_owned(), format!("(u32) = {position}"))];
    for (position, node) in own.conf.nodes.iter().enumerate() {
        let mut add =
            |name: &str, value: String| keys.push((format!("nodelist.node.{position}.{name}"), value));
        add("name", format!("(str) = {}", node.get("name").map_or("", String::as_str)));
        add("nodeid", format!("(u32) = {}", id(node)));
        add("quorum_votes", format!("(u32) = {}", votes(node)));
        for (link, address) in links(node) {
            add(&format!("ring{link}_addr"), format!("(str) = {address}"));
        }
    }
    keys
}

fn member_keys(own: &Peer) -> Vec<(String, String)> {
    let of = |member: &Peer| {
        let key = |name: &str| format!("runtime.members.{}.{name}", member.id);
        let rings: String =
            member.links.iter().map(|(link, address)| format!("r({link}) ip({address}) ")).collect();
        [
            (key("config_version"), format!("(u64) = {}", member.conf.version())),
            (key("ip"), format!("(str) = {rings}")),
            (key("join_count"), "(u32) = 1".to_owned()),
            (key("status"), "(str) = joined".to_owned()),
        ]
    };
    members(own).iter().flat_map(of).collect()
}

fn totem(own: &Peer) -> Vec<(String, String)> {
    let kind = |key: &str| match key {
        "config_version" => "u64",
        "token_coefficient" | "version" => "u32",
        _ => "str",
    };
    let own_keys = own
        .conf
        .totem
        .iter()
        .map(|(key, value)| (format!("totem.{key}"), format!("({}) = {value}", kind(key))));
    let priorities = own.conf.interfaces.iter().filter_map(|interface| {
        let key = format!("totem.interface.{}.knet_link_priority", interface.get("linknumber")?);
        Some((key, format!("(u8) = {}", interface.get("knet_link_priority")?)))
    });
    let mut keys: Vec<(String, String)> = own_keys.chain(priorities).collect();
    keys.sort();
    keys
}

pub fn keygen(args: &[&str]) -> i32 {
    let path = args.iter().find(|arg| arg.starts_with('/')).copied().unwrap_or("/etc/corosync/authkey");
    println!(
        "Corosync Cluster Engine Authentication key generator.\nGathering 2048 bits for key from /dev/urandom."
    );
    let made = fs::File::open("/dev/urandom").and_then(|mut random| {
        let mut key = [0; 256];
        std::io::Read::read_exact(&mut random, &mut key)?;
        println!("Writing corosync key to {path}.");
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o400).open(path)?.write_all(&key)
    });
    i32::from(made.is_err())
}
