//! Each conflict is found, mended and not found again; nothing else is touched, in check mode nothing at all.

use std::fs;
use std::os::unix::fs::symlink;

use pve::fake::{Fake, golden};
use pve::{Output, base64};
use serde_json::{Map, Value, json};

use super::*;
use crate::calling::{fields, invocation};
use crate::forming::{assert_unchanged, checked, killed_at, records, state};

/// A host key of pve2, pve3, and one of nobody.
const KEYS: [&str; 3] = [
    "AAAAC3NzaC1lZDI1NTE5AAAAILuifwWjZ6DD9Tp0VPU59ant5B6/8093zPofdoTfb+JR",
    "AAAAC3NzaC1lZDI1NTE5AAAAICLVWHPjk1JdyQdmfQXwktDJzhXLQ30QV4N9U9N7zVoF",
    "AAAAC3NzaC1lZDI1NTE5AAAAIJNxVvpQaBZkViBHsX1VnKvm8NhgLOghiZiwIZI26E94",
];
const OWN_PEM: &str = "/etc/pve/nodes/pve1/pve-ssl.pem";
const OWN_KEY: &str = "/etc/pve/nodes/pve1/pve-ssl.key";
const SHARED_KEYS: &str = "/etc/pve/priv/authorized_keys";

fn pem(what: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64::encode(what.as_bytes()))
}

