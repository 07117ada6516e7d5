//! Nodes as the lab's containers (`cargo xtask lab`), with genuine corosync and systemd. The lab must have an image;
//! its nodes pve1 to pve4 are taken over and made anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, ENVIRONMENT};

/// The lab.
pub struct Containers {
    repository: PathBuf,
}

impl Containers {
    pub fn open() -> Containers {
        Containers { repository: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..") }
    }

    fn lab(&self, args: &[&str]) {
        let status = Command::new(env!("CARGO"))
            .args(["xtask", "lab"])
            .args(args)
            .current_dir(&self.repository)
            .status()
            .expect("cargo starts");
        assert!(status.success(), "cargo xtask lab {}: {status}", args.join(" "));
    }

    fn exists(node: &str) -> bool {
        let found = Command::new("docker").args(["inspect", &container(node)]).output();
        found.is_ok_and(|output| output.status.success())
    }
}

fn container(node: &str) -> String {
    format!("sddc-pve-{node}")
}

impl Bench for Containers {
    fn fresh(&mut self, node: &str, _: bool) {
        let verb = if Containers::exists(node) { "reset" } else { "add" };
        self.lab(&[verb, node]);
        let mut command = self.command(node, &["sh", "-c", "echo off >/var/lib/pve-lab/delays"], false);
        assert!(command.status().is_ok_and(|status| status.success()), "{node} takes no delays");
    }

    fn settled(&mut self, _: &str) {}

    fn kill(&mut self, node: &str) {
        self.lab(&["kill", node]);
    }

    fn boot(&mut self, node: &str) {
        self.lab(&["start", node]);
    }

    fn plug(&mut self, node: &str, link: u8, is_plugged: bool) {
        let verb = if is_plugged { "heal" } else { "cut" };
        self.lab(&[verb, node, "--link", &link.to_string()]);
    }

    fn command(&self, node: &str, argv: &[&str], on_terminal: bool) -> Command {
        let mut command = Command::new("docker");
        command.args(["exec", "--interactive", "--workdir=/root"]);
        if on_terminal {
            command.arg("--tty");
        }
        for setting in ENVIRONMENT {
            command.args(["--env", setting]);
        }
        command.arg(container(node)).args(argv);
        command
    }

    fn https(&self, address: &str) -> Command {
        // The containers' network is reachable from here; the program is this one under another name.
        let mut command = Command::new("bash");
        let program = std::env::current_exe().expect("the test knows its own file");
        command.args(["-c", "exec -a https-request \"$0\" \"$@\""]).arg(program).arg(address);
        command
    }

    fn is_genuine(&self) -> bool {
        true
    }
}
