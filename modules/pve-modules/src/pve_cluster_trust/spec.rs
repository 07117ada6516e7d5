//! The table of `pve_cluster_trust`.

use ansible_module::{Kind, Opt, Ret, SeeAlso, Spec};
use pve::inventory::WantedNode;
use pve::trust::Request;
use serde::Deserialize;

use crate::operating::Audit;
use crate::vocabulary::{AUDIT, AUTHOR, CLUSTER_NAME, ELAPSED, MSG, NODE, ROOT, STEPS, timeout};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    cluster_name: String,
    nodes: Vec<WantedNode>,
    renew_days: u32,
    pub(super) audit: Audit,
    pub(super) timeout: u64,
}

impl From<Args> for Request {
    fn from(args: Args) -> Self {
        Self { cluster_name: args.cluster_name, nodes: args.nodes, renew_days: args.renew_days }
    }
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        CLUSTER_NAME,
        Opt::new(
            "nodes",
            Kind::List,
            &["The nodes of the cluster, with their facts: their host keys come over the connection to each node, which is \
               trusted already. Nothing is changed about a member whose facts are not given."],
        )
        .required()
        .elements(Kind::Dict)
        .options(NODE),
        Opt::new(
            "renew_days",
            Kind::Int,
            &["A certificate that ends within so many days is made anew, 0 to 700. Proxmox VE makes it for 730 days."],
        )
        .default("30"),
        AUDIT,
        timeout("120", &["Seconds for everything."]),
    ],
    supports_check_mode: true,
    supports_diff: true,
    check_mode_details: &["Says what would be mended and shows the diff. Takes no lock."],
    examples: EXAMPLES,
    returns: &[
        MSG,
        Ret::new("mended", Kind::List, &["What was wrong and is mended now, or would be in check mode."])
            .elements(Kind::Str)
            .sample(r#"["/root/.ssh/known_hosts line 3: another ssh-ed25519 key of pve2"]"#),
        Ret::new(
            "notes",
            Kind::List,
            &["What somebody should look at and this module does not change, such as keys of nodes that left. Each is a \
               warning too."],
        )
        .elements(Kind::Str),
        Ret::new("unverified", Kind::List, &["Members whose host keys were not given."]).elements(Kind::Str),
        STEPS,
        ELAPSED,
    ],
    notes: &[
        "B(Known hosts:) C(/etc/pve/priv/known_hosts), C(ssh_known_hosts) and C(ssh_known_hosts2) in C(/etc/ssh), \
         C(known_hosts) and C(known_hosts2) in C(/root/.ssh), and C(/etc/pve/nodes/NODE/ssh_known_hosts). A key that stands \
         under a member's exact name or address, hashed ones included, and that the member does not have, is replaced by \
         the one that it has. Patterns, markers, other ports, key types that the member has no key of, and all other lines \
         stay as they are, byte for byte.",
        "B(Root's keys:) C(/root/.ssh/authorized_keys) as a link into C(/etc/pve), root's key among the cluster's, the host \
         key where the other nodes look for it, by C(pvecm updatecerts). Keys that only this node authorised go on to let in \
         here, and don't become the cluster's. Keys of nodes that left are told, and never removed.",
        "B(Certificate:) C(pvecm updatecerts --force) where the node's own one is missing, unreadable, has ended or soon \
         will, is of another key, another name or another authority; then pveproxy is reloaded, and must show it. A key that \
         can't be read is removed before. Other nodes' certificates and C(pveproxy-ssl.pem) are never touched. Where the \
         cluster's authority itself is missing or ends within two weeks, the module fails and says what to do.",
        "Fails without quorum: C(/etc/pve) can't be written then.",
        "Members mend one after the other, under a lock of the cluster.",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_info", "Gathers each node's host keys."),
        SeeAlso::Module("sddc.pve.pve_cluster_validate", "Tells of certificates and keys that are not as they should be."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_cluster_trust",
        "Mend host keys, root's keys and the certificate of a member of a Proxmox VE cluster",
        &[
            "Runs on each member of a quorate cluster. Finds what contradicts the members' real host keys, as after a \
             reinstall, and mends it by exact name and address.",
            "Sets up root's shared keys as Proxmox VE does, and makes the node's own certificate anew where it is of no use.",
        ],
    )
};

const EXAMPLES: &str = r#"- name: Gather the facts of the nodes
  sddc.pve.pve_cluster_info:
  register: node

- name: Mend by what the members are trusted
  sddc.pve.pve_cluster_trust:
    cluster_name: sddc-cluster
    nodes:
      - name: node1
        address: 10.10.1.21
        info: "{{ hostvars['node1'].node.info }}"
      - name: node2
        address: 10.10.1.22
        info: "{{ hostvars['node2'].node.info }}"

- name: Make the certificate anew in its last three months
  sddc.pve.pve_cluster_trust:
    cluster_name: sddc-cluster
    nodes: []
    renew_days: 90
"#;
