//! The programs that a test node has in place of genuine ones: `init`, `systemctl` and corosync's own. One binary,
//! the test itself, acts on the name it is called by. Knows nothing of PVE but which units run which program.

mod corosync;
mod corosync_conf;
mod fabric;
mod init;
mod notify;
mod systemctl;
mod tools;

pub use fabric::CUTS;

/// Where a node keeps the fakes.
pub const PROGRAM: &str = "/usr/lib/contract/fake";

/// Every name that the binary answers to, with the folder where a node has it.
pub const NAMES: [(&str, &str); 9] = [
    ("/usr/bin", "systemctl"),
    ("/usr/sbin", "corosync"),
    ("/usr/sbin", "corosync-quorumtool"),
    ("/usr/sbin", "corosync-cfgtool"),
    ("/usr/sbin", "corosync-cmapctl"),
    ("/usr/sbin", "corosync-keygen"),
    ("/usr/bin", "journalctl"),
    ("/usr/lib/contract", "init"),
    ("/usr/lib/contract", "https-request"),
];

/// Plays the program of this name and gives its exit status, if it is one of them.
pub fn play(name: &str, args: &[String]) -> Option<i32> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Some(match name {
        "init" => init::run(),
        "systemctl" => systemctl::run(&args),
        "corosync" => corosync::run(),
        "corosync-quorumtool" => tools::quorumtool(&args),
        "corosync-cfgtool" => tools::cfgtool(&args),
        "corosync-cmapctl" => tools::cmapctl(&args),
        "corosync-keygen" => tools::keygen(&args),
        "https-request" => crate::https::run(&args),
        // Nothing is logged on a test node.
        "journalctl" => 0,
        _ => return None,
    })
}
