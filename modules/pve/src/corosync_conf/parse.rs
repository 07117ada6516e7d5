//! Reading corosync.conf the way corosync itself does: line by line, `name {`, `}` and `key: value`.

use super::{CorosyncConf, Entry, Section};

/// The text is no corosync.conf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corosync.conf, line {line}: {what}")]
pub struct ConfError {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Sections of which there may be several under one name; PVE refuses any other repetition.
const REPEATED: [&str; 3] = ["node", "interface", "logger_subsys"];

/// Sections inside of sections; corosync's own keys need three. What is nested without end would take the stack.
const DEPTH: usize = 16;

pub(super) fn document(text: &str) -> Result<Section, ConfError> {
    let mut open: Vec<(String, Section)> = vec![(String::new(), Section::default())];
    let mut last = 0;
    for (index, line) in text.lines().enumerate() {
        last = index + 1;
        let error = |what: String| ConfError { line: index + 1, what };
        // PVE drops everything behind a #, corosync only lines that start with it; no value of PVE's has one.
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
        } else if let Some(name) = line.strip_suffix('{') {
            if open.len() > DEPTH {
                return Err(error(format!("sections are nested deeper than {DEPTH}")));
            }
            open.push((name.trim().to_owned(), Section::default()));
        } else if line == "}" {
            let (name, section) = open.pop().ok_or_else(|| error("unexpected '}'".to_owned()))?;
            let Some((_, parent)) = open.last_mut() else {
                return Err(error("'}' closes nothing".to_owned()));
            };
            add(parent, name, section).map_err(error)?;
        } else if let Some((key, value)) = line.split_once(':') {
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || value.is_empty() {
                return Err(error(format!("no value for {key:?}")));
            }
            if let Some((_, section)) = open.last_mut() {
                section.set(key, value);
            }
        } else {
            return Err(error(format!("missing ':' after key {line:?}")));
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some((_, root)), true) => Ok(root),
        (unclosed, _) => {
            let name = unclosed.map(|(name, _)| name).unwrap_or_default();
            Err(ConfError { line: last, what: format!("section {name:?} is not closed") })
        }
    }
}

fn add(parent: &mut Section, name: String, section: Section) -> Result<(), String> {
    match parent.entries.get(&name) {
        Some(Entry::Sections(_)) if !REPEATED.contains(&name.as_str()) => {
            Err(format!("section {name:?} is there twice"))
        }
        Some(Entry::Value(_)) => Err(format!("{name:?} is a value and a section")),
        _ => {
            parent.sections_mut(&name).push(section);
            Ok(())
        }
    }
}

impl std::str::FromStr for CorosyncConf {
    type Err = ConfError;

    fn from_str(text: &str) -> Result<Self, ConfError> {
        Self::parse(text)
    }
}
