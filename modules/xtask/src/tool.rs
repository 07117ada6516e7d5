//! Programs that must be installed: each with its Debian package, installed when we may, else named with
//! its remedy.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::command::Cmd;

const APT_LOCK: &str = "/run/lock/sddc-pve-apt.lock";

/// A C linker and libc.a, which a static binary takes in.
pub fn linker() -> Result<()> {
    need("gcc", "gcc")?;
    let has_static_libc = || {
        Cmd::new("gcc")
            .arg("-print-file-name=libc.a")
            .read()
            .is_ok_and(|path| Path::new(path.trim()).is_absolute())
    };
    or_install("libc.a", "libc6-dev", has_static_libc)
}

/// Python 3.11 or newer that can make virtual environments.
pub fn python() -> Result<()> {
    need("python3", "python3")?;
    let is_recent =
        Cmd::new("python3").args(["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).succeeds();
    if !is_recent {
        let found = Cmd::new("python3").arg("--version").read()?;
        bail!("{} is too old: put Python 3.11 or newer first on PATH as python3", found.trim());
    }
    let has_venv = || Cmd::new("python3").args(["-c", "import venv, ensurepip"]).succeeds();
    or_install("the Python module venv", "python3-venv", has_venv)
}

/// A docker client whose engine answers.
pub fn docker() -> Result<()> {
    need("docker", "docker.io")?;
    if !Cmd::new("docker").arg("info").succeeds() {
        bail!(
            "the Docker engine does not answer: start it (systemctl start docker) and be root or in the group docker"
        );
    }
    Ok(())
}

/// A program on PATH.
pub fn need(program: &str, package: &str) -> Result<()> {
    or_install(program, package, || find(program).is_some())
}

/// The path of a program.
pub fn find(program: &str) -> Option<PathBuf> {
    which::which(program).ok()
}

/// Installs a Debian package when `is_there` says it is needed and we may, else names the remedy.
pub fn or_install(what: &str, package: &str, is_there: impl Fn() -> bool) -> Result<()> {
    if is_there() {
        return Ok(());
    }
    if find("apt-get").is_none() {
        bail!("{what} is missing: install it (Debian package {package})");
    }
    if !is_root() {
        bail!("{what} is missing: run as root `apt-get install {package}`");
    }
    eprintln!("{what} is missing: installing the package {package}");
    if !install(package).succeeds() {
        apt_get(&["update", "-qq"]).run()?;
        install(package).run()?;
    }
    if !is_there() {
        bail!("{what} is still missing after the installation of {package}");
    }
    Ok(())
}

fn install(package: &str) -> Cmd {
    apt_get(&["install", "-y", "-qq", "--no-install-recommends", package])
}

/// Layers run beside each other, and apt-get does not wait for its own locks.
fn apt_get(args: &[&str]) -> Cmd {
    Cmd::new("flock")
        .args([&["--timeout", "600", APT_LOCK, "apt-get"], args].concat())
        .env("DEBIAN_FRONTEND", "noninteractive")
}

fn is_root() -> bool {
    Cmd::new("id").arg("-u").read().is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_path() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
    }

    #[test]
    fn nothing_is_installed_when_it_is_there() {
        or_install("sh", "no-such-package", || true).unwrap();
    }
}
