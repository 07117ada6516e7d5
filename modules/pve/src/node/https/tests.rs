//! The pinned client against a real TLS server on the loopback, with a key made for this test only.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest, Sha256};

use super::{Peer, exchange as exchange_by};
use crate::RealHost;
use crate::https::{Ask, Exchange, Fingerprint, HttpsError, Reply, Request};

/// A certificate and a key.
#[derive(Clone, Copy)]
struct Identity(&'static [u8], &'static [u8]);

const RSA: Identity =
    Identity(include_bytes!("../../../tests/tls/cert.der"), include_bytes!("../../../tests/tls/key.der"));
/// Of another kind, and valid for a day that is long over: the pin says which certificate, not its dates.
const EXPIRED_ECDSA: Identity = Identity(
    include_bytes!("../../../tests/tls/ec-cert.der"),
    include_bytes!("../../../tests/tls/ec-key.der"),
);
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"data\":{}}";

/// A TLS server on the loopback, one connection after the other.
struct Server {
    address: SocketAddr,
    sent: Arc<Mutex<String>>,
}

impl Server {
    fn start(identity: Identity, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), sent: Arc::default() };
        let (sent, config) = (Arc::clone(&server.sent), Arc::new(config(identity)));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                answer_one(socket.unwrap(), &config, answer, &mut sent.lock().unwrap());
            }
        });
        server
    }

    /// What all connections so far sent: one more is served only after them.
    fn sent(&self) -> String {
        let mut last = TcpStream::connect(self.address).unwrap();
        last.shutdown(Shutdown::Write).unwrap();
        let _ = last.read(&mut [0; 64]);
        self.sent.lock().unwrap().clone()
    }
}

fn config(Identity(certificate, key): Identity) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(PrivateKeyDer::try_from(key).unwrap()).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![CertificateDer::from(certificate)], key);
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
}

fn answer_one(socket: TcpStream, config: &Arc<ServerConfig>, answer: &str, sent: &mut String) {
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), socket);
    let mut buffer = [0; 4096];
    while !sent.ends_with("\r\n\r\n") && !sent.ends_with("secret") {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => sent.push_str(&String::from_utf8_lossy(&buffer[..count])),
            _ => return,
        }
    }
    let _ = stream.write_all(answer.as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn exchange(exchange: &Exchange) -> Result<Reply, HttpsError> {
    exchange_by(&RealHost::default(), exchange)
}

fn pin(Identity(certificate, _): Identity) -> Fingerprint {
    Fingerprint(Sha256::digest(certificate).into())
}

fn post(address: SocketAddr, pin: Fingerprint) -> Result<Reply, HttpsError> {
    let form = Some("password=secret".into());
    let request = Request { method: "POST", path: "/x".to_owned(), form, ticket: None };
    exchange(&Exchange { address, ask: Ask::Request { pin, request }, timeout: Duration::from_secs(5) })
}

#[test]
fn the_pinned_certificate_gets_the_request_and_answers() {
    for identity in [RSA, EXPIRED_ECDSA] {
        let server = Server::start(identity, ANSWER);
        let reply = post(server.address, pin(identity)).unwrap();
        assert_eq!(reply.status, Some((200, "OK".to_owned())));
        assert_eq!((reply.body.as_str(), reply.certificate), ("{\"data\":{}}", pin(identity)));
        let sent = server.sent();
        assert!(sent.starts_with("POST /x HTTP/1.1\r\n"), "{sent}");
        assert!(sent.ends_with("\r\n\r\npassword=secret"), "{sent}");
    }
}

#[test]
fn another_certificate_gets_nothing() {
    let server = Server::start(RSA, ANSWER);
    let error = post(server.address, Fingerprint([0xAA; 32])).unwrap_err();
    assert!(matches!(error, HttpsError::OtherCertificate { shown, .. } if shown == pin(RSA)), "{error}");
    assert_eq!(server.sent(), "");
}

#[test]
fn a_certificate_that_changes_between_the_two_connections_gets_nothing() {
    let server = Server::start(EXPIRED_ECDSA, ANSWER);
    let timeout = Duration::from_secs(5);
    let rsa = Server::start(RSA, ANSWER);
    let host = RealHost::default();
    let look = Peer { host: &host, address: rsa.address, deadline: Instant::now() + timeout };
    let pem = look.certificate().unwrap();
    let swapped = Peer { host: &host, address: server.address, deadline: Instant::now() + timeout };
    let request = Request { method: "POST", form: Some("password=secret".into()), ..Request::default() };
    let error = swapped.ask(&pem, &request).unwrap_err();
    assert!(matches!(&error, HttpsError::Tls { reason, .. } if reason.contains("verify")), "{error}");
    assert_eq!(server.sent(), "");
}

#[test]
fn a_stolen_certificate_without_its_key_gets_nothing() {
    const OTHER_KEY: &[u8] = include_bytes!("../../../tests/tls/other-key.der");
    let server = Server::start(Identity(RSA.0, OTHER_KEY), ANSWER);
    let error = post(server.address, pin(RSA)).unwrap_err();
    assert!(matches!(error, HttpsError::Tls { .. }), "{error}");
    assert_eq!(server.sent(), "");
}

#[test]
fn looking_at_a_certificate_sends_nothing() {
    let server = Server::start(RSA, ANSWER);
    let timeout = Duration::from_secs(5);
    let reply = exchange(&Exchange { address: server.address, ask: Ask::Certificate, timeout }).unwrap();
    assert_eq!((reply.certificate, reply.status), (pin(RSA), None));
    assert_eq!(server.sent(), "");
}

#[test]
fn a_silent_peer_ends_at_the_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let timeout = Duration::from_millis(500);
    let ask = Exchange { address: listener.local_addr().unwrap(), ask: Ask::Certificate, timeout };
    let error = exchange(&ask).unwrap_err();
    assert!(matches!(&error, HttpsError::Tls { reason, .. } if reason == "no answer in time"), "{error}");
}

#[test]
fn a_peer_that_does_not_listen_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let ask = Exchange { address, ask: Ask::Certificate, timeout: Duration::from_secs(5) };
    let error = exchange(&ask).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {address}: Connection refused"));
}

#[test]
fn an_answer_cut_short_is_an_error() {
    let server = Server::start(RSA, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort");
    assert!(matches!(post(server.address, pin(RSA)).unwrap_err(), HttpsError::Protocol { .. }));
}
