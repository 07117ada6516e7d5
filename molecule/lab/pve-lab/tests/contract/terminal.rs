//! A command on a terminal whose prompts are answered as the transcript says. Shows what the screen showed.

use std::process::Command;
use std::time::Duration;

use nix::sys::wait::WaitStatus;
use rexpect::error::Error;
use rexpect::session::{PtySession, spawn_command};

use crate::transcript::Answer;

/// The key that interrupts, with control.
const INTERRUPT: char = 'c';

/// Runs the command; gives its exit status and the screen, without the carriage return that the terminal adds to each
/// line.
pub fn run(command: Command, answers: &[Answer], limit: Duration) -> (String, String) {
    let limit = u64::try_from(limit.as_millis()).ok();
    let mut session = spawn_command(command, limit).expect("a terminal of one's own");
    let mut shown = String::new();
    let exit = match play(&mut session, answers, &mut shown) {
        Ok(()) => status(&session),
        Err(Error::EOF { got, .. }) => {
            shown.push_str(&got);
            status(&session)
        }
        Err(Error::Timeout { got, .. }) => {
            shown.push_str(&got);
            "never ended".to_owned()
        }
        Err(error) => panic!("the terminal fails: {error}"),
    };
    (exit, shown.replace("\r\n", "\n"))
}

/// Answers each prompt, then reads until the last program that could write there has ended.
fn play(session: &mut PtySession, answers: &[Answer], shown: &mut String) -> Result<(), Error> {
    for answer in answers {
        let (before, prompt) = session.exp_regex(&answer.prompt)?;
        shown.push_str(&before);
        shown.push_str(&prompt);
        match &answer.typed {
            Some(typed) => session.send_line(typed).map(drop)?,
            None => session.send_control(INTERRUPT)?,
        }
    }
    shown.push_str(&session.exp_eof()?);
    Ok(())
}

fn status(session: &PtySession) -> String {
    match session.process().wait().expect("the command ends") {
        WaitStatus::Exited(_, code) => code.to_string(),
        _ => "signal".to_owned(),
    }
}
