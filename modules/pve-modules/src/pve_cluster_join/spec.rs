//! The table of `pve_cluster_join`.

use ansible_module::{Kind, Opt, Relations, RequiredIf, Ret, SeeAlso, Spec};
use pve::SecretString;
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
    pub(super) method: Method,
    pub(super) links: Option<Vec<LinkAddress>>,
    pub(super) material: Option<String>,
    pub(super) peer: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) credential: Option<String>,
    pub(super) token: Option<SecretString>,
    pub(super) host_keys: Option<Vec<String>>,
    pub(super) ssh_user: String,
    pub(super) ssh_key: Option<String>,
    pub(super) nodeid: Option<u32>,
    pub(super) votes: Option<u32>,
    pub(super) wait_for_api: bool,
    pub(super) audit: Audit,
    pub(super) timeout: u64,
}

/// Wanted state.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Present,
    Requested,
}

/// The way in.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Method {
    Brokered,
    Ticket,
    Api,
    Expect,
    Token,
    Ssh,
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        CLUSTER_NAME,
        Opt::new(
            "state",
            Kind::Str,
            &[
                "V(present) makes this node a member.",
                "V(requested) makes a key for one join and returns its public half. The private half stays on this \
                 node, below C(/run), readable by root only, and is removed by the join.",
            ],
        )
        .default_text("present")
        .choices(&["present", "requested"]),
        Opt::new(
            "method",
            Kind::Str,
            &[
                "V(brokered) takes O(material) from M(sddc.pve.pve_cluster_member). Nothing but corosync speaks \
                 between the nodes, and no password is needed.",
                "V(ticket) takes O(credential), a ticket that root on a member made, and gives it to C(pvecm add) in place \
                 of the password: also where root has a second factor or no password at all.",
                "V(api) proves root's password to O(peer) under its pinned certificate and then gives it to \
                 C(pvecm add) on standard input.",
                "V(expect) is V(api) with C(pvecm add) at a terminal of its own: the password is typed where it is asked \
                 for, the fingerprint that is shown is compared with O(fingerprint) before the yes, and any other question \
                 ends the join.",
                "V(token) takes a token of M(sddc.pve.pve_join_credential), in O(token) or sealed in O(credential), asks \
                 the members that it names over ssh under the host keys that it carries, and goes on as V(brokered). It \
                 needs no controller: C(pve pve_cluster_join --token-file FILE) does the same.",
                "V(ssh) is C(pvecm add --use_ssh) to O(peer), under O(host_keys) and with a key that serves this one \
                 join, in O(credential). With another O(ssh_user) than root, that user's sudo rule admits this node, and \
                 the join goes on as V(brokered).",
            ],
        )
        .default_text("brokered")
        .choices(&["brokered", "ticket", "api", "expect", "token", "ssh"]),
        links(&["Corosync links of this node, the same numbers as those of the cluster. Link 0 on the address of \
                 the node's own name when not given."]),
        Opt::new(
            "material",
            Kind::Str,
            &["RV(sddc.pve.pve_cluster_member#module:join_material) for this node, sealed to its key. Needed by \
               O(method=brokered), except in check mode."],
        )
        .not_secret(),
        Opt::new("peer", Kind::Str, &["Address or name of a member. Its API answers on port 8006, or its sshd on port 22 for O(method=ssh)."]),
        Opt::new(
            "fingerprint",
            Kind::Str,
            &["SHA-256 fingerprint of the certificate that the API of O(peer) serves, as C(pvenode cert info) and \
               RV(sddc.pve.pve_cluster_info#module:info) show it. The password is sent to no other."],
        ),
        Opt::new("password", Kind::Str, &["Password of C(root@pam) on O(peer). O(method=api) and O(method=expect) need it or O(credential), except in \
               check mode."]).no_log(),
        Opt::new(
            "credential",
            Kind::Str,
            &["RV(sddc.pve.pve_join_credential#module:credential), sealed to the key of this node's \
               RV(ignore:join_request). Needed by O(method=ticket), and by O(method=ssh) as root, except in check mode. For \
               O(method=api) and O(method=expect) it is a temporary password."],
        )
        .not_secret(),
        Opt::new(
            "token",
            Kind::Str,
            &["RV(sddc.pve.pve_join_credential#module:join_string). O(method=token) needs it or O(credential), except \
               in check mode."],
        )
        .no_log(),
        Opt::new(
            "host_keys",
            Kind::List,
            &["ssh host keys that O(peer) may show, as C(<algorithm> <base64>): \
               RV(sddc.pve.pve_cluster_info#module:info) has them. Another one is refused before anything is sent. Needed by \
               O(method=ssh)."],
        )
        .elements(Kind::Str)
        .not_secret(),
        Opt::new(
            "ssh_user",
            Kind::Str,
            &["Account on O(peer) for O(method=ssh). Any other than root is one that the role P(sddc.pve.cluster_admin#role) \
               has made, and needs O(ssh_key)."],
        )
        .default_text("root"),
        Opt::new(
            "ssh_key",
            Kind::Str,
            &["File on this node with the private key of O(ssh_user), which only root may read."],
        )
        .not_secret(),
        Opt::new(
            "nodeid",
            Kind::Int,
            &["corosync's node id of this node, for every O(method) but V(brokered). The lowest free one when not given. A taken one \
               is refused."],
        ),
        Opt::new("votes", Kind::Int, &["Votes of this node, for every O(method) but V(brokered). 1 when not given."]),
        Opt::new(
            "wait_for_api",
            Kind::Bool,
            &["Whether to wait until the API of this node serves its new certificate. Without, the restart is begun \
               and the next node may join meanwhile; M(sddc.pve.pve_cluster_validate) sees whether it ended well."],
        )
        .default_text("true"),
        AUDIT,
        timeout(
            "180",
            &["Seconds for the whole join. When they are over everything is undone, and the end of corosync's log \
               is in the error."],
        ),
    ],
    relations: Relations {
        mutually_exclusive: &[&["password", "credential"], &["token", "credential"], &["password", "token"]],
        required_if: &[
            RequiredIf {
                option: "method",
                value: "api",
                requires: &["peer", "fingerprint"],
                any: false,
            },
            RequiredIf { option: "method", value: "expect", requires: &["peer", "fingerprint"], any: false },
            RequiredIf { option: "method", value: "ticket", requires: &["peer", "fingerprint"], any: false },
            RequiredIf { option: "method", value: "ssh", requires: &["peer", "host_keys"], any: false },
        ],
        ..Relations::NONE
    },
    supports_check_mode: true,
    check_mode_details: &[
        "Runs all checks that only read, including the login and a look at the cluster where a credential is given, \
         which is not spent by that. With \
         O(state=requested) the key that is returned is a sample and is kept nowhere.",
    ],
    supports_diff: true,
    examples: EXAMPLES,
    returns: &[
        MSG,
        JOIN_REQUEST,
        Ret::new("node", Kind::Str, &["Name of this node."]).returned("with O(state=present)"),
        Ret::new("cluster", Kind::Str, &["Name of the cluster."]).returned("with O(state=present)"),
        MEMBERS,
        CONFIG_VERSION,
        FINGERPRINT,
        ATTACHED,
        OPERATION,
        Ret::new("rolled_back", Kind::Bool, &["This node is as it was before."]).returned("on failure of the join"),
        Ret::new(
            "stopped",
            Kind::Bool,
            &["corosync of this node is stopped and has no configuration to start with, so a member may take the node \
               off its list."],
        )
        .returned("on failure of the join"),
        Ret::new("nodes_before", Kind::Int, &["Number of nodes that the cluster had before the join."])
            .returned("on failure of the join"),
        STEPS,
        ELAPSED,
    ],
    notes: &[
        "The join is transactional: a snapshot of C(config.db), C(/etc/corosync), C(sshd_config) and C(/root/.ssh) is \
         taken, and brought back when anything fails or O(timeout) is over.",
        "Runs as a transient systemd unit with a journal in C(/var/lib/sddc-pve/operations), so a connection that \
         is cut does not stop it; a second run attaches to it, and undoes first what a crash has left.",
        "Keys that are authorised for root on this node stay valid throughout, in C(/root/.ssh/authorized_keys2), \
         and never enter the cluster's. C(pvecm add) alone loses them.",
        "C(pvecm add) exits 0 on every failure of its worker and waits for quorum without end. Success is what this \
         node shows afterwards.",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_member", "Admits this node on a member and gives the material."),
        SeeAlso::Module("sddc.pve.pve_join_credential", "Issues tickets, tokens and keys on a member."),
        SeeAlso::Module("sddc.pve.pve_cluster_validate", "Looks at the cluster from every member afterwards."),
        SeeAlso::Link("pvecm(1)", "https://pve.proxmox.com/pve-docs/pvecm.1.html", "Proxmox VE's cluster manager."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_cluster_join",
        "Make a node a member of a Proxmox VE cluster",
        &[
            "Joins this node to an existing cluster and ends when it is quorate, C(/etc/pve) is the cluster's and the \
             API answers with a certificate of the cluster's CA; or leaves the node as it was and says why.",
            "A node that is a member already is left alone; one whose join died before it had a certificate is \
             completed.",
        ],
    )
};

