//! A stateful fake of one node, for tests of everything above the host seam: files below a temporary root,
//! and a machine behind it that answers as the node's tools do and changes as they change it.
//!
//! It is a model, not a script: starting corosync makes quorumtool answer, stopping pve-cluster empties
//! /etc/pve. What it does not model, a test adds with [`Fake::on`] or [`Fake::answer`]. Only with the feature
//! `fake`; nothing of it is in the binary. A hook that panics stands for a process that is killed there: the
//! locks of this file outlive it.

mod corosync;
pub mod golden;
mod machine;
mod programs;
mod pve;
mod qdevice;
mod systemctl;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

pub use machine::{FakeUnit, Machine, Port};

use crate::https::{Exchange, HttpsError, Reply};
use crate::{Cmd, Host, Node, Output, Partner, RunError};

/// What a hook makes of a program: `None` leaves it to the next hook and the model.
pub type Hook = Box<dyn FnMut(&mut Machine, &Cmd) -> Option<Result<Output, RunError>> + Send>;

/// One fake node: keep it as long as its [`Node`]s live, for its root is removed with it.
pub struct Fake {
    root: tempfile::TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    machine: Mutex<Machine>,
    hooks: Mutex<Vec<Hook>>,
    web: Mutex<Vec<WebHook>>,
}

/// What a hook makes of an HTTPS exchange: `None` leaves it to the next hook and the model, which shows the
/// node's own certificate on its own port 8006 and refuses everything else.
pub type WebHook = Box<dyn FnMut(&mut Machine, &Exchange) -> Option<Result<Reply, HttpsError>> + Send>;

struct FakeHost(Arc<Shared>);

impl Fake {
    /// A freshly installed PVE 9 node in no cluster: services up, name resolving, time synchronised.
    pub fn standalone(name: &str, address: &str) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        let machine = Machine::new(root.path().to_owned(), name, address);
        let fake = Self {
            root,
            shared: Arc::new(Shared {
                machine: Mutex::new(machine),
                hooks: Mutex::new(Vec::new()),
                web: Mutex::new(Vec::new()),
            }),
        };
        fake.machine().install();
        fake
    }

    /// A member of a cluster with this corosync.conf, corosync running and all listed nodes online.
    pub fn member(name: &str, address: &str, corosync_conf: &str) -> Self {
        let fake = Self::standalone(name, address);
        fake.machine().become_member(corosync_conf);
        fake
    }

    /// The node, as the code under test takes it.
    pub fn node(&self) -> Node {
        Node::new(Box::new(FakeHost(self.shared.clone())), self.root.path().to_owned())
    }

    /// The machine, to look at or to change. Do not hold it while the code under test runs.
    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.shared.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an absolute path of the node lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.machine().path(path)
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        self.machine().write(path, content);
    }

    /// Answers a program before the model does; the last hook added is asked first.
    pub fn on(
        &self,
        hook: impl FnMut(&mut Machine, &Cmd) -> Option<Result<Output, RunError>> + Send + 'static,
    ) {
        self.shared.hooks.lock().unwrap_or_else(PoisonError::into_inner).insert(0, Box::new(hook));
    }

    /// Answers an HTTPS exchange before the model does.
    pub fn on_https(
        &self,
        hook: impl FnMut(&mut Machine, &Exchange) -> Option<Result<Reply, HttpsError>> + Send + 'static,
    ) {
        self.shared.web.lock().unwrap_or_else(PoisonError::into_inner).insert(0, Box::new(hook));
    }

    /// Answers one exact command line with a text and an exit code.
    pub fn answer(&self, line: &str, code: i32, stdout: &str) {
        let (line, stdout) = (line.to_owned(), stdout.to_owned());
        self.on(move |_, cmd| {
            let output = Output { code: Some(code), stdout: stdout.clone(), stderr: String::new() };
            (cmd.line() == line).then_some(Ok(output))
        });
    }

    /// Every command line run so far.
    pub fn calls(&self) -> Vec<String> {
        self.machine().calls.clone()
    }
}

impl Host for FakeHost {
    fn run(&self, cmd: &Cmd) -> Result<Output, RunError> {
        let mut machine = self.0.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine.calls.push(cmd.line());
        for hook in self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if let Some(answer) = hook(&mut machine, cmd) {
                machine.settle();
                return answer;
            }
        }
        let answer = programs::run(&mut machine, cmd);
        machine.settle();
        answer
    }

    fn converse(&self, cmd: &Cmd, partner: &mut Partner<'_>) -> Result<Output, RunError> {
        let mut machine = self.0.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine.calls.push(cmd.line());
        for hook in self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if let Some(answer) = hook(&mut machine, cmd) {
                machine.settle();
                return answer;
            }
        }
        let answer = pve::converse(&mut machine, cmd, partner);
        machine.settle();
        answer
    }

    fn connect(&self, address: SocketAddr, timeout: Duration) -> std::io::Result<Duration> {
        let machine = self.0.machine.lock().unwrap_or_else(PoisonError::into_inner);
        match machine.ports.get(&address) {
            Some(Port::Open) => Ok(Duration::from_millis(1)),
            Some(Port::Silent) => {
                let text = format!("connection timed out after {} ms", timeout.as_millis());
                Err(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
            }
            None => Err(std::io::ErrorKind::ConnectionRefused.into()),
        }
    }

    fn https(&self, exchange: &Exchange) -> Result<Reply, HttpsError> {
        let mut machine = self.0.machine.lock().unwrap_or_else(PoisonError::into_inner);
        for hook in self.0.web.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if let Some(answer) = hook(&mut machine, exchange) {
                return answer;
            }
        }
        machine.own_api(exchange)
    }

    fn own_program(&self) -> Option<PathBuf> {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner).own_program.clone()
    }

    fn now(&self) -> SystemTime {
        let machine = self.0.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine.booted + machine.clock
    }

    fn monotonic(&self) -> Duration {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner).clock
    }

    fn is_told_to_end(&self) -> bool {
        let machine = self.0.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine.is_told_to_end && !machine.has_heard_end
    }

    fn hear_end(&self) {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner).has_heard_end = true;
    }

    fn sleep(&self, duration: Duration) {
        let mut machine = self.0.machine.lock().unwrap_or_else(PoisonError::into_inner);
        // A wait of nothing must still end: real time passes by itself, this clock does not.
        machine.clock += duration.max(Duration::from_millis(1));
        machine.settle();
    }
}

#[cfg(test)]
mod tests;
