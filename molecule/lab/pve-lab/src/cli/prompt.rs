//! The person at the terminal: the password with an asterisk a character, a yes-or-no line. Without a terminal
//! the password is one line of standard input.

use std::io::{self, BufRead, IsTerminal, Read};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use crate::api::Terminal;
use crate::tasks::Task;

/// Reads the password after the question; the error is PVE's sentence.
pub fn password(task: &Task, question: &str) -> Result<String, String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        return match stdin.lock().read_line(&mut line) {
            Ok(count) if count > 0 => Ok(line.trim_end_matches('\n').to_owned()),
            _ => Err("EOF while reading password".to_owned()),
        };
    }
    let text = |errno: nix::errno::Errno| errno.to_string();
    let before = tcgetattr(&stdin).map_err(text)?;
    let mut raw = before.clone();
    raw.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
    // First the terminal, then the question: an answer that is typed as soon as it shows must not be lost or echoed.
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &raw).map_err(text)?;
    task.print(question);
    let read = read_masked(task);
    tcsetattr(&stdin, SetArg::TCSADRAIN, &before).map_err(text)?;
    if read.is_ok() {
        // Genuine: a carriage return of its own, before the terminal adds another.
        task.print("\r\n");
    }
    read
}

fn read_masked(task: &Task) -> Result<String, String> {
    let mut typed = Vec::new();
    for byte in io::stdin().lock().bytes().map_while(Result::ok) {
        match byte {
            b'\n' | b'\r' => return String::from_utf8(typed).map_err(|error| error.to_string()),
            3 => return Err("password input aborted".to_owned()),
            8 | 127 => {
                if typed.pop().is_some() {
                    task.print("\u{8} \u{8}");
                }
            }
            other => {
                typed.push(other);
                task.print("*");
            }
        }
    }
    Err("EOF while reading password".to_owned())
}

/// Standard input as a source of answers.
pub struct Stdin;

impl Terminal for Stdin {
    fn ask(&self, _: &str) -> Option<String> {
        let mut line = String::new();
        let count = io::stdin().lock().read_line(&mut line).ok()?;
        (count > 0).then_some(line)
    }
}
