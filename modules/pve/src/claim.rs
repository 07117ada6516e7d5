//! A claim on a node by a controller that is about to form a cluster. From its last look at the nodes until the cluster is
//! there, nothing is shared between them that could tell another controller: whoever claims every node first is the only one
//! who begins. One line below /run, with the second at which the claim ends by itself, and whose it is.

use std::time::Duration;

use crate::node::FileMode;
use crate::operation::journal::unix_seconds;
use crate::seal::RUNTIME_DIR;
use crate::{Deadline, Node, Progress};

const PATH: &str = "/run/sddc-pve/claim";
const LOCK: &str = "/run/sddc-pve/claim.lock";
const LOOK: Duration = Duration::from_millis(250);

/// Claims this node for so many seconds, or for as many more, once nobody else does; tells whether somebody else did.
pub fn take(node: &Node, owner: &str, lifetime: u64, deadline: Deadline) -> anyhow::Result<bool> {
    node.create_private_dir(RUNTIME_DIR)?;
    let mut has_waited = false;
    deadline.wait(node, "this node to be free", LOOK, || {
        let _lock = node.lock(LOCK, deadline)?;
        if let Some((left, _)) = held(node)?.filter(|(_, other)| other != owner) {
            has_waited = true;
            return Ok(Progress::Pending(others(left)));
        }
        let line = format!("{} {owner}", unix_seconds(node) + lifetime);
        node.write(PATH, line.as_bytes(), FileMode::Private)?;
        Ok(Progress::Done(()))
    })?;
    Ok(has_waited)
}

/// Ends the claim of this owner, if it is the one there is.
pub fn give_back(node: &Node, owner: &str) -> anyhow::Result<()> {
    if held(node)?.is_some_and(|(_, other)| other == owner) {
        node.remove(PATH)?;
    }
    Ok(())
}

/// Why one who has claimed this node, or has not, may not create a cluster on it.
pub fn fault(node: &Node, owner: Option<&str>) -> anyhow::Result<Option<String>> {
    Ok(match (held(node)?, owner) {
        (Some((_, other)), Some(owner)) if other == owner => None,
        (Some((left, _)), _) => Some(others(left)),
        (None, Some(_)) => Some("the claim on this node has run out: run again".to_owned()),
        (None, None) => None,
    })
}

fn others(left: u64) -> String {
    format!(
        "another controller is about to form a cluster with this node (for {left} s at most): run again after that"
    )
}

/// Seconds that are left of a claim, and whose it is.
fn held(node: &Node) -> anyhow::Result<Option<(u64, String)>> {
    let line = node.read(PATH)?.unwrap_or_default();
    let parsed = line.split_once(' ').and_then(|(until, owner)| Some((until.parse::<u64>().ok()?, owner)));
    let left = |until: u64| until.checked_sub(unix_seconds(node)).filter(|left| *left > 0);
    Ok(parsed.and_then(|(until, owner)| Some((left(until)?, owner.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn one_has_it_until_it_is_given_back_or_over() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        let soon = || Deadline::after(&node, Duration::from_secs(2));
        assert!(!take(&node, "a", 60, soon()).unwrap());
        assert!(!take(&node, "a", 60, soon()).unwrap(), "the same may claim it for longer");
        let error = take(&node, "b", 60, soon()).unwrap_err().to_string();
        assert!(error.contains("another controller is about to form a cluster"), "{error}");
        assert_eq!(fault(&node, Some("a")).unwrap(), None);
        for stranger in [Some("b"), None] {
            assert!(fault(&node, stranger).unwrap().unwrap().contains("another controller"));
        }
        // Nobody gives back what is another's.
        give_back(&node, "b").unwrap();
        assert!(fault(&node, None).unwrap().is_some());
        give_back(&node, "a").unwrap();
        assert_eq!(fault(&node, None).unwrap(), None);
        assert!(fault(&node, Some("a")).unwrap().unwrap().contains("run out"));
        // Who was killed gives nothing back.
        assert!(!take(&node, "a", 1, soon()).unwrap());
        assert!(take(&node, "b", 60, soon()).unwrap(), "it was waited for");
        assert!(fault(&node, Some("a")).unwrap().is_some());
    }
}
