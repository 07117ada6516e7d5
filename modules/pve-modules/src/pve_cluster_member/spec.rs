//! The table of `pve_cluster_member`.

use std::collections::BTreeMap;

use ansible_module::{Kind, Opt, Ret, SeeAlso, Spec};
use pve::admission::Newcomer;
use pve::observe::{LinkAddress, by_number};
use pve::removal::IGNORABLE;
use serde::Deserialize;

use crate::operating::Audit;
use crate::vocabulary::{
    ATTACHED, AUDIT, AUTHOR, CLUSTER_NAME, CONFIG_VERSION, ELAPSED, MSG, OPERATION, ROOT, STEPS, links,
    timeout,
};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    pub(super) cluster_name: String,
    pub(super) state: State,
    pub(super) nodes: Vec<Asked>,
    pub(super) only_pending: bool,
    pub(super) guests: Vec<u32>,
    pub(super) ignore: Vec<String>,
    pub(super) audit: Audit,
    pub(super) timeout: u64,
}

/// Wanted state of the nodes.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Present,
    Absent,
}

/// One node of the list.
#[derive(Deserialize)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) address: Option<String>,
    pub(super) links: Option<Vec<LinkAddress>>,
    pub(super) nodeid: Option<u32>,
    pub(super) votes: Option<u32>,
    pub(super) public_key: Option<String>,
    pub(super) proven_stopped: bool,
    pub(super) nodes_before: Option<usize>,
}

