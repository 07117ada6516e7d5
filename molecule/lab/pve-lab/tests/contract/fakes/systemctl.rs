//! systemctl over the few units that matter: starts and stops their programs as the units of the lab's image do.
//! Knows no ordering beyond what it is told and no unit that is not in its table.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::notify::{Listener, VARIABLE};

const STATE: &str = "/run/units";
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

/// How a unit's program says that it is up.
enum Kind {
    /// Goes to the background by itself and leaves its number here.
    Forking(&'static str),
    /// Says so over the socket.
    Notify,
    /// Nothing runs behind it.
    State,
}

struct Unit {
    name: &'static str,
    kind: Kind,
    argv: &'static [&'static str],
    before: &'static [&'static str],
    /// Without this file the unit is skipped.
    condition: Option<&'static str>,
    wants: &'static [&'static str],
}

const PLAIN: Unit = Unit { name: "", kind: Kind::State, argv: &[], before: &[], condition: None, wants: &[] };

const UNITS: [Unit; 14] = [
    Unit {
        name: "pve-cluster",
        kind: Kind::Forking("/run/pve-cluster.pid"),
        argv: &["/usr/bin/pmxcfs"],
        wants: &["corosync"],
        ..PLAIN
    },
    Unit {
        name: "corosync",
        kind: Kind::Notify,
        argv: &["/usr/sbin/corosync"],
        condition: Some("/etc/corosync/corosync.conf"),
        ..PLAIN
    },
    Unit { name: "pvedaemon", kind: Kind::Notify, argv: &["/usr/bin/pvedaemon", "start"], ..PLAIN },
    Unit {
        name: "pveproxy",
        kind: Kind::Notify,
        argv: &["/usr/bin/pveproxy", "start"],
        before: &["/usr/bin/pvecm", "updatecerts", "--silent"],
        wants: &["pvedaemon"],
        ..PLAIN
    },
    Unit { name: "pvestatd", ..PLAIN },
    Unit { name: "pvescheduler", ..PLAIN },
    Unit { name: "pve-ha-lrm", ..PLAIN },
    Unit { name: "pve-ha-crm", ..PLAIN },
    Unit { name: "watchdog-mux", ..PLAIN },
    Unit { name: "spiceproxy", ..PLAIN },
    Unit { name: "pve-firewall", ..PLAIN },
    Unit { name: "pve-guests", ..PLAIN },
    Unit { name: "chrony", ..PLAIN },
    Unit { name: "ssh", ..PLAIN },
];

/// What a boot starts, in order.
pub fn boot() {
    for unit in &UNITS {
        start(unit);
    }
}

pub fn run(args: &[&str]) -> i32 {
    let words: Vec<&str> = args.iter().copied().filter(|arg| !arg.starts_with('-')).collect();
    let is_quiet = args.iter().any(|arg| matches!(*arg, "-q" | "--quiet"));
    let Some((verb, names)) = words.split_first() else { return 1 };
    let mut worst = 0;
    let mut any_active = false;
    for name in names {
        let name = name.trim_end_matches(".service");
        let Some(unit) = UNITS.iter().find(|unit| unit.name == name) else {
            let verb = if *verb == "stop" { "stop" } else { "start" };
            eprintln!("Failed to {verb} {name}.service: Unit {name}.service not found.");
            worst = 5;
            continue;
        };
        let status = match *verb {
            "start" => i32::from(!start(unit)),
            "stop" => i32::from(!stop(unit)),
            "restart" | "try-restart" => i32::from(!(stop(unit) && start(unit))),
            "reload" | "reload-or-restart" | "try-reload-or-restart" => i32::from(!reload(unit)),
            "is-active" => {
                let state = state(unit);
                any_active |= state == "active";
                if !is_quiet {
                    println!("{state}");
                }
                0
            }
            "is-enabled" => {
                println!("enabled");
                0
            }
            "kill" => i32::from(!signal(unit, Signal::SIGTERM)),
            _ => 0,
        };
        worst = worst.max(status);
    }
    if *verb == "is-active" && !any_active { 3 } else { worst }
}

fn file(unit: &Unit, what: &str) -> PathBuf {
    Path::new(STATE).join(format!("{}.{what}", unit.name))
}

