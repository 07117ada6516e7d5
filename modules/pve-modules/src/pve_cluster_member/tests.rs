//! Admitting and withdrawing over a fake member: the four promises of a changing module, the quorum gate, and that
//! the authkey leaves it sealed only.

use pve::audit;
use pve::corosync_conf::{ConfNode, CorosyncConf};
use pve::fake::{Fake, golden};
use pve::operation::Journal;
use pve::seal::{self, Material};
use serde_json::json;

use super::*;
use crate::calling::{fields, invocation, tree};
use crate::forming::{assert_unchanged, checked, conf_with_second, fresh, killed_at, records, state};

fn single() -> Fake {
    Fake::member("pve1", "10.88.0.11", &golden::file_in("05-single-node/files/corosync-conf-pve"))
}

fn three() -> Fake {
    Fake::member("pve1", "10.88.0.11", &golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve"))
}

fn asked(name: &str, last: u8, key: &str) -> Value {
    json!({"name": name, "links": [{"number": 0, "address": format!("10.88.0.{last}")}], "public_key": key})
}

fn call(fake: &Fake, nodes: Value) -> Map<String, Value> {
    fields(run(&fake.node(), &invocation(&MODULE, json!({"cluster_name": "oracle", "nodes": nodes}))))
}

fn withdraw(fake: &Fake, name: &str, is_stopped: bool) -> Map<String, Value> {
    let nodes = json!([{"name": name, "proven_stopped": is_stopped}]);
    fields(run(
        &fake.node(),
        &invocation(
            &MODULE,
            json!({"cluster_name": "oracle", "state": "absent", "only_pending": true, "nodes": nodes}),
        ),
    ))
}

fn sample_key() -> String {
    seal::sample_request("x").public_key
}

fn conf(fake: &Fake) -> CorosyncConf {
    CorosyncConf::parse(&fake.machine().read("/etc/pve/corosync.conf")).unwrap()
}

#[test]
fn a_node_is_admitted_once_and_gets_material_whenever_it_makes_a_key() {
    let (fake, joiner) = (single(), fresh("pve2", "10.88.0.12"));
    let key = seal::request(&joiner.node(), "pve2").unwrap().public_key;
    let first = call(&fake, json!([asked("pve2", 12, &key)]));
    assert_eq!((&first["changed"], &first["admitted"]), (&json!(true), &json!(["pve2"])), "{first:?}");
    let sealed = first["join_material"]["pve2"].as_str().unwrap();
    let material = Material::open(&joiner.node(), "pve2", sealed).unwrap();
    assert_eq!((material.config_version, material.authkey.expose()), (2, &[7; 256][..]));
    assert!(material.corosync_conf.contains("ring0_addr: 10.88.0.12"));

    // Its corosync is not up yet: the cluster of one waits for it without quorum.
    let after = state(&fake);
    let second = call(&fake, json!([asked("pve2", 12, &key)]));
    assert_eq!((&second["changed"], &second["pending"]), (&json!(false), &json!(["pve2"])), "{second:?}");
    assert!(
        Material::open(&joiner.node(), "pve2", second["join_material"]["pve2"].as_str().unwrap()).is_ok()
    );
    assert_unchanged(&fake, &after);

    fake.machine().online = None;
    let third = call(&fake, json!([asked("pve2", 12, &key)]));
    assert_eq!((&third["changed"], &third["online"]), (&json!(false), &json!(["pve2"])), "{third:?}");
    // It may have been cut off with its corosync up, and begin anew.
    assert!(Material::open(&joiner.node(), "pve2", third["join_material"]["pve2"].as_str().unwrap()).is_ok());
    let without = call(&fake, json!([{"name": "pve2", "address": "10.88.0.12"}]));
    assert_eq!(
        (&without["online"], &without["join_material"]),
        (&json!(["pve2"]), &json!({})),
        "{without:?}"
    );
}

#[test]
fn check_mode_shows_the_new_corosync_conf_and_touches_nothing() {
    let fake = single();
    let before = tree(&fake.path("/"));
    let nodes = json!([asked("pve2", 12, &sample_key())]);
    let args = invocation(&MODULE, json!({"cluster_name": "oracle", "nodes": nodes}));
    let outcome = run(&fake.node(), &checked(args, true)).unwrap();
    assert!(outcome.changed);
    assert_eq!(outcome.diff[0].after.as_ref().unwrap().as_str().unwrap(), conf_with_second());
    assert_eq!(tree(&fake.path("/")), before);
}

#[test]
fn killed_at_any_program_a_rerun_converges() {
    for number in 1.. {
        let fake = three();
        let nodes = json!([asked("pve4", 14, &sample_key()), asked("pve5", 15, &sample_key())]);
        let args = || invocation(&MODULE, json!({"cluster_name": "oracle", "nodes": nodes}));
        let ended = killed_at(&fake, number, |node| run(node, &args()));
        // One was listed and the other not: the first must come up before the second is admitted.
        let rerun = fields(run(&fake.node(), &args()));
        if rerun.get("failed").is_some() {
            assert!(rerun["msg"].as_str().unwrap().contains("pve4 listed and not online"), "{rerun:?}");
            fake.machine().online = None;
            assert!(fields(run(&fake.node(), &args())).get("failed").is_none());
        }
        assert!(conf(&fake).node("pve4").is_some() && conf(&fake).node("pve5").is_some());
        if ended.is_some() {
            assert!(number > 2, "only {number} programs were killed");
            break;
        }
    }
}

#[test]
fn cut_off_while_it_is_said_how_it_ended_it_is_said_once_more_and_nothing_else() {
    let nodes = json!([asked("pve4", 14, &sample_key())]);
    let args = || invocation(&MODULE, json!({"cluster_name": "oracle", "nodes": nodes}));
    let killed = |number| {
        let fake = three();
        killed_at(&fake, number, |node| run(node, &args()));
        fake
    };
    // The line is in the file, and its copy about to go to the system's journal.
    let fake = (1..).map(killed).find(|fake| !fake.machine().read(audit::LOG).is_empty()).unwrap();
    let after = conf(&fake).render();
    let second = fields(run(&fake.node(), &args()));
    assert!(second["warnings"].to_string().contains("it was finished first"), "{second:?}");
    assert_eq!(conf(&fake).render(), after);
    let log = fake.machine().read(audit::LOG);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, again] = &lines[..] else { panic!("{log}") };
    assert_eq!((&first["id"], &first["result"]), (&again["id"], &json!("succeeded")));
    assert_eq!(again["result"], "succeeded");
    assert!(audit::trail::read(&fake.node()).unwrap().ok);
    let journals = Journal::all(&fake.node()).unwrap();
    assert!(journals.iter().all(|journal| !journal.marks.contains_key("concluded")), "{journals:?}");
}

