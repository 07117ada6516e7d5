//! The host seam: the one way to the machine. Files are below a root, programs are argv vectors with a
//! time-out, time comes from a clock; tests put a stateful fake behind the same trait.

mod datagrams;
mod files;
mod https;
mod lock;
mod real;
mod terminal;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use datagrams::Socket;
pub(crate) use files::{BROKEN_PMXCFS, unwritten};
pub use files::{FileMode, Replaced};
pub use lock::{Lock, PasswordLock};
pub use real::RealHost;
use secrecy::{ExposeSecret, SecretString};

use crate::https::{Exchange, HttpsError, Reply};

/// The outside world as one node sees it, files apart.
pub trait Host: Send + Sync {
    /// Runs a program to its end or its time-out.
    fn run(&self, cmd: &Cmd) -> Result<Output, RunError>;
    /// Runs a program on a terminal of its own, without echo, and lets `partner` answer what it shows.
    fn converse(&self, cmd: &Cmd, _partner: &mut Partner<'_>) -> Result<Output, RunError> {
        Err(RunError::NotFound { program: cmd.program.clone() })
    }
    /// Runs a program in place of this one, with this one's standard input and output; returns only what kept it from it.
    fn become_program(&self, cmd: &Cmd) -> RunError {
        RunError::NotFound { program: cmd.program.clone() }
    }
    /// Opens and closes a TCP connection; returns how long the handshake took.
    fn connect(&self, address: SocketAddr, timeout: Duration) -> std::io::Result<Duration>;
    /// Binds a UDP socket to an address of this node.
    fn bind(&self, _address: SocketAddr) -> std::io::Result<Socket> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Wall clock.
    fn now(&self) -> SystemTime;
    /// A clock that never goes back.
    fn monotonic(&self) -> Duration;
    /// Whether this process was told to end (SIGTERM) and has not said yet that it heard it: no wait lasts any longer.
    fn is_told_to_end(&self) -> bool {
        false
    }
    /// What is done from now on takes its time, whoever tells it to end.
    fn hear_end(&self) {}
    /// Lets time pass. Only waits on a condition call this, see [`crate::Deadline::wait`].
    fn sleep(&self, duration: Duration);
    /// Speaks HTTPS to another node, or only sees which certificate it shows.
    fn https(&self, _exchange: &Exchange) -> Result<Reply, HttpsError> {
        Err(HttpsError::Unsupported)
    }
    /// This program's own file, so that a copy of it can go on when this process ends; `None` where nothing
    /// can be started apart from this process.
    fn own_program(&self) -> Option<PathBuf> {
        None
    }
    /// A variable of this process's environment: who called, never how to behave.
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Who answers a program on a terminal: given what it has shown since the last answer, and whether it has been silent
/// for some seconds since.
pub type Partner<'a> = dyn FnMut(&str, bool) -> Turn + 'a;

/// What is done about what a program has shown.
pub enum Turn {
    /// Nothing yet.
    Wait,
    /// This is typed.
    Say(SecretString),
    /// It is killed.
    HangUp,
}

/// A program to run. Never a shell; secrets go to standard input, never into `args`.
pub struct Cmd {
    /// Bare program name, looked up in the fixed PATH.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it reads on standard input; nothing (`/dev/null`) when absent.
    pub stdin: Option<SecretString>,
    /// After this the whole process group is killed.
    pub timeout: Duration,
}

impl Cmd {
    /// A program with arguments and a time-out.
    pub fn new<A: Into<String>>(program: &str, args: impl IntoIterator<Item = A>, timeout: Duration) -> Self {
        Self {
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            stdin: None,
            timeout,
        }
    }

    /// Feeds standard input.
    #[must_use]
    pub fn stdin(mut self, text: SecretString) -> Self {
        self.stdin = Some(text);
        self
    }

