//! `pvecm add --use_ssh`: the member is asked over ssh instead of its API, key and configuration are copied.

use super::Params;
use super::join::{assert_joinable, finish_with_files, prepare};
use super::schema;
use crate::corosync::{AUTHKEY, CLUSTER_CONF};
use crate::host::Host;
use crate::tasks::Task;

pub fn join_over_ssh(host: &Host, task: &Task, params: &Params) -> Result<(), String> {
    prepare(host)?;
    assert_joinable(host, task, params)?;
    let peer = params["hostname"].as_str();
    let target = format!("root@{peer}");
    // ssh asks at the terminal itself: host key, passwords.
    let copied = host.system.run_asking(&["ssh-copy-id", "-i", "/root/.ssh/id_rsa", &target]);
    if !copied.succeeded() {
        let last = copied.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        // Its own messages are not passed on, ssh's are.
        let reason = match last.contains("ssh-copy-id") || last.is_empty() {
            true => format!("exit code {}", copied.status),
            false => last.to_owned(),
        };
        return Err(format!("unable to copy ssh ID: {reason}"));
    }
    let own = host.own_address().ok_or_else(|| format!("can't resolve '{}'", host.nodename()))?;
    let name = host.nodename();
    let mut argv: Vec<String> =
        ["ssh", &target, "-o", "BatchMode=yes", "pvecm", "addnode", &name].map(str::to_owned).to_vec();
    argv.extend(["--apiversion".to_owned(), "1".to_owned()]);
    for option in ["nodeid", "votes", "force"] {
        if let Some(value) = params.get(option) {
            argv.extend([format!("--{option}"), value.clone()]);
        }
    }
    let links: Vec<_> = params.iter().filter(|(name, _)| schema::link_number(name).is_some()).collect();
    if links.is_empty() {
        task.line(&format!("No cluster network links passed explicitly, fallback to local node IP '{own}'"));
        argv.extend(["--new_node_ip".to_owned(), own]);
    }
    for (name, value) in links {
        argv.extend([format!("--{name}"), value.clone()]);
    }
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let added = host.run(&argv);
    if !added.succeeded() {
        task.warn(added.stderr.trim_end());
        return Err(format!("unable to add node: command failed ({})", name));
    }
    task.line("copy corosync auth key");
    host.create_dir("/etc/corosync", 0o755).map_err(|error| error.to_string())?;
    for (source, mode) in [(AUTHKEY, 0o400), (CLUSTER_CONF, 0o644)] {
        let fetched =
            host.run(&["scp", "-q", "-o", "BatchMode=yes", &format!("{target}:{source}"), "/tmp/.pve-join"]);
        if !fetched.succeeded() {
            return Err(format!("can't copy {source} from cluster node: {}", fetched.stderr.trim()));
        }
        let content = host.read("/tmp/.pve-join").map_err(|error| error.to_string())?;
        let place = if source == AUTHKEY { AUTHKEY } else { "/etc/corosync/corosync.conf" };
        host.write(place, &content, mode).map_err(|error| error.to_string())?;
        host.remove("/tmp/.pve-join").map_err(|error| error.to_string())?;
    }
    finish_with_files(host, task)
}
