//! SHA-256 fingerprints of PEM certificates, written as PVE and `openssl x509 -fingerprint` write them.

use sha2::{Digest, Sha256};

use crate::base64;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The fingerprint of the first certificate of a PEM text, which in a chain is the one that is served.
pub fn fingerprint_of_pem(pem: &str) -> anyhow::Result<String> {
    let body = pem.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
    let der = body.and_then(base64::decode).filter(|der| !der.is_empty());
    der.map(|der| fingerprint_of_der(&der)).ok_or_else(|| anyhow::anyhow!("no PEM certificate in it"))
}

/// The fingerprint of a certificate: `AA:BB:…`.
pub fn fingerprint_of_der(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// SHA-256 of any bytes, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_certificate_of_a_chain_counts_and_reads_as_openssl_says() {
        let pem = include_str!("../tests/certificates/chain.pem");
        let expected = include_str!("../tests/certificates/chain.sha256").trim();
        assert_eq!(fingerprint_of_pem(pem).unwrap(), expected);
    }

    #[test]
    fn a_key_or_an_empty_file_is_an_error() {
        for text in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", BEGIN] {
            assert_eq!(fingerprint_of_pem(text).unwrap_err().to_string(), "no PEM certificate in it");
        }
    }

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
