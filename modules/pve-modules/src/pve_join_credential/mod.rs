//! `pve_join_credential`: issues, revokes and prunes credentials for joining, on a member.

mod spec;

use std::time::Duration;

use ansible_module::{Failure, Invocation, Module, Outcome};
use pve::audit::{self, Entry, Origin};
use pve::credential::issue::{self, Order};
use pve::credential::password::{self, Restored};
use pve::credential::{Handover, Kind, registry, seconds, ticket};
use pve::{ExposeSecret, Node, SecretString, observe, quorumtool, seal};

use crate::operating::Audit;
use crate::steps::Steps;
use spec::{Args, State};

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

/// Seconds that a token is good for.
const TOKEN_TTLS: std::ops::RangeInclusive<u64> = 60..=7 * 86_400;
const TOKEN_TTL: u64 = 86_400;
/// Seconds that a temporary password is good for.
const PASSWORD_TTLS: std::ops::RangeInclusive<u64> = 60..=3600;
const PASSWORD_TTL: u64 = 900;

pub(crate) fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    let args: Args = call.args()?;
    check(&args)?;
    let mut steps = Steps::start(node);
    let mut is_any_taken_back = false;
    let outcome =
        steps.attempt(node, "look whether this is a quorate member", || is_quorate_member(node, &args));
    // What takes a credential away is never kept from it.
    let outcome = outcome.and_then(|()| match is_required(&args) && !call.check_mode {
        true => audit::ensure_writable(node),
        false => Ok(()),
    });
    let outcome = outcome.inspect(|()| {
        let are_tokens = matches!(args.kind, Kind::Token | Kind::SshKey);
        is_any_taken_back = are_tokens && !call.check_mode && take_back_left_over(node, &args, &mut steps);
    });
    let outcome = outcome.and_then(|()| match (args.state, args.kind) {
        (State::Present, Kind::Token | Kind::SshKey) => issue_token(node, call, &args, &mut steps),
        (State::Present, Kind::Ticket) => issue_ticket(node, call, &args, &mut steps),
        (State::Present, Kind::TemporaryPassword) => issue_password(node, call, &args, &mut steps),
        (_, Kind::TemporaryPassword) => end_password(node, call, &args, &mut steps),
        (State::Absent, _) => {
            let ids = args.id.iter().cloned().collect::<Vec<_>>();
            take_away(node, call, &args, &mut steps, &ids, "revoked")
        }
        (State::Pruned, _) => {
            let tokens = issue::list(node)?;
            let expired = tokens.into_iter().filter(|token| token.state == "expired");
            let ids: Vec<String> = expired.map(|token| token.id).collect();
            take_away(node, call, &args, &mut steps, &ids, "pruned")
        }
    });
    match outcome {
        Ok(outcome) => {
            let mut outcome = outcome.with("steps", steps.done()).with("elapsed", steps.elapsed(node));
            outcome.changed |= is_any_taken_back;
            Ok(steps.warnings().iter().fold(outcome, Outcome::warn))
        }
        Err(error) => {
            let failure = Failure::new(format!("{error:#}")).with("steps", steps.done());
            Err(steps.warnings().iter().fold(failure.with("elapsed", steps.elapsed(node)), Failure::warn))
        }
    }
}

/// Takes tokens away that a killed run was issuing on this member, and tells whether there were any. One that can't be
/// taken away keeps nothing else from being done.
fn take_back_left_over(node: &Node, args: &Args, steps: &mut Steps) -> bool {
    let mut is_any = false;
    let all = issue::take_back_left_over(node, |token| {
        is_any = true;
        let about = Args { kind: token.kind(), node: token.node, ..args.clone() };
        record_done(node, &about, steps, "revoke_token", std::slice::from_ref(&token.id));
        steps.warn(format!(
            "token {}, of which the issue was cut off, was taken back: nobody had got it",
            token.id
        ));
    });
    if let Err(error) = all {
        steps.warn(format!("a token of which the issue was cut off is still there: {error:#}"));
    }
    is_any
}

