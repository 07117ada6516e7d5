//! TLS 1.3 to one pinned certificate, for the real host. RSA keys only: each further kind of key costs the
//! binary up to 190 KB, and PVE makes RSA keys, for its own CA and for ACME alike.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crypto_box::aead::OsRng;
use crypto_box::aead::rand_core::RngCore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms, ring,
    verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::SigningKey;
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use webpki::ring::{
    RSA_PSS_2048_8192_SHA256_LEGACY_KEY, RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
};

use crate::https::{Ask, Exchange, Fingerprint, HttpsError, Reply, parse_answer};

/// The longest answer that is read: node lists are a few kilobytes.
const ANSWER_LIMIT: usize = 1 << 20;

static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    ],
    mapping: &[
        (SignatureScheme::RSA_PSS_SHA256, &[RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA512, &[RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
    ],
};

/// Connects, and sends the request if the certificate is the pinned one.
pub fn exchange(exchange: &Exchange) -> Result<Reply, HttpsError> {
    let address = exchange.address;
    let deadline = Instant::now() + exchange.timeout;
    let failed = |reason: String| HttpsError::Tls { address, reason };
    let socket = TcpStream::connect_timeout(&address, exchange.timeout)
        .map_err(|error| HttpsError::Unreachable { address, reason: error.to_string() })?;
    let mut socket = Timed { socket, deadline };

    let pin = match &exchange.ask {
        Ask::Certificate => None,
        Ask::Request { pin, .. } => Some(*pin),
    };
    let verifier = Arc::new(PinnedLeaf { pin, shown: Mutex::new(None) });
    let mut connection = connect(&verifier, address).map_err(|error| failed(error.to_string()))?;
    let handshake = complete_handshake(&mut connection, &mut socket);
    let shown = *verifier.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match (shown, pin) {
        (Some(shown), Some(pinned)) if shown != pinned => {
            return Err(HttpsError::OtherCertificate { address, shown, pinned });
        }
        // The certificate has come and its owner has signed for it, or the handshake has failed.
        _ => handshake.map_err(|error| failed(error.to_string()))?,
    }
    let certificate = shown.ok_or_else(|| failed("no certificate was shown".to_owned()))?;

    let Ask::Request { request, .. } = &exchange.ask else {
        return Ok(Reply { certificate, status: None, body: String::new() });
    };
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    stream
        .write_all(&request.to_bytes(&address))
        .and_then(|()| stream.flush())
        .map_err(|error| failed(error.to_string()))?;
    let (status, body) =
        read_answer(&mut stream).map_err(|reason| HttpsError::Protocol { address, reason })?;
    Ok(Reply { certificate, status: Some(status), body })
}

fn connect(verifier: &Arc<PinnedLeaf>, address: SocketAddr) -> Result<ClientConnection, rustls::Error> {
    let provider = CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![ring::kx_group::X25519],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &SystemRandom,
        key_provider: &NoClientKey,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::IpAddress(address.ip().into()))
}

fn complete_handshake(connection: &mut ClientConnection, socket: &mut Timed) -> io::Result<()> {
    while connection.is_handshaking() {
        connection.complete_io(socket)?;
    }
    Ok(())
}

fn read_answer(stream: &mut impl Read) -> Result<((u16, String), String), String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16384];
    loop {
        let ended = match stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                false
            }
            // A peer that closes without close_notify: what counts is whether the answer is complete.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => true,
            Err(error) => return Err(error.to_string()),
        };
        if let Some(answer) = parse_answer(&bytes).map_err(|error| format!("{error:#}"))? {
            return Ok(answer);
        }
        if ended {
            return Err(format!("the connection ended after {} bytes", bytes.len()));
        }
        if bytes.len() > ANSWER_LIMIT {
            return Err(format!("it is longer than {ANSWER_LIMIT} bytes"));
        }
    }
}

/// Accepts one leaf certificate, whoever signed it, and only from who holds its key.
#[derive(Debug)]
struct PinnedLeaf {
    pin: Option<Fingerprint>,
    shown: Mutex<Option<Fingerprint>>,
}

impl ServerCertVerifier for PinnedLeaf {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint(Sha256::digest(leaf).into());
        *self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(shown);
        match self.pin {
            Some(pin) if pin != shown => {
                Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

/// Randomness of the kernel, without the rest of ring's provider.
#[derive(Debug)]
struct SystemRandom;

impl SecureRandom for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        OsRng.try_fill_bytes(bytes).map_err(|_| GetRandomFailed)
    }
}

/// There are no client certificates here.
#[derive(Debug)]
struct NoClientKey;

impl KeyProvider for NoClientKey {
    fn load_private_key(&self, _key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("no client keys are used".to_owned()))
    }
}

/// A socket whose every read and write ends at one deadline.
struct Timed {
    socket: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        match self.socket.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
            }
            result => result,
        }
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

#[cfg(test)]
mod tests;
