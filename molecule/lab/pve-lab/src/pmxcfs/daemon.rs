//! The process `pmxcfs`: options, the mount, the daemon in the background, and its end.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use nix::mount::{MntFlags, umount2};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::cfs::Cfs;
use super::monitor;
use super::operations::CfsFuse;
use crate::delays::Step;
use crate::host::Host;

const MOUNT_POINT: &str = "/etc/pve";
const PID_FILE: &str = "/run/pve-cluster.pid";

/// `pmxcfs [-f] [-l] [-d]`.
pub fn run(host: Host, args: &[String]) -> ExitCode {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if args.iter().any(|arg| !matches!(arg.as_str(), "-f" | "-l" | "-d" | "--foreground" | "--local")) {
        eprintln!("[main] crit: unable to parse arguments");
        return ExitCode::from(255);
    }
    let force_local = has("-l") || has("--local");
    if !(has("-f") || has("--foreground")) {
        return start_in_background(force_local);
    }
    match serve(host, force_local) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("[main] crit: {error:#}");
            ExitCode::from(255)
        }
    }
}

/// Starts itself anew in the foreground and waits until that one has mounted. What it says until then is passed on;
/// later it has nobody to speak to, and keeps none of the caller's streams.
fn start_in_background(force_local: bool) -> ExitCode {
    match background(force_local) {
        Ok((is_ready, said)) => {
            eprint!("{said}");
            if is_ready { ExitCode::SUCCESS } else { ExitCode::from(255) }
        }
        Err(error) => {
            eprintln!("[main] crit: {error}");
            ExitCode::from(255)
        }
    }
}

fn background(force_local: bool) -> std::io::Result<(bool, String)> {
    // A file, and not a pipe: nobody reads on once this process has ended.
    let path = format!("/run/pmxcfs-{}.said", std::process::id());
    let mut said = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    let mut command = Command::new("/usr/bin/pmxcfs");
    command.arg("-f").args(force_local.then_some("-l")).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said.try_clone()?);
    let mut child = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let mut text = String::new();
    said.rewind()?;
    said.read_to_string(&mut text)?;
    Ok((line == "ready\n", text))
}

fn serve(host: Host, force_local: bool) -> anyhow::Result<()> {
    let nodename = host.nodename();
    let address = host.own_address().filter(|address| !address.starts_with("127.")).ok_or_else(|| {
        anyhow::anyhow!(
            "Unable to resolve node name '{nodename}' to a non-loopback IP address - missing entry in '/etc/hosts' or DNS?"
        )
    })?;
    eprintln!("[main] notice: resolved node name '{nodename}' to '{address}' for default node IP address");
    let mount_point = host.path(MOUNT_POINT);
    detach_stale(&mount_point);
    std::fs::create_dir_all(&mount_point)?;
    std::fs::create_dir_all(host.path("/var/lib/pve-cluster"))?;
    set_corosync_fault(&host)?;
    let cfs = Arc::new(Cfs::start(host.clone(), &address, force_local)?);
    if force_local && cfs.view().tree.content("corosync.conf").is_some() {
        eprintln!("[main] notice: forcing local mode (although corosync.conf exists)");
    }
    let session = mount(&cfs, &mount_point)?;
    host.write(PID_FILE, format!("{}\n", std::process::id()).as_bytes(), 0o644)?;
    if cfs.in_cluster {
        let watched = Arc::clone(&cfs);
        std::thread::spawn(move || monitor::watch(&watched));
    }
    println!("ready");
    std::io::stdout().flush()?;
    wait_for_end(&session)?;
    host.delays.take(Step::StopCluster);
    detach_stale(&mount_point);
    let _ = host.remove(PID_FILE);
    Ok(())
}

/// Gives corosync a file that it refuses to start with, or takes it away again, as the faults file says.
fn set_corosync_fault(host: &Host) -> anyhow::Result<()> {
    let folder = host.path("/etc/corosync/uidgid.d");
    let file = folder.join("pve-lab-fault");
    let wanted = host.faults.now().corosync_refuses;
    if wanted {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(&file, "uidgid { uid: nobody-of-this-name\n")?;
    } else if file.exists() {
        std::fs::remove_file(&file)?;
    }
    Ok(())
}

/// Mounts as the genuine one does; see the golden transcript 40/mount.
pub fn mount(cfs: &Arc<Cfs>, mount_point: &Path) -> std::io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("/dev/fuse".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
    ];
    config.acl = SessionACL::All;
    config.n_threads = Some(4);
    Session::new(CfsFuse::new(Arc::clone(cfs)), mount_point, &config)?.spawn()
}

/// Ends at a signal, or when somebody else unmounted the file system.
fn wait_for_end(session: &BackgroundSession) -> anyhow::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
    loop {
        if signals.pending().next().is_some() || session.guard.is_finished() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// A killed pmxcfs leaves a dead mount behind; there may be several, one over the other.
fn detach_stale(mount_point: &Path) {
    for _ in 0..8 {
        if umount2(mount_point, MntFlags::MNT_DETACH).is_err() {
            break;
        }
    }
}
