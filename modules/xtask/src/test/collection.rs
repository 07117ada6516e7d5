//! Layers over the staged collection, each by the tools that its users and its galaxy use.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::roles::{Role, check};
use crate::command::Cmd;
use crate::project::Project;
use crate::tree::list;
use crate::{manual, stage, venv};

const NAME: &str = "sddc.pve";

/// Role variables: declared, prefixed, with agreeing defaults.
pub fn roles(project: &Project, _: bool) -> Result<()> {
    venv::ensure(project)?;
    let mut findings = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(project.path("collection/roles"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let role = Role {
            specs: yaml(project, &path.join("meta/argument_specs.yml"))?,
            defaults: yaml(project, &path.join("defaults/main.yml"))?,
        };
        findings.extend(check(&role).into_iter().map(|finding| format!("role {name}: {finding}")));
        count += 1;
    }
    ensure!(count > 0, "no role found");
    ensure!(findings.is_empty(), "{}", findings.join("\n"));
    println!("{count} roles");
    Ok(())
}

/// ansible-lint's production profile on the collection and the scenarios, yamllint, ruff and mypy.
pub fn lint(project: &Project, _: bool) -> Result<()> {
    prepare(project)?;
    let python = ["collection", "modules", "molecule"];
    program(project, "yamllint").args(["--strict", "."]).run()?;
    program(project, "ruff").args(["check", "--no-cache"]).args(python).run()?;
    program(project, "ruff").args(["format", "--no-cache", "--check", "collection"]).run()?;
    let plugins = "ansible_collections/sddc/pve/plugins";
    program(project, "mypy")
        .args(["--strict", "--ignore-missing-imports", "--follow-imports=silent"])
        .args(["--explicit-package-bases", "--no-incremental", "--cache-dir=/dev/null"])
        .args([format!("{plugins}/plugin_utils/_binary.py"), format!("{plugins}/action")])
        .env("MYPYPATH", project.collections())
        .dir(project.collections())
        .run()?;
    // The staged tree is ignored by our own repository, and ansible-lint asks git what to look at: hide git from it.
    let ansible_lint = || {
        let lint = program(project, "ansible-lint").args(["--offline", "--strict", "--config-file"]);
        lint.arg(project.path(".ansible-lint"))
    };
    ansible_lint().env("GIT_CEILING_DIRECTORIES", project.collections()).dir(project.staged()).run()?;
    ansible_lint().arg("molecule").run()
}

/// The unit tests of the action plugin.
pub fn action(project: &Project, _: bool) -> Result<()> {
    prepare(project)?;
    program(project, "python")
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"])
        .env("PYTHONPATH", project.collections())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .dir(project.staged())
        .run()
}

/// Every module is listed and shown by ansible-doc, every role as well.
pub fn manual(project: &Project, _: bool) -> Result<()> {
    prepare(project)?;
    let modules = modules(project)?;
    let listed: Value = json(program(project, "ansible-doc").args(["--list", "--json", NAME]))?;
    for module in &modules {
        ensure!(listed[module].is_string(), "ansible-doc --list does not know {module}");
    }
    let shown = json(program(project, "ansible-doc").arg("--json").args(&modules))?;
    for module in &modules {
        let doc = &shown[module]["doc"];
        ensure!(doc["short_description"].is_string(), "ansible-doc does not show {module}");
        ensure!(shown[module]["return"].is_object(), "{module} does not say what it returns");
        ensure!(shown[module]["examples"].is_string(), "{module} has no example");
    }
    program(project, "antsibull-docs")
        .args(["lint-collection-docs", "--plugin-docs"])
        .arg(project.staged())
        .run()?;
    manual::run(project, &["--check".to_owned()])
}

/// Built, installed from the tarball, and one module taken out of it works alone.
pub fn galaxy(project: &Project, _: bool) -> Result<()> {
    prepare(project)?;
    let place = project.target().join("galaxy");
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("can't remove {}", place.display()))?;
    }
    let galaxy = |command: &str| program(project, "ansible-galaxy").args(["collection", command]);
    galaxy("build").arg("--output-path").arg(&place).arg(project.staged()).run()?;
    let tarball = list(&place)?.pop().context("ansible-galaxy made no tarball")?;
    let size = fs::metadata(&tarball)?.len();
    galaxy("install")
        .args(["--offline", "--force", "--collections-path"])
        .arg(place.join("installed"))
        .arg(&tarball)
        .env("ANSIBLE_COLLECTIONS_PATH", place.join("installed"))
        .run()?;
    execution_environment(project, &place, &tarball)?;
    let installed = place.join("installed/ansible_collections/sddc/pve/plugins/modules");
    let library = place.join("library");
    fs::create_dir_all(&library)?;
    let modules = modules(project)?;
    for module in &modules {
        let name = module.rsplit('.').next().unwrap_or(module);
        let link = installed.join(name);
        ensure!(
            link.is_symlink(),
            "{} is not a link: the tarball carries the binary more than once",
            link.display()
        );
        let alone = library.join(name);
        // As `cp -L` does: follows the link, keeps the mode.
        fs::copy(&link, &alone).with_context(|| format!("{} leads nowhere", link.display()))?;
        let spec = Cmd::new(&alone).arg("--argspec").read()?;
        serde_json::from_str::<Value>(&spec).with_context(|| format!("{name} --argspec"))?;
        fs::remove_file(&alone)?;
    }
    println!("{} modules, tarball of {size} bytes", modules.len());
    Ok(())
}

