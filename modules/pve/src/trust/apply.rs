//! Mends what was planned. Each step is whole in itself, so a run that is cut off is taken up by the next.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::{Edit, Plan, Request, look, plan};
use crate::cluster_lock::ClusterLock;
use crate::credential::authorized_keys;
use crate::node_certificate::FaultKind;
use crate::{Cmd, Deadline, FileMode, Node, observe, sshd};

const LOCK: &str = "sddc-pve-trust";
/// PVE's run loses races on the shared authorized_keys with other nodes.
const TRIES: u32 = 3;

/// Looks again under the cluster's lock, since other members mend the shared files too, and does what is to be done;
/// returns that.
pub fn apply(node: &Node, request: &Request, deadline: Deadline) -> anyhow::Result<Plan> {
    let lock = ClusterLock::take(node, LOCK, deadline)?;
    let sight = look(node, request, deadline)?;
    let todo = plan(&sight)?;
    for edit in &todo.edits {
        write(node, edit)?;
    }
    if !todo.keys.is_empty() || todo.certificate.is_some() {
        lock.renew();
        if !node.path(sshd::AUTHORIZED_KEYS).is_symlink() {
            sshd::link_to_shared_keys(node, authorized_keys::PATH)?;
        }
        if todo.certificate.as_ref().is_some_and(|fault| fault.kind == FaultKind::BadKey) {
            node.remove(&format!("/etc/pve/nodes/{}/pve-ssl.key", sight.own))?;
        }
        update_certificates(node, request, &todo, &lock, deadline)?;
    }
    drop(lock);
    if todo.certificate.is_some() || todo.api.is_some() {
        reload_api(node, deadline)?;
    }
    Ok(todo)
}

fn write(node: &Node, edit: &Edit) -> anyhow::Result<()> {
    let is_for_all =
        std::fs::metadata(node.path(&edit.path)).is_ok_and(|found| found.permissions().mode() & 0o004 != 0);
    let mode = if is_for_all { FileMode::Public } else { FileMode::Private };
    node.write(&edit.path, &edit.after, mode)?;
    ensure!(
        node.read_bytes(&edit.path)?.as_deref() == Some(&edit.after),
        "{:?} was written and holds something else now: somebody else writes it; run this again",
        edit.path
    );
    Ok(())
}

/// Runs PVE's own set-up until what it should mend is mended: its exit code proves nothing.
fn update_certificates(
    node: &Node,
    request: &Request,
    todo: &Plan,
    lock: &ClusterLock<'_>,
    deadline: Deadline,
) -> anyhow::Result<()> {
    let mut args = vec!["updatecerts"];
    args.extend(todo.certificate.as_ref().map(|_| "--force"));
    let (mut left, mut said) = (Vec::new(), String::new());
    for _ in 0..TRIES {
        let cmd = Cmd::new("pvecm", args.iter().copied(), deadline.left(node).max(Duration::from_secs(1)));
        said = node.run(&cmd)?.tail().replace('\n', " | ");
        lock.renew();
        let seen = look::look_at_files(node, request)?;
        left = seen.key_faults;
        left.extend(seen.certificate.fault.map(|fault| fault.text));
        if left.is_empty() {
            return Ok(());
        }
        if deadline.is_over(node) {
            break;
        }
    }
    bail!("\"pvecm {}\" did not mend it: {}; it said: {said}", args.join(" "), left.join("; "))
}

/// Proven by the certificate that it shows afterwards.
fn reload_api(node: &Node, deadline: Deadline) -> anyhow::Result<()> {
    let cmd = Cmd::new(
        "systemctl",
        ["reload-or-restart", "pveproxy"],
        deadline.left(node).max(Duration::from_secs(1)),
    );
    let said = node.run(&cmd)?;
    let address = observe::own_address(node)?;
    observe::wait_for_api(node, address, deadline).map(drop).with_context(|| match said.is_success() {
        true => "pveproxy was reloaded".to_owned(),
        false => format!("pveproxy could not be reloaded: {}", said.tail().replace('\n', " | ")),
    })
}
