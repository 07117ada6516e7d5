//! The table of `pve_preflight`.

use ansible_module::{Kind, Opt, Ret, SeeAlso, Spec};
use pve::inventory::WantedNode;
use pve::preflight::{Purpose, Wanted, WantedFile};
use serde::{Deserialize, Deserializer};

use crate::vocabulary::{AUTHOR, CHECKS, CLUSTER_NAME, ELAPSED, MSG, NODE, ROOT, STEPS, timeout};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    pub(super) cluster_name: String,
    nodes: Vec<WantedNode>,
    pub(super) node: Option<String>,
    #[serde(deserialize_with = "purpose")]
    pub(super) purpose: Purpose,
    bridges: Vec<String>,
    ports: Vec<u16>,
    packages: Vec<String>,
    files: Vec<WantedFile>,
    method: Option<String>,
    ignore: Vec<String>,
    skip: Vec<String>,
    only: Option<Vec<String>>,
    pub(super) report_only: bool,
    pub(super) timeout: u64,
}

impl From<Args> for Wanted {
    fn from(args: Args) -> Self {
        Self {
            cluster_name: args.cluster_name,
            nodes: args.nodes,
            own: args.node.unwrap_or_default(),
            bridges: args.bridges,
            ports: args.ports,
            packages: args.packages,
            files: args.files,
            method: args.method,
            ignore: args.ignore,
            skip: args.skip,
            only: args.only,
        }
    }
}

fn purpose<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Purpose, D::Error> {
    Ok(match String::deserialize(deserializer)?.as_str() {
        "create" => Purpose::Create,
        "member" => Purpose::Member,
        _ => Purpose::Join,
    })
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: OPTIONS,
    supports_check_mode: true,
    check_mode_details: &["Reads only, so check mode makes no difference."],
    examples: EXAMPLES,
    returns: &[
        CHECKS,
        Ret::new("ok", Kind::Bool, &["Whether no check of severity V(error) failed, ignored ones apart."]),
        MSG,
        ELAPSED,
        STEPS,
    ],
    notes: NOTES,
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_plan", "Decides who creates and who joins."),
        SeeAlso::Module("sddc.pve.pve_cluster_info", "The facts that the checks look at."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_preflight",
        "Check a Proxmox VE node before it becomes part of a cluster",
        &[
            "Runs all checks, also after one has failed, and fails once with every finding and its remedy.",
            "A check that could not be made counts as failed, and says so.",
            "A node that is in O(cluster_name) already is checked as a member, whatever O(purpose) says.",
        ],
    )
};

const OPTIONS: &[Opt] = &[
    CLUSTER_NAME,
    Opt::new(
        "nodes",
        Kind::List,
        &["All nodes of the wanted cluster as the inventory describes them, this one too, also those that are \
           not reached by this play."],
    )
    .elements(Kind::Dict)
    .options(NODE)
    .required(),
    Opt::new("node", Kind::Str, &["This node's name in O(nodes). The host name up to the first dot when not given."]),
    Opt::new(
        "purpose",
        Kind::Str,
        &["What the node is to be. V(join) demands that it has no guests; V(create), for the first node of a \
           cluster, and V(member) do not. V(member) demands neither that corosync is stopped."],
    )
    .choices(&["join", "create", "member"])
    .default_text("join"),
    Opt::new(
        "method",
        Kind::Str,
        &["The method by which nodes are to join, as O(sddc.pve.pve_cluster_join#module:method) or the role has it: \
           some settings matter to some methods only."],
    ),
    Opt::new("bridges", Kind::List, &["Bridges that must be there and up."]).elements(Kind::Str).default("[\"vmbr0\"]"),
    Opt::new(
        "ports",
        Kind::List,
        &["TCP ports that must be reachable on every other node. Connections are made side by side; each may take \
           3 seconds."],
    )
    .elements(Kind::Int)
    .default("[22, 8006]"),
    Opt::new("packages", Kind::List, &["Packages that must be installed."]).elements(Kind::Str).default("[]"),
    Opt::new("files", Kind::List, &["Files that must have a certain content."])
        .elements(Kind::Dict)
        .options(&[
            Opt::new("path", Kind::Str, &["Path of the file."]).required(),
            Opt::new("sha256", Kind::Str, &["SHA-256 of its content, in hexadecimal."]).required(),
        ])
        .default("[]"),
    Opt::new(
        "ignore",
        Kind::List,
        &["Checks whose failure is to be a warning. It stays visible. Checks that guard data \
           (V(not-in-foreign-cluster), V(no-name-clash), V(no-guests)) cannot be ignored."],
    )
    .elements(Kind::Str)
    .default("[]"),
    Opt::new(
        "skip",
        Kind::List,
        &["Checks that are not to be made at all. Those that guard data are made all the same."],
    )
    .elements(Kind::Str)
    .default("[]"),
    Opt::new("only", Kind::List, &["The only checks to run. All when not given."]).elements(Kind::Str),
    Opt::new(
        "report_only",
        Kind::Bool,
        &["Never fail and never warn, whatever is found: for a play that looks in order to put things right."],
    )
    .default("false"),
    timeout(
        "15",
        &["Seconds that each program and each connection may take. All checks run side by side, so this is \
           about the limit of the whole. A healthy node takes less than a second."],
    ),
];

/// What stands before the table of checks.
const NOTES: &[&str] = &[
    "The checks cover what C(PVE::Cluster::Setup::assert_joinable) of pve-cluster looks at, and what it does not. Some \
     compare this node with others, by the facts in O(nodes[].info): those that are not known are left out.",
];

const EXAMPLES: &str = r#"- name: Check all nodes before anything is changed
  sddc.pve.pve_preflight:
    cluster_name: sddc-cluster
    nodes:
      - name: node1
        address: 10.10.1.21
        links: [{number: 0, address: 10.10.1.21}]
      - name: node2
        address: 10.10.1.22
        links: [{number: 0, address: 10.10.1.22}]

- name: A node with another bridge, whose time service is somebody else's concern
  sddc.pve.pve_preflight:
    cluster_name: sddc-cluster
    nodes: "{{ my_nodes }}"
    bridges: [vmbr0, vmbr1]
    ignore: [time-synchronised]

- name: Only look whether packages are missing
  sddc.pve.pve_preflight:
    cluster_name: sddc-cluster
    nodes: "{{ my_nodes }}"
    only: [packages-installed]
    packages: [chrony]
    report_only: true
  register: look
"#;
