//! Requests to another node's API, as PVE's own API client makes them. Errors carry PVE's sentences.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use nix::errno::Errno;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use super::{message, tls};
use crate::certificates;

const PORT: u16 = 8006;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// What went wrong, as `<status> <message>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientError {
    pub status: u16,
    pub message: String,
    pub errors: BTreeMap<String, String>,
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.message.trim_end())
    }
}

fn failed(message: impl Into<String>) -> ClientError {
    ClientError { status: 500, message: message.into(), errors: BTreeMap::new() }
}

/// An API session with one node.
pub struct Client {
    peer: String,
    fingerprint: String,
    login: Option<(String, String)>,
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// The operating system's words for a failed connection.
pub(super) fn reason(error: &std::io::Error) -> String {
    if let Some(number) = error.raw_os_error() {
        return Errno::from_raw(number).desc().to_owned();
    }
    if error.kind() == std::io::ErrorKind::TimedOut {
        return "Connection timed out".to_owned();
    }
    let text = error.to_string();
    text.rsplit(": ").next().unwrap_or_default().to_owned()
}

pub(super) fn open(peer: &str, fingerprint: Option<&str>) -> Result<Stream, ClientError> {
    let cannot =
        |error: std::io::Error| failed(format!("Can't connect to {peer}:{PORT} ({})", reason(&error)));
    let address = (peer, PORT)
        .to_socket_addrs()
        .map_err(cannot)?
        .next()
        .ok_or_else(|| failed(format!("Can't connect to {peer}:{PORT} (no address)")))?;
    let socket = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(cannot)?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(cannot)?;
    let name = ServerName::try_from(peer.to_owned()).map_err(|error| failed(error.to_string()))?;
    let config = tls::client(fingerprint).map_err(failed)?;
    let connection = ClientConnection::new(config, name).map_err(|error| failed(error.to_string()))?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream
            .conn
            .complete_io(&mut stream.sock)
            .map_err(|error| ClientError { status: 596, ..failed(error.to_string()) })?;
    }
    Ok(stream)
}

impl Client {
    /// Fingerprint of the certificate that the node shows.
    pub fn probe(peer: &str) -> Result<String, ClientError> {
        let stream = open(peer, None)?;
        let certificate = stream.conn.peer_certificates().and_then(|chain| chain.first());
        certificate
            .map(|certificate| certificates::fingerprint(certificate))
            .ok_or_else(|| failed("no certificate"))
    }

    pub fn new(peer: &str, fingerprint: String) -> Client {
        Client { peer: peer.to_owned(), fingerprint, login: None }
    }

    /// Logs in as root@pam.
    pub fn login(&mut self, password: &str) -> Result<(), ClientError> {
        let params = BTreeMap::from([
            ("username".to_owned(), "root@pam".to_owned()),
            ("password".to_owned(), password.to_owned()),
        ]);
        let answer = self.request("POST", "/access/ticket", &params)?;
        if answer["ticket"].as_str().is_some_and(|ticket| ticket.starts_with("PVE:!tfa!")) {
            // The sentence of PVE::APIClient::LWP; a terminal to type a code into is not emulated.
            return Err(failed("TFA-enabled login currently works only with a TTY."));
        }
        let text = |key: &str| answer[key].as_str().map(str::to_owned);
        self.login = text("ticket").zip(text("CSRFPreventionToken"));
        Ok(())
    }

    pub fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.request("GET", path, &BTreeMap::new())
    }

    pub fn post(&self, path: &str, params: &BTreeMap<String, String>) -> Result<Value, ClientError> {
        self.request("POST", path, params)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        params: &BTreeMap<String, String>,
    ) -> Result<Value, ClientError> {
        let form: Vec<String> = params
            .iter()
            .map(|(key, value)| {
                format!("{}={}", message::percent_encode(key), message::percent_encode(value))
            })
            .collect();
        let body = form.join("&");
        let mut head = format!(
            "{method} /api2/json{path} HTTP/1.1\r\nHost: {}:{PORT}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            self.peer,
            body.len()
        );
        if let Some((ticket, csrf)) = &self.login {
            let ticket = message::percent_encode(ticket);
            head.push_str(&format!("Cookie: PVEAuthCookie={ticket}\r\nCSRFPreventionToken: {csrf}\r\n"));
        }
        let mut stream = open(&self.peer, Some(&self.fingerprint))?;
        let lost = |error: std::io::Error| failed(reason(&error));
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).map_err(lost)?;
        let (status, reason, body) = message::read_answer(&mut stream).map_err(lost)?;
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status == 200 {
            return Ok(json["data"].clone());
        }
        let errors = json["errors"].as_object().into_iter().flatten();
        Err(ClientError {
            status,
            message: json["message"].as_str().unwrap_or(&reason).to_owned(),
            errors: errors
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
        })
    }
}
