//! SHA-256 fingerprints of PEM certificates, written as PVE and `openssl x509 -fingerprint` write them, and when they end.

use sha2::{Digest, Sha256};

use crate::base64;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The fingerprint of the first certificate of a PEM text, which in a chain is the one that is served.
pub fn fingerprint_of_pem(pem: &str) -> anyhow::Result<String> {
    Ok(fingerprint_of_der(&first_of_pem(pem)?))
}

/// The first certificate of a PEM text.
pub fn first_of_pem(pem: &str) -> anyhow::Result<Vec<u8>> {
    let body = pem.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
    let der = body.and_then(base64::decode).filter(|der| !der.is_empty());
    der.ok_or_else(|| anyhow::anyhow!("no PEM certificate in it"))
}

/// The fingerprint of a certificate: `AA:BB:…`.
pub fn fingerprint_of_der(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// When a certificate ends, as `2028-11-22T15:00:00Z`; `None` for what is no certificate (RFC 5280, 4.1).
pub fn end_of_der(der: &[u8]) -> Option<String> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, algorithm of the signature, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (tag, time, _) = element(element(validity)?.2)?;
    let time = std::str::from_utf8(time).ok()?;
    let digits = time.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let full = match (tag, digits.len()) {
        // Two digits of the year, as of the years 1950 to 2049.
        (UTC_TIME, 12) if digits < "50" => format!("20{digits}"),
        (UTC_TIME, 12) => format!("19{digits}"),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| &full[from..to];
    Some(format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    ))
}

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Tag and content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        // So many bytes of length follow; no certificate needs more than four.
        let (bytes, after) = rest.split_at_checked(length & 0x7f).filter(|(bytes, _)| bytes.len() <= 4)?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
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
    fn the_end_reads_as_openssl_says() {
        let end = |der: &[u8]| end_of_der(der).unwrap();
        assert_eq!(end(include_bytes!("../tests/tls/cert.der")), "2126-10-29T17:33:54Z");
        assert_eq!(end(include_bytes!("../tests/tls/ec-cert.der")), "2020-01-02T00:00:00Z");
        let pem = include_str!("../tests/certificates/chain.pem");
        assert_eq!(end(&first_of_pem(pem).unwrap()), "2036-11-19T17:33:20Z");
    }

    #[test]
    fn what_is_cut_anywhere_has_no_end() {
        let whole = include_bytes!("../tests/tls/cert.der");
        assert!((0..whole.len()).all(|length| end_of_der(&whole[..length]).is_none()));
        assert_eq!(end_of_der(&[0x30, 0xff, 1, 2, 3]), None);
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
