//! The ways in which links can be bad, each with who, where and the remedy.

use super::super::{FIRST_PORT, LAST_PORT, Path, RoundTrip, Row, Silence, WELL, figures};
use super::Mesh;
use crate::verdict::Finding;

/// So many of a kind are told one by one.
const TOLD: usize = 8;
/// So many nodes are named.
const NAMED: usize = 4;

/// Nodes of which the same is to be said: what stands before their names, and behind.
#[derive(Default)]
struct Groups(Vec<(String, Vec<String>, String)>);

impl Groups {
    fn add(&mut self, before: String, node: &str, behind: String) {
        let known = self.0.iter_mut().find(|group| group.0 == before && group.2 == behind);
        match known {
            Some((_, nodes, _)) => nodes.push(node.to_owned()),
            None => self.0.push((before, vec![node.to_owned()], behind)),
        }
    }

    fn lines(self) -> Vec<String> {
        let groups = self.0.into_iter();
        groups
            .map(|(before, nodes, behind)| match nodes.len() {
                0..=NAMED => format!("{before}{}{behind}", nodes.join(", ")),
                count => format!("{before}{count} nodes ({}, …){behind}", nodes[..NAMED].join(", ")),
            })
            .collect()
    }
}

fn listed(mut lines: Vec<String>) -> String {
    let more = lines.len().saturating_sub(TOLD);
    lines.truncate(TOLD);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

fn passed(text: &str) -> Finding {
    Finding::Passed(text.to_owned())
}

/// Failed where anything fails, with what only warns behind it.
fn judged(fails: Vec<String>, warns: Vec<String>, good: &str, hint: &str) -> Finding {
    let (is_failed, is_good) = (!fails.is_empty(), fails.is_empty() && warns.is_empty());
    let (finding, hint) = (listed([fails, warns].concat()), hint.to_owned());
    match is_failed {
        _ if is_good => passed(good),
        true => Finding::Failed { finding, hint },
        false => Finding::Warned { finding, hint },
    }
}

pub(super) fn links_pass(mesh: &Mesh) -> Finding {
    let (mut fails, mut warns) = (Groups::default(), Groups::default());
    for (row, path) in mesh.paths().filter(|(row, path)| !mesh.reaches(&row.node, &path.to, path.link)) {
        let (before, mut behind) = blocked(mesh, row, path);
        // A firewall may let corosync's port through and not the one beside it, as pve-firewall's own rule does.
        let groups = if path.is_beside { &mut warns } else { &mut fails };
        if path.is_beside {
            behind.push_str(": corosync has its own port there, which may pass");
        }
        groups.add(format!("link {}: {before}", path.link), &row.node, behind);
    }
    let hint = format!(
        "let UDP {FIRST_PORT} to {LAST_PORT} in from the other nodes (see \"nft list ruleset\", pve-firewall and what \
         filters between them), and see that cables, VLANs and addresses are right"
    );
    judged(fails.lines(), warns.lines(), "what each node sends arrives at every other, on every link", &hint)
}

/// What stands before and behind the name of a node whose questions do not arrive.
fn blocked(mesh: &Mesh, row: &Row, path: &Path) -> (String, String) {
    let Path { to, address, port, .. } = path;
    let (is_there, is_back) = (mesh.took_part(to), mesh.reaches(to, &row.node, path.link));
    let target = format!("{to} ({address}, UDP {port})");
    match path.silence {
        Some(Silence::NotLocal) => (String::new(), " has not the address that it is to have".to_owned()),
        Some(Silence::NoRoute) => (String::new(), format!(" knows no way to {to} ({address})")),
        Some(Silence::FilteredHere) => {
            (String::new(), format!(" lets nothing out to {target}: its own firewall drops it"))
        }
        Some(Silence::Absent) => {
            let why = match is_there {
                true => "it is up, so its cable, VLAN or address is not right",
                false => "it took no part, so it is down or cut off",
            };
            ("no host answers ".to_owned(), format!(" for {address}, the address of {to}: {why}"))
        }
        Some(Silence::Refused) => ("what ".to_owned(), format!(" sends to {target} is rejected")),
        other => {
            let why = match (is_there, is_back) {
                (true, true) => ", though the other way passes",
                (true, false) => ", nor does anything pass the other way",
                (false, _) if other == Some(Silence::Dropped) => ", which took no part though it is up",
                (false, _) => ", which took no part and answers nothing else: it is down or cut off",
            };
            ("nothing from ".to_owned(), format!(" reaches {target}{why}"))
        }
    }
}

pub(super) fn link_answers(mesh: &Mesh) -> Finding {
    let mut groups = Groups::default();
    for (row, path) in mesh.paths().filter(|(_, path)| path.answered == 0) {
        let (from, to, link) = (&row.node, &path.to, path.link);
        // What comes back to nobody because one direction is blocked is named there.
        if mesh.reaches(from, to, link)
            && (mesh.reaches(to, from, link) || mesh.path(to, from, link).is_none())
        {
            groups.add(format!("link {link}: {to} hears "), from, ", which gets no answer".to_owned());
        }
    }
    let hint = "a firewall lets in what goes to corosync's ports, and no answers to others: that is enough for \
                corosync, but nothing could be measured";
    judged(Vec::new(), groups.lines(), "who is heard gets its answers", hint)
}

/// Both directions of a pair have the same round trip: the slower of both rows, once.
fn pairs<'m>(
    mesh: &'m Mesh,
    value: impl Fn(&RoundTrip) -> f64 + 'm,
) -> impl Iterator<Item = (String, RoundTrip)> + 'm {
    mesh.paths().filter_map(move |(row, path)| {
        let trip = path.round_trip?;
        let back = mesh.path(&path.to, &row.node, path.link).and_then(|back| back.round_trip);
        let is_told = match back {
            Some(back) => (value(&trip), &row.node) > (value(&back), &path.to),
            None => true,
        };
        is_told.then(|| (format!("link {}: {} - {}", path.link, row.node, path.to), trip))
    })
}

