//! How results and errors look at a shell: JSON, pretty JSON, text tables.

use std::io::Write;

use serde_json::Value;

use crate::api::ApiError;

/// Prints to standard output. A reader that went away ends the command, as SIGPIPE ends PVE's.
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(141);
    }
}

/// Prints an error as PVE's tools do; gives the exit code.
pub fn print_error(error: &ApiError, usage: &str) -> u8 {
    eprint!("{}", error_text(error, usage));
    error.exit
}

pub fn error_text(error: &ApiError, usage: &str) -> String {
    let mut text = String::new();
    if let Some(status) = error.status {
        text.push_str(&format!("{status} "));
    }
    text.push_str(error.message.trim_end());
    if error.status == Some(424) {
        text.push_str(" at /usr/share/perl5/PVE/API2/ClusterConfig.pm line 588");
    }
    text.push('\n');
    for (name, problem) in &error.errors {
        text.push_str(&format!("{name}: {problem}\n"));
    }
    if error.status == Some(400) {
        text.push_str(&format!("{usage}\n"));
    }
    text
}

/// JSON in the canonical order of keys, as `--output-format json` prints it.
pub fn json(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            format!("[{}]", list.iter().map(json).collect::<Vec<_>>().join(","))
        }
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            let items = keys.iter().map(|key| format!("{}:{}", Value::from(key.as_str()), json(&map[*key])));
            format!("{{{}}}", items.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// JSON with three spaces a level and ` : `, as `--output-format json-pretty` prints it.
pub fn json_pretty(value: &Value, depth: usize) -> String {
    let inner = "   ".repeat(depth + 1);
    let outer = "   ".repeat(depth);
    match value {
        Value::Array(list) if list.is_empty() => "[]".to_owned(),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Array(list) => {
            let items: Vec<_> =
                list.iter().map(|item| format!("{inner}{}", json_pretty(item, depth + 1))).collect();
            format!("[\n{}\n{outer}]", items.join(",\n"))
        }
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            let items = keys.iter().map(|key| {
                format!("{inner}{} : {}", Value::from(key.as_str()), json_pretty(&map[*key], depth + 1))
            });
            format!("{{\n{}\n{outer}}}", items.collect::<Vec<_>>().join(",\n"))
        }
        other => other.to_string(),
    }
}

/// A cell: text, left-aligned unless `is_right`.
#[derive(Clone)]
pub struct Column {
    pub name: String,
    pub is_right: bool,
}

/// A table in box-drawing lines, a rule between rows.
pub fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            rows.iter().map(|row| width(&row[at])).chain([width(&column.name)]).max().unwrap_or(0)
        })
        .collect();
    let rule = |left: &str, middle: &str, right: &str, fill: &str| {
        let parts: Vec<_> = widths.iter().map(|width| fill.repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(middle))
    };
    let line = |cells: &[String], heading: bool| {
        let parts: Vec<_> = cells
            .iter()
            .enumerate()
            .map(|(at, cell)| {
                let pad = " ".repeat(widths[at] - width(cell));
                if columns[at].is_right && !heading {
                    format!(" {pad}{cell} ")
                } else {
                    format!(" {cell}{pad} ")
                }
            })
            .collect();
        format!("│{}│\n", parts.join("│"))
    };
    let mut out = rule("┌", "┬", "┐", "─");
    out.push_str(&line(&columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>(), true));
    out.push_str(&rule("╞", "╪", "╡", "═"));
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push_str(&rule("├", "┼", "┤", "─"));
        }
        out.push_str(&line(row, false));
    }
    out.push_str(&rule("└", "┴", "┘", "─"));
    out
}
