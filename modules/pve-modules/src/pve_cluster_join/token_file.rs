//! Joining without a controller: `pve pve_cluster_join --token-file FILE` at a shell or in a unit of the first boot.
//! Makes the module's arguments of the command line and the file; the module does the rest.

use pve::credential::token::Token;
use pve::{Node, SecretString};
use serde_json::{Map, Value, json};

const USAGE: &str = "usage: pve pve_cluster_join --token-file FILE [--linkN ADDRESS]… [--timeout SECONDS]";

/// The module's arguments; `None` when the command line is another one.
pub fn arguments(node: &Node, words: &[String]) -> Option<Result<Map<String, Value>, String>> {
    let (name, rest) = words.split_first()?;
    let name = name.rsplit('/').next().unwrap_or(name);
    let options = match (name, rest) {
        ("pve_cluster_join", [option, ..]) if option == "--token-file" => rest,
        (_, [module, option, ..]) if module == "pve_cluster_join" && option == "--token-file" => &rest[1..],
        _ => return None,
    };
    Some(read(node, options))
}

fn read(node: &Node, options: &[String]) -> Result<Map<String, Value>, String> {
    let mut args = Map::new();
    let mut links = Vec::new();
    for pair in options.chunks(2) {
        let [option, value] = pair else { return Err(format!("{} takes a value; {USAGE}", pair[0])) };
        match option.as_str() {
            "--token-file" => {
                let text = secret(node, value)?;
                let token = Token::parse(&text).map_err(|error| format!("{value:?}: {error:#}"))?;
                args.insert("cluster_name".to_owned(), token.context.cluster.into());
                args.insert("token".to_owned(), pve::ExposeSecret::expose_secret(&text).trim().into());
            }
            "--timeout" => {
                args.insert("timeout".to_owned(), value.as_str().into());
            }
            link => {
                let number = link.strip_prefix("--link").and_then(|number| number.parse::<u8>().ok());
                let Some(number) = number else { return Err(format!("unknown option {link:?}; {USAGE}")) };
                links.push(json!({ "number": number, "address": value }));
            }
        }
    }
    args.insert("method".to_owned(), "token".into());
    if !links.is_empty() {
        args.insert("links".to_owned(), links.into());
    }
    Ok(args)
}

/// The file's text, which nobody but its owner, root, may read.
fn secret(node: &Node, file: &str) -> Result<SecretString, String> {
    if !file.starts_with('/') {
        return Err(format!("{file:?} is no absolute path; {USAGE}"));
    }
    if !node.is_private(file).map_err(|error| format!("{error:#}"))? {
        return Err(format!(
            "{file:?} can be read by others than root: chown root {file}; chmod 0600 {file}"
        ));
    }
    let text = node.read(file).map_err(|error| format!("{error:#}"))?;
    Ok(SecretString::from(text.unwrap_or_default()))
}
