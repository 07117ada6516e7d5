//! What a full run has proved already, so that one that was cut off goes on where it stopped.
//! Belongs to one state of the sources: any change starts over.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::command::Cmd;
use crate::project::Project;

/// The layers that passed, over one state of the sources.
pub struct Record {
    path: PathBuf,
    content: Content,
}

#[derive(Serialize, Deserialize, Default)]
struct Content {
    sources: String,
    /// Layer, and when it passed.
    passed: BTreeMap<String, String>,
}

impl Record {
    /// The record of these sources: what was found out over others is dropped.
    pub fn open(project: &Project) -> Result<Record> {
        Record::of(project.target().join("test-logs/full.json"), digest(project)?)
    }

    fn of(path: PathBuf, sources: String) -> Result<Record> {
        let kept =
            fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Content>(&text).ok());
        let content = kept.filter(|content| content.sources == sources);
        Ok(Record { path, content: content.unwrap_or(Content { sources, passed: BTreeMap::new() }) })
    }

    /// When this layer passed.
    pub fn passed(&self, layer: &str) -> Option<&str> {
        self.content.passed.get(layer).map(String::as_str)
    }

    /// Notes that a layer passed.
    pub fn add(&mut self, layer: &str) -> Result<()> {
        if self.content.passed.contains_key(layer) {
            return Ok(());
        }
        let now = Cmd::new("date").arg("+%F %H:%M").read()?;
        self.content.passed.insert(layer.to_owned(), now.trim().to_owned());
        let aside = self.path.with_extension("new");
        fs::write(&aside, serde_json::to_vec_pretty(&self.content)?)?;
        fs::rename(&aside, &self.path).with_context(|| format!("can't write {}", self.path.display()))
    }
}

/// Git's name for the sources as they are, committed or not: a tree written from an index of our own.
fn digest(project: &Project) -> Result<String> {
    let index = project.target().join("test-logs/index");
    let git = |args: &[&str]| Cmd::new("git").args(args).env("GIT_INDEX_FILE", &index).dir(project.root());
    git(&["add", "--all"]).read()?;
    Ok(git(&["write-tree"]).read()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_for_the_same_sources_and_dropped_for_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full.json");
        let mut record = Record::of(path.clone(), "one".into()).unwrap();
        assert_eq!(record.passed("unit"), None);
        record.add("unit").unwrap();
        assert!(Record::of(path.clone(), "one".into()).unwrap().passed("unit").is_some());
        assert_eq!(Record::of(path, "two".into()).unwrap().passed("unit"), None);
    }
}
