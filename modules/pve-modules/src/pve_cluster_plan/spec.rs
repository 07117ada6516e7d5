//! The table of `pve_cluster_plan`.

use ansible_module::{Failure, Kind, Opt, Ret, SeeAlso, Spec};
use pve::cluster_plan::Request;
use pve::corosync_conf::MAX_LINK;
use pve::inventory::WantedNode;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::vocabulary::{AUTHOR, CLUSTER_NAME, ELAPSED, MSG, NODE};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    cluster_name: String,
    nodes: Vec<WantedNode>,
    primary: Option<String>,
    token_coefficient: Option<u32>,
    link_networks: Option<Map<String, Value>>,
    wave_limit: Option<usize>,
    pub(super) fail_on_refuse: bool,
}

impl TryFrom<Args> for Request {
    type Error = Failure;

    fn try_from(args: Args) -> Result<Self, Failure> {
        let mut link_networks = Vec::new();
        for (number, network) in args.link_networks.unwrap_or_default() {
            let number = number.parse().ok().filter(|number| *number <= MAX_LINK).ok_or_else(|| {
                Failure::new(format!(
                    "option \"link_networks\" has link {number:?}: links are 0 to {MAX_LINK}"
                ))
            })?;
            let text = network.as_str().unwrap_or_default();
            let network = text.parse().map_err(|error| {
                Failure::new(format!("option \"link_networks\": link {number}: {error:#}"))
            })?;
            link_networks.push((number, network));
        }
        Ok(Self {
            cluster_name: args.cluster_name,
            nodes: args.nodes,
            primary: args.primary,
            token_coefficient: args.token_coefficient,
            link_networks,
            wave_limit: args.wave_limit,
        })
    }
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: OPTIONS,
    supports_check_mode: true,
    check_mode_details: &[
        "Changes nothing in either mode. In check mode C(changed) says whether anything is to be done, so that \
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
            "Puts those who join into waves: with E votes expected and O online, no more than 2 O - E - 1 votes are \
             admitted together, so that the members stay quorate until the new nodes are up: 1, 1, 2, 4, 8 nodes. The \
             second node of a cluster is the one exception.",
            "Foretells votes, quorum and how many nodes may fail before and after each wave, gives advice, and shows \
             corosync.conf as it will be.",
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
        "link_networks",
        Kind::Dict,
        &["Network of each link by its number, as in V({0: 10.10.1.0/24, 1: 10.10.2.0/24}). Each node then takes the \
           one address it has there. An address that O(nodes[].links) gives a link goes first."],
    ),
    Opt::new(
        "wave_limit",
        Kind::Int,
        &["The most nodes that may join together: V(1) for methods by which only one node can join at a time. As \
           many as quorum allows when not given."],
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
        .sample(r#"["node2", "node3", "node4", "node5"]"#),
    Ret::new("waves", Kind::List, &["The same in waves: all nodes of one are admitted, get the one corosync.conf that \
                                     lists them all, and are started together; then the next."])
        .elements(Kind::List)
        .sample(r#"[["node2"], ["node3"], ["node4", "node5"]]"#),
    Ret::new("nodes", Kind::List, &["The nodes of O(nodes) without their facts, with the links that \
                                     O(link_networks) gave them."])
        .elements(Kind::Dict)
        .sample(r#"[{"name": "node1", "address": "10.10.1.21", "links": [{"number": 0, "address": "10.10.1.21"}]}]"#),
    Ret::new("peers", Kind::List, &["The same with those facts that M(sddc.pve.pve_preflight) compares across nodes, for \
                                     its O(sddc.pve.pve_preflight#module:nodes)."])
        .elements(Kind::Dict),
    Ret::new("members", Kind::List, &["Members that are online now, those outside of O(nodes) too."])
        .elements(Kind::Str)
        .sample("[]"),
    Ret::new("forecast", Kind::List, &["Votes before and after the creation and each wave, and whether the cluster stays \
                                        quorate from the admission until the nodes are up. \
                                        C(tolerated_failures) is how many nodes may fail, whichever they are."])
        .elements(Kind::Dict)
        .sample(
            r#"[{"nodes": ["node2"], "action": "join", "quorate_meanwhile": false,
                 "before": {"online_votes": 1, "expected_votes": 1, "quorum": 1, "tolerated_failures": 0},
                 "after": {"online_votes": 2, "expected_votes": 2, "quorum": 2, "tolerated_failures": 0}}]"#,
        ),
    Ret::new("notes", Kind::List, &["What a person should know though it stops nothing, advice among it."])
        .elements(Kind::Str),
    Ret::new("config_version", Kind::Int, &["C(totem.config_version) of the cluster as it is; 0 without one."]).sample("0"),
    Ret::new("report", Kind::List, &["The plan as lines of text."]).elements(Kind::Str),
    MSG,
    ELAPSED,
];
