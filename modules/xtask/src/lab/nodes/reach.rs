//! What is done on one node of the lab: programs run with and without ssh, files written and copied.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result, bail};

use super::Lab;
use crate::lab::docker::{self, docker};
use crate::lab::layout::{LINKS, Node};
use crate::lab::snapshot;

impl Lab<'_> {
    /// Runs a program on a node, not through ssh; its exit status is the caller's to judge.
    pub fn exec(&self, node: Node, argv: &[&str]) -> Result<Output> {
        self.exec_within(node, argv, 600)
    }

    /// The same for what may take longer, or must not; status 124: it took more than so many seconds.
    pub fn exec_within(&self, node: Node, argv: &[&str], seconds: u64) -> Result<Output> {
        match self.is_entered {
            true => docker::enter(&node.container(), argv, seconds),
            false => docker::exec(&node.container(), argv, seconds),
        }
    }

    /// Copies a program of this machine onto a node.
    pub fn install(&self, node: Node, program: &std::path::Path, to: &str) -> Result<()> {
        self.copy_in(node, program.to_owned(), to)
    }

    /// ssh to a node as root, with the lab's key: what is to be run there is the next argument.
    pub fn ssh(&self, node: Node) -> Command {
        let mut command = Command::new("ssh");
        // The first word counts: a node that is gone is noticed sooner than the lab's users need.
        command.args(["-oServerAliveInterval=4", "-oBatchMode=yes", "-oLogLevel=ERROR"]);
        command.args(self.access.ssh_options()).arg(format!("root@{}", node.address(LINKS[0])));
        command
    }

    /// Runs a program on a node that must succeed; returns what it wrote to standard output.
    pub fn succeed(&self, node: Node, argv: &[&str]) -> Result<String> {
        let output = self.exec(node, argv)?;
        if !output.status.success() {
            let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
            let said = String::from_utf8_lossy(&said);
            bail!("{} on {node}: {}: {}", argv.join(" "), output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes a file on a node, as root with the usual mode.
    pub fn write(&self, node: Node, path: &str, text: &str) -> Result<()> {
        self.succeed(node, &["sh", "-c", "printf '%s\\n' \"$2\" >\"$1\"", "write", path, text]).map(drop)
    }

    /// The key that lets in.
    pub fn public_key(&self) -> Result<String> {
        self.access.public_key()
    }

    /// Files of a node with mode, owner and content, to be compared.
    pub fn snapshot(&self, node: Node) -> Result<String> {
        snapshot::take(node)
    }

    /// Runs a program on a node with the terminal of the caller.
    pub fn attach(&self, node: Node, argv: &[&str]) -> Result<ExitStatus> {
        use std::io::IsTerminal;
        let mut command = std::process::Command::new("docker");
        command.args(["exec", "--interactive"]);
        if std::io::stdin().is_terminal() {
            command.arg("--tty");
        }
        command
            .arg(node.container())
            .args(argv)
            .stdin(Stdio::inherit())
            .status()
            .context("can't start docker")
    }

    /// Logs in to a node, or runs a command over ssh, with the terminal of the caller.
    pub fn log_in(&self, node: Node, argv: &[&str]) -> Result<ExitStatus> {
        let mut command = std::process::Command::new("ssh");
        command.args(self.access.ssh_options()).arg(format!("root@{}", node.address(LINKS[0]))).args(argv);
        command.status().context("can't start ssh")
    }

    pub(super) fn copy_in(&self, node: Node, file: PathBuf, to: &str) -> Result<()> {
        docker(["cp"]).arg(file).arg(format!("{}:{to}", node.container())).read().map(drop)
    }
}
