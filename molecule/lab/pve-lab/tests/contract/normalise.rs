//! Everything that may differ between a transcript and a run, each with its reason. Both sides pass through here;
//! what is not named here must be the same to the byte.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::transcript::{Outcome, fits};

/// One kind of text that is another each time: pattern, what stands for it, why.
const TEXTS: &[(&str, &str, &str)] = &[
    (r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", "<FINGERPRINT>", "each node makes its own certificate"),
    (r"SHA256:[A-Za-z0-9+/]{43}", "<HOST KEY>", "each node makes its own ssh keys"),
    (r"ssh-(?:rsa|ed25519) AAAA[A-Za-z0-9+/=]+", "<SSH KEY>", "each node makes its own ssh keys"),
    (r"PVE:([a-z@]+):[0-9A-F]{8}::[A-Za-z0-9+/=]+", "PVE:$1:<TICKET>", "a ticket carries time and signature"),
    (r"[0-9A-F]{8}:[A-Za-z0-9+/]{43}", "<CSRF TOKEN>", "a token carries time and signature"),
    (
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "<UUID>",
        "secrets of API tokens are random",
    ),
    (
        r"UPID:([a-z0-9]+):[0-9A-F]{8}:[0-9A-F]{8}:[0-9A-F]{8}:",
        "UPID:$1:<PROCESS AND TIME>:",
        "a task is named after its process and its time",
    ),
    (
        r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-9]\d \d\d:\d\d:\d\d \d{4}",
        "<DATE>",
        "time goes on",
    ),
    (
        r"(Date|Expires): [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
        "$1: <DATE>",
        "time goes on",
    ),
    (r"\b(?:1[6-9]|2[0-9])\d{8}\b(?:\.\d+)?", "<SECONDS>", "time goes on"),
    (r"[A-Z][a-z]{2} [ 0-9]\d  ?(?:\d\d:\d\d| ?\d{4})", "<DATE>", "time goes on; dates of ls"),
    (r"(?m)^total \d+$", "total <BLOCKS>", "blocks depend on the file system that a node stands on"),
    (
        r"(?m)^([bcdlps-][rwxsStT-]{9}) +\d+ +(\S+) +(\S+) +\d+ (<DATE>)",
        "$1 $2 $3 <SIZE> $4",
        "lengths of keys and certificates vary by some bytes, those of folders by the file system; ls aligns to them",
    ),
    (r"(?m)^(\d{3} \S+:\S+ .*?)\d+ (/\S+)$", "$1<SIZE> $2", "as before, for stat"),
    (
        r"(?m)(<SSH KEY>) \d+$",
        "$1 <BLOCKS>",
        "as before, where a listing follows a file that ends without an end of line",
    ),
    (r"\b[0-9a-f]{64}\b", "<SHA-256>", "sshd_config is Debian's, and another one in each release"),
    (
        r"(?m)^(?:  \[[A-Z]+ *\] .*|\[[a-z]+\] (?:notice|crit): .*|(?:Started |Failed to start )?corosync\.service.*)\n",
        "",
        "what corosync and pmxcfs log is their own history, and nothing keeps a journal in namespaces",
    ),
    (r#"("corosync_authkey" : )".*""#, "$1<SECRET>", "each cluster makes its own key"),
    (r"(not(?:Before|After)=)[A-Z].*", "$1<DATE>", "time goes on"),
    (
        r"(\(?Ring ID: +)[0-9a-f]+\.[0-9a-f]+",
        "$1<RING>",
        "corosync counts memberships since the cluster was made",
    ),
    (
        r#""(pid|pstart|starttime|endtime)" ?: ?\d+"#,
        r#""$1": <NUMBER>"#,
        "processes are numbered by the kernel",
    ),
    (r"\[\d+(?:\.\d+)? ms\]|: \d+\.\d ms each", "<TIME>", "another machine is faster or slower"),
    (
        r"\.fuse_hidden[0-9a-f]+",
        ".fuse_hidden<NUMBER>",
        "the kernel numbers files that are removed while open",
    ),
    (r"oracle\.test|sddc\.test", "<DOMAIN>", "the nodes' domain is no matter of PVE"),
    (r"oracle-lab", "<COMMENT>", "whose key it is that the controller logs in with"),
    (
        r"(?m)^Content-Length: [1-9]\d*$",
        "Content-Length: <NUMBER>",
        "follows from what the other rules replace",
    ),
    (
        r"(?m)^  File .*\n(?:    .*\n)*",
        "",
        "where in its own text a script failed is no matter of PVE, and the versions of Python disagree on how to show it",
    ),
    (
        r"(?m)\r$",
        "",
        "whether a carriage return shows after the password is a race with the terminal's own, recorded both ways",
    ),
    (r"(?m)^(real|user|sys)\t.*$", "$1 <TIME>", "another machine is faster or slower"),
    (r"running kernel: [^)]*", "running kernel: <KERNEL>", "the machine's kernel"),
    (
        r#"(\{ "node": "\w+", "type": "\w+", "version": )\d+"#,
        "$1<COUNT>",
        "pmxcfs counts every change of a guest's file, from where its tree stands",
    ),
    (
        r"(line \d+, )?<(?:DATA|STDIN|\$fh)> line \d+",
        "$1<HANDLE> line <NUMBER>",
        "Perl tells how far it has read in some file",
    ),
    (
        r" at /usr/share/perl5/([A-Za-z0-9/]+)\.pm line \d+",
        " at $1 line <NUMBER>",
        "line numbers of PVE's own source move with its version",
    ),
];

/// Transcripts of nodes with a past that no scenario repeats: there versions that count changes differ.
const WITH_A_PAST: &[&str] = &[
    "12-three-nodes/*",
    "13-addnode-api/*",
    "14-one-down/*",
    "15-no-quorum/*",
    "17-delnode/*",
    "18-separate-node/*",
    "19-rejoin-same-name/*",
    "2*",
    "30-dual-link/*",
    "40-pmxcfs/*",
];

/// What such a past leaves.
const PAST: &[(&str, &str, &str)] = &[
    (r"(Config Version: +)\d+", "$1<VERSION>", "counts the changes of corosync.conf"),
    (r"(config_version: )\d+", "$1<VERSION>", "counts the changes of corosync.conf"),
    (r#"("config_version" ?: ?)"\d+""#, r#"$1"<VERSION>""#, "counts the changes of corosync.conf"),
    (r"(config_version \(u64\) = )\d+", "$1<VERSION>", "counts the changes of corosync.conf"),
    (r#"("config_digest" ?: ?)"[0-9a-f]{40}""#, r#"$1"<DIGEST>""#, "the digest covers the version"),
    (r#"("type" ?: ?"cluster",\s*"version" ?: ?)\d+"#, "$1<VERSION>", "counts the changes of corosync.conf"),
    (r#"("name": "oracle", "version": )\d+"#, "$1<VERSION>", "counts the changes of corosync.conf"),
    (r"(join_count \(u32\) = )\d+", "$1<NUMBER>", "counts how often a node came back"),
];

/// Transcripts that show counters of pmxcfs, which count every event since the daemon started.
const COUNTERS: &[(&str, &str, &str)] = &[
    (r#"(?m)^"version": \d+(,?)$"#, r#""version": <COUNT>$1"#, "pmxcfs counts every change that it sees"),
    (
        r#"(?s)"kvstore": \{\n.*\n\}\n\}\n"#,
        "<KVSTORE>\n",
        "what the status daemons broadcast: none of them runs on an emulated node",
    ),
    (r#"(?m)^("[a-zA-Z._/-]+"): \d+(,?\}?)$"#, "$1: <COUNT>$2", "pmxcfs counts every change that it sees"),
];

/// Keys whose numbers are those of the machine, not of PVE.
const MACHINE: &[&str] = &[
    "boot-info",
    "cpu",
    "cpuinfo",
    "current-kernel",
    "disk",
    "idle",
    "ksm",
    "kversion",
    "loadavg",
    "localtime",
    "maxcpu",
    "maxdisk",
    "maxmem",
    "mem",
    "memory",
    "pressurecpusome",
    "pressureiofull",
    "pressureiosome",
    "pressurememoryfull",
    "pressurememorysome",
    "rootfs",
    "swap",
    "time",
    "uptime",
    "wait",
    "netin",
    "netout",
    "diskread",
    "diskwrite",
    "memhost",
    "starttime",
    "endtime",
    "pid",
    "pstart",
];

/// Keys that hold a secret of the node.
const SECRETS: &[&str] = &["corosync_authkey", "pem", "notafter", "notbefore", "serial"];

/// Keys that hold a list in no order: joined by commas or blanks from a Perl hash.
const UNORDERED: &[&str] = &["content"];

type Rules = Vec<(Regex, &'static str)>;

fn compile(rules: &[(&str, &'static str, &str)]) -> Rules {
    rules.iter().map(|(pattern, with, _)| (Regex::new(pattern).expect("a valid rule"), *with)).collect()
}

static TEXT_RULES: LazyLock<Rules> = LazyLock::new(|| compile(TEXTS));
static PAST_RULES: LazyLock<Rules> = LazyLock::new(|| compile(PAST));
static COUNTER_RULES: LazyLock<Rules> = LazyLock::new(|| compile(COUNTERS));

/// What of an outcome must agree.
pub fn outcome(path: &str, outcome: &Outcome) -> Outcome {
    let of = |text: &str| stream(path, text);
    Outcome { exit: outcome.exit.clone(), stdout: of(&outcome.stdout), stderr: of(&outcome.stderr) }
}

fn stream(path: &str, text: &str) -> String {
    let is_counted =
        ["*/version", "*/members", "*/vmlist", "*/prep-guest"].iter().any(|name| fits(name, path));
    let text = match serde_json::from_str::<Value>(text) {
        // pmxcfs writes these by hand: there the order and the line breaks are part of it.
        _ if is_counted => text.to_owned(),
        Ok(value) if value.is_object() || value.is_array() => json(&value, text.trim().contains('\n')),
        _ => text.to_owned(),
    };
    let mut text = cells(&inner_json(&text));
    text = apply(&TEXT_RULES, text);
    if WITH_A_PAST.iter().any(|pattern| fits(pattern, path)) {
        text = apply(&PAST_RULES, text);
    }
    if is_counted || text.contains("\"nodename\":") {
        text = apply(&COUNTER_RULES, text);
    }
    sorted_lists(&text)
}

fn apply(rules: &Rules, text: String) -> String {
    rules.iter().fold(text, |text, (pattern, with)| pattern.replace_all(&text, *with).into_owned())
}

/// Lines that are JSON each, in the output of several commands.
fn inner_json(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match serde_json::from_str::<Value>(line) {
        Ok(value) if value.is_object() || value.is_array() => json(&value, false),
        _ => line.to_owned(),
    });
    lines.collect()
}

/// JSON in a cell of a table, as `pvesh` draws them: the list in it has no order either, and the same width in any.
fn cells(text: &str) -> String {
    static CELLS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^(│[^│]*│ )(\[\{.*\}\])( *│)$").expect("a valid rule"));
    let settled = |found: &Captures<'_>| match serde_json::from_str::<Value>(&found[2]) {
        Ok(mut value) => {
            settle(&mut value);
            format!("{}{value}{}", &found[1], &found[3])
        }
        Err(_) => found[0].to_owned(),
    };
    CELLS.replace_all(text, settled).into_owned()
}

/// Perl orders the keys of a hash anew in each process, and what it lists from one; whether the text is indented
/// stays a difference.
fn json(value: &Value, is_indented: bool) -> String {
    let mut value = value.clone();
    settle(&mut value);
    // Both over several lines, so that a difference shows where it is.
    format!("{} {value:#}\n", if is_indented { "indented" } else { "compact" })
}

fn settle(value: &mut Value) {
    match value {
        Value::Array(list) => {
            list.iter_mut().for_each(settle);
            // A list of objects is listed from a hash; a list of words or numbers has its order.
            if list.iter().all(Value::is_object) {
                list.sort_by_key(Value::to_string);
            }
        }
        Value::Object(map) => {
            map.sort_keys();
            for (key, inner) in map.iter_mut() {
                settle(inner);
                let text = inner.as_str().unwrap_or_default();
                if MACHINE.contains(&key.as_str()) {
                    forget(inner);
                } else if SECRETS.contains(&key.as_str()) {
                    *inner = Value::from("<SECRET>");
                } else if UNORDERED.contains(&key.as_str()) {
                    let mut words: Vec<&str> = text.split(',').collect();
                    words.sort_unstable();
                    *inner = Value::from(words.join(","));
                }
            }
        }
        _ => {}
    }
}

/// Keeps the keys, not what they are worth.
fn forget(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(forget),
        Value::Object(map) => map.values_mut().for_each(forget),
        _ => *value = Value::from("<MACHINE>"),
    }
}

/// What is listed from a hash, in no order: neighbouring lines `* …` of Perl's errors, the nodes of `.members`.
fn sorted_lists(text: &str) -> String {
    static LISTS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?m)(?:^\* .*\n){2,}|(?:^  "[a-z0-9]+": \{ "id": .*\n){2,}"#).expect("a valid rule")
    });
    let sort = |found: &Captures<'_>| {
        let mut lines: Vec<&str> = found[0].lines().map(|line| line.trim_end_matches(',')).collect();
        lines.sort_unstable();
        format!("{}\n", lines.join("\n"))
    };
    LISTS.replace_all(text, sort).into_owned()
}
