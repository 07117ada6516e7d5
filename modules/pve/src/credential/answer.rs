//! What a token's key can ask of a member: sshd runs this and nothing else for it. Everything is checked anew here,
//! expiry included; the token is spent before the node is admitted, and whoever spent it may ask again for the same
//! material, which writes nothing, so that a lost answer strands nobody.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::registry::{self, Registered, Standing};
use super::{is_same_secret, seconds};
use crate::admission::{self, Decision, Newcomer};
use crate::audit::{self, Entry, Origin};
use crate::gather::gather;
use crate::inventory::is_node_name;
use crate::observe::{self, LinkAddress, by_number};
use crate::operation::{self, Report, Work};
use crate::{Node, withdrawal};

/// The program's word for answering a token's key, followed by the token's id.
pub const COMMAND: &str = "__token";
/// The program's word for answering who is let in by sudo, which is all that it may run.
pub const ADMIT: &str = "admit";
/// More than any question needs.
pub const LIMIT: u64 = 64 << 10;
const ADMISSION_TIME: Duration = Duration::from_secs(120);
/// A label of the domain name system (RFC 1035).
const LONGEST_NAME: usize = 63;
/// corosync's links (`corosync.conf(5)`).
const LAST_LINK: u8 = 7;

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
    /// What else is to be known.
    pub warnings: Vec<String>,
}

/// What came of an admission.
#[derive(Default)]
pub(super) struct Admitted {
    nodes: usize,
    warnings: Vec<String>,
}

/// Answers a question that came in with the key of a token.
pub fn answer(node: &Node, id: &str, question: &str) -> Reply {
    replied(question, &|question| reply(node, id, question))
}

/// Answers a question of who may admit nodes and nothing else: the dedicated user, by sudo.
pub fn answer_admin(node: &Node, question: &str) -> Reply {
    replied(question, &|question| {
        observe::is_root(node)?;
        let conf = observe::shared_conf(node)?.context("this node is in no cluster")?;
        let (name, wanted) = (conf.cluster_name().unwrap_or_default(), &question.cluster_name);
        ensure!(name == wanted, "this member is in cluster {name:?}, not {wanted:?}");
        crate::seal::parse_public_key(&question.public_key)?;
        match question.action {
            Action::Look => look(node, question),
            Action::Join => join(node, None, question),
            Action::Withdraw => withdraw(node, question, &ensure_own),
        }
    })
}

/// The account's key is the same on all nodes, so that it alone must not take another node off the list that is about to
/// come up, by saying that it was stopped.
fn ensure_own(node: &Node, question: &Question) -> anyhow::Result<()> {
    let name = &question.node;
    ensure!(
        admission::was_asked_by(node, name, &question.public_key)?,
        "node {name:?} was not admitted here for whoever asks: that node itself has its admission taken back by the member \
         that it asked, or an administrator does on any member (pve_cluster_member state=absent)"
    );
    Ok(())
}

fn replied(question: &str, reply: &dyn Fn(&Question) -> anyhow::Result<Reply>) -> Reply {
    let outcome = serde_json::from_str(question)
        .map_err(|_| {
            anyhow::anyhow!("this is no question of pve_cluster_join: the key serves for nothing else")
        })
        .and_then(|question: Question| {
            plausible(&question)?;
            reply(&question)
        });
    outcome.unwrap_or_else(|error| Reply {
        is_busy: error.is::<Busy>(),
        error: Some(format!("{error:#}")),
        ..Reply::default()
    })
}

/// What becomes part of command lines, journals and corosync.conf is what it must be, before anything is done with it.
fn plausible(question: &Question) -> anyhow::Result<()> {
    let name = &question.node;
    ensure!(name.len() <= LONGEST_NAME && is_node_name(name), "a node that asks must have a node's name");
    for link in &question.links {
        let is_address = link.address.parse::<std::net::IpAddr>().is_ok();
        ensure!(link.number <= LAST_LINK && is_address, "link {} of {name:?} has no IP address", link.number);
    }
    Ok(())
}

/// Another operation has the member.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Busy(String);

