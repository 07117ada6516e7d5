//! A join token: the seed of an ed25519 key, and all that a node needs to use it, in one text. Owns its form and
//! the key; where tokens are registered and what they may do is told elsewhere.
//!
//! `proxmox.<id>.<seed>.<context>.<check>`: the context names the members, their host keys, the cluster and the
//! expiry; the check ties it to the seed, so that nobody who does not have the seed can alter it.

use std::fmt;

use anyhow::{Context as _, ensure};
use crypto_box::aead::OsRng;
use crypto_box::aead::rand_core::RngCore;
use curve25519_dalek::edwards::EdwardsPoint;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::base64;

const PREFIX: &str = "proxmox";
const KEY_TYPE: &str = "ssh-ed25519";
const ID_LENGTH: usize = 10;
/// A context names at most some dozens of members.
const LIMIT: usize = 64 << 10;

/// A token.
pub struct Token {
    /// Its name, which is no secret.
    pub id: String,
    /// What is told with it.
    pub context: Context,
    seed: Zeroizing<[u8; 32]>,
}

/// What a node must know to use a token.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Context {
    /// Cluster name.
    pub cluster: String,
    /// Seconds since 1970.
    pub expires: u64,
    /// The only node that may use it.
    pub node: Option<String>,
    /// Members to ask, the best first.
    pub members: Vec<Member>,
}

/// A member and the host keys that it may show.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Member {
    /// Its address.
    pub address: String,
    /// Its host keys, as `<algorithm> <base64>`.
    pub keys: Vec<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?}, {:?}, ..)", self.id, self.context)
    }
}

impl Token {
    /// A new token.
    pub fn new(context: Context) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(seed.as_mut());
        let mut random = [0; ID_LENGTH];
        OsRng.fill_bytes(&mut random);
        // 32 letters: each byte gives one without bias.
        let id =
            random.iter().map(|byte| char::from(b"abcdefghijkmnpqrstuvwxyz23456789"[usize::from(byte & 31)]));
        Self { id: id.collect(), context, seed }
    }

    /// Reads a token; the error never quotes it.
    pub fn parse(text: &SecretString) -> anyhow::Result<Self> {
        let remedy = "take the whole text that pve_join_credential returned as join_string";
        let text = text.expose_secret().trim();
        ensure!(text.len() <= LIMIT, "the token is too long: {remedy}");
        let parts: Vec<&str> = text.split('.').collect();
        let [PREFIX, id, seed_text, context, check] = parts.as_slice() else {
            anyhow::bail!("the token is not of the form proxmox.<id>.<secret>.<context>.<check>: {remedy}");
        };
        ensure!(is_id(id), "the token's id is damaged: {remedy}");
        let bytes = base64::decode_url(seed_text).map(Zeroizing::new);
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        let seed = Zeroizing::new(bytes.with_context(|| format!("the token's secret is damaged: {remedy}"))?);
        ensure!(
            super::is_same_secret(check_of(seed_text, id, context).as_bytes(), check.as_bytes()),
            "the token was altered or damaged on its way: {remedy}"
        );
        let context = base64::decode_url(context).and_then(|bytes| String::from_utf8(bytes).ok());
        let context = context.and_then(|text| serde_json::from_str(&text).ok());
        let context = context
            .with_context(|| format!("the token is of another form than this program knows: {remedy}"))?;
        Ok(Self { id: (*id).to_owned(), context, seed })
    }

    /// The token as one text.
    pub fn render(&self) -> anyhow::Result<SecretString> {
        let context = serde_json::to_vec(&self.context).context("a token can't be written")?;
        let context = base64::encode_url(&context);
        let seed = Zeroizing::new(base64::encode_url(self.seed.as_slice()));
        let check = check_of(&seed, &self.id, &context);
        Ok(SecretString::from(format!("{PREFIX}.{}.{}.{context}.{check}", self.id, seed.as_str())))
    }

    /// The public half as authorized_keys has it, without options and comment.
    pub fn public_key(&self) -> String {
        format!("{KEY_TYPE} {}", base64::encode(&public_blob(&self.public_bytes())))
    }

    /// The private half as `ssh -i` reads it (openssh, PROTOCOL.key).
    pub fn private_key(&self) -> SecretString {
        let public = self.public_bytes();
        let mut inner = Zeroizing::new(Vec::with_capacity(256));
        // Twice the same number, which tells ssh that it decrypted rightly; nothing is encrypted.
        inner.extend([0; 8]);
        put(&mut inner, KEY_TYPE.as_bytes());
        put(&mut inner, &public);
        let pair = Zeroizing::new([self.seed.as_slice(), &public].concat());
        put(&mut inner, &pair);
        put(&mut inner, self.id.as_bytes());
        for byte in 1..=(8 - inner.len() % 8) % 8 {
            inner.push(byte as u8);
        }
        let mut whole = Zeroizing::new(Vec::with_capacity(512));
        whole.extend(b"openssh-key-v1\0");
        for text in ["none", "none", ""] {
            put(&mut whole, text.as_bytes());
        }
        whole.extend(1u32.to_be_bytes());
        put(&mut whole, &public_blob(&public));
        put(&mut whole, &inner);
        let mut text = Zeroizing::new(String::from("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        let body = Zeroizing::new(base64::encode(&whole));
        for line in body.as_bytes().chunks(70) {
            text.extend([&String::from_utf8_lossy(line), "\n"]);
        }
        text.push_str("-----END OPENSSH PRIVATE KEY-----\n");
        SecretString::from(text.as_str())
    }

    /// RFC 8032: the seed's hash, clamped, times the base point.
    fn public_bytes(&self) -> [u8; 32] {
        let mut hash = Sha512::digest(self.seed.as_slice());
        let mut half = Zeroizing::new([0; 32]);
        half.copy_from_slice(&hash[..32]);
        hash.as_mut_slice().zeroize();
        EdwardsPoint::mul_base_clamped(*half).compress().to_bytes()
    }
}

/// Whether a text may be a token's id.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn check_of(seed: &str, id: &str, context: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"sddc.pve token 1\0");
    // As it is written, for one seed could be written in more than one way.
    hash.update(seed);
    hash.update(format!("{id}\0{context}").as_bytes());
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn public_blob(public: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, KEY_TYPE.as_bytes());
    put(&mut blob, public);
    blob
}

