//! One scenario at work: runs transcripts on its bench and keeps what came of each.

use std::time::{Duration, Instant};

use crate::bench::{Bench, address};
use crate::compare::{self, Known, fingerprint, must, shell, until};
use crate::listing::{Kind, Listing};
use crate::normalise;
use crate::transcript::{Outcome, Transcript, all, fits};

/// What came of a transcript.
#[derive(Debug)]
pub enum Verdict {
    /// The node answered as recorded.
    Same,
    /// It did not, and the list says that it would not.
    KnownToDiffer,
    /// Anything else.
    Wrong(String),
}

/// A scenario that runs.
pub struct Session<'a> {
    pub bench: Box<dyn Bench + 'a>,
    pub known: Known,
    listing: &'a Listing,
    pub verdicts: Vec<(String, Verdict)>,
}

/// What a node may take to become a member that is quorate.
pub const SETTLE: Duration = Duration::from_secs(60);

impl<'a> Session<'a> {
    pub fn new(bench: Box<dyn Bench + 'a>, listing: &'a Listing) -> Session<'a> {
        Session { bench, known: Known::default(), listing, verdicts: Vec::new() }
    }

    /// Runs one transcript.
    pub fn case(&mut self, path: &str) {
        match self.listing.kind(path) {
            Some(Kind::Genuine) if !self.bench.is_genuine() => return,
            Some(Kind::Outside) => panic!("{path} is listed as never modelled, yet a scenario runs it"),
            _ => {}
        }
        let transcript = Transcript::load(path);
        let recorded = normalise::outcome(path, &transcript.outcome());
        check_sharpness(path, &transcript.outcome(), &recorded);
        let begin = Instant::now();
        let found = compare::run(self.bench.as_ref(), &mut self.known, &transcript);
        let took = begin.elapsed();
        let found = normalise::outcome(path, &found);
        let is_listed = self.listing.kind(path) == Some(Kind::Deviates);
        let verdict = match (found == recorded, is_listed) {
            (true, false) => Verdict::Same,
            (false, true) => Verdict::KnownToDiffer,
            (true, true) => {
                Verdict::Wrong("agrees, but not_modelled.txt says that it deviates: strike it out".into())
            }
            (false, false) => Verdict::Wrong(difference(&recorded, &found)),
        };
        // Said at once: a suite that is stopped half-way has then still said what it found.
        let word = match &verdict {
            Verdict::Same => "ok",
            Verdict::KnownToDiffer => "known to differ",
            Verdict::Wrong(_) => "DIFFERS",
        };
        println!("{path}: {word} ({:.1} s)", took.as_secs_f32());
        if let Verdict::Wrong(why) = &verdict {
            println!("{}", why.trim_end_matches('\n'));
        }
        self.verdicts.push((path.to_owned(), verdict));
    }

    /// Runs these transcripts, in this order.
    pub fn sequence(&mut self, folder: &str, names: &str) {
        for name in names.split_whitespace() {
            self.case(&format!("{folder}/{name}"));
        }
    }

    /// Runs every transcript that fits and is not listed as never modelled: for what changes nothing on the nodes.
    pub fn all(&mut self, pattern: &str) {
        let fitting: Vec<String> = all().into_iter().filter(|path| fits(pattern, path)).collect();
        assert!(!fitting.is_empty(), "no transcript fits {pattern}");
        for path in fitting {
            let is_done = self.verdicts.iter().any(|(done, _)| *done == path);
            if !is_done && self.listing.kind(&path) != Some(Kind::Outside) {
                self.case(&path);
            }
        }
    }

    /// Fresh nodes, all of which serve.
    pub fn fresh(&mut self, nodes: &[&str]) {
        self.install(nodes, false);
    }

    /// The same name on another installation.
    pub fn reinstalled(&mut self, node: &str) {
        self.install(&[node], true);
    }

    fn install(&mut self, nodes: &[&str], with_new_keys: bool) {
        for node in nodes {
            self.bench.fresh(node, with_new_keys);
        }
        self.known.forget();
        for node in nodes {
            self.until_serving(node);
            self.bench.settled(node);
        }
    }

    pub fn until_serving(&self, node: &str) {
        let begin = Instant::now();
        while fingerprint(self.bench.as_ref(), &address(node, 0)).is_none() {
            assert!(begin.elapsed() < SETTLE, "{node} does not serve on 8006");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn must(&self, node: &str, command: &str) -> String {
        must(self.bench.as_ref(), node, command)
    }

    pub fn until(&self, node: &str, condition: &str) {
        until(self.bench.as_ref(), node, condition, SETTLE);
    }

    /// Until a node sees so many members online, quorate, and can write.
    pub fn until_quorate(&self, node: &str, members: usize) {
        let condition = format!(
            "grep -q '\"quorate\": 1' /etc/pve/.members && test $(grep -c '\"online\": 1' /etc/pve/.members) = {members} \
             && mkdir /etc/pve/priv/lock/contract 2>&1 && rmdir /etc/pve/priv/lock/contract"
        );
        self.until(node, &condition);
    }

    /// A cluster of fresh nodes, the first of which made it.
    pub fn cluster(&mut self, nodes: &[&str]) {
        self.cluster_with(nodes, |_| String::new());
    }

    /// The same with options of the node's own for create and add.
    pub fn cluster_with(&mut self, nodes: &[&str], options: impl Fn(&str) -> String) {
        self.fresh(nodes);
        let (first, others) = nodes.split_first().expect("a cluster has a node");
        self.must(first, &format!("pvecm create oracle {}", options(first)));
        self.until_quorate(first, 1);
        for (index, node) in others.iter().enumerate() {
            self.join(node, first, &options(node));
            self.until_quorate(first, index + 2);
        }
        self.known.forget();
    }

    /// Whether nodes take the time that PVE takes.
    pub fn delays(&self, nodes: &[&str], is_on: bool) {
        let command = if is_on { "rm /var/lib/pve-lab/delays" } else { "echo off >/var/lib/pve-lab/delays" };
        nodes.iter().for_each(|node| drop(self.must(node, command)));
    }

    /// Joins a node with root's password, and waits until it is a member.
    pub fn join(&self, node: &str, peer: &str, options: &str) {
        let peer = address(peer, 0);
        let fingerprint = fingerprint(self.bench.as_ref(), &peer).expect("the peer serves");
        let command = format!("pvecm add {peer} --fingerprint {fingerprint} {options}");
        let outcome = shell(self.bench.as_ref(), node, &command, "Secret123!\n");
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(said.contains("successfully added node"), "{node}: {command}: {said}");
        self.until(node, "grep -q '\"quorate\": 1' /etc/pve/.members");
    }
}

/// A comparison that would not notice a lost line, another status or an extra word compares nothing.
fn check_sharpness(path: &str, raw: &Outcome, recorded: &Outcome) {
    let noticed = |changed: Outcome| normalise::outcome(path, &changed) != *recorded;
    assert!(
        noticed(Outcome { exit: format!("{}1", raw.exit), ..raw.clone() }),
        "{path}: another status is not noticed"
    );
    let extra = format!("{}extra\n", raw.stdout);
    assert!(noticed(Outcome { stdout: extra, ..raw.clone() }), "{path}: an extra line is not noticed");
    let extra = format!("{}extra\n", raw.stderr);
    assert!(noticed(Outcome { stderr: extra, ..raw.clone() }), "{path}: an extra line is not noticed");
    let lines: Vec<&str> = raw.stdout.split_inclusive('\n').collect();
    for lost in (0..lines.len()).filter(|at| !lines[*at].trim().is_empty()).take(30) {
        let rest = [&lines[..lost], &lines[lost + 1..]].concat().concat();
        let line = lines[lost];
        if normalise::outcome(path, &Outcome { stdout: line.to_owned(), ..Outcome::default() })
            .stdout
            .is_empty()
        {
            continue;
        }
        assert!(
            noticed(Outcome { stdout: rest, ..raw.clone() }),
            "{path}: the loss of {line:?} is not noticed"
        );
    }
}

/// Both sides, line by line, where they differ.
fn difference(recorded: &Outcome, found: &Outcome) -> String {
    let mut out = String::new();
    if recorded.exit != found.exit {
        out.push_str(&format!("  exit: recorded {}, found {}\n", recorded.exit, found.exit));
    }
    for (name, recorded, found) in
        [("stdout", &recorded.stdout, &found.stdout), ("stderr", &recorded.stderr, &found.stderr)]
    {
        if recorded == found {
            continue;
        }
        out.push_str(&format!("  {name}:\n"));
        let (before, after): (Vec<&str>, Vec<&str>) = (recorded.lines().collect(), found.lines().collect());
        let same = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
        let tail =
            before[same..].iter().rev().zip(after[same..].iter().rev()).take_while(|(a, b)| a == b).count();
        before[..before.len() - tail][same..]
            .iter()
            .for_each(|line| out.push_str(&format!("    - {line}\n")));
        after[..after.len() - tail][same..].iter().for_each(|line| out.push_str(&format!("    + {line}\n")));
        if before == after {
            let end = |text: &str| format!("{:?}", text.chars().rev().take(20).collect::<Vec<_>>());
            out.push_str(&format!(
                "    ends: recorded {}, found {} (backwards)\n",
                end(recorded),
                end(found)
            ));
        }
    }
    out
}
