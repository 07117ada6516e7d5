//! Meshes of a few nodes, each bad in one way, and what must be said of them.

use super::*;
use crate::link_probe::{Corosync, Heard, RoundTrip, Silence};

const LIMITS: Limits = Limits { latency: 10.0, loss: 10.0 };

fn path(to: &str) -> Path {
    let trip = RoundTrip { fastest: 0.1, median: 0.2, p99: 0.5, jitter: 0.1 };
    Path {
        link: 0,
        to: to.to_owned(),
        address: format!("10.88.0.1{}", &to[3..]),
        port: 5405,
        sent: 20,
        answered: 20,
        round_trip: Some(trip),
        path_mtu: Some(1500),
        interface_mtu: Some(1500),
        ..Path::default()
    }
}

/// Three nodes on one link that is as it should be.
fn good() -> Mesh {
    let names = ["pve1", "pve2", "pve3"];
    let others = |own: &str| names.into_iter().filter(|name| *name != own).collect::<Vec<_>>();
    let rows = names.map(|own| Row {
        node: own.to_owned(),
        paths: others(own).into_iter().map(path).collect(),
        corosync: None,
    });
    let listeners = names.map(|own| {
        let heard = |node: &str| Heard { node: node.to_owned(), link: 0, count: 20 };
        let heard = others(own).into_iter().map(heard).collect();
        Listener { node: own.to_owned(), heard, ..Listener::default() }
    });
    Mesh { rows: rows.into(), listeners: listeners.into(), limits: LIMITS }
}

fn to<'m>(mesh: &'m mut Mesh, from: &str, to: &str) -> &'m mut Path {
    let row = mesh.rows.iter_mut().find(|row| row.node == from).unwrap();
    row.paths.iter_mut().find(|path| path.to == to).unwrap()
}

fn heard(mesh: &mut Mesh, by: &str, from: &str, count: u32) {
    let listener = mesh.listeners.iter_mut().find(|listener| listener.node == by).unwrap();
    listener.heard.retain(|heard| heard.node != from);
    if count > 0 {
        listener.heard.push(Heard { node: from.to_owned(), link: 0, count });
    }
}

/// Questions that do not arrive, so are not answered.
fn block(mesh: &mut Mesh, from: &str, to_node: &str, silence: Option<Silence>) {
    silenced(to(mesh, from, to_node), silence);
    heard(mesh, to_node, from, 0);
}

fn silenced(path: &mut Path, silence: Option<Silence>) {
    *path = Path { answered: 0, loss: 100.0, round_trip: None, path_mtu: None, silence, ..path.clone() };
}

/// What is unmet, as lines without the hint.
fn unmet(mesh: &Mesh) -> Vec<String> {
    let checks = compare(mesh, &[]).unwrap().checks.into_iter().filter(|check| check.is_unmet());
    checks
        .map(|check| {
            assert!(!check.hint.is_empty());
            format!("{:?} {} {}", check.severity, check.id, check.finding)
        })
        .collect()
}

#[test]
fn a_good_mesh_is_a_table_and_no_complaint() {
    let mut mesh = good();
    to(&mut mesh, "pve2", "pve3").round_trip.as_mut().unwrap().median = 0.4;
    assert_eq!(unmet(&mesh), [""; 0]);
    let report = compare(&mesh, &[]).unwrap().report;
    assert_eq!(
        report,
        [
            "NODE             LINK PEERS   MEDIAN    P99       JITTER    LOSS   MTU   GRADE",
            "pve1             0    2/2     0.20 ms   0.50 ms   0.10 ms   0 %    1500  good",
            "pve2             0    2/2     0.40 ms   0.50 ms   0.10 ms   0 %    1500  good",
            "pve3             0    2/2     0.20 ms   0.50 ms   0.10 ms   0 %    1500  good",
        ]
    );
}

#[test]
fn a_port_that_is_blocked_is_named_with_who_it_is_blocked_to() {
    let mut mesh = good();
    for from in ["pve1", "pve2"] {
        block(&mut mesh, from, "pve3", Some(Silence::Dropped));
    }
    assert_eq!(
        unmet(&mesh),
        [
            "Error links-pass link 0: nothing from pve1, pve2 reaches pve3 (10.88.0.13, UDP 5405), though the other way \
          passes"
        ]
    );
}

#[test]
fn a_direction_that_is_blocked_is_told_from_the_other() {
    // What pve2 sends to pve1 is dropped, its answers too: pve1 is heard and hears nothing.
    let mut mesh = good();
    block(&mut mesh, "pve2", "pve1", Some(Silence::Dropped));
    silenced(to(&mut mesh, "pve1", "pve2"), Some(Silence::Dropped));
    assert_eq!(
        unmet(&mesh),
        [
            "Error links-pass link 0: nothing from pve2 reaches pve1 (10.88.0.11, UDP 5405), though the other way passes"
        ]
    );
}

