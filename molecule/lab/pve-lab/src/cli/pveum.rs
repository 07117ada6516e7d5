//! `pveum` and `pvesm`, as far as the lab needs them: users, rights, tokens, directory storages.

use super::options::{self, Command};
use super::output::{self, print_error};
use super::{Status, pmxcfs_refusal};
use crate::api::schema::{Kind, optional, required};
use crate::api::{self, Caller, Params};
use crate::delays::Step;
use crate::host::Host;

const USER_ADD: Command = Command {
    positional: &["userid"],
    schema: &[
        required("userid", Kind::Text),
        optional("password", Kind::Text),
        optional("comment", Kind::Text),
        optional("enable", Kind::Boolean),
    ],
    usage: "pveum user add <userid> [OPTIONS]",
};
const USER_DELETE: Command = Command {
    positional: &["userid"],
    schema: &[required("userid", Kind::Text)],
    usage: "pveum user delete <userid>",
};
const TOKEN_ADD: Command = Command {
    positional: &["userid", "tokenid"],
    schema: &[
        required("userid", Kind::Text),
        required("tokenid", Kind::Text),
        optional("comment", Kind::Text),
        optional("expire", Kind::Integer(0)),
        optional("privsep", Kind::Boolean),
        optional("output-format", Kind::Text),
    ],
    usage: "pveum user token add <userid> <tokenid> [OPTIONS] [FORMAT_OPTIONS]",
};
const TOKEN_REMOVE: Command = Command {
    positional: &["userid", "tokenid"],
    schema: &[required("userid", Kind::Text), required("tokenid", Kind::Text)],
    usage: "pveum user token remove <userid> <tokenid>",
};
const ACL_MODIFY: Command = Command {
    positional: &["path"],
    schema: &[
        required("path", Kind::Text),
        optional("roles", Kind::Text),
        optional("users", Kind::Text),
        optional("tokens", Kind::Text),
        optional("propagate", Kind::Boolean),
    ],
    usage: "pveum acl modify <path> --roles <string> [OPTIONS]",
};
const STORAGE_ADD: Command = Command {
    positional: &["type", "storage"],
    schema: &[
        required("type", Kind::Text),
        required("storage", Kind::Text),
        optional("path", Kind::Text),
        optional("content", Kind::Text),
    ],
    usage: "pvesm add <type> <storage> [OPTIONS]",
};

pub fn run(host: &Host, program: &str, args: &[String]) -> Status {
    host.delays.take(Step::ToolStart);
    if let Some(exit) = pmxcfs_refusal(host) {
        return exit;
    }
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match (program, words.as_slice()) {
        ("pveum", ["user", "add", ..]) => {
            with(&USER_ADD, &args[2..], |params| call(host, "POST", "/access/users", params, &USER_ADD))
        }
        ("pveum", ["user", "delete", ..]) => with(&USER_DELETE, &args[2..], |mut params| {
            let path = format!("/access/users/{}", params.remove("userid").unwrap_or_default());
            call(host, "DELETE", &path, params, &USER_DELETE)
        }),
        ("pveum", ["user", "token", "add", ..]) => {
            with(&TOKEN_ADD, &args[3..], |params| token(host, "POST", params, &TOKEN_ADD))
        }
        ("pveum", ["user", "token", "remove" | "delete", ..]) => {
            with(&TOKEN_REMOVE, &args[3..], |params| token(host, "DELETE", params, &TOKEN_REMOVE))
        }
        ("pveum", ["acl", "modify", ..] | ["aclmod", ..]) => {
            let rest = if words[0] == "acl" { &args[2..] } else { &args[1..] };
            with(&ACL_MODIFY, rest, |params| call(host, "PUT", "/access/acl", params, &ACL_MODIFY))
        }
        ("pvesm", ["add", ..]) => {
            with(&STORAGE_ADD, &args[1..], |params| call(host, "POST", "/storage", params, &STORAGE_ADD))
        }
        (_, []) => {
            eprintln!("ERROR: no command specified");
            255
        }
        _ => {
            eprintln!("ERROR: unknown command '{program} {}'", args.join(" "));
            255
        }
    }
}

fn with(command: &Command, args: &[String], work: impl FnOnce(Params) -> Status) -> Status {
    match options::parse(command, args) {
        Ok(params) => work(params),
        Err(text) => {
            eprint!("{text}");
            255
        }
    }
}

fn call(host: &Host, method: &str, path: &str, params: Params, command: &Command) -> Status {
    let request = api::Request { host, method, path, params, caller: Caller::shell() };
    match api::call(&request) {
        Ok(_) => 0,
        Err(error) => print_error(&error, command.usage),
    }
}

fn token(host: &Host, method: &str, mut params: Params, command: &Command) -> Status {
    let mut take = |name: &str| params.remove(name).unwrap_or_default();
    let path = format!("/access/users/{}/token/{}", take("userid"), take("tokenid"));
    let format = take("output-format");
    let request = api::Request { host, method, path: &path, params, caller: Caller::shell() };
    match api::call(&request) {
        Ok(reply) if reply.data.is_null() => 0,
        Ok(reply) => {
            output::print(&super::pvesh::render(&reply.data, &format, ""));
            0
        }
        Err(error) => print_error(&error, command.usage),
    }
}
