//! The table of `pve_cluster_recover`.

use ansible_module::{Kind, Opt, Ret, SeeAlso, Spec};
use pve::inventory::WantedNode;
use serde::Deserialize;

use crate::operating::Audit;
use crate::vocabulary::{AUDIT, AUTHOR, CLUSTER_NAME, ELAPSED, MSG, NODE, ROOT, STEPS, timeout};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    pub(super) cluster_name: String,
    pub(super) nodes: Vec<WantedNode>,
    pub(super) apply: bool,
    pub(super) audit: Audit,
    pub(super) timeout: u64,
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        CLUSTER_NAME,
        Opt::new("nodes", Kind::List, &["All nodes of the cluster, with the facts of those that could be asked."])
            .elements(Kind::Dict)
            .options(NODE)
            .required(),
        Opt::new(
            "apply",
            Kind::Bool,
            &["Carry out those remedies that are safe, on the node that this runs on: run it on every node. Without it \
               nothing is changed."],
        )
        .default("false"),
        AUDIT,
        timeout("180", &["Seconds for the remedies of this node."]),
    ],
    supports_check_mode: true,
    check_mode_details: &["Says which remedies would be carried out on this node."],
    supports_diff: false,
    examples: EXAMPLES,
    returns: &[
        MSG,
        Ret::new("diagnoses", Kind::List, &["What is wrong with the cluster, in an order in which it may be mended."])
            .elements(Kind::Dict)
            .contains(&[
                Ret::new(
                    "id",
                    Kind::Str,
                    &["V(unreachable), V(unknown-node), V(unfinished-operation), V(broken-configuration), V(other-cluster), \
                       V(address-not-local), V(remnants), V(two-quorate-parts), V(no-quorum), V(duplicate-nodeid), \
                       V(removed), V(not-reloaded), V(half-member), V(older-configuration), V(service-down), V(cut-off) or \
                       V(incomplete-member)."],
                ),
                Ret::new("node", Kind::Str, &["The node; empty for the cluster as a whole."]),
                Ret::new("finding", Kind::Str, &["What is."]),
                Ret::new("remedy", Kind::Str, &["What is to be done."]),
                Ret::new(
                    "action",
                    Kind::Str,
                    &["What does it: V(settle), V(adopt), V(reload) and V(start) this module on the node, V(mend) \
                       M(sddc.pve.pve_cluster_trust) on the node, V(withdraw) M(sddc.pve.pve_cluster_member) on a member, \
                       V(person) nothing: somebody must decide."],
                ),
            ]),
        Ret::new("report", Kind::List, &["The same as a table: who sees whom, what is wrong, what to do."])
            .elements(Kind::Str),
        Ret::new("withdraw", Kind::List, &["Nodes to be taken off the list where they never came up."]).elements(Kind::Str),
        Ret::new("mend", Kind::List, &["Members without a certificate."]).elements(Kind::Str),
        Ret::new("member", Kind::Str, &["The member whose configuration counts; C(null) without one."]),
        Ret::new("applied", Kind::List, &["What was done on this node."]).elements(Kind::Str),
        STEPS,
        ELAPSED,
    ],
    notes: &[
        "The truth is what a quorate member has. Where none is quorate, a newer corosync.conf is handed on only when every \
         node that it lists was asked: else the silent ones may be the cluster, and the others cut off.",
        "Nothing here lowers the votes that are expected, and nothing is removed: such commands are printed for a person.",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_info", "Gathers what O(nodes[].info) takes."),
        SeeAlso::Module("sddc.pve.pve_cluster_validate", "Proves that the cluster is well again."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_cluster_recover",
        "Diagnose a broken Proxmox VE cluster, and apply safe remedies",
        &[
            "Says from the facts of all nodes what is wrong with a cluster: who sees whom, configurations that differ, \
             missing quorum, joins that hang, half members, operations that were cut off, services that are down.",
            "Told to, it finishes or undoes operations that were cut off, gives nodes with an older corosync.conf the \
             cluster's, has every corosync read it again where one did not, and starts services. Whatever can't be told from a partition is left to a person, with the commands.",
        ],
    )
};

const EXAMPLES: &str = r#"- name: Gather the facts of all nodes
  sddc.pve.pve_cluster_info:
  register: node

- name: Diagnose the cluster
  sddc.pve.pve_cluster_recover:
    cluster_name: sddc-cluster
    nodes:
      - name: node1
        address: 10.10.1.21
        info: "{{ hostvars['node1'].node.info | default(omit) }}"
      - name: node2
        address: 10.10.1.22
        info: "{{ hostvars['node2'].node.info | default(omit) }}"
  run_once: true
  register: diagnosis
"#;
