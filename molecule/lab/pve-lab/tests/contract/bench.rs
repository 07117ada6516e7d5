//! What a scenario needs of the nodes it plays on. Two benches offer it: namespaces of this machine with fake
//! corosync and systemd, and the lab's containers with genuine ones.

use std::process::Command;

/// Nodes that can be made, switched, cut off and spoken to.
pub trait Bench {
    /// Makes a node as freshly installed, running, in place of one of the same name. A bench may use a disk that
    /// it has kept, unless the node must have keys that nobody has seen.
    fn fresh(&mut self, node: &str, with_new_keys: bool);
    /// Says that a fresh node serves now: a bench may keep what it has become.
    fn settled(&mut self, node: &str);
    /// Takes the power away.
    fn kill(&mut self, node: &str);
    /// Gives it back and waits until the node has started its services as far as it can.
    fn boot(&mut self, node: &str);
    /// Unplugs or plugs a link of a node.
    fn plug(&mut self, node: &str, link: u8, is_plugged: bool);
    /// A command that runs these words on a node; its standard streams are the caller's to set.
    fn command(&self, node: &str, argv: &[&str], on_terminal: bool) -> Command;
    /// A command that reads a raw request, sends it over TLS to the address and prints the raw answer.
    fn https(&self, address: &str) -> Command;
    /// Whether corosync and systemd are the real ones.
    fn is_genuine(&self) -> bool;
}

/// The address of a node on a link, as all transcripts have it.
pub fn address(node: &str, link: u8) -> String {
    let number: u8 =
        node.strip_prefix("pve").and_then(|number| number.parse().ok()).expect("a node is called pveN");
    format!("10.{}.0.{}", 88 + link, 10 + number)
}

/// The environment that a login shell of root has.
pub const ENVIRONMENT: [&str; 5] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "USER=root",
    "LANG=C.UTF-8",
    "TERM=xterm",
];
