//! The table of `pve_cluster_create`.

use ansible_module::{Kind, Opt, Ret, SeeAlso, Spec};
use pve::observe::LinkAddress;
use serde::Deserialize;

use crate::operating::Audit;
use crate::vocabulary::{
    ATTACHED, AUDIT, AUTHOR, CLUSTER_NAME, CONFIG_VERSION, ELAPSED, FINGERPRINT, MEMBERS, MSG, OPERATION,
    ROOT, STEPS, links, timeout,
};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    pub(super) cluster_name: String,
    pub(super) state: State,
    pub(super) claim: Option<String>,
    pub(super) lifetime: u64,
    pub(super) links: Option<Vec<LinkAddress>>,
    pub(super) nodeid: u32,
    pub(super) votes: u32,
    pub(super) token_coefficient: Option<u32>,
    pub(super) audit: Audit,
    pub(super) timeout: u64,
}

/// Wanted state.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Present,
    Claimed,
    Released,
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        CLUSTER_NAME,
        Opt::new(
            "state",
            Kind::Str,
            &[
                "V(present) makes the cluster.",
                "V(claimed) keeps this node for one controller that is about to form a cluster with it, and fails while \
                 another one has it. Nothing that nodes share could tell the other controller before there is a cluster: \
                 who has claimed every node, and has looked at them once more, is the only one to create it. No change of \
                 the node.",
                "V(released) gives it free, if it is kept for this one.",
            ],
        )
        .default_text("present")
        .choices(&["present", "claimed", "released"]),
        Opt::new(
            "claim",
            Kind::Str,
            &["Name of the controller's run, which no other one has: V(claimed) and V(released) need it. With \
               V(present), the cluster is made only while the \
               node is kept for it; without, only while it is kept for nobody."],
        ),
        Opt::new(
            "lifetime",
            Kind::Int,
            &["Seconds after which V(claimed) ends by itself, should the controller die."],
        )
        .default("60"),
        links(&["Corosync links of this node. Link 0 on the address of the node's own name when not given. Every \
                 node that joins later needs the same link numbers."]),
        Opt::new("nodeid", Kind::Int, &["corosync's node id of this node."]).default("1"),
        Opt::new("votes", Kind::Int, &["Votes of this node in the quorum."]).default("1"),
        Opt::new(
            "token_coefficient",
            Kind::Int,
            &["Milliseconds by which every node beyond the second lengthens corosync's token time-out \
               (corosync.conf(5)). Proxmox VE 9 writes 125 when not given; older versions take no such option."],
        )
        .not_secret(),
        AUDIT,
        timeout(
            "120",
            &["Seconds for the whole operation. When they are over the node is separated again, and the end of \
               corosync's log is in the error."],
        ),
    ],
    supports_check_mode: true,
    check_mode_details: &["Runs all checks that only read, and shows corosync.conf as it would be."],
    supports_diff: true,
    examples: EXAMPLES,
    returns: &[MSG, CLUSTER, MEMBERS, CONFIG_VERSION, FINGERPRINT, ATTACHED, OPERATION, STEPS, ELAPSED],
    notes: &[
        "C(pvecm create) exits 0 on several failures, such as a link address that is not local. Success is what \
         corosync, /etc/pve and the API show afterwards.",
        "Runs as a transient systemd unit with a journal in C(/var/lib/sddc-pve/operations), so a connection that \
         is cut does not stop it; a second run attaches to it.",
        "Guests on the node are kept: they become guests of the cluster's first node.",
        "Root's authorised keys are copied to C(/root/.ssh/authorized_keys2) first, so that ssh needs neither \
         /etc/pve nor quorum.",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_plan", "Says which node should create the cluster."),
        SeeAlso::Module("sddc.pve.pve_cluster_join", "Makes the other nodes members."),
        SeeAlso::Link("pvecm(1)", "https://pve.proxmox.com/pve-docs/pvecm.1.html", "What is driven here."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_cluster_create",
        "Create a Proxmox VE cluster on its first node",
        &[
            "Creates a cluster of this one node and ends when it is quorate, C(/etc/pve) takes writes and the API \
             answers with the node's certificate.",
            "A node that is in the cluster of that name already is left as it is; differences are reported as \
             warnings. A node that is in another cluster is refused.",
        ],
    )
};

const CLUSTER: Ret = Ret::new("cluster", Kind::Str, &["Name of the cluster."]).sample("\"sddc-cluster\"");

const EXAMPLES: &str = r"- name: Create the cluster on the first node
  sddc.pve.pve_cluster_create:
    cluster_name: sddc-cluster
    links:
      - number: 0
        address: 10.10.1.21
        priority: 20
      - number: 1
        address: 10.10.2.21
        priority: 10
";
