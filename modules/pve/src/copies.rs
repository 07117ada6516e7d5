//! Copies that stay of what an operation is about to remove: tarballs that only root reads, the newest few of a kind. They
//! hold private keys, so they are no archive. Knows nothing of what is copied.

use anyhow::{Context, ensure};

use crate::operation::Run;
use crate::{Cmd, Node};

/// How many stay of each kind: as many as PVE keeps of its own backups of pmxcfs' database.
pub const KEPT: usize = 10;
const ENDING: &str = ".gz";

/// Keeps a copy of a directory below `folder` under the operation's name; returns its path. The first copy counts: after a
/// crash there may be little left to copy.
pub fn keep(run: &Run<'_>, folder: &str, directory: &str) -> anyhow::Result<String> {
    let node = run.node;
    let path = path(run, folder);
    if node.exists(&path) {
        return Ok(path);
    }
    node.create_private_dir(folder)?;
    let partial = format!("{path}.partial");
    let args =
        ["--create", "--gzip", "--file", &partial, "--directory", "/", directory.trim_start_matches('/')];
    let output = node.run(&Cmd::new("tar", args, run.deadline.left(node)))?;
    // 1: a file changed while it was read, as pmxcfs' own logs do.
    ensure!(
        matches!(output.code, Some(0 | 1)) && node.exists(&partial),
        "can't keep a copy of {directory:?}, so nothing was removed: {}",
        output.tail()
    );
    std::fs::rename(node.path(&partial), node.path(&path))
        .with_context(|| format!("can't write {path:?}"))?;
    forget_old(node, folder, "", ENDING)?;
    Ok(path)
}

/// Where the copy of this operation is, once it was made.
pub fn path(run: &Run<'_>, folder: &str) -> String {
    format!("{folder}/{}.tar{ENDING}", run.id())
}

/// Removes all but the newest files of a folder whose names, which sort by their time, begin and end so.
pub fn forget_old(node: &Node, folder: &str, beginning: &str, ending: &str) -> anyhow::Result<()> {
    let mut names = node.list(folder)?;
    names.retain(|name| name.starts_with(beginning) && name.ends_with(ending));
    for name in &names[..names.len().saturating_sub(KEPT)] {
        node.remove(&format!("{folder}/{name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn the_newest_stay_and_nobody_elses_file_goes() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        for second in 10..25 {
            fake.write(&format!("/var/backup/config-17000000{second}.sql.gz"), "x");
        }
        for other in ["/var/backup/README", "/var/backup/another.gz", "/var/backup/config-1.sql.gz.partial"] {
            fake.write(other, "x");
        }
        forget_old(&node, "/var/backup", "config-", ENDING).unwrap();
        let left = node.list("/var/backup").unwrap();
        assert_eq!(left.len(), KEPT + 3, "{left:?}");
        assert!(left.contains(&"config-1700000015.sql.gz".to_owned()), "{left:?}");
        assert!(!left.contains(&"config-1700000014.sql.gz".to_owned()), "{left:?}");
        forget_old(&node, "/nowhere", "", ENDING).unwrap();
    }
}
