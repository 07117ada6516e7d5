//! Writing corosync.conf byte for byte as PVE's `write_conf` does, so that a change of ours and the next one
//! of PVE's differ in nothing but what was changed.

use super::{Entry, Section};
use crate::order::sort_short_by;

pub(super) fn document(root: &Section) -> String {
    let mut text = String::new();
    section(root, "", &mut text);
    text
}

fn section(section_: &Section, prefix: &str, text: &mut String) {
    for (key, entry) in &section_.entries {
        match entry {
            Entry::Value(value) => text.push_str(&format!("{prefix}{key}: {value}\n")),
            Entry::Sections(sections) => {
                let mut sections: Vec<&Section> = sections.iter().collect();
                sort_short_by(&mut sections, |a, b| a.order().cmp(b.order()));
                for child in sections {
                    text.push_str(&format!("{prefix}{key} {{\n"));
                    section(child, &format!("{prefix}  "), text);
                    text.push_str(&format!("{prefix}}}\n"));
                    if prefix.is_empty() {
                        text.push('\n');
                    }
                }
            }
        }
    }
}
