//! The responder as a transient unit: it outlives the task that started it and ends by itself. The key reaches it in
//! a file that only root reads and that is gone before the first answer.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::datagram::Key;
use super::{Listener, responder};
use crate::node::FileMode;
use crate::observe::LinkAddress;
use crate::seal::RUNTIME_DIR;
use crate::{Cmd, Deadline, Node, Progress, operation};

/// Name of the unit.
pub const NAME: &str = "sddc-pve-link-probe.service";
/// The program's word for being the responder.
pub const COMMAND: &str = "__link-responder";
/// What it is told.
const ORDER: &str = "/run/sddc-pve/link-probe.order";
/// What it tells; stays when it has ended.
const STATE: &str = "/run/sddc-pve/link-probe.json";
/// There as long as systemd knows the unit.
const TRANSIENT: &str = "/run/systemd/transient/sddc-pve-link-probe.service";
/// How often the state is looked for: it is there within a few milliseconds.
const LOOK: Duration = Duration::from_millis(5);

/// What the responder is told: a line each for key, node and seconds, and for each link its number and address.
struct Order {
    key: Key,
    node: String,
    lifetime: u64,
    links: Vec<LinkAddress>,
}

impl Order {
    fn text(key: &Key, node: &str, lifetime: u64, links: &[LinkAddress]) -> Zeroizing<String> {
        let links = links.iter().map(|link| format!("{} {}\n", link.number, link.address));
        Zeroizing::new(format!("{}\n{node}\n{lifetime}\n{}", key.expose(), links.collect::<String>()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (key, node, lifetime) = (lines.next()?, lines.next()?, lines.next()?);
        let link = |line: &str| {
            let (number, address) = line.split_once(' ')?;
            Some(LinkAddress { number: number.parse().ok()?, address: address.to_owned(), priority: None })
        };
        Some(Self {
            key: Key::new(key.into()).ok()?,
            node: node.to_owned(),
            lifetime: lifetime.parse().ok()?,
            links: lines.map(link).collect::<Option<_>>()?,
        })
    }
}

/// Whether a responder runs.
pub fn is_running(node: &Node) -> bool {
    node.exists(TRANSIENT)
}

/// Whether there is anything that `stop` takes away.
pub fn is_present(node: &Node) -> bool {
    is_running(node) || node.exists(STATE) || node.exists(ORDER)
}

/// Starts a responder in place of one that may run; returns where it listens.
pub fn start(
    node: &Node,
    own: &str,
    links: Vec<LinkAddress>,
    key: &Key,
    lifetime: u64,
    deadline: Deadline,
) -> anyhow::Result<Listener> {
    stop(node, deadline)?;
    let program = operation::install(node)?;
    let order = Order::text(key, own, lifetime, &links);
    node.create_private_dir(RUNTIME_DIR)?;
    node.write(ORDER, order.as_bytes(), FileMode::Private)?;
    let args = [
        &format!("--unit={NAME}"),
        "--description=sddc.pve: answers the probe of corosync's links",
        "--collect",
        "--quiet",
        "--service-type=exec",
        // A backstop only: it keeps its own time.
        &format!("--property=RuntimeMaxSec={}", lifetime + 10),
        "--property=UMask=0077",
        "--property=LimitCORE=0",
        "--",
        &program,
        COMMAND,
    ];
    let started = node.run_ok(&Cmd::new("systemd-run", args, deadline.left(node))).map(drop);
    let listens = started.and_then(|()| {
        deadline.wait(node, "the responder to listen", LOOK, || match state(node)? {
            Some(told) => Ok(Progress::Done(told)),
            None => Ok(Progress::Pending(format!("it has said nothing yet, see \"journalctl -u {NAME}\""))),
        })
    });
    let told = listens.context("cannot start the responder as a transient systemd unit");
    let failed = match told.map(|told| (Listener::of_json(&told), told)) {
        Ok((Some(listener), _)) => return Ok(listener),
        Ok((None, told)) => anyhow::anyhow!("{}", told["error"].as_str().unwrap_or("it does not say why")),
        Err(error) => error,
    };
    // Whatever else is wrong: the key does not stay.
    let removed = node.remove(ORDER);
    stop(node, Deadline::after(node, Duration::from_secs(10)))?;
    removed?;
    Err(failed)
}

/// Stops the responder; returns what it heard, if there was one since the last time.
pub fn stop(node: &Node, deadline: Deadline) -> anyhow::Result<Option<Listener>> {
    if is_running(node) {
        // One that ends just now is as good.
        node.run(&Cmd::new("systemctl", ["stop", NAME], deadline.left(node)))?;
        operation::until_gone(node, NAME, deadline)?;
    }
    let told = state(node);
    node.remove(ORDER)?;
    node.remove(STATE)?;
    Ok(told?.as_ref().and_then(Listener::of_json))
}

/// Makes way for corosync, which needs the ports.
pub fn make_way(node: &Node) -> anyhow::Result<()> {
    match is_running(node) {
        true => stop(node, Deadline::after(node, Duration::from_secs(20))).map(drop),
        false => Ok(()),
    }
}

/// The entry of the unit: answers until its time is over.
pub fn run(node: &Node) -> anyhow::Result<()> {
    let text = node.read_bytes(ORDER)?.map(Zeroizing::new);
    node.remove(ORDER)?;
    let text = text.with_context(|| format!("there is no {ORDER:?}"))?;
    let Some(order) = std::str::from_utf8(&text).ok().and_then(Order::parse) else {
        bail!("{ORDER:?} is of another form than this program knows");
    };
    let deadline = Deadline::after(node, Duration::from_secs(order.lifetime));
    match responder::listen(node, &order.links) {
        Ok(bound) => responder::serve(node, &order.node, order.key, bound, deadline, |listener| {
            write_state(node, &listener.to_json())
        }),
        Err(error) => write_state(node, &json!({"error": format!("{error:#}")})),
    }
}

fn state(node: &Node) -> anyhow::Result<Option<Value>> {
    let text = node.read(STATE)?;
    text.map(|text| serde_json::from_str(&text).with_context(|| format!("{STATE:?} is damaged: remove it")))
        .transpose()
}

fn write_state(node: &Node, told: &Value) -> anyhow::Result<()> {
    node.write(STATE, told.to_string().as_bytes(), FileMode::Private).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let key = Key::new("k".repeat(40).into()).unwrap();
        let links = [(0, "10.88.0.11"), (7, "fd00::1")].map(|(number, address)| LinkAddress {
            number,
            address: address.into(),
            priority: None,
        });
        let text = Order::text(&key, "pve1", 300, &links);
        let order = Order::parse(&text).unwrap();
        assert_eq!((order.key.expose(), order.node.as_str(), order.lifetime), (key.expose(), "pve1", 300));
        assert_eq!(order.links, links);
        for text in ["", "short\npve1\n300\n", &text.replace("300", "long"), &format!("{}odd\n", *text)] {
            assert!(Order::parse(text).is_none(), "{text:?}");
        }
    }
}
