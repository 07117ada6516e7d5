//! What creating a cluster means on a node with these facts. Pure.

use std::collections::BTreeMap;

use pve::corosync_conf::{CorosyncConf, NewCluster, NewLink};
use pve::create::{self, Request};
use pve::facts::{ClusterState, NodeFacts};
use pve::join::check;
use pve::observe::{LinkAddress, by_number};

use super::spec::Args;
use crate::operating::links_or_own;

/// What PVE 9 writes where nothing is asked for.
const TOKEN_COEFFICIENT: u32 = 125;

/// What is to be done.
pub(super) enum Plan {
    /// The cluster is there.
    Keep {
        /// What of it is not as asked for, and is left so.
        differences: Vec<String>,
    },
    /// It is to be made.
    Create {
        /// With this.
        request: Request,
        /// corosync.conf as it will be.
        preview: String,
    },
}

/// Decides; the error is every reason against it.
pub(super) fn plan(facts: &NodeFacts, args: &Args) -> Result<Plan, Vec<String>> {
    let links = links_or_own(args.links.clone(), facts);
    match &facts.cluster {
        Some(cluster) if cluster.name != args.cluster_name => {
            return Err(vec![format!(
                "this node is a member of another cluster, {:?}: a node is in one cluster; reset it first if it is \
                 to leave that one",
                cluster.name
            )]);
        }
        Some(_) if facts.state == ClusterState::Member => {
            return Ok(Plan::Keep { differences: differences(facts, args, &links) });
        }
        Some(cluster) => {
            return Err(vec![format!(
                "this node is in cluster {:?} already, but without quorum: {}see \"journalctl -u corosync\"",
                cluster.name,
                if cluster.nodes.len() > 1 { "bring its other nodes up, " } else { "" }
            )]);
        }
        None => {}
    }
    let mut faults: Vec<String> = create::name_fault(&args.cluster_name).into_iter().collect();
    faults.extend(check::node_faults(facts, &links, true));
    if args.nodeid == 0 {
        faults.push("node id 0 can't be used: ids begin with 1".to_owned());
    }
    if args.votes == 0 {
        faults.push("the first node needs at least one vote, or there is never quorum".to_owned());
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let request = Request {
        cluster_name: args.cluster_name.clone(),
        node: facts.node.clone(),
        links,
        nodeid: args.nodeid,
        votes: args.votes,
        token_coefficient: args.token_coefficient,
    };
    let preview = preview(&request);
    Ok(Plan::Create { request, preview })
}

fn preview(request: &Request) -> String {
    let new_link = |link: &LinkAddress| NewLink {
        number: link.number,
        address: link.address.clone(),
        priority: link.priority,
    };
    CorosyncConf::create(&NewCluster {
        cluster_name: request.cluster_name.clone(),
        node: request.node.clone(),
        nodeid: request.nodeid,
        votes: request.votes,
        links: request.links.iter().map(new_link).collect(),
        token_coefficient: request.token_coefficient.or(Some(TOKEN_COEFFICIENT)),
    })
    .render()
}

fn differences(facts: &NodeFacts, args: &Args, links: &[LinkAddress]) -> Vec<String> {
    let cluster = facts.cluster.as_ref();
    let own = cluster.and_then(|cluster| cluster.nodes.iter().find(|node| node.name == facts.node));
    let Some(own) = own else { return Vec::new() };
    let mut found = Vec::new();
    let mut compare = |what: &str, is: String, asked: String| {
        if is != asked {
            found.push(format!(
                "{what} is {is}, not {asked} as asked for: an existing cluster is not changed here"
            ));
        }
    };
    if args.links.is_some() {
        let asked: BTreeMap<u8, String> = by_number(links);
        compare("the set of links", format!("{:?}", own.links), format!("{asked:?}"));
    }
    // The defaults are those of a new cluster: an existing one need not have them.
    if args.nodeid != 1 {
        compare("the node id", own.nodeid.to_string(), args.nodeid.to_string());
    }
    if args.votes != 1 {
        compare("the number of votes", own.votes.to_string(), args.votes.to_string());
    }
    let conf = cluster.and_then(|cluster| CorosyncConf::parse(&cluster.text).ok());
    if let (Some(asked), Some(conf)) = (args.token_coefficient, conf) {
        let is = conf.token_coefficient().map_or("not set".to_owned(), |value| value.to_string());
        compare("the token coefficient", is, asked.to_string());
    }
    found
}
