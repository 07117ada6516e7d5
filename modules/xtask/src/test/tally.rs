//! Reads from a layer's log how many tests it ran, and the part worth showing of a failed one.

use std::fmt;

/// Lines of a failed layer's log that are shown.
const SHOWN: usize = 80;

/// Tests counted in a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Tally {
    /// Adds up the closing lines of cargo's and pytest's runs, and of ours (`N passed, N failed`).
    pub fn read(log: &str) -> Tally {
        let mut tally = Tally::default();
        for line in log.lines().filter(|line| is_closing(line)) {
            tally.passed += number_before(line, " passed");
            tally.failed += number_before(line, " failed") + number_before(line, " error");
            tally.ignored += number_before(line, " ignored") + number_before(line, " skipped");
        }
        // Our own scenarios, a line each: the verdict before or after the name. Ansible's tries before a wait is over
        // begin with the same word and are no verdict.
        for line in log.lines().filter(|line| !line.starts_with("FAILED - RETRYING")) {
            let mut words = line.split_whitespace().take(2);
            if words.clone().any(|word| word == "ok") {
                tally.passed += 1;
            } else if words.any(|word| word == "FAIL" || word == "FAILED") {
                tally.failed += 1;
            }
        }
        tally
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed + self.failed == 0 {
            return Ok(());
        }
        write!(f, "{} tests", self.passed + self.failed)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        if self.ignored > 0 {
            write!(f, ", {} left out", self.ignored)?;
        }
        Ok(())
    }
}

/// What a layer that passed says of itself: its tests, or the last line it printed.
pub fn summary(log: &str) -> String {
    let tally = Tally::read(log);
    if tally != Tally::default() {
        return tally.to_string();
    }
    let last = log.trim_end().lines().next_back().unwrap_or_default();
    if last.starts_with('$') { String::new() } else { last.to_owned() }
}

/// The end of a log, where the reason is.
pub fn excerpt(log: &str) -> String {
    let lines: Vec<&str> = log.trim_end().lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

fn is_closing(line: &str) -> bool {
    let bare = line.trim_matches(['=', ' ']);
    line.starts_with("test result: ")
        || (bare.starts_with(|c: char| c.is_ascii_digit())
            && (bare.contains(" passed") || bare.contains(" failed"))
            && (bare.contains(" in ") || bare.contains(" passed, ")))
}

fn number_before(line: &str, word: &str) -> usize {
    let Some(end) = line.find(word) else { return 0 };
    let digits = line[..end].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_cargo_and_pytest_are_added_up() {
        let log = "test result: ok. 10 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
                   3 passed, nothing of a closing line\n\
                   ===== 1 failed, 4 passed in 0.12s =====\n\
                   5 passed in 0.50s\n";
        assert_eq!(Tally::read(log), Tally { passed: 22, failed: 1, ignored: 2 });
    }

    #[test]
    fn scenarios_are_counted_by_their_lines() {
        let log = "fresh    ok    41.0 s  fresh nodes become one\nfourth   FAILED  2.0 s  a node is added\nok, done\n";
        assert_eq!(Tally::read(log), Tally { passed: 1, failed: 1, ignored: 0 });
    }

    #[test]
    fn a_wait_of_ansible_is_no_test_that_failed() {
        let log = "FAILED - RETRYING: [localhost]: Wait until corosync has noticed (30 retries left).\nok: [pve1]\n";
        assert_eq!(Tally::read(log), Tally::default());
    }

    #[test]
    fn a_layer_without_tests_says_what_it_did() {
        assert_eq!(summary("$ cargo build\n13 rules hold\n"), "13 rules hold");
        assert_eq!(summary("$ cargo fmt --check\n"), "");
        assert_eq!(summary("3 passed in 0.1s\ndone\n"), "3 tests");
    }

    #[test]
    fn a_log_without_tests_says_nothing() {
        assert_eq!(Tally::read("$ cargo fmt --check\n").to_string(), "");
    }
}