#[test]
fn the_lock_that_a_killed_pvesh_holds_is_waited_for() {
    let fake = single();
    let mut tries = 0;
    fake.on(move |_, cmd| {
        tries += usize::from(cmd.program == "pvesh");
        let stderr = "cfs-lock 'file-corosync_conf' error: got lock request timeout\n".to_owned();
        let refused = pve::Output { code: Some(255), stderr, ..pve::Output::default() };
        (cmd.program == "pvesh" && tries < 3).then_some(Ok(refused))
    });
    let result = call(&fake, json!([asked("pve2", 12, &sample_key())]));
    assert_eq!(result["admitted"], json!(["pve2"]), "{result:?}");
    assert_eq!(fake.calls().iter().filter(|line| line.starts_with("pvesh")).count(), 3);
}

#[test]
fn what_would_break_the_cluster_is_refused_before_pvesh_is_asked() {
    let key = sample_key();
    let refused = |fake: &Fake, nodes: Value, reason: &str| {
        let before = state(fake);
        let result = call(fake, nodes);
        assert!(result["msg"].as_str().unwrap().contains(reason), "{reason}: {result:?}");
        assert_unchanged(fake, &before);
        assert!(!fake.calls().iter().any(|line| line.starts_with("pvesh")), "{reason}");
    };
    let mut taken_id = asked("pve4", 14, &key);
    taken_id["nodeid"] = json!(3);
    refused(&three(), json!([taken_id]), "node id 3 of \"pve4\" is taken by \"pve3\"");
    refused(&three(), json!([asked("pve4", 12, &key)]), "is that of link 0 of \"pve2\"");
    refused(&three(), json!([asked("pve2", 99, &key)]), "is a member already, with links");
    refused(&three(), json!([asked("PVE2", 14, &key)]), "node name \"PVE2\" is taken");
    let mut two_links = asked("pve4", 14, &key);
    two_links["links"].as_array_mut().unwrap().push(json!({"number": 1, "address": "10.89.0.14"}));
    refused(&three(), json!([two_links]), "all nodes need the same links");
    let mut no_key = asked("pve4", 14, &key);
    no_key["public_key"] = Value::Null;
    refused(&three(), json!([no_key]), "has no public_key");
    let wave = json!([asked("pve4", 14, &key), asked("pve5", 15, &key), asked("pve6", 16, &key)]);
    refused(&three(), wave, "admitting 3 votes beside 3 online of 3 expected");
    let wave = json!([asked("pve2", 12, &key), asked("pve3", 13, &key)]);
    refused(&single(), wave, "admitting 2 votes beside 1 online of 1 expected");
    let one_down = three();
    one_down.machine().online = Some(["pve2".to_owned()].into());
    refused(&one_down, json!([asked("pve4", 14, &key)]), "pve3 listed and not online");
    let alone = three();
    alone.machine().online = Some([].into());
    refused(&alone, json!([asked("pve4", 14, &key)]), "no quorum");
    let foreign = fresh("pve9", "10.88.0.19");
    refused(&foreign, json!([asked("pve4", 14, &key)]), "it is in no cluster");
}

