//! Every check has a node on which it passes and a fault by which it fails, with what was found and a remedy. A check that is
//! added without both is found here.

use super::*;
use crate::facts::Address;
use crate::fake::FakeUnit;

/// What is done to a node or to what is wanted of it.
type Change = fn(&Fake, &mut Wanted);

/// The node that a case begins with, among known others.
#[derive(Clone, Copy)]
enum Place {
    /// Fresh, and to join.
    Fresh,
    /// A member already.
    Member,
}

/// A check, on what kind of node, what lets it apply there, and what makes it fail.
struct Case(&'static str, Place, Change, Change);

use Place::{Fresh, Member};

const CASES: &[Case] = &[
    Case("running-as-root", Fresh, nothing, |fake, _| {
        fake.write("/proc/self/status", "Uid:\t1000\t1000\t1000\t1000\n");
    }),
    Case("pve-installed", Fresh, nothing, |fake, _| fake.write("/var/lib/dpkg/status", "")),
    Case("pve-version-supported", Fresh, nothing, |fake, _| {
        let status = "Package: pve-manager\nStatus: install ok installed\nVersion: 6.4-15\n";
        fake.write("/var/lib/dpkg/status", status);
    }),
    Case(
        "packages-installed",
        Fresh,
        |_, wanted| wanted.packages = vec!["corosync".into()],
        |_, wanted| wanted.packages.push("chrony".into()),
    ),
    Case(
        "files-current",
        Fresh,
        |fake, wanted| {
            let sha256 = crate::certificate::digest(b"rules\n");
            wanted.files = vec![WantedFile { path: "/etc/rules".into(), sha256 }];
            fake.write("/etc/rules", "rules\n");
        },
        |fake, _| fake.write("/etc/rules", "others\n"),
    ),
    Case("pmxcfs-running", Fresh, nothing, |fake, _| fake.machine().stop("pve-cluster.service")),
    Case("disks-writable", Fresh, nothing, |fake, _| {
        fake.write("/proc/self/mounts", "/dev/sda1 / ext4 ro 0 0\n")
    }),
    Case("disk-space", Fresh, nothing, |fake, _| {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 9 9 9 99% /\n";
        fake.answer("df --portability --block-size=1024 -- / /var/lib/pve-cluster /var/log", 0, text);
    }),
    Case("no-pending-upgrade", Fresh, nothing, |fake, _| {
        let half = "Package: pve-firmware\nStatus: install ok half-configured\nVersion: 3\n";
        fake.write("/var/lib/dpkg/status", format!("{}{half}", fake.machine().read("/var/lib/dpkg/status")));
    }),
    Case("repositories", Fresh, nothing, |fake, _| fake.write("/etc/apt/sources.list.d/pve.sources", "")),
    Case("subscription", Fresh, nothing, |fake, _| {
        let line = "deb https://enterprise.proxmox.com/debian/pve trixie pve-enterprise\n";
        fake.write("/etc/apt/sources.list.d/enterprise.list", line);
    }),
    Case("time-synchronised", Fresh, nothing, |fake, _| fake.machine().synchronised = Some(false)),
    Case("time-source-reachable", Fresh, nothing, |fake, _| fake.answer("chronyc -c sources", 0, "")),
    Case(
        "clock-agrees",
        Fresh,
        |fake, _| date_of_peer(fake, "Sun, 22 Nov 2026 15:00:00 GMT"),
        |fake, _| date_of_peer(fake, "Sun, 22 Nov 2026 15:10:00 GMT"),
    ),
    Case("cluster-name-valid", Fresh, nothing, |_, wanted| wanted.cluster_name = "under_score".into()),
    Case("inventory-consistent", Fresh, nothing, |_, wanted| wanted.nodes[1].name = "pve3".into()),
    Case("node-name-matches", Fresh, nothing, |_, wanted| wanted.own = "pve2".into()),
    Case("hostname-kept", Fresh, nothing, |fake, _| fake.write("/etc/hostname", "old\n")),
    Case("local-directory-own", Fresh, nothing, |fake, _| {
        std::fs::remove_dir_all(fake.path("/etc/pve/nodes/pve1")).unwrap();
    }),
    Case("machine-id-unique", Fresh, nothing, |_, wanted| {
        wanted.nodes[1].info.as_mut().unwrap().machine_id = Some("0123456789abcdef0123456789abcdef".into());
    }),
    Case("addresses-unique", Fresh, nothing, |_, wanted| {
        wanted.nodes[1].info.as_mut().unwrap().node = "pve1".into();
    }),
    Case("own-name-resolves", Fresh, nothing, |fake, _| _ = fake.machine().names.remove("pve1")),
    Case("names-resolve", Fresh, nothing, |fake, _| _ = fake.machine().names.remove("pve3")),
    Case("known-hosts-agree", Fresh, nothing, |fake, _| {
        fake.write("/etc/ssh/ssh_known_hosts", "pve2 ssh-ed25519 AAAAother\n");
    }),
    Case("sshd-lets-root-in", Fresh, |fake, _| sshd(fake, "yes"), |fake, _| sshd(fake, "no")),
    Case("bridge-up", Fresh, nothing, |fake, _| fake.write("/sys/class/net/vmbr0/flags", "0x1002\n")),
    Case("links-local", Fresh, nothing, |_, wanted| link(wanted, 0, "10.88.0.99")),
    Case("link-interfaces", Fresh, nothing, |fake, _| fake.write("/sys/class/net/vmbr0/flags", "0x1002\n")),
    Case("link-addresses", Fresh, nothing, |fake, _| address(fake, "vmbr0", "10.88.0.99")),
    Case("link-networks", Fresh, nothing, |_, wanted| link(wanted, 2, "10.77.0.13")),
    Case("link-mtu", Fresh, nothing, |_, wanted| {
        wanted.nodes[1].info.as_mut().unwrap().addresses[0].mtu = Some(9000);
    }),
    Case(
        "bonds-suit",
        Fresh,
        |fake, _| bond(fake, "active-backup 1\n"),
        |fake, _| bond(fake, "balance-rr 0\n"),
    ),
    Case("corosync-ports-free", Fresh, nothing, |fake, _| {
        let text = "  sl  local_address rem_address\n 1: 00000000:151D 00000000:0000 07\n";
        fake.write("/proc/net/udp", text);
    }),
    Case("firewall-open", Fresh, |fake, _| firewall(fake, 0), |fake, _| firewall(fake, 1)),
    Case("packet-filter-open", Fresh, nothing, |fake, _| {
        let rules = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p udp -j ACCEPT\nCOMMIT\n";
        fake.answer("iptables-save -t filter", 0, rules);
    }),
    Case(
        "pve-firewall-open",
        Fresh,
        |fake, wanted| {
            address(fake, "eno2", "10.89.0.11");
            let mut own = wanted.nodes[0].links();
            own.push(crate::inventory::WantedLink {
                number: 1,
                address: "10.89.0.11".into(),
                priority: None,
            });
            wanted.nodes[0].links = Some(own);
            let text = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p udp -dport 5405:5412\n";
            fake.write("/etc/pve/firewall/cluster.fw", text);
        },
        |fake, _| fake.write("/etc/pve/firewall/cluster.fw", "[OPTIONS]\nenable: 1\n"),
    ),
    Case("peer-ports-reachable", Fresh, nothing, |fake, _| {
        fake.machine().ports.remove(&"10.88.0.12:8006".parse().unwrap());
    }),
    Case("versions-match", Fresh, nothing, |_, wanted| wanted.nodes[1].version = Some("8.4.1".into())),
    Case("package-versions-match", Fresh, nothing, |_, wanted| {
        let version = wanted.nodes[1].info.as_mut().unwrap().version.as_mut().unwrap();
        version.corosync = Some("3.1.7-pve3".into());
    }),
    Case("certificate-valid", Fresh, nothing, |fake, _| {
        std::fs::remove_file(fake.path("/etc/pve/nodes/pve1/pve-ssl.pem")).unwrap();
    }),
    Case("authkey-fits", Member, nothing, |fake, _| fake.write("/etc/corosync/authkey", [7; 100])),
    Case("no-qdevice", Member, nothing, |fake, _| {
        let device = "device {\n    model: net\n  }\n  provider: corosync_votequorum";
        fake.write("/etc/pve/corosync.conf", three().replace("provider: corosync_votequorum", device));
    }),
    Case("ha-quiet", Member, nothing, |fake, _| {
        fake.write("/etc/pve/nodes/pve1/lrm_status", r#"{"state":"active"}"#);
    }),
    Case("no-replication", Fresh, nothing, |fake, _| {
        fake.write("/etc/pve/replication.cfg", "local: 100-0\n\ttarget pve2\n");
    }),
    Case(
        "root-without-second-factor",
        Member,
        |_, wanted| wanted.method = Some("api".into()),
        |fake, _| fake.write("/etc/pve/priv/tfa.cfg", r#"{"users":{"root@pam":{"totp":[{"id":"x"}]}}}"#),
    ),
    Case("not-in-foreign-cluster", Member, nothing, |_, wanted| wanted.cluster_name = "prod".into()),
    Case(
        "no-name-clash",
        Fresh,
        |_, wanted| {
            cluster_of_pve2(wanted, &three().replace("pve1", "pve9").replace("10.88.0.11", "10.88.0.19"))
        },
        |_, wanted| cluster_of_pve2(wanted, &three().replace("10.88.0.11", "10.88.0.19")),
    ),
    Case("no-guests", Fresh, nothing, |fake, _| {
        fake.write("/etc/pve/.vmlist", r#"{"ids": {"100": {"node": "pve1", "type": "qemu", "version": 1}}}"#);
    }),
    Case("no-remnants", Fresh, nothing, |fake, _| fake.write("/etc/corosync/authkey", "key")),
    Case("corosync-not-running", Fresh, nothing, |fake, _| {
        fake.machine().units.get_mut("corosync.service").unwrap().active = "active".into();
    }),
];

fn nothing(_: &Fake, _: &mut Wanted) {}

fn three() -> String {
    golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve")
}

fn date_of_peer(fake: &Fake, date: &str) {
    let answer = format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n");
    fake.answer("openssl s_client -quiet -connect 10.88.0.12:8006", 0, &answer);
}

fn sshd(fake: &Fake, root_login: &str) {
    let text = format!("permitrootlogin {root_login}\nauthorizedkeysfile .ssh/authorized_keys\n");
    fake.answer("sshd -T -C user=root,host=localhost,addr=127.0.0.1", 0, &text);
}

fn link(wanted: &mut Wanted, node: usize, address: &str) {
    let link = crate::inventory::WantedLink { number: 0, address: address.into(), priority: None };
    wanted.nodes[node].links = Some(vec![link]);
}

fn address(fake: &Fake, interface: &str, address: &str) {
    let (interface, address) = (interface.to_owned(), address.to_owned());
    fake.machine().addresses.push(Address { interface, address, prefix: 24, mtu: Some(1500) });
}

fn bond(fake: &Fake, mode: &str) {
    fake.write("/sys/class/net/vmbr0/brif/bond0/state", "3\n");
    fake.write("/sys/class/net/bond0/bonding/mode", mode);
}

fn firewall(fake: &Fake, code: i32) {
    let unit = FakeUnit { active: "active".into(), enabled: "enabled".into() };
    fake.machine().units.insert("sddc-pve-firewall.service".into(), unit);
    fake.answer("iptables -w -C INPUT -j SDDC-PVE", code, "");
}

fn cluster_of_pve2(wanted: &mut Wanted, conf: &str) {
    let member = Fake::member("pve2", "10.88.0.12", conf);
    wanted.nodes[1].info = Some(Box::new(gather(&member.node(), TIMEOUT)));
    wanted.cluster_name = "oracle".into();
}

/// The node of a case before anything is done to it.
fn begin(place: Place) -> (Fake, Wanted) {
    let (fresh, mut wanted) = depth::among_known();
    match place {
        Fresh => (fresh, wanted),
        Member => {
            wanted.cluster_name = "oracle".into();
            (Fake::member("pve1", "10.88.0.11", &three()), wanted)
        }
    }
}

#[test]
fn each_check_passes_and_fails_and_names_the_remedy() {
    for Case(id, place, applies, fault) in CASES {
        let (fake, mut wanted) = begin(*place);
        let purpose = match place {
            Fresh => Purpose::Join,
            Member => Purpose::Member,
        };
        wanted.only = Some(vec![(*id).to_owned()]);
        let look = |wanted: &Wanted| check_for(&fake, wanted, purpose).remove(*id).unwrap();
        applies(&fake, &mut wanted);
        let report = look(&wanted);
        assert_eq!((report.status, report.hint.as_str()), (Status::Passed, ""), "{id}: {}", report.line());
        fault(&fake, &mut wanted);
        let report = look(&wanted);
        assert_eq!(report.status, Status::Failed, "{id}: {}", report.line());
        assert!(report.finding.len() > 8, "{id} does not say what it found: {:?}", report.finding);
        assert!(report.hint.len() > 8, "{id} names no remedy: {:?}", report.hint);
    }
}

#[test]
fn no_check_is_without_a_case() {
    let cases: Vec<&str> = CASES.iter().map(|case| case.0).collect();
    let checks: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(cases, checks);
}
