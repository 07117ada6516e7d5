//! TLS to one pinned certificate, for the real host, by the node's own `openssl s_client`: every Proxmox VE has it
//! (pve-cluster makes its certificates with it), it takes whatever kind of key the peer has, and its updates are
//! the distribution's.
//!
//! Two connections. The first only looks which certificate is shown. The second trusts that certificate and
//! nothing else (openssl-verification-options(1): `-partial_chain` lets a leaf be the anchor), so the request
//! leaves this node only to who holds the pinned certificate's key.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use secrecy::SecretString;

use super::{Cmd, Host, Output, RunError};
use crate::certificate;
use crate::https::{Ask, Exchange, Fingerprint, HttpsError, Reply, Request, parse_answer};

/// The longest answer that is read: node lists are a few kilobytes.
const ANSWER_LIMIT: usize = 1 << 20;
/// How long a peer that gave no answer has to show that it listens at all.
const LISTENS: Duration = Duration::from_secs(1);

/// Connects, and sends the request if the certificate is the pinned one.
pub fn exchange(host: &impl Host, exchange: &Exchange) -> Result<Reply, HttpsError> {
    let address = exchange.address;
    let deadline = Instant::now() + exchange.timeout;
    let peer = Peer { host, address, deadline };
    let pem = peer.certificate()?;
    let shown = fingerprint(&pem, address)?;
    let Ask::Request { pin, request } = &exchange.ask else {
        return Ok(Reply { certificate: shown, status: None, body: String::new() });
    };
    if shown != *pin {
        return Err(HttpsError::OtherCertificate { address, shown, pinned: *pin });
    }
    let (status, body) = peer.ask(&pem, request)?;
    Ok(Reply { certificate: shown, status: Some(status), body })
}

/// The other end, and until when it is talked to.
struct Peer<'a, H> {
    host: &'a H,
    address: SocketAddr,
    deadline: Instant,
}

impl<H: Host> Peer<'_, H> {
    /// The certificate that is shown, as PEM. No request is sent.
    fn certificate(&self) -> Result<String, HttpsError> {
        let output = self.s_client(&["-showcerts"], None)?;
        let pem = output.stdout.find("-----BEGIN CERTIFICATE-----").map(|start| &output.stdout[start..]);
        let end = "-----END CERTIFICATE-----";
        match pem.and_then(|pem| pem.find(end).map(|at| &pem[..at + end.len()])) {
            Some(pem) => Ok(format!("{pem}\n")),
            // What s_client prints first once there is a connection.
            None if !output.stdout.contains("CONNECTED") => Err(self.unreachable(&output)),
            None => Err(self.failed(&output)),
        }
    }

    /// Sends the request to who holds this certificate's key, and to nobody else.
    fn ask(&self, pem: &str, request: &Request) -> Result<((u16, String), String), HttpsError> {
        let anchor = anchor(pem).map_err(|error| self.tls(error.to_string()))?;
        // The file has no name: openssl opens it by way of this process.
        let path = format!("/proc/{}/fd/{}", std::process::id(), anchor.as_raw_fd());
        let args = [
            "-quiet",
            "-verify_return_error",
            "-partial_chain",
            "-no_check_time",
            "-no-CApath",
            "-no-CAstore",
            "-CAfile",
            &path,
        ];
        let bytes = request.to_bytes(&self.address);
        let text = std::str::from_utf8(&bytes).map_err(|error| self.tls(error.to_string()))?;
        let output = self.s_client(&args, Some(SecretString::from(text)))?;
        let answer = output.stdout.as_bytes();
        let protocol = |reason: String| HttpsError::Protocol { address: self.address, reason };
        if answer.is_empty() {
            return Err(self.failed(&output));
        }
        if answer.len() > ANSWER_LIMIT {
            return Err(protocol(format!("it is longer than {ANSWER_LIMIT} bytes")));
        }
        match parse_answer(answer) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(protocol(format!("the connection ended after {} bytes", answer.len()))),
            Err(error) => Err(protocol(format!("{error:#}"))),
        }
    }

    fn s_client(&self, args: &[&str], request: Option<SecretString>) -> Result<Output, HttpsError> {
        let left = self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let address = self.address.to_string();
        let all = ["s_client", "-connect", &address].into_iter().chain(args.iter().copied());
        let mut cmd = Cmd::new("openssl", all, left);
        cmd.stdin = request;
        self.host.run(&cmd).map_err(|error| match error {
            RunError::TimedOut { .. } => self.silent(),
            other => self.tls(other.to_string()),
        })
    }

    /// No answer in time: of a server, or of the network.
    fn silent(&self) -> HttpsError {
        match self.host.connect(self.address, LISTENS) {
            Ok(_) => self.tls("no answer in time".to_owned()),
            Err(error) => HttpsError::Unreachable { address: self.address, reason: error.to_string() },
        }
    }

    fn tls(&self, reason: String) -> HttpsError {
        HttpsError::Tls { address: self.address, reason }
    }

    /// openssl words it `BIO_connect:Connection refused:…`; the reason stands in none of its other fields.
    fn unreachable(&self, output: &Output) -> HttpsError {
        let said = output.stderr.lines().find_map(|line| line.split("connect").nth(1)?.split(':').nth(1));
        let reason = said.map(str::trim).filter(|said| !said.is_empty()).unwrap_or("no connection");
        HttpsError::Unreachable { address: self.address, reason: reason.to_owned() }
    }

    /// What openssl said last: it names the alert, or the check that the certificate did not pass.
    fn failed(&self, output: &Output) -> HttpsError {
        let is_word = |line: &&str| line.contains("rror") || line.contains("alert");
        let said =
            output.stderr.lines().rfind(is_word).unwrap_or("the connection ended before the handshake");
        self.tls(said.trim().to_owned())
    }
}

fn fingerprint(pem: &str, address: SocketAddr) -> Result<Fingerprint, HttpsError> {
    let read = certificate::fingerprint_of_pem(pem).and_then(|text| Ok(text.parse()?));
    read.map_err(|error| HttpsError::Tls { address, reason: error.to_string() })
}

fn anchor(pem: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"certificate", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(pem.as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests;
