//! The pinned client against a real TLS server on the loopback, with a key made for this test only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest, Sha256};

use super::exchange;
use crate::https::{Ask, Exchange, Fingerprint, HttpsError, Reply, Request};

const CERTIFICATE: &[u8] = include_bytes!("../../../tests/tls/cert.der");
const KEY: &[u8] = include_bytes!("../../../tests/tls/key.der");
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"data\":{}}";

/// Answers one connection; gives what it was sent.
fn serve(key: &'static [u8], answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(PrivateKeyDer::try_from(key).unwrap()).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![CertificateDer::from(CERTIFICATE)], key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let thread = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), socket);
        let mut sent = String::new();
        let mut buffer = [0; 4096];
        while !sent.ends_with("\r\n\r\n") && !sent.ends_with("secret") {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => sent.push_str(&String::from_utf8_lossy(&buffer[..count])),
                _ => return sent,
            }
        }
        let _ = stream.write_all(answer.as_bytes());
        let _ = stream.flush();
        sent
    });
    (address, thread)
}

fn pin() -> Fingerprint {
    Fingerprint(Sha256::digest(CERTIFICATE).into())
}

fn post(address: SocketAddr, pin: Fingerprint) -> Result<Reply, HttpsError> {
    let form = Some("password=secret".into());
    let request = Request { method: "POST", path: "/x".to_owned(), form, ticket: None };
    exchange(&Exchange { address, ask: Ask::Request { pin, request }, timeout: Duration::from_secs(5) })
}

#[test]
fn the_pinned_certificate_gets_the_request_and_answers() {
    let (address, server) = serve(KEY, ANSWER);
    let reply = post(address, pin()).unwrap();
    assert_eq!(reply.status, Some((200, "OK".to_owned())));
    assert_eq!((reply.body.as_str(), reply.certificate), ("{\"data\":{}}", pin()));
    let sent = server.join().unwrap();
    assert!(sent.starts_with("POST /x HTTP/1.1\r\n") && sent.ends_with("\r\n\r\npassword=secret"), "{sent}");
}

#[test]
fn another_certificate_gets_nothing() {
    let (address, server) = serve(KEY, ANSWER);
    let error = post(address, Fingerprint([0xAA; 32])).unwrap_err();
    assert!(matches!(error, HttpsError::OtherCertificate { shown, .. } if shown == pin()), "{error}");
    assert_eq!(server.join().unwrap(), "");
}

#[test]
fn a_stolen_certificate_without_its_key_gets_nothing() {
    const OTHER_KEY: &[u8] = include_bytes!("../../../tests/tls/other-key.der");
    let (address, server) = serve(OTHER_KEY, ANSWER);
    let error = post(address, pin()).unwrap_err();
    assert!(matches!(error, HttpsError::Tls { .. }), "{error}");
    assert_eq!(server.join().unwrap(), "");
}

#[test]
fn looking_at_a_certificate_sends_nothing() {
    let (address, server) = serve(KEY, ANSWER);
    let timeout = Duration::from_secs(5);
    let reply = exchange(&Exchange { address, ask: Ask::Certificate, timeout }).unwrap();
    assert_eq!((reply.certificate, reply.status), (pin(), None));
    assert_eq!(server.join().unwrap(), "");
}

#[test]
fn a_silent_peer_ends_at_the_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let timeout = Duration::from_millis(200);
    let ask = Exchange { address: listener.local_addr().unwrap(), ask: Ask::Certificate, timeout };
    let error = exchange(&ask).unwrap_err();
    assert!(error.to_string().contains("no answer in time"), "{error}");
}

#[test]
fn an_answer_cut_short_is_an_error() {
    let (address, _server) = serve(KEY, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort");
    assert!(matches!(post(address, pin()).unwrap_err(), HttpsError::Protocol { .. }));
}
