//! From an HTTP request to an API call and back: who is it, may it, and in which words it is refused.

use serde_json::{Map, Value};

use super::message::{Answer, Request, percent_decode};
use super::proxy;
use crate::api::{self, ApiError, Caller, Reply, users};
use crate::auth;
use crate::delays::Step;
use crate::host::Host;

pub const JSON: &str = "application/json;charset=UTF-8";

/// Answers a request for this node.
pub fn answer(host: &Host, request: &Request) -> Answer {
    let Some(path) = request.path.strip_prefix("/api2/json") else {
        return page(request);
    };
    let path: String = path.split('/').map(|part| percent_decode(part, false)).collect::<Vec<_>>().join("/");
    let caller = match authenticate(host, request, &path) {
        Ok(caller) => caller,
        Err(reason) => {
            host.delays.take(Step::FailedLogin);
            return Answer { status: 401, reason: reason.to_owned(), ..Answer::default() };
        }
    };
    if let Some(node) = other_node(host, &path) {
        return proxy::forward(host, &node, request);
    }
    let call = api::Request { host, method: &request.method, path: &path, params: request.params(), caller };
    match api::call(&call) {
        Ok(reply) => success(reply),
        Err(error) => {
            if error.status == Some(401) {
                host.delays.take(Step::FailedLogin);
            }
            failure(&error)
        }
    }
}

/// The node that the path names, when it is not this one.
fn other_node(host: &Host, path: &str) -> Option<String> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let node = parts.next().filter(|first| *first == "nodes").and(parts.next())?;
    parts.next()?;
    (node != "localhost" && node != host.nodename()).then(|| node.to_owned())
}

/// Anything but the API: the lab has no web interface, as the nodes had none that the transcripts come from.
fn page(request: &Request) -> Answer {
    if request.path == "/" {
        let text = "file error - /usr/share/pve-manager/index.html.tpl: not found";
        return Answer {
            status: 500,
            reason: text.to_owned(),
            body: format!("{text}\n").into_bytes(),
            content_type: None,
        };
    }
    let reason = format!("no such file '{}'", request.path);
    Answer { status: 404, reason, ..Answer::default() }
}

fn authenticate(host: &Host, request: &Request, path: &str) -> Result<Caller, &'static str> {
    let caller = |user: String| Caller { user, is_token: false, is_interactive: false };
    if path == "/access/ticket" {
        return Ok(caller(String::new()));
    }
    if let Some(text) = request.header("authorization").and_then(|text| text.strip_prefix("PVEAPIToken=")) {
        let token = users::check_token(host, text).ok_or("Authentication failed!")?;
        return Ok(Caller { is_token: true, ..caller(token) });
    }
    let Some(ticket) = request.cookie("PVEAuthCookie") else { return Err("No ticket") };
    let Some(user) = auth::check_ticket(host, &ticket) else { return Err("Authentication failed!") };
    if request.method != "GET" {
        let token = request.header("csrfpreventiontoken").unwrap_or_default();
        if !auth::check_csrf(host, &user, token) {
            return Err("Permission denied - invalid csrf token");
        }
    }
    Ok(caller(user))
}

fn success(reply: Reply) -> Answer {
    let mut body = Map::new();
    body.insert("data".to_owned(), reply.data);
    if let Some(total) = reply.total {
        body.insert("total".to_owned(), total.into());
    }
    json_answer(200, "OK", body)
}

pub fn failure(error: &ApiError) -> Answer {
    let mut body = Map::new();
    body.insert("data".to_owned(), Value::Null);
    body.insert("message".to_owned(), error.message.as_str().into());
    if !error.errors.is_empty() {
        let errors = error.errors.iter().map(|(key, text)| (key.clone(), Value::from(text.as_str())));
        body.insert("errors".to_owned(), Value::Object(errors.collect()));
    }
    let reason = error.message.lines().next().unwrap_or_default();
    json_answer(error.status.unwrap_or(500), reason, body)
}

fn json_answer(status: u16, reason: &str, body: Map<String, Value>) -> Answer {
    Answer {
        status,
        reason: reason.to_owned(),
        content_type: Some(JSON),
        body: Value::Object(body).to_string().into_bytes(),
    }
}
