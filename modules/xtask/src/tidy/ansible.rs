//! Roles and playbooks: they orchestrate, and every variable that they read is declared.

use std::collections::BTreeSet;

use super::Finding;
use super::sources::Source;

const ROLES: &str = "collection/roles/";

/// A decision or a change belongs in a module: no shell, and the PVE tools only through modules.
pub fn roles_orchestrate(sources: &[Source]) -> Vec<Finding> {
    let words = ["ansible.builtin.shell:", "ansible.builtin.raw:", "pvecm ", "pvesh ", "corosync-"];
    let yaml = sources.iter().filter(|source| {
        source.is("yml") && (source.path.starts_with(ROLES) || source.path.starts_with("playbooks/"))
    });
    let lines = yaml.flat_map(|source| source.lines().map(move |line| (source, line)));
    lines
        .filter_map(|(source, (line, text))| {
            let task = text.trim_start();
            let is_prose =
                ["#", "- name:", "name:", "fail_msg:", "msg:", "description:", "short_description:", "- "]
                    .iter()
                    .any(|start| task.starts_with(start));
            let word = words.iter().find(|word| task.contains(**word))?;
            let is_call = word.ends_with(':')
                || (!is_prose
                    && (task.contains("cmd:") || task.contains("argv:") || task.contains("command:")));
            is_call.then(|| Finding {
                path: source.path.clone(),
                line,
                what: format!("uses {word:?} where a module exists"),
            })
        })
        .collect()
}

/// Each `pve_…` that a role reads is an option in some role's argument_specs.yml, or set or registered in the roles.
pub fn role_variables_declared(sources: &[Source]) -> Vec<Finding> {
    let declared: BTreeSet<&str> = sources
        .iter()
        .filter(|source| source.path.starts_with(ROLES) && source.path.ends_with("meta/argument_specs.yml"))
        .flat_map(|source| source.lines().filter_map(|(_, line)| line.trim().strip_suffix(':')))
        .collect();
    let used = sources.iter().filter(|source| {
        let folder = source.path.strip_prefix(ROLES).and_then(|path| path.split('/').nth(1));
        matches!(folder, Some("tasks" | "templates" | "defaults" | "vars" | "handlers"))
    });
    let mut found = Vec::new();
    for source in used {
        for (line, text) in source.lines() {
            for name in variables(text).into_iter().filter(|name| !declared.contains(name)) {
                found.push(Finding {
                    path: source.path.clone(),
                    line,
                    what: format!("{name} is in no argument_specs.yml"),
                });
            }
        }
    }
    found
}

/// The public variables that a line names: `pve_…`, but neither `sddc.pve.pve_…` nor `__pve_…` nor a key of a result.
fn variables(line: &str) -> Vec<&str> {
    let line = if line.trim_start().starts_with('#') { "" } else { line };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = line[at..].find("pve_").map(|offset| at + offset) {
        let end = line[start..].find(|c| !is_word(c)).map_or(line.len(), |offset| start + offset);
        let before = line[..start].chars().next_back();
        if !before.is_some_and(|c| is_word(c) || ".'\"/-".contains(c)) {
            found.push(&line[start..end]);
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_shell_or_a_pve_tool_in_a_role_is_found() {
        let role =
            |text: &str| roles_orchestrate(&[source("collection/roles/cluster/tasks/main.yml", text)]).len();
        assert_eq!(role("  ansible.builtin.shell: |\n"), 1);
        assert_eq!(role("    cmd: pvecm status\n"), 1);
        assert_eq!(role("- name: Join as pvecm add does\n"), 0);
    }

    #[test]
    fn an_undeclared_variable_is_found() {
        let specs = source("collection/roles/a/meta/argument_specs.yml", "    options:\n      pve_links:\n");
        let tasks = source("collection/roles/a/tasks/main.yml", "  when: pve_links and not pve_link\n");
        let found = role_variables_declared(&[specs, tasks]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "pve_link is in no argument_specs.yml");
    }

    #[test]
    fn modules_and_internal_names_are_no_public_variables() {
        assert!(variables("  sddc.pve.pve_cluster_info:").is_empty());
        assert!(variables("  register: __pve_info  # pve").is_empty());
        assert_eq!(variables("x: \"{{ pve_a | default(pve_b) }}\""), ["pve_a", "pve_b"]);
    }
}
