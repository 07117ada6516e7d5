//! The quorum device over fake machines: two members and a QNetd host, the promises of a changing module, its refusals.

use std::net::SocketAddr;

use pve::corosync_conf::CorosyncConf;
use pve::fake::{Fake, Port};
use serde_json::{Map, Value, json};

use super::*;
use crate::calling::{fields, invocation, tree};
use crate::forming::{assert_unchanged, checked, conf_with_second, killed_at, state};

const HOST: &str = "10.88.0.30";
const CONF: &str = "/etc/pve/corosync.conf";

fn call(fake: &Fake, args: Value) -> Map<String, Value> {
    fields(run(&fake.node(), &invocation(&MODULE, with_cluster(args))))
}

fn with_cluster(mut args: Value) -> Value {
    args["cluster_name"] = "oracle".into();
    args
}

fn open(fake: &Fake, host: &str) {
    let address: SocketAddr = format!("{host}:5403").parse().unwrap();
    fake.machine().ports.insert(address, Port::Open);
}

/// pve1 of two, which reaches the QNetd host.
fn member() -> Fake {
    let fake = Fake::member("pve1", "10.88.0.11", &conf_with_second());
    fake.machine().install_qdevice();
    open(&fake, HOST);
    fake
}

/// A machine of its own that is no Proxmox VE node.
fn qnetd() -> Fake {
    let fake = Fake::standalone("witness", HOST);
    fake.machine().install_qdevice();
    open(&fake, "127.0.0.1");
    fake.write("/var/lib/dpkg/status", "");
    fake.machine().units.remove("pve-cluster.service");
    std::fs::remove_dir_all(fake.path("/etc/pve")).unwrap();
    fake
}

/// What the role does, on one member: serving, requested, signed, present.
fn set_up(fake: &Fake, host: &Fake) -> Vec<Map<String, Value>> {
    let serving = call(host, json!({"state": "serving"}));
    let requested = call(fake, json!({"state": "requested", "host": HOST, "ca": serving["ca"]}));
    let mut args = json!({"state": "present", "host": HOST, "ca": serving["ca"]});
    if let Some(request) = requested.get("request") {
        let signed = call(host, json!({"state": "serving", "requests": {"pve1": request}}));
        args["certificate"] = signed["certificates"]["pve1"].clone();
    }
    vec![serving, requested, call(fake, args)]
}

fn conf(fake: &Fake) -> CorosyncConf {
    CorosyncConf::parse(&fake.machine().read(CONF)).unwrap()
}

#[test]
fn the_first_run_sets_up_and_the_second_finds_nothing_to_do() {
    let (fake, host) = (member(), qnetd());
    let version = conf(&fake).config_version().unwrap();
    let first = set_up(&fake, &host);
    assert!(first.iter().all(|result| result["changed"] == true), "{first:?}");
    assert_eq!((conf(&fake).qdevice_host(), conf(&fake).config_version()), (Some(HOST), Some(version + 1)));
    let quorumtool = pve::quorumtool::query(&fake.node(), Duration::from_secs(1)).unwrap().unwrap();
    assert_eq!((quorumtool.quorum.expected_votes, quorumtool.qdevice_votes), (3, Some(1)));
    assert_eq!(fake.machine().units["corosync-qdevice.service"].enabled, "enabled");
    assert_eq!(host.machine().units["corosync-qnetd.service"].active, "active");
    // The copy of the key that the tool makes for other members.
    assert!(!fake.node().exists("/etc/corosync/qdevice/net/nssdb/qdevice-net-node.p12"));
    let audit = fake.machine().read("/var/log/pve-cluster-audit.jsonl");
    assert!(audit.contains("\"method\":\"present\"") && audit.contains("\"succeeded\""), "{audit}");
    let after = (state(&fake), state(&host));
    let second = set_up(&fake, &host);
    assert!(second.iter().all(|result| result["changed"] == false), "{second:?}");
    assert_unchanged(&fake, &after.0);
    assert_unchanged(&host, &after.1);
}

#[test]
fn check_mode_shows_the_configuration_and_touches_nothing() {
    let (fake, host) = (member(), qnetd());
    let before = (tree(&fake.path("/")), tree(&host.path("/")));
    let check = |fake: &Fake, args: Value| {
        run(&fake.node(), &checked(invocation(&MODULE, with_cluster(args)), true)).unwrap()
    };
    assert!(check(&host, json!({"state": "serving"})).changed);
    assert!(check(&fake, json!({"state": "requested", "host": HOST})).changed);
    let outcome = check(&fake, json!({"state": "present", "host": HOST}));
    let after = outcome.diff[0].after.as_ref().unwrap().as_str().unwrap();
    assert!(outcome.changed && after.contains("host: 10.88.0.30"), "{after}");
    assert!((tree(&fake.path("/")), tree(&host.path("/"))) == before, "check mode wrote something");
}

