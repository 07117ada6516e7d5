//! Joining a cluster: `POST /cluster/config/join` and `pvecm add`. Everything that PVE does to the joining node
//! happens here, in its order, and a failure leaves behind what it leaves behind on PVE.

use std::io;
use std::net::IpAddr;

use serde_json::Value;

use super::schema::{self, Kind, Param, optional, required};
use super::{Params, updatecerts};
use crate::corosync::{self, AUTHKEY, CLUSTER_CONF};
use crate::delays::Step;
use crate::host::Host;
use crate::http::client::{Client, ClientError};
use crate::pmxcfs::{DATABASE, LocalDatabase};
use crate::ssh_keys;
use crate::tasks::{Task, epoch};

pub const SCHEMA: [Param; 7] = [
    required("hostname", Kind::Text),
    required("fingerprint", Kind::Fingerprint),
    required("password", Kind::Short(128)),
    optional("force", Kind::Boolean),
    optional("link[n]", Kind::Links),
    optional("nodeid", Kind::Integer(1)),
    optional("votes", Kind::Integer(0)),
];

/// The person at the terminal of `pvecm add`.
pub trait Terminal {
    /// Shows the question, gives the answer's line; None at the end of the input.
    fn ask(&self, question: &str) -> Option<String>;
}

struct Nobody;

impl Terminal for Nobody {
    fn ask(&self, _: &str) -> Option<String> {
        None
    }
}

pub fn run(host: &Host, task: &Task, params: &Params) -> Result<(), String> {
    join(host, task, params, &Nobody)
}

/// What `pvecm add` and the API have in common, from the checks on.
pub fn join(host: &Host, task: &Task, params: &Params, terminal: &dyn Terminal) -> Result<(), String> {
    prepare(host)?;
    assert_joinable(host, task, params)?;
    let peer = params["hostname"].as_str();
    task.line(&format!("Establishing API connection with host '{peer}'"));
    let mut client = connect(task, peer, params.get("fingerprint").map(String::as_str), terminal)?;
    host.delays.take(Step::JoinLogin);
    client.login(params.get("password").map_or("", String::as_str)).map_err(|error| error.to_string())?;
    task.line("Login succeeded.");
    task.line("check cluster join API version");
    let version = client
        .get("/cluster/config/apiversion")
        .map_err(|error| error.to_string())?
        .as_str()
        .and_then(|text| text.parse::<u32>().ok())
        .unwrap_or(0);
    if version < 1 {
        return Err("error: incompatible join API version on cluster node (needs at least 1)".to_owned());
    }
    let request = addition_request(host, task, params)?;
    task.line("Request addition of this node");
    let path = format!("/cluster/config/nodes/{}", host.nodename());
    let material = match client.post(&path, &request) {
        Ok(material) => material,
        Err(error) => return Err(refused(task, &error)),
    };
    task.line("Join request OK, finishing setup locally");
    finish(host, task, &material)
}

/// What happens to the node before anything is checked or asked.
pub fn prepare(host: &Host) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    ssh_keys::permit_root_login(host).map_err(text)?;
    ssh_keys::ensure_root_key(host).map_err(text)?;
    ssh_keys::link_authorized_keys(host).map_err(text)?;
    ssh_keys::unmerge_known_hosts(host).map_err(text)
}

