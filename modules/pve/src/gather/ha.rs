//! High availability on this node: would losing quorum fence it?

use crate::Node;
use crate::facts::Ha;

/// A directory that watchdog-mux makes while it has a client (pve-ha-manager, src/watchdog-mux.c).
const WATCHDOG_ACTIVE: &str = "/run/watchdog-mux.active";

pub(super) fn read(node: &Node, name: &str) -> anyhow::Result<Ha> {
    let status = node.read(&format!("/etc/pve/nodes/{name}/lrm_status"))?.unwrap_or_default();
    let resources = node.read("/etc/pve/ha/resources.cfg")?.unwrap_or_default();
    Ok(Ha { active: is_armed(&status) || node.exists(WATCHDOG_ACTIVE), resources: sections(&resources) })
}

/// The LRM holds the watchdog in these states (PVE/HA/LRM.pm); one that lost its lock is about to be fenced.
fn is_armed(lrm_status: &str) -> bool {
    let status: serde_json::Value = serde_json::from_str(lrm_status).unwrap_or_default();
    matches!(status["state"].as_str(), Some("active" | "lost_agent_lock"))
}

/// Headings of a section configuration file: `vm: 100`, as `vm:100`.
fn sections(text: &str) -> Vec<String> {
    let headings =
        text.lines().filter(|line| !line.starts_with(char::is_whitespace) && !line.starts_with('#'));
    headings
        .filter_map(|line| line.split_once(": ").map(|(kind, id)| format!("{kind}:{}", id.trim())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn a_node_that_losing_quorum_would_fence_is_active() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let ha = |fake: &Fake| read(&fake.node(), "pve1").unwrap();
        assert_eq!(ha(&fake), Ha::default());
        fake.write("/etc/pve/nodes/pve1/lrm_status", r#"{"mode":"active","state":"active","timestamp":1}"#);
        assert!(ha(&fake).active);
        fake.write("/etc/pve/nodes/pve1/lrm_status", r#"{"state":"wait_for_agent_lock"}"#);
        assert!(!ha(&fake).active);
        std::fs::create_dir_all(fake.path("/run/watchdog-mux.active")).unwrap();
        assert!(ha(&fake).active);
    }

    #[test]
    fn resources_are_the_headings() {
        let text = "vm: 100\n\tstate started\n\tcomment a: b\n\nct: 101\n\tgroup all\n";
        assert_eq!(sections(text), ["vm:100", "ct:101"]);
    }
}
