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

/// By the names under which they are ignored.
const CHECKS: [(&str, Severity, Look); 6] = [
    ("links-pass", Severity::Error, findings::links_pass),
    ("link-answers", Severity::Warning, findings::link_answers),
    ("link-latency", Severity::Error, findings::link_latency),
    ("link-jitter", Severity::Warning, findings::link_jitter),
    ("link-loss", Severity::Error, findings::link_loss),
    ("path-mtu", Severity::Error, findings::path_mtu),
];

/// Compares; a name in `ignore` that no check has would hide nothing, so it is an error.
pub fn compare(mesh: &Mesh, ignore: &[String]) -> anyhow::Result<Comparison> {
    if let Some(unknown) = ignore.iter().find(|name| !CHECKS.iter().any(|(id, ..)| id == name)) {
        let ids = CHECKS.map(|(id, ..)| id).join(", ");
        anyhow::bail!("there is no check {unknown:?} of links to ignore: there are {ids}");
    }
    anyhow::ensure!(!mesh.rows.is_empty(), "there is no row to compare: run state=probed on the nodes first");
    let mut checks = Vec::new();
    for (id, severity, look) in CHECKS {
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
