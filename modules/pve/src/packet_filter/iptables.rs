//! Reads `iptables-save -t filter` (iptables-save(8), iptables-extensions(8)).

use super::{Condition, Fate, Rule, Table, Verdict, network};

pub(super) fn parse(text: &str, is_ipv4: bool) -> Table {
    let mut table = Table { is_ipv4, is_ipv6: !is_ipv4, ..Table::default() };
    for line in text.lines() {
        if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let (Some(name), policy) = (words.next(), words.next()) else { continue };
            table.chain(name);
            if name == "INPUT" {
                let policy = if policy == Some("ACCEPT") { Fate::Accepted } else { Fate::Dropped };
                table.entries.push((name.to_owned(), policy));
            }
        } else if let Some(rest) = line.strip_prefix("-A ") {
            let words: Vec<&str> = rest.split_whitespace().collect();
            if let Some((chain, words)) = words.split_first() {
                table.chain(chain).push(rule(words));
            }
        }
    }
    table
}

fn rule(words: &[&str]) -> Rule {
    let (mut conditions, mut verdict) = (Vec::new(), Verdict::Nothing);
    let mut words = words.iter().copied();
    let mut is_negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            is_negated = true;
            continue;
        }
        let condition = match word {
            "-p" => words.next().map(|protocol| Condition::Protocol(protocol.to_owned())),
            "-s" => words.next().map(|source| match network(source) {
                Some(network) => Condition::Sources(vec![network]),
                None => Condition::Unknown,
            }),
            "-i" => words.next().map(|name| Condition::Interface(name.to_owned())),
            "--dport" | "--dports" => words.next().map(ports),
            "--ctstate" | "--state" => {
                words.next().map(|states| Condition::New(states.split(',').any(|state| state == "NEW")))
            }
            "-j" | "-g" => {
                verdict = match (word, words.next().unwrap_or_default()) {
                    (_, "ACCEPT") => Verdict::Accept,
                    (_, "DROP" | "REJECT") => Verdict::Drop,
                    (_, "RETURN") => Verdict::Return,
                    ("-g", chain) => Verdict::Goto(chain.to_owned()),
                    (_, chain) => Verdict::Jump(chain.to_owned()),
                };
                // What follows belongs to the target.
                break;
            }
            // The name of a match says nothing by itself, nor does a comment.
            "-m" => {
                words.next();
                None
            }
            "--comment" => {
                skip_quoted(&mut words);
                None
            }
            option if option.starts_with('-') => Some(Condition::Unknown),
            _ => None,
        };
        if let Some(condition) = condition {
            conditions.push(if is_negated { Condition::Not(Box::new(condition)) } else { condition });
            is_negated = false;
        }
    }
    Rule { conditions, verdict }
}

fn skip_quoted<'w>(words: &mut impl Iterator<Item = &'w str>) {
    let Some(first) = words.next() else { return };
    if !first.starts_with('"') || (first.len() > 1 && first.ends_with('"')) {
        return;
    }
    for word in words {
        if word.ends_with('"') {
            return;
        }
    }
}

fn ports(text: &str) -> Condition {
    let range = |part: &str| {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    text.split(',').map(range).collect::<Option<_>>().map_or(Condition::Unknown, Condition::Ports)
}
