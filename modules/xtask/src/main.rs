//! Build tool of the project: dispatches `cargo xtask COMMAND` and nothing else.
//! One file a command; what the commands share is `project` (paths), `command` (running programs) and
//! `tool` (programs that must be installed).

mod acceptance;
mod bench;
mod build;
mod command;
mod demo;
mod docs;
mod elf;
mod faults;
mod formation;
mod lab;
mod manual;
mod measure;
mod oracle;
mod project;
mod quorum_watch;
mod soak;
mod stage;
mod strike;
mod test;
mod tidy;
mod tool;
mod tree;
mod venv;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::project::Project;

const HELP: &str = "\
cargo xtask COMMAND

  demo                      three nodes on this machine, formed by playbooks/site.yml
  test [--full] [LAYER…]    everything that CI runs, a line a layer; --full the whole product, resumable
  layer [--full] LAYER      one layer, its output in sight
  acceptance [SCENARIO…]    what users are promised, proven on the lab
  lab COMMAND               the lab's nodes: up, down, status, ssh, … (`cargo xtask lab help`)

  build [--target TRIPLE]   the static binary `pve`, its size and linkage checked
  docs [--check]            documentation files and action stubs from the modules' SPECs
  manual [--check]          what ansible-doc shows of every module and role, written down
  stage [--target TRIPLE]…  the installable collection under target/collections
  venv                      ansible-core, Molecule and the linters under target/venv
  tidy                      the invariants that a look at the sources can decide
  faults [--write] [CELL…]  each step of each operation met by each fault, resumable: docs/faults.md
  formation [--write]       the table of BENCHMARKS.md of clusters formed one by one and in waves
  bench [--write [ROUNDS]]  what a task costs by each way a module can come: BENCHMARKS.md
  soak [--rounds N] [--write]  form, add, rejoin, remove, reset, 50 times: what piles up, BENCHMARKS.md; resumable
  measure [--write]         the README's table of durations and sizes, measured in the lab
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let (name, rest) = match args.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", args),
    };
    let project = Project::locate()?;
    match name {
        "acceptance" => acceptance::run(&project, rest),
        "bench" => bench::run(&project, rest),
        "build" => build::run(&project, rest),
        "demo" => demo::run(&project, rest),
        "faults" => faults::run(&project, rest),
        "formation" => formation::run(&project, rest),
        "soak" => soak::run(&project, rest),
        "measure" => measure::run(&project, rest),
        "docs" => docs::run(&project, rest),
        "stage" => stage::run(&project, rest),
        "venv" => venv::run(&project, rest),
        "lab" => lab::run(&project, rest),
        "test" => test::run(&project, rest),
        "manual" => manual::run(&project, rest),
        "layer" => test::run_one(&project, rest),
        "tidy" => tidy::run(&project, rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("unknown command {name:?}\n\n{HELP}"),
    }
}
