//! Root's ssh set-up as PVE makes it: sshd lets root in, keys are made, the authorised keys live in /etc/pve and
//! root's file is a link to them.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use nix::errno::Errno;

use crate::host::Host;

const SSH_DIR: &str = "/root/.ssh";
const ROOT_KEYS: &str = "/root/.ssh/authorized_keys";
const ROOT_KEYS_BACKUP: &str = "/root/.ssh/authorized_keys.org";
const ROOT_KEY: &str = "/root/.ssh/id_rsa";
pub const CLUSTER_KEYS: &str = "/etc/pve/priv/authorized_keys";
const CLUSTER_HOSTS: &str = "/etc/pve/priv/known_hosts";
const SYSTEM_HOSTS: &str = "/etc/ssh/ssh_known_hosts";
const SSHD_CONFIG: &str = "/etc/ssh/sshd_config";
const CIPHERS: &str = "Ciphers aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com\n";

fn is_link(host: &Host, path: &str) -> bool {
    fs::symlink_metadata(host.path(path)).is_ok_and(|meta| meta.file_type().is_symlink())
}

/// Lets root log in over ssh, and makes sshd read it.
pub fn permit_root_login(host: &Host) -> io::Result<()> {
    let config = host.read_text(SSHD_CONFIG)?;
    let mut found = false;
    let mut changed = String::new();
    for line in config.lines() {
        let is_setting = line.trim_start_matches('#').trim_start().starts_with("PermitRootLogin ");
        if is_setting && !found {
            found = true;
            changed.push_str("PermitRootLogin yes\n");
        } else {
            changed.push_str(&format!("{line}\n"));
        }
    }
    if !found {
        changed.push_str("PermitRootLogin yes\n");
    }
    if changed != config {
        host.write(SSHD_CONFIG, changed.as_bytes(), 0o644)?;
    }
    host.run(&["systemctl", "reload-or-restart", "ssh"]);
    Ok(())
}

/// Root's key pair and client configuration.
pub fn ensure_root_key(host: &Host) -> io::Result<()> {
    host.create_dir(SSH_DIR, 0o700)?;
    if !host.exists(ROOT_KEY) {
        let comment = format!("root@{}", host.nodename());
        let path = host.path(ROOT_KEY).to_string_lossy().into_owned();
        let made =
            host.run(&["ssh-keygen", "-q", "-t", "rsa", "-b", "4096", "-N", "", "-C", &comment, "-f", &path]);
        if !made.succeeded() {
            return Err(io::Error::other(format!("ssh-keygen: {}", made.stderr.trim())));
        }
    }
    if !host.exists("/root/.ssh/config") {
        host.write("/root/.ssh/config", CIPHERS.as_bytes(), 0o640)?;
    }
    Ok(())
}

/// Moves root's authorised keys into /etc/pve and links to them. Keys are taken over only when the shared file
/// does not exist yet; else the old file stays beside as a backup.
pub fn link_authorized_keys(host: &Host) -> io::Result<()> {
    let mut is_taken_over = false;
    if !host.exists(CLUSTER_KEYS) {
        is_taken_over = true;
        let own =
            if is_link(host, ROOT_KEYS) { Vec::new() } else { host.read(ROOT_KEYS).unwrap_or_default() };
        if host.write(CLUSTER_KEYS, &own, 0o600).is_err() {
            is_taken_over = false;
            eprintln!("can't create shared ssh key database '{CLUSTER_KEYS}'");
        }
    }
    if !is_link(host, ROOT_KEYS) {
        if is_taken_over {
            host.remove(ROOT_KEYS)?;
        } else if host.exists(ROOT_KEYS) {
            fs::rename(host.path(ROOT_KEYS), host.path(ROOT_KEYS_BACKUP))?;
        }
        symlink(CLUSTER_KEYS, host.path(ROOT_KEYS))?;
    }
    Ok(())
}

/// Adds root's public key to the cluster's authorised keys, and those of root's own file that the link replaced: a key of
/// one node so becomes one of all.
pub fn merge_authorized_keys(host: &Host) -> io::Result<()> {
    let public = host.read_text(&format!("{ROOT_KEY}.pub"))?;
    let keys = host.read_text(CLUSTER_KEYS).unwrap_or_default();
    let replaced = host.read_text(ROOT_KEYS_BACKUP).unwrap_or_default();
    let mut lines: Vec<&str> = Vec::new();
    for line in
        keys.lines().chain(replaced.lines()).chain(public.lines()).filter(|line| !line.trim().is_empty())
    {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let merged: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if merged != keys {
        host.write(CLUSTER_KEYS, merged.as_bytes(), 0o600).map_err(|error| {
            let reason = error.raw_os_error().map_or("unknown error", |errno| Errno::from_raw(errno).desc());
            io::Error::other(format!("close (rename) atomic file '{CLUSTER_KEYS}' failed: {reason}"))
        })?;
    }
    if is_link(host, ROOT_KEYS) {
        host.remove(ROOT_KEYS_BACKUP)?;
    }
    Ok(())
}

fn own_host_key(host: &Host) -> io::Result<String> {
    let line = host.read_text("/etc/ssh/ssh_host_rsa_key.pub")?;
    let mut words = line.split_whitespace();
    Ok(format!("{} {}", words.next().unwrap_or_default(), words.next().unwrap_or_default()))
}

/// The node's own host key in its directory, where the other members look for it.
pub fn publish_host_key(host: &Host) -> io::Result<()> {
    // Without an end of line, as the genuine file is.
    let line = format!("{} {}", host.nodename(), own_host_key(host)?);
    let path = host.node_file("ssh_known_hosts");
    if host.read_text(&path).is_ok_and(|old| old == line) {
        return Ok(());
    }
    host.write(&path, line.as_bytes(), 0o640)
}

/// `pvecm create` still starts the old merged list of known hosts, under name and address.
pub fn merge_known_hosts(host: &Host, address: &str) -> io::Result<()> {
    let key = own_host_key(host)?;
    let mut hosts = host.read_text(CLUSTER_HOSTS).unwrap_or_default();
    for name in [host.nodename().as_str(), address] {
        let line = format!("{name} {key}\n");
        if !hosts.contains(&line) {
            hosts.push_str(&line);
        }
    }
    host.write(CLUSTER_HOSTS, hosts.as_bytes(), 0o600)?;
    if !is_link(host, SYSTEM_HOSTS) {
        host.remove(SYSTEM_HOSTS)?;
        symlink(CLUSTER_HOSTS, host.path(SYSTEM_HOSTS))?;
    }
    Ok(())
}

/// The link to the merged list becomes a file with what the list has: the nodes' own host keys are in their directories.
pub fn unmerge_known_hosts(host: &Host) -> io::Result<()> {
    if is_link(host, SYSTEM_HOSTS) {
        let hosts = host.read(CLUSTER_HOSTS).unwrap_or_default();
        host.remove(SYSTEM_HOSTS)?;
        host.write(SYSTEM_HOSTS, &hosts, 0o644)?;
    }
    Ok(())
}
