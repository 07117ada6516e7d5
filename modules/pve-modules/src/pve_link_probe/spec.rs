//! The table of `pve_link_probe`.

use ansible_module::{Kind, Opt, Relations, RequiredIf, Ret, SeeAlso, Spec};
use pve::SecretString;
use pve::observe::LinkAddress;
use serde::Deserialize;

use crate::vocabulary::{AUTHOR, CHECKS, ELAPSED, MSG, ROOT, STEPS, links, timeout};

/// What is to be done.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Listening,
    Probed,
    Compared,
    Absent,
}

/// Checked arguments; `rows` and `listeners` are read apart.
#[derive(Deserialize)]
pub(super) struct Args {
    pub(super) state: State,
    pub(super) node: Option<String>,
    pub(super) links: Option<Vec<LinkAddress>>,
    pub(super) key: Option<SecretString>,
    pub(super) lifetime: u64,
    pub(super) count: u32,
    pub(super) latency_limit: u32,
    pub(super) loss_limit: u32,
    pub(super) ignore: Vec<String>,
    pub(super) timeout: u64,
}

pub(super) static SPEC: Spec = TABLE.as_sent();

const TABLE: Spec = Spec {
    options: OPTIONS,
    relations: Relations {
        required_if: &[
            RequiredIf { option: "state", value: "listening", requires: &["links", "key"], any: false },
            RequiredIf { option: "state", value: "probed", requires: &["listeners", "key"], any: false },
            RequiredIf { option: "state", value: "compared", requires: &["rows"], any: false },
        ],
        ..Relations::NONE
    },
    supports_check_mode: true,
    check_mode_details: &[
        "No responder is started or stopped. V(probed) asks those that it is told of; told of none it measures nothing, and \
         RV(row) is C(null). V(compared) only compares.",
    ],
    examples: EXAMPLES,
    returns: RETURNS,
    notes: NOTES,
    seealso: &[
        SeeAlso::Module("sddc.pve.pve_preflight", "The checks that need no other node's help."),
        SeeAlso::Module("sddc.pve.pve_cluster_validate", "Looks at the links once corosync runs."),
    ],
    requirements: &[ROOT],
    author: AUTHOR,
    ..Spec::new(
        "pve_link_probe",
        "Measure corosync's links between nodes before there is a cluster",
        &[
            "Finds out before anything is changed whether the nodes reach each other on every link, in both directions, on \
             the UDP ports that corosync will use, how long that takes, how much is lost, and how long a packet may be.",
            "With O(state=listening) a node answers for some minutes; with O(state=probed) it measures every link to every \
             other node; with O(state=absent) it stops to answer and tells whom it has heard; with O(state=compared) what all \
             nodes measured and heard is judged together, which names the direction that is blocked.",
        ],
    )
};

const OPTIONS: &[Opt] = &[
    Opt::new(
        "state",
        Kind::Str,
        &[
            "V(listening) starts a responder in a systemd unit of its own, C(sddc-pve-link-probe.service), in place of one \
             that runs. It ends by itself after O(lifetime).",
            "V(probed) asks the responders of all other nodes at once and returns this node's row. It fails for nothing that \
             it finds: a node alone can't tell whose fault it is.",
            "V(compared) judges all rows, and fails where a link is not fit for corosync. It runs on one node.",
            "V(absent) stops the responder.",
        ],
    )
    .choices(&["listening", "probed", "compared", "absent"])
    .required(),
    Opt::new("node", Kind::Str, &["This node's name. The host name up to the first dot when not given."]),
    links(&["Addresses of this node, one a link, for O(state=listening)."]),
    Opt::new(
        "key",
        Kind::Str,
        &["What proves to a responder that it is asked by one of the nodes: 32 random characters or more, made anew for \
           each run, the same on all nodes. Who has it not gets no answer. The responder takes it from a file that only root \
           reads and removes that before its first answer."],
    )
    .no_log(),
    Opt::new(
        "lifetime",
        Kind::Int,
        &["Seconds after which the responder ends by itself, 10 to 3600. It must outlast the measuring on all nodes, which with \
           few C(forks) is one after the other."],
    )
    .default("300"),
    Opt::new(
        "listeners",
        Kind::List,
        &[
            "For O(state=probed) what O(state=listening) returned as RV(listener) on all nodes, this one too.",
            "For O(state=compared) what O(state=absent) returned as RV(listener) on all nodes. Without it no direction can be \
             told from the other. C(null) counts as nothing.",
        ],
    )
    .elements(Kind::Raw),
    Opt::new(
        "count",
        Kind::Int,
        &["Questions to each node on each link, one every 10 milliseconds: as fine as the loss is told. 1 to 1024."],
    )
    .default("20"),
    Opt::new(
        "rows",
        Kind::List,
        &["What O(state=probed) returned as RV(row) on all nodes, for O(state=compared). C(null) counts as nothing."],
    )
    .elements(Kind::Raw),
    Opt::new(
        "latency_limit",
        Kind::Int,
        &["Milliseconds. A link whose fastest round trip takes so long is refused; one whose median does, or takes 5 or more, is \
           worth a warning: a busy machine answers late on the best of networks."],
    )
    .default("10"),
    Opt::new(
        "loss_limit",
        Kind::Int,
        &["Percent. A direction that loses as much is refused, one that loses anything is worth a warning."],
    )
    .default("10"),
    Opt::new(
        "ignore",
        Kind::List,
        &["Checks of O(state=compared) whose failure is to be a warning: V(links-pass), V(link-answers), V(link-latency), \
           V(link-jitter), V(link-loss), V(path-mtu). It stays visible."],
    )
    .elements(Kind::Str)
    .default("[]"),
    timeout("30", &["Seconds after which it gives up. Measuring takes a third of one, and some more where links are bad."]),
];

