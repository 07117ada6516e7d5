//! The table of `pve_cluster_reset`.

use ansible_module::{Kind, Opt, Ret, SeeAlso, Spec};
use serde::Deserialize;

use crate::vocabulary::{ATTACHED, AUTHOR, ELAPSED, FINGERPRINT, MSG, OPERATION, ROOT, STEPS, timeout};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    pub(super) confirm: String,
    pub(super) scope: Scope,
    pub(super) guests: Vec<u32>,
    pub(super) timeout: u64,
}

/// What is taken apart.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    Node,
    Leaving,
    Cluster,
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        Opt::new(
            "confirm",
            Kind::Str,
            &["Name of the cluster that this node is to leave. Anything else is refused."],
        )
        .required(),
        Opt::new(
            "scope",
            Kind::Str,
            &[
                "V(node) refuses while other members are online: they would go on counting the vote of this node.",
                "V(leaving) says that a member takes this node off the list right after, with \
                 M(sddc.pve.pve_cluster_member). It refuses where the others would be without quorum meanwhile.",
                "V(cluster) says that every member is reset, and asks nothing of the others.",
            ],
        )
        .default_text("node")
        .choices(&["node", "leaving", "cluster"]),
        Opt::new(
            "guests",
            Kind::List,
            &["IDs of the guests that may be on this node. They stay and run on; other guests make the module refuse."],
        )
        .elements(Kind::Int)
        .default("[]"),
        timeout("180", &["Seconds for the whole operation. What is done by then stays done; a rerun goes on."]),
    ],
    supports_check_mode: true,
    check_mode_details: &["Runs all checks, and shows the configuration that would be removed."],
    supports_diff: true,
    examples: EXAMPLES,
    returns: &[
        MSG,
        Ret::new("node", Kind::Str, &["Name of this node."]),
        Ret::new("cluster", Kind::Str, &["Name of the cluster that it left."]).returned("when it left one"),
        Ret::new(
            "copy",
            Kind::Str,
            &["Path on this node of a copy of /etc/pve from before, for root only. It holds the cluster's keys. The newest \
               ten copies stay."],
        )
        .returned("when it left a cluster"),
        FINGERPRINT,
        ATTACHED,
        OPERATION,
        STEPS,
        ELAPSED,
    ],
    notes: &[
        "Does what pvecm(1) describes as separating a node without reinstalling, and removes what that leaves behind: \
         the certificate authority and keys of the cluster, files, ssh keys and host keys of the other nodes.",
        "Guests, storages, users and C(datacenter.cfg) stay. A custom certificate (C(pveproxy-ssl.pem)) stays.",
        "Runs as a transient systemd unit with a journal in C(/var/lib/sddc-pve/operations). Nothing of it is undone: \
         one that was cut off is taken up by the next run.",
        "Refuses while high availability is active, since losing quorum would fence the node.",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_member", "Takes a node off the list of its cluster."),
        SeeAlso::Module("sddc.pve.pve_cluster_join", "Makes the node a member again."),
        SeeAlso::Link("pvecm(1)", "https://pve.proxmox.com/pve-docs/pvecm.1.html", "Separate a node without reinstalling."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_cluster_reset",
        "Separate a Proxmox VE node from its cluster",
        &[
            "Takes this node out of its cluster and leaves it as one that can create or join a cluster at once, under \
             the same name and address.",
            "A node that is in no cluster and has no traces of one is left as it is.",
        ],
    )
};

const EXAMPLES: &str = r"- name: Take the whole cluster apart
  sddc.pve.pve_cluster_reset:
    confirm: sddc-cluster
    scope: cluster

- name: Clean a node that was removed from its cluster while it was off
  sddc.pve.pve_cluster_reset:
    confirm: sddc-cluster
";
