//! What was found out, a file a cell below target/faults, so that a run that was cut off goes on where it stopped; what
//! the table is made of is kept with it, a line a cell in docs/faults.jsonl, so that another checkout goes on too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

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
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first: String,
    /// What the rerun said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rerun: String,
    /// What a person had to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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

const KEPT: &str = "docs/faults.jsonl";

/// The files.
pub struct Record {
    dir: PathBuf,
    /// Cells of other checkouts, by name.
    kept: BTreeMap<String, Cell>,
}

impl Record {
    /// The project's.
    pub fn open(project: &Project) -> Result<Record> {
        let mut record = Record::at(project.target().join("faults"))?;
        record.kept = kept(&project.path(KEPT))?;
        Ok(record)
    }

    /// Those of a directory.
    pub fn at(dir: PathBuf) -> Result<Record> {
        fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        Ok(Record { dir, kept: BTreeMap::new() })
    }

    /// What is known of a cell.
    pub fn of(&self, row: Row, column: Column) -> Option<Cell> {
        let name = name(row, column);
        let own = fs::read_to_string(self.path(&name)).ok().and_then(|text| serde_json::from_str(&text).ok());
        own.or_else(|| self.kept.get(&name).cloned())
    }

    /// Writes down for other checkouts how these cells ended; who wants every word plays them again.
    pub fn keep(project: &Project, cells: &[Cell]) -> Result<()> {
        let path = project.path(KEPT);
        let mut text = String::new();
        for cell in cells {
            let brief = Cell { first: String::new(), rerun: String::new(), ..cell.clone() };
            text.push_str(&serde_json::to_string(&brief)?);
            text.push('\n');
        }
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
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

fn kept(path: &Path) -> Result<BTreeMap<String, Cell>> {
    let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
    let cells = text.lines().map(serde_json::from_str::<Cell>);
    cells
        .map(|cell| cell.map(|cell| (cell.name.clone(), cell)))
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is not as `cargo xtask faults --write` leaves it", path.display()))
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

        let file = dir.path().join("faults.jsonl");
        assert!(kept(&file).unwrap().is_empty());
        fs::write(&file, format!("{}\n", serde_json::to_string(&cell).unwrap())).unwrap();
        let other = Record { kept: kept(&file).unwrap(), ..Record::at(dir.path().join("other")).unwrap() };
        assert_eq!(other.of(row, column).unwrap().seconds, 3.5);
        fs::write(&file, "{").unwrap();
        assert!(kept(&file).is_err());
    }
}