fn check(args: &Args) -> Result<(), Failure> {
    if let Some(key) = &args.public_key {
        seal::parse_public_key(key)?;
    }
    let (kind, word) = (args.kind, args.kind.word());
    // They become part of a line that sshd reads.
    if let Some(text) = args.from.iter().find(|text| text.parse::<std::net::IpAddr>().is_err()) {
        return Err(Failure::new(format!("option \"from\" has {text:?}, which is no IP address")));
    }
    if kind == Kind::Ticket && args.state != State::Present {
        return Err(Failure::new(
            "a ticket is stored nowhere, so it can't be revoked or pruned: Proxmox VE ends it two hours after it was made",
        ));
    }
    if matches!(kind, Kind::Token | Kind::SshKey) && args.state == State::Absent && args.id.is_none() {
        return Err(Failure::new(format!("state=absent of {word} needs id: see pve_join_credential_info")));
    }
    let range = if kind == Kind::Token { TOKEN_TTLS } else { PASSWORD_TTLS };
    match args.ttl {
        Some(_) if kind == Kind::Ticket => {
            return Err(Failure::new(
                "option \"ttl\" is not for tickets: Proxmox VE ends them after two hours",
            ));
        }
        Some(ttl) if !range.contains(&ttl) => {
            let (lowest, highest) = (range.start(), range.end());
            return Err(Failure::new(format!(
                "option \"ttl\" is {ttl}: it must be from {lowest} to {highest}"
            )));
        }
        _ => {}
    }
    if kind != Kind::Token && args.state == State::Present && args.public_key.is_none() {
        return Err(Failure::new(format!(
            "a {word} is only handed over sealed: run pve_cluster_join state=requested on the joining node and pass node \
             and join_request.public_key"
        )));
    }
    Ok(())
}

fn is_quorate_member(node: &Node, args: &Args) -> anyhow::Result<()> {
    observe::is_root(node)?;
    if args.kind == Kind::TemporaryPassword && args.state != State::Present {
        // What is this node's own is put back whatever has become of the cluster.
        return Ok(());
    }
    let own = observe::own_name(node)?;
    let wanted = &args.cluster_name;
    let conf = observe::shared_conf(node)?;
    let Some(conf) = conf else {
        anyhow::bail!("node {own:?} is in no cluster: run this on a member of {wanted:?}");
    };
    let name = conf.cluster_name().unwrap_or_default();
    anyhow::ensure!(
        name == wanted,
        "node {own:?} is in cluster {name:?}, not {wanted:?}: run this on a member of that one"
    );
    let status = quorumtool::query(node, Duration::from_secs(10))?.unwrap_or_default();
    anyhow::ensure!(
        status.quorum.quorate,
        "cluster {wanted:?} has no quorum, so nothing can be issued or revoked: bring its nodes up first"
    );
    Ok(())
}