#[test]
fn the_authkey_is_neither_in_the_result_nor_written_down() {
    let fake = single();
    let shown = format!("{:?}", call(&fake, json!([asked("pve2", 12, &sample_key())])));
    let written = records(&fake) + &fake.calls().join("\n") + &shown;
    for secret in ["SECRET-AUTHKEY", "\u{7}\u{7}\u{7}", "BwcHBwcH"] {
        assert!(!written.contains(secret), "{secret:?} in {written}");
    }
}

#[test]
fn the_second_node_that_never_came_up_goes_only_with_journal_and_proof() {
    let fake = single();
    call(&fake, json!([asked("pve2", 12, &sample_key())]));
    let before = state(&fake);
    let without_proof = withdraw(&fake, "pve2", false);
    let msg = without_proof["msg"].as_str().unwrap();
    assert!(
        msg.contains("not proven") && msg.contains("\"pvecm expected 1\" and \"pvecm delnode pve2\""),
        "{msg}"
    );
    assert_unchanged(&fake, &before);
    let done = withdraw(&fake, "pve2", true);
    assert_eq!((&done["changed"], &done["removed"]), (&json!(true), &json!(["pve2"])), "{done:?}");
    assert!(conf(&fake).node("pve2").is_none() && !fake.path("/etc/pve/nodes/pve2").exists());
    assert_eq!(withdraw(&fake, "pve2", true)["changed"], false);
}

#[test]
fn a_node_that_comes_up_while_the_lock_is_waited_for_stays() {
    let fake = single();
    call(&fake, json!([asked("pve2", 12, &sample_key())]));
    fake.on(|machine, cmd| {
        if cmd.line() == "pvecm expected 1" {
            machine.online = None;
        }
        None
    });
    let result = withdraw(&fake, "pve2", true);
    assert!(result["msg"].as_str().unwrap().contains("\"pve2\" is online"), "{result:?}");
    assert!(conf(&fake).node("pve2").is_some() && !fake.calls().iter().any(|line| line.contains("delnode")));
}

#[test]
fn without_the_journal_of_the_admission_a_person_must_decide() {
    let fake = Fake::member("pve1", "10.88.0.11", &conf_with_second());
    fake.machine().online = Some([].into());
    let result = withdraw(&fake, "pve2", true);
    assert!(result["msg"].as_str().unwrap().contains("no record of this node shows"), "{result:?}");
    assert!(!fake.calls().iter().any(|line| line.starts_with("pvecm")));
    // Unless the joiner's own journal says that it was to be the second.
    let nodes = json!([{"name": "pve2", "proven_stopped": true, "nodes_before": 1}]);
    let args = json!({"cluster_name": "oracle", "state": "absent", "nodes": nodes});
    let result = fields(run(&fake.node(), &invocation(&MODULE, args)));
    assert_eq!(result["removed"], json!(["pve2"]), "{result:?}");
}

