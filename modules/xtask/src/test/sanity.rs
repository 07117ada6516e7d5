//! The tests that Ansible's own collections must pass: ansible-test sanity, and antsibull-changelog. Both look at a
//! copy of the staged collection that is a git repository of its own, since both ask git which files there are.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::collection::{prepare, program};
use crate::command::Cmd;
use crate::project::Project;
use crate::tree::Tree;

/// ansible-test fetches a program that installs pip; this one takes the pip that Python itself carries, and is found
/// in the place of the fetched one. A file for each version that a supported ansible-core asks for.
const PIP: &str = "import ensurepip\n\nensurepip.bootstrap(upgrade=True)\n";
const PIP_FILES: [&str; 2] = ["get_pip_24_2.py", "get_pip_25_2.py"];

/// What ansible-test lists and may leave out here, with the reason.
const LEFT_OUT: [(&str, &str); 2] = [
    ("pslint", "needs PowerShell, and there is no PowerShell in the collection"),
    ("shellcheck", "needs ShellCheck, and there is no shell script in the collection"),
];

/// Every sanity test that the installed ansible-core has.
pub fn sanity(project: &Project, _: bool) -> Result<()> {
    prepare(project)?;
    let copy = copy(project, "sanity")?;
    let home = project.target().join("sanity/home");
    let cache = home.join(".ansible/test/cache");
    fs::create_dir_all(&cache).with_context(|| format!("can't make {}", cache.display()))?;
    for file in PIP_FILES {
        fs::write(cache.join(file), PIP)?;
    }
    let ansible_test = || {
        program(project, "ansible-test")
            .arg("sanity")
            .env("HOME", &home)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("ANSIBLE_COLLECTIONS_PATH")
            .dir(&copy)
    };
    let listed = ansible_test().arg("--list-tests").read()?;
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    let python = program(project, "python").args(["-c", script]).read()?;
    let output = ansible_test().args(["--color", "no", "--venv", "--python", python.trim()]).output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    println!("{said}");
    ensure!(output.status.success(), "ansible-test sanity: {}", output.status);
    let mut run = 0;
    for test in listed.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let reason = LEFT_OUT.iter().find(|(name, _)| *name == test).map(|(_, reason)| *reason);
        let is_run = said.contains(&format!("Running sanity test \"{test}\""))
            && !said.contains(&format!("Skipping sanity test \"{test}\""));
        match (is_run, reason) {
            (true, _) => run += 1,
            (false, Some(reason)) => println!("left out: {test}: {reason}"),
            (false, None) => anyhow::bail!("ansible-test did not run {test}, and no reason is known"),
        }
    }
    println!("{run} sanity tests on Python {}", python.trim());
    Ok(())
}

/// The changelog's fragments are valid, and a release made of them is.
pub fn changelog(project: &Project, _: bool) -> Result<()> {
    prepare(project)?;
    let copy = copy(project, "changelog")?;
    let antsibull = |command: &str| program(project, "antsibull-changelog").arg(command).dir(&copy);
    antsibull("lint").run()?;
    antsibull("release").args(["--date", "2026-01-01"]).run()?;
    let made = copy.join("changelogs/changelog.yaml");
    antsibull("lint-changelog-yaml").arg(&made).run()?;
    let text = fs::read_to_string(&made).with_context(|| format!("no {}", made.display()))?;
    for module in super::collection::modules(project)? {
        let name = module.rsplit('.').next().unwrap_or(&module);
        ensure!(text.contains(&format!("name: {name}\n")), "the changelog of a release misses {name}");
    }
    println!("the fragments make a release");
    Ok(())
}

/// A copy of the staged collection, known to a git of its own.
fn copy(project: &Project, purpose: &str) -> Result<PathBuf> {
    let copy = project.target().join(purpose).join("ansible_collections/sddc/pve");
    let mut tree = Tree::default();
    tree.put_directory(std::path::Path::new(""), &project.staged())?;
    tree.place(&copy)?;
    // What ansible-test itself puts below the collection is nothing to look at.
    fs::write(copy.join(".gitignore"), "/tests/output/\n")?;
    let git = |args: &[&str]| Cmd::new("git").args(args).dir(&copy).read();
    git(&["init", "--quiet", "."])?;
    git(&["add", "--all"])?;
    Ok(copy)
}
