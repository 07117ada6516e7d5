//! The programs a fake node has. One it does not know is not installed, so that a test notices.

use super::Machine;
use super::systemctl;
use crate::{Cmd, Output, RunError};

pub(super) fn run(machine: &mut Machine, cmd: &Cmd) -> Result<Output, RunError> {
    let args: Vec<&str> = cmd.args.iter().map(String::as_str).collect();
    match (cmd.program.as_str(), args.as_slice()) {
        ("corosync-quorumtool", ["-s"]) => Ok(tool(machine.quorumtool())),
        ("corosync-cfgtool", ["-s"]) => Ok(tool(machine.cfgtool())),
        ("systemctl", args) => Ok(systemctl::run(machine, args)),
        ("getent", ["ahosts", names @ ..]) => Ok(getent(machine, names)),
        ("ip", ["-json", "address", ..]) => Ok(printed(ip_json(machine))),
        ("chronyc", ["-c", "tracking"]) if machine.synchronised.is_some() => Ok(printed(tracking(machine))),
        ("timedatectl", ["show", ..]) if machine.synchronised.is_some() => {
            let yes = if machine.synchronised == Some(true) { "yes" } else { "no" };
            Ok(printed(format!("NTP=yes\nNTPSynchronized={yes}\n")))
        }
        _ => super::pve::run(machine, cmd)
            .unwrap_or_else(|| Err(RunError::NotFound { program: cmd.program.clone() })),
    }
}

pub(super) fn printed(stdout: String) -> Output {
    Output { code: Some(0), stdout, stderr: String::new() }
}

fn tool(answer: Result<String, &str>) -> Output {
    match answer {
        Ok(text) => printed(text),
        Err(text) => Output { code: Some(1), stdout: String::new(), stderr: text.to_owned() },
    }
}

fn getent(machine: &Machine, names: &[&str]) -> Output {
    let mut text = String::new();
    let mut is_missing = false;
    for name in names {
        let addresses = machine.names.get(*name);
        is_missing |= addresses.is_none();
        for address in addresses.into_iter().flatten() {
            text.push_str(&format!(
                "{address:<15} STREAM {name}\n{address:<15} DGRAM  \n{address:<15} RAW    \n"
            ));
        }
    }
    Output { code: Some(if is_missing { 2 } else { 0 }), stdout: text, stderr: String::new() }
}

fn ip_json(machine: &Machine) -> String {
    let loopback = serde_json::json!({"ifname": "lo", "flags": ["LOOPBACK", "UP"], "operstate": "UNKNOWN",
        "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]});
    let own = machine.addresses.iter().map(|address| {
        serde_json::json!({"ifname": address.interface, "flags": ["BROADCAST", "UP"], "operstate": "UP",
            "addr_info": [{"family": "inet", "local": address.address, "prefixlen": address.prefix, "scope": "global"}]})
    });
    serde_json::Value::Array(std::iter::once(loopback).chain(own).collect()).to_string()
}

/// `chronyc -c tracking` (chrony 4): id, address, stratum, reference time, offset …, leap status.
fn tracking(machine: &Machine) -> String {
    match machine.synchronised {
        Some(true) => "C0A80001,192.168.0.1,3,1795359600.1,0.000012,0.000001,0.00001,1.5,0.0,0.1,0.01,0.001,64.0,Normal\n",
        _ => "00000000,,0,0.000000000,0.000000000,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised\n",
    }
    .to_owned()
}
