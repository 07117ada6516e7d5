//! Each further check fails by what it is there for, as error or as warning, names the remedy, and passes else.

use super::*;
use crate::facts::{Address, NodeFacts};

mod carried;

/// A node that others are known to: their facts are given with the wanted nodes.
pub(super) fn among_known() -> (Fake, Wanted) {
    let (fake, mut wanted) = healthy();
    for node in &mut wanted.nodes[1..] {
        let peer = Fake::standalone(&node.name, &node.address);
        peer.write("/etc/machine-id", format!("{}\n", crate::certificate::digest(node.name.as_bytes())));
        node.info = Some(Box::new(gather(&peer.node(), TIMEOUT)));
    }
    (fake, wanted)
}

fn peer(wanted: &mut Wanted) -> &mut NodeFacts {
    wanted.nodes[1].info.as_mut().unwrap()
}

/// What is done to a node among known ones, and what must come of one check: the others stay as they were.
fn told(spoil: impl FnOnce(&Fake, &mut Wanted), id: &str, severity: Severity, finding: &str) {
    told_for(Purpose::Join, spoil, id, severity, finding);
}

fn told_for(
    purpose: Purpose,
    spoil: impl FnOnce(&Fake, &mut Wanted),
    id: &str,
    severity: Severity,
    finding: &str,
) {
    let (fake, mut wanted) = among_known();
    let before = check_for(&fake, &wanted, purpose);
    assert!(!before[id].is_unmet(), "{id} fails on a healthy node: {}", before[id].line());
    spoil(&fake, &mut wanted);
    let reports = check_for(&fake, &wanted, purpose);
    let unmet: Vec<&str> = reports.values().filter(|r| r.is_unmet()).map(|r| r.id.as_str()).collect();
    assert_eq!(unmet, [id], "{:?}", reports[id]);
    assert_eq!((reports[id].severity, reports[id].finding.as_str()), (severity, finding));
    assert!(!reports[id].hint.is_empty());
}

/// The same, with the check passing once what is needed for it to apply is there.
fn passes(prepare: impl FnOnce(&Fake, &mut Wanted), id: &str, purpose: Purpose) {
    let (fake, mut wanted) = among_known();
    prepare(&fake, &mut wanted);
    let report = check_for(&fake, &wanted, purpose).remove(id).unwrap();
    assert_eq!(report.status, Status::Passed, "{}", report.line());
}

#[test]
fn disks() {
    let read_only = |fake: &Fake, _: &mut Wanted| {
        fake.write(
            "/proc/self/mounts",
            "/dev/mapper/pve-root / ext4 ro,relatime 0 0\ntmpfs /run tmpfs ro 0 0\n",
        );
    };
    told(read_only, "disks-writable", Severity::Error, "/ mounted read-only");
    let left = |kib: u64| {
        move |fake: &Fake, _: &mut Wanted| {
            let text = format!(
                "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 9 9 {kib} 99% /var/log\n"
            );
            fake.answer("df --portability --block-size=1024 -- / /var/lib/pve-cluster /var/log", 0, &text);
        }
    };
    told(left(50 << 10), "disk-space", Severity::Error, "50 MiB left on /var/log");
    told(left(500 << 10), "disk-space", Severity::Warning, "500 MiB left on /var/log");
}

