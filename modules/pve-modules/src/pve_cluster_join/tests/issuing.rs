//! What becomes of a token when its issue, or what comes after it, is cut off or fails: nobody has it, so it goes.

use std::time::Duration;

use super::credentials::{issue, listed, member};
use super::*;
use crate::pve_join_credential;

const LOG: &str = pve::audit::LOG;
const LOCK: &str = "/etc/pve/priv/lock/sddc-pve-authorized-keys";
const KEYS: &str = "/etc/pve/priv/authorized_keys";

fn ids(member: &Fake) -> Vec<Value> {
    listed(member).into_iter().map(|token| token["id"].clone()).collect()
}

/// From when this program runs, the audit trail takes no line.
fn no_trail_from(member: &Fake, program: &'static str) {
    member.on(move |member, cmd| {
        let log = member.path(LOG);
        if cmd.line().starts_with(program) && !log.is_dir() {
            let _ = std::fs::remove_file(&log);
            std::fs::create_dir_all(&log).unwrap();
        }
        None
    });
}

#[test]
fn killed_at_any_program_an_issue_leaves_nothing_that_the_next_run_does_not_take_back() {
    let is_killed_with_a_token = |number: usize| {
        let member = member();
        let former = issue(&member, json!({}));
        let args = json!({"cluster_name": "oracle", "type": "token", "replaces": [former["id"]]});
        let killed = killed_at(&member, number, |node| {
            pve_join_credential::run(node, &invocation(&pve_join_credential::MODULE, args))
        });
        if killed.is_some() {
            return None;
        }
        let left: Vec<Value> = ids(&member).into_iter().filter(|id| *id != former["id"]).collect();
        let pruned = issue(&member, json!({"state": "pruned"}));
        assert_eq!(pruned["changed"], !left.is_empty(), "killed at {number}: {pruned:?}");
        for id in &left {
            assert!(pruned["warnings"].to_string().contains(id.as_str().unwrap()), "{pruned:?}");
            let revoked = format!("\"operation\":\"revoke_token\",\"method\":\"token\",\"credential\":{id}");
            assert!(member.machine().read(LOG).contains(&revoked), "{id} is not in the trail");
        }
        assert!(ids(&member).iter().all(|id| *id == former["id"]), "killed at {number}");
        assert!(member.node().list("/var/lib/sddc-pve/issuing").unwrap().is_empty());
        assert_eq!(issue(&member, json!({"state": "pruned"}))["changed"], false);
        Some(!left.is_empty())
    };
    let seen: Vec<bool> = (1..).map_while(is_killed_with_a_token).collect();
    assert!(seen.contains(&true) && seen.contains(&false), "killed before and after it was there: {seen:?}");
}

#[test]
fn one_that_is_being_issued_by_somebody_else_is_not_taken_for_left_over() {
    let member = member();
    let issued = issue(&member, json!({}));
    // As while its issue goes on in another process.
    let note = format!("/var/lib/sddc-pve/issuing/{}", issued["id"].as_str().unwrap());
    member.write(&note, "");
    let node = member.node();
    let held = node.lock(&note, pve::Deadline::after(&node, Duration::from_secs(1))).unwrap();
    assert_eq!(issue(&member, json!({"state": "pruned"}))["changed"], false);
    assert_eq!(ids(&member), [issued["id"].clone()]);
    drop(held);
    assert_eq!(issue(&member, json!({"state": "pruned"}))["changed"], true);
    assert!(ids(&member).is_empty());
}

#[test]
fn a_rotation_that_can_not_be_audited_leaves_the_former_token_alone() {
    let member = member();
    let former = issue(&member, json!({}));
    no_trail_from(&member, "ssh -V");
    let failed = issue(&member, json!({"replaces": [former["id"]]}));
    assert!(failed["msg"].as_str().unwrap().contains("was taken back, since nobody got it"), "{failed:?}");
    // That it went is not in the trail either.
    assert!(failed["warnings"].to_string().contains("not audited"), "{failed:?}");
    assert_eq!(ids(&member), [former["id"].clone()]);
    let keys = member.machine().read(KEYS);
    assert_eq!((keys.lines().count(), keys.contains(former["id"].as_str().unwrap())), (2, true), "{keys}");
    // Who does not insist gets it, and is told.
    let rotated = issue(&member, json!({"replaces": [former["id"]], "audit": "best_effort"}));
    assert!(rotated["warnings"].to_string().contains("not audited"), "{rotated:?}");
    assert_eq!(ids(&member), [rotated["id"].clone()]);
}

