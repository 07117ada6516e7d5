//! `qm list` and `pct list`: the guests whose configuration lies in this node's directory.

use super::{Status, pmxcfs_refusal};
use crate::delays::Step;
use crate::host::Host;

pub fn run(host: &Host, program: &str, args: &[String]) -> Status {
    host.delays.take(Step::ToolStart);
    if let Some(exit) = pmxcfs_refusal(host) {
        return exit;
    }
    if args.first().map(String::as_str) != Some("list") {
        eprintln!("ERROR: unknown command '{program} {}'", args.join(" "));
        return 255;
    }
    let is_container = program == "pct";
    let directory = host.node_file(if is_container { "lxc" } else { "qemu-server" });
    let mut ids: Vec<u32> = std::fs::read_dir(host.path(&directory))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| file.file_name().to_str()?.strip_suffix(".conf")?.parse().ok())
        .collect();
    ids.sort_unstable();
    if ids.is_empty() {
        return 0;
    }
    println!(
        "{}",
        if is_container {
            "VMID       Status     Lock         Name                "
        } else {
            "      VMID NAME                 STATUS     MEM(MB)    BOOTDISK(GB) PID       "
        }
    );
    for id in ids {
        let config = host.read_text(&format!("{directory}/{id}.conf")).unwrap_or_default();
        let value = |key: &str| {
            let prefix = format!("{key}: ");
            config.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
        };
        if is_container {
            println!("{id:<10} {:<10} {:<12} {:<20}", "stopped", "", value("hostname"));
        } else {
            let name = Some(value("name")).filter(|name| !name.is_empty());
            println!(
                "{id:>10} {:<20} {:<10} {:<10} {:>12} {:<10}",
                name.unwrap_or_else(|| format!("VM {id}")),
                "stopped",
                value("memory"),
                "0.00",
                0
            );
        }
    }
    0
}