/// ansible-builder takes the tarball into an execution environment, with what the collection says that it needs.
fn execution_environment(project: &Project, place: &Path, tarball: &Path) -> Result<()> {
    let definition = place.join("execution-environment.yml");
    let document = serde_json::json!({
        "version": 3,
        "images": { "base_image": { "name": "docker.io/library/debian:trixie" } },
        "dependencies": {
            "ansible_core": { "package_pip": "ansible-core" },
            "ansible_runner": { "package_pip": "ansible-runner" },
            "galaxy": { "collections": [{ "name": tarball.display().to_string(), "type": "file" }] },
        },
    });
    fs::write(&definition, document.to_string())?;
    let context = place.join("context");
    program(project, "ansible-builder")
        .args(["create", "--verbosity", "2", "--file"])
        .arg(&definition)
        .arg("--context")
        .arg(&context)
        .run()?;
    let recipe = fs::read_to_string(context.join("Containerfile"))
        .or_else(|_| fs::read_to_string(context.join("Dockerfile")))
        .context("ansible-builder made no recipe")?;
    ensure!(recipe.contains("ansible-galaxy collection install"), "the recipe installs no collection");
    let needs = program(project, "ansible-builder").arg("introspect").arg(place.join("installed")).read()?;
    ensure!(
        needs.contains("openssh-client"),
        "ansible-builder does not see what the collection needs: {needs}"
    );
    Ok(())
}

pub(super) fn prepare(project: &Project) -> Result<()> {
    venv::ensure(project)?;
    stage::run(project, &[])
}

/// A program of the environment that finds the staged collection and nothing of the user's.
pub(super) fn program(project: &Project, name: &str) -> Cmd {
    venv::program(project, name).env("ANSIBLE_COLLECTIONS_PATH", project.collections()).env("NO_COLOR", "1")
}

/// The modules of the staged collection, with their full names.
pub(super) fn modules(project: &Project) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in list(&project.staged().join("plugins/modules"))? {
        if path.is_symlink() {
            names.push(format!("{NAME}.{}", path.file_name().unwrap_or_default().to_string_lossy()));
        }
    }
    if names.is_empty() {
        bail!("the staged collection has no module");
    }
    Ok(names)
}

fn yaml(project: &Project, path: &Path) -> Result<Value> {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])) or {}, sys.stdout)";
    json(venv::program(project, "python").args(["-c", script]).arg(path))
}

fn json(cmd: Cmd) -> Result<Value> {
    let shown = cmd.to_string();
    serde_json::from_str(&cmd.read()?).with_context(|| format!("{shown}: not JSON"))
}
