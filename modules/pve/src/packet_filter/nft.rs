//! Reads `nft --json list ruleset` (libnftables-json(5)).

use anyhow::Context;
use serde_json::Value;

use super::{Condition, Fate, Rule, Table, Verdict, network};

pub(super) fn parse(text: &str) -> anyhow::Result<Vec<Table>> {
    let ruleset: Value = serde_json::from_str(text).context("nft's ruleset is no JSON")?;
    let entries = ruleset["nftables"].as_array().context("nft's ruleset has no list")?;
    let mut tables: Vec<(String, Table)> = Vec::new();
    for entry in entries {
        let (object, is_rule) = match (&entry["chain"], &entry["rule"]) {
            (Value::Null, Value::Null) => continue,
            (Value::Null, rule) => (rule, true),
            (chain, _) => (chain, false),
        };
        let word = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let family = word("family");
        let title = format!("{family} {}", word("table"));
        let at = tables.iter().position(|(known, _)| *known == title).unwrap_or_else(|| {
            tables.push((title, Table::default()));
            tables.len() - 1
        });
        let table = &mut tables[at].1;
        table.is_ipv4 = matches!(family.as_str(), "ip" | "inet");
        table.is_ipv6 = matches!(family.as_str(), "ip6" | "inet");
        let name = word(if is_rule { "chain" } else { "name" });
        let chain = table.chain(&name);
        if is_rule {
            chain.push(rule(object["expr"].as_array().map(Vec::as_slice).unwrap_or_default()));
        } else if word("hook") == "input" && word("type") == "filter" {
            let policy = if word("policy") == "drop" { Fate::Dropped } else { Fate::Accepted };
            table.entries.push((name, policy));
        }
    }
    Ok(tables.into_iter().map(|(_, table)| table).collect())
}

fn rule(expressions: &[Value]) -> Rule {
    let (mut conditions, mut verdict) = (Vec::new(), Verdict::Nothing);
    for expression in expressions.iter().filter_map(Value::as_object) {
        for (key, value) in expression {
            match key.as_str() {
                "match" => conditions.extend(condition(value)),
                "accept" => verdict = Verdict::Accept,
                "drop" | "reject" => verdict = Verdict::Drop,
                "return" => verdict = Verdict::Return,
                "jump" => verdict = Verdict::Jump(target(value)),
                "goto" => verdict = Verdict::Goto(target(value)),
                "counter" | "log" | "comment" => {}
                // A limit, a map of verdicts, a match of iptables: who knows.
                _ => conditions.push(Condition::Unknown),
            }
        }
    }
    Rule { conditions, verdict }
}

fn target(value: &Value) -> String {
    value["target"].as_str().unwrap_or_default().to_owned()
}

fn condition(value: &Value) -> Vec<Condition> {
    let (left, right) = (&value["left"], &value["right"]);
    let payload = (left["payload"]["protocol"].as_str(), left["payload"]["field"].as_str());
    let mut conditions = match payload {
        (Some(protocol @ ("tcp" | "udp" | "th")), Some("dport")) => {
            let mut both = vec![ports(right)];
            if protocol != "th" {
                both.push(Condition::Protocol(protocol.to_owned()));
            }
            both
        }
        (Some("ip" | "ip6"), Some("saddr")) => vec![sources(right)],
        (Some("ip"), Some("protocol")) => vec![protocols(right)],
        _ => vec![match (left["meta"]["key"].as_str(), left["ct"]["key"].as_str()) {
            (Some("l4proto"), _) => protocols(right),
            (Some("iifname" | "iif"), _) => match right.as_str() {
                Some(name) => Condition::Interface(name.to_owned()),
                None => Condition::Unknown,
            },
            (_, Some("state")) => states(right),
            _ => Condition::Unknown,
        }],
    };
    if value["op"] == "!=" {
        conditions = match conditions.len() {
            1 => conditions.into_iter().map(|inner| Condition::Not(Box::new(inner))).collect(),
            _ => vec![Condition::Unknown],
        };
    }
    conditions
}

/// The elements of a set, or the one value.
fn elements(value: &Value) -> Vec<&Value> {
    match (&value["set"], value) {
        (Value::Array(elements), _) | (_, Value::Array(elements)) => elements.iter().collect(),
        _ => vec![value],
    }
}

fn ports(value: &Value) -> Condition {
    let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    let range = |value: &Value| match &value["range"] {
        Value::Array(ends) => Some((port(ends.first()?)?, port(ends.get(1)?)?)),
        _ => port(value).map(|only| (only, only)),
    };
    let ranges: Option<Vec<_>> = elements(value).into_iter().map(range).collect();
    ranges.map_or(Condition::Unknown, Condition::Ports)
}

fn sources(value: &Value) -> Condition {
    let read = |value: &Value| match (value.as_str(), &value["prefix"]) {
        (Some(text), _) => network(text),
        (None, prefix) => network(&format!("{}/{}", prefix["addr"].as_str()?, prefix["len"].as_u64()?)),
    };
    let all: Option<Vec<_>> = elements(value).into_iter().map(read).collect();
    all.map_or(Condition::Unknown, Condition::Sources)
}

fn protocols(value: &Value) -> Condition {
    match elements(value).as_slice() {
        [Value::String(only)] => Condition::Protocol(only.clone()),
        _ => Condition::Unknown,
    }
}

fn states(value: &Value) -> Condition {
    Condition::New(elements(value).iter().any(|state| **state == "new" || **state == "untracked"))
}
