//! Every check of a cluster passes on a healthy member and fails by a fault of its own, with what was found and a remedy. A
//! check that is added without both is found here.

use super::*;
use crate::verdict::Status;

/// What is done to a member or to what is expected of its cluster.
type Change = fn(&Fake, &mut Expected);

/// A check and what makes it fail.
struct Case(&'static str, Change);

const CASES: &[Case] = &[
    Case("in-cluster", |_, expected| expected.cluster_name = "prod".into()),
    Case("quorate", |fake, _| fake.machine().online = Some(Default::default())),
    Case("qdevice-votes", |fake, _| {
        let mut conf = crate::corosync_conf::CorosyncConf::parse(&golden::file_in(THREE)).unwrap();
        conf.put_qdevice("10.88.0.30");
        for path in ["/etc/pve/corosync.conf", "/etc/corosync/corosync.conf"] {
            fake.write(path, conf.render());
        }
    }),
    Case("members-complete", |_, expected| expected.nodes.as_mut().unwrap().push("pve4".into())),
    Case("config-current", |fake, _| {
        fake.machine().online = Some(Default::default());
        let old = golden::file_in(THREE).replace("config_version: 3", "config_version: 2");
        fake.write("/etc/corosync/corosync.conf", old);
    }),
    Case("links-connected", |fake, _| _ = fake.machine().cut.insert((0, 2))),
    Case("pmxcfs-writable", |fake, _| {
        std::fs::remove_dir_all(fake.path("/etc/pve/priv/lock")).unwrap();
        fake.write("/etc/pve/priv/lock", "not a directory");
    }),
    Case("certificates", |fake, _| {
        std::fs::remove_file(fake.path("/etc/pve/nodes/pve2/pve-ssl.pem")).unwrap();
    }),
    Case("services-enabled", |fake, _| {
        fake.machine().units.get_mut("pveproxy.service").unwrap().enabled = "disabled".into();
    }),
    Case("no-remnants", |fake, _| {
        let journal = crate::operation::Journal {
            id: "1-join-7".into(),
            kind: crate::operation::Kind::Join,
            state: crate::operation::State::Running,
            ..Default::default()
        };
        journal.save(&fake.node()).unwrap();
    }),
    Case("no-former-members", |fake, _| {
        fake.write("/etc/pve/priv/authorized_keys", "ssh-rsa AAAA root@pve9\n");
    }),
    Case("time-synchronised", |fake, _| fake.machine().synchronised = Some(false)),
    Case("clocks-agree", |fake, _| date_of_peer(fake, "Sun, 22 Nov 2026 14:50:00 GMT")),
    Case("replicated", |fake, _| fake.write("/etc/pve/priv/sddc-pve-seen/pve3", "of yesterday\n")),
    Case("views-complete", |_, expected| _ = expected.views.as_mut().unwrap().pop()),
    Case("views-agree", |_, expected| expected.views.as_mut().unwrap()[0].config_version = 2),
];

fn date_of_peer(fake: &Fake, date: &str) {
    let answer = format!("HTTP/1.1 200 OK\r\nDate: {date}\r\n\r\n");
    fake.answer("openssl s_client -quiet -connect 10.88.0.12:8006", 0, &answer);
}

/// A healthy member with the views of the others, whose clocks answer.
fn begin() -> (Fake, Expected) {
    let fake = healthy("pve1", "10.88.0.11");
    date_of_peer(&fake, "Sun, 22 Nov 2026 15:00:00 GMT");
    let mut expected = expected(&ALL);
    let mut view = look(&fake.node(), &expected, Duration::from_secs(1)).view.unwrap();
    let mut views = Vec::new();
    for name in ["pve2", "pve3"] {
        view.node = name.into();
        view.nonce = Some(format!("of {name}"));
        fake.write(&format!("/etc/pve/priv/sddc-pve-seen/{name}"), format!("of {name}\n"));
        views.push(view.clone());
    }
    expected.views = Some(views);
    (fake, expected)
}

fn check(fake: &Fake, expected: &Expected, id: &str) -> CheckReport {
    let look = look(&fake.node(), expected, Duration::from_secs(1));
    look.checks.into_iter().find(|check| check.id == id).unwrap()
}

#[test]
fn each_check_passes_and_fails_and_names_the_remedy() {
    for Case(id, fault) in CASES {
        let (fake, mut expected) = begin();
        let report = check(&fake, &expected, id);
        assert_eq!((report.status, report.hint.as_str()), (Status::Passed, ""), "{id}: {}", report.line());
        fault(&fake, &mut expected);
        let report = check(&fake, &expected, id);
        assert_eq!(report.status, Status::Failed, "{id}: {}", report.line());
        assert!(report.finding.len() > 8, "{id} does not say what it found: {:?}", report.finding);
        assert!(report.hint.len() > 8, "{id} names no remedy: {:?}", report.hint);
    }
}

#[test]
fn no_check_is_without_a_case() {
    let cases: Vec<&str> = CASES.iter().map(|case| case.0).collect();
    let checks: Vec<&str> = CHECKS.iter().map(|(id, ..)| *id).collect();
    assert_eq!(cases, checks);
}
