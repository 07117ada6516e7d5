//! `pvecm add --use_ssh`: the member is asked over ssh instead of its API, key and configuration are fetched with
//! rsync (`PVE/CLI/pvecm.pm`, `add`). The node's own checks come first; root's ssh is set up only then.

use super::Params;
use super::join::{assert_joinable, finish_with_files, prepare};
use super::schema;
use crate::corosync::{AUTHKEY, CLUSTER_CONF};
use crate::host::Host;
use crate::ssh_keys;
use crate::tasks::Task;

pub fn join_over_ssh(host: &Host, task: &Task, params: &Params) -> Result<(), String> {
    assert_joinable(host, task, params)?;
    prepare(host)?;
    ssh_keys::unmerge_known_hosts(host).map_err(|error| error.to_string())?;
    let peer = params["hostname"].as_str();
    copy_ssh_id(host, peer)?;
    let said = host.run(&["ssh", peer, "-o", "BatchMode=yes", "pvecm", "apiver"]);
    // A member that does not answer counts as one of version 0, which may be joined still.
    let version = said.stdout.trim().parse::<u32>().unwrap_or(0);
    add_node(host, task, params, version)?;
    task.line("copy corosync auth key");
    let directory = format!("/var/lib/pve-cluster/.pvecm_add.tmp.{}", std::process::id());
    host.create_dir(&directory, 0o755).map_err(|error| error.to_string())?;
    let placed = fetch(host, peer, &directory);
    for file in ["authkey", "corosync.conf"] {
        let _ = host.remove(&format!("{directory}/{file}"));
    }
    let _ = std::fs::remove_dir(host.path(&directory));
    placed?;
    finish_with_files(host, task)
}

fn copy_ssh_id(host: &Host, peer: &str) -> Result<(), String> {
    let target = format!("root@{peer}");
    // ssh asks at the terminal itself: host key, passwords.
    let copied = host.system.run_asking(&["ssh-copy-id", "-i", "/root/.ssh/id_rsa", &target]);
    if copied.succeeded() {
        return Ok(());
    }
    let last = copied.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    // Its own messages are not passed on, ssh's are.
    let reason = match last.contains("ssh-copy-id") || last.is_empty() {
        true => format!("exit code {}", copied.status),
        false => last.to_owned(),
    };
    Err(format!("unable to copy ssh ID: {reason}"))
}

/// The member lists the node; with `--force`, so a name that is taken is overwritten.
fn add_node(host: &Host, task: &Task, params: &Params, version: u32) -> Result<(), String> {
    let own = host.own_address().ok_or_else(|| format!("can't resolve '{}'", host.nodename()))?;
    let name = host.nodename();
    let peer = params["hostname"].as_str();
    let line = ["ssh", peer, "-o", "BatchMode=yes", "pvecm", "addnode", &name, "--force", "1"];
    let mut argv: Vec<String> = line.map(str::to_owned).to_vec();
    for option in ["nodeid", "votes"] {
        if let Some(value) = params.get(option) {
            argv.extend([format!("--{option}"), value.clone()]);
        }
    }
    let links: Vec<_> = params.iter().filter(|(name, _)| schema::link_number(name).is_some()).collect();
    if links.is_empty() {
        argv.extend([if version == 0 { "--link0" } else { "--new_node_ip" }.to_owned(), own.clone()]);
        task.line(&format!("No cluster network links passed explicitly, fallback to local node IP '{own}'"));
    }
    for (name, value) in links {
        argv.extend([format!("--{name}"), value.clone()]);
    }
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let added = host.run(&argv);
    if added.succeeded() {
        return Ok(());
    }
    task.warn(added.stderr.trim_end());
    Err(format!("unable to add node: command failed ({})", argv.join(" ")))
}

fn fetch(host: &Host, peer: &str, directory: &str) -> Result<(), String> {
    let here = host.path(directory).to_string_lossy().into_owned();
    let sources = [AUTHKEY, CLUSTER_CONF].map(|file| format!("[{peer}]:{file}"));
    let rsh = "--rsh=ssh -l root -o BatchMode=yes";
    let fetched = host.run(&["rsync", rsh, "-lpgoq", &sources[0], &sources[1], &here]);
    if !fetched.succeeded() {
        return Err(format!("can't rsync data from host '{peer}'"));
    }
    let text = |error: std::io::Error| error.to_string();
    host.create_dir("/etc/corosync", 0o755).map_err(text)?;
    for (file, place, mode) in
        [("authkey", AUTHKEY, 0o400), ("corosync.conf", "/etc/corosync/corosync.conf", 0o644)]
    {
        let content = host.read(&format!("{directory}/{file}")).map_err(text)?;
        host.write(place, &content, mode).map_err(text)?;
    }
    Ok(())
}
