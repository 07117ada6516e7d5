//! `cargo xtask manual`: what ansible-doc shows of every module and role, kept as files so that a change of what
//! users read is seen in review. The test compares, the command writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::command::Cmd;
use crate::project::Project;
use crate::{stage, tree, venv};

const FOLDER: &str = "modules/xtask/manual";
const COLLECTION: &str = "sddc.pve";

/// The command: `manual [--check]`.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let is_check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask manual [--check]"),
    };
    venv::ensure(project)?;
    stage::run(project, &[])?;
    let wanted = pages(project)?;
    ensure!(!wanted.is_empty(), "ansible-doc lists nothing");
    let stale = stale(project, &wanted)?;
    if is_check {
        ensure!(
            stale.is_empty(),
            "ansible-doc shows something else than was written down: {}: look at it, then run \
             `cargo xtask manual` and commit",
            stale.join(", ")
        );
    }
    let folder = project.path(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    for name in &stale {
        let path = folder.join(name);
        match wanted.get(name) {
            Some(text) => {
                fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?
            }
            None => {
                fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
            }
        }
        eprintln!("wrote or removed {FOLDER}/{name}");
    }
    println!("{} pages of ansible-doc, {} were stale", wanted.len(), stale.len());
    Ok(())
}

/// The pages of all modules and roles, by file name.
fn pages(project: &Project) -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    for kind in ["module", "role"] {
        let listed = ansible_doc(project, kind).args(["--list", "--json", COLLECTION]).read()?;
        let listed: Value = serde_json::from_str(&listed).context("ansible-doc --list --json")?;
        for name in listed.as_object().into_iter().flatten().map(|(name, _)| name) {
            let page = ansible_doc(project, kind).arg(name).read()?;
            let here = project.staged().display().to_string();
            let page = page.replace(&here, "COLLECTION");
            let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
            pages.insert(format!("{kind}-{name}.txt"), format!("{}\n", lines.join("\n").trim_end()));
        }
    }
    Ok(pages)
}

fn ansible_doc(project: &Project, kind: &str) -> Cmd {
    venv::program(project, "ansible-doc")
        .args(["--type", kind])
        .env("ANSIBLE_COLLECTIONS_PATH", project.collections())
        .env("ANSIBLE_NOCOLOR", "1")
        .env("COLUMNS", "100")
        .env("LC_ALL", "C.UTF-8")
}

/// Files that differ, are missing, or belong to what is no more.
fn stale(project: &Project, wanted: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let folder = project.path(FOLDER);
    let differs =
        |(name, text): &(&String, &String)| fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text);
    let mut stale: Vec<String> = wanted.iter().filter(differs).map(|(name, _)| name.clone()).collect();
    let there: Vec<PathBuf> = if folder.exists() { tree::list(&folder)? } else { Vec::new() };
    let names = there.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    stale.extend(names.filter(|name| !wanted.contains_key(name)));
    Ok(stale)
}
