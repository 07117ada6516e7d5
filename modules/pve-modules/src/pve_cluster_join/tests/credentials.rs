//! Joins with credentials, from the member that issues them to the joiner that uses them: two fake nodes, with the
//! joiner's ssh leading to the member's answer as sshd's forced command would.

use std::sync::Arc;
use std::time::Duration;

use pve::Output;
use pve::credential::answer;
use pve::credential::registry::{self, Standing};

use super::*;
use crate::{pve_join_credential, pve_join_credential_info};

/// pve1, alone in its cluster.
pub(super) fn member() -> Arc<Fake> {
    let fake = Fake::member("pve1", "10.88.0.11", &golden::file_in("05-single-node/files/corosync-conf-pve"));
    fake.write("/etc/pve/priv/authorized_keys", "ssh-rsa AAAAcluster root@pve1\n");
    Arc::new(fake)
}

pub(super) fn issue(member: &Fake, more: Value) -> Map<String, Value> {
    let mut args = json!({"cluster_name": "oracle", "type": "token"});
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let module = &pve_join_credential::MODULE;
    fields(pve_join_credential::run(&member.node(), &invocation(module, args)))
}

/// The joiner's ssh leads to the member, where sshd runs what the key's line says while the line is there.
pub(super) fn connect(joiner: &Fake, member: &Arc<Fake>) {
    let member = member.clone();
    joiner.on(move |joiner, cmd| {
        if cmd.program != "ssh" || cmd.args.first().is_none_or(|first| first == "-V") {
            return None;
        }
        let option = |name: &str| {
            let value =
                cmd.args.iter().find_map(|arg| arg.strip_prefix(&format!("{name}=")).map(str::to_owned));
            joiner.read(&value.unwrap())
        };
        assert!(option("IdentityFile").contains("OPENSSH PRIVATE KEY"));
        assert!(option("UserKnownHostsFile").starts_with("10.88.0.11 ssh-ed25519 AAAA"));
        let refused = |code: i32, stderr: &str| {
            Some(Ok(Output { code: Some(code), stdout: String::new(), stderr: stderr.to_owned() }))
        };
        let keys = member.machine().read("/etc/pve/priv/authorized_keys");
        let Some(line) = keys.lines().find(|line| line.starts_with("restrict,expiry-time=")) else {
            return refused(255, "root@10.88.0.11: Permission denied (publickey).");
        };
        let command = line.split('"').nth(3).unwrap();
        let id = command.strip_prefix("/usr/local/lib/sddc-pve/0.1.0/pve __token ").unwrap();
        let reply = answer::answer(&member.node(), id, cmd.input());
        let code = i32::from(!reply.ok);
        Some(Ok(Output { code: Some(code), stdout: format!("{}\n", json!(reply)), stderr: String::new() }))
    });
}

fn with_token(issued: &Map<String, Value>) -> Value {
    json!({"cluster_name": "oracle", "method": "token", "token": issued["join_string"],
           "links": [{"number": 0, "address": "10.88.0.12"}]})
}

pub(super) fn listed(fake: &Fake) -> Vec<Value> {
    let module = &pve_join_credential_info::MODULE;
    let found = fields(pve_join_credential_info::run(&fake.node(), &invocation(module, json!({}))));
    found["tokens"].as_array().unwrap().clone()
}

#[test]
fn a_token_lets_one_node_in_without_anybody_else() {
    let (member, joiner) = (member(), joiner());
    let issued = issue(&member, json!({}));
    connect(&joiner, &member);
    let keys = member.machine().read("/etc/pve/priv/authorized_keys");
    assert!(
        keys.starts_with("ssh-rsa AAAAcluster root@pve1\nrestrict,expiry-time=\"20261123150000Z\",command="),
        "{keys}"
    );
    assert_eq!(
        (&listed(&member)[0]["state"], &listed(&member)[0]["is_authorised"]),
        (&json!("unspent"), &json!(true))
    );

    let result = call(&joiner, with_token(&issued));
    assert_eq!(
        (&result["changed"], &result["members"]),
        (&json!(true), &json!(["pve1", "pve2"])),
        "{result:?}"
    );
    assert_eq!(
        (&listed(&member)[0]["state"], &listed(&member)[0]["spent_by"]),
        (&json!("spent"), &json!("pve2"))
    );
    assert_eq!(call(&joiner, with_token(&issued))["changed"], false);
    // Neither key file nor join key stay.
    assert!(!joiner.node().exists("/var/lib/sddc-pve/token-key.json"));
    assert_eq!(
        joiner.node().list("/run/sddc-pve").unwrap().iter().filter(|name| name.starts_with("token")).count(),
        0
    );

    let secret = issued["join_string"].as_str().unwrap().split('.').nth(2).unwrap();
    let written =
        records(&joiner) + &records(&member) + &joiner.calls().join("\n") + &format!("{result:?}") + &keys;
    assert!(!written.contains(secret));
    let audit = member.machine().read("/var/log/pve-cluster-audit.jsonl");
    let id = issued["id"].as_str().unwrap();
    for operation in ["issue_token", "spend_token", "admit"] {
        assert!(audit.contains(&format!("\"operation\":\"{operation}\"")), "{operation} in {audit}");
    }
    assert!(audit.contains(id) && joiner.machine().read("/var/log/pve-cluster-audit.jsonl").contains(id));
}

