//! What names resolve to, asked of the node's own name service. Through `getent`, since a static binary has
//! no NSS of its own.

use std::time::Duration;

use crate::{Cmd, Node};

/// The addresses of a name, each once, as getaddrinfo orders them; none when it does not resolve.
pub fn resolve(node: &Node, name: &str, timeout: Duration) -> anyhow::Result<Vec<String>> {
    let output = node.run(&Cmd::new("getent", ["ahosts", name], timeout))?;
    // 2: the name is not known. Anything else is no answer.
    anyhow::ensure!(
        matches!(output.code, Some(0 | 2)),
        "cannot resolve {name:?}: getent ended with {:?}: {}",
        output.code,
        output.tail()
    );
    Ok(parse(&output.stdout))
}

/// Reads `getent ahosts`: a line for each address and socket type.
pub fn parse(text: &str) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let addresses = text.lines().filter_map(|line| line.split_whitespace().next());
    addresses.filter(|address| seen.insert(*address)).map(str::to_owned).collect()
}

/// Host name up to the first dot, which is PVE's node name (`PVE::INotify::nodename`).
pub fn node_name(hostname: &str) -> &str {
    hostname.trim().split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn each_address_is_named_once() {
        // glibc 2.41
        let text = "10.88.0.12      STREAM pve2.oracle.test\n10.88.0.12      DGRAM  \n10.88.0.12      RAW    \n\
                    fd00::12        STREAM \nfd00::12        DGRAM  \nfd00::12        RAW    \n";
        assert_eq!(parse(text), ["10.88.0.12", "fd00::12"]);
    }

    #[test]
    fn an_unknown_name_resolves_to_nothing() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let resolve = |name: &str| resolve(&fake.node(), name, Duration::from_secs(1)).unwrap();
        assert_eq!(resolve("pve1"), ["10.88.0.11"]);
        assert!(resolve("pve9").is_empty());
    }

    #[test]
    fn the_node_name_ends_at_the_first_dot() {
        assert_eq!((node_name("pve1.oracle.test\n"), node_name("pve1")), ("pve1", "pve1"));
    }
}
