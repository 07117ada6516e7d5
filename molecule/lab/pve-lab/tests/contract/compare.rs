//! Runs the command of a transcript on a bench and holds the result against what was recorded. Replaces in the
//! command what belonged to the recorded nodes (tickets, fingerprints, task names) by what the nodes have now.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;

use crate::bench::Bench;
use crate::terminal;
use crate::transcript::{Outcome, Transcript, Via};

/// No recorded command took longer.
const LIMIT: Duration = Duration::from_secs(180);

/// What the nodes gave out so far: it stands in later requests in place of what was recorded.
#[derive(Default)]
pub struct Known {
    /// Cookie and CSRF token by address and user.
    tickets: BTreeMap<(String, String), (String, String)>,
    /// Secrets of API tokens by name.
    tokens: BTreeMap<String, String>,
    /// The last task of each kind.
    tasks: BTreeMap<String, String>,
}

/// Runs the transcript's command.
pub fn run(bench: &dyn Bench, known: &mut Known, transcript: &Transcript) -> Outcome {
    let outcome = match transcript.via() {
        Via::Shell(input) => {
            let command = current(bench, known, transcript.command());
            shell(bench, transcript.node(), &command, &input)
        }
        Via::Terminal(answers) => {
            let command = current(bench, known, transcript.command());
            // rexpect opens a terminal that does not echo; the recorded ones did.
            let command = format!("stty echo; {command}");
            let command = bench.command(transcript.node(), &["bash", "-c", &command], true);
            let (exit, stdout) = terminal::run(command, &answers, LIMIT);
            Outcome { exit, stdout, stderr: String::new() }
        }
        Via::Https(request) => https(bench, known, transcript, &request),
        Via::Other => {
            panic!("{}: a recording that is no single command can't be run: list it", transcript.path)
        }
    };
    known.remember(&outcome);
    outcome
}

/// Runs a shell command on a node.
pub fn shell(bench: &dyn Bench, node: &str, command: &str, input: &str) -> Outcome {
    let output = feed(bench.command(node, &["bash", "-c", command], false), input.as_bytes());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        exit: output.status.code().map_or("signal".to_owned(), |code| code.to_string()),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Runs a shell command of a scenario's own; its standard output, or a panic that shows what went wrong.
pub fn must(bench: &dyn Bench, node: &str, command: &str) -> String {
    let outcome = shell(bench, node, command, "");
    assert_eq!(outcome.exit, "0", "{node}: {command}: {}{}", outcome.stdout, outcome.stderr);
    outcome.stdout
}

/// Until a shell condition holds on a node.
pub fn until(bench: &dyn Bench, node: &str, condition: &str, limit: Duration) {
    let begin = Instant::now();
    loop {
        let outcome = shell(bench, node, condition, "");
        if outcome.exit == "0" {
            return;
        }
        assert!(
            begin.elapsed() < limit,
            "{node}: {condition}: not so after {limit:?}: {}{}",
            outcome.stdout,
            outcome.stderr
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn feed(mut command: Command, input: &[u8]) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.spawn().expect("the command starts");
    if let Some(mut pipe) = child.stdin.take() {
        // A command that does not read its input ends the pipe early.
        let _ = pipe.write_all(input);
    }
    child.wait_with_output().expect("the command ends")
}

/// A raw exchange; status line and headers are the first part, the body the second.
fn exchange(bench: &dyn Bench, address: &str, request: &str) -> Outcome {
    let output = feed(bench.https(address), request.as_bytes());
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Outcome { exit: "no answer".to_owned(), stdout: answer, stderr: said };
    };
    let status = head.split(' ').nth(1).unwrap_or_default();
    Outcome { exit: format!("HTTP {status}"), stdout: head.replace('\r', ""), stderr: body.to_owned() }
}

fn https(bench: &dyn Bench, known: &mut Known, transcript: &Transcript, request: &str) -> Outcome {
    let host = Regex::new(r"(?m)^Host: (.+)$").expect("a valid rule");
    let host = host.captures(request).map(|found| found[1].to_owned()).expect("a request names its host");
    let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end_matches('\n'), ""));
    let mut head = current(bench, known, head);
    let body = current(bench, known, body);
    let user = Regex::new(r"PVEAuthCookie=PVE%3A(.+?)%3A[0-9A-F]{8}").expect("a valid rule");
    if let Some(user) = user.captures(&head).map(|found| found[1].replace("%40", "@")) {
        let (cookie, csrf) = ticket(bench, known, &host, &user);
        let old = Regex::new(r"(?m)(PVEAuthCookie=).*$").expect("a valid rule");
        head = old.replace(&head, format!("${{1}}{cookie}")).into_owned();
        let old = Regex::new(r"(?m)(CSRFPreventionToken: ).*$").expect("a valid rule");
        head = old.replace(&head, format!("${{1}}{csrf}")).into_owned();
    }
    let length = Regex::new(r"(?m)^Content-Length: \d+$").expect("a valid rule");
    head = length.replace(&head, format!("Content-Length: {}", body.len())).into_owned();
    let request = format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"));
    let outcome = exchange(bench, &host, &request);
    if outcome.exit == "no answer" {
        panic!("{}: {host} gives no answer: {}{}", transcript.path, outcome.stdout, outcome.stderr);
    }
    outcome
}

