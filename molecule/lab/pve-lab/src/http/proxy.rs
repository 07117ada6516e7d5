//! Requests for another node, which the asked node passes on: 500 while the name does not resolve, 596 while the
//! other shows a certificate that is not the cluster's, 595 while it does not answer.

use std::io::Write;

use super::client::{self, ClientError};
use super::gate::{JSON, failure};
use super::message::{self, Answer, Request};
use crate::api::ApiError;
use crate::certificates;
use crate::corosync;
use crate::host::Host;

pub fn forward(host: &Host, node: &str, request: &Request) -> Answer {
    let Some(address) = corosync::address_of(host, node) else {
        let reason = host.system.resolve(node).err().map_or_else(String::new, |error| client::reason(&error));
        return failure(&ApiError::die(format!(
            "hostname lookup '{node}' failed - failed to get address info for: {node}: {reason}\n"
        )));
    };
    match pass_on(host, node, &address, request) {
        Ok(answer) => answer,
        Err(error) => Answer { status: error.status, reason: error.message, ..Answer::default() },
    }
}

fn pass_on(host: &Host, node: &str, address: &str, request: &Request) -> Result<Answer, ClientError> {
    let refused = |status: u16, message: String| ClientError { status, message, ..ClientError::default() };
    let untrusted = || refused(596, "error:0A000086:SSL routines::certificate verify failed".to_owned());
    let pinned = certificates::node_fingerprint(host, node).map_err(|_| untrusted())?;
    let mut stream = client::open(address, Some(&pinned)).map_err(|error| match error.status {
        596 => untrusted(),
        // "Can't connect to X:8006 (reason)"
        _ => refused(
            595,
            error.message.rsplit('(').next().unwrap_or_default().trim_end_matches(')').to_owned(),
        ),
    })?;
    let target = match request.query.as_str() {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    let mut head =
        format!("{} {target} HTTP/1.1\r\nHost: {address}:8006\r\nConnection: close\r\n", request.method);
    for name in ["cookie", "csrfpreventiontoken", "authorization", "content-type"] {
        if let Some(value) = request.header(name) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", request.body.len()));
    let lost = |error: std::io::Error| refused(596, client::reason(&error));
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&request.body)).map_err(lost)?;
    let (status, reason, body) = message::read_answer(&mut stream).map_err(lost)?;
    let content_type = (!body.is_empty()).then_some(JSON);
    Ok(Answer { status, reason, content_type, body })
}
