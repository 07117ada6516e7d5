//! Controllers that users have: other versions of ansible-core, the collection installed from its tarball,
//! ansible-runner. The playbooks are the same, and so is what they do.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::play::Play;
use super::scene::{Scene, same};
use super::{Container, delivery};
use crate::command::Cmd;
use crate::project::Project;
use crate::tree::{self, Tree};
use crate::{docs, lab, venv};

/// What ansible-core needs, for the Python of the nodes' image.
const LIBRARIES: [&str; 8] = [
    "cffi==2.1.1",
    "cryptography==50.0.2",
    "Jinja2==3.1.6",
    "MarkupSafe==3.0.4",
    "packaging==26.3",
    "pycparser==3.12",
    "PyYAML==6.0.3",
    "resolvelib==1.2.1",
];
const PYTHON: &str = "3.13";

/// Debian 13 as controller, with the newest ansible-core and the one before. All other scenarios are played by the
/// version of `target/venv`, which is the newest for Python 3.11 and the oldest that is still maintained; newer ones
/// need a newer Python: that of the nodes' own Debian.
pub fn newer_cores(scene: &Scene<'_>) -> Result<()> {
    for version in &docs::TESTED[1..] {
        let container = container(scene.project, version)?;
        let there = scene.by(container)?;
        let nodes = there.fresh(3)?;
        delivery::both_ways(&there).with_context(|| format!("ansible-core {version}"))?;
        there.site(&format!("site-{version}"), &[]).with_context(|| format!("ansible-core {version}"))?;
        there.healthy(&nodes)?;
        let again = there.site(&format!("again-{version}"), &[])?;
        same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
        println!("  ansible-core {version} on Debian 13, Python {PYTHON}");
    }
    Ok(())
}

/// ansible-core and what it needs, in a folder that a container of the nodes' image takes as its own.
fn container(project: &Project, version: &str) -> Result<Container> {
    let folder = project.target().join("controllers").join(version);
    let marker = folder.join("made-from.txt");
    let wanted = LIBRARIES.join("\n");
    if !fs::read_to_string(&marker).is_ok_and(|made| made == wanted) {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        venv::program(project, "python")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-compile",
                "--no-deps",
            ])
            .args(["--ignore-requires-python", "--only-binary=:all:", "--python-version", PYTHON])
            .args(["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64", "--target"])
            .arg(&folder)
            .arg(format!("ansible-core=={version}"))
            .args(LIBRARIES)
            .run()?;
        fs::write(&marker, wanted)?;
    }
    Ok(Container { packages: folder })
}

/// Installed from the tarball into an empty place, and played from there by the name of its playbook.
pub fn installed(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    let place = scene.dir();
    let collections = install(scene.project, &place)?;
    let play = Play::new(scene.project, "sddc.pve.site", place.join("site.log"))
        .args(["-vv"])
        .env("ANSIBLE_CONFIG", &no_settings(&place)?.display().to_string())
        .env("ANSIBLE_COLLECTIONS_PATH", &collections.display().to_string());
    let run = play.succeed()?;
    same("changes on a formed cluster", &Vec::<String>::new(), &run.changed)?;
    let from = collections.display().to_string();
    ensure!(run.output.contains(&from), "no task came from {from}");
    let staged = scene.project.staged().display().to_string();
    ensure!(!run.output.contains(&staged), "a task came from {staged}");
    scene.healthy(&nodes)
}

/// Ansible's own defaults in place of the checkout's settings.
fn no_settings(place: &Path) -> Result<PathBuf> {
    let file = place.join("empty.cfg");
    fs::write(&file, "").with_context(|| format!("can't write {}", file.display()))?;
    Ok(file)
}

/// Builds the tarball below `place` and installs it there; returns the collections path.
fn install(project: &Project, place: &Path) -> Result<PathBuf> {
    let (built, collections) = (place.join("built"), place.join("installed"));
    let settings = no_settings(place)?;
    let galaxy = |command: &str| {
        venv::program(project, "ansible-galaxy")
            .args(["collection", command])
            .env("ANSIBLE_CONFIG", &settings)
            .env("ANSIBLE_COLLECTIONS_PATH", &collections)
    };
    galaxy("build").arg("--output-path").arg(&built).arg(project.staged()).read()?;
    let tarball = tree::list(&built)?.pop().context("ansible-galaxy made no tarball")?;
    galaxy("install").args(["--offline", "--collections-path"]).arg(&collections).arg(&tarball).read()?;
    Ok(collections)
}

