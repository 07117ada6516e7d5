//! Checks and their verdict. A check never stops another one: all run, and what was found is one report.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// How much a failed check weighs.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It fails the whole.
    Error,
    /// It is shown.
    Warning,
    /// It is told.
    Info,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// Not as it should be, and told not to mind.
    Ignored,
    /// What it looks at could not be read.
    CouldNotCheck,
    /// It does not apply here.
    Skipped,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Passed(String),
    /// Not as it should be.
    Failed {
        /// What is.
        finding: String,
        /// What to do.
        hint: String,
    },
    /// Not as it should be, but only worth a warning, whatever the check weighs.
    Warned {
        /// What is.
        finding: String,
        /// What to do.
        hint: String,
    },
    /// It does not apply; the text says why.
    Skipped(String),
}

impl Finding {
    /// As it should be.
    pub fn passed(finding: impl Into<String>) -> anyhow::Result<Self> {
        Ok(Self::Passed(finding.into()))
    }

    /// Not as it should be, and what to do.
    pub fn failed(finding: impl Into<String>, hint: impl Into<String>) -> anyhow::Result<Self> {
        Ok(Self::Failed { finding: finding.into(), hint: hint.into() })
    }

    /// Worth a warning, and what to do.
    pub fn warned(finding: impl Into<String>, hint: impl Into<String>) -> anyhow::Result<Self> {
        Ok(Self::Warned { finding: finding.into(), hint: hint.into() })
    }

    /// It does not apply here.
    pub fn skipped(why: impl Into<String>) -> anyhow::Result<Self> {
        Ok(Self::Skipped(why.into()))
    }
}

/// A check in the report.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct CheckReport {
    /// Stable kebab-case name.
    pub id: String,
    /// How much it weighs.
    pub severity: Severity,
    /// What came of it.
    pub status: Status,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    pub hint: String,
}

impl CheckReport {
    /// From what a check found; an error means it could not be checked.
    pub fn new(id: &str, severity: Severity, found: anyhow::Result<Finding>) -> Self {
        let severity = match (&found, severity) {
            (Ok(Finding::Warned { .. }), Severity::Error) => Severity::Warning,
            _ => severity,
        };
        let (status, finding, hint) = match found {
            Ok(Finding::Passed(finding)) => (Status::Passed, finding, String::new()),
            Ok(Finding::Failed { finding, hint } | Finding::Warned { finding, hint }) => {
                (Status::Failed, finding, hint)
            }
            Ok(Finding::Skipped(finding)) => (Status::Skipped, finding, String::new()),
            Err(error) => (Status::CouldNotCheck, format!("could not check: {error:#}"), String::new()),
        };
        Self { id: id.to_owned(), severity, status, finding, hint }
    }

    /// Whether it fails the whole: what could not be checked is not known to be right.
    pub fn is_fatal(&self) -> bool {
        self.severity == Severity::Error && self.is_unmet()
    }

    /// Whether there is something to tell beside the good news.
    pub fn is_unmet(&self) -> bool {
        matches!(self.status, Status::Failed | Status::CouldNotCheck)
    }

    /// `[ERROR id] finding (hint)`.
    pub fn line(&self) -> String {
        let word = match self.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
            Severity::Info => "INFO",
        };
        let mut line = format!("[{word} {}] {}", self.id, self.finding);
        if !self.hint.is_empty() {
            let _ = write!(line, " ({})", self.hint);
        }
        line
    }
}

/// One line for each check that fails the whole.
pub fn fatal_lines(checks: &[CheckReport]) -> Vec<String> {
    checks.iter().filter(|check| check.is_fatal()).map(CheckReport::line).collect()
}

/// One line for each check that is worth a warning: warnings, and errors that were ignored.
pub fn warning_lines(checks: &[CheckReport]) -> Vec<String> {
    let told = checks.iter().filter(|check| {
        (check.severity == Severity::Warning && check.is_unmet()) || check.status == Status::Ignored
    });
    told.map(|check| match check.status {
        Status::Ignored => format!("ignored: {}", check.line()),
        _ => check.line(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_checked_fails_the_whole() {
        let report = |severity, found| CheckReport::new("some-check", severity, found);
        let unknown = report(Severity::Error, Err(anyhow::anyhow!("no answer").context("asking")));
        assert!(unknown.is_fatal());
        assert_eq!(unknown.line(), "[ERROR some-check] could not check: asking: no answer");
        assert!(!report(Severity::Warning, Finding::failed("a", "b")).is_fatal());
        assert!(!report(Severity::Error, Finding::warned("a", "b")).is_fatal());
        assert!(report(Severity::Error, Finding::failed("a", "b")).is_fatal());
        assert!(!report(Severity::Error, Finding::skipped("no peers")).is_fatal());
    }

    #[test]
    fn a_line_holds_finding_and_remedy_and_what_is_ignored_stays_visible() {
        let mut check = CheckReport::new(
            "no-guests",
            Severity::Error,
            Finding::failed("guest 100 exists", "move it away"),
        );
        assert_eq!(fatal_lines(&[check.clone()]), ["[ERROR no-guests] guest 100 exists (move it away)"]);
        check.status = Status::Ignored;
        assert!(fatal_lines(&[check.clone()]).is_empty());
        assert_eq!(warning_lines(&[check]), ["ignored: [ERROR no-guests] guest 100 exists (move it away)"]);
    }
}
