//! What of a node could pile up from round to round: taken with ps, find, wc and systemctl, never by our modules. Knows how a
//! figure may behave, not what a round does.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::lab::{Lab, Node};

/// Counts by name, one `name=number` a line. Whoever looks is not counted.
const LOOK: &str = r#"export LC_ALL=C
say() { echo "$1=$2"; }
files() { say "files $1" "$(find "$1" ! -type d 2>/dev/null | wc -l)"; }
lines() { say "lines of $1" "$(cat "$1" 2>/dev/null | wc -l)"; }
ps -eo pid=,ppid=,comm= | awk -v me=$$ '$1 != me && $2 != me {print $3}' | sort | uniq -c | awk '{print "processes " $2 "=" $1}'
for dir in /run/sddc-pve /usr/local/lib/sddc-pve /root/.ssh /root/.ansible /tmp /var/tmp /dev/shm /etc/pve/priv/lock \
           /etc/pve /etc/corosync /var/lib/corosync /etc/ssh /etc/systemd /etc/sddc-pve /etc/cron.d /run/systemd/transient \
           /var/lib/sddc-pve/snapshots /var/lib/sddc-pve/operations /var/lib/sddc-pve/resets /var/lib/sddc-pve/removed \
           /var/lib/pve-cluster/backup; do files $dir; done
say "other files /var/lib/sddc-pve" "$(find /var/lib/sddc-pve ! -type d 2>/dev/null | grep -cvE '/(snapshots|operations|resets|removed)/')"
say "directories of ours" "$(find /run/sddc-pve /var/lib/sddc-pve /usr/local/lib/sddc-pve /root/.ansible -type d 2>/dev/null | wc -l)"
for file in /etc/pve/priv/authorized_keys /etc/pve/priv/known_hosts /root/.ssh/authorized_keys /root/.ssh/authorized_keys2 \
            /root/.ssh/known_hosts /root/.ssh/config /etc/ssh/ssh_known_hosts /etc/ssh/sshd_config /etc/hosts \
            /var/log/pve-cluster-audit.jsonl; do lines $file; done
say "units that failed" "$(systemctl list-units --all --state=failed --no-legend --plain | wc -l)"
say "units of ours" "$(systemctl list-units --all --no-legend --plain 'sddc-pve*' | wc -l)"
say "unit files" "$(systemctl list-unit-files --no-legend | wc -l)"
say "timers" "$(systemctl list-timers --all --no-legend | wc -l)"
say "mounts" "$(wc -l </proc/self/mounts)"
say "listening sockets" "$(ss -Hltunx | wc -l)"
say "packet filter rules" "$(nft list ruleset 2>/dev/null | wc -l)"
say "files open in systemd" "$(ls /proc/1/fd | wc -l)"
"#;

/// What turns over: the newest so many stay.
const PILES: &[(&str, u64)] = &[
    ("files /var/lib/sddc-pve/operations", 50),
    ("files /var/lib/sddc-pve/resets", 10),
    ("files /var/lib/sddc-pve/removed", 10),
    ("files /var/lib/pve-cluster/backup", 10),
];
/// What is a record, and grows by as much in each round.
const RECORDS: &[&str] = &["lines of /var/log/pve-cluster-audit.jsonl"];
/// Programs that systemd and cron start when they like, and a login that ends a moment later.
const PASSERS_BY: &[&str] = &[
    "processes systemd-tmpfile",
    "processes systemctl",
    "processes sshd-session",
    "processes apt.systemd.dai",
];
/// What ends by itself a moment after a round is looked for so long: workers of the API, connections.
const SETTLING: Duration = Duration::from_secs(30);
/// Rounds whose figures are the measure: the first makes what stays, the second and third show what comes and goes.
pub const MEASURE: usize = 3;

/// Figures of one node.
pub type Figures = BTreeMap<String, u64>;
/// Figures of every node by its name.
pub type All = BTreeMap<String, Figures>;

/// Looks at every node until no figure is above what the first rounds allow, or for long enough.
pub fn take(lab: &Lab<'_>, nodes: &[Node], earlier: &[&All]) -> Result<(All, Vec<String>)> {
    let deadline = Instant::now() + SETTLING;
    loop {
        let mut all = All::new();
        for node in nodes {
            let said = lab.succeed(*node, &["sh", "-c", LOOK])?;
            all.insert(node.name(), parse(&said).with_context(|| format!("figures of {node}"))?);
        }
        let leaks = leaks(earlier, &all);
        if leaks.is_empty() || Instant::now() >= deadline {
            return Ok((all, leaks));
        }
        thread::sleep(Duration::from_secs(2));
    }
}

