//! What a node carries into the cluster: certificate, key, quorum device, high availability, second factors.

use super::*;

#[test]
fn certificates() {
    let answer = |line: &'static str, code: i32, text: &'static str| {
        move |fake: &Fake, _: &mut Wanted| fake.answer(line, code, text)
    };
    let ended = answer("openssl x509 -noout -checkend 0", 1, "Certificate will expire\n");
    told(ended, "certificate-valid", Severity::Error, "the certificate ended on Nov 22 15:00:00 2028 GMT");
    let soon = answer("openssl x509 -noout -checkend 2592000", 1, "Certificate will expire\n");
    told(soon, "certificate-valid", Severity::Warning, "the certificate ends on Nov 22 15:00:00 2028 GMT");
    let other = answer(
        "openssl x509 -noout -enddate -checkhost pve1 -pubkey",
        0,
        "notAfter=x\nHostname pve1 does NOT match certificate\n",
    );
    told(other, "certificate-valid", Severity::Error, "the certificate is not one of \"pve1\"");
    let foreign = |fake: &Fake, _: &mut Wanted| {
        let line = format!("openssl verify -CAfile {}", fake.path("/etc/pve/pve-root-ca.pem").display());
        fake.answer(&line, 2, "");
    };
    let finding = "the certificate is not of this cluster's authority: ";
    told(foreign, "certificate-valid", Severity::Error, finding);
    let other_key = |fake: &Fake, _: &mut Wanted| {
        fake.write("/etc/pve/nodes/pve1/pve-ssl.key", "key");
        fake.answer(
            "openssl pkey -pubout",
            0,
            "-----BEGIN PUBLIC KEY-----\nother\n-----END PUBLIC KEY-----\n",
        );
    };
    let finding = "the certificate is of another key than pve-ssl.key";
    told(other_key, "certificate-valid", Severity::Error, finding);
    let gone = |fake: &Fake, _: &mut Wanted| {
        std::fs::remove_file(fake.path("/etc/pve/nodes/pve1/pve-ssl.pem")).unwrap();
    };
    let finding = "/etc/pve/nodes/pve1/pve-ssl.pem is missing";
    told(gone, "certificate-valid", Severity::Error, finding);
}

#[test]
fn what_a_member_or_a_joiner_carries_along() {
    let conf = golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
    let member = |spoil: &dyn Fn(&Fake)| {
        let fake = Fake::member("pve1", "10.88.0.11", &conf);
        spoil(&fake);
        let mut wanted = wanted(&["pve1"]);
        wanted.cluster_name = "oracle".into();
        wanted.method = Some("api".into());
        check_for(&fake, &wanted, Purpose::Member)
    };
    let id_of = |spoil: &dyn Fn(&Fake), id: &str| {
        assert!(!member(&|_| {})[id].is_unmet(), "{id} fails on a healthy member");
        let report = member(spoil).remove(id).unwrap();
        assert!(report.is_unmet() && !report.hint.is_empty(), "{}", report.line());
        report.finding
    };
    let short = id_of(&|fake| fake.write("/etc/corosync/authkey", [7; 100]), "authkey-fits");
    assert_eq!(short, "/etc/corosync/authkey has 100 bytes, corosync takes 128 to 4096");
    let device = |fake: &Fake| {
        let text = conf.replace(
            "provider: corosync_votequorum",
            "device {\n    model: net\n  }\n  provider: corosync_votequorum",
        );
        fake.write("/etc/pve/corosync.conf", text);
    };
    assert!(id_of(&device, "no-qdevice").starts_with("the cluster has a quorum device"));
    let active = |fake: &Fake| fake.write("/etc/pve/nodes/pve1/lrm_status", r#"{"state":"active"}"#);
    assert!(id_of(&active, "ha-quiet").starts_with("high availability is active"));
    let second =
        |fake: &Fake| fake.write("/etc/pve/priv/tfa.cfg", r#"{"users":{"root@pam":{"totp":[{"id":"x"}]}}}"#);
    let finding = "root@pam has a second factor (totp), which method api can't give";
    assert_eq!(id_of(&second, "root-without-second-factor"), finding);
    let of_realm = |fake: &Fake| fake.write("/etc/pve/domains.cfg", "pam: pam\n\ttfa type=oath\n");
    let finding = "root@pam has a second factor (realm pam), which method api can't give";
    assert_eq!(id_of(&of_realm, "root-without-second-factor"), finding);
    let damaged = |fake: &Fake| fake.write("/etc/pve/priv/tfa.cfg", "{");
    let report = &member(&damaged)["root-without-second-factor"];
    assert_eq!(report.status, Status::CouldNotCheck);
    assert!(report.finding.contains("cannot read \"/etc/pve/priv/tfa.cfg\""), "{}", report.finding);

    let resources =
        |fake: &Fake, _: &mut Wanted| fake.write("/etc/pve/ha/resources.cfg", "vm: 100\n\tstate started\n");
    let finding = "high availability is set up for vm:100: joining replaces that by the cluster's";
    told(resources, "ha-quiet", Severity::Warning, finding);
    let jobs =
        |fake: &Fake, _: &mut Wanted| fake.write("/etc/pve/replication.cfg", "local: 100-0\n\ttarget pve2\n");
    let finding = "replication is set up (local: 100-0): joining replaces that by the cluster's";
    told(jobs, "no-replication", Severity::Warning, finding);
}