/// pve1 of three members, as PVE leaves it. openssl judges certificates and keys by what they say of themselves.
fn member() -> Fake {
    let fake =
        Fake::member("pve1", "10.88.0.11", &golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve"));
    fake.on(|machine, cmd| {
        let is = |what: &str| cmd.input().contains(&base64::encode(what.as_bytes()));
        let line = cmd.line();
        let refused = |stdout: &str, stderr: &str| {
            Some(Ok(Output { code: Some(1), stdout: stdout.to_owned(), stderr: stderr.to_owned() }))
        };
        let printed =
            |text: &str| Some(Ok(Output { code: Some(0), stdout: text.to_owned(), stderr: String::new() }));
        match cmd.program.as_str() {
            "systemctl" if line == "systemctl reload-or-restart pveproxy" => {
                machine.served = None;
                None
            }
            "openssl" if is("garbage") => refused("", "Could not find certificate"),
            "openssl" if is("ended") && line.contains("-checkend 0") => {
                refused("notAfter=Jan  1 00:00:00 2026 GMT\n", "")
            }
            "openssl" if is("soon") && line.contains("-checkend 2592000") => refused("", ""),
            "openssl" if is("foreign") && line.contains("verify") => {
                refused("", "error 20 at 0 depth lookup")
            }
            "openssl" if is("of another") && line.contains("-checkhost") => {
                printed("notAfter=x\nHostname pve1 does NOT match certificate\n")
            }
            "openssl" if line == "openssl pkey -pubout" && cmd.input() == "broken" => refused("", "no key"),
            "openssl" if line == "openssl pkey -pubout" && cmd.input() == "another" => printed("another"),
            _ => None,
        }
    });
    fake.write("/root/.ssh/id_rsa.pub", "ssh-rsa AAAAown root@pve1\n");
    fake.write(SHARED_KEYS, "ssh-rsa AAAAown root@pve1\nssh-rsa AAAAtwo root@pve2\n");
    symlink(SHARED_KEYS, fake.path("/root/.ssh/authorized_keys")).unwrap();
    let own = fake.machine().read("/etc/ssh/ssh_host_ed25519_key.pub");
    let own = own.rsplit_once(' ').unwrap().0;
    fake.write("/etc/pve/nodes/pve1/ssh_known_hosts", format!("pve1 {own}"));
    for (name, key) in [("pve2", KEYS[0]), ("pve3", KEYS[1])] {
        fake.write(&format!("/etc/pve/nodes/{name}/ssh_known_hosts"), format!("{name} ssh-ed25519 {key}"));
        fake.write(&format!("/etc/pve/nodes/{name}/pve-ssl.pem"), pem("garbage"));
        fake.write(&format!("/etc/pve/nodes/{name}/pve-ssl.key"), "broken");
    }
    symlink("/etc/pve/priv/known_hosts", fake.path("/etc/ssh/ssh_known_hosts")).unwrap();
    // The first program lets pmxcfs show what follows from the files.
    let _ = pve::gather::gather(&fake.node(), Duration::from_secs(1));
    fake
}

fn args() -> Value {
    let node = |name: &str, address: &str, key: Option<&str>| {
        let keys: Vec<Value> = key
            .iter()
            .map(|key| json!({"algorithm": "ssh-ed25519", "key": key, "fingerprint": "SHA256:x"}))
            .collect();
        json!({"name": name, "address": address, "info": {"node": name, "host_keys": keys}})
    };
    json!({"cluster_name": "oracle", "nodes": [
        node("pve1", "10.88.0.11", None),
        node("pve2", "10.88.0.12", Some(KEYS[0])),
        node("pve3", "10.88.0.13", Some(KEYS[1])),
    ]})
}

fn call(fake: &Fake, is_check: bool) -> Map<String, Value> {
    let mut result = run(&fake.node(), &checked(invocation(&MODULE, args()), is_check));
    let diff = result.as_mut().map(|outcome| std::mem::take(&mut outcome.diff)).unwrap_or_default();
    let mut fields = fields(result);
    let diff: Vec<Value> =
        diff.iter().map(|diff| json!([diff.before_header, diff.before, diff.after])).collect();
    fields.insert("diff".to_owned(), diff.into());
    fields
}

/// Check mode tells it and touches nothing; the run mends exactly it; the next run has nothing to do.
fn mends(spoil: impl FnOnce(&Fake), told: &[&str]) -> Fake {
    let fake = member();
    assert_eq!(call(&fake, false)["changed"], false, "a good member has nothing to be mended");
    spoil(&fake);
    let before = state(&fake);
    let planned = call(&fake, true);
    assert_eq!((&planned["changed"], &planned["mended"]), (&json!(true), &json!(told)), "{planned:?}");
    assert!(!planned["diff"].as_array().unwrap().is_empty());
    assert_unchanged(&fake, &before);
    let mended = call(&fake, false);
    assert_eq!((&mended["changed"], &mended["mended"]), (&json!(true), &json!(told)), "{mended:?}");
    let after = state(&fake);
    let again = call(&fake, false);
    assert_eq!(
        (&again["changed"], &again["mended"], &again["diff"]),
        (&json!(false), &json!([]), &json!([]))
    );
    assert_unchanged(&fake, &after);
    fake
}

#[test]
fn wrong_host_keys_are_replaced_in_every_file_and_nothing_else() {
    let text = |key: &str| {
        format!(
            "# kept\npve9 ssh-ed25519 {0}\n10.88.0.12 ssh-ed25519 {key} x\npve? ssh-ed25519 {0}\n",
            KEYS[2]
        )
    };
    for path in [
        "/etc/pve/priv/known_hosts",
        "/etc/ssh/ssh_known_hosts2",
        "/root/.ssh/known_hosts",
        "/root/.ssh/known_hosts2",
        "/etc/pve/nodes/pve3/ssh_known_hosts",
    ] {
        let line = format!("{path} line 3: another ssh-ed25519 key of pve2");
        let fake = mends(|fake| fake.write(path, text(KEYS[2])), &[&line]);
        assert_eq!(fake.machine().read(path), text(KEYS[0]));
        assert!(!fake.calls().iter().any(|call| call.starts_with("pvecm")), "PVE is not needed for it");
    }
}

#[test]
fn a_members_published_key_is_corrected_for_all() {
    let path = "/etc/pve/nodes/pve2/ssh_known_hosts";
    let line = format!("{path} line 1: another ssh-ed25519 key of pve2");
    let fake = mends(|fake| fake.write(path, format!("pve2 ssh-ed25519 {}", KEYS[2])), &[&line]);
    assert_eq!(fake.machine().read(path), format!("pve2 ssh-ed25519 {}", KEYS[0]));
}

#[test]
fn the_own_certificate_is_made_anew_for_each_fault_and_no_other() {
    let authority = "the certificate is not of this cluster's authority: error 20 at 0 depth lookup";
    for (what, told) in [
        ("garbage", "openssl can't read /etc/pve/nodes/pve1/pve-ssl.pem: Could not find certificate"),
        ("ended", "the certificate ended on Nov 22 15:00:00 2028 GMT"),
        ("soon", "the certificate ends on Nov 22 15:00:00 2028 GMT"),
        ("foreign", authority),
        ("of another", "the certificate is not one of \"pve1\""),
    ] {
        let fake = mends(
            |fake| {
                fake.write("/etc/pve/nodes/pve1/pveproxy-ssl.pem", pem("garbage"));
                fake.machine().served = Some(pve::certificate::fingerprint_of_pem(&pem("garbage")).unwrap());
                fake.write(OWN_PEM, pem(what));
                // What the API shows counts once the certificate is good.
                fs::remove_file(fake.path("/etc/pve/nodes/pve1/pveproxy-ssl.pem")).unwrap();
            },
            &[told],
        );
        assert!(!fake.machine().read(OWN_PEM).contains(&base64::encode(what.as_bytes())));
        assert_eq!(fake.machine().served, None, "the API was not reloaded");
        for other in ["pve2", "pve3"] {
            assert_eq!(fake.machine().read(&format!("/etc/pve/nodes/{other}/pve-ssl.pem")), pem("garbage"));
            assert_eq!(fake.machine().read(&format!("/etc/pve/nodes/{other}/pve-ssl.key")), "broken");
        }
        assert_eq!(fake.calls().iter().filter(|call| *call == "pvecm updatecerts --force").count(), 1);
        assert!(records(&fake).contains("\"operation\":\"mend_trust\""));
    }
}

#[test]
fn a_missing_certificate_and_a_key_of_no_use_are_mended() {
    let gone = |path: &'static str| move |fake: &Fake| fs::remove_file(fake.path(path)).unwrap();
    mends(gone(OWN_PEM), &["/etc/pve/nodes/pve1/pve-ssl.pem is missing"]);
    mends(gone(OWN_KEY), &["the certificate's key, pve-ssl.key, is missing"]);
    let broken = |fake: &Fake| fake.write(OWN_KEY, "broken");
    let fake = mends(broken, &["openssl can't read the certificate's key, pve-ssl.key"]);
    assert_eq!(fake.machine().read(OWN_KEY), "key");
}

#[test]
fn a_readable_key_of_another_certificate_stays_and_gets_one() {
    let fake = member();
    fake.write(OWN_KEY, "another");
    // PVE signs the key that is there.
    fake.on(|machine, cmd| {
        (cmd.line() == "pvecm updatecerts --force").then(|| machine.write("/signed", "yes"));
        let is_signed = machine.path("/signed").exists() && cmd.line().contains("-checkhost");
        let told = "notAfter=x\nanother\n".to_owned();
        is_signed.then(|| Ok(Output { code: Some(0), stdout: told, stderr: String::new() }))
    });
    assert_eq!(call(&fake, false)["mended"], json!(["the certificate is of another key than pve-ssl.key"]));
    assert_eq!(fake.machine().read(OWN_KEY), "another");
    assert_eq!(call(&fake, false)["changed"], false);
}

#[test]
fn an_api_that_shows_another_certificate_is_reloaded_and_no_certificate_made() {
    let shown = pve::certificate::fingerprint_of_pem(&pem("before")).unwrap();
    let told = format!("the API shows {shown}, which is not the node's certificate");
    let fake = mends(|fake| fake.machine().served = Some(shown.clone()), &[&told]);
    assert!(!fake.calls().iter().any(|call| call.starts_with("pvecm")));
}

#[test]
fn a_custom_certificate_is_never_touched() {
    let fake = member();
    let custom = "/etc/pve/nodes/pve1/pveproxy-ssl.pem";
    fake.write(custom, pem("ended"));
    fake.machine().served = Some(pve::certificate::fingerprint_of_pem(&pem("ended")).unwrap());
    assert_eq!(call(&fake, false)["changed"], false);
    assert_eq!(fake.machine().read(custom), pem("ended"));
}

#[test]
fn roots_keys_become_what_pve_makes_them_and_nobody_is_locked_out() {
    let link = "/root/.ssh/authorized_keys";
    let told = "/root/.ssh/authorized_keys is a file of its own, not a link to /etc/pve/priv/authorized_keys";
    let fake = mends(
        |fake| {
            fs::remove_file(fake.path(link)).unwrap();
            fake.write(link, "ssh-ed25519 AAAAdesk me@desk\nssh-rsa AAAAtwo root@pve2\n");
        },
        &[told],
    );
    assert_eq!(fs::read_link(fake.path(link)).unwrap().to_str(), Some(SHARED_KEYS));
    assert!(fake.machine().read("/root/.ssh/authorized_keys.before-sddc-pve").contains("AAAAtwo"));
    // Nor do its own become the cluster's, as PVE would have it.
    assert!(!fake.machine().read(SHARED_KEYS).contains("AAAAdesk"), "a key of one node is root on all");
    // The cluster's keys don't become this node's own: they would outlive the nodes that have them.
    assert_eq!(fake.machine().read("/root/.ssh/authorized_keys2"), "ssh-ed25519 AAAAdesk me@desk\n");
    let told = "root's key of pve1 is not in /etc/pve/priv/authorized_keys";
    let fake = mends(|fake| fake.write(SHARED_KEYS, "ssh-rsa AAAAtwo root@pve2\n"), &[told]);
    assert_eq!(fake.machine().read(SHARED_KEYS), "ssh-rsa AAAAtwo root@pve2\nssh-rsa AAAAown root@pve1\n");
    assert!(!fake.path("/root/.ssh/authorized_keys2").exists(), "a link has no keys of this node alone");
    let path = "/etc/pve/nodes/pve1/ssh_known_hosts";
    mends(|fake| fs::remove_file(fake.path(path)).unwrap(), &[&format!("{path} is missing")]);
}

#[test]
fn keys_of_nodes_that_left_and_of_an_earlier_installation_are_told_and_stay() {
    let fake = member();
    let keys = "ssh-rsa AAAAown root@pve1\nssh-rsa AAAAold root@pve1\nssh-rsa AAAAnine root@pve9\n";
    fake.write(SHARED_KEYS, keys);
    let result = call(&fake, false);
    assert_eq!(result["changed"], false);
    let notes: Vec<&str> = result["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(notes[0].contains("another key of root@pve1, as of an earlier installation"), "{notes:?}");
    assert!(notes[1].contains("a key of root@pve9, a node that the cluster does not list"), "{notes:?}");
    assert_eq!(fake.machine().read(SHARED_KEYS), keys);
}

#[test]
fn without_quorum_or_with_facts_of_another_node_nothing_is_done() {
    let fake = member();
    fake.write(OWN_PEM, pem("ended"));
    fake.machine().online = Some(std::collections::BTreeSet::new());
    let before = state(&fake);
    let result = call(&fake, false);
    let msg = result["msg"].as_str().unwrap();
    assert!(
        msg.contains("has no quorum on \"pve1\" (1 of 3 votes)") && msg.contains("bring its nodes up"),
        "{msg}"
    );
    assert_unchanged(&fake, &before);
    fake.machine().online = None;
    let mut args = args();
    args["nodes"][1]["info"]["node"] = json!("pve3");
    let result = fields(run(&fake.node(), &invocation(&MODULE, args)));
    assert!(
        result["msg"].as_str().unwrap().contains("given for node \"pve2\" are those of \"pve3\""),
        "{result:?}"
    );
    let strange = json!({"cluster_name": "other", "nodes": []});
    let result = fields(run(&fake.node(), &invocation(&MODULE, strange)));
    assert!(
        result["msg"].as_str().unwrap().contains("is in cluster \"oracle\", not \"other\""),
        "{result:?}"
    );
}

#[test]
fn a_member_whose_facts_are_not_given_is_left_as_it_is() {
    let fake = member();
    let wrong = format!("pve2 ssh-ed25519 {}\n", KEYS[2]);
    fake.write("/root/.ssh/known_hosts", &wrong);
    let args = json!({"cluster_name": "oracle", "nodes": [{"name": "pve2", "address": "10.88.0.12"}]});
    let result = fields(run(&fake.node(), &invocation(&MODULE, args)));
    assert_eq!((&result["changed"], &result["unverified"]), (&json!(false), &json!(["pve2", "pve3"])));
    assert_eq!(fake.machine().read("/root/.ssh/known_hosts"), wrong);
}

#[test]
fn what_pve_does_not_mend_is_a_failure_that_says_so() {
    let fake = member();
    fake.write(OWN_PEM, pem("ended"));
    fake.answer("pvecm updatecerts --force", 0, "(re)generate node files\n");
    let result = call(&fake, false);
    let msg = result["msg"].as_str().unwrap();
    assert!(msg.starts_with("\"pvecm updatecerts --force\" did not mend it: the certificate ended"), "{msg}");
    assert!(records(&fake).contains("\"result\":\"failed\""));
    fs::remove_file(fake.path("/etc/pve/pve-root-ca.pem")).unwrap();
    let result = call(&fake, false);
    assert!(
        result["msg"].as_str().unwrap().contains("pve-root-ca.pem, is missing: a new authority makes"),
        "{result:?}"
    );
}

#[test]
fn an_authority_that_ends_soon_makes_no_longer_certificates() {
    let ends = |fake: &Fake, days: u32| {
        let line = format!("openssl x509 -noout -enddate -checkend {}", days * 86400);
        fake.answer(&line, 1, "notAfter=Dec  1 00:00:00 2026 GMT\n");
    };
    let fake = member();
    fake.write(OWN_PEM, pem("soon"));
    ends(&fake, 33);
    let result = call(&fake, false);
    assert_eq!(result["changed"], false, "{result:?}");
    let note = result["notes"][0].as_str().unwrap();
    assert!(
        note.contains("ends on Nov 22")
            && note.contains("authority, /etc/pve/pve-root-ca.pem, ends on Dec  1"),
        "{note}"
    );
    fake.write(OWN_PEM, pem("ended"));
    ends(&fake, 14);
    let msg = call(&fake, false)["msg"].as_str().unwrap().to_owned();
    assert!(msg.contains("ends on Dec  1 00:00:00 2026 GMT, and PVE makes no certificate"), "{msg}");
    assert!(!fake.calls().iter().any(|call| call.starts_with("pvecm")));
}

#[test]
fn killed_at_any_program_the_next_run_ends_well() {
    for number in 1.. {
        let fake = member();
        fake.write(OWN_PEM, pem("ended"));
        fake.write(OWN_KEY, "broken");
        fake.write("/root/.ssh/known_hosts", format!("pve2 ssh-ed25519 {}\n", KEYS[2]));
        fs::remove_file(fake.path("/root/.ssh/authorized_keys")).unwrap();
        fake.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAAdesk me@desk\n");
        fake.machine().served = Some(pve::certificate::fingerprint_of_pem(&pem("before")).unwrap());
        let ended = killed_at(&fake, number, |node| run(node, &invocation(&MODULE, args())));
        // pmxcfs gives a dead process's lock back after 120 s.
        let _ = fs::remove_dir(fake.path("/etc/pve/priv/lock/sddc-pve-trust"));
        let result = ended.clone().unwrap_or_else(|| call(&fake, false));
        assert_eq!(result.get("failed"), None, "killed before program {number}: {result:?}");
        assert_eq!(call(&fake, false)["changed"], false, "killed before program {number}");
        assert_eq!(fake.machine().read("/root/.ssh/authorized_keys2"), "ssh-ed25519 AAAAdesk me@desk\n");
        if ended.is_some() {
            assert!(number > 10, "nothing was killed");
            return;
        }
    }
}

#[test]
fn a_line_that_could_not_be_written_is_told() {
    for (audit, is_failed) in [("required", true), ("best_effort", false)] {
        let fake = member();
        fs::remove_file(fake.path(OWN_PEM)).unwrap();
        // The trail can be written when the mending begins, and no longer when it ends.
        fake.on(|machine, cmd| {
            let log = machine.path(pve::audit::LOG);
            let is_time = cmd.program == "pvecm" && log.is_file();
            is_time.then(|| fs::remove_file(&log).and_then(|()| fs::create_dir(&log)).unwrap());
            None
        });
        let mut args = args();
        args["audit"] = audit.into();
        match run(&fake.node(), &invocation(&MODULE, args)) {
            Ok(outcome) => assert!(!is_failed && outcome.warnings.concat().contains("not audited")),
            Err(failure) => assert!(is_failed && failure.msg.contains("audit"), "{}", failure.msg),
        }
    }
}
