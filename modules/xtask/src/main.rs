//! Build tool of the project: dispatches `cargo xtask COMMAND` and nothing else.
//! One file a command; what the commands share is `project` (paths), `command` (running programs) and
//! `tool` (programs that must be installed).

mod build;
mod command;
mod elf;
mod project;
mod stage;
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

  build [--target TRIPLE]   the static binary `pve`, its size and linkage checked
  stage                     the installable collection under target/collections
  venv                      ansible-core, Molecule and the linters under target/venv
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
        "build" => build::run(&project, rest),
        "stage" => stage::run(&project, rest),
        "venv" => venv::run(&project, rest),
        "test" => test::run(&project, rest),
        "layer" => test::run_one(&project, rest),
        "tidy" => tidy::run(&project, rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("unknown command {name:?}\n\n{HELP}"),
    }
}
