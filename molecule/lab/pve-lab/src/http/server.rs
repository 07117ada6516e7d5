//! The processes `pveproxy` (TLS on 8006) and `pvedaemon` (only its state matters). A reload brings new workers
//! with the certificate of now, while old ones go on serving theirs for some seconds: both can be met.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::message::{self, Answer, Request};
use super::{gate, tls};
use crate::certificates;
use crate::corosync;
use crate::delays::Step;
use crate::host::Host;
use crate::tasks::epoch;

/// How often the local resource manager looks.
const LRM_ROUND: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(30);

/// One set of workers: a certificate, and until when it is served.
struct Generation {
    config: Arc<ServerConfig>,
    ends: Option<Instant>,
}

#[derive(Default)]
struct Generations {
    list: Mutex<Vec<Generation>>,
    turn: AtomicUsize,
}

impl Generations {
    /// Workers take connections by turns: each generation that still lives gets some.
    fn pick(&self) -> Option<Arc<ServerConfig>> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|one| one.ends.is_none_or(|ends| ends > Instant::now()));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        list.get(turn.checked_rem(list.len())?).map(|one| Arc::clone(&one.config))
    }

    /// New workers with the certificate of now; those of before serve until `old_end`. As on PVE the server runs
    /// on when no certificate is there.
    fn load(&self, host: &Host, old_end: Instant) {
        match load(host) {
            Ok(config) => self.renew(config, old_end),
            Err(error) => eprintln!("failed to load local private key: {error}"),
        }
    }

    fn renew(&self, config: Arc<ServerConfig>, old_end: Instant) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        for old in list.iter_mut() {
            old.ends.get_or_insert(old_end);
        }
        list.push(Generation { config, ends: None });
    }
}

fn load(host: &Host) -> Result<Arc<ServerConfig>, String> {
    let (certificate, key) = match host.faults.now().wrong_certificate {
        Some(file) => (file.clone(), file),
        None => certificates::served_files(host, &host.nodename()),
    };
    let read = |path: &str| host.read_text(path).map_err(|error| format!("{path}: {error}"));
    tls::server(&read(&certificate)?, &read(&key)?)
}

const PROXY_PID: &str = "/run/pveproxy.pid";
const DAEMON_PID: &str = "/run/pvedaemon.pid";

/// `pveproxy start`.
pub fn run_proxy(host: Host) -> ExitCode {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGHUP, SIGTERM, SIGINT]) else {
        return ExitCode::from(255);
    };
    let generations = Arc::new(Generations::default());
    generations.load(&host, Instant::now());
    let listener = match TcpListener::bind(("::", 8006)).or_else(|_| TcpListener::bind(("0.0.0.0", 8006))) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("unable to create socket - port 8006: {error}");
            return ExitCode::from(255);
        }
    };
    let served = Arc::clone(&generations);
    let accepting = host.clone();
    std::thread::spawn(move || accept(&listener, &accepting, &served));
    eprintln!("starting server");
    announce(&host, PROXY_PID);
    for signal in signals.forever() {
        if signal != SIGHUP {
            break;
        }
        eprintln!("server shutdown (restart)");
        host.delays.take(Step::ServerRestart);
        generations.load(&host, Instant::now() + host.delays.length(Step::OldWorkers));
        eprintln!("restarting server");
    }
    eprintln!("server stopped");
    ExitCode::SUCCESS
}

/// `pvedaemon start`: keeps port 85 as the genuine one does; pveproxy answers by itself here.
pub fn run_daemon(host: &Host) -> ExitCode {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGHUP, SIGTERM, SIGINT]) else {
        return ExitCode::from(255);
    };
    let listener = TcpListener::bind(("127.0.0.1", 85));
    let resting = host.clone();
    std::thread::spawn(move || keep_lrm_status(&resting));
    announce(host, DAEMON_PID);
    for signal in signals.forever() {
        if signal != SIGHUP {
            break;
        }
    }
    drop(listener);
    ExitCode::SUCCESS
}

