//! The table of checks: ids, what each makes sure of, and which function looks.

use super::{Check, Context, clock, cluster, filter, host, identity, links, membership, network, system};
use crate::verdict::{Finding, Severity};

const fn error(
    id: &'static str,
    doc: &'static str,
    run: fn(&Context<'_>) -> anyhow::Result<Finding>,
) -> Check {
    let doc = if cfg!(any(feature = "docs", test)) { doc } else { "" };
    Check { id, doc, severity: Severity::Error, is_guard: false, run }
}

const fn guard(
    id: &'static str,
    doc: &'static str,
    run: fn(&Context<'_>) -> anyhow::Result<Finding>,
) -> Check {
    Check { is_guard: true, ..error(id, doc, run) }
}

const fn warning(
    id: &'static str,
    doc: &'static str,
    run: fn(&Context<'_>) -> anyhow::Result<Finding>,
) -> Check {
    Check { severity: Severity::Warning, ..error(id, doc, run) }
}

const fn info(
    id: &'static str,
    doc: &'static str,
    run: fn(&Context<'_>) -> anyhow::Result<Finding>,
) -> Check {
    Check { severity: Severity::Info, ..error(id, doc, run) }
}

/// All checks, in the order of the report.
pub static CHECKS: &[Check] = &[
    error("running-as-root", "The module runs as root.", system::running_as_root),
    error("pve-installed", "Proxmox VE is installed.", system::pve_installed),
    error("pve-version-supported", "Its version is 7, 8 or 9.", system::pve_version_supported),
    error(
        "packages-installed",
        "The packages that O(packages) asks for are installed.",
        system::packages_installed,
    ),
    error(
        "files-current",
        "The files that O(files) asks for have the wanted content.",
        system::files_current,
    ),
    error("pmxcfs-running", "The cluster file system is mounted on C(/etc/pve).", system::pmxcfs_running),
    error(
        "disks-writable",
        "No file system that Proxmox VE writes to is mounted read-only.",
        host::disks_writable,
    ),
    error(
        "disk-space",
        "There are 100 MiB left for the database and the logs; less than 1 GiB is a warning.",
        host::disk_space,
    ),
    error(
        "no-pending-upgrade",
        "All packages are configured; repositories of a newer Debian than the node's are a warning.",
        host::no_pending_upgrade,
    ),
    info("repositories", "A package repository of Proxmox VE is in use.", host::repositories_set),
    info("subscription", "The node has a subscription where its repositories need one.", host::subscription),
    error(
        "time-synchronised",
        "The clock follows a reference, by chrony, timesyncd or another service that tells the kernel.",
        system::time_synchronised,
    ),
    warning("time-source-reachable", "chrony follows a source that answers.", clock::time_source_reachable),
    error(
        "clock-agrees",
        "The clock is less than 300 seconds, the grace of tickets, from those of other nodes' APIs; what is certainly \
         1 second and more is a warning (their dates have whole seconds).",
        clock::clock_agrees,
    ),
    error(
        "cluster-name-valid",
        "The cluster's name is one that Proxmox VE takes.",
        cluster::cluster_name_valid,
    ),
    error(
        "inventory-consistent",
        "Names, node ids and addresses of the nodes are unique, and all have the same links.",
        cluster::inventory_consistent,
    ),
    error(
        "node-name-matches",
        "The node's host name is the name the inventory has for it.",
        network::node_name_matches,
    ),
    error("hostname-kept", "The host name is still the same after a boot.", identity::hostname_kept),
    error(
        "local-directory-own",
        "C(/etc/pve/local) is the directory of this node's name, not of one it had before.",
        identity::local_directory_own,
    ),
    error(
        "machine-id-unique",
        "No other node has the same C(/etc/machine-id), as copies of one disk have.",
        identity::machine_id_unique,
    ),
    error(
        "addresses-unique",
        "No other node has this node's name or one of its addresses.",
        identity::addresses_unique,
    ),
    error(
        "own-name-resolves",
        "The node's own name resolves to an address of its own that is no loopback address (127.0.1.1).",
        network::own_name_resolves,
    ),
    error(
        "names-resolve",
        "On this node every node's name resolves to the address the inventory says.",
        network::names_resolve,
    ),
    warning(
        "known-hosts-agree",
        "No file of known hosts has another ssh host key of a node than the one it has.",
        identity::known_hosts_agree,
    ),
    error(
        "sshd-lets-root-in",
        "sshd lets root in with a key; a warning where the method of joining does not need it.",
        host::sshd_lets_root_in,
    ),
    error("bridge-up", "The bridges are there and up.", network::bridge_up),
    error(
        "links-local",
        "The addresses of the node's links are addresses of its interfaces: C(pvecm create) takes others, and leaves a \
         cluster that nobody can reach.",
        network::links_local,
    ),
    error(
        "link-interfaces",
        "The interfaces of the links are up; two links on one interface are a warning.",
        links::link_interfaces,
    ),
    warning(
        "link-addresses",
        "Each link has one address on this node, on one interface.",
        links::link_addresses,
    ),
    warning(
        "link-networks",
        "On each link all nodes are in one network, and each link has a network of its own.",
        links::link_networks,
    ),
    warning("link-mtu", "All nodes have the same MTU on a link.", links::link_mtu),
    warning(
        "bonds-suit",
        "Bonds below links have a mode that corosync gets on with, and LACP the fast rate.",
        links::bonds_suit,
    ),
    error(
        "corosync-ports-free",
        "No other program has the UDP ports of the links.",
        links::corosync_ports_free,
    ),
    error(
        "firewall-open",
        "The rules of sddc.pve.node_prepare that open the cluster's ports are in force and come back after a boot; \
         skipped where they are not installed and O(only) does not name the check.",
        network::firewall_open,
    ),
    error(
        "packet-filter-open",
        "nftables and iptables of this node let in ssh, the API and each link's UDP port from the other nodes; SPICE, \
         rpcbind, consoles and migration are a warning.",
        filter::packet_filter_open,
    ),
    error(
        "pve-firewall-open",
        "pve-firewall, if it is on, opens the UDP port of each link: its own rule opens those of link 0 only.",
        filter::pve_firewall_open,
    ),
    error(
        "peer-ports-reachable",
        "The TCP ports are reachable on every other node.",
        network::peer_ports_reachable,
    ),
    error("versions-match", "All nodes have the same major version of Proxmox VE.", cluster::versions_match),
    warning(
        "package-versions-match",
        "All nodes have the same versions of pve-manager, pve-cluster and corosync.",
        membership::package_versions_match,
    ),
    error(
        "certificate-valid",
        "The node's certificate has its name, is of its key and of the authority in C(/etc/pve), and has not ended; \
         less than 30 days are a warning.",
        membership::certificate_valid,
    ),
    error(
        "authkey-fits",
        "corosync's key on a member has a size that corosync takes.",
        membership::authkey_fits,
    ),
    error(
        "no-qdevice",
        "The cluster has no quorum device: nobody can join beside one.",
        membership::no_qdevice,
    ),
    warning(
        "ha-quiet",
        "High availability is not active on who admits others, and not set up on who joins.",
        membership::ha_quiet,
    ),
    warning(
        "no-replication",
        "A node that joins has no replication jobs, which joining would replace.",
        membership::no_replication,
    ),
    error(
        "root-without-second-factor",
        "root@pam of who lets others in has no second factor where O(method) gives a password.",
        membership::root_without_second_factor,
    ),
    guard(
        "not-in-foreign-cluster",
        "The node is in no other cluster than the wanted one.",
        cluster::not_in_foreign_cluster,
    ),
    guard(
        "no-name-clash",
        "No member of the cluster has this node's name or one of its addresses and is another machine.",
        cluster::no_name_clash,
    ),
    guard(
        "no-guests",
        "A node that joins has no guests: joining replaces its C(/etc/pve), and with it their configuration.",
        cluster::no_guests,
    ),
    error(
        "no-remnants",
        "Nothing is left of an earlier cluster or of a join that did not end.",
        cluster::no_remnants,
    ),
    error(
        "corosync-not-running",
        "corosync does not run on a node that is in no cluster.",
        cluster::corosync_not_running,
    ),
];
