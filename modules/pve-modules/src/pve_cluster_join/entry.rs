//! The checks of each method before anything is changed: the material opened, or the password proved and the
//! cluster looked at under the pinned certificate.

use ansible_module::Failure;
use pve::SecretString;
use pve::admission::Newcomer;
use pve::corosync_conf::CorosyncConf;
use pve::credential;
use pve::credential::answer::Question;
use pve::credential::ask::{self, Door};
use pve::credential::token::Token;
use pve::https::api::Peer;
use pve::join::{self, ApiSecret, How, SshJoin, TokenJoin, check};
use pve::observe::{LinkAddress, by_number};
use pve::seal::Material;

use super::spec::{Args, Method};
use crate::operating::Session;

/// What is known of the cluster before the join.
#[derive(Default)]
pub(super) struct Forecast {
    /// corosync.conf as it will be, where the material shows it.
    pub(super) corosync_conf: Option<String>,
    /// Nodes that the cluster has.
    pub(super) nodes_before: usize,
}

/// Checks the way in; `None` for it in check mode, where material may be absent.
pub(super) fn check(
    session: &mut Session<'_>,
    is_check: bool,
    args: Args,
    links: &[LinkAddress],
    what: &str,
) -> Result<(Option<How>, Forecast), Failure> {
    match args.method {
        Method::Brokered => brokered(session, is_check, args, links, what),
        Method::Api => password(session, is_check, args, links, what, ApiSecret::Password),
        Method::Expect => password(session, is_check, args, links, what, ApiSecret::Dialogue),
        Method::Ticket => ticket(session, is_check, args, links, what),
        Method::Token => token(session, is_check, args, links, what),
        Method::Ssh => ssh(session, is_check, args, links, what),
    }
}

fn brokered(
    session: &mut Session<'_>,
    is_check: bool,
    args: Args,
    links: &[LinkAddress],
    what: &str,
) -> Result<(Option<How>, Forecast), Failure> {
    let Some(material) = args.material.filter(|text| !text.is_empty()) else {
        if is_check {
            return Ok((None, Forecast::default()));
        }
        let fault = "method brokered needs material: pass join_material of this node from pve_cluster_member, run on a member with its public_key";
        return Err(session.refusal(what, &[fault.to_owned()]));
    };
    let name = session.facts.node.clone();
    let cluster_name = args.cluster_name;
    let forecast = session.look("open the join material", |node| {
        let opened = Material::open(node, &name, &material)?;
        check::material_faults(&opened, &cluster_name, links)?;
        let conf = CorosyncConf::parse(&opened.corosync_conf)?;
        let nodes_before = conf.nodes().len().saturating_sub(1);
        Ok(Forecast { corosync_conf: Some(opened.corosync_conf), nodes_before })
    })?;
    Ok((Some(How::Brokered { material }), forecast))
}

/// With root's password, which is given or, for one join, sealed in a credential.
fn password(
    session: &mut Session<'_>,
    is_check: bool,
    args: Args,
    links: &[LinkAddress],
    what: &str,
    secret: ApiSecret,
) -> Result<(Option<How>, Forecast), Failure> {
    let (password, id) = match (args.password.clone(), given(&args.credential)) {
        (Some(password), _) => (password, None),
        (None, Some(sealed)) => {
            let opened = opened(session, credential::Kind::TemporaryPassword, &args.cluster_name, &sealed)?;
            (opened.secret, Some(opened.id))
        }
        (None, None) => {
            return without(session, is_check, what, "this method needs password or credential");
        }
    };
    over_api(session, args, links, secret, password, id)
}

fn ticket(
    session: &mut Session<'_>,
    is_check: bool,
    args: Args,
    links: &[LinkAddress],
    what: &str,
) -> Result<(Option<How>, Forecast), Failure> {
    let Some(sealed) = given(&args.credential) else {
        return without(
            session,
            is_check,
            what,
            "method ticket needs credential: pass credential of pve_join_credential",
        );
    };
    let ticket = opened(session, credential::Kind::Ticket, &args.cluster_name, &sealed)?;
    over_api(session, args, links, ApiSecret::Ticket, ticket.secret, Some(ticket.id))
}

