//! Who may know what: the protocol no PVE, the PVE crate no Ansible, and neither the host but through its seam.

use super::Finding;
use super::sources::Source;

/// Crates whose code runs on a node.
const NODE_CRATES: [&str; 3] = ["modules/ansible-module/", "modules/pve/", "modules/pve-modules/"];
/// The host seam: the one place that starts programs, opens absolute paths and reads the clock.
const SEAM: &str = "modules/pve/src/node";
/// What `~` in an option of type path stands for: the protocol has to know, and a static binary has no NSS.
const HOMES: [&str; 2] = ["\"/etc/passwd\"", "\"/proc/self\""];

/// The protocol crate is of use to any binary module.
pub fn protocol_knows_no_pve(sources: &[Source]) -> Vec<Finding> {
    mentions(sources, "modules/ansible-module/", &["pve", "proxmox", "corosync"])
}

/// The PVE crate is of use to any program on a node.
pub fn pve_knows_no_ansible(sources: &[Source]) -> Vec<Finding> {
    mentions(sources, "modules/pve/", &["ansible"])
}

/// Programs are started by the seam only: fixed environment, deadline, no shell.
pub fn programs_through_host_seam(sources: &[Source]) -> Vec<Finding> {
    let words = ["process::Command", "Command::new(", "\"/bin/sh\"", "\"sh\", \"-c\"", "\"bash\""];
    beyond_seam(sources, |text| first(&words, text, "starts a program beyond the host seam"))
}

/// Absolute paths are joined onto the seam's root, so that a test can bring its own.
pub fn files_through_host_seam(sources: &[Source]) -> Vec<Finding> {
    let openers = ["fs::", "Path::new(", "PathBuf::from(", "File::"];
    let opens = |text: &str| {
        let opener = openers.iter().find(|opener| text.contains(**opener))?;
        text.contains("(\"/").then(|| format!("opens an absolute path beyond the host seam: {opener}"))
    };
    let mut found = beyond_seam(sources, opens);
    let lines = |finding: &Finding| {
        let source = sources.iter().find(|source| source.path == finding.path)?;
        source.lines().nth(finding.line - 1).map(|(_, text)| text)
    };
    found.retain(|finding| {
        let is_home = lines(finding).is_some_and(|text| HOMES.iter().any(|path| text.contains(path)));
        !(finding.path.starts_with("modules/ansible-module/") && is_home)
    });
    found
}

/// Time comes from the seam's clock; a wait has a condition and a deadline.
pub fn time_through_host_seam(sources: &[Source]) -> Vec<Finding> {
    let words = ["thread::sleep(", "SystemTime::now(", "Instant::now("];
    let mut found =
        beyond_seam(sources, |text| first(&words, text, "reads the clock or sleeps beyond the host seam"));
    // The protocol measures itself: it has no host and no seam.
    found.retain(|finding| {
        !finding.path.starts_with("modules/ansible-module/") || finding.what.contains("sleep(")
    });
    found
}

fn mentions(sources: &[Source], folder: &str, words: &[&str]) -> Vec<Finding> {
    let sources = sources.iter().filter(|source| source.path.starts_with(folder) && source.is("rs"));
    let lines = sources.flat_map(|source| source.program_lines().map(move |line| (source, line)));
    lines
        .filter_map(|(source, (line, text))| {
            let lower = text.to_lowercase();
            let word = words.iter().find(|word| lower.contains(**word))?;
            Some(Finding { path: source.path.clone(), line, what: format!("mentions {word:?}") })
        })
        .collect()
}

fn first(words: &[&str], text: &str, what: &str) -> Option<String> {
    let word = words.iter().find(|word| text.contains(**word))?;
    Some(format!("{what}: {word}"))
}

fn beyond_seam(sources: &[Source], judge: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let is_bound = |path: &str| NODE_CRATES.iter().any(|of| path.starts_with(of)) && !path.starts_with(SEAM);
    let sources = sources.iter().filter(|source| is_bound(&source.path) && source.is("rs"));
    let lines = sources.flat_map(|source| source.program_lines().map(move |line| (source, line)));
    lines
        .filter_map(|(source, (line, text))| {
            Some(Finding { path: source.path.clone(), line, what: judge(text)? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&[Source]) -> Vec<Finding>, path: &str, text: &str) -> usize {
        rule(&[Source { path: path.into(), text: text.into() }]).len()
    }

    #[test]
    fn the_protocol_must_not_mention_pve() {
        assert_eq!(found(protocol_knows_no_pve, "modules/ansible-module/src/a.rs", "let pve_node = 1;\n"), 1);
        assert_eq!(found(protocol_knows_no_pve, "modules/ansible-module/src/a.rs", "//! Knows no PVE.\n"), 0);
        assert_eq!(found(protocol_knows_no_pve, "modules/pve/src/a.rs", "let pve_node = 1;\n"), 0);
    }

    #[test]
    fn the_pve_crate_must_not_mention_ansible() {
        assert_eq!(found(pve_knows_no_ansible, "modules/pve/src/a.rs", "use ansible_module::Spec;\n"), 1);
        assert_eq!(
            found(pve_knows_no_ansible, "modules/pve-modules/src/a.rs", "use ansible_module::Spec;\n"),
            0
        );
    }

    #[test]
    fn programs_are_started_by_the_seam_only() {
        let text = "use std::process::Command;\nlet x = Command::new(\"pvecm\");\n";
        assert_eq!(found(programs_through_host_seam, "modules/pve-modules/src/a.rs", text), 2);
        assert_eq!(found(programs_through_host_seam, "modules/pve/src/node/real.rs", text), 0);
        assert_eq!(found(programs_through_host_seam, "modules/xtask/src/a.rs", text), 0);
    }

    #[test]
    fn absolute_paths_are_opened_by_the_seam_only() {
        for text in
            ["fs::read_to_string(\"/etc/hosts\")", "Path::new(\"/etc\")", "fs::remove_dir_all(\"/etc\")"]
        {
            assert_eq!(found(files_through_host_seam, "modules/pve/src/a.rs", text), 1, "{text}");
        }
        let homes = "std::fs::read(\"/etc/passwd\")";
        assert_eq!(found(files_through_host_seam, "modules/ansible-module/src/a.rs", homes), 0);
        assert_eq!(found(files_through_host_seam, "modules/pve/src/a.rs", homes), 1);
        assert_eq!(found(files_through_host_seam, "modules/pve/src/a.rs", "node.read(\"/etc/hosts\")"), 0);
    }

    #[test]
    fn the_clock_is_the_seams() {
        assert_eq!(found(time_through_host_seam, "modules/pve/src/a.rs", "let now = SystemTime::now();"), 1);
        assert_eq!(
            found(time_through_host_seam, "modules/ansible-module/src/a.rs", "let now = Instant::now();"),
            0
        );
        assert_eq!(
            found(time_through_host_seam, "modules/ansible-module/src/a.rs", "thread::sleep(second);"),
            1
        );
    }
}
