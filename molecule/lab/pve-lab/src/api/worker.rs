//! Tasks started by an API call: at a shell in the foreground, under the daemon in a process of their own, which
//! outlives the daemon's restart.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use super::{ApiError, Caller, Params, create, join, lock};
use crate::host::Host;
use crate::tasks::Task;

/// What a worker is to do. Passed on standard input, for it may hold a password.
#[derive(Clone, Serialize, Deserialize)]
pub struct Work {
    pub kind: String,
    pub id: String,
    pub user: String,
    pub params: Params,
}

/// Runs or starts the work; gives its UPID.
pub fn start(host: &Host, caller: &Caller, work: Work) -> Result<String, ApiError> {
    if caller.is_interactive {
        return Ok(run(host, &work, true, None)?);
    }
    let failed = |error: std::io::Error| ApiError::die(format!("starting worker failed: {error}\n"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.arg("task-worker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(failed)?;
    let text = serde_json::to_vec(&work).map_err(|error| failed(error.into()))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(&text).map_err(failed)?;
    }
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        BufReader::new(pipe).read_line(&mut line).map_err(failed)?;
    }
    // Reaps the worker when it ends, whenever that is.
    std::thread::spawn(move || child.wait());
    Ok(line.trim_end().to_owned())
}

/// The process `pve-lab task-worker`.
pub fn run_from_stdin(host: &Host) -> ExitCode {
    let mut text = Vec::new();
    let work = std::io::stdin().read_to_end(&mut text).ok().and_then(|_| serde_json::from_slice(&text).ok());
    let Some(work) = work else { return ExitCode::from(2) };
    let announce = |upid: &str| {
        println!("{upid}");
        let _ = std::io::stdout().flush();
    };
    match run(host, &work, false, Some(&announce)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

fn run(
    host: &Host,
    work: &Work,
    is_interactive: bool,
    announce: Option<&dyn Fn(&str)>,
) -> std::io::Result<String> {
    let task = Task::start(host, &work.kind, &work.id, &work.user, is_interactive)?;
    let upid = task.upid.to_string();
    if let Some(announce) = announce {
        announce(&upid);
    }
    let result = lock::with_local_lock(host, || {
        let done = match work.kind.as_str() {
            "clustercreate" => create::run(host, &task, &work.params),
            "clusterjoin" => join::run(host, &task, &work.params),
            other => Err(format!("no such worker '{other}'")),
        };
        done.map_err(ApiError::die)
    })
    .map_err(|error| error.message);
    task.finish(result);
    Ok(upid)
}
