//! What the rows of all nodes say together: which direction of a link is blocked, which loses, which is slow or
//! narrow. One node alone can't tell a question that was dropped from an answer that was; two can.

mod findings;
mod table;

use super::{Limits, Listener, Path, Row};
use crate::verdict::{CheckReport, Finding, Severity, Status};

/// What was measured and heard.
pub struct Mesh {
    /// The rows of all nodes that measured.
    pub rows: Vec<Row>,
    /// What their responders had heard in the end.
    pub listeners: Vec<Listener>,
    /// What a path may cost.
    pub limits: Limits,
}

/// The verdict on a mesh.
pub struct Comparison {
    /// One for each way in which links can be bad.
    pub checks: Vec<CheckReport>,
    /// A table, then what else is to be known.
    pub report: Vec<String>,
}

/// Looks at a mesh in one way.
type Look = fn(&Mesh) -> Finding;

/// A way in which links can be bad.
pub struct Check {
    /// The name under which it is ignored.
    pub id: &'static str,
    /// How bad it is where it is at its worst.
    pub severity: Severity,
    /// What it makes sure of, in one sentence.
    pub doc: &'static str,
    look: Look,
}

/// All of them.
pub const CHECKS: [Check; 6] = [
    Check {
        id: "links-pass",
        severity: Severity::Error,
        doc: "What each node sends arrives at corosync's port of every other, on every link; where a running corosync has \
              that port, a blocked one beside it is a warning.",
        look: findings::links_pass,
    },
    Check {
        id: "link-answers",
        severity: Severity::Warning,
        doc: "Who is heard gets its answers.",
        look: findings::link_answers,
    },
    Check {
        id: "link-latency",
        severity: Severity::Error,
        doc: "The shortest round trip of each pair of nodes is below O(latency_limit); a median of 5 ms and more is a warning.",
        look: findings::link_latency,
    },
    Check {
        id: "link-jitter",
        severity: Severity::Warning,
        doc: "Round trips of a pair differ by less than 5 ms from one to the next.",
        look: findings::link_jitter,
    },
    Check {
        id: "link-loss",
        severity: Severity::Error,
        doc: "Less than O(loss_limit) percent of what is sent is lost, in each direction; any loss is a warning.",
        look: findings::link_loss,
    },
    Check {
        id: "path-mtu",
        severity: Severity::Error,
        doc: "Packets as long as the interfaces send pass.",
        look: findings::path_mtu,
    },
];

/// Compares; a name in `ignore` that no check has would hide nothing, so it is an error.
pub fn compare(mesh: &Mesh, ignore: &[String]) -> anyhow::Result<Comparison> {
    if let Some(unknown) = ignore.iter().find(|name| !CHECKS.iter().any(|check| check.id == *name)) {
        let ids = CHECKS.map(|check| check.id).join(", ");
        anyhow::bail!("there is no check {unknown:?} of links to ignore: there are {ids}");
    }
    anyhow::ensure!(!mesh.rows.is_empty(), "there is no row to compare: run state=probed on the nodes first");
    let mut checks = Vec::new();
    for Check { id, severity, look, .. } in CHECKS {
        let mut check = CheckReport::new(id, severity, Ok(look(mesh)));
        if check.is_unmet() && ignore.iter().any(|name| name == id) {
            check.status = Status::Ignored;
        }
        checks.push(check);
    }
    Ok(Comparison { checks, report: table::lines(mesh) })
}

impl Mesh {
    /// Every way from a node to another.
    fn paths(&self) -> impl Iterator<Item = (&Row, &Path)> {
        self.rows.iter().flat_map(|row| row.paths.iter().map(move |path| (row, path)))
    }

    fn path(&self, from: &str, to: &str, link: u8) -> Option<&Path> {
        let row = self.rows.iter().find(|row| row.node == from)?;
        row.paths.iter().find(|path| path.to == to && path.link == link)
    }

    /// How many questions a node heard of another; nothing where it did not tell.
    fn heard(&self, by: &str, from: &str, link: u8) -> Option<u32> {
        let listener = self.listeners.iter().find(|listener| listener.node == by)?;
        let heard = listener.heard.iter().find(|heard| heard.node == from && heard.link == link);
        Some(heard.map_or(0, |heard| heard.count))
    }

    /// Whether what a node sends arrives at the other one's port: it was heard there, or an answer came.
    fn reaches(&self, from: &str, to: &str, link: u8) -> bool {
        self.heard(to, from, link).is_some_and(|count| count > 0)
            || self.path(from, to, link).is_some_and(|path| path.answered > 0)
    }

    /// Whether a node measured or told what it heard.
    fn took_part(&self, node: &str) -> bool {
        self.rows.iter().any(|row| row.node == node) || self.listeners.iter().any(|other| other.node == node)
    }
}

#[cfg(test)]
mod tests;
