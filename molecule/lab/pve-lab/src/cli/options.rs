//! Command lines as PVE's tools read them: words for the positional parameters, `--name value` for the others.

use crate::api::Params;
use crate::api::schema::{Kind, Param, link_number};

/// One subcommand: its positional parameters, all parameters, and the line that an error ends with.
pub struct Command {
    pub positional: &'static [&'static str],
    pub schema: &'static [Param],
    pub usage: &'static str,
}

/// Reads the arguments; the error is what goes to standard error.
pub fn parse(command: &Command, args: &[String]) -> Result<Params, String> {
    let mut params = Params::new();
    let mut words = Vec::new();
    let mut rest = args.iter();
    let mut unknown = String::new();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            words.extend(rest.by_ref());
            break;
        }
        let Some(option) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|o| !o.is_empty())
        else {
            words.push(arg);
            continue;
        };
        let (name, inline) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (option, None),
        };
        let known = command.schema.iter().find(|param| {
            !command.positional.contains(&param.name)
                && (param.name == name || (param.kind == Kind::Links && link_number(name).is_some()))
        });
        let Some(param) = known else {
            unknown.push_str(&format!("Unknown option: {name}\n"));
            continue;
        };
        let value = match (inline, param.kind) {
            (Some(value), _) => value,
            (None, Kind::Boolean) => {
                let next = rest.clone().next().filter(|next| crate::api::schema::truth(next).is_some());
                if next.is_some() { rest.next().cloned().unwrap_or_default() } else { "1".to_owned() }
            }
            (None, _) => match rest.next() {
                Some(value) => value.clone(),
                None => {
                    unknown.push_str(&format!("Option {name} requires an argument\n"));
                    continue;
                }
            },
        };
        params.insert(name.to_owned(), value);
    }
    if !unknown.is_empty() {
        return Err(format!("{unknown}400 unable to parse option\n{}\n", command.usage));
    }
    if words.len() > command.positional.len() {
        return Err(format!("400 too many arguments\n{}\n", command.usage));
    }
    if words.len() < command.positional.len() {
        return Err(format!("400 not enough arguments\n{}\n", command.usage));
    }
    for (name, word) in command.positional.iter().zip(words) {
        params.insert((*name).to_owned(), word.clone());
    }
    Ok(params)
}
