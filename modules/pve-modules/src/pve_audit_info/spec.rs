//! The table of `pve_audit_info`.

use ansible_module::{Kind, Opt, Ret, SeeAlso, Spec};
use serde::Deserialize;

use crate::vocabulary::{AUTHOR, ELAPSED, MSG, ROOT};

/// Checked arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    pub(super) count: usize,
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        Opt::new("count", Kind::Int, &["How many of the newest entries to return, 1 to 1024."]).default("50")
    ],
    supports_check_mode: true,
    check_mode_details: &["Reads only, so check mode makes no difference."],
    examples: EXAMPLES,
    returns: &[
        MSG,
        Ret::new(
            "ok",
            Kind::Bool,
            &["Every line is as it was written, follows the one before it, and none is missing."],
        ),
        Ret::new("lines", Kind::Int, &["Number of lines in all files."]),
        Ret::new(
            "is_complete",
            Kind::Bool,
            &["The first operation ever is in it; else older lines were rotated out."],
        ),
        Ret::new("findings", Kind::List, &["What is wrong, each with file and line."]).elements(Kind::Str),
        Ret::new("files", Kind::List, &["Files of the trail, the oldest first."]).elements(Kind::Str),
        Ret::new("entries", Kind::List, &["The newest entries, the oldest of them first."])
            .elements(Kind::Dict)
            .contains(&[
                Ret::new("time", Kind::Str, &["When it ended, in UTC."]),
                Ret::new("node", Kind::Str, &["Node that it ran on."]),
                Ret::new("cluster", Kind::Str, &["Cluster name."]),
                Ret::new("operation", Kind::Str, &["What was done, such as V(join) or V(issue_token)."]),
                Ret::new("method", Kind::Str, &["How, such as V(brokered)."]),
                Ret::new("credential", Kind::Str, &["Id of the credential that was used."]),
                Ret::new("subjects", Kind::List, &["Nodes that it was about."]).elements(Kind::Str),
                Ret::new("who", Kind::Dict, &["User, sudo user and address of the controller."]),
                Ret::new("result", Kind::Str, &["V(succeeded), V(failed) or V(rolled_back)."]),
                Ret::new("duration", Kind::Float, &["Seconds."]),
                Ret::new("id", Kind::Str, &["Id of the operation's journal."]),
                Ret::new("previous", Kind::Str, &["Hash of the line before it."]),
            ]),
        ELAPSED,
    ],
    notes: &[
        "Each line carries the SHA-256 hash of the line before it, over rotation by logrotate too, and the journal has a \
         copy of each line. So a line that was changed or removed is found, and lines that were cut off the end are, as \
         long as the journal remembers. Who is root on the node and rewrites both is not found: send the journal to \
         another machine where that matters.",
        "C(pve audit verify) does the same at a shell.",
    ],
    seealso: &[SeeAlso::Module("sddc.pve.pve_cluster_join", "Writes to the trail, as every operation does.")],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_audit_info",
        "Read and verify the audit trail of a Proxmox VE node",
        &[
            "Returns who did what to the cluster on this node, from C(/var/log/pve-cluster-audit.jsonl) and what logrotate \
           moved away, and tells whether anything in it was changed.",
        ],
    )
};

const EXAMPLES: &str = r#"- name: Verify the audit trail
  sddc.pve.pve_audit_info:
  register: audit
  failed_when: not audit.ok
"#;
