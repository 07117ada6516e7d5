//! The table of `pve_cluster_info`.

use ansible_module::{Kind, Opt, Ret, SeeAlso, Spec};
use serde::Deserialize;

use crate::vocabulary::{AUTHOR, ELAPSED, MSG, ROOT, STEPS, timeout};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    pub(super) link_latency: bool,
    pub(super) timeout: u64,
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        Opt::new(
            "link_latency",
            Kind::Bool,
            &["Also tell the round trip of each link, as corosync measures it all the time. Costs one more small \
               program."],
        )
        .default("false"),
        timeout(
            "10",
            &["Seconds that each of the small programs asked may take. A healthy node answers in a few \
               hundredths of a second; a program that runs into the limit is named in a warning and in \
               C(info.problems), and the rest is returned all the same."],
        ),
    ],
    supports_check_mode: true,
    check_mode_details: &["Reads only, so check mode makes no difference."],
    examples: EXAMPLES,
    returns: &[INFO, MSG, ELAPSED, STEPS],
    notes: &[
        "Takes neither C(pvesh) nor C(pvecm), which cost a second or two each. Sources are C(/etc/pve/corosync.conf), \
         C(/etc/pve/.members) and C(/etc/pve/.vmlist) (written by C(src/pmxcfs/status.c) of pve-cluster), \
         C(/etc/corosync), certificates, C(corosync-quorumtool -s), C(corosync-cfgtool -s), \
         C(corosync-cmapctl runtime.members), C(systemctl show), C(ip -json address), C(getent) and dpkg's status file.",
        "Never fails on a healthy node, whether it is in a cluster or not.",
        "No secret is read.",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_plan", "Takes what this module returns from every node."),
        SeeAlso::Module("sddc.pve.pve_cluster_validate", "Judges a cluster instead of telling about it."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_cluster_info",
        "Facts of a Proxmox VE node and its cluster",
        &[
            "Tells what a node is (not installed, standalone, with traces of an earlier cluster, member, member \
             without quorum) and what its cluster looks like from it: nodes, votes, links, certificates, \
             host keys, guests, high availability and services.",
            "Takes about 50 milliseconds.",
        ],
    )
};

const EXAMPLES: &str = r#"- name: Look at a node
  sddc.pve.pve_cluster_info:
  register: node

- name: Stop unless the node is a member with quorum
  ansible.builtin.assert:
    that: node.info.state == 'member'
    fail_msg: "{{ node.msg }}"

- name: Show who is online
  ansible.builtin.debug:
    msg: "{{ node.info.cluster.nodes | selectattr('online') | map(attribute='name') | list }}"
  when: node.info.cluster is not none

- name: Look at the links, with their round trips
  sddc.pve.pve_cluster_info:
    link_latency: true
  register: node
"#;

