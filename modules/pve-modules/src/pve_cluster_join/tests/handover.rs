//! Credentials on their way to the joiner: sealed to its key by a member, or in a file that came with the node.

use std::time::Duration;

use super::credentials::{connect, issue, member};
use super::*;

/// A key of the joiner and a ticket sealed to it.
fn ticket(member: &Fake, joiner: &Fake, kind: &str) -> Map<String, Value> {
    let asked = call(joiner, json!({"cluster_name": "oracle", "state": "requested"}));
    issue(member, json!({"type": kind, "node": "pve2", "public_key": asked["join_request"]["public_key"]}))
}

fn with_credential(method: &str, issued: &Map<String, Value>) -> Value {
    let mut args = json!({"cluster_name": "oracle", "method": method, "credential": issued["credential"],
                          "links": [{"number": 0, "address": "10.88.0.12"}]});
    if method != "token" {
        args["peer"] = json!("10.88.0.11");
        args["fingerprint"] = json!(FINGERPRINT);
    }
    args
}

#[test]
fn a_ticket_goes_sealed_to_the_joiner_and_to_pvecm_on_standard_input_only() {
    let (member, joiner) = (member(), api_joiner());
    let issued = ticket(&member, &joiner, "ticket");
    let result = call(&joiner, with_credential("ticket", &issued));
    assert_eq!(
        (&result["changed"], &result["members"]),
        (&json!(true), &json!(["pve1", "pve2"])),
        "{result:?}"
    );
    assert_eq!(joiner.machine().passwords, ["PVE:root@pam:6A61F1E0::TICKET-SECRET==\n"]);
    let written =
        records(&joiner) + &records(&member) + &joiner.calls().join("\n") + &format!("{result:?}{issued:?}");
    assert!(!written.contains("TICKET-SECRET"), "{written}");
    let audit = joiner.machine().read("/var/log/pve-cluster-audit.jsonl");
    assert!(audit.contains("\"method\":\"ticket\""), "{audit}");
    assert_eq!(call(&joiner, with_credential("ticket", &issued))["changed"], false);
}

#[test]
fn a_credential_opens_for_its_node_kind_cluster_and_time_only() {
    let (member, joiner) = (member(), api_joiner());
    let refused = |args: Value, reason: &str| {
        let result = call(&joiner, args);
        assert!(result["msg"].as_str().unwrap_or_default().contains(reason), "{reason}: {result:?}");
    };
    let issued = ticket(&member, &joiner, "ticket");
    refused(with_credential("token", &issued), "is a ticket, not a token");
    let mut other = with_credential("ticket", &issued);
    other["cluster_name"] = json!("prod");
    refused(other, "is of cluster \"oracle\", not \"prod\"");
    let token = ticket(&member, &joiner, "token");
    refused(with_credential("ticket", &token), "is a token, not a ticket");
    let asked = call(&joiner, json!({"cluster_name": "oracle", "state": "requested"}));
    let foreign = issue(
        &member,
        json!({"type": "ticket", "node": "pve3", "public_key": asked["join_request"]["public_key"]}),
    );
    refused(with_credential("ticket", &foreign), "is for node \"pve3\" and this is \"pve2\"");
    let stale = issue(
        &member,
        json!({"type": "token", "node": "pve2", "ttl": 60, "public_key": asked["join_request"]["public_key"]}),
    );
    joiner.machine().booted += Duration::from_secs(500);
    refused(with_credential("token", &stale), "the credential expired");
    connect(&joiner, &member);
    joiner.machine().booted -= Duration::from_secs(500);
    assert_eq!(call(&joiner, with_credential("token", &token))["changed"], true);
}

