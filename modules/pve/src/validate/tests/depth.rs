//! What corosync 2 prints, certificates and clocks, replication, and what nodes leave that left.

use super::*;
use crate::verdict::Severity;

#[test]
fn what_corosync_2_prints_is_understood() {
    let fake = healthy("pve1", "10.88.0.11");
    let ring = |state: &str| {
        format!(
            "Printing ring status.\nLocal node ID 1\nRING ID 0\n\tid\t= 10.88.0.11\n\tstatus\t= {state}\n"
        )
    };
    fake.answer("corosync-cfgtool -s", 0, &ring("ring 0 active with no faults"));
    assert!(fatal(&fake, &expected(&ALL)).is_empty());
    fake.answer("corosync-cfgtool -s", 0, &ring("Marking ringid 0 interface 10.88.0.11 FAULTY"));
    assert!(fatal(&fake, &expected(&ALL)).contains_key("links-connected"));
}

#[test]
fn a_certificate_that_is_not_the_clusters_is_found() {
    fails(
        |fake, _| {
            let line = format!("openssl verify -CAfile {}", fake.path("/etc/pve/pve-root-ca.pem").display());
            fake.answer(&line, 2, "");
        },
        "certificates",
        "the certificate is not of this cluster's authority: ",
    );
    fails(
        |fake, _| fake.answer("openssl x509 -noout -checkend 0", 1, ""),
        "certificates",
        "the certificate ended on Nov 22 15:00:00 2028 GMT",
    );
}

#[test]
fn clocks_of_members_are_compared() {
    fails(
        |fake, _| {
            let answer = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 14:50:00 GMT\r\n\r\n";
            fake.answer("openssl s_client -quiet -connect 10.88.0.12:8006", 0, answer);
        },
        "clocks-agree",
        "the clock is at least 599.0 s ahead of that of pve2: tickets are refused from 300 s on",
    );
}

#[test]
fn what_a_member_wrote_must_be_read_on_the_others() {
    let (one, two) = (healthy("pve1", "10.88.0.11"), healthy("pve2", "10.88.0.12"));
    let view = look(&two.node(), &expected(&ALL), Duration::from_secs(1)).view.unwrap();
    let written = "/etc/pve/priv/sddc-pve-seen/pve2";
    let nonce = view.nonce.clone().unwrap();
    assert_eq!(two.machine().read(written).trim(), nonce);
    let comparing = Expected { views: Some(vec![view]), ..expected(&ALL) };
    assert_eq!(fatal(&one, &comparing)["replicated"], "what pve2 wrote is not read here");
    one.write(written, format!("{nonce}\n"));
    assert!(!fatal(&one, &comparing).contains_key("replicated"));
    // Another controller validates at the same moment.
    for _ in 0..3 {
        look(&two.node(), &expected(&ALL), Duration::from_secs(1)).view.unwrap();
    }
    one.write(written, two.machine().read(written));
    assert!(!fatal(&one, &comparing).contains_key("replicated"));
    assert!(!one.path("/etc/pve/priv/sddc-pve-seen/pve1").exists(), "a comparison writes nothing");
    // What was written is no difference between views.
    assert!(!fatal(&one, &comparing).contains_key("views-agree"));
}

#[test]
fn what_is_left_of_nodes_that_left_is_a_warning() {
    let fake = healthy("pve1", "10.88.0.11");
    let found = |fake: &Fake| {
        let look = look(&fake.node(), &expected(&ALL), Duration::from_secs(1));
        look.checks.into_iter().find(|check| check.id == "no-former-members").unwrap()
    };
    fake.write("/etc/pve/priv/authorized_keys", "ssh-rsa AAAA root@pve2\nssh-ed25519 BBBB me@desk\n");
    assert_eq!(found(&fake).status, crate::verdict::Status::Passed);
    fake.write("/etc/pve/priv/authorized_keys", "ssh-rsa AAAA root@pve2\nssh-rsa CCCC root@pve9\n");
    std::fs::create_dir_all(fake.path("/etc/pve/nodes/pve8")).unwrap();
    let report = found(&fake);
    assert_eq!((report.severity, report.is_unmet()), (Severity::Warning, true));
    assert_eq!(
        report.finding,
        "left of nodes that the cluster does not list: /etc/pve/nodes/pve8, a key of root@pve9 in \
         /etc/pve/priv/authorized_keys"
    );
}
