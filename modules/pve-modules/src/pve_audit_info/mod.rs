//! `pve_audit_info`: reads and verifies the audit trail of a node.

mod spec;

use ansible_module::{Failure, Invocation, Module, Outcome};
use pve::audit::trail;
use pve::{Node, observe};

use crate::steps::Steps;
use spec::Args;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    let args: Args = call.args()?;
    let steps = Steps::start(node);
    observe::is_root(node)?;
    let mut found = trail::read(node)?;
    let msg = sentence(&found);
    let surplus = found.entries.len().saturating_sub(args.count);
    found.entries.drain(..surplus);
    Ok(Outcome::unchanged(msg)
        .with("ok", found.ok)
        .with("lines", found.lines)
        .with("is_complete", found.is_complete)
        .with("findings", found.findings)
        .with("files", found.files)
        .with("entries", found.entries)
        .with("elapsed", steps.elapsed(node)))
}

/// `pve audit verify`: prints the verdict; success is a trail with nothing wrong.
pub fn verify(node: &Node) -> anyhow::Result<bool> {
    observe::is_root(node)?;
    let found = trail::read(node)?;
    println!("{}", sentence(&found));
    found.findings.iter().for_each(|finding| println!("- {finding}"));
    Ok(found.ok)
}

fn sentence(found: &trail::Trail) -> String {
    let files = found.files.len();
    let since = if found.is_complete { "from the first on" } else { "older ones were rotated out" };
    match (found.lines, found.ok) {
        (0, true) => "no operation was ever recorded here".to_owned(),
        (lines, true) => format!("{lines} lines in {files} files, each follows the one before it; {since}"),
        (lines, false) => format!("{lines} lines in {files} files, {} faults", found.findings.len()),
    }
}

#[cfg(test)]
mod tests {
    use pve::audit::{Entry, LOG, append};
    use pve::fake::Fake;
    use serde_json::json;

    use super::*;
    use crate::calling::{fields, invocation};

    #[test]
    fn the_trail_is_shown_and_judged() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        for operation in ["create", "admit", "join"] {
            append(&fake.node(), Entry { operation: operation.into(), ..Entry::default() }).unwrap();
        }
        let look = || fields(run(&fake.node(), &invocation(&MODULE, json!({"count": 2}))));
        let found = look();
        assert_eq!(
            (&found["ok"], &found["lines"], &found["changed"]),
            (&json!(true), &json!(3), &json!(false))
        );
        let shown: Vec<_> =
            found["entries"].as_array().unwrap().iter().map(|entry| &entry["operation"]).collect();
        assert_eq!(shown, ["admit", "join"]);
        assert!(verify(&fake.node()).unwrap());
        let text = fake.machine().read(LOG).replace("create", "nothing");
        fake.write(LOG, text);
        let found = look();
        assert_eq!(found["ok"], false, "{found:?}");
        assert!(!verify(&fake.node()).unwrap());
    }
}