const NOTES: &[&str] = &[
    "The responder binds to the addresses of the links only and shares no port: where corosync runs, or another program has its \
     port, it listens on 5412 less the number of the link, and says so. A running corosync is left alone; RV(row.corosync) is \
     what that one says of its links.",
    "Every datagram carries an HMAC-SHA256, each question is answered once, and no answer is longer than its question.",
    "Creating or joining a cluster stops a responder that still runs, since corosync needs its ports.",
    "A packet that is too long for the network is found by packets that may not be cut in pieces, so a firewall that drops ICMP \
     hides nothing.",
];

const EXAMPLES: &str = r#"- name: Make a key for this run
  ansible.builtin.set_fact:
    probe_key: "{{ lookup('ansible.builtin.password', '/dev/null', length=43, chars=['ascii_letters', 'digits']) }}"
  run_once: true
  no_log: true

- name: Listen on both links
  sddc.pve.pve_link_probe:
    state: listening
    links:
      - number: 0
        address: "{{ pve_link0 }}"
      - number: 1
        address: "{{ pve_link1 }}"
    key: "{{ probe_key }}"
  register: listening

- name: Measure the links to all other nodes
  sddc.pve.pve_link_probe:
    state: probed
    listeners: "{{ ansible_play_hosts | map('extract', hostvars, ['listening', 'listener']) | list }}"
    key: "{{ probe_key }}"
  register: probed

- name: Stop listening
  sddc.pve.pve_link_probe:
    state: absent
  register: heard

- name: Refuse what is not fit for corosync
  sddc.pve.pve_link_probe:
    state: compared
    rows: "{{ ansible_play_hosts | map('extract', hostvars, ['probed', 'row']) | list }}"
    listeners: "{{ ansible_play_hosts | map('extract', hostvars, ['heard', 'listener']) | list }}"
  run_once: true
  register: mesh

- name: Show the table
  ansible.builtin.debug:
    var: mesh.report
  run_once: true
"#;

const RETURNS: &[Ret] = &[
    Ret::new("listener", Kind::Dict, &["Where this node listens; with V(absent), where it did and whom it has heard, or C(null)."])
        .returned("with O(state=listening) and O(state=absent)")
        .contains(&[
            Ret::new("node", Kind::Str, &["The node."]),
            Ret::new("links", Kind::List, &["C(number), C(address), C(port) of each link; C(is_beside) is V(true) where \
                                             another program has corosync's port."])
                .elements(Kind::Dict),
            Ret::new("heard", Kind::List, &["C(count) of questions from a C(node) on a C(link)."]).elements(Kind::Dict),
        ])
        .sample(
            r#"{"node": "node1", "links": [{"number": 0, "address": "10.10.1.21", "port": 5405, "is_beside": false}],
                "heard": [{"node": "node2", "link": 0, "count": 20}]}"#,
        ),
    Ret::new("row", Kind::Dict, &["What this node measured."]).returned("with O(state=probed)").contains(&[
        Ret::new("node", Kind::Str, &["The node that measured."]),
        Ret::new("paths", Kind::List, &["The way to each other node on each link."]).elements(Kind::Dict).contains(&[
            Ret::new("link", Kind::Int, &["Number of the link."]),
            Ret::new("to", Kind::Str, &["The other node."]),
            Ret::new("address", Kind::Str, &["Its address."]),
            Ret::new("port", Kind::Int, &["Its UDP port."]),
            Ret::new("is_beside", Kind::Bool, &["Whether that is not corosync's own."]),
            Ret::new("sent", Kind::Int, &["Questions that were sent."]),
            Ret::new("answered", Kind::Int, &["Answers that came."]),
            Ret::new("loss", Kind::Float, &["Percent of questions without an answer."]),
            Ret::new("round_trip", Kind::Dict, &["C(fastest), C(median), C(p99) and C(jitter) in milliseconds, jitter being the \
                                                  mean difference from one to the next. C(null) without an answer."]),
            Ret::new("path_mtu", Kind::Int, &["Bytes of the longest packet that came through."]),
            Ret::new("interface_mtu", Kind::Int, &["Bytes of the longest packet that the interface sends."]),
            Ret::new("silence", Kind::Str, &["Why no answer came, as far as this node can tell: V(not_local), V(no_route), \
                                              V(filtered_here), V(refused), V(absent) (no host answers for the address), \
                                              V(dropped) (the host is up) or V(unknown)."]),
            Ret::new("grade", Kind::Str, &["V(good), V(fair), V(bad) or V(silent)."]),
        ]),
        Ret::new("corosync", Kind::List, &["Where corosync runs, of each C(link) how many nodes it has C(connected), of how many C(nodes); else C(null)."]).elements(Kind::Dict),
    ]),
    Ret { returned: "with O(state=compared)", ..CHECKS },
    Ret::new("ok", Kind::Bool, &["Whether every link is fit for corosync."]).returned("with O(state=compared)"),
    Ret::new("report", Kind::List, &["A table: each node and link with the worst of its paths."])
        .elements(Kind::Str)
        .returned("with O(state=compared)"),
    MSG,
    ELAPSED,
    STEPS,
];
