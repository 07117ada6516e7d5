//! The seam to the machine: programs, names, addresses. Real here; tests put a scripted node in its place.

use std::io::{self, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::process::{Command, Stdio};

/// What a program gave.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn succeeded(&self) -> bool {
        self.status == 0
    }
}

/// What the emulator needs of a machine.
pub trait System: Send + Sync {
    fn run(&self, argv: &[&str], stdin: Option<&[u8]>) -> Output;
    /// Like `run`, with the caller's standard input and terminal: for programs that ask a person.
    fn run_asking(&self, argv: &[&str]) -> Output;
    fn hostname(&self) -> String;
    fn resolve(&self, name: &str) -> io::Result<IpAddr>;
    fn addresses(&self) -> Vec<IpAddr>;
}

/// The machine itself.
pub struct RealSystem;

fn command(argv: &[&str]) -> Command {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn outcome(ended: io::Result<std::process::Output>) -> Output {
    match ended {
        Ok(output) => Output {
            status: output.status.code().unwrap_or(255),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(error) => Output { status: 127, stdout: String::new(), stderr: error.to_string() },
    }
}

impl System for RealSystem {
    fn run(&self, argv: &[&str], stdin: Option<&[u8]>) -> Output {
        let spawned = command(argv)
            .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return outcome(Err(error)),
        };
        if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
            // A program that does not read its input ends the pipe early; its exit code tells what happened.
            let _ = pipe.write_all(bytes);
        }
        outcome(child.wait_with_output())
    }

    fn run_asking(&self, argv: &[&str]) -> Output {
        outcome(command(argv).stdin(Stdio::inherit()).output())
    }

    fn hostname(&self) -> String {
        nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn resolve(&self, name: &str) -> io::Result<IpAddr> {
        (name, 0)
            .to_socket_addrs()?
            .next()
            .map(|address| address.ip())
            .ok_or_else(|| io::Error::other("no address"))
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
        interfaces
            .filter_map(|interface| interface.address)
            .filter_map(|address| {
                let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
            })
            .collect()
    }
}
