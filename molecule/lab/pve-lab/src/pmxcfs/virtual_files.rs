//! The files of /etc/pve that no tree holds: `.members`, `.version`, `.vmlist`, `.clusterlog`, `.rrd`, `.debug`,
//! and the links to the node's own directory. Their text is as the golden transcripts have it.

use std::collections::BTreeMap;

use super::cfs::{Cfs, State};
use super::tree::Tree;

/// Names and modes of the virtual files.
pub const FILES: [(&str, u16); 6] = [
    (".members", 0o440),
    (".version", 0o440),
    (".vmlist", 0o440),
    (".clusterlog", 0o440),
    (".rrd", 0o440),
    (".debug", 0o640),
];

/// Names of the links and what they point to below the node's directory.
const LINKS: [(&str, &str); 4] =
    [("local", ""), ("lxc", "/lxc"), ("openvz", "/openvz"), ("qemu-server", "/qemu-server")];

/// The files whose version `.version` counts, in its order.
const OBSERVED: [&str; 43] = [
    "corosync.conf",
    "corosync.conf.new",
    "storage.cfg",
    "user.cfg",
    "domains.cfg",
    "notifications.cfg",
    "priv/notifications.cfg",
    "priv/shadow.cfg",
    "priv/acme/plugins.cfg",
    "priv/tfa.cfg",
    "priv/token.cfg",
    "priv/wg-keys.cfg",
    "datacenter.cfg",
    "vzdump.cron",
    "vzdump.conf",
    "jobs.cfg",
    "ha/crm_commands",
    "ha/manager_status",
    "ha/resources.cfg",
    "ha/rules.cfg",
    "ha/groups.cfg",
    "ha/fence.cfg",
    "status.cfg",
    "replication.cfg",
    "ceph.conf",
    "sdn/vnets.cfg",
    "sdn/zones.cfg",
    "sdn/controllers.cfg",
    "sdn/subnets.cfg",
    "sdn/ipams.cfg",
    "sdn/mac-cache.json",
    "sdn/pve-ipam-state.json",
    "sdn/dns.cfg",
    "sdn/fabrics.cfg",
    "sdn/route-maps.cfg",
    "sdn/prefix-lists.cfg",
    "sdn/.running-config",
    "virtual-guest/cpu-models.conf",
    "virtual-guest/profiles.cfg",
    "firewall/cluster.fw",
    "mapping/directory.cfg",
    "mapping/pci.cfg",
    "mapping/usb.cfg",
];

/// Where a link points to, if `name` is one.
pub fn link_target(name: &str, nodename: &str) -> Option<String> {
    let (_, below) = LINKS.iter().find(|(link, _)| *link == name)?;
    Some(format!("nodes/{nodename}{below}"))
}

pub fn link_names() -> impl Iterator<Item = &'static str> {
    LINKS.iter().map(|(name, _)| *name)
}

/// Counts what changed since this pmxcfs started: the numbers in `.version` and `.vmlist`.
#[derive(Default)]
pub struct Counters {
    files: BTreeMap<&'static str, (u64, u64)>,
    guests: Vec<(u32, u64)>,
    guest_list: u64,
}

impl Counters {
    fn look(&mut self, tree: &Tree) {
        for path in OBSERVED {
            let seen = tree.lookup(path).map_or(0, |entry| entry.version);
            let counter = self.files.entry(path).or_insert((seen, 1));
            if counter.0 != seen {
                *counter = (seen, counter.1 + 1);
            }
        }
        let guests: Vec<_> = tree.guests().map(|guest| (guest.id, guest.version)).collect();
        if guests != self.guests {
            self.guests = guests;
            self.guest_list += 1;
        }
    }
}

/// The text of a virtual file.
pub fn content(name: &str, cfs: &Cfs, state: &State, counters: &mut Counters) -> Option<String> {
    counters.look(&state.tree);
    Some(match name {
        ".members" => members(cfs, state),
        ".vmlist" => guest_list(&state.tree, counters),
        ".version" => versions(cfs, state, counters),
        ".clusterlog" => format!("{{\n\"data\": [\n{}\n]\n}}\n", state.log.join(",\n")),
        ".rrd" => {
            format!("pve-storage-9.0/{}/local:{}:270553174016:22581895168\n", cfs.nodename, cfs.started)
        }
        ".debug" => format!("{}\n", u8::from(state.debug)),
        _ => return None,
    })
}

fn members(cfs: &Cfs, state: &State) -> String {
    let Some(info) = state.info.as_ref().filter(|_| cfs.in_cluster) else {
        return format!("{{\n\"nodename\": \"{}\",\n\"version\": 0\n}}\n", cfs.nodename);
    };
    let list: Vec<String> = state
        .members
        .iter()
        .map(|(name, member)| {
            let address =
                member.address.as_ref().map_or(String::new(), |address| format!(", \"ip\": \"{address}\""));
            format!(
                "  \"{name}\": {{ \"id\": {}, \"online\": {}{address}}}",
                member.id,
                u8::from(member.is_online)
            )
        })
        .collect();
    format!(
        "{{\n\"nodename\": \"{}\",\n\"version\": {},\n\"cluster\": {{ \"name\": \"{}\", \"version\": {}, \"nodes\": {}, \"quorate\": {} }},\n\"nodelist\": {{\n{}\n  }}\n}}\n",
        cfs.nodename,
        state.members_version,
        info.name,
        info.version,
        info.nodes.len(),
        u8::from(state.is_quorate),
        list.join(",\n")
    )
}

fn guest_list(tree: &Tree, counters: &Counters) -> String {
    let guests: Vec<String> = tree
        .guests()
        .map(|guest| {
            format!(
                "\"{}\": {{ \"node\": \"{}\", \"type\": \"{}\", \"version\": {} }}",
                guest.id, guest.node, guest.kind, guest.version
            )
        })
        .collect();
    let ids =
        if guests.is_empty() { String::new() } else { format!(",\n\"ids\": {{\n{}}}\n", guests.join(",\n")) };
    let version = counters.guest_list;
    if ids.is_empty() {
        format!("{{\n\"version\": {version}\n\n}}\n")
    } else {
        format!("{{\n\"version\": {version}{ids}\n}}\n")
    }
}

fn versions(cfs: &Cfs, state: &State, counters: &Counters) -> String {
    let mut out = format!(
        "{{\n\"starttime\": {},\n\"clinfo\": {},\n\"vmlist\": {},\n",
        cfs.started, state.members_version, counters.guest_list
    );
    for path in OBSERVED {
        let count = counters.files.get(path).map_or(1, |(_, count)| *count);
        out.push_str(&format!("\"{path}\": {count},\n"));
    }
    let mut nodes: Vec<&str> = state
        .members
        .iter()
        .filter(|(_, member)| member.address.is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    if nodes.is_empty() {
        nodes.push(&cfs.nodename);
    }
    let known = |name: &str| {
        format!("\"{name}\": {{\n\"tasklist\": 1,\n\"kv/network\": 1,\n\"kv/version-info\": 0}}")
    };
    let stores: Vec<String> = nodes.into_iter().map(known).collect();
    out.push_str(&format!("\"kvstore\": {{\n{}\n}}\n}}\n", stores.join("\n,\n")));
    out
}