#[test]
fn packages_and_repositories() {
    let half = |fake: &Fake, _: &mut Wanted| {
        let text = std::fs::read_to_string(fake.path("/var/lib/dpkg/status")).unwrap();
        fake.write(
            "/var/lib/dpkg/status",
            text + "Package: pve-firmware\nStatus: install ok half-configured\nVersion: 3\n",
        );
    };
    told(half, "no-pending-upgrade", Severity::Error, "packages are not configured: pve-firmware");
    let newer = |fake: &Fake, _: &mut Wanted| {
        fake.write(
            "/etc/apt/sources.list",
            "deb [signed-by=/x] http://deb.example.org/debian forky-updates main\n",
        );
    };
    told(
        newer,
        "no-pending-upgrade",
        Severity::Warning,
        "the repositories are those of forky, the node is trixie",
    );
    let enterprise = |fake: &Fake, _: &mut Wanted| {
        fake.write(
            "/etc/apt/sources.list.d/e.list",
            "deb https://enterprise.proxmox.com/debian/pve trixie pve-enterprise\n",
        );
    };
    let finding = "the enterprise repository is in use without a subscription: apt can't read it";
    told(enterprise, "subscription", Severity::Info, finding);
    passes(
        |fake, wanted| {
            enterprise(fake, wanted);
            fake.write("/etc/subscription", "pve1c-0000000000\n");
        },
        "subscription",
        Purpose::Join,
    );
    let off = |fake: &Fake, _: &mut Wanted| {
        let text = "Types: deb\nEnabled: no\nURIs: http://download.proxmox.com/debian/pve\nSuites: trixie\n";
        fake.write("/etc/apt/sources.list.d/pve.sources", text);
    };
    told(off, "repositories", Severity::Info, "none of 0 repositories is Proxmox VE's: it gets no updates");
    let manager = |_: &Fake, wanted: &mut Wanted| {
        peer(wanted).version.as_mut().unwrap().manager = "9.0.3".into();
    };
    told(manager, "package-versions-match", Severity::Warning, "pve-manager 9.1.10 here, 9.0.3 on pve2");
}

#[test]
fn time_sources() {
    let silent = |fake: &Fake, _: &mut Wanted| {
        fake.answer("chronyc -c sources", 0, "^,?,ntp.example.org,0,6,0,4294967295,0.0,0.0,0.0\n");
    };
    told(silent, "time-source-reachable", Severity::Warning, "no time source answers: ntp.example.org");
    let none = |fake: &Fake, _: &mut Wanted| fake.answer("chronyc -c sources", 0, "");
    told(none, "time-source-reachable", Severity::Warning, "chrony has no source");
}

#[test]
fn clocks_are_compared_by_the_dates_of_the_apis() {
    // The fake's clock stands at 2026-11-22 15:00:00 UTC.
    let answering = |date: &'static str| {
        move |fake: &Fake, _: &mut Wanted| {
            let answer = format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n");
            fake.answer("openssl s_client -quiet -connect 10.88.0.12:8006", 0, &answer);
        }
    };
    passes(answering("Sun, 22 Nov 2026 15:00:00 GMT"), "clock-agrees", Purpose::Join);
    let finding = "the clock is at least 9.0 s ahead of that of pve2";
    told(answering("Sun, 22 Nov 2026 14:59:50 GMT"), "clock-agrees", Severity::Warning, finding);
    let finding = "the clock is at least 600.0 s behind that of pve2: tickets are refused from 300 s on";
    told(answering("Sun, 22 Nov 2026 15:10:00 GMT"), "clock-agrees", Severity::Error, finding);
}

