//! `pvecm updatecerts`: the directories, keys and certificates that every node needs.

use std::io;

use crate::certificates;
use crate::corosync;
use crate::delays::Step;
use crate::host::Host;
use crate::ssh_keys;

const VZDUMP_CRON: &str = "# cluster wide vzdump cron schedule\n# Automatically generated file - do not edit\n\nPATH=\"/usr/sbin:/usr/bin:/sbin:/bin\"\n";

/// The node's directories and files. True when the node has a new certificate.
pub fn node_files(host: &Host, force: bool) -> io::Result<bool> {
    let node = host.nodename();
    host.create_dir("/etc/pve/priv", 0o700)?;
    host.create_dir("/etc/pve/nodes", 0o755)?;
    host.create_dir(&format!("/etc/pve/nodes/{node}"), 0o755)?;
    for name in ["lxc", "qemu-server", "openvz", "priv"] {
        host.create_dir(&host.node_file(name), 0o755)?;
    }
    host.create_dir("/etc/pve/priv/lock", 0o700)?;
    let renewed = certificates::ensure_all(host, force)?;
    Ok(renewed)
}

fn cluster_files(host: &Host) -> io::Result<()> {
    ssh_keys::publish_host_key(host)?;
    // The local resource manager of HA writes this some seconds after it starts; none runs here, so it stays idle.
    let status = host.node_file("lrm_status");
    if !host.exists(&status) {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let text = format!(
            "{{\"mode\":\"active\",\"results\":{{}},\"state\":\"wait_for_agent_lock\",\"timestamp\":{}}}",
            since.as_secs()
        );
        host.write(&status, text.as_bytes(), 0o640)?;
    }
    if !host.exists("/etc/pve/vzdump.cron") {
        host.write("/etc/pve/vzdump.cron", VZDUMP_CRON.as_bytes(), 0o640)?;
    }
    for (name, mode) in [
        ("firewall", 0o755),
        ("ha", 0o755),
        ("mapping", 0o755),
        ("priv/acme", 0o700),
        ("sdn", 0o755),
        ("virtual-guest", 0o755),
    ] {
        host.create_dir(&format!("/etc/pve/{name}"), mode)?;
    }
    Ok(())
}

/// All of it, telling `say` what is done. True when the node has a new certificate.
pub fn run(host: &Host, force: bool, say: &dyn Fn(&str)) -> io::Result<bool> {
    ssh_keys::ensure_root_key(host)?;
    host.create_dir("/etc/pve/priv", 0o700)?;
    // Before the certificate: one that can't be made leaves the link behind.
    ssh_keys::link_authorized_keys(host)?;
    say("(re)generate node files");
    if force {
        say("generate new node certificate");
    }
    node_files(host, force)
}

/// The end of it: root's key among the cluster's, the files that all nodes have.
pub fn finish(host: &Host) -> io::Result<()> {
    ssh_keys::merge_authorized_keys(host)?;
    cluster_files(host)
}

/// Waits for a quorate, writable cluster file system as long as `updatecerts` does; false when it gave up.
pub fn wait_for_quorum(host: &Host) -> bool {
    let deadline = std::time::Instant::now() + host.delays.length(Step::UpdatecertsWait);
    while !corosync::has_quorum(host) {
        if std::time::Instant::now() > deadline {
            return false;
        }
        host.delays.take(Step::LockAttempt);
    }
    true
}