fn parse(said: &str) -> Result<Figures> {
    let figure = |line: &str| {
        let (name, number) = line.rsplit_once('=').with_context(|| format!("no figure: {line:?}"))?;
        Ok((name.to_owned(), number.trim().parse().with_context(|| format!("no number: {line:?}"))?))
    };
    said.lines().map(figure).collect()
}

/// What of these figures is more than those of the earlier rounds allow: `earlier` begins with the first round of the nodes.
pub fn leaks(earlier: &[&All], now: &All) -> Vec<String> {
    let mut found = Vec::new();
    for (node, figures) in now {
        for (name, value) in figures {
            let was =
                |round: &&All| round.get(node).and_then(|figures| figures.get(name)).copied().unwrap_or(0);
            if let Some((_, bound)) = PILES.iter().find(|(pile, _)| pile == name) {
                if value > bound {
                    found.push(format!("{node}: {name}: {value}, more than {bound}"));
                }
            } else if earlier.len() < MEASURE || PASSERS_BY.contains(&name.as_str()) {
                // Nothing to compare with yet.
            } else if RECORDS.contains(&name.as_str()) {
                let values: Vec<u64> = earlier.iter().map(was).collect();
                let grown = |pair: &[u64]| pair[1].saturating_sub(pair[0]);
                let usual = values[..MEASURE].windows(2).map(grown).max().unwrap_or(0);
                let last = values.last().copied().unwrap_or(0);
                let growth = value.saturating_sub(last);
                if growth > usual {
                    found.push(format!("{node}: {name}: {growth} more than a round ago, usually {usual}"));
                }
            } else {
                let most = earlier[..MEASURE].iter().map(was).max().unwrap_or(0);
                if *value > most {
                    found.push(format!("{node}: {name}: {value}, at first {most}"));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(figures: &[(&str, u64)]) -> All {
        let figures = figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        All::from([("pve1".to_owned(), figures)])
    }

    fn found(earlier: &[All], now: &All) -> Vec<String> {
        leaks(&earlier.iter().collect::<Vec<_>>(), now)
    }

    #[test]
    fn a_figure_above_the_first_rounds_is_a_leak() {
        let round = |count| all(&[("files /tmp", count)]);
        let first = [round(1), round(3), round(2)];
        assert!(found(&first, &round(3)).is_empty());
        assert_eq!(found(&first, &round(4)), ["pve1: files /tmp: 4, at first 3"]);
        // A later round that was accepted is no measure.
        let more = [&first[..], &[round(4)]].concat();
        assert_eq!(found(&more, &round(4)).len(), 1);
        // What was not there at first has been nothing.
        assert_eq!(found(&first, &all(&[("processes pve", 1)])), ["pve1: processes pve: 1, at first 0"]);
        // With no rounds to compare with there is nothing to say.
        assert!(found(&first[..2], &round(9)).is_empty());
    }

    #[test]
    fn a_pile_may_grow_to_its_bound_and_no_further() {
        let round = |count| all(&[("files /var/lib/sddc-pve/resets", count)]);
        let first = [round(1), round(2), round(3)];
        assert!(found(&first, &round(10)).is_empty());
        assert_eq!(found(&[], &round(11)), ["pve1: files /var/lib/sddc-pve/resets: 11, more than 10"]);
    }

    #[test]
    fn a_record_grows_by_as_much_in_each_round() {
        let round = |count| all(&[("lines of /var/log/pve-cluster-audit.jsonl", count)]);
        let first = [round(5), round(11), round(17), round(23)];
        assert!(found(&first, &round(29)).is_empty());
        assert_eq!(found(&first, &round(30)).len(), 1);
    }

    #[test]
    fn figures_are_read_to_the_last_sign_of_equality() {
        let figures = parse("processes (sd-pam)=1\nlines of a=b=7\n").unwrap();
        assert_eq!(figures, Figures::from([("processes (sd-pam)".into(), 1), ("lines of a=b".into(), 7)]));
        assert!(parse("nothing").is_err() && parse("a=b").is_err());
    }
}
