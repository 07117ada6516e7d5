//! The table of `pve_cluster_plan`.

use ansible_module::{Kind, Opt, Ret, SeeAlso, Spec};
use pve::cluster_plan::Request;
use pve::inventory::WantedNode;
use serde::Deserialize;

use crate::vocabulary::{AUTHOR, CLUSTER_NAME, ELAPSED, MSG, NODE};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    cluster_name: String,
    nodes: Vec<WantedNode>,
    primary: Option<String>,
    token_coefficient: Option<u32>,
    pub(super) fail_on_refuse: bool,
}

impl From<Args> for Request {
    fn from(args: Args) -> Self {
        Self {
            cluster_name: args.cluster_name,
            nodes: args.nodes,
            primary: args.primary,
            token_coefficient: args.token_coefficient,
        }
    }
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: OPTIONS,
    supports_check_mode: true,
    check_mode_details: &[
        "Changes nothing in either mode. In check mode RV(changed) says whether anything is to be done, so that \
         Ansible shows the diff; else it is V(false).",
    ],
    supports_diff: true,
    examples: EXAMPLES,
    returns: RETURNS,
    notes: &[
        "Looks at nothing but its arguments, so it may run on any host of the play, once.",
        "V(create) is planned only when the facts of B(every) node of O(nodes) were gathered and none is a member: a \
         host that is unreachable or outside of C(--limit) may be one, and a second cluster of the same name is worse \
         than none.",
        "A node that is listed in the cluster and not online stops every join but its own: its vote is expected \
         and not there, and corosync refuses a node that starts with an older corosync.conf.",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_info", "Gathers what O(nodes[].info) takes."),
        SeeAlso::Module("sddc.pve.pve_preflight", "Checks the nodes themselves."),
        SeeAlso::Module("sddc.pve.pve_cluster_create", "Creates the cluster on the primary."),
        SeeAlso::Module("sddc.pve.pve_cluster_join", "Joins a node."),
    ],
    author: AUTHOR,
    ..Spec::new(
        "pve_cluster_plan",
        "Plan who creates a Proxmox VE cluster and who joins it",
        &[
            "Takes the facts of all nodes and the wanted cluster, and says for each node whether it creates the \
             cluster, joins it, needs nothing, or is refused, with the reason and the remedy.",
            "Refuses nodes of another cluster, clashes of names and addresses, taken node ids, links that the cluster \
             does not have, nodes with guests or with traces of an earlier cluster, and any join while the cluster \
             is without quorum or has a quorum device.",
            "Foretells votes and quorum for each step, and shows corosync.conf as it will be.",
        ],
    )
};

const OPTIONS: &[Opt] = &[
    CLUSTER_NAME,
    Opt::new(
        "nodes",
        Kind::List,
        &["All nodes of the wanted cluster, in the order in which they are to join, with the facts of those that \
           could be looked at."],
    )
    .elements(Kind::Dict)
    .options(NODE)
    .required(),
    Opt::new(
        "primary",
        Kind::Str,
        &["Name of the node that is to create the cluster, or of the member that is to admit the others. When not \
           given, the only node with guests creates it (a node that joins may have none), else the first; and the \
           first quorate member admits."],
    ),
    Opt::new(
        "token_coefficient",
        Kind::Int,
        &["C(totem.token_coefficient) of a new cluster in milliseconds, for the preview of corosync.conf. 125 when \
           not given, as C(pvecm create) sets it."],
    ),
    Opt::new(
        "fail_on_refuse",
        Kind::Bool,
        &["Fail when a node is refused. With V(false) the refusal is only told in RV(plan)."],
    )
    .default("true"),
];

const EXAMPLES: &str = r#"- name: Gather the facts of all nodes
  sddc.pve.pve_cluster_info:
  register: node

- name: Plan the cluster
  sddc.pve.pve_cluster_plan:
    cluster_name: sddc-cluster
    nodes:
      - name: node1
        address: 10.10.1.21
        info: "{{ hostvars['node1'].node.info | default(omit) }}"
      - name: node2
        address: 10.10.1.22
        info: "{{ hostvars['node2'].node.info | default(omit) }}"
  run_once: true
  register: cluster

- name: Show the plan
  ansible.builtin.debug:
    var: cluster.report
  run_once: true
"#;

const RETURNS: &[Ret] = &[
    Ret::new("plan", Kind::Dict, &["What each node does: C(action) is V(create), V(join), V(none) or V(refuse)."])
        .sample(r#"{"node1": {"action": "create", "reason": "no node is in a cluster: it creates it"}}"#),
    Ret::new("primary", Kind::Str, &["Who creates the cluster or admits the others; C(null) when nobody can."])
        .sample("\"node1\""),
    Ret::new("joins", Kind::List, &["Who joins, in this order: first those whose admission did not end, then those \
                                     that want a certain node id."])
        .elements(Kind::Str)
        .sample(r#"["node2", "node3"]"#),
    Ret::new("members", Kind::List, &["Members that are online now, those outside of O(nodes) too."])
        .elements(Kind::Str)
        .sample("[]"),
    Ret::new("forecast", Kind::List, &["Votes before and after each step, and whether the cluster stays quorate from \
                                        the admission until the node is up. The second node of a cluster is the one \
                                        that cannot be admitted without."])
        .elements(Kind::Dict)
        .sample(
            r#"[{"node": "node2", "action": "join", "quorate_meanwhile": false,
                 "before": {"online_votes": 1, "expected_votes": 1, "quorum": 1},
                 "after": {"online_votes": 2, "expected_votes": 2, "quorum": 2}}]"#,
        ),
    Ret::new("config_version", Kind::Int, &["C(totem.config_version) of the cluster as it is; 0 without one."]).sample("0"),
    Ret::new("report", Kind::List, &["The plan as lines of text."]).elements(Kind::Str),
    MSG,
    ELAPSED,
];
