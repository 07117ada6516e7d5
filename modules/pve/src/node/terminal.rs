//! A program on a terminal of its own, for those that ask a person: what it shows is handed to who answers for that
//! person. The terminal does not echo, so an answer that is typed early shows nowhere either.

use std::fs::File;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, killpg};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::real::{PATH, drain, wait_until};
use super::{Cmd, Output, Partner, RunError, Turn};

/// Silence after which a question that nobody knows is taken for one.
const SILENCE: Duration = Duration::from_secs(5);

pub(super) fn converse(cmd: &Cmd, partner: &mut Partner<'_>) -> Result<Output, RunError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => RunError::NotFound { program: cmd.program.clone() },
        _ => RunError::Io { line: cmd.line(), source },
    };
    let terminal = openpty(None, None).map_err(|error| failed(error.into()))?;
    let mut modes = tcgetattr(&terminal.slave).map_err(|error| failed(error.into()))?;
    modes.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&terminal.slave, SetArg::TCSANOW, &modes).map_err(|error| failed(error.into()))?;
    let end = || terminal.slave.try_clone().map(Stdio::from);
    // setsid(1) makes the terminal the controlling one; its process becomes the program, and leads a group of its own.
    let mut command = Command::new("setsid");
    command
        .args(["--ctty", "--wait", "--"])
        .arg(&cmd.program)
        .args(&cmd.args)
        .env_clear()
        .envs([("PATH", PATH), ("LC_ALL", "C"), ("HOME", "/root"), ("TERM", "dumb")])
        .current_dir("/")
        .stdin(end().map_err(failed)?)
        .stdout(end().map_err(failed)?)
        .stderr(end().map_err(failed)?);
    let mut child = command.spawn().map_err(failed)?;
    // What this process keeps of the other end would keep the screen from ending.
    drop(command);
    drop(terminal.slave);
    let mut keyboard = File::from(terminal.master.try_clone().map_err(failed)?);
    let screen = drain(Some(File::from(terminal.master)));
    let (begun, mut last) = (Instant::now(), Instant::now());
    // Since the last answer, and as a whole.
    let (mut fresh, mut shown) = (String::new(), String::new());
    let mut is_over = loop {
        match screen.recv_timeout(Duration::from_millis(200)) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes).replace('\r', "");
                fresh.push_str(&text);
                shown.push_str(&text);
                last = Instant::now();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break false,
        }
        match partner(&fresh, last.elapsed() > SILENCE) {
            Turn::Wait => {}
            Turn::Say(text) => {
                fresh.clear();
                last = Instant::now();
                let line = Zeroizing::new(format!("{}\n", text.expose_secret()));
                // A program that has ended meanwhile is seen at the next look.
                let _ = keyboard.write_all(line.as_bytes());
            }
            Turn::HangUp => break true,
        }
        if begun.elapsed() > cmd.timeout {
            break true;
        }
    };
    if !is_over {
        is_over = wait_until(&mut child, begun + cmd.timeout).map_err(failed)?.is_none();
    }
    if is_over && let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let status = child.wait().map_err(failed)?;
    let output = Output { code: status.code(), stdout: shown, stderr: String::new() };
    match begun.elapsed() > cmd.timeout {
        true => Err(RunError::TimedOut { line: cmd.line(), timeout: cmd.timeout, tail: output.tail() }),
        false => Ok(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cmd(script: &str, seconds: u64) -> Cmd {
        Cmd::new("sh", ["-c", script], Duration::from_secs(seconds))
    }

    #[test]
    fn a_question_is_answered_on_a_terminal_that_does_not_echo() {
        let mut asked = Vec::new();
        let script = "test -t 0 && printf 'Password: '; read x; printf 'Sure? '; read y; echo \"got $x $y\" | tr a-z A-Z";
        let output = converse(&cmd(script, 20), &mut |text, _| match text {
            "Password: " | "Sure? " => {
                asked.push(text.to_owned());
                Turn::Say(if asked.len() == 1 { "geheim" } else { "yes" }.into())
            }
            _ => Turn::Wait,
        });
        let output = output.unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "Password: Sure? GOT GEHEIM YES\n"));
    }

    #[test]
    fn one_that_is_hung_up_on_or_overdue_is_killed() {
        let started = Instant::now();
        let output = converse(&cmd("printf 'Token: '; read x; sleep 60", 20), &mut |text, _| match text {
            "Token: " => Turn::HangUp,
            _ => Turn::Wait,
        });
        assert_eq!(output.unwrap().code, None);
        let error = converse(&cmd("sleep 60", 1), &mut |_, _| Turn::Wait).unwrap_err();
        assert!(matches!(error, RunError::TimedOut { .. }));
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
