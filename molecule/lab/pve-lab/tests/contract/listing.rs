//! The one list of transcripts that are not simply modelled, each with its reason: `not_modelled.txt`.

use crate::transcript::{all, fits};

/// Why a transcript is on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answered by genuine programs that only the lab's containers have: compared there.
    Genuine,
    /// Nothing that an emulated node could or need answer.
    Outside,
    /// Runs, and is known to differ.
    Deviates,
}

struct Line {
    pattern: String,
    kind: Kind,
    reason: String,
}

/// The list.
pub struct Listing(Vec<Line>);

impl Listing {
    pub fn load() -> Listing {
        let text = include_str!("not_modelled.txt");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Listing(
            lines
                .map(|line| Line::parse(line).unwrap_or_else(|| panic!("not_modelled.txt: {line:?}")))
                .collect(),
        )
    }

    /// What the list says of a transcript.
    pub fn kind(&self, path: &str) -> Option<Kind> {
        self.0.iter().find(|line| fits(&line.pattern, path)).map(|line| line.kind)
    }

    /// Lines that fit no transcript, transcripts that several lines fit, lines without a reason.
    pub fn findings(&self) -> Vec<String> {
        let all = all();
        let mut findings = Vec::new();
        for line in &self.0 {
            if !all.iter().any(|path| fits(&line.pattern, path)) {
                findings.push(format!("not_modelled.txt lists {}, which does not exist", line.pattern));
            }
            if line.reason.is_empty() {
                findings.push(format!("not_modelled.txt gives no reason for {}", line.pattern));
            }
        }
        for path in &all {
            let count = self.0.iter().filter(|line| fits(&line.pattern, path)).count();
            if count > 1 {
                findings.push(format!("not_modelled.txt lists {path} {count} times"));
            }
        }
        findings
    }
}

impl Line {
    fn parse(line: &str) -> Option<Line> {
        let mut parts = line.splitn(3, '|').map(str::trim);
        let (pattern, kind, reason) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = match kind {
            "genuine" => Kind::Genuine,
            "outside" => Kind::Outside,
            "deviates" => Kind::Deviates,
            _ => return None,
        };
        Some(Line { pattern: pattern.to_owned(), kind, reason: reason.to_owned() })
    }
}
