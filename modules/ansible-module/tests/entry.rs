//! The whole program as Ansible starts it: exactly one JSON object, whatever happens.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

/// The example `probe`, built here, because cargo builds no examples for a single test.
fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let command = ["build", "--quiet", "--package", "ansible-module", "--example", "probe"];
        let built = Command::new(env!("CARGO"))
            .args(command)
            .args(["--message-format", "json"])
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "cargo {} failed", command.join(" "));
        let messages = String::from_utf8(built.stdout).expect("UTF-8");
        let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut paths = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
        paths.next_back().expect("cargo names what it built")
    })
}

fn start(arguments: &[&str]) -> Child {
    Command::new(probe())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the probe starts")
}

fn feed(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = start(arguments);
    // The module may end before it has read everything.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("the probe ends")
}

fn only_object(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
    let value: Value = serde_json::from_str(text).expect("JSON");
    assert!(value.is_object());
    assert_eq!(output.status.code(), Some(i32::from(value["failed"] == true)), "{text}");
    value
}

fn run(arguments: &Value) -> Value {
    only_object(&feed(&["-"], arguments.to_string().as_bytes()))
}

#[test]
fn broken_input_gives_one_failed_object_that_does_not_quote_it() {
    let deep = "[".repeat(100_000);
    let deep_object = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    let cases: [(&[u8], &str); 9] = [
        (b"", "empty: a JSON object is needed"),
        (b" \n", "empty: a JSON object is needed"),
        (b"{\"token\": \"hush\"", "the JSON text ends early at line 1 column 16"),
        (b"{\"token\": hush}", "invalid JSON at line 1 column 11"),
        (b"{} {}", "invalid JSON at line 1 column 4"),
        (b"[\"hush\"]", "a JSON object is needed, not a list"),
        (b"{\"text\": \"\xff\xfe\"}", "not UTF-8 from byte 10 on"),
        (deep.as_bytes(), "JSON nested too deeply at line 1 column 128"),
        (deep_object.as_bytes(), "JSON nested too deeply at line 1 column 636"),
    ];
    for (input, why) in cases {
        let result = only_object(&feed(&["-"], input));
        assert_eq!(
            result["msg"],
            format!("cannot use the module's arguments from standard input: {why}"),
            "{}",
            String::from_utf8_lossy(&input[..input.len().min(40)])
        );
        assert_eq!(result["failed"], true);
    }
}

#[test]
fn huge_input_is_refused() {
    let mut input = b"{\"text\": \"".to_vec();
    input.resize(100 << 20, b'x');
    let result = only_object(&feed(&["-"], &input));
    assert_eq!(
        result["msg"],
        "cannot use the module's arguments from standard input: more than 32 MiB: hand over less"
    );
}

#[test]
fn a_missing_file_is_named() {
    let result = only_object(&feed(&["/no/such/args"], b""));
    let msg = "cannot read the module's arguments from file \"/no/such/args\": No such file or directory (os error 2)";
    assert_eq!(result["msg"], msg);
}

#[test]
fn a_panic_is_a_failure_without_its_secrets() {
    let result = run(&json!({"action": "panic", "token": "sesame", "text": "a"}));
    let msg = result["msg"].as_str().expect("text");
    assert!(msg.starts_with("internal error: a defect with \"********\" at "), "{msg}");
    assert!(msg.ends_with(": please report it"), "{msg}");
}

#[test]
fn an_error_says_its_whole_chain() {
    let result = run(&json!({"action": "error"}));
    assert_eq!(result["msg"], "No such file or directory (os error 2)");
}

#[test]
fn panics_of_many_threads_at_once_give_one_object() {
    for _ in 0..20 {
        let result = run(&json!({"action": "race"}));
        let msg = result["msg"].as_str().expect("text");
        assert!(msg.starts_with("internal error: a defect in a thread at "), "{msg}");
    }
}

#[test]
fn signals_end_a_run_with_one_failed_object() {
    for (signal, name) in [("-TERM", "SIGTERM"), ("-HUP", "SIGHUP"), ("-INT", "SIGINT")] {
        let (result, _) = interrupted("wait", signal);
        assert_eq!(result["msg"], format!("interrupted by {name} before the end: run the task again"));
        assert_eq!(result["failed"], true);
    }
}

#[test]
fn a_signal_waits_for_a_step_that_holds_it_off_and_no_next_step_begins() {
    for _ in 0..5 {
        let (result, errors) = interrupted("step", "-TERM");
        assert_eq!(errors, "step done\n");
        assert_eq!(result["msg"], "interrupted by SIGTERM before the end: run the task again");
    }
}

