//! The node's own addresses (`ip -json address`) and the state of an interface (/sys/class/net).

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::facts::Address;
use crate::{Cmd, Node};

#[derive(Deserialize)]
struct Interface {
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    addr_info: Vec<Info>,
}

#[derive(Deserialize)]
struct Info {
    local: Option<String>,
    prefixlen: Option<u8>,
}

/// All addresses of the node, loopback apart.
pub fn addresses(node: &Node, timeout: Duration) -> anyhow::Result<Vec<Address>> {
    parse(&node.run_ok(&Cmd::new("ip", ["-json", "address"], timeout))?.stdout)
}

/// Reads the JSON of `ip address`; some versions hold an empty object for what a filter left out.
pub fn parse(text: &str) -> anyhow::Result<Vec<Address>> {
    let all: Vec<serde_json::Value> = serde_json::from_str(text)
        .map_err(|error| anyhow::anyhow!("ip -json address is not as expected: {error}"))?;
    let interfaces = all.into_iter().filter_map(|value| serde_json::from_value::<Interface>(value).ok());
    let own = interfaces.filter(|interface| !interface.flags.iter().any(|flag| flag == "LOOPBACK"));
    Ok(own
        .flat_map(|interface| {
            let name = interface.ifname;
            interface.addr_info.into_iter().filter_map(move |info| {
                Some(Address { interface: name.clone(), address: info.local?, prefix: info.prefixlen? })
            })
        })
        .collect())
}

/// Whether two texts are the same address: `fd00::1` and `FD00:0::1` are.
pub fn is_same(a: &str, b: &str) -> bool {
    match (a.parse::<IpAddr>(), b.parse::<IpAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// What there is of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceState {
    /// No interface of that name.
    Absent,
    /// Switched off (`ip link set … down`).
    Down,
    /// On, but no port of it has a carrier.
    NoCarrier,
    /// Up.
    Up,
}

/// Looks at an interface. A bridge without any port has no carrier by nature, so counts as up.
pub fn interface(node: &Node, name: &str) -> anyhow::Result<InterfaceState> {
    let file = |leaf: &str| node.read(&format!("/sys/class/net/{name}/{leaf}"));
    let Some(flags) = file("flags")? else { return Ok(InterfaceState::Absent) };
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
    // IFF_UP
    if flags & 1 == 0 {
        return Ok(InterfaceState::Down);
    }
    let state = file("operstate")?.unwrap_or_default();
    let has_ports = !node.list(&format!("/sys/class/net/{name}/brif"))?.is_empty();
    let is_dead = matches!(state.trim(), "down" | "lowerlayerdown" | "notpresent");
    Ok(if is_dead && has_ports { InterfaceState::NoCarrier } else { InterfaceState::Up })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn reads_addresses_and_leaves_loopback_out() {
        // iproute2 6.15 on a PVE 9 node
        let text = r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"operstate":"UNKNOWN","addr_info":
            [{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo"}]},{},
            {"ifindex":3,"ifname":"vmbr0","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"operstate":"UP","addr_info":
            [{"family":"inet","local":"10.88.0.11","prefixlen":24,"scope":"global","label":"vmbr0"},
             {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]}]"#;
        let found: Vec<String> = parse(text)
            .unwrap()
            .into_iter()
            .map(|a| format!("{} {}/{}", a.interface, a.address, a.prefix))
            .collect();
        assert_eq!(found, ["vmbr0 10.88.0.11/24", "vmbr0 fe80::1/64"]);
    }

    #[test]
    fn the_same_address_in_another_spelling_is_the_same() {
        assert!(is_same("fd00::1", "FD00:0:0::1") && !is_same("10.0.0.1", "10.0.0.11") && is_same("a", "a"));
    }

    #[test]
    fn a_bridge_is_up_down_without_carrier_or_absent() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let state = |name: &str| interface(&fake.node(), name).unwrap();
        assert_eq!((state("vmbr0"), state("vmbr1")), (InterfaceState::Up, InterfaceState::Absent));
        fake.write("/sys/class/net/vmbr0/operstate", "down\n");
        assert_eq!(state("vmbr0"), InterfaceState::Up);
        fake.write("/sys/class/net/vmbr0/brif/nic0/state", "0\n");
        assert_eq!(state("vmbr0"), InterfaceState::NoCarrier);
        fake.write("/sys/class/net/vmbr0/flags", "0x1002\n");
        assert_eq!(state("vmbr0"), InterfaceState::Down);
    }
}
