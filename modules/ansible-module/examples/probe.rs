//! A module for tests of the entry: it does what its options tell it to, so that every way to end can be seen.

use std::sync::{Arc, Barrier};

use ansible_module::{
    Diff, Failure, Invocation, Kind, Module, Opt, Outcome, Relations, Ret, Spec, interrupt, redact,
};

static OPTIONS: &[Opt] = &[
    Opt::new("action", Kind::Str, &["What to do."])
        .choices(&["ok", "change", "fail", "panic", "race", "wait", "step", "error"])
        .default_text("ok"),
    Opt::new("text", Kind::Str, &["Returned as O(text)."]).aliases(&["words"]),
    Opt::new("token", Kind::Str, &["A secret."]).no_log(),
    Opt::new("number", Kind::Int, &["A number."]).default("7"),
    Opt::new("peers", Kind::List, &["Peers."]).elements(Kind::Dict).options(&[
        Opt::new("name", Kind::Str, &["Its name."]).required(),
        Opt::new("key", Kind::Str, &["Its key."]).no_log(),
    ]),
    Opt::new("found", Kind::Str, &["Made a secret at run time."]),
];

static SPEC: Spec = Spec {
    options: OPTIONS,
    relations: Relations { required_together: &[&["text", "token"]], ..Relations::NONE },
    supports_check_mode: true,
    supports_diff: true,
    examples: "- name: Probe the protocol\n  example.test.probe:\n    action: ok\n",
    returns: &[Ret::new("text", Kind::Str, &["What was given."]).returned("success").sample("\"hello\"")],
    author: &["Example Author (@example)"],
    ..Spec::new("probe", "Probe the protocol", &["Does what it is told."])
};

static BLIND: Spec = Spec::new("blind", "Knows no check mode", &["Always the same."]);

fn probe(call: &Invocation) -> Result<Outcome, Failure> {
    if let Some(found) = call.params["found"].as_str() {
        redact::add(found);
    }
    let outcome = Outcome::unchanged("done").with("text", &call.params["text"]).with("params", &call.params);
    match call.params["action"].as_str().unwrap_or_default() {
        "change" => Ok(Outcome { changed: true, ..outcome }
            .diff(Diff::text("/some/file", "old\n", "new\n"))
            .warn("watch out")),
        "fail" => Err(Failure::new("it failed: try again").with("reason", "because")),
        "panic" => panic!("a defect with {}", call.params["token"]),
        "wait" => {
            eprintln!("under way");
            loop {
                std::thread::park();
            }
        }
        "step" => {
            let _step = interrupt::hold_off();
            eprintln!("under way");
            while !interrupt::is_interrupted() {
                std::thread::park_timeout(std::time::Duration::from_millis(10));
            }
            eprintln!("step done");
            Ok(outcome)
        }
        "race" => {
            let together = Arc::new(Barrier::new(8));
            for _ in 0..8 {
                let together = Arc::clone(&together);
                std::thread::spawn(move || {
                    together.wait();
                    panic!("a defect in a thread");
                });
            }
            loop {
                std::thread::park();
            }
        }
        "error" => {
            std::fs::read("/no/such/file")?;
            Ok(outcome)
        }
        _ => Ok(outcome),
    }
}

fn main() {
    static PROBE: Module = Module { spec: &SPEC, run: probe };
    static BLIND_MODULE: Module = Module { spec: &BLIND, run: |_| Ok(Outcome::unchanged("blind")) };
    ansible_module::main(&[&PROBE, &BLIND_MODULE])
}
