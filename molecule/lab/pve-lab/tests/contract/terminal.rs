//! A command on a terminal whose prompts are answered as the transcript says. Shows what the screen showed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use regex::Regex;

use crate::transcript::Answer;

/// The key that interrupts.
const INTERRUPT: &[u8] = b"\x03";
/// How often the end of the command is looked for.
const TICK: Duration = Duration::from_millis(50);

/// Runs the command; gives its exit status and the screen, without the carriage return that the terminal adds to each
/// line.
pub fn run(mut command: Command, answers: &[Answer], limit: Duration) -> (String, String) {
    let (master, slave) = open();
    let end = || Stdio::from(slave.try_clone().expect("a file descriptor"));
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("the command starts");
    // The command holds the terminal's own handles too: without it the screen would never end.
    drop(command);
    drop(slave);
    let mut keyboard = master.try_clone().expect("a file descriptor");
    let screen = watch(master);
    let mut shown = String::new();
    let mut seen = 0;
    let mut answers = answers.iter();
    let mut next = answers.next();
    let begin = Instant::now();
    loop {
        match screen.recv_timeout(TICK) {
            Ok(bytes) => shown.push_str(&String::from_utf8_lossy(&bytes)),
            Err(RecvTimeoutError::Timeout) if begin.elapsed() < limit => {}
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                let _ = child.wait();
                return ("never ended".to_owned(), shown.replace("\r\n", "\n"));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(answer) = next {
            let prompt =
                Regex::new(&answer.prompt).expect("a prompt of a transcript is a regular expression");
            if prompt.is_match(&shown[seen..]) {
                seen = shown.len();
                let typed = answer
                    .typed
                    .as_ref()
                    .map_or(INTERRUPT.to_vec(), |typed| format!("{typed}\n").into_bytes());
                keyboard.write_all(&typed).expect("the terminal is open");
                next = answers.next();
            }
        }
    }
    let status = child.wait().expect("the command ends");
    let exit = status.code().map_or("signal".to_owned(), |code| code.to_string());
    (exit, shown.replace("\r\n", "\n"))
}

/// Both ends of a new terminal, neither inherited by a program that another thread starts just now.
fn open() -> (File, File) {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags).expect("this machine has terminals");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of one's own");
    let slave = ptsname_r(&master).expect("a terminal has a name");
    let slave = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(slave)
        .expect("a terminal of one's own");
    (File::from(OwnedFd::from(master)), slave)
}

/// What appears on the screen, until the last program that could write there has ended.
fn watch(mut screen: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // At the end a terminal gives an error (EIO) and not an end of file.
        while let Ok(length @ 1..) = screen.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