fn pid(unit: &Unit) -> Option<i32> {
    let path = match unit.kind {
        Kind::Forking(path) => PathBuf::from(path),
        _ => file(unit, "pid"),
    };
    let pid: i32 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // A zombie has ended; its parent has not looked yet.
    (!stat.rsplit_once(')')?.1.trim_start().starts_with('Z')).then_some(pid)
}

fn state(unit: &Unit) -> &'static str {
    let up = match unit.kind {
        Kind::State => file(unit, "up").exists(),
        _ => pid(unit).is_some(),
    };
    // What was started, was not stopped and is gone has failed.
    match (up, file(unit, "failed").exists() || file(unit, "up").exists()) {
        (true, _) => "active",
        (false, true) => "failed",
        (false, false) => "inactive",
    }
}

fn start(unit: &Unit) -> bool {
    let started = launch(unit);
    if !started {
        let name = unit.name;
        eprintln!(
            "Job for {name}.service failed because the control process exited with error code.\n\
             See \"systemctl status {name}.service\" and \"journalctl -xeu {name}.service\" for details."
        );
    }
    started
}

fn launch(unit: &Unit) -> bool {
    if state(unit) == "active" {
        return true;
    }
    let _ = fs::create_dir_all(STATE);
    let _ = fs::remove_file(file(unit, "failed"));
    if unit.condition.is_some_and(|path| !Path::new(path).exists()) {
        return true;
    }
    let _ = fs::write(file(unit, "up"), "");
    if let Some((program, args)) = unit.before.split_first() {
        // `ExecStartPre=-`: how it ends does not matter.
        let _ = Command::new(program).args(args).stdin(Stdio::null()).output();
    }
    let started = match unit.kind {
        Kind::State => true,
        Kind::Forking(_) => forking(unit),
        Kind::Notify => notifying(unit),
    };
    if !started {
        let _ = fs::remove_file(file(unit, "up"));
        let _ = fs::write(file(unit, "failed"), "");
        return false;
    }
    for wanted in UNITS.iter().filter(|other| unit.wants.contains(&other.name)) {
        // Wanted, not required: how it ends is not told.
        launch(wanted);
    }
    true
}

fn command(unit: &Unit) -> Command {
    let log = || {
        let file = File::options().create(true).append(true).open(format!("/var/log/{}.log", unit.name));
        file.map_or_else(|_| Stdio::null(), Stdio::from)
    };
    let mut command = Command::new(unit.argv[0]);
    command.args(&unit.argv[1..]).current_dir("/").stdin(Stdio::null()).stdout(log()).stderr(log());
    command.process_group(0);
    command
}

fn forking(unit: &Unit) -> bool {
    let ended = command(unit).status();
    ended.is_ok_and(|status| status.success()) && pid(unit).is_some()
}

fn notifying(unit: &Unit) -> bool {
    let Ok(listener) = Listener::at(&format!("{STATE}/{}.notify", unit.name)) else { return false };
    let Ok(mut child) = command(unit).env(VARIABLE, &listener.path).spawn() else { return false };
    let _ = fs::write(file(unit, "pid"), child.id().to_string());
    let ended = |child: &mut Child| child.try_wait().ok().flatten();
    matches!(listener.wait(START, || ended(&mut child)), Some(Ok(())))
}

fn signal(unit: &Unit, signal: Signal) -> bool {
    pid(unit).is_none_or(|pid| kill(Pid::from_raw(pid), signal).is_ok())
}

fn stop(unit: &Unit) -> bool {
    let _ = fs::remove_file(file(unit, "up"));
    let _ = fs::remove_file(file(unit, "failed"));
    if matches!(unit.kind, Kind::State) {
        return true;
    }
    for step in [Signal::SIGTERM, Signal::SIGKILL] {
        signal(unit, step);
        let begin = Instant::now();
        while begin.elapsed() < STOP {
            if pid(unit).is_none() {
                return true;
            }
            sleep(Duration::from_millis(10));
        }
    }
    false
}

/// A running unit is told to reload, one that is down is started.
fn reload(unit: &Unit) -> bool {
    match unit.kind {
        Kind::Notify if pid(unit).is_some() => signal(unit, Signal::SIGHUP),
        _ => start(unit),
    }
}
