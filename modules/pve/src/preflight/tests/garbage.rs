//! No text that a file of the node holds, and none that a program prints, makes a look at the node panic: facts,
//! checks, validation, credentials and the audit trail, over files and answers cut, doubled and mixed.

use proptest::prelude::*;

use super::*;
use crate::credential::{issue, password, registry, ticket};
use crate::operation::Journal;
use crate::validate::{self, Expected};
use crate::{Output, audit, sshd};

const TOKEN: &str = "/etc/pve/priv/sddc-pve/tokens/0123456789ab/token.json";
const JOURNAL: &str = "/var/lib/sddc-pve/operations/1795359600-join-7.json";

/// Files that are read, each with something like its content.
const FILES: &[(&str, &str)] = &[
    (
        "/etc/pve/.members",
        "{\n\"nodename\": \"pve1\",\n\"version\": 3,\n\"cluster\": { \"name\": \"prod\", \"version\": 1, \"nodes\": 1, \"quorate\": 1 },\n\"nodelist\": {\n  \"pve1\": { \"id\": 1, \"online\": 1, \"ip\": \"10.88.0.11\"}\n  }\n}\n",
    ),
    ("/etc/pve/.version", "{ \"starttime\": 1, \"clinfo\": 2, \"vmlist\": 3, \"corosync.conf\": 4 }\n"),
    (
        "/etc/pve/.vmlist",
        "{ \"version\": 1, \"ids\": { \"100\": { \"node\": \"pve1\", \"type\": \"qemu\", \"version\": 1 } } }\n",
    ),
    (
        "/etc/pve/corosync.conf",
        "nodelist {\n  node {\n    name: pve1\n    nodeid: 1\n    ring0_addr: 10.88.0.11\n  }\n}\ntotem {\n  cluster_name: prod\n}\n",
    ),
    ("/etc/corosync/corosync.conf", "totem {\n  cluster_name: prod\n  config_version: 2\n}\n"),
    (
        "/etc/pve/priv/authorized_keys",
        "ssh-rsa AAAA root@pve1\nrestrict,command=\"x\" ssh-ed25519 AAAA sddc-pve-token-0123456789ab\n",
    ),
    ("/etc/pve/priv/known_hosts", "10.88.0.11 ssh-rsa AAAA\n|1|a=|b= ssh-rsa AAAA\n"),
    ("/etc/pve/priv/tfa.cfg", "{\"users\":{\"root@pam\":{\"totp\":[{\"id\":\"x\"}]}}}"),
    ("/etc/pve/replication.cfg", "local: 100-0\n\ttarget pve2\n"),
    ("/etc/pve/ha/resources.cfg", "vm: 100\n\tstate started\n"),
    (
        "/etc/pve/nodes/pve1/lrm_status",
        "{\"mode\":\"active\",\"timestamp\":1,\"state\":\"wait_for_agent_lock\"}",
    ),
    (
        "/etc/pve/firewall/cluster.fw",
        "[OPTIONS]\nenable: 1\npolicy_in: DROP\n[RULES]\nIN ACCEPT -p udp -dport 5405:5412\n",
    ),
    ("/etc/pve/local/host.fw", "[OPTIONS]\nenable: 0\n"),
    ("/etc/pve/nodes/pve1/pve-ssl.pem", "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----\n"),
    ("/var/lib/dpkg/status", "Package: pve-manager\nStatus: install ok installed\nVersion: 9.1.1\n\n"),
    ("/etc/apt/sources.list", "deb http://mirror.example/debian trixie main\n"),
    ("/etc/apt/sources.list.d/pve.sources", "Types: deb\nURIs: http://x\nSuites: trixie\nComponents: pve\n"),
    ("/etc/os-release", "VERSION_CODENAME=trixie\n"),
    ("/etc/subscription", "key\nsum\n"),
    ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("/etc/shadow", "root:$y$j9T$x$y:20000:0:99999:7:::\n"),
    ("/root/.ssh/known_hosts", "pve2 ssh-rsa AAAA\n"),
    ("/root/.ssh/authorized_keys", "ssh-rsa AAAA me\n"),
    ("/proc/self/mounts", "/dev/sda1 / ext4 rw 0 0\n"),
    ("/proc/self/status", "Name:\tpve\nUid:\t0\t0\t0\t0\n"),
    ("/proc/net/udp", "  sl  local_address rem_address\n 1: 0B00580A:151D 00000000:0000 07\n"),
    ("/sys/class/net/vmbr0/operstate", "up\n"),
    ("/sys/class/net/vmbr0/flags", "0x1003\n"),
    (TOKEN, "{\"id\":\"0123456789ab\",\"name\":null,\"expires\":1795359600}"),
    (JOURNAL, "{\"id\":\"1795359600-join-7\",\"kind\":\"join\"}"),
    ("/var/lib/sddc-pve/temporary-password.json", "{\"line\":\"root:x:1\"}"),
    ("/var/log/pve-cluster-audit.jsonl", "{\"time\":\"2026-11-22T10:00:00Z\",\"previous\":\"00\"}\n"),
];

