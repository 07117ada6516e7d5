//! The cluster file system (golden 40).

use crate::session::Session;

pub fn filesystem(session: &mut Session<'_>) {
    let nodes = ["pve1", "pve2", "pve3"];
    session.cluster(&nodes);
    nodes.iter().for_each(|node| session.until_quorate(node, 3));
    session.all("40-pmxcfs/*");
}
