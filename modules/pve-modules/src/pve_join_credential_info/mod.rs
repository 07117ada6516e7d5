//! `pve_join_credential_info`: lists the credentials of a cluster, without secrets.

mod spec;

use ansible_module::{Failure, Invocation, Module, Outcome};
use pve::credential::{issue, password};
use pve::{Node, observe};

use crate::steps::Steps;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

pub(crate) fn run(node: &Node, _call: &Invocation) -> Result<Outcome, Failure> {
    let steps = Steps::start(node);
    observe::is_root(node)?;
    let tokens = issue::list(node)?;
    let password = password::listed(node)?;
    let msg = format!("{} token(s) in the register", tokens.len());
    Ok(Outcome::unchanged(msg)
        .with("tokens", tokens)
        .with("temporary_password", password)
        .with("elapsed", steps.elapsed(node)))
}