#[test]
fn a_token_that_is_not_good_for_this_node_is_refused_and_nothing_changes() {
    let refuse = |more: Value, change: &dyn Fn(&Fake, &Fake, &mut Value), reason: &str| {
        let (member, joiner) = (member(), joiner());
        connect(&joiner, &member);
        let issued = issue(&member, more);
        let mut args = with_token(&issued);
        change(&member, &joiner, &mut args);
        let before = (state(&member), state(&joiner));
        let result = call(&joiner, args);
        assert!(result["msg"].as_str().unwrap_or_default().contains(reason), "{reason}: {result:?}");
        assert!(result.contains_key("failed"));
        assert_unchanged(&member, &before.0);
        assert_unchanged(&joiner, &before.1);
    };
    let nothing = |_: &Fake, _: &Fake, _: &mut Value| {};
    let later = |fake: &Fake, seconds: u64| fake.machine().booted += Duration::from_secs(seconds);
    refuse(json!({"node": "pve9"}), &nothing, "the token is for node \"pve9\" only");
    refuse(
        json!({"ttl": 60}),
        &|member, joiner, _| {
            later(member, 400);
            later(joiner, 400);
        },
        "the token expired at",
    );
    // The joiner's clock is behind: the member knows better.
    refuse(json!({"ttl": 60}), &|member, _, _| later(member, 61), "expired at 2026-11-22T15:01:00Z");
    refuse(
        json!({}),
        &|_, _, args| args["cluster_name"] = json!("prod"),
        "is of cluster \"oracle\", not \"prod\"",
    );
    refuse(
        json!({}),
        &|member, _, _| {
            let id = listed(member)[0]["id"].clone();
            let revoked = issue(member, json!({"state": "absent", "id": id}));
            assert_eq!(revoked["changed"], true, "{revoked:?}");
        },
        "refuses the key",
    );
    refuse(
        json!({}),
        &|_, _, args| {
            let text = args["token"].as_str().unwrap();
            args["token"] = json!(text.replace(&text[30..32], "__"));
        },
        "altered or damaged",
    );
    refuse(
        json!({}),
        &|member, _, _| {
            let id = listed(member)[0]["id"].as_str().unwrap().to_owned();
            registry::spend(&member.node(), &id, "pve7", "AAAA").unwrap();
        },
        "was used already, by node \"pve7\"",
    );
    refuse(
        json!({}),
        &|member, _, _| {
            let id = listed(member)[0]["id"].as_str().unwrap().to_owned();
            std::fs::create_dir(member.path(&format!("{}/{id}/spent", registry::DIR))).unwrap();
        },
        "cut off: issue another",
    );
}

#[test]
fn of_twenty_that_use_one_token_at_once_exactly_one_wins() {
    let member = member();
    let issued = issue(&member, json!({}));
    let id = issued["id"].as_str().unwrap();
    let won: Vec<bool> = std::thread::scope(|threads| {
        let uses: Vec<_> = (0..20)
            .map(|number| {
                let node = member.node();
                threads.spawn(move || registry::spend(&node, id, &format!("pve{number}"), "AAAA").is_ok())
            })
            .collect();
        uses.into_iter().map(|used| used.join().unwrap()).collect()
    });
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let Standing::Spent(spender) = registry::standing(&member.node(), id).unwrap() else { panic!() };
    assert_eq!(spender.node, format!("pve{}", won.iter().position(|won| *won).unwrap()));
}

