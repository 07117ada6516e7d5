//! The table of `pve_join_credential_info`.

use ansible_module::{Kind, Ret, SeeAlso, Spec};

use crate::vocabulary::{AUTHOR, ELAPSED, MSG, ROOT};

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    supports_check_mode: true,
    examples: EXAMPLES,
    returns: &[
        MSG,
        Ret::new("tokens", Kind::List, &["Every token that is registered or whose key is authorised."])
            .elements(Kind::Dict)
            .contains(&[
                Ret::new("id", Kind::Str, &["Its name."]),
                Ret::new("node", Kind::Str, &["The only node that may use it; none when any may."]),
                Ret::new("issued", Kind::Str, &["When it was issued, in UTC."]),
                Ret::new("expires", Kind::Str, &["When it ends, in UTC."]),
                Ret::new("issued_on", Kind::Str, &["Member that issued it."]),
                Ret::new(
                    "state",
                    Kind::Str,
                    &["V(unspent), V(spent), V(half_spent) (the member that took it was cut off) or V(expired)."],
                ),
                Ret::new("spent_by", Kind::Str, &["Node that used it."]),
                Ret::new("is_authorised", Kind::Bool, &["sshd of the members knows its key."]),
            ]),
        Ret::new("temporary_password", Kind::Dict, &["The temporary password of root on this node; none when there is none."])
            .contains(&[
                Ret::new("id", Kind::Str, &["Its name."]),
                Ret::new("expires", Kind::Str, &["When it ends, in UTC."]),
            ]),
        ELAPSED,
    ],
    notes: &["Tickets are stored nowhere, so they can't be listed: the audit trail says which were made."],
    seealso: &[SeeAlso::Module("sddc.pve.pve_join_credential", "Issues and revokes them.")],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_join_credential_info",
        "List the credentials for joining a Proxmox VE cluster",
        &["Runs on any member. Lists tokens with their state. Shows no secret: none is stored."],
    )
};

const EXAMPLES: &str = r#"- name: List the tokens of the cluster
  sddc.pve.pve_join_credential_info:
  register: credentials
"#;
