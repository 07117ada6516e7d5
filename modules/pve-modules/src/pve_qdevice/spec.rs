//! The table of `pve_qdevice`.

use ansible_module::{Kind, Opt, Relations, RequiredIf, Ret, SeeAlso, Spec};

use crate::vocabulary::{AUDIT, AUTHOR, CLUSTER_NAME, ELAPSED, MSG, STEPS, timeout};

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: &[
        CLUSTER_NAME,
        Opt::new(
            "state",
            Kind::Str,
            &[
                "V(serving), on the QNetd host: its authority is there, its service runs and answers on port 5403, and it has \
                 signed O(requests).",
                "V(requested), on a member: it has a certificate for this QNetd host, or else a key and a request of its own.",
                "V(present), on a member: it has its certificate, the device is in corosync.conf, corosync-qdevice runs, and this \
                 member casts the device's vote.",
                "V(absent), on a member: corosync-qdevice is stopped and its certificates are gone. The last member that does so \
                 takes the device out of corosync.conf.",
                "V(forgotten), on the QNetd host: nothing is left there of the cluster. It goes on serving others.",
            ],
        )
        .default_text("present")
        .choices(&["serving", "requested", "present", "absent", "forgotten"]),
        Opt::new(
            "host",
            Kind::Str,
            &["IP address at which every member reaches the QNetd host. Needed for V(requested) and V(present)."],
        ),
        Opt::new(
            "ca",
            Kind::Str,
            &["Certificate of the authority of the QNetd host, which V(serving) returns as RV(ca). Without it V(requested) makes \
               nothing and only tells what speaks against the device."],
        ),
        Opt::new(
            "certificate",
            Kind::Str,
            &["What the QNetd host signed for this member, one of RV(certificates). Not needed where it has one."],
        ),
        Opt::new(
            "requests",
            Kind::Dict,
            &["RV(request) of members by their names, for V(serving). Each is signed for O(cluster_name)."],
        ),
        AUDIT,
        timeout("180", &["Seconds for everything. corosync-qdevice alone takes ten to connect."]),
    ],
    relations: Relations {
        required_if: &[
            RequiredIf { option: "state", value: "requested", requires: &["host"], any: false },
            RequiredIf { option: "state", value: "present", requires: &["host"], any: false },
        ],
        ..Relations::NONE
    },
    supports_check_mode: true,
    check_mode_details: &["Runs all checks, and shows corosync.conf before and after. Asks for no certificate."],
    supports_diff: true,
    examples: EXAMPLES,
    returns: &[
        MSG,
        Ret::new("ca", Kind::Str, &["Certificate of the QNetd host's authority, PEM."])
            .returned("with O(state=serving); not in check mode on a host that has none yet"),
        Ret::new("request", Kind::Str, &["What the QNetd host is to sign. Its key never leaves this member."])
            .returned("with O(state=requested), where this member has no certificate"),
        Ret::new("certificates", Kind::Dict, &["What was signed, by the names of O(requests)."])
            .returned("with O(state=serving)"),
        Ret::new("done", Kind::List, &["What was done, or would be."]).elements(Kind::Str).sample(
            r#"["device at 10.10.1.30 in corosync.conf", "corosync-qdevice enabled and started"]"#,
        ),
        Ret::new("faults", Kind::List, &["What speaks against it, each with its id."])
            .elements(Kind::Str)
            .returned("when refused"),
        STEPS,
        ELAPSED,
    ],
    notes: &[
        "A member refuses, and nothing has changed then: V(odd-votes), as with a single node; V(nodes-offline); V(no-quorum); \
         V(other-device), the cluster has one at another host; V(host-is-member); V(qnetd-unreachable); V(not-installed). None can \
         be ignored.",
        "V(absent) refuses: V(quorum-forecast), what is online has no quorum without the device; V(ha-active), high availability \
         is active on this member.",
        "Every member has a key of its own, so no private key travels. C(pvecm qdevice setup) copies one to all members by ssh; \
         what it set up is taken as it is, and can be removed by this module.",
        "The device has one vote and the algorithm C(ffsplit), as C(pvecm) writes it for an even number of nodes.",
        "While a device is configured, nodes neither join nor leave: remove it before, and set it up again.",
    ],
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_cluster_validate", "Tells when the vote of the device is missing."),
        SeeAlso::Link(
            "Corosync External Vote Support",
            "https://pve.proxmox.com/pve-docs/pve-admin-guide.html#_corosync_external_vote_support",
            "What a quorum device is good for.",
        ),
    ],
    requirements: &[
        "Runs as root (C(become: true)); needs no Python there.",
        "On the QNetd host the package corosync-qnetd, on any Debian; on every member the package corosync-qdevice.",
        "TCP port 5403 of the QNetd host open to every member.",
    ],
    author: AUTHOR,
    ..Spec::new(
        "pve_qdevice",
        "Set up or remove a quorum device of a Proxmox VE cluster",
        &[
            "Gives a cluster with an even number of nodes a further vote by a host outside of it, so that one of two nodes, or half \
             of four, can go on alone.",
            "Runs on every member and on the QNetd host, which need not reach each other by ssh: the role \
             P(sddc.pve.qdevice#role) plays the parts in their order.",
        ],
    )
};

const EXAMPLES: &str = r#"# The role sddc.pve.qdevice plays these in their order.
- name: Have the QNetd host serve (there, or with delegate_to)
  sddc.pve.pve_qdevice:
    state: serving
    cluster_name: sddc-cluster
  register: qnetd

- name: Ask for a certificate on a member
  sddc.pve.pve_qdevice:
    state: requested
    cluster_name: sddc-cluster
    host: 10.10.1.30
    ca: "{{ qnetd.ca }}"
  register: member

- name: Have the QNetd host sign what a member asks for
  sddc.pve.pve_qdevice:
    state: serving
    cluster_name: sddc-cluster
    requests:
      node1: "{{ member.request | default('') }}"
  register: signed

- name: Add the device on a member, and wait for its vote
  sddc.pve.pve_qdevice:
    cluster_name: sddc-cluster
    host: 10.10.1.30
    ca: "{{ qnetd.ca }}"
    certificate: "{{ signed.certificates.node1 | default(omit) }}"

- name: Remove the device, on every member
  sddc.pve.pve_qdevice:
    state: absent
    cluster_name: sddc-cluster
"#;