/// The result of a run that a signal hits, and what it wrote to standard error afterwards.
fn interrupted(action: &str, signal: &str) -> (Value, String) {
    let mut child = start(&["-"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(json!({"action": action}).to_string().as_bytes()).expect("written");
    drop(stdin);
    let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut ready = String::new();
    errors.read_line(&mut ready).expect("the module starts");
    assert_eq!(ready, "under way\n");
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let mut rest = String::new();
    errors.read_to_string(&mut rest).expect("read");
    (only_object(&child.wait_with_output().expect("the probe ends")), rest)
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let mut child = start(&["-"]);
    drop(child.stdout.take());
    child.stdin.take().expect("a pipe").write_all(b"{}").expect("written");
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("read");
    assert_eq!(errors, "");
    assert_eq!(child.wait().expect("the probe ends").code(), Some(0));
}

#[test]
fn the_result_is_ansibles() {
    let result = run(&json!({
        "action": "change", "text": "say hush", "token": "hush", "peers": [{"name": "a", "key": "k3y"}],
        "_ansible_diff": true, "_ansible_module_name": "a.b.probe", "_ansible_check_mode": "no",
        "_ansible_some_future_thing": [1],
    }));
    let masked = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";
    let params = json!({
        "action": "change", "text": "say ********", "token": masked, "number": 7, "found": null,
        "peers": [{"name": "a", "key": masked}],
    });
    assert_eq!(
        result,
        json!({
            "changed": true,
            "msg": "done",
            "text": "say ********",
            "params": params,
            "diff": {
                "before": "old\n", "after": "new\n", "before_header": "/some/file", "after_header": "/some/file"
            },
            "warnings": ["watch out"],
            "invocation": {"module_args": params},
        })
    );
}

#[test]
fn a_diff_and_the_invocation_appear_only_when_asked_for() {
    let result = run(&json!({"action": "change", "_ansible_inject_invocation": false}));
    assert_eq!(result.get("diff"), None);
    assert_eq!(result.get("invocation"), None);
}

#[test]
fn a_secret_of_run_time_is_scrubbed_everywhere() {
    let result = run(&json!({"found": "s3cret", "text": "the s3cret word", "token": "x-s3cret-x"}));
    assert!(!result.to_string().contains("s3cret"), "{result}");
    assert_eq!(result["text"], "the ******** word");
}

#[test]
fn an_unknown_option_is_refused_in_ansibles_words_and_its_value_hidden() {
    let result = run(
        &json!({"tokne": "hush", "peers": [{"name": "a", "kye": "hush"}], "_ansible_module_name": "a.b.probe"}),
    );
    assert_eq!(
        result["msg"],
        "Unsupported parameters for (a.b.probe) module: peers.kye, tokne. Supported parameters include: key, name."
    );
    assert!(!result.to_string().contains("hush"), "{result}");
}

#[test]
fn unknown_options_pass_where_ansible_says_so() {
    let result = run(&json!({"colour": "red", "_ansible_ignore_unknown_opts": true}));
    assert_eq!(result["msg"], "done");
}

#[test]
fn a_module_without_check_mode_is_skipped_in_it() {
    let result = run(&json!({"_ansible_module_name": "a.b.blind", "_ansible_check_mode": true}));
    let expected = json!({
        "skipped": true, "changed": false, "invocation": {"module_args": {}},
        "msg": "remote module (a.b.blind) does not support check mode",
    });
    assert_eq!(result, expected);
}

#[test]
fn the_module_is_found_by_every_name_ansible_gives_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let arguments = dir.path().join("args");
    std::fs::write(&arguments, "{}").expect("written");
    for name in ["blind", "AnsiballZ_blind"] {
        let link = dir.path().join(name);
        std::os::unix::fs::symlink(probe(), &link).expect("linked");
        let output = Command::new(&link).arg(&arguments).output().expect("runs");
        assert_eq!(only_object(&output)["msg"], "blind", "{name}");
    }
    assert_eq!(only_object(&feed(&["blind", "-"], b"{}"))["msg"], "blind");
    assert_eq!(
        only_object(&feed(&["blind", "-"], br#"{"_ansible_module_name": "x.y.probe"}"#))["msg"],
        "done"
    );
    let other = dir.path().join("other");
    std::os::unix::fs::symlink(probe(), &other).expect("linked");
    let output = Command::new(&other).arg(&arguments).output().expect("runs");
    assert_eq!(only_object(&output)["msg"], "no module \"other\" here: this program has probe, blind");
    let output = Command::new(&other).args(["prope", "--help"]).output().expect("runs");
    assert_eq!(only_object(&output)["msg"], "there is no module \"prope\": this program has probe, blind");
}

#[test]
fn a_person_is_helped() {
    let text = |arguments: &[&str]| String::from_utf8(feed(arguments, b"").stdout).expect("UTF-8");
    assert!(text(&["--help"]).starts_with("probe: Probe the protocol\n"));
    assert!(text(&["blind"]).starts_with("blind: Knows no check mode\n"));
    assert_eq!(text(&["--version"]), format!("probe {}\n", env!("CARGO_PKG_VERSION")));
    let spec: Value = serde_json::from_str(&text(&["probe", "--argspec"])).expect("JSON");
    assert_eq!(spec["argument_spec"]["peers"]["options"]["name"], json!({"type": "str", "required": true}));
    assert_eq!(spec["required_together"], json!([["text", "token"]]));
    assert_eq!(
        only_object(&feed(&["--nonsense"], b""))["msg"],
        "unknown option \"--nonsense\": see probe --help"
    );
}
