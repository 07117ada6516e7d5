//! The table of `pve_cluster_validate`.

use ansible_module::{Kind, Opt, Relations, Ret, SeeAlso, Spec};
use pve::validate::{Expected, View};
use serde::Deserialize;

use crate::vocabulary::{AUTHOR, CHECKS, CLUSTER_NAME, ELAPSED, MSG, ROOT, STEPS, timeout};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    cluster_name: String,
    nodes: Option<Vec<String>>,
    count: Option<usize>,
    links: Option<Vec<u8>>,
    views: Option<Vec<Option<View>>>,
    pub(super) stable_for: u64,
    pub(super) timeout: u64,
}

impl From<Args> for Expected {
    fn from(args: Args) -> Self {
        Self {
            cluster_name: args.cluster_name,
            nodes: args.nodes,
            count: args.count,
            links: args.links,
            views: args.views.map(|views| views.into_iter().flatten().collect()),
            is_read_only: false,
        }
    }
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: OPTIONS,
    relations: Relations { mutually_exclusive: &[&["nodes", "count"]], ..Relations::NONE },
    supports_check_mode: true,
    check_mode_details: &[
        "Changes nothing in either mode, but for a file of its own below C(/etc/pve/priv/sddc-pve-seen) that the other \
         members are to read, and a lock that it takes and gives back. In check mode both are left out.",
    ],
    examples: EXAMPLES,
    returns: RETURNS,
    notes: &[
        "What is compared when O(views) is given: configuration, members, addresses, authority and certificates, the \
         content of C(/etc/pve) (without what changes by itself: C(lrm_status), C(manager_status), C(crm_commands), \
         locks, pmxcfs's own dot files), and that what each member wrote is read here.",
        "What C(pvecm add) exits with says nothing: it exits with 0 when the join failed. This module looks.",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_info", "Tells instead of judging."),
        SeeAlso::Module("sddc.pve.pve_preflight", "Checks a node before it joins."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_cluster_validate",
        "Prove that a Proxmox VE cluster is as it should be",
        &[
            "Runs on a member and looks until every check passes or O(timeout) is over, and then fails with what it saw \
             last.",
            "Run it on every member, then once with what they returned as C(view): the members must see the same.",
        ],
    )
};

const OPTIONS: &[Opt] = &[
    CLUSTER_NAME,
    Opt::new(
        "nodes",
        Kind::List,
        &["Names of all nodes that the cluster is to have, no more and no fewer. When neither this nor O(count) is \
           given, the nodes that the cluster lists."],
    )
    .elements(Kind::Str),
    Opt::new("count", Kind::Int, &["Number of nodes that the cluster is to have."]),
    Opt::new(
        "links",
        Kind::List,
        &["Numbers of the links that must be connected to every other node. Those that are configured when not \
           given."],
    )
    .elements(Kind::Int),
    Opt::new(
        "views",
        Kind::List,
        &["What this module returned as RV(view) on the members, to be compared. This node's own may be among them. A \
           C(null), which a node that is no member returns, counts as no view of it."],
    )
    .elements(Kind::Raw),
    Opt::new("stable_for", Kind::Int, &["Seconds for which all checks must go on passing, within O(timeout). Where they pass at the end and not for so \
               long, that is a failure too."]).default("0"),
    timeout("60", &["Seconds after which it gives up. It looks twice a second."]),
];

const EXAMPLES: &str = r#"- name: Wait until each member sees a healthy cluster
  sddc.pve.pve_cluster_validate:
    cluster_name: sddc-cluster
    nodes: [node1, node2, node3, node4]
  register: seen

- name: Compare what the members see
  sddc.pve.pve_cluster_validate:
    cluster_name: sddc-cluster
    nodes: [node1, node2, node3, node4]
    views: "{{ ansible_play_hosts | map('extract', hostvars, ['seen', 'view']) | list }}"
  run_once: true

- name: Check that both links stay up for ten seconds
  sddc.pve.pve_cluster_validate:
    cluster_name: sddc-cluster
    count: 4
    links: [0, 1]
    stable_for: 10
"#;

const RETURNS: &[Ret] = &[
    Ret::new(
        "view",
        Kind::Dict,
        &["What this member sees, for the comparison; C(null) when it is in no cluster of that \
                                    name."],
    )
    .returned("always")
    .contains(&[
        Ret::new("node", Kind::Str, &["Who saw it."]),
        Ret::new("cluster", Kind::Str, &["Cluster name."]),
        Ret::new("config_version", Kind::Int, &["Config version."]),
        Ret::new("digest", Kind::Str, &["SHA-256 of corosync.conf."]),
        Ret::new("members", Kind::List, &["Nodes in corosync's membership."]).elements(Kind::Str),
        Ret::new("rings", Kind::Dict, &["Address of each node on each link."]),
        Ret::new(
            "ca_fingerprint",
            Kind::Str,
            &["SHA-256 fingerprint of the cluster's certificate authority."],
        ),
        Ret::new("fingerprints", Kind::Dict, &["SHA-256 fingerprint of each node's certificate."]),
        Ret::new("pve_digest", Kind::Str, &["SHA-256 over the content of C(/etc/pve)."]),
        Ret::new("nonce", Kind::Str, &["What it wrote for the others to read; C(null) in check mode."]),
    ]),
    CHECKS,
    Ret::new("ok", Kind::Bool, &["Whether every check passed."]),
    Ret::new("looks", Kind::Int, &["How often it looked."]).sample("1"),
    MSG,
    ELAPSED,
    STEPS,
];
