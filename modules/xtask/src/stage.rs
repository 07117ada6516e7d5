//! `cargo xtask stage`: the installable collection under `target/collections`, with the binary in it.
//! Does nothing when the staged tree already is what it would make.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::build;
use crate::project::Project;
use crate::tree::{Entry, Tree};

/// Below the collection: where the binaries are, a directory a machine type.
const BINARIES: &str = "plugins/plugin_utils/_bin";
/// The machine whose binary the links in `plugins/modules` point to.
const LINKED_MACHINE: &str = "x86_64";
/// Top-level documents that an installed collection carries.
const DOCUMENTS: [&str; 3] = ["README.md", "LICENSE", "CHANGELOG.md"];

/// The command: `stage [--target TRIPLE]…`, one binary a target.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let mut targets = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.next()) {
            ("--target", Some(triple)) => targets.push(Some(triple.as_str())),
            _ => bail!("usage: cargo xtask stage [--target TRIPLE]…"),
        }
    }
    if targets.is_empty() {
        targets.push(None);
    }
    stage(project, &targets)
}

/// Builds for each target (none: this machine) and assembles the collection.
pub fn stage(project: &Project, targets: &[Option<&str>]) -> Result<()> {
    let mut tree = Tree::default();
    tree.put_directory(Path::new(""), &project.path("collection"))?;
    tree.put_directory(Path::new("playbooks"), &project.path("playbooks"))?;
    for document in DOCUMENTS {
        if project.path(document).exists() {
            tree.put_file(document, &project.path(document))?;
        }
    }
    for target in targets {
        let binary = build::build(project, *target)?;
        let at = format!("{BINARIES}/{}/pve", binary.machine);
        tree.put(at, Entry::File { source: binary.path, mode: 0o755 });
    }
    for name in modules(&tree) {
        tree.put(
            format!("plugins/modules/{name}"),
            Entry::Link(PathBuf::from("..").join("plugin_utils/_bin").join(LINKED_MACHINE).join("pve")),
        );
    }
    let staged = project.staged();
    if tree.is_at(&staged) {
        eprintln!("{} is up to date", staged.display());
        return Ok(());
    }
    tree.place(&staged)?;
    eprintln!("staged {} files at {}", tree.paths().count(), staged.display());
    Ok(())
}

/// A module for each documentation file.
fn modules(tree: &Tree) -> Vec<String> {
    let documents = tree.paths().filter(|path| path.starts_with("plugins/modules"));
    let documents = documents.filter(|path| path.extension().is_some_and(|extension| extension == "py"));
    documents.filter_map(|path| path.file_stem()).map(|name| name.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documentation_file_makes_a_module() {
        let mut tree = Tree::default();
        for at in ["plugins/modules/pve_x.py", "plugins/action/pve_y.py", "plugins/modules/notes.txt"] {
            tree.put(at, Entry::Link("x".into()));
        }
        assert_eq!(modules(&tree), ["pve_x"]);
    }
}