/// ssh's string: its length in four bytes, then itself (RFC 4251).
fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    into.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            cluster: "oracle".into(),
            expires: 1_795_446_000,
            node: None,
            members: vec![Member { address: "10.88.0.11".into(), keys: vec!["ssh-ed25519 AAAA".into()] }],
        }
    }

    #[test]
    fn a_token_is_read_back_and_shows_its_secret_nowhere() {
        let token = Token::new(context());
        let text = token.render().unwrap();
        let read = Token::parse(&text).unwrap();
        assert_eq!(
            (&read.id, &read.context, read.public_key()),
            (&token.id, &token.context, token.public_key())
        );
        let secret = text.expose_secret().split('.').nth(2).unwrap();
        assert!(!format!("{read:?}{}", read.public_key()).contains(secret));
        assert!(text.expose_secret().starts_with(&format!("proxmox.{}.", token.id)) && is_id(&token.id));
    }

    #[test]
    fn a_token_that_was_altered_anywhere_is_refused() {
        let text = Token::new(context()).render().unwrap();
        let text = text.expose_secret();
        for index in (0..text.len()).filter(|index| text.as_bytes()[*index] != b'.') {
            let mut bytes = text.as_bytes().to_vec();
            bytes[index] = if bytes[index] == b'b' { b'c' } else { b'b' };
            let altered = String::from_utf8(bytes).unwrap();
            let error = Token::parse(&altered.clone().into()).map(drop).unwrap_err().to_string();
            assert!(!error.contains(&altered[20..40]), "{error}");
        }
        for damaged in
            ["", "proxmox", "proxmox.a.b", &text[..text.len() - 1], &text.replace("proxmox", "k8s")]
        {
            assert!(Token::parse(&damaged.to_owned().into()).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn the_key_is_that_of_rfc_8032() {
        // Section 7.1, test 1.
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let mut token = Token::new(context());
        token.seed.copy_from_slice(&seed);
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(token.public_bytes().as_slice(), public);
        // What ssh-keygen -y prints for the private half is compared in the lab; here only its frame.
        let private = token.private_key();
        assert!(
            private.expose_secret().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA")
        );
    }
}
