//! What stays of pmxcfs' database when it makes way: beside PVE's own backups, under names of the same kind, the newest few.

use std::time::Duration;

use anyhow::Context;

use super::DATABASE;
use crate::operation::journal;
use crate::{Cmd, FileMode, Node, copies};

const DIR: &str = "/var/lib/pve-cluster/backup";
const BEGINNING: &str = "config-";
/// A dump's ending, and those of the files themselves.
const DUMP: &str = ".sql.gz";
const FILES: [&str; 2] = [".db", ".db-wal"];
const TOOL_TIME: Duration = Duration::from_secs(60);

/// A dump of the database, which stays where it is; in words.
pub(super) fn of_database(node: &Node) -> anyhow::Result<String> {
    let kept = new(node)?;
    let name = format!("{kept}.sql");
    let dump = node.run(&Cmd::new("sqlite3", [DATABASE[0], ".dump"], TOOL_TIME));
    let dump = dump.ok().filter(|output| output.is_success() && output.stdout.contains("COMMIT"));
    let Some(dump) = dump else {
        // The snapshot's time ends with the join: without a dump the files themselves stay, the log beside them too.
        for (path, ending) in DATABASE.iter().zip(FILES) {
            if let Some(bytes) = node.read_bytes(path)? {
                node.write(&format!("{kept}{ending}"), &bytes, FileMode::Private)?;
            }
        }
        forget_old(node)?;
        return Ok(format!("{kept}.db, as it is: sqlite3 can't read it"));
    };
    node.write(&name, dump.stdout.as_bytes(), FileMode::Private)?;
    node.run_ok(&Cmd::new("gzip", ["-f", name.as_str()], TOOL_TIME))?;
    forget_old(node)?;
    Ok(format!("{name}.gz"))
}

/// Moves the database out of the way, which needs no room on the disk.
pub(super) fn move_database(node: &Node) -> anyhow::Result<()> {
    let kept = new(node)?;
    for (path, ending) in DATABASE.iter().zip(FILES).filter(|(path, _)| node.exists(path)) {
        let to = format!("{kept}{ending}");
        std::fs::rename(node.path(path), node.path(&to))
            .with_context(|| format!("cannot move {path:?} to {to:?}"))?;
    }
    forget_old(node)
}

fn new(node: &Node) -> anyhow::Result<String> {
    node.create_private_dir(DIR)?;
    Ok(format!("{DIR}/{BEGINNING}{}", journal::unix_seconds(node)))
}

fn forget_old(node: &Node) -> anyhow::Result<()> {
    [DUMP, FILES[0], FILES[1]].iter().try_for_each(|ending| copies::forget_old(node, DIR, BEGINNING, ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    fn contents(node: &Node) -> Vec<String> {
        let read = |name: String| node.read(&format!("{DIR}/{name}")).unwrap().unwrap();
        node.list(DIR).unwrap().into_iter().map(read).collect()
    }

    fn without_sqlite3() -> Fake {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        fake.write(DATABASE[0], "everything that this node had");
        fake.write(DATABASE[1], "and its log");
        fake.answer(&format!("sqlite3 {} .dump", DATABASE[0]), 26, "");
        fake
    }

    #[test]
    fn a_database_that_sqlite3_cant_read_is_kept_as_it_is_and_the_newest_ten_stay() {
        let fake = without_sqlite3();
        let node = fake.node();
        let told = of_database(&node).unwrap();
        assert_eq!(contents(&node), ["everything that this node had", "and its log"], "{told}");
        for second in 10..30 {
            fake.write(&format!("{DIR}/config-17000000{second}.db"), "older");
        }
        of_database(&node).unwrap();
        let kept = node.list(DIR).unwrap();
        assert_eq!(kept.iter().filter(|name| name.ends_with(".db")).count(), copies::KEPT, "{kept:?}");
        assert!(contents(&node).contains(&"everything that this node had".to_owned()), "{kept:?}");
    }

    #[test]
    fn a_database_that_makes_way_is_moved() {
        let fake = without_sqlite3();
        let node = fake.node();
        move_database(&node).unwrap();
        assert!(DATABASE.iter().all(|path| !node.exists(path)));
        assert_eq!(contents(&node), ["everything that this node had", "and its log"]);
    }
}