/// site.yml by ansible-runner, as large sites run it: transmitted to a worker, its events processed at home.
pub fn runner(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    let (home, worker, back) =
        (scene.dir().join("home"), scene.dir().join("worker"), scene.dir().join("back"));
    let mut tree = Tree::default();
    tree.put_directory(Path::new("project"), &scene.project.path("playbooks"))?;
    // What is transmitted carries the collection, and with it the binary.
    let collection = "project/collections/ansible_collections/sddc/pve";
    tree.put_directory(Path::new(collection), &scene.project.staged())?;
    tree.put_file("inventory/hosts.ini", &scene.project.lab_inventory())?;
    tree.place(&home)?;
    fs::create_dir_all(home.join("env"))?;
    let variables = json!({ "ANSIBLE_COLLECTIONS_PATH": "/nonexistent" });
    fs::write(home.join("env/envvars"), variables.to_string())?;
    for folder in [&worker, &back] {
        fs::create_dir_all(folder)?;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let script = "set -e; ansible-runner transmit \"$1\" -p site.yml >\"$4\"/sent; \
                  ansible-runner worker --private-data-dir \"$2\" <\"$4\"/sent >\"$4\"/done; \
                  ansible-runner process \"$3\" <\"$4\"/done";
    let output = Cmd::new("sh")
        .args(["-c", script, "runner"])
        .args([&home, &worker, &back, &scene.dir()])
        .env("PATH", format!("{}:{path}", scene.project.venv().join("bin").display()))
        .output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    fs::write(scene.dir().join("runner.log"), &said)?;
    ensure!(output.status.success(), "ansible-runner: {}\n{}", output.status, crate::command::tail(&said));
    let artifacts = back.join("artifacts");
    let files = tree::list(&artifacts)?;
    let read = |name: &str| {
        let file = files.iter().find(|path| path.file_name().is_some_and(|file| file == name));
        fs::read_to_string(file.with_context(|| format!("no {name} below {}", artifacts.display()))?)
            .with_context(|| name.to_owned())
    };
    same("status of the run", &"successful", &read("status")?.trim())?;
    same("its exit code", &"0", &read("rc")?.trim())?;
    let mut ours = 0;
    for event in files.iter().filter(|path| path.parent().is_some_and(|dir| dir.ends_with("job_events"))) {
        let event: Value = serde_json::from_str(&fs::read_to_string(event)?)?;
        if event["event"] == "runner_on_ok"
            && event["event_data"]["task_action"].as_str().is_some_and(is_ours)
        {
            ours += 1;
        }
    }
    ensure!(ours >= nodes.len(), "only {ours} tasks of our modules among the events");
    scene.healthy(&nodes)
}

fn is_ours(action: &str) -> bool {
    action.starts_with("sddc.pve.")
}

/// A container of the nodes' image beside the nodes, as the one who plays.
pub fn docker(container: &Container, project: &Project, environment: &[(String, String)]) -> Result<Cmd> {
    let node = lab::Node::first(1)[0];
    let link = lab::LINKS[0];
    let inspect = ["inspect", "--format", "{{.Config.Image}}", &node.container()];
    let image = Cmd::new("docker").args(inspect).read()?;
    let root = project.root().display();
    let mut cmd = Cmd::new("docker")
        .args(["run", "--rm", "--network", &link.network(), "--ip", &link.address(200)])
        .args(["--volume", &format!("{root}:{root}"), "--workdir", &root.to_string()])
        .args(["--env", &format!("PYTHONPATH={}", container.packages.display())])
        .args(["--env", "PYTHONDONTWRITEBYTECODE=1", "--env", "LC_ALL=C.UTF-8"]);
    for (name, value) in environment {
        cmd = cmd.args(["--env", &format!("{name}={value}")]);
    }
    Ok(cmd.args([image.trim(), "python3", "-m", "ansible", "playbook"]))
}
