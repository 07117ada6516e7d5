//! The layers of `cargo xtask test`. Each can be run alone: what it needs
//! and does not find, it makes.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{collection, report, sanity};
use crate::command::Cmd;
use crate::lab::layout;
use crate::project::Project;
use crate::{acceptance, build, docs, faults, lab, soak, stage, tidy, tool, venv};

/// A part of the whole test.
pub struct Layer {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it proves, in a few words.
    pub what: &'static str,
    /// Layers that must have passed for this one to say anything.
    pub needs: &'static [&'static str],
    /// When its covering selection is stopped.
    pub deadline: Duration,
    /// Left to the full test, unless it is named.
    pub is_long: bool,
    /// Whether its covering selection leaves a lab behind.
    pub uses_lab: bool,
    /// Whether it has a lab of its own, so that it is played beside those that share one.
    pub has_own_lab: bool,
    /// The layer itself; the flag asks for the whole product where there is a covering selection.
    pub run: fn(&Project, bool) -> Result<()>,
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

const fn quick(name: &'static str, what: &'static str, run: fn(&Project, bool) -> Result<()>) -> Layer {
    let (needs, deadline): (&[&str], _) = (&[], minutes(5));
    Layer { name, what, needs, deadline, is_long: false, uses_lab: false, has_own_lab: false, run }
}

/// Every layer, in the order of running within its lane (`lanes`).
pub const LAYERS: &[Layer] = &[
    quick("fmt", "Rust is formatted", fmt),
    quick("tidy", "invariants of ARCHITECTURE.md", |project, _| tidy::run(project, &[])),
    // The lab's layers begin as soon as these two have passed.
    Layer {
        deadline: minutes(10),
        ..quick("build", "the binary is static and within its budget", build_layer)
    },
    quick("venv", "ansible-core and tools at their pinned versions", |project, _| venv::ensure(project)),
    Layer { deadline: minutes(10), ..quick("clippy", "no warning in any target", clippy) },
    Layer { deadline: minutes(15), ..quick("unit", "plans, parsers, modules over a fake root", unit) },
    Layer { deadline: minutes(10), ..quick("docs", "generated files are as the SPECs say", docs_layer) },
    Layer {
        needs: &["venv"],
        deadline: minutes(10),
        ..quick("differential", "arguments as ansible-core itself takes them", differential)
    },
    Layer {
        deadline: minutes(10),
        ..quick("contract", "the emulator answers as genuine nodes did", contract)
    },
    Layer {
        needs: &["build", "venv"],
        ..quick("roles", "role variables, defaults and their declarations", collection::roles)
    },
    Layer {
        needs: &["build", "venv"],
        ..quick("lint", "ansible-lint production, yamllint, ruff, mypy", collection::lint)
    },
    Layer { needs: &["build", "venv"], ..quick("action", "the action plugin", collection::action) },
    Layer {
        needs: &["build", "venv"],
        ..quick("manual", "ansible-doc shows every module and role as written down", collection::manual)
    },
    Layer {
        needs: &["build", "venv"],
        ..quick("changelog", "the fragments are valid and make a release", sanity::changelog)
    },
    Layer {
        needs: &["build", "venv"],
        deadline: minutes(10),
        ..quick("sanity", "ansible-test's own tests of a collection", sanity::sanity)
    },
    Layer {
        needs: &["build", "venv"],
        ..quick("galaxy", "tarball, installation, one module dropped into a role", collection::galaxy)
    },
    Layer {
        needs: &["venv"],
        ..quick("report", "the report in Chromium: escaped, legible, nothing from elsewhere", report::report)
    },
    Layer {
        needs: &["build"],
        deadline: minutes(12),
        uses_lab: true,
        ..quick("lab", "nodes, networks and faults of the lab itself", |project, _| {
            lab::run(project, &["selftest".to_owned()])
        })
    },
    Layer {
        // That one has made what the images of both are made of.
        needs: &["build", "lab"],
        deadline: minutes(15),
        has_own_lab: true,
        ..quick(
            "faults",
            "operations are struck in the middle: a sample of the fault matrix",
            |project, _| faults::sample(project),
        )
    },
    Layer {
        needs: &["build", "venv", "lab"],
        deadline: minutes(30),
        uses_lab: true,
        ..quick("acceptance", "what users are promised, one scenario at a time", acceptance::layer)
    },
    Layer {
        needs: &["build", "venv", "lab"],
        deadline: minutes(12),
        uses_lab: true,
        ..quick("molecule", "site.yml on fresh nodes: check, converge, idempotence, verify", molecule)
    },
    Layer {
        needs: &["build", "venv", "lab"],
        deadline: minutes(20),
        is_long: true,
        uses_lab: true,
        ..quick("soak", "form, add, rejoin, remove, reset: nothing piles up", soak::layer)
    },
];

