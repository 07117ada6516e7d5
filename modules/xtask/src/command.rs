//! The one seam through which xtask starts other programs: says what it runs, and turns a failure into an
//! error that names the command and the end of what it printed.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Lines of a failed command's output that its error repeats.
const TAIL: usize = 20;

/// A program to run, with its arguments.
pub struct Cmd {
    command: Command,
    shown: Vec<OsString>,
}

impl Cmd {
    /// A program that is found on PATH, or by its path.
    pub fn new(program: impl AsRef<OsStr>) -> Cmd {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Cmd { command, shown: vec![program.to_owned()] }
    }

    /// The cargo that started us.
    pub fn cargo() -> Cmd {
        let mut cmd = Cmd::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cmd.shown[0] = "cargo".into();
        // Cargo sets these for us, the child's own package must not see them.
        cmd.command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
        cmd
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Cmd {
        self.shown.push(arg.as_ref().to_owned());
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Cmd {
        args.into_iter().fold(self, Cmd::arg)
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Cmd {
        self.command.env(name, value);
        self
    }

    /// Variables of the environment.
    pub fn envs(self, variables: impl IntoIterator<Item = (&'static str, OsString)>) -> Cmd {
        variables.into_iter().fold(self, |cmd, (name, value)| cmd.env(name, value))
    }

    /// Removes a variable of the environment.
    pub fn env_remove(mut self, name: &str) -> Cmd {
        self.command.env_remove(name);
        self
    }

    /// The directory to run in.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Cmd {
        self.command.current_dir(dir);
        self
    }

    /// Runs it in sight of the user.
    pub fn run(mut self) -> Result<()> {
        eprintln!("$ {self}");
        let status = self.command.status().with_context(|| format!("can't start {self}"))?;
        if !status.success() {
            bail!("{self}: {status}");
        }
        Ok(())
    }

    /// Runs it quietly; returns what it wrote to standard output.
    pub fn read(self) -> Result<String> {
        let shown = self.to_string();
        let output = self.output()?;
        if !output.status.success() {
            let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
            bail!("{shown}: {}\n{}", output.status, tail(&String::from_utf8_lossy(&said)));
        }
        String::from_utf8(output.stdout).with_context(|| format!("{shown}: output is not UTF-8"))
    }

    /// Runs it quietly; its exit status is the caller's to judge.
    pub fn output(mut self) -> Result<Output> {
        self.command.output().with_context(|| format!("can't start {self}"))
    }

    /// Runs it with what it prints going to a file; its exit status is the caller's to judge.
    pub fn log(mut self, file: &std::fs::File) -> Result<std::process::ExitStatus> {
        self.command.stdout(file.try_clone()?).stderr(file.try_clone()?);
        self.command.status().with_context(|| format!("can't start {self}"))
    }

    /// Whether it starts and succeeds; says nothing.
    pub fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok_and(|status| status.success())
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.shown.iter().enumerate() {
            let word = word.to_string_lossy();
            let space = if index == 0 { "" } else { " " };
            if word.is_empty() || word.contains([' ', '\'', '"', '*', '\n']) {
                write!(f, "{space}'{}'", word.replace('\'', "'\\''"))?;
            } else {
                write!(f, "{space}{word}")?;
            }
        }
        Ok(())
    }
}

/// The last lines of an output.
pub fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_with_the_end_of_its_output() {
        let error = Cmd::new("sh").args(["-c", "echo lost >&2; exit 3"]).read().unwrap_err().to_string();
        assert_eq!(error, "sh -c 'echo lost >&2; exit 3': exit status: 3\nlost");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Cmd::new("no-such-program").arg("x").read().unwrap_err().to_string();
        assert_eq!(error, "can't start no-such-program x");
    }
}
