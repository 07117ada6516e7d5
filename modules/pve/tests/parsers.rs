//! Every parser of another program's text, fed with what that program never prints: the recorded transcripts cut,
//! doubled and mixed, text without end, text nested without end. None panics, none hangs.
//!
//! `PROPTEST_CASES=20000` looks longer; `PARSER_MIB=32` hands over as much as the host seam lets through.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use pve::corosync_conf::CorosyncConf;
use pve::{
    base64, certificate, cfgtool, credential, https, knet, names, network, operation, packages, pmxcfs,
    quorumtool, reload, seal, services, ssh_keys, sshd, time_sync,
};

/// A parser, its result thrown away.
type Parser = (&'static str, fn(&str));

const PARSERS: &[Parser] = &[
    ("corosync.conf", |text| {
        if let Ok(conf) = CorosyncConf::parse(text) {
            // What was understood is written, nodes and links in their order, as something that is understood the same.
            let written = conf.render();
            assert_eq!(CorosyncConf::parse(&written).expect("our own text").render(), written, "{text:?}");
        }
    }),
    ("corosync-quorumtool -s", |text| _ = quorumtool::parse(text)),
    ("corosync-cfgtool -s", |text| _ = cfgtool::parse_status(text)),
    ("corosync-cfgtool -n", |text| _ = cfgtool::parse_nodes(text)),
    ("corosync-cmapctl runtime.members", |text| _ = reload::parse(text)),
    ("corosync-cmapctl -m stats", |text| _ = knet::parse(text)),
    (".members", |text| _ = pmxcfs::Members::parse(text)),
    (".version", |text| _ = pmxcfs::parse_versions(text)),
    (".vmlist", |text| _ = pmxcfs::parse_guests(text, "pve1")),
    ("ip -json address", |text| _ = network::parse(text)),
    ("systemctl show", |text| _ = services::parse(text)),
    ("sshd -T", |text| _ = sshd::parse(text)),
    ("getent ahosts", |text| _ = names::parse(text)),
    ("chronyc -c tracking", |text| _ = time_sync::parse_tracking(text)),
    ("timedatectl show", |text| _ = time_sync::parse_timedatectl(text)),
    ("a host key", |text| _ = ssh_keys::parse(text)),
    ("a version", |text| _ = packages::major(text)),
    ("base64", |text| _ = base64::decode(text)),
    ("a certificate", |text| _ = certificate::fingerprint_of_pem(text)),
    ("the end of a certificate", |text| _ = certificate::end_of_der(text.as_bytes())),
    ("a fingerprint", |text| _ = text.parse::<https::Fingerprint>()),
    ("a public key", |text| _ = seal::parse_public_key(text)),
    ("an HTTP answer", |text| _ = https::parse_answer(text.as_bytes())),
    ("a join token", |text| _ = credential::token::Token::parse(&text.into())),
    ("a journal", |text| _ = serde_json::from_str::<operation::Journal>(text)),
];

/// Texts that the programs print, besides the recorded ones.
const MORE: [&str; 8] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"data\":null}",
    "7F7F0101,,10,1795000000.123456789,0.000001,-0.000002,0.1,1.5,0.01,0.02,0.1,0.0,64.0,Normal\n",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIDzqttti/Nn0HimUx9yknLMMw19HdMupmXXUuejQ/Tu root@pve1\n",
    "10.0.0.1      STREAM pve1\n10.0.0.1      DGRAM\n",
    "authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\npermitrootlogin yes\n",
    "Id=corosync.service\nActiveState=active\nUnitFileState=enabled\n\nId=x.service\nActiveState=inactive\n",
    "[{\"ifname\":\"vmbr0\",\"flags\":[\"UP\"],\"addr_info\":[{\"local\":\"10.0.0.1\",\"prefixlen\":24}]}]",
    "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----\n",
];

/// Words that mean something to one parser or another, and numbers that fit no type.
const WORDS: [&str; 24] = [
    "{",
    "}",
    "{\n",
    "}\n",
    ":",
    "=",
    "\n",
    " ",
    ",",
    "\"",
    "[",
    "]",
    "LINK ID ",
    "nodeid:",
    "Node ID: ",
    "Quorate: ",
    "node {",
    "-1",
    "99999999999999999999999",
    "0x",
    "\u{0}",
    "\u{fffd}",
    "\u{1f600}",
    "Content-Length: ",
];

/// Everything that was recorded, as standard output would be handed over.
fn corpus() -> &'static [String] {
    static CORPUS: OnceLock<Vec<String>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let mut texts: Vec<String> = MORE.map(str::to_owned).into();
        read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), &mut texts);
        assert!(texts.len() > 50, "{} texts", texts.len());
        texts
    })
}

