//! The way in with a token alone: a member that the token names is asked over ssh, admits this node and seals the
//! join material to the key that this node made; from there on it is a brokered join. Where it fails the member is
//! asked to take its admission back.

use std::time::Duration;

use anyhow::Context;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::finish::Api;
use super::{Request, SshJoin, brokered, expose, stopped_proof};
use crate::credential::answer::{Action, Question};
use crate::credential::ask::Door;
use crate::credential::token::Token;
use crate::credential::{ask, issue};
use crate::observe::LinkAddress;
use crate::operation::Run;
use crate::{Node, seal};

/// Note that a member may have admitted this node, and by which token or key of one join.
pub(super) const ASKED: &str = "token_asked";

/// A token and what is asked with it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TokenJoin {
    /// The token.
    #[serde(serialize_with = "expose")]
    pub token: SecretString,
    /// Node id; the lowest free one when none is given.
    pub nodeid: Option<u32>,
    /// Votes; 1 when none are given.
    pub votes: Option<u32>,
}

/// The question that a node asks with a token. In a run that must not change anything, a key that was not made yet
/// is only played.
pub fn question(
    node: &Node,
    token: &Token,
    name: &str,
    links: &[LinkAddress],
    is_check: bool,
) -> anyhow::Result<Question> {
    let (id, expires) = (&token.id, token.context.expires);
    let key = seal::lasting_request(node, name, &seal::Asker::Token(id, expires), is_check)?;
    Ok(Question {
        action: Action::Look,
        cluster_name: token.context.cluster.clone(),
        node: name.to_owned(),
        public_key: key.public_key,
        links: links.to_vec(),
        ..Question::default()
    })
}

pub(super) fn run(run: &mut Run<'_>, request: &Request, how: &TokenJoin, api: Api) -> anyhow::Result<()> {
    let token = Token::parse(&how.token)?;
    let question = Question {
        action: Action::Join,
        nodeid: how.nodeid,
        votes: how.votes,
        ..question(run.node, &token, &request.node, &request.links, false)?
    };
    let material = run.step("ask a member with the token", |run| {
        run.mark(ASKED, &token.id)?;
        let reply = ask::ask(run.node, &Door::of(&token), &question, run.deadline)?;
        run.mark("nodes_before", &reply.nodes.to_string())?;
        reply.warnings.into_iter().for_each(|warning| run.warn(warning));
        let material = reply.material.context("the member gave no join material")?;
        Ok((material, format!("token {}: admitted beside {} nodes", token.id, reply.nodes)))
    })?;
    brokered::run(run, request, &material, api)?;
    forget(run)
}

/// Takes the token that this join spent off the cluster, if it was one by token.
pub(super) fn forget(run: &mut Run<'_>) -> anyhow::Result<()> {
    let Some(id) = run.marked(ASKED).filter(|id| !id.is_empty()).map(str::to_owned) else { return Ok(()) };
    run.step("forget the spent token", |run| {
        let forgotten = issue::revoke_in(run, std::slice::from_ref(&id));
        // It is of no more use to anybody but this node, and pruning removes it later.
        let detail = forgotten.map_or_else(|error| format!("not yet: {error:#}"), |ids| ids.join(", "));
        Ok(((), detail))
    })
}

/// After everything was undone here: has the admission taken back, and tells what came of it.
pub(crate) fn take_back(run: &mut Run<'_>, request: &TakeBack) -> Option<String> {
    run.marked(ASKED)?;
    let withdrawn = run.step("have the admission taken back", |run| {
        let node = run.node;
        let (door, asked) = match &request.how {
            Asked::Token(how) => {
                let token = Token::parse(&how.token)?;
                (Door::of(&token), question(node, &token, &request.node, &request.links, false)?)
            }
            Asked::Ssh(how) => {
                let asked =
                    how.question(node, &request.cluster_name, &request.node, &request.links, false)?;
                (how.door()?, asked)
            }
        };
        let proof = stopped_proof(node, &request.node)?;
        let question = Question {
            action: Action::Withdraw,
            is_stopped: proof.is_corosync_stopped && proof.is_configuration_gone,
            ..asked
        };
        let deadline = run.deadline.within(node, Duration::from_secs(60));
        let reply = ask::ask(node, &door, &question, deadline)?;
        reply.warnings.into_iter().for_each(|warning| run.warn(warning));
        Ok(((), String::new()))
    });
    Some(match withdrawn {
        Ok(()) => "the cluster does not list this node".to_owned(),
        Err(error) => format!(
            "the cluster may still list this node ({error:#}): run this again, or take it off the list on a member with \
             pve_cluster_member state=absent"
        ),
    })
}

/// What taking back needs to know.
pub(crate) struct TakeBack {
    pub(crate) cluster_name: String,
    pub(crate) node: String,
    pub(crate) links: Vec<LinkAddress>,
    pub(crate) how: Asked,
}

/// How a member was asked.
pub(crate) enum Asked {
    Token(TokenJoin),
    Ssh(SshJoin),
}
