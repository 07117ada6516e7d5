//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md that a look at the sources can decide.
//! Each rule is a value with a name and a pure function over the sources; all run, all findings are shown.

mod ansible;
mod boundaries;
mod shape;
mod sources;
mod templates;

use anyhow::{Context, Result, bail};

use crate::command::Cmd;
use crate::project::Project;
use sources::Source;

/// What a rule found, and where.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

/// One invariant.
struct Rule {
    /// Stable name.
    name: &'static str,
    /// What is wrong with these sources.
    check: fn(&[Source]) -> Vec<Finding>,
}

const RULES: &[Rule] = &[
    Rule { name: "protocol-knows-no-pve", check: boundaries::protocol_knows_no_pve },
    Rule { name: "pve-knows-no-ansible", check: boundaries::pve_knows_no_ansible },
    Rule { name: "programs-through-host-seam", check: boundaries::programs_through_host_seam },
    Rule { name: "files-through-host-seam", check: boundaries::files_through_host_seam },
    Rule { name: "time-through-host-seam", check: boundaries::time_through_host_seam },
    Rule { name: "short-files", check: shape::short_files },
    Rule { name: "file-header", check: shape::file_header },
    Rule { name: "telling-names", check: shape::telling_names },
    Rule { name: "no-silenced-lints", check: shape::no_silenced_lints },
    Rule { name: "no-registry-hosts", check: shape::no_registry_hosts },
    Rule { name: "locked-dependencies", check: shape::locked_dependencies },
    Rule { name: "roles-orchestrate", check: ansible::roles_orchestrate },
    Rule { name: "role-variables-declared", check: ansible::role_variables_declared },
    Rule { name: "values-escaped", check: templates::values_escaped },
];

/// The command.
pub fn run(project: &Project, _args: &[String]) -> Result<()> {
    let sources = sources::read(project)?;
    let mut count = 0;
    for rule in RULES {
        for finding in (rule.check)(&sources) {
            println!("{}:{}: {} [{}]", finding.path, finding.line, finding.what, rule.name);
            count += 1;
        }
    }
    // What a rule can't see from the text alone.
    Cmd::cargo()
        .args(["metadata", "--locked", "--no-deps", "--format-version", "1"])
        .dir(project.root())
        .read()
        .context("Cargo.lock does not fit the manifests: run `cargo check` and commit Cargo.lock")?;
    if count > 0 {
        bail!("{count} findings");
    }
    println!("{} rules hold over {} files", RULES.len(), sources.len());
    Ok(())
}