#[test]
fn identities() {
    let renamed = |fake: &Fake, _: &mut Wanted| fake.write("/etc/hostname", "old\n");
    let finding = "the host name is \"pve1\" now and will be \"old\" after a boot: /etc/hostname";
    told(renamed, "hostname-kept", Severity::Error, finding);
    let of_old = |fake: &Fake, _: &mut Wanted| {
        std::fs::remove_file(fake.path("/etc/pve/local")).unwrap();
        std::os::unix::fs::symlink("nodes/old", fake.path("/etc/pve/local")).unwrap();
    };
    let finding = "/etc/pve/local belongs to \"old\" and the node is \"pve1\"";
    told(of_old, "local-directory-own", Severity::Error, finding);
    let copied = |_: &Fake, wanted: &mut Wanted| {
        peer(wanted).machine_id = Some("0123456789abcdef0123456789abcdef".into());
    };
    let finding = "pve2 has the same /etc/machine-id: one is a copy of the other";
    told(copied, "machine-id-unique", Severity::Error, finding);
    let shared = |_: &Fake, wanted: &mut Wanted| {
        peer(wanted).addresses.push(Address {
            interface: "eno2".into(),
            address: "10.88.0.11".into(),
            prefix: 24,
            mtu: None,
        });
    };
    told(shared, "addresses-unique", Severity::Error, "10.88.0.11 is on eno2 of pve2 too");
    let twin = |_: &Fake, wanted: &mut Wanted| peer(wanted).node = "pve1".into();
    told(twin, "addresses-unique", Severity::Error, "pve2 calls itself \"pve1\" as well");
    let other_key = |fake: &Fake, _: &mut Wanted| {
        fake.write(
            "/root/.ssh/known_hosts",
            "pve9 ssh-ed25519 AAAA\npve2,10.88.0.12 ssh-ed25519 AAAAother\n",
        );
    };
    let finding = "/root/.ssh/known_hosts has another ssh-ed25519 key of pve2";
    told(other_key, "known-hosts-agree", Severity::Warning, finding);
}

#[test]
fn sshd_and_its_settings() {
    const LINE: &str = "sshd -T -C user=root,host=localhost,addr=127.0.0.1";
    let no = |fake: &Fake, _: &mut Wanted| fake.answer(LINE, 0, "permitrootlogin no\n");
    told(no, "sshd-lets-root-in", Severity::Warning, "sshd has PermitRootLogin no");
    for (text, setting) in [
        ("pubkeyauthentication no\n", "PubkeyAuthentication no"),
        ("allowusers admin\nallowusers ops@10.0.0.1\n", "AllowUsers admin ops"),
        ("denyusers root@10.0.0.1\n", "DenyUsers root"),
    ] {
        let shut =
            move |fake: &Fake, _: &mut Wanted| fake.answer(LINE, 0, &format!("permitrootlogin yes\n{text}"));
        told(shut, "sshd-lets-root-in", Severity::Warning, &format!("sshd has {setting}"));
    }
    let root_too = |fake: &Fake, _: &mut Wanted| {
        fake.answer(LINE, 0, "permitrootlogin yes\nallowusers admin\nallowusers root@10.88.0.0/24\n");
    };
    passes(root_too, "sshd-lets-root-in", Purpose::Join);
    let no_for_ssh = |fake: &Fake, wanted: &mut Wanted| {
        wanted.method = Some("ssh".into());
        no(fake, wanted);
    };
    told(no_for_ssh, "sshd-lets-root-in", Severity::Error, "sshd has PermitRootLogin no");
    let elsewhere = |fake: &Fake, _: &mut Wanted| {
        fake.answer(LINE, 0, "permitrootlogin yes\nauthorizedkeysfile /etc/keys/%u\n");
    };
    let finding = "sshd reads root's keys from /etc/keys/%u only, not from .ssh/authorized_keys";
    told(elsewhere, "sshd-lets-root-in", Severity::Warning, finding);
    passes(
        |fake, _| fake.answer(LINE, 0, "permitrootlogin yes\nauthorizedkeysfile .ssh/authorized_keys\n"),
        "sshd-lets-root-in",
        Purpose::Join,
    );
}

fn with_second_link(fake: &Fake, wanted: &mut Wanted, interface: &str, network: &str) {
    fake.write("/sys/class/net/eno2/flags", "0x1003\n");
    let address = |last: u8| format!("{network}.{last}");
    let own = Address { interface: interface.into(), address: address(11), prefix: 24, mtu: Some(1500) };
    fake.machine().addresses.push(own);
    for (index, node) in wanted.nodes.iter_mut().enumerate() {
        let second = address(11 + u8::try_from(index).unwrap());
        let link = |number, address: &str| crate::inventory::WantedLink {
            number,
            address: address.into(),
            priority: None,
        };
        node.links = Some(vec![link(0, &node.address.clone()), link(1, &second)]);
    }
}