#[test]
fn a_node_joins_with_a_file_and_no_controller() {
    let (member, joiner) = (member(), joiner());
    connect(&joiner, &member);
    let issued = issue(&member, json!({}));
    let file = "/etc/sddc-pve/join-token";
    joiner.write(file, format!("{}\n", issued["join_string"].as_str().unwrap()));
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let line =
        format!("/usr/local/bin/pve pve_cluster_join --token-file {file} --link0 10.88.0.12 --timeout 90");
    let read = |line: &str| token_file::arguments(&joiner.node(), &words(line));
    let error = read(&line).unwrap().unwrap_err();
    assert!(error.contains("can be read by others than root"), "{error}");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(joiner.path(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    let args = read(&line).unwrap().unwrap();
    assert_eq!((&args["cluster_name"], &args["timeout"]), (&json!("oracle"), &json!("90")));
    assert_eq!(call(&joiner, Value::Object(args))["changed"], true);
    assert!(read("pve_cluster_join --token-file").unwrap().unwrap_err().contains("takes a value"));
    assert!(
        read(&format!("pve_cluster_join --token-file {file} --force 1"))
            .unwrap()
            .unwrap_err()
            .contains("--force")
    );
    for other in ["pve pve_cluster_join -", "pve_cluster_join args.json", "pve --version"] {
        assert!(read(other).is_none(), "{other}");
    }
}

#[test]
fn a_temporary_password_joins_at_a_terminal_and_is_gone_afterwards() {
    let (member, joiner) = (member(), api_joiner());
    const BEFORE: &str = "root:$y$old:19000:0:99999:7:::\n";
    member.write("/etc/shadow", BEFORE);
    for kind in ["service", "timer"] {
        let unit = pve::fake::FakeUnit { active: "inactive".into(), enabled: "disabled".into() };
        member.machine().units.insert(format!("sddc-pve-restore-password.{kind}"), unit);
    }
    member.answer("openssl passwd -6 -stdin", 0, "$6$new");
    joiner.machine().peer_certificate = FINGERPRINT.into();
    let issued = ticket(&member, &joiner, "temporary_password");
    assert_eq!(issued["changed"], true, "{issued:?}");
    let again = ticket(&member, &joiner, "temporary_password");
    assert!(again["msg"].as_str().unwrap().contains("not stacked"), "{again:?}");
    // The peer takes any password here: that it is the right one is proved before, in the lab.
    joiner.on_https(|_, exchange| {
        let Ask::Request { request, .. } = &exchange.ask else { return None };
        let is_login = request.path == "/api2/json/access/ticket";
        let body = json!({"data": {"ticket": "PVE:root@pam:X", "CSRFPreventionToken": "x"}}).to_string();
        let certificate = FINGERPRINT.parse().unwrap();
        is_login.then(|| Ok(Reply { certificate, status: Some((200, "x".into())), body }))
    });
    let result = call(&joiner, with_credential("expect", &issued));
    assert_eq!(result["changed"], true, "{result:?}");
    assert!(joiner.calls().contains(&"pvecm add 10.88.0.11 --link0 10.88.0.12".to_owned()));
    let typed = joiner.machine().passwords[0].trim().to_owned();
    assert_eq!(typed.len(), 24);
    let written =
        records(&joiner) + &records(&member) + &joiner.calls().join("\n") + &format!("{result:?}{issued:?}");
    assert!(!written.contains(&typed));
    let ended = issue(&member, json!({"type": "temporary_password", "state": "absent"}));
    assert_eq!((&ended["changed"], &ended["revoked"]), (&json!(true), &json!([issued["id"]])), "{ended:?}");
    assert_eq!(member.machine().read("/etc/shadow"), BEFORE);
    assert_eq!(issue(&member, json!({"type": "temporary_password", "state": "absent"}))["changed"], false);
}

#[test]
fn at_a_terminal_another_certificate_gets_no_yes_and_everything_is_undone() {
    let joiner = api_joiner();
    let before = state(&joiner);
    joiner.machine().peer_certificate = FINGERPRINT.replace("84:C2", "00:00");
    let mut args = api();
    args["method"] = json!("expect");
    let result = call(&joiner, args.clone());
    assert!(result["msg"].as_str().unwrap().contains("shows certificate 00:00"), "{result:?}");
    assert_eq!(result["rolled_back"], true);
    assert!(joiner.machine().passwords.is_empty());
    assert_unchanged(&joiner, &before);
    joiner.machine().peer_certificate = FINGERPRINT.into();
    assert_eq!(call(&joiner, args)["changed"], true);
    assert_eq!(joiner.machine().passwords, [format!("{PASSWORD}\n")]);
}
