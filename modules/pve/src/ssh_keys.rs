//! Public ssh host keys and their fingerprints. Only public halves are read.

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::facts::HostKey;
use crate::{Node, base64};

const DIR: &str = "/etc/ssh";

/// The node's public host keys, by file name.
pub fn host_keys(node: &Node) -> anyhow::Result<Vec<HostKey>> {
    let mut keys = Vec::new();
    for name in node.list(DIR)? {
        if name.starts_with("ssh_host_") && name.ends_with("_key.pub") {
            keys.extend(node.read(&format!("{DIR}/{name}"))?.as_deref().and_then(parse));
        }
    }
    Ok(keys)
}

/// Reads a line of a `.pub` file; `None` when it is no public key.
pub fn parse(line: &str) -> Option<HostKey> {
    let mut words = line.split_whitespace();
    let (algorithm, key) = (words.next()?, words.next()?);
    let blob = base64::decode(key)?;
    // The blob says its type itself (RFC 4253, 6.6), so a mix-up is seen.
    let named = blob.get(4..4 + algorithm.len())?;
    (named == algorithm.as_bytes()).then(|| HostKey {
        algorithm: algorithm.to_owned(),
        key: key.to_owned(),
        fingerprint: fingerprint(&blob),
    })
}

/// Host keys that a peer may show, without their comments; an error for one that is none.
pub fn pins(lines: &[String]) -> anyhow::Result<Vec<String>> {
    anyhow::ensure!(!lines.is_empty(), "no host key is given: nothing would be pinned");
    let pin = |line: &String| {
        let key = parse(line).filter(|_| !line.contains('\n'));
        let key = key.with_context(|| {
            format!("host key {line:?} is no key: give \"<algorithm> <base64>\", as /etc/ssh/ssh_host_*_key.pub has it")
        })?;
        Ok(format!("{} {}", key.algorithm, key.key))
    };
    lines.iter().map(pin).collect()
}

/// `SHA256:…` without padding, as ssh-keygen prints it.
fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", base64::encode(&Sha256::digest(blob)).trim_end_matches('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICLVWHPjk1JdyQdmfQXwktDJzhXLQ30QV4N9U9N7zVoF test\n";

    #[test]
    fn the_fingerprint_is_what_ssh_keygen_prints() {
        let key = parse(LINE).unwrap();
        assert_eq!(key.algorithm, "ssh-ed25519");
        assert_eq!(key.fingerprint, "SHA256:lWpekyxIzfale8QCsv4BqT2yZawT/FuReula3kJXTvA");
    }

    #[test]
    fn what_is_no_key_is_left_out() {
        assert_eq!(parse(&LINE.replace("ssh-ed25519", "ssh-rsa")), None);
        for line in ["", "ssh-ed25519", "ssh-ed25519 AAAA"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn only_public_host_keys_are_read() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        fake.write("/etc/ssh/ssh_host_rsa_key", LINE);
        fake.write("/etc/ssh/ssh_host_broken_key.pub", "nonsense\n");
        assert_eq!(host_keys(&fake.node()).unwrap().len(), 1);
    }
}
