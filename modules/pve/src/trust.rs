//! What a member is trusted by, brought back to what it should be after a reinstall or by accident: host keys that others
//! know it by, root's keys as PVE shares them, its own certificate. One look, one pure plan, one way to apply it.
//!
//! Only the own node's certificate is ever made anew, and a custom one (`pveproxy-ssl.pem`) is never touched. The other
//! nodes' host keys are told by the caller, who has them from a connection to each node that is trusted already.

mod apply;
mod look;

use crate::inventory::WantedNode;
use crate::known_hosts::{self, Conflict, Identity, Mended};
use crate::node_certificate::{Fault, FaultKind, State};
pub use apply::apply;
pub use look::look;

/// The cluster, and what is known of its nodes.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Its name.
    pub cluster_name: String,
    /// Its nodes, with the facts of those that could be asked.
    pub nodes: Vec<WantedNode>,
    /// A certificate that ends within so many days is made anew.
    pub renew_days: u32,
}

/// What was found on this node.
pub struct Sight {
    /// This node's name.
    pub own: String,
    /// Members whose host keys are known, this one among them.
    pub identities: Vec<Identity>,
    /// Members whose host keys are not known.
    pub unverified: Vec<String>,
    /// Files of known hosts.
    pub files: Vec<KnownHosts>,
    /// Why root's keys are not as PVE sets them up.
    pub key_faults: Vec<String>,
    /// What of root's keys somebody should look at.
    pub key_notes: Vec<String>,
    /// The own certificate.
    pub certificate: State,
    /// Why the cluster's authority can sign no other one.
    pub authority_fault: Option<String>,
    /// What the API shows.
    pub api: Api,
}

/// A file of known hosts.
pub struct KnownHosts {
    /// Its path.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
    /// Where it is a link, to where.
    pub link: Option<String>,
}

/// Which certificate the API of this node shows.
pub enum Api {
    /// The one it should, or it was not asked.
    Right,
    /// Another one.
    Other(String),
    /// None: it does not answer, or what it should show can't be read.
    Silent(String),
}

/// What is to be done; nothing, on a member that is as it should be.
#[derive(Default)]
pub struct Plan {
    /// Files of known hosts to be written.
    pub edits: Vec<Edit>,
    /// Why PVE's set-up of root's keys is to be run again.
    pub keys: Vec<String>,
    /// Why the own certificate is to be made anew.
    pub certificate: Option<Fault>,
    /// Why the API is to be reloaded, where the certificate stays.
    pub api: Option<String>,
    /// What is told and not mended.
    pub notes: Vec<String>,
}

/// A change of a file.
pub struct Edit {
    /// Its path.
    pub path: String,
    /// Content as it is.
    pub before: Vec<u8>,
    /// Content as it should be.
    pub after: Vec<u8>,
    /// What is wrong.
    pub conflicts: Vec<Conflict>,
}

impl Plan {
    /// Whether anything is to be done.
    pub fn has_work(&self) -> bool {
        !(self.edits.is_empty() && self.keys.is_empty() && self.certificate.is_none() && self.api.is_none())
    }

    /// What is to be done, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for edit in &self.edits {
            for at in &edit.conflicts {
                lines.push(format!(
                    "{} line {}: another {} key of {}",
                    edit.path, at.line, at.algorithm, at.node
                ));
            }
        }
        lines.extend_from_slice(&self.keys);
        lines.extend(self.certificate.as_ref().map(|fault| fault.text.clone()));
        lines.extend(self.api.clone());
        lines
    }
}

/// A new authority is everybody's matter: no node makes one for itself here.
const NEW_AUTHORITY: &str = "a new authority makes every node's certificate foreign, so it is left to you: restore it from a \
                             backup of /etc/pve, or remove its certificate and its key and run \"pvecm updatecerts --force\" on \
                             every node";

/// What follows from what was found. An error where it can't be mended here without harm elsewhere.
pub fn plan(sight: &Sight) -> anyhow::Result<Plan> {
    let mut plan = Plan { keys: sight.key_faults.clone(), notes: sight.key_notes.clone(), ..Plan::default() };
    for KnownHosts { path, content, link } in &sight.files {
        let Some(Mended { content: after, conflicts }) = known_hosts::mend(content, &sight.identities) else {
            continue;
        };
        match link {
            None => plan.edits.push(Edit { path: path.clone(), before: content.clone(), after, conflicts }),
            Some(target) => plan.notes.push(format!(
                "{path} is a link to {target}, which has another key of {}: mend it there",
                conflicts[0].node
            )),
        }
    }
    match (&sight.certificate.fault, &sight.authority_fault) {
        (fault, None) => plan.certificate.clone_from(fault),
        (None, Some(_)) => {}
        // It is good as long as it lasts, and a new one would last no longer.
        (Some(fault), Some(authority)) if fault.kind == FaultKind::EndsSoon => {
            plan.notes.push(format!("{}, and {authority}: {NEW_AUTHORITY}", fault.text));
        }
        (Some(fault), Some(authority)) => anyhow::bail!("{}, and {authority}: {NEW_AUTHORITY}", fault.text),
    }
    match &sight.api {
        Api::Right => {}
        Api::Other(shown) => {
            plan.api = Some(format!("the API shows {shown}, which is not the node's certificate"))
        }
        Api::Silent(why) => plan.notes.push(why.clone()),
    }
    Ok(plan)
}

#[cfg(test)]
mod tests;
