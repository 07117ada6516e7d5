//! What this machine's kernel must allow for a lab of so many nodes: containers share its limits.

use std::fs;

use anyhow::{Context, Result};

/// systemd and its companions watch files in every node, all of them as one user.
const INOTIFY: &str = "/proc/sys/fs/inotify/max_user_instances";
const INOTIFY_OF_NODE: u32 = 8;
/// What else watches files on this machine.
const INOTIFY_OF_OTHERS: u32 = 64;

/// Raises what is too low for so many nodes; says so, since it stays until the next boot.
pub fn raise(nodes: usize) -> Result<()> {
    let has = fs::read_to_string(INOTIFY).with_context(|| format!("can't read {INOTIFY}"))?;
    let Some(needed) = lacking(has.trim().parse().context(INOTIFY)?, nodes) else { return Ok(()) };
    fs::write(INOTIFY, needed.to_string()).with_context(|| {
        format!("{nodes} nodes need fs.inotify.max_user_instances of {needed}: set it with sysctl as root of this machine")
    })?;
    eprintln!("lab: fs.inotify.max_user_instances of this machine is {needed} now, for {nodes} nodes");
    Ok(())
}

/// The limit that is needed, where it is more than there is.
fn lacking(has: u32, nodes: usize) -> Option<u32> {
    let needed = INOTIFY_OF_OTHERS + INOTIFY_OF_NODE.saturating_mul(u32::try_from(nodes).unwrap_or(u32::MAX));
    (needed > has).then_some(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_limit_that_is_too_low_is_raised() {
        assert_eq!(lacking(128, 3), None);
        assert_eq!(lacking(128, 17), Some(200));
        assert_eq!(lacking(8192, 33), None);
    }
}
