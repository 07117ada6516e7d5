//! A watcher on each node that writes down all the time what corosync says of its quorum, and the verdict on it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::lab::{Lab, Node};

/// Often enough to meet what lasts as long as corosync needs for a new membership.
pub const OFTEN: Duration = Duration::from_millis(200);
/// Writes down votes and quorum until the flag is gone: nodes, expected votes, quorate. A corosync that does not answer
/// has no quorum.
const WATCH: &str = "while [ -e /run/watching ]; do corosync-quorumtool -s 2>/dev/null | awk '/^Nodes:/ {n = $2} \
                     /^Quorate:/ {q = $2} /^Expected votes:/ {print n, $3, q; told = 1} END {if (!told) print 0, 0, \"down\"}' \
                     >>/run/seen; sleep \"$1\"; done";

/// A sample of the watch.
#[derive(Debug, PartialEq, Eq)]
pub struct Sample {
    members: u32,
    expected: u32,
    is_quorate: bool,
}

/// Starts the watch on every node.
pub fn start(lab: &Lab<'_>, nodes: &[Node], interval: Duration) -> Result<()> {
    for node in nodes {
        lab.write(*node, "/run/watch.sh", WATCH)?;
        let line = format!(
            "rm -f /run/seen; touch /run/watching /run/seen; setsid sh /run/watch.sh {} </dev/null >/dev/null 2>&1 &",
            interval.as_secs_f64()
        );
        lab.succeed(*node, &["sh", "-c", &line])?;
    }
    Ok(())
}

/// Ends the watch on a node; what it wrote down. A node that was without power meanwhile has nothing.
pub fn end(lab: &Lab<'_>, node: Node) -> Result<String> {
    lab.succeed(node, &["sh", "-c", "rm -f /run/watching; cat /run/seen 2>/dev/null; true"])
}

/// What was written down.
pub fn samples(seen: &str) -> Result<Vec<Sample>> {
    seen.lines().map(read).collect()
}

/// Ends the watch on every node: none that was quorate ever lost it, but for the second node of the cluster. Tells how
/// many samples that says.
pub fn proven(lab: &Lab<'_>, nodes: &[Node]) -> Result<usize> {
    let mut count = 0;
    for node in nodes {
        let samples = samples(&end(lab, *node)?)?;
        let quorate = samples.iter().filter(|sample| sample.is_quorate).count();
        ensure!(quorate > 3, "{node} was seen quorate {quorate} times only: {samples:?}");
        let lost = losses(&samples);
        ensure!(lost.is_empty(), "{node} lost quorum: {lost:?} of {samples:?}");
        println!("  {node}: {} samples, {quorate} of them quorate", samples.len());
        count += samples.len();
    }
    Ok(count)
}

fn read(line: &str) -> Result<Sample> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [members, expected, verdict] = words[..] else { bail!("no sample: {line:?}") };
    let number = |word: &str| word.parse().with_context(|| format!("no number in {line:?}"));
    Ok(Sample { members: number(members)?, expected: number(expected)?, is_quorate: verdict == "Yes" })
}

/// Samples without quorum after the first with it. A first node waits without quorum for the second.
pub fn losses(samples: &[Sample]) -> Vec<&Sample> {
    let once_quorate = samples.iter().skip_while(|sample| !sample.is_quorate);
    once_quorate.filter(|sample| !sample.is_quorate && (sample.members, sample.expected) != (1, 2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_step_to_two_nodes_may_cost_quorum() {
        let samples = |text: &str| samples(text).unwrap();
        assert!(losses(&samples("1 1 Yes\n1 2 No\n2 2 Yes\n2 3 Yes\n3 3 Yes")).is_empty());
        assert!(losses(&samples("1 5 No\n3 5 Yes")).is_empty());
        assert_eq!(losses(&samples("3 3 Yes\n3 6 No\n6 6 Yes")).len(), 1);
        assert_eq!(losses(&samples("0 0 down\n3 3 Yes\n0 0 down\n3 3 Yes")).len(), 1);
        assert!(read("Quorate: Yes").is_err());
    }
}
