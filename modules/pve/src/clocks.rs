//! How far this node's clock is from those of other nodes, by the dates that their APIs give.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use crate::https::api::PORT;
use crate::time_sync::seconds_of_http_date;
use crate::verdict::Finding;
use crate::{Cmd, Node, SecretString};

/// PVE takes a ticket that is from the future by no more than this (pve-access-control, `verify_ticket`).
const GRACE: f64 = 300.0;
/// As many each node asks: in a ring every clock is compared with others, and no API is asked by all.
const ASKED: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(2);
/// Answered without a login, with nothing; the head of the answer has the date.
const QUESTION: &str =
    "GET /api2/json/access/ticket HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Compares with the first few of the peers, which are given from the one after this node on.
pub fn compare(node: &Node, peers: &[(&str, IpAddr)]) -> anyhow::Result<Finding> {
    let asked = &peers[..peers.len().min(ASKED)];
    if asked.is_empty() {
        return Finding::skipped("there is no other node to ask");
    }
    let offsets: Vec<Option<(&str, f64)>> = thread::scope(|scope| {
        let threads: Vec<_> = asked
            .iter()
            .map(|(name, address)| scope.spawn(move || Some((*name, offset(node, *address)?))))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(None)).collect()
    });
    let known: Vec<(&str, f64)> = offsets.into_iter().flatten().collect();
    let Some((name, most)) = known.iter().copied().max_by(|one, other| one.1.abs().total_cmp(&other.1.abs()))
    else {
        return Finding::skipped("no other node's API tells the time");
    };
    let direction = if most > 0.0 { "ahead of" } else { "behind" };
    let finding = format!("the clock is at least {:.1} s {direction} that of {name}", most.abs());
    let hint = "let chrony on both nodes follow the same servers, then \"chronyc makestep\"";
    if most.abs() >= GRACE {
        return Finding::failed(format!("{finding}: tickets are refused from {GRACE:.0} s on"), hint);
    }
    if most.abs() >= 1.0 {
        return Finding::warned(finding, hint);
    }
    Finding::passed(format!("within a second of {} other nodes", known.len()))
}

/// How far this clock is ahead of a peer's, as a bound that is certain: the answer's date has whole seconds.
fn offset(node: &Node, address: IpAddr) -> Option<f64> {
    let to = SocketAddr::new(address, PORT).to_string();
    // Nothing is trusted and nothing secret is said: a wrong answer can only warn.
    let cmd = Cmd::new("openssl", ["s_client", "-quiet", "-connect", &to], TIMEOUT);
    let clock = || node.now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let before = clock();
    let answer = node.run(&cmd.stdin(SecretString::from(QUESTION))).ok()?.stdout;
    let after = clock();
    let line = answer.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case("date").then(|| value.trim())
    })?;
    let date = seconds_of_http_date(line)? as f64;
    // Theirs was in [date, date + 1) at some moment between the two looks.
    let (ahead, behind) = (before - (date + 1.0), date - after);
    Some(if ahead > 0.0 {
        ahead
    } else if behind > 0.0 {
        -behind
    } else {
        0.0
    })
}
