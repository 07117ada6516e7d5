//! systemd units, all of them with one `systemctl show`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::facts::Service;
use crate::{Cmd, Node};

/// Units whose state says how a node is: those of PVE and of its cluster, ssh, and the time services.
pub const UNITS: [&str; 13] = [
    "pve-cluster",
    "corosync",
    "pvedaemon",
    "pveproxy",
    "pvestatd",
    "pvescheduler",
    "pve-ha-lrm",
    "pve-ha-crm",
    "pve-firewall",
    "ssh",
    "chrony",
    "systemd-timesyncd",
    "ntpsec",
];

/// Units that must run, and come back after a boot, on every member of a cluster.
pub const OF_A_MEMBER: [&str; 5] = ["pve-cluster", "corosync", "pvedaemon", "pveproxy", "pvestatd"];

/// Asks systemd for units by their names without `.service`.
pub fn query(node: &Node, units: &[&str], timeout: Duration) -> anyhow::Result<BTreeMap<String, Service>> {
    let names = units.iter().map(|unit| format!("{unit}.service"));
    let args =
        ["show", "--property=Id,ActiveState,UnitFileState"].into_iter().map(str::to_owned).chain(names);
    let output = node.run_ok(&Cmd::new("systemctl", args, timeout))?;
    let states = parse(&output.stdout);
    anyhow::ensure!(
        states.len() == units.len(),
        "systemctl show told of {} units, asked for {}",
        states.len(),
        units.len()
    );
    Ok(units.iter().map(|unit| (*unit).to_owned()).zip(states).collect())
}

/// Reads `systemctl show` of several units: a block each, in the order asked. Not by `Id`, which for an alias
/// is the name of another unit.
pub fn parse(text: &str) -> Vec<Service> {
    let blocks = text.trim().split("\n\n").filter(|block| !block.trim().is_empty());
    blocks
        .map(|block| {
            let value = |key: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
                line.unwrap_or_default().to_owned()
            };
            Service { active: value("ActiveState"), enabled: value("UnitFileState") }
        })
        .collect()
}

impl Service {
    /// Whether it runs.
    pub fn is_active(&self) -> bool {
        self.active == "active"
    }

    /// Whether it comes back after a boot.
    pub fn is_enabled(&self) -> bool {
        matches!(self.enabled.as_str(), "enabled" | "enabled-runtime" | "static" | "alias" | "generated")
    }

    /// Whether there is such a unit.
    pub fn is_installed(&self) -> bool {
        !self.enabled.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn blocks_are_in_the_order_asked_and_a_missing_unit_reads_as_not_installed() {
        // systemd 257
        let text = "Id=ssh.service\nActiveState=active\nUnitFileState=enabled\n\nId=no-such.service\nActiveState=inactive\n\
                    UnitFileState=\n\nId=corosync.service\nActiveState=failed\nUnitFileState=enabled\n";
        let units = parse(text);
        assert_eq!(units.len(), 3);
        assert!(units[0].is_active() && units[0].is_enabled());
        assert!(!units[1].is_installed());
        assert_eq!(units[2].active, "failed");
    }

    #[test]
    fn all_units_cost_one_program() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let units = query(&fake.node(), &UNITS, Duration::from_secs(1)).unwrap();
        assert_eq!(fake.calls().len(), 1);
        assert!(units["pve-cluster"].is_active() && !units["corosync"].is_active());
        assert!(units["corosync"].is_enabled() && !units["ntpsec"].is_installed());
    }
}
