//! The real machine behind the host seam: processes, sockets, clocks. The only place that starts a process.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::signal::SIGTERM;

use super::{Cmd, Host, Output, Partner, RunError, Socket};
use crate::https::{Exchange, HttpsError, Reply};

/// Fixed, so that neither a login profile nor a task's environment decides which program runs.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More than any tool here prints; a runaway one must not fill memory.
const OUTPUT_LIMIT: u64 = 16 << 20;

/// The machine this process runs on.
pub struct RealHost {
    started: Instant,
    told_to_end: Arc<AtomicBool>,
    has_heard: AtomicBool,
}

impl RealHost {
    /// SIGTERM does not kill this process, but is noted.
    pub(super) fn that_listens() -> Self {
        let host = Self::default();
        if let Err(error) = signal_hook::flag::register(SIGTERM, host.told_to_end.clone()) {
            // It is killed by it then, which the next run settles.
            eprintln!("SIGTERM can't be listened for: {error}");
        }
        host
    }
}

impl Default for RealHost {
    fn default() -> Self {
        Self { started: Instant::now(), told_to_end: Arc::default(), has_heard: AtomicBool::new(false) }
    }
}

impl Host for RealHost {
    fn run(&self, cmd: &Cmd) -> Result<Output, RunError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => RunError::NotFound { program: cmd.program.clone() },
            _ => RunError::Io { line: cmd.line(), source },
        };
        let deadline = Instant::now() + cmd.timeout;
        let mut child = spawn(cmd).map_err(failed)?;
        feed(&mut child, cmd.input().as_bytes().to_vec());
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());

        // Both streams end when the program does; a daemon it left behind may hold them open, hence the limit.
        let (out, out_over) = receive(&stdout, deadline);
        let (err, err_over) = receive(&stderr, deadline);
        // One that closes its streams may run on.
        let status = match out_over || err_over {
            true => None,
            false => wait_until(&mut child, deadline).map_err(failed)?,
        };
        let Some(status) = status else {
            return finish_late(cmd, &mut child, out, err).map_err(failed)?;
        };
        Ok(Output { code: status.code().filter(|_| status.signal().is_none()), stdout: out, stderr: err })
    }

    fn become_program(&self, cmd: &Cmd) -> RunError {
        let source = command(cmd).exec();
        RunError::Io { line: cmd.line(), source }
    }

    fn converse(&self, cmd: &Cmd, partner: &mut Partner<'_>) -> Result<Output, RunError> {
        super::terminal::converse(cmd, partner)
    }

    fn connect(&self, address: SocketAddr, timeout: Duration) -> io::Result<Duration> {
        let started = Instant::now();
        TcpStream::connect_timeout(&address, timeout)?;
        Ok(started.elapsed())
    }

    fn bind(&self, address: SocketAddr) -> io::Result<Socket> {
        Socket::bind(address)
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn is_told_to_end(&self) -> bool {
        self.told_to_end.load(Ordering::SeqCst) && !self.has_heard.load(Ordering::SeqCst)
    }

    fn hear_end(&self) {
        self.has_heard.store(true, Ordering::SeqCst);
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }

    fn https(&self, exchange: &Exchange) -> Result<Reply, HttpsError> {
        super::https::exchange(self, exchange)
    }

    fn own_program(&self) -> Option<PathBuf> {
        Some(PathBuf::from("/proc/self/exe"))
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Own process group, so that a time-out reaches the children too; `LC_ALL=C`, so that parsers read English;
/// `/` as working directory, since pvecm refuses to run below /etc/pve (pvecm.pm).
fn spawn(cmd: &Cmd) -> io::Result<Child> {
    command(cmd)
        .stdin(if cmd.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

fn command(cmd: &Cmd) -> Command {
    let mut command = Command::new(&cmd.program);
    command
        .args(&cmd.args)
        .env_clear()
        .envs([("PATH", PATH), ("LC_ALL", "C"), ("HOME", "/root")])
        .current_dir("/");
    command
}

/// A program that ends without reading is no error here, so a failed write says nothing.
fn feed(child: &mut Child, input: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || {
            let mut input = zeroize::Zeroizing::new(input);
            let _ = stdin.write_all(&input);
            input.clear();
        });
    }
}

pub(super) fn drain(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut left = OUTPUT_LIMIT;
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            let keep = (count as u64).min(left) as usize;
            left -= keep as u64;
            if sender.send(buffer[..keep].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Everything received until the stream ended or the deadline passed; tells which.
fn receive(stream: &mpsc::Receiver<Vec<u8>>, deadline: Instant) -> (String, bool) {
    let mut bytes = Vec::new();
    loop {
        match stream.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(chunk) => bytes.extend(chunk),
            Err(error) => {
                let over = error == mpsc::RecvTimeoutError::Timeout;
                return (String::from_utf8_lossy(&bytes).into_owned(), over);
            }
        }
    }
}

/// How the program ended, unless it still runs when the time is up. Its streams have ended, so it mostly has too.
pub(super) fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The time is up: a program that has ended counts with what it printed, one that still runs is killed.
fn finish_late(
    cmd: &Cmd,
    child: &mut Child,
    out: String,
    err: String,
) -> io::Result<Result<Output, RunError>> {
    if let Some(status) = child.try_wait()? {
        return Ok(Ok(Output { code: status.code(), stdout: out, stderr: err }));
    }
    if let Ok(pid) = i32::try_from(child.id()) {
        // ESRCH: it ended in between, which the wait below sees.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    child.wait()?;
    let tail = Output { code: None, stdout: out, stderr: err }.tail();
    Ok(Err(RunError::TimedOut { line: cmd.line(), timeout: cmd.timeout, tail }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(program: &str, args: &[&str], timeout_ms: u64) -> Result<Output, RunError> {
        RealHost::default().run(&Cmd::new(program, args.iter().copied(), Duration::from_millis(timeout_ms)))
    }

    #[test]
    fn captures_both_streams_and_the_exit_code() {
        let output = run("sh", &["-c", "echo out; echo err >&2; exit 3"], 5000).unwrap();
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (Some(3), "out\n", "err\n")
        );
    }

    #[test]
    fn feeds_standard_input_and_is_null_without() {
        let cmd = Cmd::new("cat", [""; 0], Duration::from_secs(5)).stdin("secret\n".to_owned().into());
        assert_eq!(RealHost::default().run(&cmd).unwrap().stdout, "secret\n");
        assert_eq!(run("cat", &[], 5000).unwrap().stdout, "");
    }

    #[test]
    fn kills_the_whole_group_at_the_time_out() {
        let started = Instant::now();
        let error = run("sh", &["-c", "echo begun; sleep 60 & wait"], 300).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(matches!(&error, RunError::TimedOut { tail, .. } if tail == "begun"), "{error}");
    }

    #[test]
    fn one_that_closes_its_streams_and_runs_on_is_killed_too() {
        let started = Instant::now();
        let error = run("sh", &["-c", "exec >&- 2>&-; sleep 60"], 300).unwrap_err();
        assert!(matches!(error, RunError::TimedOut { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_daemon_that_keeps_the_streams_does_not_hide_the_end() {
        let output = run("sh", &["-c", "echo done; sleep 5 & exit 0"], 500).unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "done\n"));
    }

    #[test]
    fn names_a_program_that_is_not_installed() {
        assert!(matches!(run("no-such-program", &[], 500), Err(RunError::NotFound { .. })));
    }
}
