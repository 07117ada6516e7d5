//! What a token's key can ask of a member: sshd runs this and nothing else for it. Everything is checked anew here,
//! expiry included; the token is spent before the node is admitted, and whoever spent it may ask again for the same
//! material, which writes nothing, so that a lost answer strands nobody.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::registry::{self, Registered, Standing};
use super::{Kind, is_same_secret, seconds};
use crate::admission::{self, Decision, Newcomer};
use crate::audit::{self, Entry, Origin};
use crate::gather::gather;
use crate::observe::{self, LinkAddress, by_number};
use crate::operation::{self, Work};
use crate::{Node, withdrawal};

/// The program's word for answering a token's key, followed by the token's id.
pub const COMMAND: &str = "__token";
/// More than any question needs.
pub const LIMIT: u64 = 64 << 10;
const ADMISSION_TIME: Duration = Duration::from_secs(120);

/// What a joiner asks.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Question {
    /// What is wanted.
    pub action: Action,
    /// Cluster that the joiner takes this for.
    pub cluster_name: String,
    /// Its node name.
    pub node: String,
    /// The key that material shall be sealed to.
    pub public_key: String,
    /// Its links.
    pub links: Vec<LinkAddress>,
    /// Wanted node id.
    pub nodeid: Option<u32>,
    /// Wanted votes.
    pub votes: Option<u32>,
    /// For a withdrawal: its corosync is stopped and its configuration gone.
    pub is_stopped: bool,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Whether a join would be let in; changes nothing.
    #[default]
    Look,
    /// Admission and material.
    Join,
    /// Take back an admission whose join failed.
    Withdraw,
}

/// The answer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Reply {
    /// It was done.
    pub ok: bool,
    /// Why not.
    pub error: Option<String>,
    /// The same question may be answered in a moment.
    pub is_busy: bool,
    /// Sealed join material.
    pub material: Option<String>,
    /// Nodes that the cluster has.
    pub nodes: usize,
}

/// Answers a question that came in with the key of a token.
pub fn answer(node: &Node, id: &str, question: &str) -> Reply {
    let outcome = serde_json::from_str(question)
        .map_err(|_| {
            anyhow::anyhow!("this is no question of pve_cluster_join: a token's key serves for nothing else")
        })
        .and_then(|question: Question| reply(node, id, &question));
    outcome.unwrap_or_else(|error| Reply {
        is_busy: error.is::<Busy>(),
        error: Some(format!("{error:#}")),
        ..Reply::default()
    })
}

/// Another operation has the member.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Busy(String);

fn reply(node: &Node, id: &str, question: &Question) -> anyhow::Result<Reply> {
    observe::is_root(node)?;
    let token = registry::find(node, id)?;
    let token = token.with_context(|| {
        format!("token {id} is not known here: it was revoked, or belongs to another cluster")
    })?;
    check(node, &token, question)?;
    if let Standing::Spent(_) | Standing::HalfSpent = registry::standing(node, id)? {
        registry::ensure_spent_by(node, id, &question.node, &question.public_key)?;
    } else {
        ensure!(
            question.action != Action::Withdraw,
            "token {id} was never used: there is nothing to take back"
        );
    }
    match question.action {
        Action::Look => {
            let (decision, nodes) = decide(node, question)?;
            ensure!(decision.online.is_empty(), "node {:?} is a member already", question.node);
            Ok(Reply { ok: true, nodes, ..Reply::default() })
        }
        Action::Join => join(node, &token, question),
        Action::Withdraw => withdraw(node, &token, question),
    }
}

/// Whether the token is good for this node at this time.
fn check(node: &Node, token: &Registered, question: &Question) -> anyhow::Result<()> {
    let id = &token.id;
    ensure!(
        seconds(node) < token.expires,
        "token {id} expired at {}: issue another",
        audit::utc(token.expires)
    );
    ensure!(
        token.cluster_name == question.cluster_name,
        "token {id} is of cluster {:?}, not {:?}",
        token.cluster_name,
        question.cluster_name
    );
    if let Some(bound) = &token.node {
        ensure!(
            is_same_secret(bound.as_bytes(), question.node.as_bytes()),
            "token {id} is for node {bound:?} only, and this is {:?}",
            question.node
        );
    }
    crate::seal::parse_public_key(&question.public_key).map(drop)
}

