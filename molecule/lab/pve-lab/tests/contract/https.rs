//! One raw HTTP exchange over TLS that trusts whoever answers: what the transcripts were recorded with. Also shows
//! the fingerprint of the certificate that is served.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// `https-request ADDRESS [--fingerprint]`: the request on standard input, the answer on standard output.
pub fn run(args: &[&str]) -> i32 {
    let mut request = Vec::new();
    let only_fingerprint = args.contains(&"--fingerprint");
    let answered = std::io::stdin()
        .read_to_end(&mut request)
        .map_err(|error| error.to_string())
        .and_then(|_| exchange(args.first().copied().unwrap_or_default(), &request, only_fingerprint));
    match answered {
        Ok(answer) => i32::from(std::io::stdout().write_all(&answer).is_err()),
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn exchange(address: &str, request: &[u8], only_fingerprint: bool) -> Result<Vec<u8>, String> {
    let text = |error: &dyn std::fmt::Display| format!("{address}: {error}");
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| text(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("pve").map_err(|error| text(&error))?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| text(&error))?;
    let socket = address.to_socket_addrs().map_err(|error| text(&error))?.next().ok_or("no address")?;
    let socket = TcpStream::connect_timeout(&socket, PATIENCE).map_err(|error| text(&error))?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|error| text(&error))?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(request).and_then(|()| stream.flush()).map_err(|error| text(&error))?;
    if only_fingerprint {
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| text(&error))?;
        }
        let certificate =
            stream.conn.peer_certificates().and_then(|chain| chain.first()).ok_or("no certificate")?;
        return Ok(fingerprint(certificate).into_bytes());
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        // A peer that closes without a farewell has still said what it said.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(answer),
        Err(error) => Err(text(&error)),
    }
}

fn fingerprint(certificate: &[u8]) -> String {
    let hash = ::ring::digest::digest(&::ring::digest::SHA256, certificate);
    let pairs: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}
