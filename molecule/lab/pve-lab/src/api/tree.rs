//! The tree itself: which method of which path does what, who may call it, and what `pvesh ls` lists.

use serde_json::{Value, json};

use super::schema::{self};
use super::worker::{self, Work};
use super::{Answer, ApiError, Reply, Request, access, cluster, cluster_config, create, join, membership, nodes};

/// A path's directory listing: name, is it a directory, may one create below.
pub type Child = (&'static str, bool, bool);

/// Answers one request. Requests for another node are not known here: the HTTP side forwards them.
pub fn call(request: &Request<'_>) -> Answer {
    let host = request.host;
    let parts: Vec<&str> = request.path.split('/').filter(|part| !part.is_empty()).collect();
    match (request.method, parts.as_slice()) {
        ("GET", ["version"]) => cluster::version(),
        ("GET", ["access", "ticket"]) => Ok(Reply::default()),
        ("POST", ["access", "ticket"]) => access::login(request),
        ("GET", ["cluster", "status"]) => cluster::status(host),
        ("GET", ["cluster", "resources"]) => cluster::resources(host),
        ("GET", ["cluster", "tasks"]) => cluster::tasks(host),
        ("GET", ["cluster", "config"]) => cluster_config::index(),
        ("POST", ["cluster", "config"]) => {
            request.caller.require_root()?;
            create::check(host, &request.params)?;
            start(request, "clustercreate", &request.params["clustername"])
        }
        ("GET", ["cluster", "config", "apiversion"]) => Ok(Value::from("1").into()),
        ("GET", ["cluster", "config", "qdevice"]) => Ok(json!({}).into()),
        ("GET", ["cluster", "config", "totem"]) => cluster_config::totem(host),
        ("GET", ["cluster", "config", "join"]) => cluster_config::join_info(host, &request.params),
        ("POST", ["cluster", "config", "join"]) => {
            request.caller.require_root()?;
            schema::verify(&join::SCHEMA, &request.params)?;
            start(request, "clusterjoin", "")
        }
        ("GET", ["cluster", "config", "nodes"]) => cluster_config::nodes(host),
        ("POST", ["cluster", "config", "nodes", node]) => {
            request.caller.require_root()?;
            let mut params = request.params.clone();
            params.insert("node".to_owned(), (*node).to_owned());
            membership::add(host, &params)
        }
        ("DELETE", ["cluster", "config", "nodes", node]) => {
            request.caller.require_root()?;
            membership::remove(host, node)
        }
        ("GET", ["nodes"]) => nodes::list(host),
        ("GET", ["nodes", _, "status"]) => nodes::status(host),
        ("GET", ["nodes", _, "version"]) => cluster::version(),
        ("GET", ["nodes", _, "tasks"]) => nodes::task_list(request),
        ("GET", ["nodes", _, "tasks", upid, "status"]) => nodes::task_status(host, upid),
        ("GET", ["nodes", _, "tasks", upid, "log"]) => nodes::task_log(request, upid),
        ("GET", path) if children(path).is_some() => {
            let list = children(path).unwrap_or_default();
            Ok(list.iter().map(|(name, ..)| json!({"subdir": name})).collect::<Vec<_>>())
                .map(|list| Value::from(list).into())
        }
        _ => {
            let path = format!("/{}", parts.join("/"));
            Err(ApiError::status(501, format!("Method '{} {path}' not implemented", request.method)))
        }
    }
}

fn start(request: &Request<'_>, kind: &str, id: &str) -> Answer {
    let work = Work {
        kind: kind.to_owned(),
        id: id.to_owned(),
        user: request.caller.user.clone(),
        params: request.params.clone(),
    };
    Ok(Value::from(worker::start(request.host, &request.caller, work)?).into())
}

/// What is below a path, for `pvesh ls`.
pub fn children(path: &[&str]) -> Option<Vec<Child>> {
    Some(match path {
        [] => vec![
            ("access", true, false),
            ("cluster", true, false),
            ("nodes", true, false),
            ("pools", true, false),
            ("storage", true, false),
            ("version", false, false),
        ],
        ["access"] => vec![("ticket", false, true)],
        ["cluster"] => vec![
            ("config", true, false),
            ("resources", false, false),
            ("status", false, false),
            ("tasks", false, false),
        ],
        ["cluster", "config"] => vec![
            ("apiversion", false, false),
            ("join", false, true),
            ("nodes", true, false),
            ("qdevice", false, false),
            ("totem", false, false),
        ],
        _ => return None,
    })
}
