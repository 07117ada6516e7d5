//! Joins over ssh as the dedicated user, between two fake nodes: the joiner's ssh leads to the command that sudo lets it
//! run on the member. What pvecm, sshd and sudo make of the rest is played in the lab.

use std::sync::Arc;

use pve::Output;
use pve::credential::answer;

use super::credentials::member;
use super::*;
use crate::pve_join_credential;

pub(super) const HOST_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICLVWHPjk1JdyQdmfQXwktDJzhXLQ30QV4N9U9N7zVoF";
const KEY: &str = "/etc/sddc-pve/admin/key";

fn by_sudo() -> Value {
    json!({"cluster_name": "oracle", "method": "ssh", "peer": "10.88.0.11", "host_keys": [HOST_KEY],
           "ssh_user": "clusteradmin", "ssh_key": KEY, "links": [{"number": 0, "address": "10.88.0.12"}]})
}

fn with_key(joiner: &Fake) {
    use std::os::unix::fs::PermissionsExt;
    joiner.write(KEY, "secret");
    std::fs::set_permissions(joiner.path(KEY), std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn connect(joiner: &Fake, member: &Arc<Fake>) {
    let member = member.clone();
    joiner.on(move |joiner, cmd| {
        if cmd.program != "ssh" || cmd.args.first().is_none_or(|first| first == "-V") {
            return None;
        }
        assert!(cmd.args.contains(&format!("IdentityFile={KEY}")));
        let pins = cmd.args.iter().find_map(|arg| arg.strip_prefix("UserKnownHostsFile=")).unwrap();
        assert_eq!(joiner.read(pins), format!("10.88.0.11 {HOST_KEY}\n"));
        let asked = ["clusteradmin@10.88.0.11", "sudo -n /usr/local/lib/sddc-pve/admin/pve admit"];
        assert!(cmd.args.ends_with(&asked.map(str::to_owned)), "{:?}", cmd.args);
        let reply = answer::answer_admin(&member.node(), cmd.input());
        let (code, stdout) = (i32::from(!reply.ok), format!("{}\n", json!(reply)));
        Some(Ok(Output { code: Some(code), stdout, stderr: String::new() }))
    });
}

#[test]
fn the_dedicated_user_has_a_node_admitted_and_nothing_stays() {
    let (member, joiner) = (member(), joiner());
    with_key(&joiner);
    connect(&joiner, &member);
    let before = (tree(&member.path("/")), tree(&joiner.path("/")));
    let result = fields(run(&joiner.node(), &checked(invocation(&MODULE, by_sudo()), true)));
    assert_eq!(result["changed"], true, "{result:?}");
    assert_eq!((tree(&member.path("/")), tree(&joiner.path("/"))), before);

    let result = call(&joiner, by_sudo());
    assert_eq!(result["members"], json!(["pve1", "pve2"]), "{result:?}");
    assert_eq!(call(&joiner, by_sudo())["changed"], false);
    let audit = member.machine().read("/var/log/pve-cluster-audit.jsonl");
    assert!(audit.contains("\"operation\":\"admit_by_sudo\""), "{audit}");
    let left = joiner.node().list("/run/sddc-pve").unwrap();
    assert!(!left.iter().any(|name| name.contains("key") || name.contains("hosts")), "{left:?}");
    assert!(joiner.path(KEY).exists());
    assert!(!joiner.path("/var/lib/sddc-pve/asker-key.json").exists());
}

#[test]
fn the_name_of_a_member_that_is_off_is_nobodys_to_take() {
    let member = member();
    let enter = || {
        let joiner = joiner();
        with_key(&joiner);
        connect(&joiner, &member);
        member.machine().online = Some(["pve1".to_owned()].into());
        call(&joiner, by_sudo())
    };
    assert!(!enter().contains_key("failed"));
    // Listed and never up: whoever asks again gets the material again, and each time is written down.
    assert!(!enter().contains_key("failed"));
    let audit = member.machine().read("/var/log/pve-cluster-audit.jsonl");
    assert_eq!(audit.matches("\"operation\":\"admit_by_sudo\"").count(), 2, "{audit}");

    member.write("/etc/pve/nodes/pve2/pve-ssl.pem", "a certificate");
    let refused = enter();
    let text = refused["msg"].as_str().unwrap();
    assert!(text.contains("node \"pve2\" is a member that is off"), "{text}");
}

#[test]
fn what_the_dedicated_user_did_is_taken_back_when_the_join_fails() {
    let (member, joiner) = (member(), joiner());
    with_key(&joiner);
    connect(&joiner, &member);
    let before = state(&joiner);
    joiner.machine().online = Some(std::collections::BTreeSet::new());
    let result = call(&joiner, by_sudo());
    assert_eq!(result["rolled_back"], true, "{result:?}");
    assert!(result["msg"].as_str().unwrap().contains("the cluster does not list this node"), "{result:?}");
    assert_unchanged(&joiner, &before);
    assert!(!member.machine().read("/etc/pve/corosync.conf").contains("pve2"));
}

#[test]
fn a_join_over_ssh_without_pin_or_key_is_refused() {
    let refuse = |key: &str, value: Value, reason: &str| {
        let (member, joiner) = (member(), joiner());
        with_key(&joiner);
        connect(&joiner, &member);
        let mut args = by_sudo();
        args[key] = value;
        let before = state(&joiner);
        let result = call(&joiner, args);
        assert!(result["msg"].as_str().unwrap_or_default().contains(reason), "{reason}: {result:?}");
        assert_unchanged(&joiner, &before);
    };
    refuse("host_keys", json!([]), "nothing would be pinned");
    refuse("host_keys", json!(["ssh-ed25519 nonsense"]), "is no key");
    refuse("ssh_key", json!("/etc/sddc-pve/admin/other"), "is missing, or others than root can read it");
    refuse("ssh_user", json!("root"), "needs credential");
    refuse("cluster_name", json!("prod"), "is in cluster \"oracle\", not \"prod\"");
}

#[test]
fn a_key_for_pvecm_is_bound_to_its_node_and_gives_no_material() {
    let (member, joiner) = (member(), joiner());
    let key = seal::request(&joiner.node(), "pve2").unwrap().public_key;
    let issue = |more: Value| {
        let mut args = json!({"cluster_name": "oracle", "type": "ssh_key"});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields(pve_join_credential::run(&member.node(), &invocation(&pve_join_credential::MODULE, args)))
    };
    let issued = issue(json!({"node": "pve2", "public_key": key, "from": ["10.88.0.12", "fd00::12"]}));
    let keys = member.machine().read("/etc/pve/priv/authorized_keys");
    let line = keys.lines().last().unwrap();
    assert!(line.starts_with("restrict,expiry-time=\"20261122151500Z\",command=\""), "{line}");
    assert!(line.contains("\",from=\"10.88.0.12,fd00::12\" ssh-ed25519 AAAA"), "{line}");
    assert!(issued.contains_key("credential") && !issued.contains_key("join_string"), "{issued:?}");
    let id = issued["id"].as_str().unwrap();
    let question = |node: &str, action: &str| {
        json!({"action": action, "cluster_name": "oracle", "node": node, "public_key": key,
               "links": [{"number": 0, "address": "10.88.0.12"}]})
        .to_string()
    };
    let reply = answer::answer(&member.node(), id, &question("pve2", "look"));
    assert!(reply.ok, "{reply:?}");
    for (node, action, reason) in
        [("pve2", "join", "serves pvecm add only"), ("pve3", "look", "for node \"pve2\" only")]
    {
        let reply = answer::answer(&member.node(), id, &question(node, action));
        assert!(reply.error.as_deref().unwrap_or_default().contains(reason), "{reply:?}");
    }
    assert_eq!(issue(json!({"state": "absent", "id": id}))["revoked"], json!([id]));
    assert!(!member.machine().read("/etc/pve/priv/authorized_keys").contains("restrict"));
    for (args, reason) in [
        (json!({"node": "pve2"}), "only handed over sealed"),
        (json!({"node": "pve2", "public_key": key, "from": ["10.0.0.0/8\""]}), "is no IP address"),
        (json!({"node": "pve2", "public_key": key, "ttl": 7200}), "must be from 60 to 3600"),
        (json!({"state": "absent"}), "needs id"),
    ] {
        let msg = issue(args)["msg"].as_str().unwrap().to_owned();
        assert!(msg.contains(reason), "{reason}: {msg}");
    }
}

#[test]
fn the_accounts_key_takes_back_the_admission_of_its_own_node_only() {
    let (member, joiner) = (member(), joiner());
    with_key(&joiner);
    connect(&joiner, &member);
    member.machine().online = Some(["pve1".to_owned()].into());
    assert_eq!(call(&joiner, by_sudo())["changed"], true);
    // pve2 is listed and starts; whoever has the same key from another node says that it was stopped.
    let listed = member.machine().read("/etc/pve/corosync.conf");
    let question = |node: &str, key: &str| {
        json!({"action": "withdraw", "cluster_name": "oracle", "node": node, "public_key": key, "is_stopped": true})
            .to_string()
    };
    let stranger = seal::sample_request("pve2").public_key;
    let refused = answer::answer_admin(&member.node(), &question("pve2", &stranger));
    assert!(
        refused.error.as_deref().unwrap_or_default().contains("not admitted here for whoever asks"),
        "{refused:?}"
    );
    assert_eq!(member.machine().read("/etc/pve/corosync.conf"), listed);
    let nobody = answer::answer_admin(&member.node(), &question("pve7", &stranger));
    assert!(nobody.ok, "{nobody:?}");
}
