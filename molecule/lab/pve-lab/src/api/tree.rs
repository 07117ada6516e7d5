//! The tree itself: which method of which path does what, who may call it, and what `pvesh ls` lists.

use serde_json::{Value, json};

use super::schema::{self};
use super::worker::{self, Work};
use super::{
    Answer, ApiError, Reply, Request, access, cluster, cluster_config, create, join, membership, nodes,
    settings, users,
};

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
        ("GET", ["access", "users"]) => users::list_users(request),
        ("POST", ["access", "users"]) => users::add_user(request),
        ("DELETE", ["access", "users", user]) => users::remove_user(request, user),
        ("POST", ["access", "users", user, "token", token]) => users::add_token(request, user, token),
        ("DELETE", ["access", "users", user, "token", token]) => users::remove_token(request, user, token),
        ("PUT", ["access", "acl"]) => users::change_acl(request),
        ("PUT", ["access", "password"]) => users::change_password(request),
        ("GET", ["cluster", "status"]) => {
            request.caller.require(host, "/", "Sys.Audit")?;
            cluster::status(host)
        }
        ("GET", ["cluster", "ha", "status", "current"]) => {
            request.caller.require(host, "/", "Sys.Audit")?;
            cluster::ha_status(host)
        }
        ("GET", ["cluster", "resources"]) => cluster::resources(host),
        ("PUT", ["cluster", "options"]) => settings::change_options(request),
        ("POST", ["storage"]) => settings::add_storage(request),
        ("GET", ["cluster", "config", ..]) => {
            request.caller.require(host, "/", "Sys.Audit")?;
            read_config(request, &parts[2..])
        }
        ("GET", ["cluster", "tasks"]) => cluster::tasks(host),
        ("POST", ["cluster", "config"]) => {
            request.caller.require_root()?;
            create::check(host, &request.params)?;
            start(request, "clustercreate", &request.params["clustername"])
        }
        ("POST", ["cluster", "config", "join"]) => {
            request.caller.require_root()?;
            schema::verify(&join::SCHEMA, &request.params)?;
            start(request, "clusterjoin", "")
        }
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
        (method, ["nodes", node, rest @ ..]) if !rest.is_empty() => nodes::call(request, method, node, rest),
        ("GET", path) if children(path).is_some() => {
            let list = children(path).unwrap_or_default();
            Ok(list.iter().map(|(name, ..)| json!({"subdir": name})).collect::<Vec<_>>())
                .map(|list| Value::from(list).into())
        }
        _ => Err(not_implemented(request)),
    }
}

/// What PVE says of a path or method that it does not have.
pub fn not_implemented(request: &Request<'_>) -> ApiError {
    let path = format!("/{}", request.path.trim_matches('/'));
    ApiError::status(501, format!("Method '{} {path}' not implemented", request.method))
}

fn read_config(request: &Request<'_>, below: &[&str]) -> Answer {
    let host = request.host;
    match below {
        [] => cluster_config::index(),
        ["apiversion"] => Ok(Value::from("1").into()),
        ["qdevice"] => Ok(json!({}).into()),
        ["totem"] => cluster_config::totem(host),
        ["join"] => cluster_config::join_info(host, &request.params),
        ["nodes"] => cluster_config::nodes(host),
        _ => Err(not_implemented(request)),
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