impl Asked {
    /// As the cluster would list it.
    pub(super) fn newcomer(&self) -> Newcomer {
        let mut links: BTreeMap<u8, String> = by_number(self.links.as_deref().unwrap_or_default());
        if links.is_empty() {
            links.extend(self.address.iter().map(|address| (0, address.clone())));
        }
        Newcomer { name: self.name.clone(), links, nodeid: self.nodeid, votes: self.votes }
    }
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        CLUSTER_NAME,
        Opt::new(
            "state",
            Kind::Str,
            &[
                "V(present) admits the nodes: it lists them in the cluster's configuration and returns what they \
                 need to join.",
                "V(absent) takes nodes off the list, once they are off or separated, and removes what they leave: \
                 their directories in C(/etc/pve/nodes), of which a copy is kept, root's keys of them, host keys under \
                 their names and addresses, their names in HA rules and groups.",
                "Where a node is not listed any more, V(absent) removes what is left of it, on this member and in \
                 C(/etc/pve).",
            ],
        )
        .default_text("present")
        .choices(&["present", "absent"]),
        Opt::new(
            "nodes",
            Kind::List,
            &["The nodes. Several are admitted one after the other, and each gets the same, final \
               corosync.conf; all of them must then be started together."],
        )
        .elements(Kind::Dict)
        .required()
        .options(NODE),
        Opt::new(
            "only_pending",
            Kind::Bool,
            &["Refuse to take a node off the list that has been a member, so that only admissions that did not end are \
               taken back. For O(state=absent)."],
        )
        .default("false"),
        Opt::new(
            "guests",
            Kind::List,
            &["IDs of guests that may go with the nodes: the cluster forgets their configuration, and only the copy has \
               it. Any other guest on a node makes the module refuse. For O(state=absent)."],
        )
        .elements(Kind::Int)
        .default("[]"),
        Opt::new(
            "ignore",
            Kind::List,
            &[
                "Refusals of O(state=absent) that are to be none.",
                "V(node-answers): a machine answers at an address of the node, and it is known to be another one.",
                "V(replication): jobs that replicate guests to the node stay, and fail from now on.",
            ],
        )
        .elements(Kind::Str)
        .choices(&IGNORABLE)
        .default("[]"),
        AUDIT,
        timeout("120", &["Seconds for the whole operation. Each admission takes two to three seconds."]),
    ],
    supports_check_mode: true,
    check_mode_details: &[
        "Runs all checks and shows corosync.conf as it would be. No join material is returned.",
    ],
    supports_diff: true,
    examples: EXAMPLES,
    returns: &[
        MSG,
        Ret::new(
            "join_material",
            Kind::Dict,
            &["For each node with O(nodes[].public_key): what it needs, sealed to its key. It holds \
               corosync's authkey, but only the node that made the key can open it, once."],
        )
        .returned("with O(state=present), not in check mode"),
        Ret::new("admitted", Kind::List, &["Nodes that this run listed."]).elements(Kind::Str),
        Ret::new("pending", Kind::List, &["Nodes that were listed already and are not online."]).elements(Kind::Str),
        Ret::new("online", Kind::List, &["Nodes that are members already."]).elements(Kind::Str),
        Ret::new("removed", Kind::List, &["Nodes that this run took off the list."])
            .elements(Kind::Str)
            .returned("with O(state=absent)"),
        Ret::new(
            "copies",
            Kind::List,
            &["Paths on this member of copies of the directories that were removed, for root only. They hold the nodes' \
               private keys, and the configuration of guests. The newest ten copies stay."],
        )
        .elements(Kind::Str)
        .returned("with O(state=absent)"),
        Ret::new("refusals", Kind::List, &["Ids of the reasons for which it refused."])
            .elements(Kind::Str)
            .returned("when O(state=absent) is refused")
            .sample(r#"["guests", "node-online"]"#),
        CONFIG_VERSION,
        ATTACHED,
        OPERATION,
        STEPS,
        ELAPSED,
    ],
    notes: &[
        "Admission refuses what would cost quorum until the new nodes are up: every listed node must be online, and \
         with E expected and O online votes no more than 2 O - E - 1 votes are admitted at once; the one exception \
         is the second node of a cluster of one.",
        "It refuses a taken name, address or node id and links that differ from the cluster's. A taken node id is \
         accepted by C(pvesh), and then corosync starts on neither side.",
        "Removal is refused, by id: V(own-node); V(node-online), which would come back with its old configuration, and \
         V(node-answers) unless O(nodes[].proven_stopped); V(no-quorum), and V(quorum-forecast) of a node that is online; \
         V(guests); V(ha-resources) that the HA manager has placed on the node, and V(ha-active) until it has fenced the node; \
         V(replication); V(qdevice), as pvecm(1) has it; V(pending-admission) of another node.",
        "Of these O(ignore) takes only what costs neither data nor quorum, and guests must be named one by one. The rest can't \
         be overridden: a lost quorum can't be told from a partition, and a guest that HA may still run elsewhere must not be \
         forgotten.",
        "Removal runs as a transient systemd unit with a journal, as every operation. It goes forward only: one that was cut \
         off is taken up by the next run. Run it on every other member too: each has host keys of its own.",
        "A rule or group of HA that names no other node stays, with a warning, as do names in C(storage.cfg), C(jobs.cfg) and \
         C(replication.cfg).",
        "A node of a wave is taken off the list only when every other node that is listed and was never online is \
         proven to be stopped as well: one that starts with an older corosync.conf hangs.",
        "Removing the second node of a cluster without quorum needs C(pvecm expected 1). That is done only when a \
         journal shows that it was the second (the one of the admission on this node, or the one of the join, as \
         O(nodes[].nodes_before) says), and O(nodes[].proven_stopped=true).",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_join", "Makes the key, and takes the material."),
        SeeAlso::Link("pvecm(1)", "https://pve.proxmox.com/pve-docs/pvecm.1.html", "Quorum and removal of nodes."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_cluster_member",
        "Admit nodes to a Proxmox VE cluster, on one of its members",
        &[
            "Runs on a quorate member. Lists new nodes in the cluster's configuration and returns, sealed to a key \
             that each of them made, what they need to become members.",
            "A node that is listed with the same addresses already gets material again, without a change, whether it is \
             up or not: its join may have been cut off and begins anew.",
        ],
    )
};

const NODE: &[Opt] = &[
    Opt::new("name", Kind::Str, &["Node name: the host name up to the first dot."]).required(),
    Opt::new("address", Kind::Str, &["Address of link 0 when O(nodes[].links) is not given."]),
    links(&["Its links, the same numbers as those of the cluster."]),
    Opt::new("nodeid", Kind::Int, &["corosync's node id. The lowest free one when not given."]),
    Opt::new("votes", Kind::Int, &["Its votes. 1 when not given."]),
    Opt::new(
        "public_key",
        Kind::Str,
        &["Public key from RV(sddc.pve.pve_cluster_join#module:join_request) of that node. Needed for \
           O(state=present), but for a node that is online."],
    )
    .not_secret(),
    Opt::new(
        "proven_stopped",
        Kind::Bool,
        &["That node's own connection has shown that its corosync is stopped and its configuration gone, as \
           RV(sddc.pve.pve_cluster_join#module:stopped) of a failed join says. For O(state=absent)."],
    )
    .default("false"),
    Opt::new(
        "nodes_before",
        Kind::Int,
        &["Number of nodes that the cluster had before that node's join, as \
           RV(sddc.pve.pve_cluster_join#module:nodes_before) of a failed join says. For O(state=absent)."],
    ),
];

const EXAMPLES: &str = r#"- name: Ask the joining node for a key
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    state: requested
  register: request

- name: Admit it on a member
  sddc.pve.pve_cluster_member:
    cluster_name: sddc-cluster
    nodes:
      - name: node2
        links:
          - number: 0
            address: 10.10.1.22
        public_key: "{{ request.join_request.public_key }}"
  delegate_to: node1
  register: admission

- name: Take a node off the list that never came up
  sddc.pve.pve_cluster_member:
    cluster_name: sddc-cluster
    state: absent
    only_pending: true
    nodes:
      - name: node2
  delegate_to: node1

- name: Remove a member that is switched off, and what it leaves
  sddc.pve.pve_cluster_member:
    cluster_name: sddc-cluster
    state: absent
    nodes:
      - name: node4
        address: 10.10.1.24
  delegate_to: node1
"#;