#[test]
fn interfaces_and_networks_of_links() {
    let down = |fake: &Fake, wanted: &mut Wanted| {
        with_second_link(fake, wanted, "eno2", "10.89.0");
        fake.write("/sys/class/net/eno2/flags", "0x1002\n");
    };
    told(down, "link-interfaces", Severity::Error, "eno2 of link 1 is down");
    let same = |fake: &Fake, wanted: &mut Wanted| with_second_link(fake, wanted, "vmbr0", "10.89.0");
    told(same, "link-interfaces", Severity::Warning, "links 0 and 1 share interface vmbr0");
    let further = |interface: &'static str, address: &'static str| {
        move |fake: &Fake, _: &mut Wanted| {
            let (interface, address) = (interface.to_owned(), address.to_owned());
            fake.machine().addresses.push(Address { interface, address, prefix: 24, mtu: Some(1500) });
        }
    };
    let finding = "10.88.0.99 on vmbr0 is in 10.88.0.11/24 of link 0 too";
    told(further("vmbr0", "10.88.0.99"), "link-addresses", Severity::Warning, finding);
    let finding = "10.88.0.11 of link 0 is on eno9 too";
    told(further("eno9", "10.88.0.11"), "link-addresses", Severity::Warning, finding);
    passes(further("vmbr0", "10.77.0.11"), "link-addresses", Purpose::Join);
    let routed = |_: &Fake, wanted: &mut Wanted| {
        let link = crate::inventory::WantedLink { number: 0, address: "10.77.0.13".into(), priority: None };
        wanted.nodes[2].links = Some(vec![link]);
    };
    told(routed, "link-networks", Severity::Warning, "link 0 of pve3 is 10.77.0.13, not in 10.88.0.11/24");
    passes(|fake, wanted| with_second_link(fake, wanted, "eno2", "10.89.0"), "link-networks", Purpose::Join);
    let jumbo = |_: &Fake, wanted: &mut Wanted| peer(wanted).addresses[0].mtu = Some(9000);
    told(jumbo, "link-mtu", Severity::Warning, "link 0: 1500 here, 9000 on pve2");
}

#[test]
fn bonds_below_bridges_and_vlans() {
    let bond = |mode: &'static str, rate: &'static str| {
        move |fake: &Fake, _: &mut Wanted| {
            fake.write("/sys/class/net/vmbr0/brif/bond0.7/state", "3\n");
            fake.write("/sys/class/net/bond0.7/lower_bond0/x", "");
            fake.write("/sys/class/net/bond0/bonding/mode", mode);
            fake.write("/sys/class/net/bond0/bonding/lacp_rate", rate);
        }
    };
    told(
        bond("balance-rr 0\n", ""),
        "bonds-suit",
        Severity::Warning,
        "link 0 is on bond0 with mode balance-rr",
    );
    told(
        bond("802.3ad 4\n", "slow 0\n"),
        "bonds-suit",
        Severity::Warning,
        "link 0 is on bond0 with the slow LACP rate",
    );
    passes(bond("802.3ad 4\n", "fast 1\n"), "bonds-suit", Purpose::Join);
    passes(bond("active-backup 1\n", ""), "bonds-suit", Purpose::Join);
}