fn issue_token(node: &Node, call: &Invocation, args: &Args, steps: &mut Steps) -> anyhow::Result<Outcome> {
    steps.attempt(node, "look for what it replaces", || are_known(node, &args.replaces))?;
    // Who rotates a token changes its key, not whom it serves, from where and for how long.
    let former = match args.replaces.as_slice() {
        [id] => registry::find(node, id)?,
        _ => None,
    };
    let life = args.ttl.or(former.as_ref().map(|token| token.expires.saturating_sub(token.issued)));
    let (former_node, former_from) = former.map(|token| (token.node, token.from)).unwrap_or_default();
    let bound = args.node.clone().or(former_node);
    let order = Order {
        cluster_name: args.cluster_name.clone(),
        node: bound.clone(),
        ttl: life.unwrap_or(if args.kind == Kind::Token { TOKEN_TTL } else { PASSWORD_TTL }),
        from: if args.from.is_empty() { former_from } else { args.from.clone() },
        for_pvecm: args.kind == Kind::SshKey,
        is_audit_optional: args.audit == Audit::BestEffort,
    };
    let word = if order.for_pvecm { "key" } else { "token" };
    let faults = steps.attempt(node, "look whether sshd takes keys", || issue::faults(node))?;
    anyhow::ensure!(faults.is_empty(), "no {word} can be issued: {}", faults.join("; "));
    let whom = bound.as_ref().map_or("any node".to_owned(), |name| format!("node {name:?}"));
    if call.check_mode {
        return Ok(Outcome::new(true, format!("a {word} for {whom} would be issued"))
            .with("revoked", &args.replaces));
    }
    let issued = steps.attempt(node, "issue a key", || issue::token(node, &order))?;
    let word_of_trail = if order.for_pvecm { "issue_ssh_key" } else { "issue_token" };
    let outcome = record(node, args, steps, word_of_trail, &issued.id).and_then(|()| {
        let expires = audit::utc(issued.expires);
        let msg = format!("{word} {} for {whom} issued, good until {expires}", issued.id);
        let outcome = Outcome::new(true, msg).with("id", &issued.id).with("expires", expires);
        Ok(match &args.public_key {
            Some(key) => {
                outcome.with("credential", sealed(node, args, key, &issued.id, &issued.text, issued.expires)?)
            }
            None => outcome.with("join_string", issued.text.expose_secret()),
        })
    });
    // What it replaces goes last: of a rotation that fails the former token is left.
    let outcome = outcome.and_then(|outcome| {
        let revoked =
            steps.attempt(node, "revoke what it replaces", || issue::revoke(node, &args.replaces))?;
        Ok((outcome, revoked))
    });
    match outcome {
        Ok((outcome, revoked)) => {
            record_done(node, args, steps, "revoke_token", &revoked);
            issued.hand_over()?;
            Ok(outcome.with("revoked", revoked))
        }
        Err(error) => {
            let id = issued.id.clone();
            let (is_gone, error) = issued.take_back(node, error);
            if is_gone {
                record_done(node, args, steps, "revoke_token", &[id]);
            }
            Err(error)
        }
    }
}

/// A slip of the pen must not leave the token alive that was to be replaced.
fn are_known(node: &Node, ids: &[String]) -> anyhow::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let known = issue::list(node)?;
    let strangers: Vec<&str> =
        ids.iter().filter(|id| !known.iter().any(|token| token.id == **id)).map(String::as_str).collect();
    anyhow::ensure!(
        strangers.is_empty(),
        "there is no token {} to be replaced, so none was issued: see pve_join_credential_info",
        strangers.join(", ")
    );
    Ok(())
}

fn issue_ticket(node: &Node, call: &Invocation, args: &Args, steps: &mut Steps) -> anyhow::Result<Outcome> {
    let (name, key) =
        (args.node.as_deref().unwrap_or_default(), args.public_key.as_deref().unwrap_or_default());
    if call.check_mode {
        return Ok(Outcome::new(true, format!("a ticket for node {name:?} would be made")));
    }
    let minted = steps.attempt(node, "make a ticket of root", || ticket::mint(node))?;
    record(node, args, steps, "issue_ticket", &minted.id)?;
    let expires = seconds(node) + ticket::LIFE;
    let credential = sealed(node, args, key, &minted.id, &minted.text, expires)?;
    let expires = audit::utc(expires);
    let msg = format!("ticket {} for node {name:?} made, good until {expires}", minted.id);
    Ok(Outcome::new(true, msg).with("id", minted.id).with("expires", expires).with("credential", credential))
}

fn sealed(
    node: &Node,
    args: &Args,
    key: &str,
    id: &str,
    secret: &SecretString,
    expires: u64,
) -> anyhow::Result<String> {
    let name = args.node.as_deref().unwrap_or_default();
    Handover::new(node, id, args.kind, &args.cluster_name, name, secret, expires).seal(key)
}

fn issue_password(node: &Node, call: &Invocation, args: &Args, steps: &mut Steps) -> anyhow::Result<Outcome> {
    let name = args.node.as_deref().unwrap_or_default();
    let key = args.public_key.as_deref().unwrap_or_default();
    let faults = steps.attempt(node, "look whether a password lets in", || password::faults(node))?;
    anyhow::ensure!(faults.is_empty(), "no temporary password can be issued: {}", faults.join("; "));
    if call.check_mode {
        return Ok(Outcome::new(true, format!("root would have a temporary password for node {name:?}")));
    }
    let ttl = args.ttl.unwrap_or(PASSWORD_TTL);
    let issued = steps.attempt(node, "give root a temporary password", || password::issue(node, ttl))?;
    let handed = record(node, args, steps, "issue_temporary_password", &issued.id)
        .and_then(|()| sealed(node, args, key, &issued.id, &issued.text, issued.expires));
    if handed.is_err() {
        password::restore(node)?;
    }
    let expires = audit::utc(issued.expires);
    let msg = format!("root has temporary password {} for node {name:?} until {expires}", issued.id);
    Ok(Outcome::new(true, msg).with("id", issued.id).with("expires", expires).with("credential", handed?))
}

