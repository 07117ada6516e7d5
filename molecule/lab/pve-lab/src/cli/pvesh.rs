//! `pvesh`: the API at a shell.

use serde_json::Value;

use super::output::{self, Column, print_error};
use super::{Status, pmxcfs_refusal};
use crate::api::{self, Caller, Params};
use crate::delays::Step;
use crate::host::Host;

/// Runs `pvesh <get|create|set|delete|ls|usage> <path> [--option value …]`.
pub fn run(host: &Host, args: &[String]) -> Status {
    host.delays.take(Step::PveshStart);
    if let Some(exit) = pmxcfs_refusal(host) {
        return exit;
    }
    let [verb, path, rest @ ..] = args else {
        eprintln!("ERROR: no command specified");
        return 255;
    };
    let method = match verb.as_str() {
        "get" => "GET",
        "create" => "POST",
        "set" => "PUT",
        "delete" => "DELETE",
        "ls" => return list(path),
        other => {
            eprintln!("ERROR: unknown command 'pvesh {other}'");
            return 255;
        }
    };
    let mut params = match options(rest) {
        Ok(params) => params,
        Err(text) => {
            eprintln!("{text}");
            return 255;
        }
    };
    let format = params.remove("output-format").unwrap_or_else(|| "text".to_owned());
    for name in ["quiet", "noproxy", "human-readable"] {
        params.remove(name);
    }
    let request = api::Request { host, method, path, params, caller: Caller::shell() };
    match api::call(&request) {
        Ok(reply) => {
            output::print(&reply.printed);
            output::print(&render(&reply.data, &format, path));
            0
        }
        Err(error) => print_error(&error, &format!("pvesh {verb} <api_path> [OPTIONS] [FORMAT_OPTIONS]")),
    }
}

fn options(args: &[String]) -> Result<Params, String> {
    let mut params = Params::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let Some(name) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            return Err("400 too many arguments\npvesh get <api_path> [OPTIONS] [FORMAT_OPTIONS]".to_owned());
        };
        match name.split_once('=') {
            Some((name, value)) => params.insert(name.to_owned(), value.to_owned()),
            None => params.insert(name.to_owned(), rest.next().cloned().unwrap_or_else(|| "1".to_owned())),
        };
    }
    Ok(params)
}

/// The result in the wanted format.
pub fn render(data: &Value, format: &str, path: &str) -> String {
    match format {
        "json" => format!("{}\n", output::json(data)),
        "json-pretty" => format!("{}\n", output::json_pretty(data, 0)),
        _ => text(data, path),
    }
}

fn text(data: &Value, path: &str) -> String {
    match data {
        Value::Null => String::new(),
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Array(list) if list.iter().all(Value::is_object) => rows(list, path),
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().cloned().collect();
            keys.sort();
            let cells = keys.into_iter().map(|key| {
                let cell = cell(&map[&key]);
                vec![key, cell]
            });
            let column = |name: &str| Column { name: name.to_owned(), is_right: false };
            output::table(&[column("key"), column("value")], &cells.collect::<Vec<_>>())
        }
        Value::String(text) => format!("{text}\n"),
        other => format!("{}\n", output::json(other)),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => output::json(other),
    }
}

/// Columns as the API's return schema names them: those first that it sorts first, the rest by name.
fn columns(path: &str) -> Option<&'static [(&'static str, bool)]> {
    match path.trim_matches('/') {
        "cluster/config/nodes" => Some(&[("node", false)]),
        "cluster/status" => Some(&[
            ("id", false),
            ("name", false),
            ("type", false),
            ("ip", false),
            ("level", false),
            ("local", false),
            ("nodeid", true),
            ("nodes", true),
            ("online", false),
            ("quorate", false),
            ("version", true),
        ]),
        _ => None,
    }
}

fn rows(list: &[Value], path: &str) -> String {
    let columns: Vec<Column> = match columns(path) {
        Some(known) => {
            known.iter().map(|&(name, is_right)| Column { name: name.to_owned(), is_right }).collect()
        }
        None => {
            let mut names: Vec<String> =
                list.iter().filter_map(Value::as_object).flat_map(|map| map.keys().cloned()).collect();
            names.sort();
            names.dedup();
            names.into_iter().map(|name| Column { name, is_right: false }).collect()
        }
    };
    let mut cells: Vec<Vec<String>> =
        list.iter().map(|item| columns.iter().map(|column| cell(&item[&column.name])).collect()).collect();
    cells.sort();
    output::table(&columns, &cells)
}

/// `pvesh ls`: one line a child, with what may be done there.
fn list(path: &str) -> Status {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let Some(children) = api::children(&parts) else {
        eprintln!("resource '{path}' does not define child links");
        return 255;
    };
    for (name, is_directory, can_create) in children {
        let directory = if is_directory { 'D' } else { '-' };
        let create = if can_create { 'c' } else { '-' };
        output::print(&format!("{directory}r-{create}-        {name}\n"));
    }
    0
}
