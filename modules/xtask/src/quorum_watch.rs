//! A watcher on each node that writes down all the time what corosync says of its quorum, and the verdict on it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::lab::{Lab, Node};

/// Often enough to meet what lasts as long as corosync needs for a new membership.
pub const OFTEN: Duration = Duration::from_millis(200);
/// Writes down time, votes and quorum until the flag is gone: seconds since boot, nodes, expected votes, quorate. A corosync
/// that does not answer twice has no quorum.
const WATCH: &str = "while [ -e /run/watching ]; do \
                     said=$(corosync-quorumtool -s 2>/dev/null); [ -n \"$said\" ] || said=$(corosync-quorumtool -s 2>/dev/null); \
                     read up idle </proc/uptime; \
                     echo \"$said\" | awk -v up=\"$up\" '/^Nodes:/ {n = $2} /^Quorate:/ {q = $2} /^Expected votes:/ {print up, n, $3, q; \
                     told = 1} END {if (!told) print up, 0, 0, \"down\"}' >>/run/seen; sleep \"$1\"; done";
/// A watcher that sees nothing for longer has not watched; many nodes on few processors are slow.
const BLIND: f64 = 30.0;

/// A sample of the watch.
#[derive(Debug, PartialEq)]
pub struct Sample {
    at: f64,
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

/// Ends the watch on every node, each of which was watched throughout: none that was quorate ever lost it, but for the
/// second node of the cluster. Tells how many samples that says.
pub fn proven(lab: &Lab<'_>, nodes: &[Node]) -> Result<usize> {
    let mut count = 0;
    for node in nodes {
        let samples = samples(&end(lab, *node)?)?;
        let quorate = samples.iter().filter(|sample| sample.is_quorate).count();
        ensure!(quorate > 3, "{node} was seen quorate {quorate} times only: {samples:?}");
        let lost = losses(&samples);
        ensure!(lost.is_empty(), "{node} lost quorum: {lost:?} of {samples:?}");
        let blind = longest_gap(&samples);
        ensure!(blind < BLIND, "{node} was not watched for {blind:.0} s");
        println!(
            "  {node}: {} samples, {quorate} of them quorate, {blind:.1} s apart at most",
            samples.len()
        );
        count += samples.len();
    }
    Ok(count)
}

fn read(line: &str) -> Result<Sample> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [at, members, expected, verdict] = words[..] else { bail!("no sample: {line:?}") };
    let number = |word: &str| word.parse().with_context(|| format!("no number in {line:?}"));
    let at = at.parse().with_context(|| format!("no time in {line:?}"))?;
    Ok(Sample { at, members: number(members)?, expected: number(expected)?, is_quorate: verdict == "Yes" })
}

/// Samples without quorum after the first with it. A first node, until then alone in its cluster, waits without quorum for
/// the second.
fn losses(samples: &[Sample]) -> Vec<&Sample> {
    let is_first = |index: usize| {
        let mut earlier = samples[..index].iter().filter(|sample| sample.is_quorate);
        // For a moment corosync expects the second vote and calls itself quorate still.
        earlier.all(|sample| sample.members == 1)
    };
    let is_waiting = |index, sample: &Sample| (sample.members, sample.expected) == (1, 2) && is_first(index);
    let once_quorate = samples.iter().enumerate().skip_while(|(_, sample)| !sample.is_quorate);
    let lost = once_quorate.filter(|(index, sample)| !sample.is_quorate && !is_waiting(*index, sample));
    lost.map(|(_, sample)| sample).collect()
}

/// Samples without quorum, of a node that had it all the time.
pub fn without_quorum(samples: &[Sample]) -> Vec<&Sample> {
    samples.iter().filter(|sample| !sample.is_quorate).collect()
}

fn longest_gap(samples: &[Sample]) -> f64 {
    samples.windows(2).map(|pair| pair[1].at - pair[0].at).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_step_to_two_nodes_may_cost_quorum() {
        let samples = |text: &str| {
            let timed = text.lines().enumerate().map(|(second, line)| format!("{second}.5 {line}\n"));
            samples(&timed.collect::<String>()).unwrap()
        };
        assert!(losses(&samples("1 1 Yes\n1 2 No\n2 2 Yes\n2 3 Yes\n3 3 Yes")).is_empty());
        assert!(losses(&samples("1 1 Yes\n1 2 Yes\n1 2 No\n2 2 Yes")).is_empty());
        assert!(losses(&samples("1 5 No\n3 5 Yes")).is_empty());
        assert_eq!(losses(&samples("3 3 Yes\n3 6 No\n6 6 Yes")).len(), 1);
        assert_eq!(losses(&samples("0 0 down\n3 3 Yes\n0 0 down\n3 3 Yes")).len(), 1);
        // The other one of two has gone, or one of three.
        assert_eq!(losses(&samples("2 2 Yes\n1 2 No\n2 2 Yes")).len(), 1);
        assert_eq!(losses(&samples("1 1 Yes\n1 2 No\n2 2 Yes\n1 2 No")).len(), 1);
        assert_eq!(without_quorum(&samples("0 0 down\n0 0 down")).len(), 2);
        assert!(read("Quorate: Yes").is_err() && read("1 1 Yes").is_err());
    }

    #[test]
    fn a_watcher_that_slept_is_seen() {
        let gap = longest_gap(&samples("10.5 1 1 Yes\n11.0 1 1 Yes\n52.0 1 1 Yes\n52.5 1 1 Yes\n").unwrap());
        assert!(gap == 41.0 && gap > BLIND, "{gap}");
        assert!(longest_gap(&samples("10.5 1 1 Yes\n").unwrap()) == 0.0);
    }
}
