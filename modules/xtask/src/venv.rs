//! `cargo xtask venv`: ansible-core, Molecule and the linters in `target/venv`, from exact versions.
//! Made anew when the list of versions changes.

use std::fs;

use anyhow::{Context, Result};

use crate::command::Cmd;
use crate::project::Project;
use crate::tool;

const REQUIREMENTS: &str = "modules/xtask/requirements.txt";

/// The command.
pub fn run(project: &Project, _args: &[String]) -> Result<()> {
    ensure(project)
}

/// Makes the environment unless it is there and made from the same list.
pub fn ensure(project: &Project) -> Result<()> {
    let wanted = fs::read_to_string(project.path(REQUIREMENTS)).context(REQUIREMENTS)?;
    let venv = project.venv();
    // Written last: an environment without it is one whose making was interrupted.
    let marker = venv.join("made-from.txt");
    if fs::read_to_string(&marker).is_ok_and(|made| made == wanted) && venv.join("bin/python").exists() {
        return Ok(());
    }
    tool::python()?;
    eprintln!("making {} from {REQUIREMENTS} (about a minute)", venv.display());
    Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).run()?;
    Cmd::new(project.venv_program("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .arg("--requirement")
        .arg(project.path(REQUIREMENTS))
        .run()?;
    fs::write(&marker, wanted).with_context(|| format!("can't write {}", marker.display()))
}

/// A program of the environment, run with the environment first on PATH and from the top of the checkout.
pub fn program(project: &Project, name: &str) -> Cmd {
    let path = std::env::var("PATH").unwrap_or_default();
    Cmd::new(project.venv_program(name))
        .env("PATH", format!("{}:{path}", project.venv().join("bin").display()))
        .env("VIRTUAL_ENV", project.venv())
        .env_remove("PYTHONPATH")
        .dir(project.root())
}