/// Programs, each with something like what it prints; to every other one these are strange texts, too.
const ANSWERS: &[(&str, &str)] = &[
    (
        "iptables-save",
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -p udp -m udp --dport 5405:5412 -j ACCEPT\nCOMMIT\n",
    ),
    (
        "nft",
        "{\"nftables\":[{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"i\",\"hook\":\"input\",\"policy\":\"drop\"}},{\"rule\":{\"family\":\"inet\",\"table\":\"t\",\"chain\":\"i\",\"expr\":[{\"match\":{\"left\":{\"payload\":{\"protocol\":\"udp\",\"field\":\"dport\"}},\"right\":{\"range\":[5405,5412]},\"op\":\"==\"}},{\"accept\":null}]}}]}",
    ),
    ("sshd", "port 22\nauthorizedkeysfile .ssh/authorized_keys\npermitrootlogin yes\n"),
    ("ssh", "OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1\n"),
    ("openssl", "notAfter=Nov 22 10:00:00 2036 GMT\n"),
    (
        "ip",
        "[{\"ifname\":\"vmbr0\",\"flags\":[\"UP\"],\"mtu\":1500,\"addr_info\":[{\"local\":\"10.88.0.11\",\"prefixlen\":24}]}]",
    ),
    ("chronyc", "7F7F0101,,10,1795000000.1,0.1,-0.2,0.1,1.5,0.01,0.02,0.1,0.0,64.0,Normal\n"),
    ("systemctl", "Id=corosync.service\nActiveState=active\nUnitFileState=enabled\n"),
    (
        "corosync-quorumtool",
        "Quorate:          Yes\n    Nodeid      Votes Name\n0x00000001          1 pve1 (local)\n",
    ),
    (
        "corosync-cfgtool",
        "Local node ID 1, transport knet\nLINK ID 0 udp\n\taddr\t= 10.88.0.11\n\tstatus:\n\t\tnodeid:          1:\tlocalhost\n",
    ),
    ("getent", "10.88.0.11      STREAM pve1\n"),
    ("df", "1B-blocks Avail\n100 50\n"),
];

const WORDS: [&str; 16] = [
    "",
    "\n",
    " ",
    ":",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "-1",
    "0x",
    "/",
    "99999999999999999999",
    "\u{0}",
    "\u{fffd}",
    "\u{1f600}",
];

/// One text made strange: where, how much of it, and what stands there instead.
type Change = (f64, usize, usize);

fn changed(text: &str, changes: &[Change]) -> String {
    changes.iter().fold(text.to_owned(), |text, (place, length, word)| {
        let boundary =
            |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let start = boundary((text.len() as f64 * place) as usize);
        let end = boundary(start + length).max(start);
        let instead = WORDS.get(*word).copied().unwrap_or(&text);
        format!("{}{instead}{}", &text[..start], &text[end..])
    })
}

/// Everything that only looks. What it finds is no matter here, that it comes back is.
fn look(fake: &Fake, wanted: &Wanted) {
    let node = fake.node();
    let facts = gather(&node, TIMEOUT);
    let reports = run(&node, &facts, wanted, Purpose::Join, TIMEOUT).expect("no check is unknown");
    // A check that panics is a finding of the run, so that the others still speak.
    let panicked: Vec<_> =
        reports.iter().filter(|report| format!("{report:?}").contains("panicked")).collect();
    assert!(panicked.is_empty(), "{panicked:?}");
    let expected = Expected { cluster_name: "prod".to_owned(), is_read_only: true, ..Expected::default() };
    validate::look(&node, &expected, TIMEOUT);
    drop((issue::list(&node), issue::faults(&node), registry::standing(&node, "0123456789ab")));
    drop((password::listed(&node), password::faults(&node), ticket::second_factors(&node)));
    drop((Journal::all(&node), audit::trail::read(&node), sshd::settings(&node)));
}

/// Few by default, since each makes a node; `PROPTEST_CASES` says how many.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn no_file_and_no_answer_makes_a_look_panic(
        files in proptest::collection::vec((0..FILES.len(), 0..FILES.len()), 1..5),
        programs in proptest::collection::vec((0..ANSWERS.len(), 0..ANSWERS.len()), 0..3),
        changes in proptest::collection::vec((0.0..1.0_f64, 0_usize..40, 0_usize..20), 0..5),
        is_member in any::<bool>(),
    ) {
        let (mut fake, wanted) = depth::among_known();
        if is_member {
            fake = Fake::member("pve1", "10.88.0.11", &golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve"));
        }
        for (path, content) in files {
            // Mostly its own text made strange, now and then that of another file.
            let content = if changes.len() > 3 { content } else { path };
            fake.write(FILES[path].0, changed(FILES[content].1, &changes));
        }
        for (program, text) in programs {
            let (program, text) = (ANSWERS[program].0, changed(ANSWERS[if changes.len() > 3 { text } else { program }].1, &changes));
            fake.on(move |_, cmd| {
                let output = Output { code: Some(0), stdout: text.clone(), stderr: String::new() };
                (cmd.program == program).then_some(Ok(output))
            });
        }
        look(&fake, &wanted);
    }
}
