//! Takes a node off corosync.conf, by PVE's own program where that is safe. What may be taken off is decided by
//! `withdrawal` and `removal`, and whether it is off is theirs to see.

use anyhow::{Context, ensure};

use crate::cluster_lock::{ClusterLock, OF_PVE};
use crate::gather::SHARED_CONF;
use crate::operation::Run;
use crate::{Cmd, FileMode, observe};

/// Takes a node off the list; returns what was said, which proves nothing.
///
/// `pvecm delnode` has corosync kill the node's *id* before it writes the list (`PVE::API2::ClusterConfig`). Where another
/// node has the same id, that one would be hit: on a member of that id, quorum would go before the list is written, and
/// corosync would not start with the list as it is. So there the list is written directly.
pub(crate) fn ask(run: &Run<'_>, name: &str) -> anyhow::Result<String> {
    let node = run.node;
    let shared = || observe::shared_conf(node)?.context("this node is in no cluster");
    if shared()?.shares_id(name) {
        let _lock = ClusterLock::take(node, OF_PVE, run.deadline)?;
        let mut conf = shared()?;
        let known = conf.findings();
        conf.remove_node(name);
        conf.increase_version();
        let new: Vec<String> = conf.findings().into_iter().filter(|found| !known.contains(found)).collect();
        ensure!(new.is_empty(), "corosync.conf would be wrong, and was not changed: {}", new.join("; "));
        node.write(SHARED_CONF, conf.render().as_bytes(), FileMode::Public)?;
        return Ok("nobody was killed: its node id is another node's too".to_owned());
    }
    let output = node.run(&Cmd::new("pvecm", ["delnode", name], run.deadline.left(node)))?;
    // "Could not kill node (error = CS_ERR_NOT_EXIST)" is what it says of every node that is off.
    Ok(output.tail().replace('\n', " | "))
}
