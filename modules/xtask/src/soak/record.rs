//! What the rounds so far have shown, kept in a file: it survives whoever is cut off, and belongs to one state of what is
//! tested.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figures::All;

/// The last rounds may cost this much more process time than the first ones: other work takes the caches away.
pub const TOLERANCE: f64 = 0.25;
/// Rounds at each end that are compared.
pub const END: usize = 10;

/// The rounds, and the rounds that failed.
#[derive(Default, Deserialize, Serialize)]
pub struct Record {
    /// Checksum of what was tested.
    tested: String,
    /// The rounds that were played to their end.
    pub rounds: Vec<Round>,
    /// Rounds that failed, and why.
    pub failures: Vec<String>,
    #[serde(skip)]
    path: PathBuf,
}

/// One round.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Round {
    pub number: usize,
    /// Which nodes it was played on.
    pub nodes: String,
    /// Wall clock.
    pub seconds: f64,
    /// Process time of the nodes and the controller.
    pub process_seconds: f64,
    /// The machine's load average.
    pub load_before: f64,
    pub load_after: f64,
    /// Wall clock of each play.
    pub plays: Vec<(String, f64)>,
    /// Figures while the nodes were one cluster.
    pub together: All,
    /// Figures when they were in none again.
    pub apart: All,
    /// What was more than in the first rounds.
    pub leaks: Vec<String>,
}

impl Round {
    /// As one line.
    pub fn line(&self) -> String {
        let plays: Vec<String> =
            self.plays.iter().map(|(label, seconds)| format!("{label} {seconds:.1}")).collect();
        let leaks = if self.leaks.is_empty() { "no leak".to_owned() } else { self.leaks.join("; ") };
        format!(
            "{:.1} s, {:.1} s of process time, load {:.1} to {:.1} ({}): {leaks}",
            self.seconds,
            self.process_seconds,
            self.load_before,
            self.load_after,
            plays.join(", ")
        )
    }
}

/// The first and the last rounds beside each other.
pub struct Ends {
    /// Rounds at each end.
    pub count: usize,
    /// Medians of the first and the last: wall clock.
    pub seconds: [f64; 2],
    /// Process time.
    pub process: [f64; 2],
    /// Load average, of both looks at it.
    pub load: [f64; 2],
}

impl Ends {
    /// Process time that the last rounds cost more, as a part of the first ones'.
    pub fn drift(&self) -> f64 {
        self.process[1] / self.process[0] - 1.0
    }
}

impl Record {
    /// The record of what is tested: rounds over something else are dropped, as all are with `is_anew`.
    pub fn open(path: PathBuf, tested: &str, is_anew: bool) -> Result<Record> {
        let kept = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Record>(&text).ok());
        let kept = kept.filter(|kept| kept.tested == tested && !is_anew);
        let record = kept.unwrap_or(Record { tested: tested.to_owned(), ..Record::default() });
        Ok(Record { path, ..record })
    }

    /// One round more.
    pub fn add(&mut self, round: Round) -> Result<()> {
        self.rounds.push(round);
        self.save()
    }

    /// A round that failed.
    pub fn fail(&mut self, number: usize, why: &str) -> Result<()> {
        self.failures.push(format!("round {number} failed: {why}"));
        self.save()
    }

    fn save(&self) -> Result<()> {
        let aside = self.path.with_extension("new");
        fs::write(&aside, serde_json::to_vec(self)?)?;
        fs::rename(&aside, &self.path).with_context(|| format!("can't write {}", self.path.display()))
    }

    /// What was more than in the first rounds, each with the rounds that it was seen in.
    pub fn leaks(&self) -> Vec<String> {
        let leaks = self
            .rounds
            .iter()
            .flat_map(|round| round.leaks.iter().map(move |leak| format!("round {}: {leak}", round.number)));
        leaks.collect()
    }

    /// The first and the last rounds: ten each, or half of all.
    pub fn ends(&self) -> Option<Ends> {
        let count = END.min(self.rounds.len() / 2);
        let ends = [self.rounds.get(..count)?, &self.rounds[self.rounds.len() - count..]];
        let medians = |of: fn(&Round) -> f64| ends.map(|rounds| median(rounds.iter().map(of).collect()));
        (count > 0).then(|| Ends {
            count,
            seconds: medians(|round| round.seconds),
            process: medians(|round| round.process_seconds),
            load: medians(|round| (round.load_before + round.load_after) / 2.0),
        })
    }

    /// Everything that speaks against what was tested.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = [self.failures.clone(), self.leaks()].concat();
        if let Some(ends) = self.ends().filter(|ends| ends.count == END && ends.drift() > TOLERANCE) {
            faults.push(format!(
                "the last {END} rounds cost {:.0} % more process time than the first: {:.1} s and {:.1} s",
                ends.drift() * 100.0,
                ends.process[1],
                ends.process[0]
            ));
        }
        faults
    }

    /// On how many sets of nodes it was played.
    pub fn sets(&self) -> usize {
        let mut sets: Vec<&str> = self.rounds.iter().map(|round| round.nodes.as_str()).collect();
        sets.dedup();
        sets.len()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
pub(super) fn example(costs: impl IntoIterator<Item = f64>) -> Record {
    let round = |(index, cost)| Round {
        number: index + 1,
        nodes: "a b c".to_owned(),
        seconds: 2.0 * cost,
        process_seconds: cost,
        ..Round::default()
    };
    Record { rounds: costs.into_iter().enumerate().map(round).collect(), ..Record::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_cut_off_goes_on_over_the_same_and_starts_over_with_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        let mut record = Record::open(path.clone(), "one", false).unwrap();
        record.add(Round { number: 1, ..Round::default() }).unwrap();
        let count = |tested, is_anew| Record::open(path.clone(), tested, is_anew).unwrap().rounds.len();
        assert_eq!((count("one", false), count("two", false), count("one", true)), (1, 0, 0));
        fs::write(&path, "half a rec").unwrap();
        assert_eq!(count("one", false), 0);
    }

    #[test]
    fn rounds_that_become_dearer_are_a_fault() {
        let slower = |by: f64| (0..50).map(move |round| 10.0 * (1.0 + by * f64::from(round) / 40.0));
        assert!(example(slower(0.2)).faults().is_empty());
        let faults = example(slower(0.4)).faults();
        assert!(faults[0].contains("more process time"), "{faults:?}");
        // One slow round is none.
        let once = (0..50).map(|round| if round == 48 { 90.0 } else { 10.0 });
        assert!(example(once).faults().is_empty());
        // Too few rounds to tell.
        assert!(example([1.0, 1.0, 9.0, 9.0]).faults().is_empty());
    }

    #[test]
    fn leaks_and_failures_are_faults() {
        let mut record = example([1.0, 1.0]);
        record.rounds[1].leaks.push("in no cluster: pve1: files /tmp: 4, at first 3".to_owned());
        record.failures.push("round 3 failed: x".to_owned());
        let faults = ["round 3 failed: x", "round 2: in no cluster: pve1: files /tmp: 4, at first 3"];
        assert_eq!(record.faults(), faults);
    }
}