/// What both ways over the API of a member have in common.
fn over_api(
    session: &mut Session<'_>,
    args: Args,
    links: &[LinkAddress],
    secret: ApiSecret,
    password: SecretString,
    credential: Option<String>,
) -> Result<(Option<How>, Forecast), Failure> {
    // required_if of the table has seen to it that they are given.
    let (Some(peer), Some(fingerprint)) = (args.peer, args.fingerprint) else {
        return Err(session.failure(anyhow::anyhow!("peer and fingerprint are needed")));
    };
    let fingerprint = fingerprint.parse().map_err(|error| session.failure(anyhow::Error::new(error)))?;
    let newcomer = Newcomer {
        name: session.facts.node.clone(),
        links: by_number(links),
        nodeid: args.nodeid,
        votes: args.votes,
    };
    let address = session.look("resolve the peer", |node| pve::join::peer_address(node, &peer))?;
    let node = session.node;
    let (step, words) = match secret {
        ApiSecret::Password | ApiSecret::Dialogue => ("prove root's password to the peer", "password"),
        ApiSecret::Ticket => ("prove the ticket to the peer", "ticket"),
    };
    let api = session.look(step, |_| Peer::login(node, address, fingerprint, &password, words))?;
    let nodes_before = session.look("look at the peer's cluster", |_| {
        let cluster = api.cluster()?;
        check::peer_faults(address, cluster.as_ref(), &args.cluster_name, &newcomer)?;
        Ok(cluster.map_or(0, |cluster| cluster.nodes.len()))
    })?;
    let (nodeid, votes) = (args.nodeid, args.votes);
    let how = How::Api { secret, peer: address, fingerprint, credential, password, nodeid, votes };
    Ok((Some(how), Forecast { corosync_conf: None, nodes_before }))
}

fn token(
    session: &mut Session<'_>,
    is_check: bool,
    args: Args,
    links: &[LinkAddress],
    what: &str,
) -> Result<(Option<How>, Forecast), Failure> {
    let text = match (args.token, given(&args.credential)) {
        (Some(text), _) => text,
        (None, Some(sealed)) => opened(session, credential::Kind::Token, &args.cluster_name, &sealed)?.secret,
        (None, None) => {
            let fault = "method token needs token or credential: pass join_string or credential of pve_join_credential";
            return without(session, is_check, what, fault);
        }
    };
    let (name, cluster) = (session.facts.node.clone(), args.cluster_name);
    let token = session.look("read the token", |_| Token::parse(&text))?;
    let faults = ask::faults(session.node, &token, &cluster, &name);
    if !faults.is_empty() {
        return Err(session.refusal(what, &faults));
    }
    let (nodeid, votes) = (args.nodeid, args.votes);
    let deadline = session.deadline();
    let nodes_before = session.look("ask a member whether it takes the token", |node| {
        let question = join::question(node, &token, &name, links, is_check)?;
        Ok(ask::ask(node, &Door::of(&token), &Question { nodeid, votes, ..question }, deadline)?.nodes)
    })?;
    let how = How::Token(TokenJoin { token: text, nodeid, votes });
    Ok((Some(how), Forecast { corosync_conf: None, nodes_before }))
}

fn ssh(
    session: &mut Session<'_>,
    is_check: bool,
    args: Args,
    links: &[LinkAddress],
    what: &str,
) -> Result<(Option<How>, Forecast), Failure> {
    // required_if of the table has seen to it that they are given.
    let (peer, host_keys) = (args.peer.unwrap_or_default(), args.host_keys.unwrap_or_default());
    let (peer, host_keys) = session.look("look at peer, host keys and key", |node| {
        if let Some(key) = args.ssh_key.as_ref().filter(|key| !is_check || node.exists(key)) {
            join::user_faults(node, key)?;
        }
        Ok((join::peer_address(node, &peer)?, pve::ssh_keys::pins(&host_keys)?))
    })?;
    let user = Some(args.ssh_user).filter(|name| name != "root");
    let key = match (&user, given(&args.credential), args.ssh_key) {
        (None, Some(sealed), None) => {
            opened(session, credential::Kind::SshKey, &args.cluster_name, &sealed)?.secret
        }
        // In check mode the key may yet be made.
        (Some(_), None, Some(key)) if !is_check || session.node.exists(&key) => key.into(),
        _ => {
            let fault = "method ssh needs credential of pve_join_credential type=ssh_key as root, and ssh_key as another ssh_user";
            return without(session, is_check, what, fault);
        }
    };
    let (name, cluster, deadline) = (session.facts.node.clone(), args.cluster_name, session.deadline());
    let how = SshJoin { peer, host_keys, user, key, nodeid: args.nodeid, votes: args.votes };
    let nodes_before = session.look("ask the member whether it lets this node in", |node| {
        let question = how.question(node, &cluster, &name, links, is_check)?;
        Ok(ask::ask(node, &how.door()?, &question, deadline)?.nodes)
    })?;
    Ok((Some(How::Ssh(how)), Forecast { corosync_conf: None, nodes_before }))
}

fn opened(
    session: &mut Session<'_>,
    kind: credential::Kind,
    cluster_name: &str,
    sealed: &str,
) -> Result<credential::Opened, Failure> {
    let name = session.facts.node.clone();
    session.look("open the credential", |node| credential::open(node, kind, cluster_name, &name, sealed))
}

fn given(credential: &Option<String>) -> Option<String> {
    credential.clone().filter(|text| !text.is_empty())
}

/// In check mode the one that issues credentials has issued none.
fn without(
    session: &Session<'_>,
    is_check: bool,
    what: &str,
    fault: &str,
) -> Result<(Option<How>, Forecast), Failure> {
    match is_check {
        true => Ok((None, Forecast::default())),
        false => Err(session.refusal(what, &[fault.to_owned()])),
    }
}
