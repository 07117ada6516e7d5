//! Plays a playbook over the lab as a user would, and reads from what it prints who changed, who failed and why.
//! Knows nothing of what the playbooks do.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Container, controllers};
use crate::command::Cmd;
use crate::project::Project;
use crate::venv;

/// One run of ansible-playbook, written down before it starts.
pub struct Play<'a> {
    project: &'a Project,
    playbook: PathBuf,
    inventory: PathBuf,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    container: Option<Container>,
    log: PathBuf,
}

/// What a run printed.
#[derive(Debug)]
pub struct Run {
    /// Its exit status was 0.
    pub is_success: bool,
    /// All that it printed.
    pub output: String,
    /// How long it took.
    pub elapsed: Duration,
    /// Tasks that reported a change, as `host: task`.
    pub changed: Vec<String>,
    /// Messages of failed tasks, by host.
    pub failed: BTreeMap<String, Vec<String>>,
}

impl<'a> Play<'a> {
    /// A playbook of the project over the lab's inventory; what it prints goes to `log`.
    pub fn new(project: &'a Project, playbook: impl Into<PathBuf>, log: PathBuf) -> Play<'a> {
        Play {
            project,
            playbook: playbook.into(),
            inventory: project.lab_inventory(),
            args: Vec::new(),
            environment: Vec::new(),
            container: None,
            log,
        }
    }

    /// Further arguments.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Play<'a> {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Over another inventory than the lab's own.
    pub fn inventory(mut self, path: PathBuf) -> Play<'a> {
        self.inventory = path;
        self
    }

    /// A variable of the controller's environment.
    pub fn env(mut self, name: &str, value: &str) -> Play<'a> {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Played by a container in place of this machine.
    pub fn by(mut self, container: Option<Container>) -> Play<'a> {
        self.container = container;
        self
    }

    /// The command, for a scenario that starts it itself.
    pub fn command(&self) -> Result<Cmd> {
        let own = [
            ("ANSIBLE_NOCOLOR", "1"),
            ("ANSIBLE_FORCE_COLOR", "0"),
            ("ANSIBLE_DEPRECATION_WARNINGS", "0"),
            ("ANSIBLE_CALLBACK_RESULT_FORMAT", "json"),
        ];
        let mut environment: Vec<(String, String)> =
            own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        environment.extend(self.environment.iter().cloned());
        let cmd = match &self.container {
            Some(container) => controllers::docker(container, self.project, &environment)?,
            None => environment
                .iter()
                .fold(venv::program(self.project, "ansible-playbook"), |cmd, (name, value)| {
                    cmd.env(name, value)
                }),
        };
        let cmd = cmd.arg("-i").arg(&self.inventory).arg(&self.playbook).args(&self.args);
        Ok(cmd.dir(self.project.root()))
    }

    /// Plays it to its end.
    pub fn run(self) -> Result<Run> {
        let start = Instant::now();
        if let Some(dir) = self.log.parent() {
            fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
        }
        let file = File::create(&self.log).with_context(|| format!("can't write {}", self.log.display()))?;
        let status = self.command()?.log(&file)?;
        let output = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
        Ok(Run::read(output, status.success(), start.elapsed()))
    }

    /// Plays it, which must succeed.
    pub fn succeed(self) -> Result<Run> {
        let log = self.log.clone();
        let run = self.run()?;
        if !run.is_success {
            bail!("the play failed, see {}: {:?}", log.display(), run.failed);
        }
        Ok(run)
    }
}

impl Run {
    fn read(output: String, is_success: bool, elapsed: Duration) -> Run {
        let mut run =
            Run { is_success, output: String::new(), elapsed, changed: Vec::new(), failed: BTreeMap::new() };
        let mut task = "";
        for line in output.lines() {
            if let Some(title) =
                line.strip_prefix("TASK [").or_else(|| line.strip_prefix("RUNNING HANDLER ["))
            {
                task = title.split(']').next().unwrap_or(title);
            } else if let Some(host) = host_of(line, "changed: [") {
                run.changed.push(format!("{host}: {task}"));
            } else if let Some(host) = host_of(line, "fatal: [").or_else(|| host_of(line, "failed: [")) {
                run.failed.entry(host.to_owned()).or_default().push(message(line));
            }
        }
        run.output = output;
        run
    }

    /// The messages of all hosts' failures.
    pub fn messages(&self) -> String {
        self.failed.values().flatten().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// `changed: [pve1 -> pve2(10.88.0.12)] => …` is about pve1.
fn host_of<'l>(line: &'l str, opener: &str) -> Option<&'l str> {
    line.strip_prefix(opener)?.split([']', ' ']).next()
}

/// The result's `msg` where the line carries a result, else the line.
fn message(line: &str) -> String {
    let result =
        line.find("=> {").and_then(|at| serde_json::from_str::<serde_json::Value>(&line[at + 3..]).ok());
    match result.as_ref().and_then(|result| result["msg"].as_str()) {
        Some(msg) => msg.to_owned(),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_failures_are_read_with_their_task_and_host() {
        let printed = "\
TASK [sddc.pve.cluster : Create the cluster] ****
changed: [pve1]
skipping: [pve2]

TASK [sddc.pve.cluster : Admit the node] ****
changed: [pve2 -> pve1(10.88.0.11)] => (item=pve2)
fatal: [pve3]: FAILED! => {\"changed\": false, \"msg\": \"link 0: not local\"}
fatal: [pve4]: UNREACHABLE! => no result
";
        let run = Run::read(printed.to_owned(), false, Duration::ZERO);
        assert_eq!(
            run.changed,
            ["pve1: sddc.pve.cluster : Create the cluster", "pve2: sddc.pve.cluster : Admit the node"]
        );
        assert_eq!(run.failed["pve3"], ["link 0: not local"]);
        assert_eq!(run.failed["pve4"], ["fatal: [pve4]: UNREACHABLE! => no result"]);
    }
}
