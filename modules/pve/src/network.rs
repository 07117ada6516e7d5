//! The node's own addresses (`ip -json address`) and the state of an interface (/sys/class/net).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use crate::facts::Address;
use crate::{Cmd, Node};

#[derive(Deserialize)]
struct Interface {
    ifname: String,
    mtu: Option<u32>,
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
            let (name, mtu) = (interface.ifname, interface.mtu);
            interface.addr_info.into_iter().filter_map(move |info| {
                Some(Address { interface: name.clone(), address: info.local?, prefix: info.prefixlen?, mtu })
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

/// A network as in `10.10.1.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network that an address of this prefix length is in.
    pub fn of(address: &str, prefix: u8) -> Option<Self> {
        Some(Self { base: address.parse().ok()?, prefix })
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: &str) -> bool {
        match (self.base, address.parse::<IpAddr>()) {
            (IpAddr::V4(base), Ok(IpAddr::V4(address))) => {
                let (base, address) = (u32::from(base), u32::from(address));
                (base ^ address).checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), Ok(IpAddr::V6(address))) => {
                let (base, address) = (u128::from(base), u128::from(address));
                (base ^ address).checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parsed = text.split_once('/').and_then(|(base, prefix)| {
            let (base, prefix) = (base.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
            let most = if base.is_ipv4() { 32 } else { 128 };
            (prefix <= most).then_some(Self { base, prefix })
        });
        parsed.with_context(|| format!("{text:?} is no network: write it as 10.10.1.0/24 or fd00:1::/64"))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
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
    fn a_network_holds_what_begins_as_it_does() {
        let is_in = |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address);
        assert!(is_in("10.10.1.0/24", "10.10.1.21") && !is_in("10.10.1.0/24", "10.10.2.21"));
        assert!(is_in("10.10.1.21/24", "10.10.1.3") && is_in("0.0.0.0/0", "192.0.2.1"));
        assert!(is_in("10.10.1.21/32", "10.10.1.21") && !is_in("10.10.1.21/32", "10.10.1.20"));
        assert!(is_in("fd00:1::/64", "FD00:1:0::7") && !is_in("fd00:1::/64", "fd00:2::7"));
        assert!(!is_in("0.0.0.0/0", "fd00::1") && !is_in("10.0.0.0/8", "pve1"));
        for text in ["10.10.1.0", "10.10.1.0/33", "net/24", "10.10.1.0/x"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
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
