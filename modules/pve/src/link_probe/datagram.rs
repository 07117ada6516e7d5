//! The datagrams of the probe and their key. Every one carries an HMAC-SHA256 over all of it, the padding too; an
//! answer says no more than that it answers, and is never longer than what it answers.
//!
//! ```text
//! "SPL1" kind link session:8 sequence:4 length from… length to… padding… tag:32
//! ```

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

const MAGIC: &[u8; 4] = b"SPL1";
const TAG: usize = 32;
/// What stands before the names.
const HEAD: usize = MAGIC.len() + 2 + 8 + 4;
/// The longest node name (PVE::JSONSchema, format `pve-node`).
const NAME: usize = 63;
/// Fewer characters are no key.
pub const SHORTEST_KEY: usize = 32;

/// The key of one run of the probe.
pub struct Key(SecretString);

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A question of the usual length.
    Ask,
    /// A question as long as is to be found out whether it passes.
    Sized,
    /// An answer.
    Answer,
}

/// A datagram of the probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// What it is.
    pub kind: Kind,
    /// Number of the link it is about.
    pub link: u8,
    /// Made up by who asks, for all its questions to one peer.
    pub session: u64,
    /// Number of the question, counted from 0.
    pub sequence: u32,
    /// Node that sends it.
    pub from: String,
    /// Node that it is for.
    pub to: String,
}

impl Key {
    /// Takes a text that nobody can guess.
    pub fn new(text: SecretString) -> anyhow::Result<Self> {
        let length = text.expose_secret().len();
        anyhow::ensure!(
            length >= SHORTEST_KEY,
            "the key has {length} characters: make one of {SHORTEST_KEY} random ones or more, anew for each run"
        );
        Ok(Self(text))
    }

    /// The text, to hand it on.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.0.expose_secret().as_bytes()).expect("HMAC takes keys of any length")
    }
}

impl Datagram {
    /// Its bytes with a tag, padded to a length where they are shorter.
    pub fn seal(&self, key: &Key, length: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(self.kind.number());
        bytes.push(self.link);
        bytes.extend(self.session.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        for name in [&self.from, &self.to] {
            let name = &name.as_bytes()[..name.len().min(NAME)];
            bytes.push(name.len() as u8);
            bytes.extend(name);
        }
        bytes.resize(bytes.len().max(length.saturating_sub(TAG)), 0);
        let mut mac = key.mac();
        mac.update(&bytes);
        bytes.extend(mac.finalize().into_bytes());
        bytes
    }

    /// Reads one that was made with this key; nothing of any other.
    pub fn open(key: &Key, bytes: &[u8]) -> Option<Self> {
        let (body, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG)?)?;
        if body.len() < HEAD || !body.starts_with(MAGIC) {
            return None;
        }
        let mut mac = key.mac();
        mac.update(body);
        // In constant time.
        mac.verify_slice(tag).ok()?;
        let (head, mut rest) = body.split_at(HEAD);
        let mut name = || {
            let (length, more) = rest.split_first()?;
            let (name, more) = more.split_at_checked(usize::from(*length))?;
            rest = more;
            std::str::from_utf8(name).ok().filter(|name| name.len() <= NAME).map(str::to_owned)
        };
        Some(Self {
            kind: Kind::of(head[4])?,
            link: head[5],
            session: u64::from_be_bytes(head[6..14].try_into().ok()?),
            sequence: u32::from_be_bytes(head[14..18].try_into().ok()?),
            from: name()?,
            to: name()?,
        })
    }

    /// The answer to it.
    pub fn answer(&self) -> Self {
        let (from, to) = (self.to.clone(), self.from.clone());
        Self { kind: Kind::Answer, from, to, ..*self }
    }
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Ask => 1,
            Self::Sized => 2,
            Self::Answer => 3,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Ask, Self::Sized, Self::Answer].into_iter().find(|kind| kind.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text.repeat(32).into()).unwrap()
    }

    fn datagram(kind: u8, link: u8, session: u64, sequence: u32, from: &str, to: &str) -> Datagram {
        let kind = Kind::of(kind).unwrap();
        Datagram { kind, link, session, sequence, from: from.to_owned(), to: to.to_owned() }
    }

    #[test]
    fn the_tag_is_hmac_sha256_of_all_that_stands_before_it() {
        let ask = datagram(1, 1, 2, 3, "a", "b");
        let key = Key::new("Jefe what do ya want for nothing".to_owned().into()).unwrap();
        let bytes = ask.seal(&key, 0);
        assert_eq!(bytes.len(), HEAD + 4 + TAG);
        assert_eq!(bytes[..bytes.len() - TAG], *b"SPL1\x01\x01\0\0\0\0\0\0\0\x02\0\0\0\x03\x01a\x01b");
        let tag: String = bytes[bytes.len() - TAG..].iter().map(|byte| format!("{byte:02x}")).collect();
        // Python's hmac.new(key, body, "sha256").
        assert_eq!(tag, "0764f5fa62a5e9d6e1d927f3f833ce635f4b5dc4b9d42b10732b23236e32fd77");
    }

    #[test]
    fn a_short_key_is_refused() {
        let error = Key::new("guess".to_owned().into()).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, "the key has 5 characters: make one of 32 random ones or more, anew for each run");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_with_the_same_key_only(
            kind in 1_u8..=3, link in 0_u8..8, session: u64, sequence: u32,
            from in "[a-z0-9-]{1,63}", to in "[a-z0-9-]{1,63}", length in 0_usize..2000,
        ) {
            let sent = datagram(kind, link, session, sequence, &from, &to);
            let bytes = sent.seal(&key("k"), length);
            prop_assert!(bytes.len() >= length);
            prop_assert_eq!(Datagram::open(&key("k"), &bytes), Some(sent));
            prop_assert_eq!(Datagram::open(&key("o"), &bytes), None);
        }

        #[test]
        fn a_changed_byte_spoils_it(at: prop::sample::Index, bit in 0_u8..8, length in 0_usize..300) {
            let mut bytes = datagram(1, 0, 7, 8, "pve1", "pve2").seal(&key("k"), length);
            *at.get_mut(&mut bytes) ^= 1 << bit;
            prop_assert_eq!(Datagram::open(&key("k"), &bytes), None);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            prop_assert_eq!(Datagram::open(&key("k"), &bytes), None);
            // Behind a right tag too.
            let mut mac = key("k").mac();
            let body = [&MAGIC[..], &bytes].concat();
            mac.update(&body);
            let _ = Datagram::open(&key("k"), &[&body[..], &mac.finalize().into_bytes()].concat());
        }

        #[test]
        fn an_answer_is_never_longer_than_the_question(
            from in "[a-z0-9-]{1,63}", to in "[a-z0-9-]{1,63}", length in 0_usize..300,
        ) {
            let ask = datagram(1, 0, 1, 1, &from, &to);
            prop_assert!(ask.answer().seal(&key("k"), 0).len() <= ask.seal(&key("k"), length).len());
        }
    }
}