/// A ticket of this user, good on the node that it came from (and on its cluster).
fn ticket(bench: &dyn Bench, known: &mut Known, host: &str, user: &str) -> (String, String) {
    let key = (host.to_owned(), user.to_owned());
    if let Some(ticket) = known.tickets.get(&key) {
        return ticket.clone();
    }
    let body = format!("username={}&password=Secret123%21", user.replace('@', "%40"));
    let request = format!(
        "POST /api2/json/access/ticket HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let outcome = exchange(bench, host, &request);
    let value: serde_json::Value = serde_json::from_str(&outcome.stderr)
        .unwrap_or_else(|_| panic!("{user} can't log in at {host}: {} {}", outcome.exit, outcome.stdout));
    let text = |name: &str| value["data"][name].as_str().unwrap_or_default().to_owned();
    let encoded = text("ticket").replace('%', "%25").replace('+', "%2B").replace('/', "%2F");
    let encoded = encoded.replace('=', "%3D").replace(':', "%3A").replace('@', "%40");
    let ticket = (encoded, text("CSRFPreventionToken"));
    known.tickets.insert(key, ticket.clone());
    ticket
}

/// The fingerprint that an address serves now, if it serves.
pub fn fingerprint(bench: &dyn Bench, host: &str) -> Option<String> {
    let mut command = bench.https(&format!("{host}:8006"));
    command.arg("--fingerprint");
    let output = feed(command, b"");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command or request with the fingerprints, token secrets and task names of now.
fn current(bench: &dyn Bench, known: &Known, text: &str) -> String {
    let fingerprint_of = Regex::new(r"(?i)(?:[0-9a-f]{2}(?::|%3A)){31}[0-9a-f]{2}").expect("a valid rule");
    let target = Regex::new(r"(?:pvecm add |hostname[= ])(\S+?)(?:[& ]|$)").expect("a valid rule");
    let mut text = text.to_owned();
    if let (Some(found), Some(host)) = (fingerprint_of.find(&text), target.captures(&text)) {
        let old = found.as_str().to_owned();
        // One that was made up stays as it is, and so does that of a host that there is not.
        let is_made_up = old.replace("%3A", ":").starts_with("AA:AA:");
        if let Some(mut new) = fingerprint(bench, &host[1]).filter(|_| !is_made_up) {
            if old.contains("%3A") {
                new = new.replace(':', "%3A");
            } else if old == old.to_lowercase() {
                new = new.to_lowercase();
            }
            text = text.replace(&old, &new);
        }
    }
    let token = Regex::new(r"(PVEAPIToken=(\S+?)=)[0-9a-f]{8}-[0-9a-f-]{27}").expect("a valid rule");
    if let Some(found) = token.captures(&text) {
        if let Some(secret) = known.tokens.get(&found[2]).filter(|_| !found[0].contains("00000000-")) {
            text = token.replace(&text, format!("${{1}}{secret}")).into_owned();
        }
    }
    let task = Regex::new(r"UPID%3A(\w+)%3A\w+%3A\w+%3A\w+%3A(\w+)%3A").expect("a valid rule");
    let replaced = task.replace_all(&text, |found: &regex::Captures<'_>| {
        known
            .tasks
            .get(&format!("{} {}", &found[1], &found[2]))
            .cloned()
            .unwrap_or_else(|| found[0].to_owned())
    });
    replaced.into_owned()
}

impl Known {
    /// Forgets tickets: a node that joined or was made anew takes none of before.
    pub fn forget(&mut self) {
        self.tickets.clear();
    }

    fn remember(&mut self, outcome: &Outcome) {
        let task = Regex::new(r"UPID:(\w+):\w+:\w+:\w+:(\w+):").expect("a valid rule");
        for text in [&outcome.stdout, &outcome.stderr] {
            for found in task.captures_iter(text) {
                self.tasks.insert(format!("{} {}", &found[1], &found[2]), found[0].replace(':', "%3A"));
            }
        }
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&outcome.stdout) {
            if let (Some(name), Some(secret)) = (value["full-tokenid"].as_str(), value["value"].as_str()) {
                self.tokens.insert(name.to_owned(), secret.to_owned());
            }
        }
    }
}
