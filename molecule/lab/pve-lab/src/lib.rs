//! Emulator of the Proxmox VE layer for the lab containers: answers, refuses, tarries and fails as PVE 9.1 was
//! measured to do. It knows nothing of the product that is tested on it, and the product nothing of it.
mod api;
mod auth;
mod certificates;
mod cli;
mod corosync;
mod corosync_conf;
mod delays;
mod faults;
mod host;
mod http;
mod pmxcfs;
mod relay;
mod ssh_keys;
mod system;
mod tasks;

use std::process::ExitCode;

/// Runs the program that the binary was called as.
pub fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let called_as = args.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned();
    args.remove(0);
    // `pve-lab <name> …` is the same as the link `<name> …`: handy in a build tree.
    let name = if called_as == "pve-lab" && !args.is_empty() { args.remove(0) } else { called_as };
    cli::run(&name, &args)
}
