//! The programs a fake node has. One it does not know is not installed, so that a test notices.

use super::Machine;
use super::systemctl;
use crate::{Cmd, Output, RunError};

/// df of coreutils 9.7.
const DF: &str = "Filesystem     1024-blocks    Used Available Capacity Mounted on\n/dev/mapper/pve-root \
                  98497780 4012345  89438888       5% /\n";
/// A certificate that is good: what `openssl x509 -enddate -checkhost` prints.
const CERTIFICATE: &str = "notAfter=Nov 22 15:00:00 2028 GMT\nHostname fake does match certificate\n";
const NO_RULES: &str = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

pub(super) fn run(machine: &mut Machine, cmd: &Cmd) -> Result<Output, RunError> {
    let args: Vec<&str> = cmd.args.iter().map(String::as_str).collect();
    match (cmd.program.as_str(), args.as_slice()) {
        ("corosync-quorumtool", ["-s"]) => Ok(tool(machine.quorumtool())),
        ("corosync-cfgtool", ["-s"]) => Ok(tool(machine.cfgtool())),
        ("corosync-cfgtool", ["-R"]) => {
            machine.behind.clear();
            Ok(printed("Reloading corosync.conf...\nDone\n".to_owned()))
        }
        ("corosync-cmapctl", ["runtime.members"]) => Ok(tool(machine.cmapctl_members())),
        ("systemctl", args) => Ok(systemctl::run(machine, args)),
        ("getent", ["ahosts", names @ ..]) => Ok(getent(machine, names)),
        ("ip", ["-json", "address", ..]) => Ok(printed(ip_json(machine))),
        ("chronyc", ["-c", "tracking"]) if machine.synchronised.is_some() => Ok(printed(tracking(machine))),
        ("chronyc", ["-c", "sources"]) if machine.synchronised.is_some() => {
            Ok(printed("^,*,192.168.0.1,3,6,377,21,0.000012,0.000012,0.0003\n".to_owned()))
        }
        ("df", ["--portability", ..]) => Ok(printed(DF.to_owned())),
        ("openssl", ["x509" | "verify" | "pkey", ..]) => Ok(printed(CERTIFICATE.to_owned())),
        ("iptables-save" | "ip6tables-save", _) => Ok(printed(NO_RULES.to_owned())),
        ("timedatectl", ["show", ..]) if machine.synchronised.is_some() => {
            let yes = if machine.synchronised == Some(true) { "yes" } else { "no" };
            Ok(printed(format!("NTP=yes\nNTPSynchronized={yes}\n")))
        }
        ("certutil" | "corosync-qdevice-net-certutil" | "corosync-qnetd-certutil", args) => {
            super::qdevice::run(machine, cmd.program.as_str(), args)
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
        serde_json::json!({"ifname": address.interface, "flags": ["BROADCAST", "UP"], "operstate": "UP", "mtu": address.mtu,
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