#[test]
fn a_lost_answer_is_given_again_to_the_same_node_without_a_write() {
    let member = member();
    let issued = issue(&member, json!({}));
    let id = issued["id"].as_str().unwrap();
    let joiner = joiner();
    let key = seal::request(&joiner.node(), "pve2").unwrap().public_key;
    let question = |node: &str, key: &str| {
        json!({"action": "join", "cluster_name": "oracle", "node": node, "public_key": key,
               "links": [{"number": 0, "address": "10.88.0.12"}]})
        .to_string()
    };
    let first = answer::answer(&member.node(), id, &question("pve2", &key));
    assert!(first.ok && first.material.is_some(), "{first:?}");
    let before = tree(&member.path("/"));
    let again = answer::answer(&member.node(), id, &question("pve2", &key));
    assert!(again.ok && again.material.is_some(), "{again:?}");
    assert_eq!(tree(&member.path("/")), before);
    let other = seal::sample_request("pve2").public_key;
    for (node, key) in [("pve3", &key), ("pve2", &other)] {
        let reply = answer::answer(&member.node(), id, &question(node, key));
        assert!(!reply.ok && reply.error.unwrap().contains("was used already, by node \"pve2\""));
    }
    for nonsense in ["", "id", "{\"action\": \"shell\"}"] {
        assert!(!answer::answer(&member.node(), id, nonsense).ok);
    }
}

#[test]
fn a_token_that_is_spent_while_a_second_one_asks_serves_the_first_only() {
    let member = member();
    let issued = issue(&member, json!({}));
    let id = issued["id"].as_str().unwrap();
    let keys = ["pve2", "pve9"].map(|name| seal::request(&joiner().node(), name).unwrap().public_key);
    let question = json!({"action": "join", "cluster_name": "oracle", "node": "pve2", "public_key": keys[1],
                          "links": [{"number": 0, "address": "10.88.0.12"}]});
    // Between the look at the token and the look at the cluster another machine of the same name has spent it.
    let spent = member.path(&format!("{}/{id}/spent", registry::DIR));
    let by = json!({"node": "pve2", "public_key": keys[0], "time": 1}).to_string();
    member.on(move |_, cmd| {
        if cmd.program == "corosync-quorumtool" && !spent.exists() {
            std::fs::create_dir(&spent).unwrap();
            std::fs::write(spent.join("by.json"), &by).unwrap();
        }
        None
    });
    let reply = answer::answer(&member.node(), id, &question.to_string());
    assert!(!reply.ok && reply.material.is_none(), "{reply:?}");
    assert!(reply.error.unwrap().contains("was used already, by node \"pve2\""));
    assert!(!member.machine().read("/etc/pve/corosync.conf").contains("pve2"));
}

#[test]
fn a_question_with_anything_but_names_and_addresses_is_refused() {
    let member = member();
    let issued = issue(&member, json!({}));
    let id = issued["id"].as_str().unwrap();
    let key = seal::sample_request("pve2").public_key;
    for (node, address) in [
        ("--force", "10.88.0.12"),
        ("pve2; id", "10.88.0.12"),
        (&"a".repeat(64), "10.88.0.12"),
        ("pve2", "localhost"),
        ("pve2", "10.88.0.12,priority=9"),
    ] {
        let question = json!({"action": "join", "cluster_name": "oracle", "node": node, "public_key": key,
                              "links": [{"number": 0, "address": address}]});
        let reply = answer::answer(&member.node(), id, &question.to_string());
        assert!(!reply.ok, "{node:?} at {address:?} was let in");
        assert_eq!(registry::standing(&member.node(), id).unwrap(), Standing::Unspent);
    }
}

#[test]
fn who_issued_a_token_says_whether_it_needs_an_audit_trail_on_the_member() {
    for (audit, is_let_in) in [("required", false), ("best_effort", true)] {
        let (member, joiner) = (member(), joiner());
        connect(&joiner, &member);
        let issued = issue(&member, json!({"audit": audit}));
        // A directory in its place: no line can be written.
        let log = member.path(pve::audit::LOG);
        std::fs::remove_file(&log).unwrap();
        std::fs::create_dir(&log).unwrap();
        let result = call(&joiner, with_token(&issued));
        assert_eq!(result.get("changed") == Some(&json!(true)), is_let_in, "{result:?}");
        if is_let_in {
            continue;
        }
        assert!(result["msg"].as_str().unwrap().contains("issued with audit=best_effort"), "{result:?}");
        // What takes a credential away is never kept from it.
        let revoke =
            json!({"cluster_name": "oracle", "type": "token", "state": "absent", "id": issued["id"]});
        let revoke = invocation(&pve_join_credential::MODULE, revoke);
        let revoked = pve_join_credential::run(&member.node(), &revoke).unwrap();
        assert!(revoked.warnings.concat().contains("not audited"), "{:?}", revoked.warnings);
    }
}

#[test]
fn a_token_join_that_fails_is_undone_on_both_sides_and_may_be_tried_again() {
    let (member, joiner) = (member(), joiner());
    connect(&joiner, &member);
    let issued = issue(&member, json!({"ttl": 3600}));
    let before = state(&joiner);
    joiner.machine().online = Some(std::collections::BTreeSet::new());
    let result = call(&joiner, with_token(&issued));
    assert_eq!((&result["failed"], &result["rolled_back"]), (&json!(true), &json!(true)), "{result:?}");
    assert!(result["msg"].as_str().unwrap().contains("the cluster does not list this node"), "{result:?}");
    assert_unchanged(&joiner, &before);
    assert!(!member.machine().read("/etc/pve/corosync.conf").contains("pve2"));
    joiner.machine().online = None;
    member.machine().online = None;
    let again = call(&joiner, with_token(&issued));
    assert_eq!(again["changed"], true, "{again:?}");
}

