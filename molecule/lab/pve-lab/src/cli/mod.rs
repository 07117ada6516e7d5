//! The programs behind the links: each reads its arguments, calls the API tree and prints as PVE prints.

mod guests;
mod options;
mod output;
mod prompt;
mod pvecm;
mod pvecm_add;
mod pvesh;
mod pveum;
mod pveversion;

use std::process::ExitCode;

use crate::host::Host;
use crate::{api, auth, http, pmxcfs, relay};

/// What a command ends with: everything printed already.
pub type Status = u8;

/// Runs the program `name`.
pub fn run(name: &str, args: &[String]) -> ExitCode {
    let host = Host::real();
    match name {
        "pmxcfs" => pmxcfs::run(host, args),
        "pveproxy" | "pvedaemon" => service(host, name, args),
        "task-worker" => api::run_worker(&host),
        "assemble-ticket" => assemble_ticket(&host, args),
        "pvecm" => ExitCode::from(pvecm::run(&host, args)),
        "pvesh" => ExitCode::from(pvesh::run(&host, args)),
        "pveversion" => ExitCode::from(pveversion::run(&host, args)),
        "pveum" | "pvesm" => ExitCode::from(pveum::run(&host, name, args)),
        "qm" | "pct" => ExitCode::from(guests::run(&host, name, args)),
        "udp-relay" => {
            eprintln!("udp-relay: {}", relay::run(args).err().unwrap_or_default());
            ExitCode::FAILURE
        }
        other => {
            eprintln!("pve-lab: '{other}' is not emulated");
            ExitCode::from(127)
        }
    }
}

/// The API servers, as systemd calls them.
fn service(host: Host, name: &str, args: &[String]) -> ExitCode {
    match (name, args.first().map(String::as_str)) {
        ("pveproxy", Some("start")) => http::server::run_proxy(host),
        ("pvedaemon", Some("start")) => http::server::run_daemon(&host),
        (_, Some("restart")) => http::server::restart(&host, name),
        (_, other) => {
            eprintln!("ERROR: unknown command '{name} {}'", other.unwrap_or_default());
            ExitCode::from(255)
        }
    }
}

/// What `perl -MPVE::AccessControl -e 'print PVE::AccessControl::assemble_ticket("root\@pam")'` prints: the lab's
/// stand-in for that Perl module calls this.
fn assemble_ticket(host: &Host, args: &[String]) -> ExitCode {
    match auth::issue_ticket(host, args.first().map_or(api::ROOT_USER, String::as_str)) {
        Ok(ticket) => {
            print!("{ticket}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(255)
        }
    }
}

/// PVE's tools talk to pmxcfs first. None when it answers, else the exit code.
fn pmxcfs_refusal(host: &Host) -> Option<Status> {
    let (reason, exit) = match host.read("/etc/pve/.version") {
        Ok(_) => return None,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => ("Unknown error -1", 255),
        Err(_) => ("Connection refused", 111),
    };
    for attempt in 1..=3 {
        eprintln!("ipcc_send_rec[{attempt}] failed: {reason}");
    }
    eprintln!("Unable to load access control list: {reason}");
    Some(exit)
}
