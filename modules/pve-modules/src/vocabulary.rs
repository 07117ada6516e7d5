//! Words that several modules' tables share, so that an option of one name means one thing everywhere.

use ansible_module::{Kind, Opt, Ret};

/// Who wrote the modules.
pub const AUTHOR: &[&str] = &["The sddc.pve contributors (@sddc-pve)"];

/// What every module that reads or changes a node needs.
pub const ROOT: &str = "Runs as root on a Proxmox VE node (C(become: true)); needs no Python there.";

/// The limit of the whole operation; `json` is its default in seconds.
pub const fn timeout(json: &'static str, description: &'static [&'static str]) -> Opt {
    Opt::new("timeout", Kind::Int, description).default(json)
}

/// The cluster's name.
pub const CLUSTER_NAME: Opt = Opt::new(
    "cluster_name",
    Kind::Str,
    &["Name of the cluster: 1 to 15 characters, letters, digits and hyphens, as a node name. It cannot be \
       changed later."],
)
.required();

/// Options of a link.
pub const LINK: &[Opt] = &[
    Opt::new(
        "number",
        Kind::Int,
        &["Number of the link. All nodes of a cluster have the same links. corosync uses UDP port 5405 plus \
           this number."],
    )
    .required()
    .choices(&["0", "1", "2", "3", "4", "5", "6", "7"]),
    Opt::new("address", Kind::Str, &["IP address of the node on this link."]).required(),
    Opt::new(
        "priority",
        Kind::Int,
        &["C(knet_link_priority), 0 to 255. With C(link_mode: passive), which Proxmox VE writes, the connected \
           link with the B(highest) number carries the traffic (corosync.conf(5)); the API's own description \
           says the opposite. Counts when the cluster is created."],
    ),
];

/// The links of a node.
pub const fn links(description: &'static [&'static str]) -> Opt {
    Opt::new("links", Kind::List, description).elements(Kind::Dict).options(LINK)
}

/// Options of a node of the wanted cluster.
pub const NODE: &[Opt] = &[
    Opt::new("name", Kind::Str, &["Node name: the host name up to the first dot."]).required(),
    Opt::new("address", Kind::Str, &["Address at which the other nodes reach its ssh and its API."])
        .required(),
    links(&["Its corosync links. Link 0 on O(nodes[].address) when not given."]),
    Opt::new("nodeid", Kind::Int, &["corosync's node id for it. The lowest free one when not given."]),
    Opt::new("votes", Kind::Int, &["Its votes in the quorum. 1 when not given."]),
    Opt::new(
        "version",
        Kind::Str,
        &["Its version of pve-manager, where it is known and O(nodes[].info) is not given."],
    ),
    Opt::new(
        "info",
        Kind::Dict,
        &[
            "What M(sddc.pve.pve_cluster_info) returned as RV(sddc.pve.pve_cluster_info#module:info) for it. Not given \
           for a node that could not be reached or is outside of C(--limit).",
        ],
    ),
];

/// What happened, in a sentence.
pub const MSG: Ret = Ret::new("msg", Kind::Str, &["What was found or done, in a sentence."]);

/// Seconds the module took.
pub const ELAPSED: Ret =
    Ret::new("elapsed", Kind::Float, &["Seconds the module took on the node."]).sample("0.041");

/// The steps of an operation.
pub const STEPS: Ret = Ret::new("steps", Kind::List, &["The steps of the operation, in order."])
    .elements(Kind::Dict)
    .contains(&[
        Ret::new("name", Kind::Str, &["What the step is."]),
        Ret::new("status", Kind::Str, &["V(ok), V(failed) or V(skipped)."]),
        Ret::new("elapsed", Kind::Float, &["Seconds it took."]),
        Ret::new("detail", Kind::Str, &["What it found; empty where there is nothing to say."]),
    ])
    .sample(r#"[{"name": "gather facts", "status": "ok", "elapsed": 0.039, "detail": ""}]"#);

/// Who is in the cluster.
pub const MEMBERS: Ret =
    Ret::new("members", Kind::List, &["Names of the nodes that are online, as this node sees it."])
        .elements(Kind::Str)
        .sample(r#"["pve1", "pve2"]"#);

/// Config version of corosync.conf.
pub const CONFIG_VERSION: Ret =
    Ret::new("config_version", Kind::Int, &["C(config_version) of corosync.conf."]).sample("3");

/// The API's certificate.
pub const FINGERPRINT: Ret = Ret::new(
    "fingerprint",
    Kind::Str,
    &["SHA-256 fingerprint of the certificate that the node's API serves."],
);

/// Whether this run began the operation.
pub const ATTACHED: Ret = Ret::new(
    "attached",
    Kind::Bool,
    &["The same operation was under way, begun by an earlier run; this run waited for its end."],
);

/// What an audit trail that can't be written means.
pub const AUDIT: Opt = Opt::new(
    "audit",
    Kind::Str,
    &["With V(required) nothing is done where no line can be written to C(/var/log/pve-cluster-audit.jsonl), as on a \
       full disk. With V(best_effort) it is done all the same, with a warning."],
)
.default_text("required")
.choices(&["required", "best_effort"]);

/// Id of an operation.
pub const OPERATION: Ret =
    Ret::new("operation", Kind::Str, &["Id of the operation's journal in C(/var/lib/sddc-pve/operations)."])
        .returned("on failure of an operation, or when attached to one");

/// The checks of a verdict.
pub const CHECKS: Ret =
    Ret::new("checks", Kind::List, &["Every check and what it found."]).elements(Kind::Dict).contains(&[
        Ret::new("id", Kind::Str, &["Stable name of the check."]),
        Ret::new("severity", Kind::Str, &["V(error), V(warning) or V(info)."]),
        Ret::new(
            "status",
            Kind::Str,
            &["V(passed), V(failed), V(ignored) (failed, and the task said to ignore it), \
               V(could_not_check) (what it looks at could not be read) or V(skipped) (does not apply)."],
        ),
        Ret::new("finding", Kind::Str, &["What was found, in a sentence."]),
        Ret::new("hint", Kind::Str, &["What to do about it; empty when there is nothing to do."]),
    ]);