fn read_all(dir: &Path, texts: &mut Vec<String>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read_all(&path, texts);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a transcript");
        let body = text.split("===== stdout =====\n").nth(1).unwrap_or(&text);
        let body = body.split("===== stderr =====").next().unwrap_or(body);
        // Several files were printed one after the other: the first ends where an empty line follows a brace.
        texts.extend(body.rfind("}\n\n").map(|at| body[..at + 3].to_owned()));
        texts.push(body.to_owned());
    }
}

/// One change of a text: what, where, how long, and a word or another text.
type Change = (u8, f64, usize, usize);

fn change(text: &str, (what, place, length, other): Change) -> String {
    let boundary =
        |at: usize| (at.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = boundary((text.len() as f64 * place) as usize);
    let end = boundary(start + length);
    let (before, middle, after) = (&text[..start], &text[start..end], &text[end..]);
    match what % 6 {
        0 => format!("{before}{after}"),
        1 => before.to_owned(),
        2 => format!("{before}{middle}{middle}{after}"),
        3 => format!("{before}{}{middle}{after}", WORDS[other % WORDS.len()]),
        4 => format!("{before}{}{after}", WORDS[other % WORDS.len()]),
        _ => {
            let other = &corpus()[other % corpus().len()];
            let from = (0..=other.len() / 2).rev().find(|at| other.is_char_boundary(*at)).unwrap_or(0);
            format!("{before}{}{after}", &other[from..])
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_transcript_makes_a_parser_panic(
        seed in 0_usize..1000,
        changes in proptest::collection::vec((any::<u8>(), 0.0..1.0_f64, 0_usize..60, 0_usize..1000), 1..6),
    ) {
        let text = corpus()[seed % corpus().len()].clone();
        let text = changes.into_iter().fold(text, |text, one| change(&text, one));
        for (_, parse) in PARSERS {
            parse(&text);
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = https::parse_answer(&bytes);
        // As the host seam hands over what is not UTF-8.
        let text = String::from_utf8_lossy(&bytes);
        for (_, parse) in PARSERS {
            parse(&text);
        }
    }
}

#[test]
fn the_recorded_texts_are_understood() {
    let understood = |is: fn(&str) -> bool| corpus().iter().filter(|text| is(text)).count();
    assert!(understood(|text| quorumtool::parse(text).is_some()) > 5);
    assert!(
        understood(|text| cfgtool::parse_status(text).is_some_and(|status| !status.links.is_empty())) > 5
    );
    assert!(understood(|text| pmxcfs::Members::parse(text).is_ok()) > 2);
    assert!(
        understood(|text| CorosyncConf::parse(text).is_ok_and(|conf| conf.render().contains("totem"))) > 2
    );
}

/// Texts that have no end, or no bottom.
fn giants() -> Vec<(&'static str, String)> {
    let size = std::env::var("PARSER_MIB").ok().and_then(|size| size.parse().ok()).unwrap_or(1) << 20;
    let of = |unit: &str| unit.repeat(size / unit.len());
    let mut unlike = String::with_capacity(size + 40);
    let mut number = 0_u64;
    while unlike.len() < size {
        number += 1;
        unlike.push_str(&format!("10.{number} STREAM\n"));
    }
    let half = size / 2;
    vec![
        ("one line", of("x")),
        ("empty lines", of("\n")),
        ("lines that differ", unlike),
        ("sections inside of sections", of("a {\n")),
        ("the same, closed", format!("{}{}", "a {\n".repeat(half / 4), "}\n".repeat(half / 4))),
        ("sections beside each other", of("node {\n}\n")),
        ("lists inside of lists", of("[")),
        ("mappings inside of mappings", of("{\"a\":")),
        (
            "links",
            format!("Local node ID 1, transport knet\n{}", of("LINK ID 0 udp\n\tnodeid: 1: connected\n")),
        ),
        ("members", format!("Quorate: Yes\n{}", of("0x00000001 1 pve1\n"))),
        ("keys and values", of("a: b\n")),
        ("digits", of("9")),
        ("commas", of(",")),
    ]
}

#[test]
fn text_without_end_or_bottom_takes_neither_the_stack_nor_forever() {
    for (what, text) in giants() {
        for (name, parse) in PARSERS {
            let start = Instant::now();
            parse(&text);
            let limit = Duration::from_secs(20 + 5 * (text.len() as u64 >> 20));
            assert!(start.elapsed() < limit, "{name} took {:?} for {what}", start.elapsed());
        }
    }
}
