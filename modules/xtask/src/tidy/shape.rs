//! What every file owes its reader: a header, a bounded length, a telling name, no silenced checks.

use super::Finding;
use super::sources::Source;

/// A file has fewer lines than this.
const LINES: usize = 400;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "helpers", "common", "misc", "manager"];

/// Files stay short; what is generated or recorded is as long as it is.
pub fn short_files(sources: &[Source]) -> Vec<Finding> {
    let is_ours = |source: &&Source| {
        ["rs", "py", "yml", "yaml", "sh"].iter().any(|extension| source.is(extension))
            && !["/fixtures/", "/golden/", "collection/plugins/modules/", "changelogs/"]
                .iter()
                .any(|at| source.path.contains(at))
    };
    let too_long = sources.iter().filter(is_ours).filter_map(|source| {
        let count = source.lines().count();
        (count >= LINES)
            .then(|| finding(source, count, format!("has {count} lines, the limit is {LINES}: split it")))
    });
    too_long.collect()
}

/// A Rust file begins with what it owns.
pub fn file_header(sources: &[Source]) -> Vec<Finding> {
    let sources = sources.iter().filter(|source| source.is("rs"));
    let bare = sources.filter(|source| !source.text.starts_with("//!"));
    bare.map(|source| {
        finding(source, 1, "begins without `//!`: say what the file owns and must not know".into())
    })
    .collect()
}

/// A name says what is inside.
pub fn telling_names(sources: &[Source]) -> Vec<Finding> {
    let empty = sources.iter().filter_map(|source| {
        let name = source.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        let name = name.into_iter().find(|part| EMPTY_NAMES.contains(part))?;
        Some(finding(source, 1, format!("{name:?} says nothing: name it after what it does")))
    });
    empty.collect()
}

/// The lints of the workspace hold everywhere; tests in their own files may unwrap.
pub fn no_silenced_lints(sources: &[Source]) -> Vec<Finding> {
    let lints = ["unwrap_used", "unsafe_code", "warnings", "clippy::all", "missing_docs"];
    let sources = sources.iter().filter(|source| source.is("rs"));
    let lines = sources.flat_map(|source| source.program_lines().map(move |line| (source, line)));
    let silenced = lines.filter_map(|(source, (number, line))| {
        let inside = line.split_once("allow(")?.1;
        let lint = lints.iter().find(|lint| line.starts_with("#") && inside.contains(**lint))?;
        Some(finding(source, number, format!("silences {lint}")))
    });
    silenced.collect()
}

/// Where packages come from is the machine's own setting (apt, pip, cargo).
pub fn no_registry_hosts(sources: &[Source]) -> Vec<Finding> {
    // In two parts, so that this file holds none of them.
    let hosts = [
        concat!("deb.", "debian.org"),
        concat!("security.", "debian.org"),
        concat!("snapshot.", "debian.org"),
        concat!("pypi.", "org"),
        concat!("python", "hosted.org"),
        concat!("static.", "crates.io"),
        concat!("index.", "crates.io"),
        concat!("registry-1.", "docker.io"),
    ];
    let lines = sources.iter().flat_map(|source| source.lines().map(move |line| (source, line)));
    let named = lines.filter_map(|(source, (number, line))| {
        let host = hosts.iter().find(|host| line.contains(**host))?;
        Some(finding(
            source,
            number,
            format!("names the registry {host}: read it from the machine's settings"),
        ))
    });
    named.collect()
}

/// The same dependencies everywhere.
pub fn locked_dependencies(sources: &[Source]) -> Vec<Finding> {
    if sources.iter().any(|source| source.path == "Cargo.lock") {
        return Vec::new();
    }
    vec![Finding { path: "Cargo.lock".into(), line: 1, what: "is not in the repository".into() }]
}

fn finding(source: &Source, line: usize, what: String) -> Finding {
    Finding { path: source.path.clone(), line, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&[Source]) -> Vec<Finding>, path: &str, text: &str) -> usize {
        rule(&[Source { path: path.into(), text: text.into() }]).len()
    }

    #[test]
    fn a_long_file_is_found_unless_generated() {
        let text = "x\n".repeat(400);
        assert_eq!(found(short_files, "modules/pve/src/a.rs", &text), 1);
        assert_eq!(found(short_files, "modules/pve/src/a.rs", &text[2..]), 0);
        assert_eq!(found(short_files, "collection/plugins/modules/pve_x.py", &text), 0);
    }

    #[test]
    fn a_rust_file_without_header_is_found() {
        assert_eq!(found(file_header, "modules/pve/src/a.rs", "use std::fs;\n"), 1);
        assert_eq!(found(file_header, "modules/pve/src/a.rs", "//! Owns a.\n"), 0);
    }

    #[test]
    fn an_empty_name_is_found_in_files_and_folders() {
        assert_eq!(found(telling_names, "modules/pve/src/utils.rs", ""), 1);
        assert_eq!(found(telling_names, "modules/pve/src/common/a.rs", ""), 1);
        assert_eq!(found(telling_names, "collection/plugins/plugin_utils/_binary.py", ""), 0);
    }

    #[test]
    fn a_silenced_lint_is_found() {
        assert_eq!(found(no_silenced_lints, "modules/pve/src/a.rs", "#![allow(clippy::unwrap_used)]\n"), 1);
        assert_eq!(found(no_silenced_lints, "modules/pve/tests/a.rs", "#![allow(clippy::unwrap_used)]\n"), 0);
        assert_eq!(found(no_silenced_lints, "modules/pve/src/a.rs", "#[allow(clippy::too_many_lines)]\n"), 0);
    }

    #[test]
    fn a_registry_host_is_found() {
        assert_eq!(found(no_registry_hosts, "README.md", concat!("from https://", "pypi.", "org/simple")), 1);
        assert_eq!(found(no_registry_hosts, "README.md", "the package docker.io"), 0);
    }

    #[test]
    fn a_missing_lock_file_is_found() {
        assert_eq!(found(locked_dependencies, "Cargo.toml", ""), 1);
        assert_eq!(found(locked_dependencies, "Cargo.lock", ""), 0);
    }
}
