//! When a node is ready, and what stands in the way when it is not.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::access::Access;
use super::docker;
use super::layout::{LINKS, Node};

/// Asks again and again until `look` says `Ok(Some)`; an error ends it at once, and `Err` of the deadline
/// repeats what was seen last.
pub fn wait<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        let seen = match look()? {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if begin.elapsed() >= limit {
            bail!("{what}: not within {} s: {seen}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(150));
    }
}

/// What systemd on the node says of itself: `starting`, `running`, `degraded`, …, or why it says nothing.
pub fn system_state(node: Node) -> Result<String> {
    let said = docker::exec(&node.container(), &["systemctl", "is-system-running"], 60)?;
    let word = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    Ok(if word.is_empty() { String::from_utf8_lossy(&said.stderr).trim().to_owned() } else { word })
}

/// Units that failed, with the end of their journal.
pub fn failed_units(node: Node) -> Result<String> {
    let script = "for unit in $(systemctl --failed --plain --no-legend | cut -d' ' -f1); do \
                  echo \"$unit:\"; journalctl --no-pager -b -u \"$unit\" -n 8 -o cat; done";
    let said = docker::exec(&node.container(), &["sh", "-c", script], 20)?;
    Ok(String::from_utf8_lossy(&said.stdout).trim_end().to_owned())
}

/// Until systemd has started everything and nothing failed.
pub fn running(node: Node, limit: Duration) -> Result<()> {
    wait(&format!("{node} has booted"), limit, || match system_state(node)?.as_str() {
        "running" => Ok(Ok(())),
        "degraded" => {
            bail!(
                "{node} has booted, but not everything ran: `cargo xtask lab reset {node}` makes it anew: {}",
                failed_units(node)?
            )
        }
        other => Ok(Err(format!("systemd says {other:?}"))),
    })
}

/// Until the node lets the lab's key in.
pub fn reachable(access: &Access, node: Node, limit: Duration) -> Result<()> {
    listening(node, 22, limit)?;
    // sshd locks out who fails too often, and a node in the middle of a join has no keys for a while: few tries.
    let mut tries = 0;
    wait(&format!("{node} lets the lab's key in"), limit, || {
        let said = access.ssh(node).arg("-oBatchMode=yes").arg("true").output()?;
        if said.status.success() {
            return Ok(Ok(()));
        }
        let said = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        tries += usize::from(said.contains("Permission denied"));
        if tries == 3 {
            bail!(
                "{node} does not let the lab's key in: `cargo xtask lab reset {node}` makes it anew: {said}"
            );
        }
        Ok(Err(said))
    })
}

/// Until a TCP port of the node answers.
pub fn listening(node: Node, port: u16, limit: Duration) -> Result<()> {
    let address: SocketAddr = format!("{}:{port}", node.address(LINKS[0])).parse()?;
    wait(&format!("{node} answers on port {port}"), limit, || {
        let tried = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        Ok(tried.map(drop).map_err(|error| error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_what_was_seen_last() {
        let mut looks = 0;
        let error = wait::<()>("the cat comes", Duration::from_millis(200), || {
            looks += 1;
            Ok(Err(format!("look {looks}")))
        });
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("the cat comes: not within 0 s: look "), "{text}");
        assert!(looks > 1);
    }

    #[test]
    fn a_wait_ends_at_once_when_there_is_no_hope() {
        let error = wait::<()>("x", Duration::from_secs(60), || bail!("gone")).unwrap_err();
        assert_eq!(error.to_string(), "gone");
    }
}
