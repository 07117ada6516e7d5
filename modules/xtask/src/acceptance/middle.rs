//! Somebody in the middle: what the joiner sends to the member goes to another machine, which listens. Each method with a
//! secret must notice before it sends one. That the listener would have heard it is shown first. And tickets that
//! are over, or somebody else's.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::credentials::{issue, join, links, must};
use super::play::Run;
use super::scene::{PASSWORD, Scene, refused};
use crate::lab::{LINKS, Node};

const CLUSTER: &str = "sddc-cluster";
const LIMIT: Duration = Duration::from_secs(60);
/// Speaks TLS on port 8006 of its own address with a certificate of its own, and writes down all that it is told.
const LISTENER: &str = r#"
import socket, ssl, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/middle.pem")
heard = open("/root/heard", "ab", 0)
def serve(plain):
    try:
        plain.settimeout(20)
        with context.wrap_socket(plain, server_side=True) as told:
            told.settimeout(2)
            try:
                while data := told.recv(65536):
                    heard.write(data)
            except TimeoutError:
                told.sendall(b"HTTP/1.1 401 authentication failure\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    except OSError:
        pass
listening = socket.create_server(("", 9006))
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
"#;
const LISTEN: &str = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=middle -days 2 -keyout /root/middle.key \
    -out /root/middle.crt 2>/dev/null; cat /root/middle.key /root/middle.crt >/root/middle.pem; : >/root/heard; \
    systemd-run --quiet --unit=middle python3 /root/listener.py; \
    timeout 20 sh -c 'until ss -ltn | grep -q :9006; do sleep 0.1; done'; echo 'LogLevel VERBOSE' \
    >/etc/ssh/sshd_config.d/loud.conf; systemctl restart ssh";
const SERVED: &str = "openssl x509 -in FILE -noout -fingerprint -sha256 | cut -d= -f2";

/// The three of it.
struct Cast<'s, 'p> {
    scene: &'s Scene<'p>,
    member: Node,
    joiner: Node,
    middle: Node,
}

/// Nobody is told a secret who is not the member.
pub fn hears_nothing(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let cast = Cast { scene, member: nodes[0], joiner: nodes[1], middle: nodes[2] };
    let (member, joiner, middle) = (cast.member, cast.joiner, cast.middle);
    must(
        scene,
        "create",
        member,
        "pve_cluster_create",
        &json!({ "cluster_name": CLUSTER, "links": links(member) }),
    )?;
    scene.lab.write(middle, "/root/listener.py", LISTENER)?;
    scene.sh(middle, LISTEN)?;
    let pin = |node: Node, file: &str| -> Result<String> {
        Ok(scene.sh(node, &SERVED.replace("FILE", file))?.trim().to_owned())
    };
    let (right, theirs) = (pin(member, "/etc/pve/local/pve-ssl.pem")?, pin(middle, "/root/middle.crt")?);
    let token = issue(scene, member, "token", json!({ "node": joiner.name() }))?;
    old_tickets(&cast, &right)?;
    cast.redirect("-A")?;

    // Who pins the listener's certificate tells it the password: so it would be heard.
    let told = cast.api("told", "api", &theirs, json!({ "password": PASSWORD }))?;
    refused(&told, &["password"], LIMIT)?;
    ensure!(cast.heard()?.contains("Secret123"), "the listener is deaf: {}", cast.heard()?);
    scene.sh(middle, ": >/root/heard")?;

    let before = scene.untouched(&[member, joiner])?;
    for method in ["api", "expect"] {
        let run = cast.api(&format!("middle-{method}"), method, &right, json!({ "password": PASSWORD }))?;
        refused(&run, &["certificate", &theirs], LIMIT)?;
    }
    let tried = scene.task("middle-token", joiner, "pve_cluster_join", &join(&token, joiner), &[])?;
    refused(&tried, &["another host key", "nothing was sent"], LIMIT)?;
    scene.still(&before)?;
    for (kind, method) in [("ticket", "ticket"), ("temporary_password", "expect")] {
        let run = cast.sealed(kind, method, &right, joiner)?;
        refused(&run, &["certificate", &theirs], LIMIT)?;
    }
    let heard = cast.heard()?;
    ensure!(heard.is_empty(), "somebody in the middle was told: {heard}");

    // The same of ssh: that a key was shown would be in the journal, as it is when the host key is not looked at.
    let shown = format!(
        "journalctl -u ssh -o cat --no-pager | grep -F ' {} ' | grep -c 'publickey\\|authenticating user' || true",
        joiner.address(LINKS[0])
    );
    ensure!(scene.sh(middle, &shown)?.trim() == "0", "a key was shown to somebody in the middle");
    let careless = format!(
        "ssh-keygen -q -t ed25519 -N '' -f /root/careless; ssh -i /root/careless -o BatchMode=yes \
         -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@{} true || true",
        member.address(LINKS[0])
    );
    scene.sh(joiner, &careless)?;
    ensure!(scene.sh(middle, &shown)?.trim() != "0", "the journal would not tell that a key was shown");

    // With nobody in the middle the same token is taken.
    cast.redirect("-D")?;
    must(scene, "alone", joiner, "pve_cluster_join", &join(&token, joiner))?;
    scene.healthy(&nodes[..2])
}

/// A ticket that is over is no login, and a sealed one serves nobody but who it was sealed to.
fn old_tickets(cast: &Cast<'_, '_>, pin: &str) -> Result<()> {
    let mint = |age: u32| -> Result<String> {
        let line = format!(
            "plain=$(printf 'PVE:root@pam:%08X' $(($(date +%s) - {age}))); printf '%s::' \"$plain\"; \
             printf %s \"$plain\" | openssl dgst -sha256 -sign /etc/pve/priv/authkey.key | base64 -w0"
        );
        cast.scene.sh(cast.member, &line)
    };
    let check = |label: &str, ticket: &str| -> Result<Run> {
        let args = cast.args("api", pin, json!({ "password": ticket }));
        cast.scene.task(label, cast.joiner, "pve_cluster_join", &args, &["--check"])
    };
    let fresh = check("fresh-ticket", &mint(60)?)?;
    ensure!(fresh.is_success, "a ticket of this minute is not taken: {}", fresh.messages());
    refused(&check("old-ticket", &mint(7300)?)?, &["password"], LIMIT)?;
    let stolen = cast.sealed("ticket", "ticket", pin, cast.middle)?;
    refused(&stolen, &["credential", "issue another ticket"], LIMIT)
}

impl Cast<'_, '_> {
    /// Sends what the joiner says to the member's API and sshd elsewhere, or no more.
    fn redirect(&self, verb: &str) -> Result<()> {
        let (from, to) = (self.member.address(LINKS[0]), self.middle.address(LINKS[0]));
        for (port, other) in [(8006, 9006), (22, 22)] {
            let rule = format!(
                "iptables -t nat {verb} OUTPUT -p tcp -d {from} --dport {port} -j DNAT --to-destination {to}:{other}"
            );
            self.scene.sh(self.joiner, &rule)?;
        }
        Ok(())
    }

    fn heard(&self) -> Result<String> {
        self.scene.sh(self.middle, "cat /root/heard")
    }

    fn args(&self, method: &str, pin: &str, more: Value) -> Value {
        let mut args = json!({ "cluster_name": CLUSTER, "method": method, "peer": self.member.address(LINKS[0]),
            "fingerprint": pin, "links": links(self.joiner), "timeout": 60 });
        if let (Some(args), Value::Object(more)) = (args.as_object_mut(), more) {
            args.extend(more);
        }
        args
    }

    fn api(&self, label: &str, method: &str, pin: &str, more: Value) -> Result<Run> {
        self.scene.task(label, self.joiner, "pve_cluster_join", &self.args(method, pin, more), &[])
    }

    /// With a credential that the member seals to the joiner, used by `user`; it is taken away afterwards.
    fn sealed(&self, kind: &str, method: &str, pin: &str, user: Node) -> Result<Run> {
        let mut args = self.args(method, pin, json!({ "credential": "{{ issued.credential }}" }));
        args["links"] = links(user);
        let (joiner, member) = (self.joiner.name(), self.member.name());
        let mut tasks = vec![
            json!({ "name": "request", "sddc.pve.pve_cluster_join": { "cluster_name": CLUSTER, "state": "requested" },
                "register": "request" }),
            json!({ "name": "issue", "sddc.pve.pve_join_credential": { "cluster_name": CLUSTER, "type": kind,
                "node": joiner, "public_key": "{{ request.join_request.public_key }}" },
                "delegate_to": member, "register": "issued" }),
        ];
        let used = json!({ "name": "join", "sddc.pve.pve_cluster_join": args, "delegate_to": user.name() });
        let ended = json!([{ "name": "end", "sddc.pve.pve_join_credential": { "cluster_name": CLUSTER, "type": kind,
            "state": "absent" }, "delegate_to": member }]);
        tasks.push(match kind {
            "temporary_password" => json!({ "block": [used], "always": ended }),
            _ => used,
        });
        let play = json!([{ "hosts": joiner, "gather_facts": false, "tasks": tasks }]);
        self.scene.tasks(&format!("{kind}-{user}"), play, &[])
    }
}
