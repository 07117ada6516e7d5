//! The fake corosync daemon: refuses what corosync refuses, then says to the fabric that it runs.

use std::collections::BTreeSet;
use std::fs;
use std::net::ToSocketAddrs;
use std::thread::sleep;
use std::time::Duration;

use super::corosync_conf::Conf;
use super::{fabric, notify};

const CONF: &str = "/etc/corosync/corosync.conf";
const KEY: &str = "/etc/corosync/authkey";
/// What the start takes.
const START: Duration = Duration::from_millis(300);
/// As corosync ends when its configuration is unusable.
const UNUSABLE: i32 = 8;
/// As it ends when another node kills it.
const KILLED: i32 = 255;

pub fn run() -> i32 {
    let node = own_name();
    let Some((text, conf)) =
        fs::read_to_string(CONF).ok().and_then(|text| Some((text.clone(), Conf::parse(&text)?)))
    else {
        eprintln!("[MAIN  ] unusable configuration");
        return UNUSABLE;
    };
    let can_resolve = |name: &str| (name, 0).to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
    if let Some(reason) = conf.refusal(&node, can_resolve) {
        eprintln!("[MAIN  ] {reason}");
        return UNUSABLE;
    }
    let Ok(key) = fs::read(KEY) else {
        eprintln!("[MAIN  ] Could not open {KEY}: No such file or directory");
        return UNUSABLE;
    };
    // A genuine one is not up at once either: pmxcfs, which starts before it, has to try again.
    sleep(START);
    let Ok(_running) = fabric::announce(&node) else {
        eprintln!("[MAIN  ] another Corosync instance is already running");
        return UNUSABLE;
    };
    if fabric::publish(&node, &text, &key).is_err() {
        return UNUSABLE;
    }
    notify::ready();
    serve(&node, conf, &key)
}

/// Follows what the administrator says, for as long as it runs.
fn serve(node: &str, mut conf: Conf, key: &[u8]) -> i32 {
    let mut heard = BTreeSet::new();
    loop {
        if fabric::take(node, "kill").is_some() {
            return KILLED;
        }
        if fabric::take(node, "reload").is_some() {
            let text = fs::read_to_string(CONF).unwrap_or_default();
            // A reload takes nothing that is older or unusable.
            if let Some(new) = Conf::parse(&text).filter(|new| new.version() >= conf.version()) {
                conf = new;
                if fabric::publish(node, &text, key).is_err() {
                    return UNUSABLE;
                }
            }
        }
        if is_outdated(node, &conf, &mut heard) {
            eprintln!("[CMAP  ] Received config version is different than my config version! Exiting");
            return UNUSABLE;
        }
        sleep(Duration::from_millis(20));
    }
}

/// A node that starts with an older configuration than the cluster's leaves again. Corosync compares versions when the
/// membership changes, and only then: a member that is slow to take the third of three changes stays.
fn is_outdated(node: &str, conf: &Conf, heard: &mut BTreeSet<u32>) -> bool {
    let Some(own) = fabric::peer(node) else { return false };
    let members = fabric::members(&own);
    let before = std::mem::replace(heard, members.iter().map(|peer| peer.id).collect());
    let has_more = heard.difference(&before).next().is_some();
    let on_disk = fs::read_to_string(CONF).ok().and_then(|text| Conf::parse(&text));
    has_more
        && on_disk.is_some_and(|on_disk| on_disk.version() == conf.version())
        && members.iter().any(|peer| peer.conf.version() > conf.version() + 1)
}

/// The name of the node that this runs on.
pub fn own_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
