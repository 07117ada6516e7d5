//! Waves of joins: nodes that are admitted and started together, while every node writes down all the time what
//! corosync says of its quorum.

use anyhow::{Context, Result, ensure};

use super::scene::{Scene, same};
use crate::lab::Node;

/// Writes down votes and quorum several times a second until the flag is gone: nodes, expected votes, quorate. A corosync
/// that does not answer has no quorum.
const WATCH: &str = "while [ -e /run/watching ]; do corosync-quorumtool -s 2>/dev/null | awk '/^Nodes:/ {n = $2} \
                     /^Quorate:/ {q = $2} /^Expected votes:/ {print n, $3, q; told = 1} END {if (!told) print 0, 0, \"down\"}' \
                     >>/run/seen; sleep 0.2; done";

/// A sample of the watch.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    members: u32,
    expected: u32,
    is_quorate: bool,
}

/// Five nodes join as 1, 1, 2; first the wave of two fails as a whole, then it succeeds.
pub fn five(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(5)?;
    let (members, joiners) = (&nodes[..3], &nodes[3..]);
    for node in joiners {
        scene.sh(*node, "chmod 0644 /usr/sbin/corosync")?;
    }
    watch(scene, &nodes)?;
    let run = scene.play("site.yml", "wave-fails").run()?;
    ensure!(!run.is_success, "two nodes joined without corosync");
    for node in joiners {
        let said = run.failed.get(&node.name()).map(|told| told.join("\n")).unwrap_or_default();
        ensure!(said.contains("did not join") && said.contains("taken off the list"), "{node} says: {said}");
        scene.sh(*node, "chmod 0755 /usr/sbin/corosync")?;
    }
    scene.healthy(members)?;
    // Created, two admitted, two admitted, two taken off.
    same("config_version after the failed wave", &7, &scene.config_version(nodes[0])?)?;

    let second = scene.site("wave", &[])?;
    scene.healthy(&nodes)?;
    same("config_version", &9, &scene.config_version(nodes[0])?)?;
    let admissions = second.changed.iter().filter(|line| line.ends_with("Admit the nodes to the cluster"));
    same("admissions of the wave of two", &1, &admissions.count())?;
    proven(scene, &nodes)?;
    let again = scene.site("again", &[])?;
    same("changes of the next run", &Vec::<String>::new(), &again.changed)
}

/// Starts the watch on every node.
pub fn watch(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        scene.lab.write(*node, "/run/watch.sh", WATCH)?;
        let start = "rm -f /run/seen; touch /run/watching /run/seen; setsid sh /run/watch.sh </dev/null >/dev/null 2>&1 &";
        scene.sh(*node, start)?;
    }
    Ok(())
}

/// Ends the watch: no node that was quorate ever lost it, but for the second node of the cluster.
pub fn proven(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let seen = scene.sh(*node, "rm /run/watching; cat /run/seen")?;
        let samples = seen.lines().map(read).collect::<Result<Vec<_>>>()?;
        let quorate = samples.iter().filter(|sample| sample.is_quorate).count();
        ensure!(quorate > 3, "{node} was seen quorate {quorate} times only:\n{seen}");
        let lost = losses(&samples);
        ensure!(lost.is_empty(), "{node} lost quorum: {lost:?}\n{seen}");
        println!("  {node}: {} samples, {quorate} of them quorate", samples.len());
    }
    Ok(())
}

fn read(line: &str) -> Result<Sample> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [members, expected, verdict] = words[..] else { anyhow::bail!("no sample: {line:?}") };
    let number = |word: &str| word.parse().with_context(|| format!("no number in {line:?}"));
    Ok(Sample { members: number(members)?, expected: number(expected)?, is_quorate: verdict == "Yes" })
}

/// Samples without quorum after the first with it. A first node waits without quorum for the second.
fn losses(samples: &[Sample]) -> Vec<&Sample> {
    let once_quorate = samples.iter().skip_while(|sample| !sample.is_quorate);
    once_quorate.filter(|sample| !sample.is_quorate && (sample.members, sample.expected) != (1, 2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_step_to_two_nodes_may_cost_quorum() {
        let samples = |text: &str| text.lines().map(|line| read(line).unwrap()).collect::<Vec<_>>();
        assert!(losses(&samples("1 1 Yes\n1 2 No\n2 2 Yes\n2 3 Yes\n3 3 Yes")).is_empty());
        assert!(losses(&samples("1 5 No\n3 5 Yes")).is_empty());
        assert_eq!(losses(&samples("3 3 Yes\n3 6 No\n6 6 Yes")).len(), 1);
        assert_eq!(losses(&samples("0 0 down\n3 3 Yes\n0 0 down\n3 3 Yes")).len(), 1);
        assert!(read("Quorate: Yes").is_err());
    }
}
