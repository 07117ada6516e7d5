//! The wire between the fake corosyncs: a folder that all nodes share. A running corosync holds a lock on its own
//! file there; who is connected to whom follows from locks, keys, configurations and cut cables.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use super::corosync_conf::{Conf, id, links, votes};

/// The folder, the same on each node.
pub const FOLDER: &str = "/var/lib/fabric";
/// In it: lines `<node> <link>` of cables that are cut.
pub const CUTS: &str = "cuts";

/// One running corosync as the others see it.
#[derive(Clone, Debug)]
pub struct Peer {
    pub name: String,
    pub id: u32,
    pub votes: u32,
    pub links: BTreeMap<u8, String>,
    pub conf: Conf,
    key: Vec<u8>,
}

fn file(node: &str, name: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(node).join(name)
}

/// Says that corosync runs on this node for as long as the lock lives.
pub fn announce(node: &str) -> io::Result<Flock<File>> {
    fs::create_dir_all(PathBuf::from(FOLDER).join(node))?;
    for stale in ["expected", "kill"] {
        let _ = fs::remove_file(file(node, stale));
    }
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(file(node, "alive"))?;
    Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// What this node's corosync runs with now. Renamed into place: who reads half a key takes a running member for gone.
pub fn publish(node: &str, conf: &str, key: &[u8]) -> io::Result<()> {
    for (name, content) in [("key", key), ("conf", conf.as_bytes())] {
        fs::write(file(node, "new"), content)?;
        fs::rename(file(node, "new"), file(node, name))?;
    }
    Ok(())
}

fn is_running(node: &str) -> bool {
    match File::open(file(node, "alive")).map(|file| Flock::lock(file, FlockArg::LockSharedNonblock)) {
        Ok(Err(_)) => true,
        Ok(Ok(_)) | Err(_) => false,
    }
}

/// The corosync of a node, if it runs.
pub fn peer(node: &str) -> Option<Peer> {
    if !is_running(node) {
        return None;
    }
    let conf = Conf::parse(&fs::read_to_string(file(node, "conf")).ok()?)?;
    let own = conf.node(node)?;
    let key = fs::read(file(node, "key")).ok()?;
    Some(Peer {
        name: node.to_owned(),
        id: id(own),
        votes: votes(own),
        links: links(own),
        key,
        conf: conf.clone(),
    })
}

fn cut(node: &str, link: u8) -> bool {
    let cuts = fs::read_to_string(PathBuf::from(FOLDER).join(CUTS)).unwrap_or_default();
    cuts.lines().any(|line| line == format!("{node} {link}"))
}

/// Whether two corosyncs hear each other on a link.
pub fn connected(one: &Peer, other: &Peer, link: u8) -> bool {
    let lists = |conf: &Conf, of: &Peer| {
        conf.node(&of.name)
            .is_some_and(|node| id(node) == of.id && links(node).get(&link) == of.links.get(&link))
    };
    one.key == other.key
        && one.links.contains_key(&link)
        && lists(&one.conf, other)
        && lists(&other.conf, one)
        && !cut(&one.name, link)
        && !cut(&other.name, link)
}

/// The nodes that one corosync forms a cluster with, itself included, by id.
pub fn members(own: &Peer) -> Vec<Peer> {
    let names = own.conf.nodes.iter().filter_map(|node| node.get("name"));
    let mut found: Vec<Peer> = names
        .filter_map(|name| peer(name))
        .filter(|other| other.name == own.name || own.links.keys().any(|link| connected(own, other, *link)))
        .collect();
    found.sort_by_key(|member| member.id);
    found
}

/// A word from the administrator to one corosync: `reload`, `kill`, `expected`.
pub fn tell(node: &str, what: &str, content: &str) -> io::Result<()> {
    fs::write(file(node, what), content)
}

/// Takes such a word.
pub fn take(node: &str, what: &str) -> Option<String> {
    let word = fs::read_to_string(file(node, what)).ok()?;
    let _ = fs::remove_file(file(node, what));
    Some(word)
}

/// Expected votes as set by hand.
pub fn expected(node: &str) -> Option<u32> {
    fs::read_to_string(file(node, "expected")).ok()?.parse().ok()
}