const INFO: Ret = Ret::new("info", Kind::Dict, &["All facts. A key is always there; what is not known is C(null)."])
    .contains(&[
        Ret::new("node", Kind::Str, &["Node name: the host name up to the first dot, as Proxmox VE takes it."])
            .sample("\"pve1\""),
        Ret::new("hostname", Kind::Str, &["Host name as the kernel has it."]).sample("\"pve1\""),
        Ret::new("machine_id", Kind::Str, &["Content of C(/etc/machine-id)."]),
        Ret::new("version", Kind::Dict, &["Installed versions; C(null) without Proxmox VE."]).contains(&[
            Ret::new("manager", Kind::Str, &["pve-manager."]).sample("\"9.1.10\""),
            Ret::new("major", Kind::Int, &["Its first number."]).sample("9"),
            Ret::new("pve_cluster", Kind::Str, &["pve-cluster."]).sample("\"9.1.6\""),
            Ret::new("corosync", Kind::Str, &["corosync."]).sample("\"3.1.10-pve3\""),
        ]),
        Ret::new(
            "state",
            Kind::Str,
            &["V(not_installed), V(standalone), V(remnants) (in no cluster, but with traces of one), V(member) \
               (quorate, and pmxcfs says so too) or V(no_quorum) (in a cluster, but without quorum, or with \
               corosync or pmxcfs down)."],
        )
        .sample("\"member\""),
        Ret::new("addresses", Kind::List, &["Addresses of all interfaces, loopback apart."])
            .elements(Kind::Dict)
            .sample(r#"[{"interface": "vmbr0", "address": "10.10.1.21", "prefix": 24}]"#),
        Ret::new("name_addresses", Kind::List, &["What the node's own name resolves to, on the node."])
            .elements(Kind::Str)
            .sample(r#"["10.10.1.21"]"#),
        Ret::new("cluster", Kind::Dict, &["The cluster's configuration; C(null) on a node in no cluster."]).contains(&[
            Ret::new("name", Kind::Str, &["Cluster name."]).sample("\"sddc-cluster\""),
            Ret::new("config_version", Kind::Int, &["C(totem.config_version) of corosync.conf."]).sample("3"),
            Ret::new("digest", Kind::Str, &["SHA-256 of corosync.conf as Proxmox VE writes it."]),
            Ret::new("nodes", Kind::List, &["Nodes, by node id."]).elements(Kind::Dict).contains(&[
                Ret::new("name", Kind::Str, &["Node name."]),
                Ret::new("nodeid", Kind::Int, &["corosync's node id. There may be gaps."]),
                Ret::new("votes", Kind::Int, &["Its votes."]),
                Ret::new("links", Kind::Dict, &["Its address on each link."]).sample(r#"{"0": "10.10.1.21"}"#),
                Ret::new("online", Kind::Bool, &["Whether corosync has it in the membership; C(null) when \
                                                  corosync does not answer."]),
                Ret::new("config_version", Kind::Int, &["The config version that its corosync runs with; C(null) \
                                                         where it is not in the membership."]),
            ]),
            Ret::new("qdevice", Kind::Bool, &["Whether a quorum device is configured."]),
            Ret::new("qdevice_host", Kind::Str, &["The QNetd host that it asks; C(null) without one."]),
            Ret::new("qdevice_votes", Kind::Int, &["Votes that it casts for this node's part of the cluster, as \
                                                    corosync has it; C(null) where it tells of none."]),
            Ret::new("text", Kind::Str, &["corosync.conf itself. It holds no secret."]),
        ]),
        Ret::new("quorum", Kind::Dict, &["Votes; C(null) when corosync does not answer."])
            .sample(r#"{"quorate": true, "expected_votes": 3, "total_votes": 3, "quorum": 2, "members": [1, 2, 3]}"#),
        Ret::new("links", Kind::List, &["corosync's links as this node sees them. C(latency) is the round trip in \
                                         microseconds; C(null) without O(link_latency), and of a link that is not up."])
            .elements(Kind::Dict)
            .sample(
                r#"[{"number": 0, "address": "10.10.1.21",
                     "peers": [{"nodeid": 2, "connected": true, "status": "connected", "latency": 412}]}]"#,
            ),
        Ret::new("pmxcfs", Kind::Dict, &["The cluster file system: whether it is mounted, what it says of \
                                          quorum, and the nodes on which it is online."])
            .sample(r#"{"mounted": true, "quorate": true, "online": ["pve1", "pve2"]}"#),
        Ret::new("fingerprint", Kind::Str, &["SHA-256 fingerprint of the certificate that the API serves: \
                                              C(pveproxy-ssl.pem), else C(pve-ssl.pem)."]),
        Ret::new("ca_fingerprint", Kind::Str, &["SHA-256 fingerprint of C(/etc/pve/pve-root-ca.pem). Members of \
                                                 one cluster have the same."]),
        Ret::new("certificates", Kind::List, &["This node's certificates, and that of the cluster's authority: \
                                                C(pveproxy-ssl.pem), which the API serves where it is there, \
                                                C(pve-ssl.pem), C(pve-root-ca.pem); each with its fingerprint and \
                                                the time when it ends, in UTC."])
            .elements(Kind::Dict)
            .sample(r#"[{"file": "pve-ssl.pem", "fingerprint": "9A:0B:…", "ends": "2028-11-22T15:00:00Z"}]"#),
        Ret::new("host_keys", Kind::List, &["Public ssh host keys with their fingerprints."])
            .elements(Kind::Dict)
            .sample(r#"[{"algorithm": "ssh-ed25519", "key": "AAAAC3…", "fingerprint": "SHA256:lWpe…"}]"#),
        Ret::new("guests", Kind::List, &["Guests of this node."])
            .elements(Kind::Dict)
            .sample(r#"[{"vmid": 100, "kind": "qemu"}]"#),
        Ret::new("ha", Kind::Dict, &["High availability: C(active) says whether losing quorum would fence this node \
                                      (its LRM is active, or watchdog-mux has a client); C(resources) are those \
                                      configured in the cluster."])
            .sample(r#"{"active": false, "resources": []}"#),
        Ret::new("services", Kind::Dict, &["State of the units of Proxmox VE, corosync, ssh and time. C(enabled) is \
                                            empty where the unit is not installed."])
            .sample(r#"{"corosync": {"active": "active", "enabled": "enabled"}}"#),
        Ret::new("remnants", Kind::List, &["Traces of an earlier cluster or of a join that did not end: \
                                            V(corosync-conf), V(authkey), V(pmxcfs-corosync-conf), V(foreign-nodes), \
                                            V(not-listed), V(unfinished-operation)."])
            .elements(Kind::Dict)
            .sample(r#"[{"id": "authkey", "path": "/etc/corosync/authkey",
                         "detail": "the key of a cluster this node is not in"}]"#),
        Ret::new("operation", Kind::Dict, &["An operation of this collection that has not ended: it goes on, or its \
                                             process was killed. C(null) otherwise."])
            .sample(r#"{"id": "1795359600-123-join-7", "kind": "join", "target": "pve2 into \"sddc-cluster\""}"#),
        Ret::new("problems", Kind::List, &["What could not be read, with the reason; empty on a healthy node."])
            .elements(Kind::Str),
    ]);