#[test]
fn removal_leaves_what_was_before() {
    let (fake, host) = (member(), qnetd());
    let before = state(&fake);
    set_up(&fake, &host);
    let shown =
        run(&fake.node(), &checked(invocation(&MODULE, with_cluster(json!({"state": "absent"}))), true));
    assert!(shown.unwrap().changed && conf(&fake).qdevice_votes() == 1);
    let removed = call(&fake, json!({"state": "absent"}));
    assert_eq!(removed["changed"], true, "{removed:?}");
    assert_eq!((conf(&fake).qdevice_votes(), conf(&fake).expected_votes()), (0, 2));
    assert_eq!(fake.machine().units["corosync-qdevice.service"].active, "inactive");
    let mut after = state(&fake);
    // The configuration has another version by now, and nothing else.
    for path in [CONF, "/etc/corosync/corosync.conf"] {
        let version = |text: &String| text.replace("config_version: 4", "config_version: 2");
        let path = fake.path(path);
        after.entry(path).and_modify(|text| *text = version(text));
    }
    assert_eq!(after, before);
    assert_eq!(call(&fake, json!({"state": "absent"}))["changed"], false);
    assert_eq!(call(&host, json!({"state": "forgotten"}))["changed"], true);
    assert_eq!(call(&host, json!({"state": "forgotten"}))["changed"], false);
    assert!(host.node().exists("/etc/corosync/qnetd/nssdb/qnetd-cacert.crt"));
}

#[test]
fn killed_at_any_program_a_rerun_sets_up() {
    for number in 1.. {
        let (fake, host) = (member(), qnetd());
        let is_over = killed_while(&fake, number, || _ = set_up_quietly(&fake, &host));
        let rerun = set_up(&fake, &host);
        assert!(!rerun.iter().any(|result| result.contains_key("failed")), "program {number}: {rerun:?}");
        assert_eq!(conf(&fake).qdevice_votes(), 1, "program {number}");
        assert!(set_up(&fake, &host).iter().all(|result| result["changed"] == false), "program {number}");
        if is_over {
            assert!(number > 8, "only {number} programs were killed");
            break;
        }
    }
}

#[test]
fn killed_at_any_program_a_rerun_removes() {
    for number in 1.. {
        let (fake, host) = (member(), qnetd());
        set_up(&fake, &host);
        let args = || invocation(&MODULE, with_cluster(json!({"state": "absent"})));
        let is_over = killed_at(&fake, number, |node| run(node, &args())).is_some();
        let rerun = call(&fake, json!({"state": "absent"}));
        assert!(!rerun.contains_key("failed"), "program {number}: {rerun:?}");
        assert_eq!(
            (conf(&fake).qdevice_votes(), call(&fake, json!({"state": "absent"}))["changed"].clone()),
            (0, false.into())
        );
        if is_over {
            assert!(number > 1, "only {number} programs were killed");
            break;
        }
    }
}