pub(super) fn link_latency(mesh: &Mesh) -> Finding {
    let limit = mesh.limits.latency;
    let (mut fails, mut warns) = (Vec::new(), Vec::new());
    for (pair, trip) in pairs(mesh, |trip| trip.fastest) {
        let told = format!("{pair} {:.1} ms at best, {:.1} ms median", trip.fastest, trip.median);
        if trip.fastest >= limit {
            fails.push(told);
        } else if trip.median >= WELL.min(limit) {
            warns.push(told);
        }
    }
    let hint = format!(
        "corosync wants round trips below {WELL} ms and hardly works above {limit} ms: use a network of its own, \
         without routers or a VPN; where only the median is high, the nodes or the network were busy"
    );
    judged(fails, warns, "every round trip is short", &hint)
}

pub(super) fn link_jitter(mesh: &Mesh) -> Finding {
    let jittery = pairs(mesh, |trip| trip.jitter).filter(|(_, trip)| trip.jitter >= WELL);
    let warns = jittery.map(|(pair, trip)| {
        format!("{pair} differ by {:.1} ms from one to the next, up to {:.1} ms", trip.jitter, trip.p99)
    });
    let hint = "keep storage and migration traffic off corosync's network";
    judged(Vec::new(), warns.collect(), "round trips are even", hint)
}

pub(super) fn link_loss(mesh: &Mesh) -> Finding {
    let (mut fails, mut warns) = (Vec::new(), Vec::new());
    for (row, path) in mesh.paths() {
        let (from, to, link) = (&row.node, &path.to, path.link);
        let back = mesh.path(to, from, link);
        let lost = match (mesh.heard(to, from, link), mesh.heard(from, to, link), back) {
            // This direction only: questions there, and the answers to the other one's questions.
            (Some(heard), Some(asked), Some(back)) if back.answered > 0 => {
                figures::loss(path.sent + asked, heard + back.answered)
            }
            (Some(heard), ..) => figures::loss(path.sent, heard),
            (None, ..) => path.loss,
        };
        let told = || format!("link {link}: {lost:.1} % of what {from} sends to {to} is lost");
        if !mesh.reaches(from, to, link) || lost == 0.0 {
            continue;
        }
        if lost >= mesh.limits.loss { fails.push(told()) } else { warns.push(told()) }
    }
    let hint = "look for errors on the way (\"ip -statistics link\"), full queues, duplex and bond modes";
    judged(fails, warns, "nothing is lost", hint)
}

pub(super) fn path_mtu(mesh: &Mesh) -> Finding {
    let mut groups = Groups::default();
    for (row, path) in mesh.paths().filter(|(_, path)| path.is_narrow()) {
        let (passes, sends) = (path.path_mtu.unwrap_or(0), path.interface_mtu.unwrap_or(0));
        let behind = format!(" are lost on the way to {}, though its interface sends {sends}", path.to);
        groups.add(
            format!("link {}: packets of more than {passes} bytes from ", path.link),
            &row.node,
            behind,
        );
    }
    let hint = "set the MTU of the interfaces to what the network carries, or the network's to theirs";
    judged(groups.lines(), Vec::new(), "packets as long as the interfaces send pass", hint)
}
