//! Holds the fake node to what the genuine tools print.

use std::time::Duration;

use super::*;

const CONF: &str = "12-three-nodes/pve1-files/corosync-conf-pve";

fn run(fake: &Fake, line: &str) -> Output {
    let mut words = line.split(' ');
    let program = words.next().unwrap();
    fake.node().run(&Cmd::new(program, words, Duration::from_secs(1))).unwrap()
}

#[test]
fn corosync_starts_only_with_a_configuration() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    run(&fake, "systemctl start corosync");
    assert_eq!(run(&fake, "systemctl is-active corosync").stdout, "inactive\n");
    assert_eq!(run(&fake, "corosync-quorumtool -s").stderr, golden::stderr("01-standalone/quorumtool-s"));
    fake.write("/etc/corosync/corosync.conf", golden::file_in(CONF));
    run(&fake, "systemctl start corosync");
    assert!(run(&fake, "corosync-quorumtool -s").stdout.contains("Quorate:          Yes"));
}

#[test]
fn a_member_answers_as_the_real_one_did() {
    let fake = Fake::member("pve1", "10.88.0.11", &golden::file_in(CONF));
    let text = |case: &str| {
        let text = golden::stdout(case);
        text.lines()
            .filter(|line| !line.starts_with("Date:"))
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let own = run(&fake, "corosync-quorumtool -s").stdout;
    let own: Vec<&str> = own.lines().filter(|line| !line.starts_with("Date:")).map(str::trim_end).collect();
    assert_eq!(own.join("\n"), text("12-three-nodes/pve1/quorumtool-s"));
    assert_eq!(run(&fake, "corosync-cfgtool -s").stdout, golden::stdout("12-three-nodes/pve1/cfgtool-s"));
}

#[test]
fn quorum_is_lost_with_the_others_and_found_after_a_while() {
    let fake = Fake::member("pve1", "10.88.0.11", &golden::file_in(CONF));
    fake.machine().online = Some(Default::default());
    assert!(run(&fake, "corosync-quorumtool -s").stdout.contains("Quorate:          No"));
    fake.machine().online = None;
    fake.machine().settles = Duration::from_secs(3);
    run(&fake, "systemctl restart corosync");
    assert!(fake.machine().read("/etc/pve/.members").contains("\"quorate\": 0"));
    fake.node().sleep(Duration::from_secs(3));
    assert!(fake.machine().read("/etc/pve/.members").contains("\"quorate\": 1"));
}

#[test]
fn a_removed_database_comes_back_as_the_clusters() {
    let fake = Fake::standalone("pve2", "10.88.0.12");
    run(&fake, "systemctl stop pve-cluster");
    assert!(!fake.path("/etc/pve/.members").exists());
    std::fs::remove_file(fake.path("/var/lib/pve-cluster/config.db")).unwrap();
    let conf = golden::file_in(CONF);
    fake.write("/etc/corosync/corosync.conf", &conf);
    fake.machine().cluster_files.insert("/etc/pve/corosync.conf".into(), conf.into_bytes());
    run(&fake, "systemctl start corosync pve-cluster");
    assert!(fake.machine().read("/etc/pve/.members").contains("\"nodes\": 3"));
    assert!(!fake.path("/etc/pve/pve-root-ca.pem").exists());
}
