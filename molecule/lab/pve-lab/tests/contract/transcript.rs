//! A golden transcript as data: header, sections, and what is needed to run it again. Knows neither nodes nor how
//! outputs are compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the transcripts are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// One recorded command.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// Path below the golden folder, without `.txt`.
    pub path: String,
    header: BTreeMap<String, String>,
    sections: Vec<(String, String)>,
}

/// How a command was given to its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// A shell without a terminal, and what its standard input held.
    Shell(String),
    /// A terminal, where prompts were answered.
    Terminal(Vec<Answer>),
    /// A raw request over TLS.
    Https(String),
    /// A recording of several things over time, or by hand.
    Other,
}

/// What was typed at a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// A regular expression for the end of what the screen shows.
    pub prompt: String,
    /// None: the interrupt key.
    pub typed: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `0`, `255`, or `HTTP 200`.
    pub exit: String,
    /// Standard output, the screen, or the head of the response.
    pub stdout: String,
    /// Standard error, or the body of the response.
    pub stderr: String,
}

impl Transcript {
    pub fn load(path: &str) -> Transcript {
        let file = folder().join(format!("{path}.txt"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Transcript { path: path.to_owned(), ..Transcript::parse(&text) }
    }

    fn parse(text: &str) -> Transcript {
        let mut transcript = Transcript::default();
        let mut key = String::new();
        for line in text.split_inclusive('\n') {
            if let Some(name) = line.strip_prefix("===== ").and_then(|rest| rest.strip_suffix(" =====\n")) {
                transcript.sections.push((name.to_owned(), String::new()));
            } else if let Some((_, section)) = transcript.sections.last_mut() {
                match line.strip_prefix("\\ no newline at end") {
                    Some(_) => section.truncate(section.len().saturating_sub(1)),
                    None => section.push_str(line),
                }
            } else if let Some((name, value)) = line.strip_prefix("# ").and_then(|line| line.split_once(": "))
            {
                key = name.to_owned();
                transcript.header.insert(key.clone(), value.trim_end_matches('\n').to_owned());
            } else if let Some(value) = transcript.header.get_mut(&key) {
                value.push('\n');
                value.push_str(line.trim_end_matches('\n'));
            }
        }
        transcript
    }

    pub fn get(&self, key: &str) -> &str {
        self.header.get(key).map_or("", String::as_str)
    }

    pub fn node(&self) -> &str {
        self.get("node")
    }

    pub fn command(&self) -> &str {
        self.get("command")
    }

    pub fn section(&self, name: &str) -> Option<&str> {
        self.sections.iter().find(|(found, _)| found.starts_with(name)).map(|(_, text)| text.as_str())
    }

    pub fn via(&self) -> Via {
        let via = self.get("via");
        if let Some(request) = self.section("request") {
            return Via::Https(request.to_owned());
        }
        if via.contains("pty)") {
            return Via::Terminal(
                self.section("answers").unwrap_or_default().lines().filter_map(answer).collect(),
            );
        }
        if let (true, Some(input)) = (self.section("stdout").is_some(), standard_input(via)) {
            return Via::Shell(input);
        }
        Via::Other
    }

    /// What was recorded, in the form in which a run comes back.
    pub fn outcome(&self) -> Outcome {
        let text = |name: &str| self.section(name).unwrap_or_default().to_owned();
        let (stdout, stderr) = match self.via() {
            Via::Https(_) => (text("response head"), text("response body")),
            Via::Terminal(_) => (text("terminal"), String::new()),
            _ => (text("stdout"), text("stderr")),
        };
        Outcome { exit: self.get("exit").to_owned(), stdout, stderr }
    }
}

fn standard_input(via: &str) -> Option<String> {
    if let Some((_, rest)) = via.split_once("stdin b'") {
        return Some(rest.strip_suffix('\'')?.replace("\\n", "\n"));
    }
    (via.contains("no pty") || via.starts_with("nsenter")).then(String::new)
}

/// `0.94s prompt /password for '[^']*': / -> sent 'wrong'`
fn answer(line: &str) -> Option<Answer> {
    let (prompt, typed) = line.split_once(" prompt /")?.1.rsplit_once("/ -> sent ")?;
    let typed = typed.strip_prefix('\'').and_then(|typed| typed.strip_suffix('\'')).map(str::to_owned);
    Some(Answer { prompt: prompt.to_owned(), typed })
}

/// Every transcript there is.
pub fn all() -> Vec<String> {
    let mut found = Vec::new();
    collect(&folder(), "", &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, below: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the golden folder is readable") {
        let entry = entry.expect("the golden folder is readable");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if entry.path().is_dir() {
            collect(&entry.path(), &path, found);
        } else if let Some(case) = path.strip_suffix(".txt") {
            found.push(case.to_owned());
        }
    }
}

/// Whether a path fits a pattern with `*` for any run of characters.
pub fn fits(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((start, rest)) => path.strip_prefix(start).is_some_and(|left| {
            (0..=left.len()).filter(|at| left.is_char_boundary(*at)).any(|at| fits(rest, &left[at..]))
        }),
    }
}

/// Proves of the parser what the suite stands on; called before anything else.
pub fn check_parser() {
    let refused = Transcript::load("07-add-errors/wrong-password");
    let expected = Answer { prompt: "password for '[^']*': ".into(), typed: Some("wrong".into()) };
    match refused.via() {
        Via::Terminal(answers) => assert_eq!((answers.len(), &answers[0]), (2, &expected)),
        other => panic!("wrong-password ran on a terminal, not {other:?}"),
    }
    assert!(refused.outcome().stdout.ends_with("\n401 authentication failure\n"));
    let piped = Transcript::load("07-add-errors/no-pty-wrong-password-on-stdin");
    assert_eq!(piped.via(), Via::Shell("wrong\n".into()));
    let body = Transcript::load("02-http-standalone/ticket-GET-config-nodes").outcome();
    assert_eq!((body.exit.as_str(), body.stderr.as_str()), ("HTTP 200", "{\"data\":[]}"));
    let long = Transcript::load("40-pmxcfs/replication-visibility");
    assert!(long.command().ends_with("\nX"), "a command goes on over several lines");
    assert!(fits("1*/a*c", "12/abc") && !fits("1*/a*c", "12/abd"));
}
