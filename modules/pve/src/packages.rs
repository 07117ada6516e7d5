//! Installed packages, from dpkg's status file: no program, one read.

use std::collections::BTreeMap;

use crate::Node;
use crate::facts::PveVersion;

const STATUS: &str = "/var/lib/dpkg/status";

/// Versions of those of the named packages that are installed.
pub fn versions(node: &Node, names: &[&str]) -> anyhow::Result<BTreeMap<String, String>> {
    Ok(parse(&node.read(STATUS)?.unwrap_or_default(), names))
}

/// The installed versions of PVE; `None` when pve-manager is not installed.
pub fn pve_version(node: &Node) -> anyhow::Result<Option<PveVersion>> {
    let mut found = versions(node, &["pve-manager", "pve-cluster", "corosync"])?;
    let Some(manager) = found.remove("pve-manager") else { return Ok(None) };
    let major = major(&manager).unwrap_or(0);
    let (pve_cluster, corosync) = (found.remove("pve-cluster"), found.remove("corosync"));
    Ok(Some(PveVersion { manager, major, pve_cluster, corosync }))
}

/// Packages that are unpacked or configured by half: an installation or upgrade was cut off.
pub fn unfinished(node: &Node) -> anyhow::Result<Vec<String>> {
    let status = node.read(STATUS)?.unwrap_or_default();
    let mut found = Vec::new();
    let mut package = "";
    for line in status.lines() {
        if let Some(name) = line.strip_prefix("Package: ") {
            package = name.trim();
        } else if let Some(words) = line.strip_prefix("Status: ") {
            let state = words.split_whitespace().nth(2).unwrap_or_default();
            if ["unpacked", "half-configured", "half-installed"].contains(&state) {
                found.push(package.to_owned());
            }
        }
    }
    Ok(found)
}

/// The first number of a version.
pub fn major(version: &str) -> Option<u32> {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(['.', '-', '~', '+']).next()?.parse().ok()
}

/// Reads dpkg's status file. Only `install ok installed` counts: a removed package keeps its paragraph.
fn parse(status: &str, names: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let (mut package, mut is_installed) = ("", false);
    for line in status.lines() {
        // The file has a megabyte: look at first letters before anything else.
        match line.as_bytes().first() {
            Some(b'P') => {
                if let Some(name) = line.strip_prefix("Package: ") {
                    (package, is_installed) = (name.trim(), false);
                }
            }
            Some(b'S') => is_installed |= line.trim_end() == "Status: install ok installed",
            Some(b'V') if is_installed && names.contains(&package) => {
                if let Some(version) = line.strip_prefix("Version: ") {
                    found.insert(package.to_owned(), version.trim().to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn only_what_is_installed_counts() {
        let status = "Package: pve-manager\nStatus: deinstall ok config-files\nVersion: 8.4.1\n\n\
                      Package: corosync\nStatus: install ok installed\nPriority: optional\nVersion: 3.1.10-pve3\n\
                      Description: of\n Version: 9\n";
        let found = parse(status, &["pve-manager", "corosync"]);
        assert_eq!(found, BTreeMap::from([("corosync".to_owned(), "3.1.10-pve3".to_owned())]));
    }

    #[test]
    fn reads_pves_version() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let version = pve_version(&fake.node()).unwrap().unwrap();
        assert_eq!((version.manager.as_str(), version.major), ("9.1.10", 9));
        assert_eq!(version.corosync.as_deref(), Some("3.1.10-pve3"));
        fake.write("/var/lib/dpkg/status", "");
        assert_eq!(pve_version(&fake.node()).unwrap(), None);
    }

    #[test]
    fn the_major_number_is_the_first() {
        assert_eq!(
            (major("9.1.10"), major("1:8.2-1"), major("10~rc1"), major("x")),
            (Some(9), Some(8), Some(10), None)
        );
    }
}
