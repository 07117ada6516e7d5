//! The table of a mesh: a line for each node on each link with the worst of its paths, so that it stays readable
//! however many nodes there are.

use super::super::{Path, RoundTrip, Row};
use super::Mesh;
use crate::order::sort_short_by;

pub(super) fn lines(mesh: &Mesh) -> Vec<String> {
    let mut lines = vec![line(["NODE", "LINK", "PEERS", "MEDIAN", "P99", "JITTER", "LOSS", "MTU", "GRADE"])];
    for row in &mesh.rows {
        for link in links(row) {
            let paths: Vec<&Path> = row.paths.iter().filter(|path| path.link == link).collect();
            lines.push(worst(mesh, row, link, &paths));
        }
    }
    lines.extend(mesh.rows.iter().flat_map(beside));
    lines
}

fn links(row: &Row) -> Vec<u8> {
    let mut links: Vec<u8> = row.paths.iter().map(|path| path.link).collect();
    sort_short_by(&mut links, Ord::cmp);
    links.dedup();
    links
}

fn worst(mesh: &Mesh, row: &Row, link: u8, paths: &[&Path]) -> String {
    let answered = paths.iter().filter(|path| path.answered > 0).count();
    let most = |value: fn(&RoundTrip) -> f64| {
        let trips = paths.iter().filter_map(|path| Some(value(path.round_trip.as_ref()?)));
        trips.reduce(f64::max).map_or("-".to_owned(), |value| format!("{value:.2} ms"))
    };
    let loss = paths.iter().map(|path| path.loss).fold(0.0, f64::max);
    let mtu = paths.iter().filter_map(|path| path.path_mtu).min();
    let grades = paths.iter().map(|path| path.graded(mesh.limits));
    line([
        &row.node,
        &link.to_string(),
        &format!("{answered}/{}", paths.len()),
        &most(|trip| trip.median),
        &most(|trip| trip.p99),
        &most(|trip| trip.jitter),
        &format!("{loss:.0} %"),
        &mtu.map_or("-".to_owned(), |mtu| mtu.to_string()),
        grades.max().unwrap_or_default().word(),
    ])
}

/// Where corosync runs it has its ports, and knows best how its links are.
fn beside(row: &Row) -> Vec<String> {
    let links = row.corosync.iter().flatten();
    links
        .map(|link| {
            format!(
                "{} runs corosync, which says that link {} connects {} of {} nodes: it was measured beside it, on \
                 another port",
                row.node, link.link, link.connected, link.nodes
            )
        })
        .collect()
}

fn line(cells: [&str; 9]) -> String {
    let widths = [16, 4, 7, 9, 9, 9, 6, 5, 0];
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    cells.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}
