//! Transcripts of a genuine PVE 9.1 cluster (tests/golden): header lines, then sections.

use std::path::PathBuf;

/// The standard output of a case, such as `12-three-nodes/pve1/quorumtool-s`.
pub fn stdout(case: &str) -> String {
    section(case, "stdout")
}

/// The standard error of a case.
pub fn stderr(case: &str) -> String {
    section(case, "stderr")
}

/// The exit code of a case.
pub fn exit(case: &str) -> i32 {
    let text = text(case);
    let line = text.lines().find_map(|line| line.strip_prefix("# exit: "));
    line.and_then(|code| code.trim().parse().ok()).unwrap_or_else(|| panic!("{case} has no exit code"))
}

/// The file that a case's `cat` printed, without what its command printed after it.
pub fn file_in(case: &str) -> String {
    let text = stdout(case);
    // corosync.conf ends with an empty line, which nothing printed behind it holds a second time.
    match text.rfind("}\n\n") {
        Some(at) => text[..at + 3].to_owned(),
        None => text,
    }
}

fn section(case: &str, name: &str) -> String {
    let text = text(case);
    let head = format!("===== {name} =====\n");
    let start = text.find(&head).unwrap_or_else(|| panic!("{case} has no {name}")) + head.len();
    let rest = &text[start..];
    let body = &rest[..rest.find("\n===== ").map_or(rest.len(), |at| at + 1)];
    let body = if rest.starts_with("===== ") { "" } else { body };
    body.strip_suffix("\n\\ no newline at end\n").unwrap_or(body).to_owned()
}

fn text(case: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{case}.txt"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