fn newcomer(question: &Question) -> Newcomer {
    Newcomer {
        name: question.node.clone(),
        links: by_number(&question.links),
        nodeid: question.nodeid,
        votes: question.votes,
    }
}

/// Whether the cluster can take the node now; with how many nodes it has.
fn decide(node: &Node, question: &Question) -> anyhow::Result<(Decision, usize)> {
    let conf = observe::shared_conf(node)?.context("this member is in no cluster")?;
    let standing = admission::Standing::of(node, &conf)?;
    let decision = admission::decide(&standing, &[newcomer(question)])
        .map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
    if !decision.admit.is_empty()
        && let Some(fault) = admission::ha_fault(gather(node, Duration::from_secs(10)).ha.active, &standing)
    {
        anyhow::bail!(fault);
    }
    Ok((decision, standing.nodes.len()))
}

fn join(node: &Node, token: &Registered, question: &Question) -> anyhow::Result<Reply> {
    audit::ensure_writable(node)?;
    let request =
        admission::Request { cluster_name: token.cluster_name.clone(), nodes: vec![newcomer(question)] };
    let wait = ADMISSION_TIME;
    operation::settle_earlier(node, operation::Kind::Admit, &request.target(), wait, false)
        .map_err(|error| Busy(format!("{error:#}")))?;
    // Before the token is spent, so that a join which can't be is no loss.
    let (decision, nodes) = decide(node, question)?;
    ensure!(decision.online.is_empty(), "node {:?} is a member already", question.node);
    // Who spent it before was looked at already, and needs nothing to be written.
    if registry::standing(node, &token.id)? == Standing::Unspent {
        registry::spend(node, &token.id, &question.node, &question.public_key)?;
        record(node, token, question, "spend_token");
    }
    if !decision.admit.is_empty() {
        operation::perform(node, Work::Admit(request), ADMISSION_TIME).map_err(|error| {
            match error.is::<operation::Failed>() {
                true => error,
                false => Busy(format!("{error:#}")).into(),
            }
        })?;
    }
    let material = admission::sealed_material(node, &question.node, &question.public_key)?;
    Ok(Reply { ok: true, material: Some(material), nodes, ..Reply::default() })
}

fn withdraw(node: &Node, token: &Registered, question: &Question) -> anyhow::Result<Reply> {
    let request = withdrawal::Request {
        cluster_name: token.cluster_name.clone(),
        own_name: observe::own_name(node)?,
        name: question.node.clone(),
        is_proven_stopped: question.is_stopped,
        also_stopped: Vec::new(),
        nodes_before: None,
    };
    operation::settle_earlier(node, operation::Kind::Withdraw, &request.target(), ADMISSION_TIME, false)
        .map_err(|error| Busy(format!("{error:#}")))?;
    if withdrawal::decide(node, &request)? != withdrawal::Verdict::NotListed {
        operation::perform(node, Work::Withdraw(request), ADMISSION_TIME)?;
    }
    Ok(Reply { ok: true, ..Reply::default() })
}

fn record(node: &Node, token: &Registered, question: &Question, what: &str) {
    let entry = Entry {
        node: observe::own_name(node).unwrap_or_default(),
        cluster: token.cluster_name.clone(),
        operation: what.to_owned(),
        method: Some(Kind::Token.word().to_owned()),
        credential: Some(token.id.clone()),
        subjects: vec![question.node.clone()],
        who: Origin::of(node),
        result: "succeeded".to_owned(),
        ..Entry::default()
    };
    // The admission that follows has an entry of its own, which fails where none can be written.
    let _ = audit::append(node, entry);
}