#[test]
fn a_port_beside_corosyncs_that_is_blocked_only_warns() {
    let mut mesh = good();
    block(&mut mesh, "pve1", "pve2", Some(Silence::Dropped));
    let path = to(&mut mesh, "pve1", "pve2");
    (path.is_beside, path.port) = (true, 5412);
    assert_eq!(
        unmet(&mesh),
        [
            "Warning links-pass link 0: nothing from pve1 reaches pve2 (10.88.0.12, UDP 5412), though the other way \
          passes: corosync has its own port there, which may pass"
        ]
    );
}

#[test]
fn a_dead_host_is_told_from_a_blocked_one_and_from_a_cut_cable() {
    let mut mesh = good();
    for (from, silence) in [("pve1", Silence::Absent), ("pve2", Silence::Absent)] {
        block(&mut mesh, from, "pve3", Some(silence));
    }
    let cut = "Error links-pass link 0: no host answers pve1, pve2 for 10.88.0.13, the address of pve3: ";
    mesh.rows.retain(|row| row.node != "pve3");
    for listener in &mut mesh.listeners {
        listener.heard.retain(|heard| heard.node != "pve3");
    }
    assert_eq!(unmet(&mesh), [format!("{cut}it is up, so its cable, VLAN or address is not right")]);
    mesh.listeners.retain(|listener| listener.node != "pve3");
    assert_eq!(unmet(&mesh), [format!("{cut}it took no part, so it is down or cut off")]);
    for from in ["pve1", "pve2"] {
        to(&mut mesh, from, "pve3").silence = Some(Silence::Unknown);
    }
    let silent = "Error links-pass link 0: nothing from pve1, pve2 reaches pve3 (10.88.0.13, UDP 5405), which took no part";
    assert_eq!(unmet(&mesh), [format!("{silent} and answers nothing else: it is down or cut off")]);
    for from in ["pve1", "pve2"] {
        to(&mut mesh, from, "pve3").silence = Some(Silence::Dropped);
    }
    assert_eq!(unmet(&mesh), [format!("{silent} though it is up")]);
}

#[test]
fn other_reasons_for_silence_are_told() {
    let told = |silence: Silence, way_back: bool| {
        let mut mesh = good();
        block(&mut mesh, "pve1", "pve2", Some(silence));
        if !way_back {
            block(&mut mesh, "pve2", "pve1", Some(silence));
        }
        unmet(&mesh).concat()
    };
    let target = "pve2 (10.88.0.12, UDP 5405)";
    let cases = [
        (Silence::NotLocal, "pve1 has not the address that it is to have".to_owned()),
        (Silence::NoRoute, "pve1 knows no way to pve2 (10.88.0.12)".to_owned()),
        (Silence::FilteredHere, format!("pve1 lets nothing out to {target}: its own firewall drops it")),
        (Silence::Refused, format!("what pve1 sends to {target} is rejected")),
    ];
    for (silence, text) in cases {
        assert_eq!(told(silence, true), format!("Error links-pass link 0: {text}"));
    }
    let both = told(Silence::Dropped, false);
    assert!(
        both.contains("nothing from pve1 reaches pve2 (10.88.0.12, UDP 5405), nor does anything"),
        "{both}"
    );
    assert!(
        both.contains("nothing from pve2 reaches pve1 (10.88.0.11, UDP 5405), nor does anything"),
        "{both}"
    );
}

#[test]
fn answers_that_only_a_filter_keeps_back_warn() {
    let mut mesh = good();
    silenced(to(&mut mesh, "pve1", "pve2"), Some(Silence::Dropped));
    assert_eq!(unmet(&mesh), ["Warning link-answers link 0: pve2 hears pve1, which gets no answer"]);
}

#[test]
fn latency_refuses_by_the_fastest_and_warns_by_the_median() {
    let slow = |fastest: f64, median: f64| {
        let mut mesh = good();
        to(&mut mesh, "pve1", "pve2").round_trip =
            Some(RoundTrip { fastest, median, ..RoundTrip::default() });
        unmet(&mesh)
    };
    assert_eq!(slow(10.0, 12.3), ["Error link-latency link 0: pve1 - pve2 10.0 ms at best, 12.3 ms median"]);
    assert_eq!(slow(0.3, 60.0), ["Warning link-latency link 0: pve1 - pve2 0.3 ms at best, 60.0 ms median"]);
    assert_eq!(slow(0.3, 5.0).len(), 1);
    assert_eq!(slow(0.3, 4.9), [""; 0]);
}