fn end_password(node: &Node, call: &Invocation, args: &Args, steps: &mut Steps) -> anyhow::Result<Outcome> {
    let Some(there) = password::listed(node)? else {
        let has_traces = password::has_traces(node);
        if has_traces && !call.check_mode {
            steps.attempt(node, "remove what one that was cut off left", || password::restore(node))?;
        }
        return Ok(Outcome::new(has_traces, "root has no temporary password"));
    };
    if args.id.as_ref().is_some_and(|id| *id != there.id) {
        return Ok(Outcome::unchanged(format!(
            "temporary password {} is over; {}, of another join, stays until {}",
            args.id.as_deref().unwrap_or_default(),
            there.id,
            there.expires
        )));
    }
    if args.state == State::Pruned && seconds(node) < there.ends {
        return Ok(Outcome::unchanged(format!(
            "temporary password {} is good until {}",
            there.id, there.expires
        )));
    }
    if call.check_mode {
        return Ok(Outcome::new(true, format!("temporary password {} would be ended", there.id)));
    }
    let restored = steps.attempt(node, "put root's password back", || password::restore(node))?;
    record_done(node, args, steps, "revoke_temporary_password", std::slice::from_ref(&there.id));
    let outcome =
        Outcome::new(true, format!("temporary password {} ended", there.id)).with("revoked", [&there.id]);
    Ok(match restored {
        Restored::Changed => {
            outcome.warn("root's password was changed by somebody else meanwhile: that change stays")
        }
        _ => outcome,
    })
}

fn take_away(
    node: &Node,
    call: &Invocation,
    args: &Args,
    steps: &mut Steps,
    ids: &[String],
    verb: &'static str,
) -> anyhow::Result<Outcome> {
    let known = issue::list(node)?;
    let there: Vec<&String> = ids.iter().filter(|id| known.iter().any(|token| token.id == **id)).collect();
    if call.check_mode || there.is_empty() {
        let msg = match there.is_empty() {
            true => format!("there is no token to be {verb}"),
            false => format!("{} token(s) would be {verb}", there.len()),
        };
        return Ok(Outcome::new(!there.is_empty(), msg).with("revoked", there));
    }
    let revoked = steps.attempt(node, "take tokens away", || issue::revoke(node, ids))?;
    record_done(node, args, steps, if verb == "pruned" { "prune_token" } else { "revoke_token" }, &revoked);
    Ok(Outcome::new(!revoked.is_empty(), format!("{verb}: {}", revoked.join(", "))).with("revoked", revoked))
}

fn is_required(args: &Args) -> bool {
    args.audit == Audit::Required && args.state == State::Present
}

/// What is to be in the trail before it counts.
fn record(node: &Node, args: &Args, steps: &mut Steps, operation: &str, id: &str) -> anyhow::Result<()> {
    match append(node, args, operation, id) {
        Err(error) if is_required(args) => Err(error),
        Err(error) => {
            steps.warn(audit::not_audited(&error));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// What is done whether or not the trail has it.
fn record_done(node: &Node, args: &Args, steps: &mut Steps, operation: &str, ids: &[String]) {
    for error in ids.iter().filter_map(|id| append(node, args, operation, id).err()) {
        steps.warn(audit::not_audited(&error));
    }
}

fn append(node: &Node, args: &Args, operation: &str, id: &str) -> anyhow::Result<()> {
    let entry = Entry {
        node: observe::own_name(node)?,
        cluster: args.cluster_name.clone(),
        operation: operation.to_owned(),
        method: Some(args.kind.word().to_owned()),
        credential: Some(id.to_owned()),
        subjects: args.node.iter().cloned().collect(),
        who: Origin::of(node),
        result: "succeeded".to_owned(),
        ..Entry::default()
    };
    audit::append(node, entry)
}