fn reply(node: &Node, id: &str, question: &Question) -> anyhow::Result<Reply> {
    let token = known(node, id)?;
    check(node, &token, question)?;
    if let Standing::Spent(_) | Standing::HalfSpent = registry::standing(node, id)? {
        registry::ensure_spent_by(node, id, &question.node, spender(&token, question))?;
    } else {
        ensure!(
            question.action != Action::Withdraw,
            "token {id} was never used: there is nothing to take back"
        );
    }
    match question.action {
        Action::Look => look(node, question),
        Action::Join => {
            ensure!(!token.for_pvecm, "key {id} serves pvecm add only: ask with a token for material");
            join(node, Some(&token), question)
        }
        // Who spent the token asks for its own node.
        Action::Withdraw => withdraw(node, question, &|_, _| Ok(())),
    }
}

/// The token of an id, on a member.
pub(super) fn known(node: &Node, id: &str) -> anyhow::Result<Registered> {
    observe::is_root(node)?;
    registry::find(node, id)?.with_context(|| {
        format!("token {id} is not known here: it was revoked, or belongs to another cluster")
    })
}

/// Whom a token is spent for: pvecm has no key that material could be sealed to.
fn spender<'a>(token: &'a Registered, question: &'a Question) -> &'a str {
    if token.for_pvecm { &token.public_key } else { &question.public_key }
}

fn look(node: &Node, question: &Question) -> anyhow::Result<Reply> {
    let (decision, nodes) = decide(node, &newcomer(question))?;
    ensure!(decision.online.is_empty(), "node {:?} is a member already", question.node);
    Ok(Reply { ok: true, nodes, ..Reply::default() })
}