#[test]
fn a_slow_pair_is_told_once() {
    let mut mesh = good();
    for (from, other) in [("pve1", "pve2"), ("pve2", "pve1")] {
        let trip = RoundTrip { fastest: 15.0, median: 15.0, p99: 30.0, jitter: 6.0 };
        to(&mut mesh, from, other).round_trip = Some(trip);
    }
    let told = unmet(&mesh);
    assert_eq!(
        told,
        [
            "Error link-latency link 0: pve2 - pve1 15.0 ms at best, 15.0 ms median",
            "Warning link-jitter link 0: pve2 - pve1 differ by 6.0 ms from one to the next, up to 30.0 ms",
        ]
    );
}

#[test]
fn loss_is_that_of_a_direction() {
    // Of 40 datagrams each way those from pve2 lose 30 percent: its questions, and its answers.
    let mut mesh = good();
    heard(&mut mesh, "pve1", "pve2", 14);
    let back = to(&mut mesh, "pve2", "pve1");
    (back.answered, back.loss) = (14, 30.0);
    let there = to(&mut mesh, "pve1", "pve2");
    (there.answered, there.loss) = (14, 30.0);
    assert_eq!(unmet(&mesh), ["Error link-loss link 0: 30.0 % of what pve2 sends to pve1 is lost"]);
    let mut mesh = good();
    heard(&mut mesh, "pve1", "pve2", 19);
    let back = to(&mut mesh, "pve2", "pve1");
    (back.answered, back.loss) = (19, 5.0);
    assert_eq!(unmet(&mesh), ["Warning link-loss link 0: 2.5 % of what pve2 sends to pve1 is lost"]);
    mesh.listeners.clear();
    assert_eq!(unmet(&mesh), ["Warning link-loss link 0: 5.0 % of what pve2 sends to pve1 is lost"]);
}

#[test]
fn a_narrow_path_is_named() {
    let mut mesh = good();
    for from in ["pve1", "pve2"] {
        to(&mut mesh, from, "pve3").path_mtu = Some(1400);
    }
    assert_eq!(
        unmet(&mesh),
        [
            "Error path-mtu link 0: packets of more than 1400 bytes from pve1, pve2 are lost on the way to pve3, though its \
          interface sends 1500"
        ]
    );
}

#[test]
fn what_is_ignored_stays_visible_and_must_exist() {
    let mut mesh = good();
    to(&mut mesh, "pve1", "pve2").path_mtu = Some(1400);
    let compared = compare(&mesh, &["path-mtu".to_owned()]).unwrap();
    let check = compared.checks.iter().find(|check| check.id == "path-mtu").unwrap();
    assert_eq!((check.status, check.is_fatal()), (Status::Ignored, false));
    let error = compare(&mesh, &["path_mtu".to_owned()]).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with("there is no check \"path_mtu\" of links to ignore: there are links-pass, "),
        "{error}"
    );
    let nothing = Mesh { rows: Vec::new(), ..good() };
    assert!(compare(&nothing, &[]).is_err());
}

#[test]
fn corosync_that_runs_is_told_of() {
    let mut mesh = good();
    mesh.rows[0].corosync = Some(vec![Corosync { link: 0, connected: 1, nodes: 2 }]);
    let report = compare(&mesh, &[]).unwrap().report;
    let last = "pve1 runs corosync, which says that link 0 connects 1 of 2 nodes: it was measured beside it, on another port";
    assert_eq!(report.last().map(String::as_str), Some(last));
}

#[test]
fn many_nodes_are_counted_and_many_findings_cut() {
    let mut mesh = good();
    let names: Vec<String> = (10..40).map(|number| format!("pve{number}")).collect();
    for name in &names {
        let mut row = Row { node: name.clone(), paths: vec![path("pve3")], corosync: None };
        silenced(&mut row.paths[0], Some(Silence::Dropped));
        mesh.rows.push(row);
    }
    let told = unmet(&mesh).concat();
    assert!(told.contains("nothing from 30 nodes (pve10, pve11, pve12, pve13, …) reaches pve3"), "{told}");
    for name in &names {
        to(&mut mesh, name, "pve3").path_mtu = Some(1000 + name.len() as u32);
        to(&mut mesh, name, "pve3").round_trip = Some(RoundTrip { fastest: 20.0, ..RoundTrip::default() });
    }
    assert!(unmet(&mesh).concat().contains("; and 22 more"), "{:?}", unmet(&mesh));
}