/// The checks that say why a node may not join.
pub fn assert_joinable(host: &Host, task: &Task, params: &Params) -> Result<(), String> {
    let mut problems: Vec<String> = Vec::new();
    if host.exists(AUTHKEY) {
        problems.push(format!("authentication key '{AUTHKEY}' already exists"));
    }
    if host.exists(CLUSTER_CONF) {
        problems.push(format!("cluster config '{CLUSTER_CONF}' already exists"));
    }
    let guests = host.read_text("/etc/pve/.vmlist").unwrap_or_default();
    if guests.contains("\"ids\"") {
        problems.push("this host already contains virtual guests".to_owned());
    }
    if corosync::is_running(host) {
        problems.push("corosync is already running, is this node already in a cluster?!".to_owned());
    }
    let own = host.system.addresses();
    for (number, link) in schema::links(params) {
        let address: Option<IpAddr> =
            link.address.parse().ok().or_else(|| host.system.resolve(&link.address).ok());
        match address {
            None => problems.push(format!("link{number}: cannot resolve '{}'\n", link.address)),
            Some(address) if !own.contains(&address) => problems
                .push(format!("link{number}: cannot use IP '{}', not found on local node!\n", link.address)),
            Some(_) => {}
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let list: String = problems.iter().map(|problem| format!("* {problem}\n")).collect();
    let is_forced = params.get("force").and_then(|text| schema::truth(text)).unwrap_or(false);
    if is_forced {
        task.warn(&format!("warning: ignore the following errors:\n{}", list.trim_end_matches('\n')));
        return Ok(());
    }
    task.print(&format!("detected the following error(s):\n{list}"));
    Err("Check if node may join a cluster failed!".to_owned())
}

fn connect(task: &Task, peer: &str, pinned: Option<&str>, terminal: &dyn Terminal) -> Result<Client, String> {
    let presented = Client::probe(peer).map_err(|error| error.to_string())?;
    match pinned {
        Some(pinned) if pinned.eq_ignore_ascii_case(&presented) => {}
        Some(_) => return Err(format!("fingerprint '{presented}' not verified, abort!")),
        None => {
            task.line(&format!("The authenticity of host '{peer}' can't be established."));
            task.line(&format!("X509 SHA256 key fingerprint is {presented}."));
            let question = "Are you sure you want to continue connecting (yes/no)? ";
            task.print(question);
            let answer = terminal.ask("").unwrap_or_default();
            if answer.trim() != "yes" {
                return Err("Fingerprint not verified, abort!".to_owned());
            }
        }
    }
    Ok(Client::new(peer, presented))
}

/// The parameters that the member gets.
fn addition_request(host: &Host, task: &Task, params: &Params) -> Result<Params, String> {
    let mut request = Params::from([("apiversion".to_owned(), "1".to_owned())]);
    for (name, value) in params {
        if schema::link_number(name).is_some() || matches!(name.as_str(), "force" | "nodeid" | "votes") {
            request.insert(name.clone(), value.clone());
        }
    }
    let own = host.own_address().ok_or_else(|| format!("can't resolve '{}'", host.nodename()))?;
    if !params.keys().any(|name| schema::link_number(name).is_some()) {
        task.line(&format!("No cluster network links passed explicitly, fallback to local node IP '{own}'"));
    }
    request.insert("new_node_ip".to_owned(), own);
    Ok(request)
}

fn refused(task: &Task, error: &ClientError) -> String {
    task.line(&format!("An error occurred on the cluster node: {}", error.message.trim_end()));
    for problem in error.errors.values() {
        task.line(&format!("! {}", problem.trim_end()));
    }
    "Cluster join aborted!".to_owned()
}

/// The corosync key travels as a JSON string whose code points are the bytes.
fn key_bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// From the member's answer to a member.
pub fn finish(host: &Host, task: &Task, material: &Value) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    for warning in material["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        task.warn(&format!("cluster: {warning}"));
    }
    let conf = material["corosync_conf"].as_str().ok_or("no corosync config in answer")?;
    let key = material["corosync_authkey"].as_str().and_then(key_bytes).ok_or("no corosync key in answer")?;
    host.create_dir("/etc/corosync", 0o755).map_err(text)?;
    // Readable by all: so a genuine join over the API leaves it, unlike create and a join over ssh.
    host.write(AUTHKEY, &key, 0o644).map_err(text)?;
    host.write("/etc/corosync/corosync.conf", conf.as_bytes(), 0o644).map_err(text)?;
    finish_with_files(host, task)
}

/// The rest of a join, once key and configuration are in place.
pub fn finish_with_files(host: &Host, task: &Task) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    task.line("stopping pve-cluster service");
    let stopped = host.run(&["systemctl", "stop", "pve-cluster"]);
    if !stopped.succeeded() {
        return Err(format!("can't stop pve-cluster service: {}", stopped.stderr.trim()));
    }
    backup_database(host, task).map_err(text)?;
    for suffix in ["", "-wal", "-shm"] {
        host.remove(&format!("{DATABASE}{suffix}")).map_err(text)?;
    }
    let started = host.run(&["systemctl", "start", "corosync", "pve-cluster"]);
    if !started.succeeded() {
        let stderr = started.stderr.trim_end();
        let (head, last) = stderr.rsplit_once('\n').unwrap_or(("", stderr));
        if !head.is_empty() {
            task.warn(head);
        }
        return Err(format!("starting pve-cluster failed: {last}"));
    }
    task.print("waiting for quorum...");
    wait_for_quorum(host);
    task.line("OK");
    updatecerts::run(host, true, &|line| task.line(line)).map_err(text)?;
    task.line("merge authorized SSH keys");
    if let Err(error) = updatecerts::finish(host) {
        lose_node_files(host);
        return Err(error.to_string());
    }
    task.line("generated new node certificate, restart pveproxy and pvedaemon services");
    host.run(&["systemctl", "reload-or-restart", "pvedaemon", "pveproxy"]);
    task.line(&format!("successfully added node '{}' to cluster.", host.nodename()));
    Ok(())
}

/// What the one genuine join that failed so late had lost: its files were written and then not there.
fn lose_node_files(host: &Host) {
    for file in ["pve-ssl.pem", "pve-ssl.key", "ssh_known_hosts"] {
        let _ = host.remove(&host.node_file(file));
    }
}

/// PVE waits here without a limit, and so does the emulator: a test that needs an end kills the process.
fn wait_for_quorum(host: &Host) {
    let is_quorate = || corosync::cluster_state(host).is_some_and(|state| state.is_quorate);
    while host.faults.now().join_hangs || !is_quorate() {
        host.delays.take(Step::LockAttempt);
    }
}

fn backup_database(host: &Host, task: &Task) -> io::Result<()> {
    let directory = "/var/lib/pve-cluster/backup";
    host.create_dir(directory, 0o700)?;
    let name = format!("{directory}/config-{}.sql.gz", epoch());
    task.line(&format!("backup old database to '{name}'"));
    let dump = LocalDatabase::at(&host.path(DATABASE)).dump()?;
    let plain = name.trim_end_matches(".gz");
    host.write(plain, dump.as_bytes(), 0o644)?;
    let path = host.path(plain).to_string_lossy().into_owned();
    let packed = host.run(&["gzip", "-f", &path]);
    if packed.succeeded() { Ok(()) } else { Err(io::Error::other(format!("gzip: {}", packed.stderr.trim()))) }
}