const JOIN_REQUEST: Ret =
    Ret::new("join_request", Kind::Dict, &["What a member needs to seal material to this node."])
        .returned("with O(state=requested)")
        .contains(&[
            Ret::new("name", Kind::Str, &["Node name."]),
            Ret::new("public_key", Kind::Str, &["X25519 public key, base64."]),
        ]);

const EXAMPLES: &str = r#"- name: Ask the joining node for a key
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    state: requested
  register: request

- name: Join with the material that a member gave for it
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    links:
      - number: 0
        address: 10.10.1.22
    material: "{{ admission.join_material.node2 }}"

- name: Join with root's password
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    method: api
    peer: 10.10.1.21
    fingerprint: "{{ hostvars['node1'].node.info.fingerprint }}"
    password: "{{ pve_join_password }}"
    links:
      - number: 0
        address: 10.10.1.22

- name: Issue a ticket for the joining node on a member
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: ticket
    node: node2
    public_key: "{{ request.join_request.public_key }}"
  delegate_to: node1
  register: ticket

- name: Join with the ticket
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    method: ticket
    peer: 10.10.1.21
    fingerprint: "{{ hostvars['node1'].node.info.fingerprint }}"
    credential: "{{ ticket.credential }}"

- name: Issue a key for one pvecm add of the joining node, on a member
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: ssh_key
    node: node2
    public_key: "{{ request.join_request.public_key }}"
    from: [10.10.1.22]
    ttl: 300
  delegate_to: node1
  register: key

- name: Join over ssh with the key
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    method: ssh
    peer: 10.10.1.21
    host_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICLVWHPjk1JdyQdmfQXwktDJzhXLQ30QV4N9U9N7zVoF
    credential: "{{ key.credential }}"

- name: Join with a token
  sddc.pve.pve_cluster_join:
    cluster_name: sddc-cluster
    method: token
    token: "{{ pve_join_token }}"
"#;
