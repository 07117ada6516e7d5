//! What was found out, a file a cell below target/faults, so that a run that was cut off goes on where it stopped.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::column::Column;
use super::rows::Row;
use crate::project::Project;

/// How a cell ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The operation succeeded all the same.
    ByItself,
    /// It had succeeded; the rerun found it so, and did what comes after it.
    Done,
    /// It took itself back; the rerun succeeded.
    RolledBack,
    /// It was cut off; the rerun finished it.
    Finished,
    /// It was cut off; the rerun took it back and did it anew.
    Undone,
    /// It failed or was cut off, and kept what it had done; the rerun went on from there.
    WentOn,
    /// The rerun was refused; what the refusal names was carried out, and the next run succeeded.
    Remedied,
    /// Something was lost, or it did not end well.
    #[default]
    #[serde(other)]
    Failed,
}

/// A cell and how it ended.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Cell {
    /// `join-second-4/link-cut`.
    pub name: String,
    /// The step's name.
    pub step: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What the first attempt said.
    pub first: String,
    /// What the rerun said.
    pub rerun: String,
    /// What a person had to do.
    pub remedy: String,
    /// Why it failed.
    pub error: String,
    /// How long it took, without what led to its beginning.
    pub seconds: f64,
    /// Version and commit of the product.
    pub product: String,
    /// When, as `date +%F`.
    pub date: String,
}

impl Cell {
    /// A cell that has not ended yet.
    pub fn of(row: Row, column: Column) -> Cell {
        Cell { name: name(row, column), step: row.name().to_owned(), ..Cell::default() }
    }
}

/// What a cell is called.
pub fn name(row: Row, column: Column) -> String {
    format!("{}/{}", row.word(), column.word())
}

/// The files.
pub struct Record {
    dir: PathBuf,
}

impl Record {
    /// The project's.
    pub fn open(project: &Project) -> Result<Record> {
        Record::at(project.target().join("faults"))
    }

    /// Those of a directory.
    pub fn at(dir: PathBuf) -> Result<Record> {
        fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        Ok(Record { dir })
    }

    /// What is known of a cell.
    pub fn of(&self, row: Row, column: Column) -> Option<Cell> {
        let text = fs::read_to_string(self.path(&name(row, column))).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Notes how it ended.
    pub fn add(&self, cell: &Cell) -> Result<()> {
        let path = self.path(&cell.name);
        let aside = path.with_extension("new");
        fs::write(&aside, serde_json::to_vec_pretty(cell)?)
            .and_then(|()| fs::rename(&aside, &path))
            .with_context(|| format!("can't write {}", path.display()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{}.json", name.replace('/', "--")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::at(dir.path().join("faults")).unwrap();
        let (row, column) = (Row::all()[3], Column::ALL[4]);
        assert!(record.of(row, column).is_none());
        let cell = Cell { outcome: Outcome::Finished, seconds: 3.5, ..Cell::of(row, column) };
        record.add(&cell).unwrap();
        assert_eq!(record.of(row, column).unwrap().outcome, Outcome::Finished);
        assert!(record.of(row, Column::ALL[5]).is_none());
    }
}
