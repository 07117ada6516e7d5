//! `pvecm add`: a join from the shell. Whatever goes wrong inside the task, the exit code is 0.

use super::Status;
use super::options::Command;
use super::output::print_error;
use super::prompt::{self, Stdin};
use crate::api::schema::{self, Kind, Param, optional, required};
use crate::api::{self, ApiError, Params};
use crate::host::Host;
use crate::tasks::Task;

const SCHEMA: [Param; 7] = [
    required("hostname", Kind::Text),
    optional("fingerprint", Kind::Fingerprint),
    optional("force", Kind::Boolean),
    optional("link[n]", Kind::Links),
    optional("nodeid", Kind::Integer(1)),
    optional("use_ssh", Kind::Boolean),
    optional("votes", Kind::Integer(0)),
];

pub const COMMAND: Command =
    Command { positional: &["hostname"], schema: &SCHEMA, usage: "pvecm add <hostname> [OPTIONS]" };

pub fn run(host: &Host, params: &Params) -> Status {
    if let Err(error) = schema::verify(&SCHEMA, params) {
        return print_error(&error, COMMAND.usage);
    }
    // The mount goes away under the feet of whoever stands in it.
    if std::env::current_dir().is_ok_and(|here| here.starts_with("/etc/pve")) {
        eprintln!("Navigate out of /etc/pve before running 'pvecm add', for example by running 'cd'.");
        return 255;
    }
    let task = match Task::start(host, "clusterjoin", "", api::ROOT_USER, true) {
        Ok(task) => task,
        Err(error) => return print_error(&ApiError::from(error), COMMAND.usage),
    };
    let use_ssh = params.get("use_ssh").and_then(|text| schema::truth(text)).unwrap_or(false);
    let result = api::with_local_lock(host, || {
        let done = if use_ssh { api::join_over_ssh(host, &task, params) } else { join(host, &task, params) };
        done.map_err(ApiError::die)
    });
    task.finish(result.map_err(|error| error.message));
    0
}

fn join(host: &Host, task: &Task, params: &Params) -> Result<(), String> {
    let question = format!("Please enter superuser (root) password for '{}': ", params["hostname"]);
    let password = prompt::password(task, &question)?;
    let mut params = params.clone();
    params.insert("password".to_owned(), password);
    api::join(host, task, &params, &Stdin)
}
