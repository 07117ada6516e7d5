//! Whether the corosync of every member runs with the corosync.conf that was written last.
//!
//! pmxcfs has them read it once, a second after the write, and only on the node that wrote it (pve-cluster
//! `src/pmxcfs/dcdb.c`). Where the file was not there yet, or the ring was about to change, nobody asks again: that
//! corosync keeps the older list, does not know a node that was admitted, and the two never form a ring.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;

use crate::{Cmd, Deadline, Node, Progress, observe, quorumtool};

const TOOL_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);
/// What pmxcfs itself asks for comes a second after the write.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// The config version that the corosync of each joined member runs with, by node id; none where corosync does not answer.
pub fn config_versions(node: &Node, timeout: Duration) -> anyhow::Result<BTreeMap<u32, u64>> {
    match node.run(&Cmd::new("corosync-cmapctl", ["runtime.members"], timeout)) {
        Ok(output) => Ok(parse(&output.stdout)),
        Err(crate::RunError::NotFound { .. }) => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

/// Reads lines as `runtime.members.2.config_version (u64) = 3` (cmap_keys(8)). Of a member that left, the last version stays
/// there, and is not told.
pub fn parse(text: &str) -> BTreeMap<u32, u64> {
    let value = |of: &str, line: &str| {
        let (key, value) = line.split_once(" = ")?;
        let (id, rest) = key.strip_prefix("runtime.members.")?.split_once('.')?;
        (rest.split(' ').next() == Some(of)).then_some((id.parse::<u32>().ok()?, value.trim().to_owned()))
    };
    let statuses: BTreeMap<u32, String> = text.lines().filter_map(|line| value("status", line)).collect();
    let versions = text.lines().filter_map(|line| value("config_version", line));
    versions
        .filter(|(id, _)| statuses.get(id).is_some_and(|status| status == "joined"))
        .filter_map(|(id, version)| Some((id, version.parse().ok()?)))
        .collect()
}

/// Has every corosync read the file again, and waits until all run with the config version of pmxcfs' file.
pub fn reload(node: &Node, deadline: Deadline) -> anyhow::Result<u64> {
    ask(node)?;
    wait_until_loaded(node, deadline)
}

/// Waits until every corosync runs with the config version of pmxcfs' file, and asks for it where one does not; returns it.
/// Without quorum that can't be told of the others, but in a cluster of one whose second node is listed and not up.
pub fn wait_until_loaded(node: &Node, deadline: Deadline) -> anyhow::Result<u64> {
    let asked = Cell::new(node.monotonic());
    deadline.wait(
        node,
        "corosync of every member to run with the new corosync.conf (see playbooks/recover.yml)",
        LOOK,
        || {
            let conf = observe::shared_conf(node)?.context("this node is in no cluster")?;
            let version = conf.config_version().context("corosync.conf has no config_version")?;
            let quorum = quorumtool::query(node, TOOL_TIMEOUT)?.unwrap_or_default().quorum;
            let is_alone_with_second = conf.nodes().len() == 2 && quorum.members.len() == 1;
            if !quorum.quorate && !is_alone_with_second {
                return Ok(Progress::Pending("there is no quorum".to_owned()));
            }
            let versions = config_versions(node, TOOL_TIMEOUT)?;
            let name = |id: &u32| {
                let listed = conf.nodes().into_iter().find(|listed| listed.nodeid == *id);
                listed.map_or_else(|| format!("node id {id}"), |listed| listed.name)
            };
            let behind: Vec<String> = quorum
                .members
                .iter()
                .filter(|id| versions.get(*id) != Some(&version))
                .map(|id| match versions.get(id) {
                    Some(has) => format!("{} has config version {has}, not {version}", name(id)),
                    None => format!("{} tells no config version", name(id)),
                })
                .collect();
            if behind.is_empty() {
                return Ok(Progress::Done(version));
            }
            if node.monotonic().saturating_sub(asked.get()) >= ASK_AGAIN {
                asked.set(node.monotonic());
                // In a ring that changes nobody answers.
                if let Err(error) = ask(node) {
                    return Ok(Progress::Pending(format!("{}; {error:#}", behind.join(", "))));
                }
            }
            Ok(Progress::Pending(behind.join(", ")))
        },
    )
}

/// What comes of it is seen in the versions, not in its exit code.
fn ask(node: &Node) -> anyhow::Result<()> {
    node.run(&Cmd::new("corosync-cfgtool", ["-R"], TOOL_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, golden};

    #[test]
    fn versions_are_those_of_joined_members() {
        let told = |case: &str| parse(&golden::stdout(case));
        assert_eq!(told("12-three-nodes/pve1/cmapctl-membership"), [(1, 3), (2, 3), (3, 3)].into());
        assert_eq!(told("15-no-quorum/cmapctl-membership"), [(1, 10)].into());
        assert_eq!(told("01-standalone/cmapctl"), BTreeMap::new());
    }

    fn member() -> Fake {
        Fake::member("pve1", "10.88.0.11", &golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve"))
    }

    fn wait(fake: &Fake) -> anyhow::Result<u64> {
        let node = fake.node();
        wait_until_loaded(&node, Deadline::after(&node, Duration::from_secs(9)))
    }

    fn reloads(fake: &Fake) -> usize {
        fake.calls().iter().filter(|line| *line == "corosync-cfgtool -R").count()
    }

    #[test]
    fn who_has_it_is_not_asked_and_who_has_not_is_until_it_does() {
        let fake = member();
        assert_eq!((wait(&fake).unwrap(), reloads(&fake)), (3, 0));
        fake.machine().behind.insert(2, 2);
        let asked = std::sync::atomic::AtomicU32::new(0);
        fake.on(move |_, cmd| {
            // The first is lost, as into a ring that changes.
            let is_first =
                cmd.args == ["-R"] && asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            is_first.then(|| Ok(crate::Output::default()))
        });
        assert_eq!((wait(&fake).unwrap(), reloads(&fake)), (3, 2));
    }

    #[test]
    fn a_ring_that_does_not_answer_is_asked_again() {
        let fake = member();
        fake.machine().behind.insert(2, 2);
        let mut asked = 0;
        fake.on(move |_, cmd| {
            asked += u32::from(cmd.args == ["-R"]);
            let error =
                crate::RunError::TimedOut { line: cmd.line(), timeout: TOOL_TIMEOUT, tail: String::new() };
            (cmd.args == ["-R"] && asked == 1).then_some(Err(error))
        });
        assert_eq!((wait(&fake).unwrap(), reloads(&fake)), (3, 2));
    }

    #[test]
    fn who_stays_behind_is_named() {
        let fake = member();
        fake.machine().behind.insert(2, 2);
        fake.answer("corosync-cfgtool -R", 0, "Reloading corosync.conf...\nDone\n");
        let error = wait(&fake).unwrap_err().to_string();
        assert!(error.contains("pve2 has config version 2, not 3"), "{error}");
    }

    #[test]
    fn without_quorum_it_is_not_told_but_of_the_first_of_two() {
        let fake = member();
        fake.machine().online = Some(["pve1".to_owned()].into());
        let error = wait(&fake).unwrap_err().to_string();
        assert!(error.contains("there is no quorum"), "{error}");
        let text = golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
        let mut conf = crate::corosync_conf::CorosyncConf::parse(&text).unwrap();
        conf.remove_node("pve3");
        let second = Fake::member("pve1", "10.88.0.11", &conf.render());
        second.machine().online = Some(["pve1".to_owned()].into());
        assert_eq!(wait(&second).unwrap(), 3);
    }
}