/// What the local resource manager of a node without HA leaves in the cluster file system, soon after it can.
fn keep_lrm_status(host: &Host) {
    loop {
        let path = host.node_file("lrm_status");
        if !host.exists(&path) && corosync::has_quorum(host) {
            let status = format!(
                "{{\"timestamp\":{},\"results\":{{}},\"mode\":\"active\",\"state\":\"wait_for_agent_lock\"}}\n",
                epoch()
            );
            // The node's directory may not be there yet, or quorum just gone: the next round does it.
            let _ = host.write(&path, status.as_bytes(), 0o640);
        }
        std::thread::sleep(LRM_ROUND);
    }
}

/// `pveproxy restart` and `pvedaemon restart`, which systemd runs to reload: the time of Perl, then the signal.
pub fn restart(host: &Host, name: &str) -> ExitCode {
    let (step, file) = match name {
        "pveproxy" => (Step::ReloadProxy, PROXY_PID),
        _ => (Step::ReloadDaemon, DAEMON_PID),
    };
    host.delays.take(step);
    let pid = host.read_text(file).ok().and_then(|text| text.trim().parse().ok());
    let sent = pid.map(|pid| kill(Pid::from_raw(pid), Signal::SIGHUP));
    match sent {
        Some(Ok(())) => ExitCode::SUCCESS,
        _ => {
            eprintln!("{name} is not running");
            ExitCode::from(255)
        }
    }
}

/// Writes the process id where PVE's tools look for it, and tells systemd.
fn announce(host: &Host, pid_file: &str) {
    if let Err(error) = host.write(pid_file, format!("{}\n", std::process::id()).as_bytes(), 0o644) {
        eprintln!("{pid_file}: {error}");
    }
    notify_ready();
}

/// Tells systemd that the service is up (sd_notify(3)).
fn notify_ready() {
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else { return };
    let sent = UnixDatagram::unbound().and_then(|socket| match path.strip_prefix('@') {
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            socket.send_to_addr(b"READY=1", &address)
        }
        None => socket.send_to(b"READY=1", &path),
    });
    if let Err(error) = sent {
        eprintln!("can't tell systemd: {error}");
    }
}

fn accept(listener: &TcpListener, host: &Host, generations: &Arc<Generations>) {
    for socket in listener.incoming().map_while(Result::ok) {
        let picked = generations.pick().or_else(|| {
            generations.load(host, Instant::now());
            generations.pick()
        });
        let Some(config) = picked else { continue };
        let host = host.clone();
        std::thread::spawn(move || {
            // A client that goes away or speaks no TLS concerns nobody.
            let _ = serve(socket, config, &host);
        });
    }
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, host: &Host) -> io::Result<()> {
    socket.set_read_timeout(Some(IDLE))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    while let Some(request) = message::read_request(&mut stream)? {
        let path = request.path.trim_start_matches("/api2/json");
        if let Some(fault) = host.faults.api(&request.method, path) {
            std::thread::sleep(Duration::from_millis(fault.delay_ms));
            if fault.drop {
                return Ok(());
            }
            if fault.hang {
                return hold(&stream.sock);
            }
            if let Some(status) = fault.status {
                let reason = fault.message.unwrap_or_else(|| "injected fault".to_owned());
                let body = serde_json::json!({"data": null, "message": format!("{reason}\n")});
                let answer = Answer {
                    status,
                    reason,
                    content_type: Some("application/json;charset=UTF-8"),
                    body: body.to_string().into_bytes(),
                };
                return reply(&mut stream, &answer, false);
            }
        }
        let keep_alive = wants_keep_alive(&request);
        let answer = gate::answer(host, &request);
        let stays = keep_alive && answer.status != 401;
        reply(&mut stream, &answer, stays)?;
        if !stays {
            break;
        }
    }
    stream.conn.send_close_notify();
    stream.flush()
}

fn reply(stream: &mut impl Write, answer: &Answer, keep_alive: bool) -> io::Result<()> {
    answer.write(stream, &message::http_date(epoch()), keep_alive)
}

/// Keeps the connection without a word until the client closes it.
fn hold(socket: &TcpStream) -> io::Result<()> {
    socket.set_read_timeout(None)?;
    let mut rest = [0; 1024];
    while io::Read::read(&mut &*socket, &mut rest)? > 0 {}
    Ok(())
}

fn wants_keep_alive(request: &Request) -> bool {
    request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive"))
}