/// Whether the token is good for this node at this time.
fn check(node: &Node, token: &Registered, question: &Question) -> anyhow::Result<()> {
    let id = &token.id;
    ensure_in_time(node, token)?;
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

pub(super) fn ensure_in_time(node: &Node, token: &Registered) -> anyhow::Result<()> {
    let (id, ended) = (&token.id, audit::utc(token.expires));
    ensure!(seconds(node) < token.expires, "token {id} expired at {ended}: issue another");
    Ok(())
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
fn decide(node: &Node, newcomer: &Newcomer) -> anyhow::Result<(Decision, usize)> {
    let conf = observe::shared_conf(node)?.context("this member is in no cluster")?;
    let standing = admission::Standing::of(node, &conf)?;
    let decision = admission::decide(&standing, std::slice::from_ref(newcomer))
        .map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
    if !decision.admit.is_empty()
        && let Some(fault) = admission::ha_fault(gather(node, Duration::from_secs(10)).ha.active, &standing)
    {
        anyhow::bail!(fault);
    }
    Ok((decision, standing.nodes.len()))
}

fn join(node: &Node, token: Option<&Registered>, question: &Question) -> anyhow::Result<Reply> {
    let spender = token.map(|token| (token, question.public_key.as_str()));
    let asked_by = &question.public_key;
    let Admitted { nodes, warnings } =
        admit(node, &question.cluster_name, newcomer(question), asked_by, spender)?;
    let material = admission::sealed_material(node, &question.node, &question.public_key)?;
    Ok(Reply { ok: true, material: Some(material), nodes, warnings, ..Reply::default() })
}

/// Admits a node, once a token is spent for it where it comes with one.
pub(super) fn admit(
    node: &Node,
    cluster_name: &str,
    newcomer: Newcomer,
    asked_by: &str,
    spender: Option<(&Registered, &str)>,
) -> anyhow::Result<Admitted> {
    let name = newcomer.name.clone();
    let request = admission::Request {
        cluster_name: cluster_name.to_owned(),
        nodes: vec![newcomer.clone()],
        asked_by: Some(asked_by.to_owned()),
    };
    operation::settle_earlier(node, operation::Kind::Admit, &request.target(), ADMISSION_TIME, false)
        .map_err(|error| Busy(format!("{error:#}")))?;
    // Before the token is spent, so that a join which can't be is no loss.
    let (decision, nodes) = decide(node, &newcomer)?;
    ensure!(decision.online.is_empty(), "node {name:?} is a member already");
    let is_first = match spender {
        // No key binds who asks by sudo: each time is one to be written down.
        None => true,
        Some((token, key)) => {
            let is_unspent = registry::standing(node, &token.id)? == Standing::Unspent;
            if !is_unspent {
                // Also where it was spent since it was looked at first: who did so is the only one it serves.
                registry::ensure_spent_by(node, &token.id, &name, key)?;
            }
            is_unspent
        }
    };
    if is_first {
        never_member(node, &decision)?;
    }
    // Who only asks again needs nothing to be written.
    if is_first || !decision.admit.is_empty() {
        ensure_audited(node, spender.map(|(token, _)| token))?;
    }
    let mut admitted = Admitted { nodes, ..Admitted::default() };
    let recorded = match spender {
        Some((token, key)) if is_first => {
            registry::spend(node, &token.id, &name, key)?;
            record(node, cluster_name, "spend_token", token.kind().word(), Some(token.id.clone()), &name)
        }
        None if is_first => record(node, cluster_name, "admit_by_sudo", "ssh", None, &name),
        _ => Ok(()),
    };
    // It is done: the node learns that the trail does not have it.
    admitted.warnings.extend(recorded.err().map(|error| audit::not_audited(&error)));
    if !decision.admit.is_empty() {
        admitted.warnings.extend(perform(node, Work::Admit(request))?.warnings);
    }
    Ok(admitted)
}

/// A listed node that is off is an admission that did not end, or a member: that one's name is nobody's to take, with the
/// cluster's key.
fn never_member(node: &Node, decision: &Decision) -> anyhow::Result<()> {
    let has_been = |name: &&String| node.exists(&format!("/etc/pve/nodes/{name}/pve-ssl.pem"));
    let Some(name) = decision.pending.iter().find(has_been) else { return Ok(()) };
    anyhow::bail!(
        "node {name:?} is a member that is off: start it, or have an administrator remove it first \
         (playbooks/remove.yml -e pve_remove={name})"
    )
}

/// Whoever issued the token has said what an audit trail that can't be written means: the joiner is not asked.
fn ensure_audited(node: &Node, token: Option<&Registered>) -> anyhow::Result<()> {
    match token {
        Some(token) if token.is_audit_optional => Ok(()),
        Some(_) => {
            audit::ensure_writable_or(node, "a token that is issued with audit=best_effort goes on without")
        }
        None => audit::ensure_writable_or(node, "or let another member admit the node"),
    }
}

/// An operation; that another one has the member is told apart from one that failed.
fn perform(node: &Node, work: Work) -> anyhow::Result<Report> {
    operation::perform(node, work, ADMISSION_TIME).map_err(|error| match error.is::<operation::Failed>() {
        true => error,
        false => Busy(format!("{error:#}")).into(),
    })
}

fn withdraw(
    node: &Node,
    question: &Question,
    ensure_own: &dyn Fn(&Node, &Question) -> anyhow::Result<()>,
) -> anyhow::Result<Reply> {
    let request = withdrawal::Request {
        cluster_name: question.cluster_name.clone(),
        own_name: observe::own_name(node)?,
        name: question.node.clone(),
        is_proven_stopped: question.is_stopped,
        also_stopped: Vec::new(),
        nodes_before: None,
    };
    operation::settle_earlier(node, operation::Kind::Withdraw, &request.target(), ADMISSION_TIME, false)
        .map_err(|error| Busy(format!("{error:#}")))?;
    let warnings = match withdrawal::decide(node, &request)? {
        withdrawal::Verdict::NotListed => Vec::new(),
        _ => {
            ensure_own(node, question)?;
            perform(node, Work::Withdraw(request))?.warnings
        }
    };
    Ok(Reply { ok: true, warnings, ..Reply::default() })
}

fn record(
    node: &Node,
    cluster: &str,
    operation: &str,
    method: &str,
    credential: Option<String>,
    subject: &str,
) -> anyhow::Result<()> {
    let entry = Entry {
        node: observe::own_name(node).unwrap_or_default(),
        cluster: cluster.to_owned(),
        operation: operation.to_owned(),
        method: Some(method.to_owned()),
        credential,
        subjects: vec![subject.to_owned()],
        who: Origin::of(node),
        result: "succeeded".to_owned(),
        ..Entry::default()
    };
    audit::append(node, entry)
}
