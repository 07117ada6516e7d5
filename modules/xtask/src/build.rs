//! `cargo xtask build`: the multi-call binary `pve` that travels to the nodes: small, static, checked. A binary over
//! its budget is reported by the command; it can still be staged and tried.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::command::Cmd;
use crate::elf::Elf;
use crate::project::Project;
use crate::tool;

/// What the binary may weigh.
const BUDGET: usize = 2_500_000;

/// A built and checked binary.
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// `uname -m` of the machines it runs on.
    pub machine: &'static str,
    /// Its size in bytes.
    pub size: usize,
}

/// The command: `build [--target TRIPLE]`.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let target = match args {
        [] => None,
        [flag, triple] if flag == "--target" => Some(triple.as_str()),
        _ => bail!("usage: cargo xtask build [--target TRIPLE]"),
    };
    let binary = build(project, target)?;
    println!(
        "{}: static, {}, {} bytes ({:.2} MB of {:.1} MB)",
        binary.path.display(),
        binary.machine,
        binary.size,
        binary.size as f64 / 1e6,
        BUDGET as f64 / 1e6,
    );
    check_size(binary.size)
}

/// Builds for a target, or for this machine, and checks what came out.
pub fn build(project: &Project, target: Option<&str>) -> Result<Binary> {
    tool::linker()?;
    let target = match target {
        Some(triple) => triple.to_owned(),
        None => host()?,
    };
    let libraries = Cmd::new("rustc").args(["--print", "target-libdir", "--target", &target]).read()?;
    if !PathBuf::from(libraries.trim()).is_dir() {
        bail!("rust's library for {target} is not installed: run `rustup target add {target}`");
    }
    Cmd::cargo()
        .args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            "pve-modules",
            "--bin",
            "pve",
            "--profile",
            "small",
        ])
        .args(["--target", &target])
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(project))
        .dir(project.root())
        .run()?;
    let path = project.cargo_target().join(&target).join("small/pve");
    let bytes = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
    let elf = Elf::parse(&bytes).with_context(|| path.display().to_string())?;
    if !elf.is_static() {
        bail!("{} is not static: {elf:?}", path.display());
    }
    Ok(Binary { path, machine: elf.machine, size: bytes.len() })
}

/// Static, and the same bytes wherever the checkout and cargo's home are.
fn rustflags(project: &Project) -> String {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"));
    let mut flags = vec!["-C".to_owned(), "target-feature=+crt-static".to_owned()];
    flags.push(format!("--remap-path-prefix={}=.", project.root().display()));
    flags.extend(home.map(|home| format!("--remap-path-prefix={home}=cargo")));
    flags.join("\u{1f}")
}

fn check_size(size: usize) -> Result<()> {
    if size > BUDGET {
        bail!(
            "the binary weighs {size} bytes, over the budget of {BUDGET}: see what grew with `cargo bloat`"
        );
    }
    Ok(())
}

fn host() -> Result<String> {
    let version = Cmd::new("rustc").arg("-vV").read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_over_the_budget_is_refused() {
        assert!(check_size(2_500_000).is_ok());
        assert!(check_size(2_500_001).is_err());
    }
}