#[test]
fn killed_at_any_program_a_token_join_converges_with_the_same_token() {
    for number in 1.. {
        let (member, joiner) = (member(), joiner());
        connect(&joiner, &member);
        let issued = issue(&member, json!({}));
        let args = with_token(&issued);
        let ended = killed_at(&joiner, number, |node| run(node, &invocation(&MODULE, args.clone())));
        let rerun = call(&joiner, args.clone());
        assert_eq!(rerun["cluster"], "oracle", "killed at program {number}: {rerun:?}");
        assert_eq!(call(&joiner, args)["changed"], false);
        if ended.is_some() {
            assert!(number > 5, "only {number} programs were killed");
            break;
        }
    }
}

#[test]
fn check_mode_asks_and_spends_nothing() {
    let (member, joiner) = (member(), joiner());
    connect(&joiner, &member);
    let issued = issue(&member, json!({}));
    let before = (tree(&member.path("/")), tree(&joiner.path("/")));
    let result = fields(run(&joiner.node(), &checked(invocation(&MODULE, with_token(&issued)), true)));
    assert_eq!((&result["changed"], &result["cluster"]), (&json!(true), &json!("oracle")), "{result:?}");
    let module = &pve_join_credential::MODULE;
    for args in [
        json!({"cluster_name": "oracle", "type": "token"}),
        json!({"cluster_name": "oracle", "type": "token", "state": "absent", "id": issued["id"]}),
    ] {
        let result =
            fields(pve_join_credential::run(&member.node(), &checked(invocation(module, args), true)));
        assert_eq!(result["changed"], true, "{result:?}");
        assert!(!result.contains_key("join_string"));
    }
    assert_eq!((tree(&member.path("/")), tree(&joiner.path("/"))), before);
    for method in ["token", "ticket", "expect", "api"] {
        let args = json!({"cluster_name": "oracle", "method": method, "peer": "10.88.0.11",
                          "fingerprint": FINGERPRINT});
        let result = fields(run(&joiner.node(), &checked(invocation(&MODULE, args.clone()), true)));
        assert_eq!(result["changed"], true, "{result:?}");
        assert!(call(&joiner, args)["msg"].as_str().unwrap().contains("needs"));
    }
}

#[test]
fn tokens_are_rotated_revoked_and_pruned() {
    let member = member();
    let first = issue(&member, json!({"ttl": 60}));
    let second = issue(&member, json!({"replaces": [first["id"]], "ttl": 60}));
    assert_eq!(second["revoked"], json!([first["id"]]));
    let third = issue(&member, json!({}));
    assert_eq!(issue(&member, json!({"state": "pruned"}))["changed"], false);
    member.machine().booted += Duration::from_secs(61);
    let pruned = issue(&member, json!({"state": "pruned"}));
    assert_eq!(
        (&pruned["changed"], &pruned["revoked"]),
        (&json!(true), &json!([second["id"]])),
        "{pruned:?}"
    );
    let left = listed(&member);
    assert_eq!(left.iter().map(|token| &token["id"]).collect::<Vec<_>>(), [&third["id"]]);
    let keys = member.machine().read("/etc/pve/priv/authorized_keys");
    assert_eq!(keys.lines().count(), 2, "{keys}");
    assert_eq!(issue(&member, json!({"state": "absent", "id": first["id"]}))["changed"], false);
    for (args, reason) in [
        (json!({"ttl": 59}), "must be from 60 to 604800"),
        (json!({"ttl": 604_801}), "must be from 60 to 604800"),
        (json!({"type": "ticket", "ttl": 60}), "not for tickets"),
        (json!({"type": "ticket", "state": "pruned"}), "stored nowhere"),
        (json!({"type": "ticket"}), "only handed over sealed"),
        (json!({"cluster_name": "prod"}), "not \"prod\""),
        (json!({"state": "absent", "id": "../../x"}), "there is no token"),
        (json!({"replaces": ["k3x9mqp2ab"]}), "no token k3x9mqp2ab to be replaced, so none was issued"),
        (json!({"replaces": ["../../x"]}), "so none was issued"),
    ] {
        let msg = issue(&member, args)["msg"].as_str().unwrap().to_owned();
        assert!(msg.contains(reason), "{reason}: {msg}");
    }
}