    /// The command line for messages: program and arguments, never what it is fed.
    pub fn line(&self) -> String {
        std::iter::once(self.program.as_str())
            .chain(self.args.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// What it is fed, for the host that runs it.
    pub fn input(&self) -> &str {
        self.stdin.as_ref().map_or("", |text| text.expose_secret())
    }
}

/// What a program left behind. An exit code proves nothing about PVE's tools: look at the state.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

impl Output {
    /// Whether the exit code is 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// The last lines of both streams, for an error message.
    pub fn tail(&self) -> String {
        let text = format!("{}\n{}", self.stdout.trim_end(), self.stderr.trim_end());
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// A program could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Not installed.
    #[error("program {program:?} is not installed on this node")]
    NotFound {
        /// Its name.
        program: String,
    },
    /// Killed at its time-out.
    #[error("{line:?} did not end within {} s and was killed; last output: {tail}", timeout.as_secs())]
    TimedOut {
        /// Command line.
        line: String,
        /// Its limit.
        timeout: Duration,
        /// The end of what it printed.
        tail: String,
    },
    /// The system refused.
    #[error("cannot run {line:?}")]
    Io {
        /// Command line.
        line: String,
        /// Why.
        source: std::io::Error,
    },
}

/// One machine: its files below `root`, its programs, its network and its clock behind [`Host`].
pub struct Node {
    host: Box<dyn Host>,
    root: PathBuf,
}

impl Node {
    /// The machine this process runs on.
    pub fn real() -> Self {
        Self::new(Box::new(RealHost::default()), PathBuf::from("/"))
    }

    /// The same for a process of which SIGTERM is a wish that it obeys when it has tidied up.
    pub fn real_that_undoes() -> Self {
        Self::new(Box::new(RealHost::that_listens()), PathBuf::from("/"))
    }

    /// A machine behind another host and root, for tests.
    pub fn new(host: Box<dyn Host>, root: PathBuf) -> Self {
        Self { host, root }
    }

    /// Where an absolute path of the node lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }

    /// Runs a program to its end; a non-zero exit code is no error here.
    pub fn run(&self, cmd: &Cmd) -> Result<Output, RunError> {
        self.host.run(cmd)
    }

    /// Runs a program on a terminal of its own.
    pub fn converse(&self, cmd: &Cmd, partner: &mut Partner<'_>) -> Result<Output, RunError> {
        self.host.converse(cmd, partner)
    }

    /// Runs a program whose failure is an error: that of a tool that tells the truth about it.
    pub fn run_ok(&self, cmd: &Cmd) -> anyhow::Result<Output> {
        let output = self.run(cmd)?;
        anyhow::ensure!(
            output.is_success(),
            "{:?} ended with {}: {}",
            cmd.line(),
            output.code.map_or("a signal".to_owned(), |code| format!("exit code {code}")),
            output.tail()
        );
        Ok(output)
    }

    /// Runs a program in place of this one.
    pub fn become_program(&self, cmd: &Cmd) -> RunError {
        self.host.become_program(cmd)
    }

    /// Opens and closes a TCP connection.
    pub fn connect(&self, address: SocketAddr, timeout: Duration) -> std::io::Result<Duration> {
        self.host.connect(address, timeout)
    }

    /// Speaks HTTPS to another node.
    pub fn https(&self, exchange: &Exchange) -> Result<Reply, HttpsError> {
        self.host.https(exchange)
    }

    /// This program's own file, where a copy of it can be started apart from this process.
    pub fn own_program(&self) -> Option<PathBuf> {
        self.host.own_program()
    }

    /// A variable of this process's environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.host.variable(name)
    }

    /// Wall clock.
    pub fn now(&self) -> SystemTime {
        self.host.now()
    }

    /// A clock that never goes back.
    pub fn monotonic(&self) -> Duration {
        self.host.monotonic()
    }

    /// Whether this process was told to end and has not said yet that it heard it.
    pub fn is_told_to_end(&self) -> bool {
        self.host.is_told_to_end()
    }

    /// What is done from now on takes its time.
    pub fn hear_end(&self) {
        self.host.hear_end();
    }

    /// Lets time pass, for [`crate::Deadline::wait`] only.
    pub(crate) fn sleep(&self, duration: Duration) {
        self.host.sleep(duration);
    }
}
