//! The table of `pve_join_credential`.

use ansible_module::{Kind, Opt, Relations, Ret, SeeAlso, Spec};
use pve::credential;
use serde::Deserialize;

use crate::operating::Audit;
use crate::vocabulary::{AUDIT, AUTHOR, CLUSTER_NAME, ELAPSED, MSG, ROOT, STEPS};

/// Checked arguments.
#[derive(Clone, Deserialize)]
pub(super) struct Args {
    pub(super) cluster_name: String,
    #[serde(rename = "type")]
    pub(super) kind: credential::Kind,
    pub(super) state: State,
    pub(super) node: Option<String>,
    pub(super) public_key: Option<String>,
    pub(super) ttl: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) replaces: Vec<String>,
    pub(super) from: Vec<String>,
    pub(super) audit: Audit,
}

/// Wanted state.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Present,
    Absent,
    Pruned,
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        CLUSTER_NAME,
        Opt::new(
            "type",
            Kind::Str,
            &[
                "V(token) is an ssh key that can do nothing but ask for the admission of one node, once. sshd of every \
                 member enforces its expiry and its one command.",
                "V(ssh_key) is an ssh key that can do what C(pvecm add --use_ssh) of O(node) asks of a member, and nothing else. \
                 Revoke it with O(state=absent) when the join is over.",
                "V(ticket) is a login of C(root@pam) that root of a member makes without a password. Proxmox VE ends it \
                 after two hours; nothing can end it earlier, so it is only handed over sealed.",
                "V(temporary_password) gives root of this member a random password. The entry from before comes back with \
                 O(state=absent), when O(ttl) is over, and at the next boot, each by itself; unless somebody else has \
                 changed the password meanwhile, which stays. Refused where root has a second factor.",
            ],
        )
        .required()
        .choices(&["token", "ssh_key", "ticket", "temporary_password"]),
        Opt::new(
            "state",
            Kind::Str,
            &[
                "V(present) issues a new credential, every time.",
                "V(absent) revokes the token or key O(id), or ends the temporary password.",
                "V(pruned) removes what is left of credentials that expired.",
            ],
        )
        .default_text("present")
        .choices(&["present", "absent", "pruned"]),
        Opt::new(
            "node",
            Kind::Str,
            &["Name of the only node that may use it. Needed where O(public_key) is given."],
        ),
        Opt::new(
            "public_key",
            Kind::Str,
            &["Public key from RV(sddc.pve.pve_cluster_join#module:join_request) of that node. The credential is then \
               returned sealed to it, as RV(credential). Needed for O(type=ssh_key), O(type=ticket) and \
               O(type=temporary_password)."],
        )
        .not_secret(),
        Opt::new(
            "ttl",
            Kind::Int,
            &["Seconds that it is good for: 60 to 604800, which is 7 days, for a token, and 60 to 3600 for a temporary \
               password or an ssh key. A day for a token and 900 for a password or a key when not given."],
        ),
        Opt::new("id", Kind::Str, &["Id of the token or key to revoke. For O(type=temporary_password) O(state=absent) ends only the one of this \
               id, and whichever is in place when none is given."]),
        Opt::new(
            "from",
            Kind::List,
            &["IP addresses from which sshd takes the key of a token or an ssh key. Any when none is given."],
        )
        .elements(Kind::Str)
        .default("[]"),
        Opt::new(
            "replaces",
            Kind::List,
            &["Ids of tokens to revoke once the new one is issued: this is how a token is rotated. None is issued when one of \
               them is not known. Where it is one, the new token is for the same node, from the same addresses and for as many \
               seconds, unless O(node), O(from) or O(ttl) says otherwise. Where it can't be revoked the new one is taken back."],
        )
        .elements(Kind::Str)
        .default("[]"),
        AUDIT,
    ],
    relations: Relations {
        required_by: &[("public_key", &["node"])],
        ..Relations::NONE
    },
    supports_check_mode: true,
    check_mode_details: &["Says what would be issued or revoked. No credential is returned."],
    examples: EXAMPLES,
    returns: &[
        MSG,
        Ret::new("id", Kind::Str, &["Name of the credential in records. It is no secret."])
            .returned("when one was issued")
            .sample("k3x9mqp2ab"),
        Ret::new("expires", Kind::Str, &["When it ends, in UTC."])
            .returned("when one was issued")
            .sample("2026-11-23T15:00:00Z"),
        Ret::new(
            "credential",
            Kind::Str,
            &["The credential, sealed to O(public_key): of use to that node only, as \
               O(sddc.pve.pve_cluster_join#module:credential)."],
        )
        .returned("with O(public_key), not in check mode"),
        Ret::new(
            "join_string",
            Kind::Str,
            &["The whole token: its secret, the members' addresses and host keys, cluster name and expiry. B(A \
               secret:) use C(no_log: true) on the task."],
        )
        .returned("for O(type=token) without O(public_key), not in check mode"),
        Ret::new("revoked", Kind::List, &["Ids of tokens that were revoked or pruned."]).elements(Kind::Str),
        STEPS,
        ELAPSED,
    ],
    notes: &[
        "A token is registered in C(/etc/pve/priv/sddc-pve), which pmxcfs shows to root of every member, without its \
         secret. Exactly one of any number of simultaneous uses wins. Until it expires, the node that used it, and only \
         that one, gets the same join material again, so that a lost answer strands nobody.",
        "A temporary password is set with the system's lock of passwords held, changes nothing but the hash in \
         C(/etc/shadow), and is not stacked. What it replaces is kept in C(/var/lib/sddc-pve/temporary-password.json), which \
         only root reads, until it is back.",
        "A token whose issue was cut off is nobody's. The next run of this module on that member takes it back, with a \
         warning and C(changed=true).",
        "Tokens need OpenSSH 9.1 or newer on the members (Proxmox VE 8 and 9) and C(PermitRootLogin) other than V(no).",
        "Each credential that is issued, used or revoked has a line in C(/var/log/pve-cluster-audit.jsonl).",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_join_credential_info", "Lists credentials, without secrets."),
        SeeAlso::Module("sddc.pve.pve_cluster_join", "Takes the credential."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_join_credential",
        "Issue, revoke and prune credentials for joining a Proxmox VE cluster",
        &[
            "Runs on a quorate member. Issues a credential with which a node joins the cluster, and which ends by itself, \
             also when the controller dies.",
            "Revokes tokens, and removes what is left of those that expired.",
        ],
    )
};

const EXAMPLES: &str = r#"- name: Issue a token that is good for one hour and for one node
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: token
    node: node4
    ttl: 3600
  no_log: true
  register: token

- name: Issue a ticket for a node, sealed to its key
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: ticket
    node: node2
    public_key: "{{ request.join_request.public_key }}"
  register: ticket

- name: Revoke a token
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: token
    state: absent
    id: k3x9mqp2ab

- name: Remove what is left of expired tokens
  sddc.pve.pve_join_credential:
    cluster_name: sddc-cluster
    type: token
    state: pruned
"#;
