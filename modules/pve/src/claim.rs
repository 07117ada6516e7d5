//! A claim on a node by a controller that is about to form a cluster. From its last look at the nodes until the cluster is
//! there, nothing is shared between them that could tell another controller: whoever claims every node first is the only one
//! who begins. One line below /run, with the second at which the claim ends by itself, and whose it is.

use std::time::Duration;

use anyhow::ensure;

use crate::node::FileMode;
use crate::operation::journal::unix_seconds;
use crate::seal::RUNTIME_DIR;
use crate::{Deadline, Node};

const PATH: &str = "/run/sddc-pve/claim";
const LOCK: &str = "/run/sddc-pve/claim.lock";

/// Claims this node for so many seconds, or for as many more; fails while somebody else has it.
pub fn take(node: &Node, owner: &str, lifetime: u64) -> anyhow::Result<()> {
    ensure!(!owner.is_empty(), "claim is empty: name this run");
    node.create_private_dir(RUNTIME_DIR)?;
    let _lock = node.lock(LOCK, Deadline::after(node, Duration::from_secs(10)))?;
    is_held(node, owner)?;
    let line = format!("{} {owner}", unix_seconds(node) + lifetime);
    node.write(PATH, line.as_bytes(), FileMode::Private).map(drop)
}

/// Ends the claim of this owner, if it is the one there is.
pub fn give_back(node: &Node, owner: &str) -> anyhow::Result<()> {
    match is_held(node, owner) {
        Ok(true) => node.remove(PATH).map(drop),
        // Somebody else's is none of ours.
        _ => Ok(()),
    }
}

/// Fails where a cluster may not be created by this owner of a claim, or by one who has made none.
pub fn check(node: &Node, owner: Option<&str>) -> anyhow::Result<()> {
    let is_mine = is_held(node, owner.unwrap_or_default())?;
    ensure!(is_mine || owner.is_none(), "the claim on this node has run out: run again");
    Ok(())
}

/// Whether this owner has the node; fails while somebody else has it.
fn is_held(node: &Node, owner: &str) -> anyhow::Result<bool> {
    let line = node.read(PATH)?.unwrap_or_default();
    let (until, other) = line.split_once(' ').unwrap_or_default();
    let left = until.parse::<u64>().unwrap_or_default().saturating_sub(unix_seconds(node));
    ensure!(
        left == 0 || other == owner,
        "another controller is about to form a cluster with this node, for {left} s at most: run again after that"
    );
    Ok(left > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn one_has_it_until_it_is_given_back_or_over() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        take(&node, "a", 60).unwrap();
        take(&node, "a", 60).expect("the same may claim it for longer");
        let error = take(&node, "b", 60).unwrap_err().to_string();
        assert!(error.contains("another controller is about to form a cluster"), "{error}");
        check(&node, Some("a")).unwrap();
        for stranger in [Some("b"), None] {
            assert!(check(&node, stranger).unwrap_err().to_string().contains("another controller"));
        }
        // Nobody gives back what is another's.
        give_back(&node, "b").unwrap();
        assert!(check(&node, None).is_err());
        give_back(&node, "a").unwrap();
        check(&node, None).unwrap();
        assert!(check(&node, Some("a")).unwrap_err().to_string().contains("run out"));
        // Who was killed gives nothing back.
        take(&node, "a", 3).unwrap();
        assert!(take(&node, "b", 60).is_err());
        node.sleep(Duration::from_secs(3));
        take(&node, "b", 60).unwrap();
        assert!(check(&node, Some("a")).is_err());
        assert!(take(&node, "", 60).is_err());
    }
}
