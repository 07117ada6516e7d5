//! HTTPS to another node's API under a pinned certificate: what is asked, what comes back, how it is written.
//! Sockets and TLS are the host's; what the API means is in `https::api`.

pub mod api;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// SHA-256 of a certificate in DER, written as PVE writes it: `AA:BB:…`.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text is no SHA-256 fingerprint.
#[derive(Debug, thiserror::Error)]
#[error(
    "fingerprint {0:?} is not SHA-256 as 32 bytes in hexadecimal with colons: on the peer run \
     \"pvenode cert info\" and take the fingerprint of pveproxy-ssl.pem, else of pve-ssl.pem"
)]
pub struct NoFingerprint(String);

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let wrong = || NoFingerprint(text.to_owned());
        let parts: Vec<&str> = text.trim().split(':').collect();
        let mut bytes = [0; 32];
        if parts.len() != bytes.len() {
            return Err(wrong());
        }
        for (byte, part) in bytes.iter_mut().zip(parts) {
            if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = NoFingerprint;

    fn try_from(text: String) -> Result<Self, NoFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// One connection.
#[derive(Debug)]
pub struct Exchange {
    /// The other end.
    pub address: SocketAddr,
    /// What is wanted of it.
    pub ask: Ask,
    /// Limit of the whole: connection, handshake, answer.
    pub timeout: Duration,
}

/// What a connection is for.
#[derive(Debug)]
pub enum Ask {
    /// Only see which certificate it shows; nothing is sent.
    Certificate,
    /// Send a request once the certificate has proved to be the pinned one.
    Request {
        /// The only certificate that is accepted.
        pin: Fingerprint,
        /// What is then sent.
        request: Request,
    },
}

/// A request.
#[derive(Debug, Default)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path below the host.
    pub path: String,
    /// Value of the cookie `PVEAuthCookie`, percent-encoded.
    pub ticket: Option<SecretString>,
    /// Body, `application/x-www-form-urlencoded`.
    pub form: Option<SecretString>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Certificate shown.
    pub certificate: Fingerprint,
    /// Status code and its text; none when only the certificate was asked for.
    pub status: Option<(u16, String)>,
    /// Body.
    pub body: String,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// No TCP connection.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// Another certificate than the pinned one; nothing was sent.
    #[error("{address} shows certificate {shown}, not the expected {pinned}: nothing was sent to it")]
    OtherCertificate {
        /// Where.
        address: SocketAddr,
        /// What it shows.
        shown: Fingerprint,
        /// What was pinned.
        pinned: Fingerprint,
    },
    /// The TLS handshake or the exchange after it failed.
    #[error("TLS with {address} failed: {reason}")]
    Tls {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// What came is no HTTP answer of the expected size and kind.
    #[error("{address} gave no usable HTTP answer: {reason}")]
    Protocol {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// This host speaks no HTTPS.
    #[error("no HTTPS on this host")]
    Unsupported,
}

impl Request {
    /// The request as it goes over the wire.
    pub fn to_bytes(&self, host: &SocketAddr) -> zeroize::Zeroizing<Vec<u8>> {
        let body = self.form.as_ref().map_or("", |form| form.expose_secret());
        let ticket = self.ticket.as_ref().map_or("", |ticket| ticket.expose_secret());
        // Room for everything at once: a buffer that grows leaves copies of the secret behind.
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(body.len() + ticket.len() + 512));
        let mut line =
            |parts: &[&str]| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        line(&[self.method, " ", &self.path, " HTTP/1.1\r\nHost: ", &host.to_string(), "\r\n"]);
        line(&["Connection: close\r\nAccept: application/json\r\n"]);
        if self.ticket.is_some() {
            line(&["Cookie: PVEAuthCookie=", ticket, "\r\n"]);
        }
        if self.form.is_some() {
            let length = body.len().to_string();
            line(&["Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ", &length, "\r\n"]);
        }
        line(&["\r\n", body]);
        bytes
    }
}

/// Status and body of a complete answer; `None` while more has to come.
pub fn parse_answer(bytes: &[u8]) -> anyhow::Result<Option<((u16, String), String)>> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = answer.parse(bytes).context("the head is not HTTP/1.1")? else {
        return Ok(None);
    };
    let header = |name: &str| {
        let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    anyhow::ensure!(header("transfer-encoding").is_none(), "a transfer encoding that was not asked for");
    let length: usize = match header("content-length") {
        Some(length) => length.parse().context("its content length is no number")?,
        None => 0,
    };
    let Some(body) = bytes[start..].get(..length) else { return Ok(None) };
    let status = (answer.code.unwrap_or(0), answer.reason.unwrap_or("").to_owned());
    Ok(Some((status, String::from_utf8_lossy(body).into_owned())))
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(byte as char);
        } else {
            encoded.push('%');
            encoded
                .extend([byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)] as char));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const PVE1: &str =
        "67:0D:DF:10:37:28:49:33:E1:AF:19:BF:0C:7B:F1:0E:36:3F:3F:21:6F:87:69:43:3A:92:EA:5C:5E:FE:1D:F2";

    #[test]
    fn a_fingerprint_reads_in_either_case_and_writes_as_pve_does() {
        let read: Fingerprint = PVE1.to_lowercase().parse().unwrap();
        assert_eq!(read.to_string(), PVE1);
        for wrong in ["", "67:0D", &PVE1[3..], &PVE1.replace("67", "6G"), &PVE1.replace(':', "")] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        let answer = b"HTTP/1.1 401 authentication failure\r\nContent-Length: 13\r\n\r\n{\"data\":null}";
        let ((code, reason), body) = parse_answer(answer).unwrap().unwrap();
        assert_eq!(
            (code, reason.as_str(), body.as_str()),
            (401, "authentication failure", "{\"data\":null}")
        );
        assert!(parse_answer(&answer[..answer.len() - 1]).unwrap().is_none());
        assert!(parse_answer(&answer[..20]).unwrap().is_none());
        assert!(parse_answer(b"SSH-2.0-OpenSSH_10.0\r\n").is_err());
    }

    #[test]
    fn a_form_is_percent_encoded() {
        assert_eq!(percent_encode("root@pam a+b&ü"), "root%40pam%20a%2Bb%26%C3%BC");
    }

    #[test]
    fn debug_output_of_a_request_shows_no_secret() {
        let request = Request { form: Some("password=Secret123!".into()), ..Request::default() };
        assert!(!format!("{request:?}").contains("Secret123"));
    }
}