#[test]
fn ports_and_packet_filters() {
    let taken = |fake: &Fake, _: &mut Wanted| {
        let text = "  sl  local_address rem_address\n 1: 0B00580A:151D 00000000:0000 07\n 2: 00000000:0044 00000000:0000 07\n";
        fake.write("/proc/net/udp", text);
    };
    told(taken, "corosync-ports-free", Severity::Error, "UDP 5405 taken on this node");
    let (fake, mut wanted) = among_known();
    taken(&fake, &mut wanted);
    fake.write("/run/systemd/transient/sddc-pve-link-probe.service", "");
    assert_eq!(check_for(&fake, &wanted, Purpose::Join)["corosync-ports-free"].status, Status::Skipped);
    let closed = |fake: &Fake, _: &mut Wanted| {
        let rules = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -j ACCEPT\n-A INPUT -s 10.88.0.12 -p udp -j ACCEPT\nCOMMIT\n";
        fake.answer("iptables-save -t filter", 0, rules);
    };
    told(closed, "packet-filter-open", Severity::Error, "the packet filter drops udp 5405 from pve3");
    let nft = |fake: &Fake, _: &mut Wanted| {
        let text = r#"{"nftables": [{"chain": {"family": "inet", "table": "f", "name": "in", "type": "filter", "hook": "input", "policy": "accept"}},
          {"rule": {"family": "inet", "table": "f", "chain": "in", "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"range": [3000, 3200]}}},
            {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.88.0.13"}}, {"drop": null}]}}]}"#;
        fake.answer("nft --json list ruleset", 0, text);
    };
    told(nft, "packet-filter-open", Severity::Warning, "the packet filter drops tcp 3128 from pve3");
    let within = |fake: &Fake, _: &mut Wanted| {
        let rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.88.0.13 -p tcp --dport 60010:60040 -j DROP\nCOMMIT\n";
        fake.answer("iptables-save -t filter", 0, rules);
    };
    told(
        within,
        "packet-filter-open",
        Severity::Warning,
        "the packet filter drops tcp 60010-60040 from pve3",
    );

    let firewall = |fake: &Fake, wanted: &mut Wanted| {
        with_second_link(fake, wanted, "eno2", "10.89.0");
        fake.write(
            "/etc/pve/firewall/cluster.fw",
            "[OPTIONS]\n\nenable: 1\n\n[RULES]\n\nIN ACCEPT -p tcp -dport 22\n",
        );
    };
    let finding = "pve-firewall is on, and its own rule for corosync opens 5404 and 5405 only, not UDP 5406";
    told(firewall, "pve-firewall-open", Severity::Error, finding);
    let opened = |fake: &Fake, wanted: &mut Wanted| {
        firewall(fake, wanted);
        let text = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p udp -dport 5405:5412 # links\n";
        fake.write("/etc/pve/firewall/cluster.fw", text);
    };
    passes(opened, "pve-firewall-open", Purpose::Join);
    let other = |fake: &Fake, wanted: &mut Wanted| {
        firewall(fake, wanted);
        let text = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT --proto udp --dport 5407\n";
        fake.write("/etc/pve/firewall/cluster.fw", text);
    };
    told(other, "pve-firewall-open", Severity::Error, finding);
}

#[test]
fn what_is_skipped_is_told_and_a_guard_is_made_all_the_same() {
    let (fake, mut wanted) = among_known();
    fake.write("/etc/pve/.vmlist", r#"{"ids": {"100": {"node": "pve1", "type": "qemu", "version": 1}}}"#);
    fake.write("/etc/hostname", "old\n");
    wanted.skip = vec!["hostname-kept".into(), "no-guests".into()];
    let reports = check(&fake, &wanted);
    assert_eq!(fatal(&reports), ["no-guests"]);
    assert_eq!(
        (reports["hostname-kept"].status, reports["hostname-kept"].finding.as_str()),
        (Status::Skipped, "the task said to skip it")
    );
}

#[test]
fn a_tool_that_fails_is_not_taken_for_a_fault() {
    let (fake, wanted) = among_known();
    fake.answer("df --portability --block-size=1024 -- / /var/lib/pve-cluster /var/log", 1, "");
    fake.answer("iptables-save -t filter", 1, "");
    let reports = check(&fake, &wanted);
    assert_eq!(fatal(&reports), ["disk-space", "packet-filter-open"]);
    assert!(
        ["disk-space", "packet-filter-open"].iter().all(|id| reports[*id].status == Status::CouldNotCheck)
    );
}