#[test]
fn a_host_that_was_killed_while_it_made_its_authority_makes_it_anew() {
    for number in 1.. {
        let host = qnetd();
        let args = || invocation(&MODULE, with_cluster(json!({"state": "serving"})));
        let is_over = killed_at(&host, number, |node| run(node, &args())).is_some();
        if number == 2 {
            // The tool itself was cut off.
            std::fs::remove_file(host.path("/etc/corosync/qnetd/nssdb/QNetd Cert")).unwrap();
        }
        let rerun = call(&host, json!({"state": "serving"}));
        assert!(
            rerun["ca"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"),
            "{number}: {rerun:?}"
        );
        assert_eq!(call(&host, json!({"state": "serving"}))["changed"], false);
        if is_over {
            break;
        }
    }
}

#[test]
fn a_device_that_gives_no_vote_is_taken_back() {
    let (fake, host) = (member(), qnetd());
    let before = conf(&fake);
    fake.machine().qnetd_votes = false;
    let failed = set_up(&fake, &host).pop().unwrap();
    let msg = failed["msg"].as_str().unwrap();
    assert!(
        msg.contains("this member says A,NV,NMW of the device") && msg.contains("it was taken back"),
        "{msg}"
    );
    assert_eq!((conf(&fake).qdevice_votes(), conf(&fake).nodes()), (0, before.nodes()));
    assert_eq!(fake.machine().units["corosync-qdevice.service"].enabled, "disabled");
}

#[test]
fn the_device_stays_in_corosync_conf_while_another_member_uses_it() {
    let (fake, host) = (member(), qnetd());
    set_up(&fake, &host);
    fake.machine().devices.insert("pve2".to_owned());
    let first = call(&fake, json!({"state": "absent"}));
    assert!(
        first["msg"].as_str().unwrap().contains("until corosync-qdevice of pve2 is stopped too"),
        "{first:?}"
    );
    assert_eq!(conf(&fake).qdevice_votes(), 1);
    fake.machine().devices.clear();
    call(&fake, json!({"state": "absent"}));
    assert_eq!(conf(&fake).qdevice_votes(), 0);
}

#[test]
fn a_host_with_another_authority_gets_new_certificates() {
    let (fake, old) = (member(), qnetd());
    set_up(&fake, &old);
    let new = qnetd();
    new.machine().hostname = "replaced".to_owned();
    new.write("/proc/sys/kernel/hostname", "replaced\n");
    let results = set_up(&fake, &new);
    assert!(results.iter().all(|result| result["changed"] == true), "{results:?}");
    assert_eq!(conf(&fake).qdevice_votes(), 1);
}

#[test]
fn every_reason_against_it_is_told_before_anything_changes() {
    let refused = |change: &dyn Fn(&Fake), args: Value, id: &str| {
        let fake = member();
        change(&fake);
        let before = state(&fake);
        let result = call(&fake, args);
        let faults = result.get("faults").cloned().unwrap_or_default().to_string();
        assert!(result.contains_key("failed") && faults.contains(&format!("[{id}]")), "{id}: {result:?}");
        assert_unchanged(&fake, &before);
        let audit = fake.machine().read("/var/log/pve-cluster-audit.jsonl");
        assert!(audit.contains("refused"), "{audit}");
    };
    let asked = || json!({"state": "requested", "host": HOST});
    let rewrite = |fake: &Fake, change: &dyn Fn(&mut CorosyncConf)| {
        let mut changed = conf(fake);
        change(&mut changed);
        fake.machine().write(CONF, changed.render());
        fake.machine().write("/etc/corosync/corosync.conf", changed.render());
    };
    refused(&|fake| rewrite(fake, &|conf| _ = conf.remove_node("pve2")), asked(), "odd-votes");
    let heavier = |conf: &mut CorosyncConf| {
        let node = conf.node("pve2").unwrap();
        conf.put_node(&pve::corosync_conf::ConfNode { votes: 2, ..node });
    };
    refused(&|fake| rewrite(fake, &heavier), asked(), "odd-votes");
    let alone = |fake: &Fake| fake.machine().online = Some(std::collections::BTreeSet::new());
    refused(&alone, asked(), "nodes-offline");
    refused(&alone, asked(), "no-quorum");
    refused(&|fake| rewrite(fake, &|conf| conf.put_qdevice("10.88.0.31")), asked(), "other-device");
    refused(&|_| {}, json!({"state": "requested", "host": "10.88.0.12"}), "host-is-member");
    let silent =
        |fake: &Fake| _ = fake.machine().ports.insert(format!("{HOST}:5403").parse().unwrap(), Port::Silent);
    refused(&silent, asked(), "qnetd-unreachable");
    // Once QNetd serves, a refused connection is one too.
    let authority = call(&qnetd(), json!({"state": "serving"}))["ca"].clone();
    let closed = |fake: &Fake| fake.machine().ports.clear();
    refused(&closed, json!({"state": "requested", "host": HOST, "ca": authority}), "qnetd-unreachable");
    refused(&|fake| _ = fake.machine().units.remove("corosync-qdevice.service"), asked(), "not-installed");
    let configured = |fake: &Fake| rewrite(fake, &|conf| conf.put_qdevice(HOST));
    let halved = |fake: &Fake| {
        configured(fake);
        alone(fake);
    };
    refused(&halved, json!({"state": "absent"}), "quorum-forecast");
    let armed = |fake: &Fake| {
        configured(fake);
        fake.write("/etc/pve/nodes/pve1/lrm_status", r#"{"state":"active"}"#);
    };
    refused(&armed, json!({"state": "absent"}), "ha-active");
}

#[test]
fn before_qnetd_serves_a_host_that_is_there_is_enough() {
    let fake = member();
    fake.machine().ports.clear();
    let result = call(&fake, json!({"state": "requested", "host": HOST}));
    assert_eq!(result["changed"], false, "{result:?}");
}

#[test]
fn another_cluster_and_a_name_for_the_host_are_mistakes() {
    let fake = member();
    let result = call(&fake, json!({"state": "present", "host": "qnetd.example.com"}));
    assert!(result["msg"].as_str().unwrap().contains("is no IP address"), "{result:?}");
    fake.machine().write(CONF, conf_with_second().replace("oracle", "prod"));
    let result = call(&fake, json!({"state": "absent"}));
    assert!(result["msg"].as_str().unwrap().contains("this node is in cluster \"prod\""), "{result:?}");
}

/// The whole of it, whose calls may be killed.
fn set_up_quietly(fake: &Fake, host: &Fake) -> Option<()> {
    let ask = |fake: &Fake, args: Value| {
        run(&fake.node(), &invocation(&MODULE, with_cluster(args))).ok().map(|outcome| outcome.data)
    };
    let serving = ask(host, json!({"state": "serving"}))?;
    let requested = ask(fake, json!({"state": "requested", "host": HOST, "ca": serving["ca"]}))?;
    let signed = ask(host, json!({"state": "serving", "requests": {"pve1": requested["request"]}}))?;
    let certificate = &signed["certificates"]["pve1"];
    ask(fake, json!({"state": "present", "host": HOST, "ca": serving["ca"], "certificate": certificate}))
        .map(drop)
}

/// Kills the process of the member at its `number`th program; tells whether it got that far not.
fn killed_while(fake: &Fake, number: usize, work: impl FnOnce()) -> bool {
    killed_at(fake, number, |_| {
        work();
        Ok(Outcome::new(false, ""))
    })
    .is_some()
}