#[test]
fn a_node_that_is_or_was_a_member_is_no_pending_one() {
    let fake = three();
    assert!(withdraw(&fake, "pve3", true)["msg"].as_str().unwrap().contains("is online"));
    fake.write("/etc/pve/nodes/pve3/pve-ssl.pem", "certificate");
    fake.machine().online = Some(["pve2".to_owned()].into());
    let result = withdraw(&fake, "pve3", true);
    assert!(result["msg"].as_str().unwrap().contains("has been a member"), "{result:?}");
    assert_eq!(withdraw(&fake, "pve1", true)["refusals"], json!(["was-member"]));
    assert!(conf(&fake).node("pve3").is_some());
    assert!(Journal::all(&fake.node()).unwrap().is_empty());
}

#[test]
fn a_pending_node_of_a_quorate_cluster_goes_without_expecting_less() {
    let mut conf =
        CorosyncConf::parse(&golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve")).unwrap();
    let links = [(0, "10.88.0.14".to_owned())].into();
    conf.put_node(&ConfNode { name: "pve4".into(), nodeid: 4, votes: 1, links });
    conf.increase_version();
    let fake = Fake::member("pve1", "10.88.0.11", &conf.render());
    fake.machine().online = Some(["pve2".to_owned(), "pve3".to_owned()].into());
    let result = withdraw(&fake, "pve4", false);
    assert_eq!(result["removed"], json!(["pve4"]), "{result:?}");
    assert!(!fake.calls().contains(&"pvecm expected 1".to_owned()));
}

#[test]
fn nothing_is_withdrawn_while_another_node_of_the_wave_may_be_starting() {
    let mut conf =
        CorosyncConf::parse(&golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve")).unwrap();
    for (number, last) in [(4, 14), (5, 15)] {
        let links = [(0, format!("10.88.0.{last}"))].into();
        conf.put_node(&ConfNode { name: format!("pve{number}"), nodeid: number, votes: 1, links });
        conf.increase_version();
    }
    let fake = Fake::member("pve1", "10.88.0.11", &conf.render());
    fake.machine().online = Some(["pve2".to_owned(), "pve3".to_owned()].into());
    let before = state(&fake);
    let result = withdraw(&fake, "pve4", true);
    assert!(result["msg"].as_str().unwrap().contains("pve5 listed, never online"), "{result:?}");
    assert_unchanged(&fake, &before);
    let nodes = json!([{"name": "pve4", "proven_stopped": true}, {"name": "pve5", "proven_stopped": true}]);
    let args = json!({"cluster_name": "oracle", "state": "absent", "nodes": nodes});
    let result = fields(run(&fake.node(), &invocation(&MODULE, args)));
    assert_eq!(result["removed"], json!(["pve4", "pve5"]), "{result:?}");
}

/// 07-add-errors/nodeid-taken: `pvecm delnode` would have corosync kill this very node.
#[test]
fn a_node_with_the_id_of_this_one_goes_and_nobody_is_killed() {
    for has_been_up in [false, true] {
        let fake = single();
        let mut twice = conf(&fake);
        let links = [(0, "10.88.0.12".to_owned())].into();
        twice.put_node(&ConfNode { name: "pve2".into(), nodeid: 1, votes: 1, links });
        let version = twice.increase_version();
        fake.write("/etc/pve/corosync.conf", twice.render());
        if has_been_up {
            fake.write("/etc/pve/nodes/pve2/pve-ssl.pem", "certificate");
        }
        let nodes = json!([{"name": "pve2", "proven_stopped": true}]);
        let args = json!({"cluster_name": "oracle", "state": "absent", "nodes": nodes});
        let result = fields(run(&fake.node(), &invocation(&MODULE, args)));
        assert_eq!(result["removed"], json!(["pve2"]), "{result:?}");
        let left = conf(&fake);
        assert!(left.node("pve2").is_none() && left.node("pve1").is_some());
        assert_eq!(left.config_version(), Some(version + 1));
        assert!(fake.machine().is_active("corosync.service"), "corosync of this node was killed");
    }
}
