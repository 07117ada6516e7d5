//! Ranges of numbers among arguments. The argument check knows types and choices only, and what is out of range
//! must be told as the user's mistake.

use ansible_module::Failure;
use serde_json::{Map, Value};

/// Option, lowest and highest value; for a list, of its elements.
const RANGES: &[(&str, i64, i64)] = &[
    ("count", 1, 1024),
    ("latency_limit", 1, 1000),
    ("lifetime", 10, 3600),
    ("links", 0, 7),
    ("loss_limit", 1, 100),
    ("nodeid", 1, u32::MAX as i64),
    ("ports", 1, 65535),
    ("priority", 0, 255),
    ("renew_days", 0, 700),
    ("stable_for", 0, 86400),
    ("timeout", 1, 86400),
    ("token_coefficient", 0, 60000),
    ("votes", 0, 1000),
    ("wave_limit", 1, 1024),
];
/// What other modules returned is not what the user wrote.
const RETURNED: [&str; 4] = ["info", "listeners", "rows", "views"];

/// Refuses numbers that are out of range, anywhere among the arguments.
pub fn check(params: &Map<String, Value>) -> Result<(), Failure> {
    match params
        .iter()
        .filter(|(key, _)| !RETURNED.contains(&key.as_str()))
        .find_map(|(key, value)| fault(key, value))
    {
        Some(fault) => Err(Failure::new(fault)),
        None => Ok(()),
    }
}

fn fault(key: &str, value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => {
            let (_, lowest, highest) = RANGES.iter().find(|(name, ..)| *name == key)?;
            let is_within = number.as_i64().is_some_and(|number| (*lowest..=*highest).contains(&number));
            (!is_within).then(|| format!("option {key:?} is {number}: it must be from {lowest} to {highest}"))
        }
        Value::Array(values) => values.iter().find_map(|value| fault(key, value)),
        Value::Object(map) => {
            let told = map.iter().filter(|(key, _)| !RETURNED.contains(&key.as_str()));
            told.into_iter().find_map(|(key, value)| fault(key, value))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(params: Value) -> Option<String> {
        check(params.as_object().unwrap()).err().map(|failure| failure.msg)
    }

    #[test]
    fn what_is_out_of_range_is_named_wherever_it_stands() {
        assert_eq!(
            message(json!({"ports": [22, 70000]})).unwrap(),
            "option \"ports\" is 70000: it must be from 1 to 65535"
        );
        let nodes = json!({"nodes": [{"name": "a", "nodeid": 0, "info": {"timeout": -1}}]});
        assert_eq!(message(nodes).unwrap(), "option \"nodeid\" is 0: it must be from 1 to 4294967295");
        let links = json!({"nodes": [{"links": [{"number": 0, "priority": 256}]}]});
        assert_eq!(message(links).unwrap(), "option \"priority\" is 256: it must be from 0 to 255");
    }

    #[test]
    fn what_is_within_or_absent_or_returned_by_modules_passes() {
        let nodes = json!([{"nodeid": 7, "votes": null, "info": {"votes": -1}}]);
        assert_eq!(
            message(json!({"timeout": 60, "links": [0, 7], "nodes": nodes, "views": [{"count": -3}]})),
            None
        );
    }
}