/// Ways to join beside the default one, which has a Molecule scenario of its own.
const METHODS: &[&str] = &["ticket", "token", "ssh", "api", "expect", "auto"];

/// Integration tests that are layers of their own: all others belong to `unit`.
const OWN_LAYERS: [&str; 1] = ["contract"];

fn fmt(project: &Project, _: bool) -> Result<()> {
    component("rustfmt", "fmt")?;
    Cmd::cargo().args(["fmt", "--all", "--check"]).dir(project.root()).run()
}

fn clippy(project: &Project, _: bool) -> Result<()> {
    component("clippy", "clippy")?;
    tool::linker()?;
    Cmd::cargo()
        .args([
            "clippy",
            "--quiet",
            "--locked",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ])
        .dir(project.root())
        .run()
}

fn unit(project: &Project, is_full: bool) -> Result<()> {
    tool::linker()?;
    let tests = integration_tests(project)?;
    let tests = tests.iter().filter(|name| !OWN_LAYERS.contains(&name.as_str()));
    Cmd::cargo()
        .args(["test", "--quiet", "--locked", "--workspace", "--no-fail-fast", "--lib", "--bins"])
        .args(tests.flat_map(|name| ["--test", name.as_str()]))
        // The tests look at the names and addresses of the first lab.
        .env_remove("SDDC_PVE_LAB")
        .dir(project.root())
        .run()?;
    if is_full {
        // Parsers with many more cases, and with as much text as the host seam lets through.
        Cmd::cargo()
            .args(["test", "--quiet", "--locked", "--release", "--package", "pve", "--test", "parsers"])
            .env("PROPTEST_CASES", "20000")
            .env("PARSER_MIB", "32")
            .dir(project.root())
            .run()?;
    }
    Ok(())
}

fn build_layer(project: &Project, _: bool) -> Result<()> {
    build::run(project, &[])?;
    stage::run(project, &[])
}

fn docs_layer(project: &Project, _: bool) -> Result<()> {
    docs::run(project, &["--check".to_owned()])
}

fn differential(project: &Project, is_full: bool) -> Result<()> {
    venv::ensure(project)?;
    tool::linker()?;
    venv::program(project, "python")
        .arg("modules/ansible-module/tests/differential/compare.py")
        .args(["--cases", if is_full { "20000" } else { "2000" }])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .run()
}

/// On nodes that fake systemd and corosync; the whole product has the lab's nodes, with the genuine ones, as well.
fn contract(project: &Project, is_full: bool) -> Result<()> {
    tool::linker()?;
    let contract = || {
        let cmd =
            Cmd::cargo().args(["test", "--quiet", "--locked", "--package", "pve-lab", "--test", "contract"]);
        cmd.dir(project.root())
    };
    contract().run()?;
    if is_full {
        lab::run(project, &["up".to_owned()])?;
        contract().env("PVE_LAB", "1").run()?;
    }
    Ok(())
}

/// The covering selection has the default method; the whole product every other one too, each on fresh nodes.
fn molecule(project: &Project, is_full: bool) -> Result<()> {
    venv::ensure(project)?;
    stage::run(project, &[])?;
    let molecule = |scenario| {
        // The scenarios find the inventory by it.
        let cmd = venv::program(project, "molecule").env(layout::NUMBER, layout::number_word());
        cmd.args(["test", "--scenario-name", scenario])
    };
    molecule("default").run()?;
    let methods = if is_full { METHODS } else { &[] };
    methods.iter().try_for_each(|method| {
        molecule("methods").env("PVE_JOIN_METHOD", method).run().with_context(|| format!("method {method}"))
    })
}

fn component(name: &str, subcommand: &str) -> Result<()> {
    let is_there = Cmd::cargo().args([subcommand, "--version"]).succeeds();
    anyhow::ensure!(is_there, "cargo {subcommand} is missing: run `rustup component add {name}`");
    Ok(())
}

/// The names of all integration tests of the workspace.
fn integration_tests(project: &Project) -> Result<Vec<String>> {
    let metadata = Cmd::cargo()
        .args(["metadata", "--locked", "--no-deps", "--format-version", "1"])
        .dir(project.root())
        .read()?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let targets = metadata["packages"].as_array().into_iter().flatten();
    let targets = targets.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests = targets.filter(|target| target["kind"][0] == "test");
    let mut names: Vec<String> = tests.filter_map(|test| test["name"].as_str()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}
