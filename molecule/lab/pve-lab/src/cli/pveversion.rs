//! `pveversion [-v]`.

use super::Status;
use super::output::print;
use crate::delays::Step;
use crate::host::Host;

const PACKAGES: &str = include_str!("packages.txt");

pub fn run(host: &Host, args: &[String]) -> Status {
    host.delays.take(Step::ToolStart);
    let kernel = host.read_text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim();
    if args.iter().any(|arg| arg == "-v" || arg == "--verbose") {
        print(&PACKAGES.replace("{kernel}", kernel));
    } else {
        print(&format!("pve-manager/9.1.10/cf3780f987144a6d (running kernel: {kernel})\n"));
    }
    0
}
