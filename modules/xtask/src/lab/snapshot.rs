//! A stable listing of what a change must not touch: /etc (with /etc/pve, without pmxcfs's own dot files) and
//! /root/.ssh. One line a path: type, mode, owner, SHA-256 or link target.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::docker;
use super::layout::Node;

const LIST: &str = r"export LC_ALL=C
find /etc /root/.ssh -path '/etc/pve/.*' -prune -o -printf '%y %m %u:%g\t%p\t%l\n'
echo
find /etc /root/.ssh -path '/etc/pve/.*' -prune -o -type f -print0 | xargs -0 -r sha256sum";

/// The listing of a node.
pub fn take(node: Node) -> Result<String> {
    let said = docker::exec(&node.container(), &["sh", "-c", LIST], 300)?;
    if !said.status.success() {
        bail!("can't list the files of {node}: {}", String::from_utf8_lossy(&said.stderr).trim());
    }
    merge(&String::from_utf8_lossy(&said.stdout))
}

fn merge(listed: &str) -> Result<String> {
    let Some((entries, sums)) = listed.split_once("\n\n") else { bail!("no files were listed") };
    let sums: BTreeMap<&str, &str> =
        sums.lines().filter_map(|line| line.split_once("  ").map(|(sum, path)| (path, sum))).collect();
    let mut lines = BTreeMap::new();
    for entry in entries.lines() {
        let mut fields = entry.split('\t');
        let (Some(about), Some(path), Some(target)) = (fields.next(), fields.next(), fields.next()) else {
            bail!("a file was listed that can't be understood: {entry:?}");
        };
        let content = match sums.get(path) {
            Some(sum) => format!(" {sum}"),
            None if !target.is_empty() => format!(" -> {target}"),
            None => String::new(),
        };
        lines.insert(path, format!("{path} {about}{content}\n"));
    }
    Ok(lines.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_by_path_with_content_or_target() {
        let listed = "d 755 root:root\t/etc\t\nl 777 root:root\t/etc/b\t/tmp\nf 644 root:root\t/etc/a\t\n\n\
                      00ff  /etc/a\n";
        assert_eq!(
            merge(listed).unwrap(),
            "/etc d 755 root:root\n/etc/a f 644 root:root 00ff\n/etc/b l 777 root:root -> /tmp\n"
        );
    }
}
