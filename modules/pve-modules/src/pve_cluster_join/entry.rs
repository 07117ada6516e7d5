//! The checks of each method before anything is changed: the material opened, or the password proved and the
//! cluster looked at under the pinned certificate.

use ansible_module::Failure;
use pve::admission::Newcomer;
use pve::corosync_conf::CorosyncConf;
use pve::https::api::Peer;
use pve::join::{How, check};
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
        Method::Api => api(session, args, links),
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
        let fault = "method brokered needs material: pass join_material of this node from pve_cluster_member";
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

fn api(
    session: &mut Session<'_>,
    args: Args,
    links: &[LinkAddress],
) -> Result<(Option<How>, Forecast), Failure> {
    // required_if of the table has seen to it that they are given.
    let (Some(peer), Some(fingerprint), Some(password)) = (args.peer, args.fingerprint, args.password) else {
        return Err(session.failure(anyhow::anyhow!("method api needs peer, fingerprint and password")));
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
    let api = session
        .look("prove root's password to the peer", |_| Peer::login(node, address, fingerprint, &password))?;
    let nodes_before = session.look("look at the peer's cluster", |_| {
        let cluster = api.cluster()?;
        check::peer_faults(address, cluster.as_ref(), &args.cluster_name, &newcomer)?;
        Ok(cluster.map_or(0, |cluster| cluster.nodes.len()))
    })?;
    let (nodeid, votes) = (args.nodeid, args.votes);
    let how = How::Api { peer: address, fingerprint, password, nodeid, votes };
    Ok((Some(how), Forecast { corosync_conf: None, nodes_before }))
}