#[test]
fn a_rotation_that_can_not_revoke_leaves_what_it_issued_to_the_next_run() {
    let member = member();
    let former = issue(&member, json!({}));
    member.on(|member, cmd| {
        // Another member takes the lock when the new token is in place, and does not give it back.
        if cmd.program == "logger" {
            std::fs::create_dir_all(member.path(LOCK)).unwrap();
        }
        None
    });
    let failed = issue(&member, json!({"replaces": [former["id"]]}));
    let msg = failed["msg"].as_str().unwrap();
    assert!(msg.contains("could not be taken back") && msg.contains("the next run"), "{msg}");
    assert_eq!(ids(&member).len(), 2);
    assert!(!member.machine().read(LOG).contains("revoke_token"), "what is still there was not revoked");
    std::fs::remove_dir(member.path(LOCK)).unwrap();
    assert_eq!(issue(&member, json!({"state": "pruned"}))["changed"], true);
    assert_eq!(ids(&member), [former["id"].clone()]);
}

#[test]
fn a_join_that_ends_when_the_trail_takes_no_more_lines_says_so() {
    let (member, joiner) = (member(), joiner());
    super::credentials::connect(&joiner, &member);
    let issued = issue(&member, json!({}));
    no_trail_from(&member, "pvesh create");
    no_trail_from(&joiner, "systemctl start pve-cluster");
    let args = json!({"cluster_name": "oracle", "method": "token", "token": issued["join_string"],
                      "links": [{"number": 0, "address": "10.88.0.12"}]});
    let result = call(&joiner, args);
    assert!(!result.contains_key("failed"), "{result:?}");
    // That of the member comes with its answer.
    let warnings = result["warnings"].to_string();
    assert_eq!(warnings.matches("not audited, but for the line").count(), 2, "{warnings}");
}

#[test]
fn keys_of_others_stay_as_they_are_byte_by_byte() {
    let member = member();
    let others = b"ssh-rsa AAAAcluster root@pve1\n\n# J\xf6rg\nssh-rsa AAAA J\xf6rg\n".to_vec();
    std::fs::write(member.path(KEYS), &others).unwrap();
    let issued = issue(&member, json!({}));
    assert!(std::fs::read(member.path(KEYS)).unwrap().starts_with(&others));
    issue(&member, json!({"state": "absent", "id": issued["id"]}));
    assert_eq!(std::fs::read(member.path(KEYS)).unwrap(), others);
}

#[test]
fn a_token_that_is_rotated_serves_the_same_node_for_as_long_from_where_it_did() {
    let member = member();
    let bound = issue(&member, json!({"node": "pve9", "ttl": 600, "from": ["10.88.0.19"]}));
    let rotated = issue(&member, json!({"replaces": [bound["id"]]}));
    let of = |id: &Value| listed(&member).into_iter().find(|token| token["id"] == *id).unwrap();
    let line = || member.machine().read(KEYS).lines().last().unwrap().to_owned();
    assert_eq!(of(&rotated["id"])["node"], "pve9");
    assert!(line().contains("from=\"10.88.0.19\""), "{}", line());
    let life = |args: Value| issue(&member, args)["expires"].clone();
    assert_eq!(rotated["expires"], life(json!({"ttl": 600})));
    let other = json!({"replaces": [rotated["id"]], "node": "pve8", "ttl": 60, "from": ["10.88.0.18"]});
    let other = issue(&member, other);
    assert!(line().contains("from=\"10.88.0.18\""), "{}", line());
    assert_eq!((&of(&other["id"])["node"], &other["expires"]), (&json!("pve8"), &life(json!({"ttl": 60}))));
}
