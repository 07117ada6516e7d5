//! The responder as a transient unit: it outlives the task that started it and ends by itself. The key reaches it in
//! a file that only root reads and that is gone before the first answer.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
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

#[derive(Deserialize, Serialize)]
struct Order {
    node: String,
    links: Vec<LinkAddress>,
    key: Zeroizing<String>,
    lifetime: u64,
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
    let key = Zeroizing::new(key.expose().to_owned());
    let order = Order { node: own.to_owned(), links, key, lifetime };
    let text = Zeroizing::new(serde_json::to_vec(&order).context("the responder's order can't be written")?);
    node.create_private_dir(RUNTIME_DIR)?;
    node.write(ORDER, &text, FileMode::Private)?;
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
            Some(listener) => Ok(Progress::Done(listener)),
            None => Ok(Progress::Pending(format!("it has said nothing yet, see \"journalctl -u {NAME}\""))),
        })
    });
    let failed = match listens {
        Ok(Listener { error: None, node, links, heard }) => {
            return Ok(Listener { node, links, heard, error: None });
        }
        Ok(Listener { error: Some(error), .. }) => anyhow::anyhow!(error),
        Err(error) => error.context("cannot start the responder as a transient systemd unit"),
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
        deadline.wait(node, "the responder to end", LOOK, || match is_running(node) {
            false => Ok(Progress::Done(())),
            true => Ok(Progress::Pending(format!("systemd still has {NAME}"))),
        })?;
    }
    let told = state(node);
    node.remove(ORDER)?;
    node.remove(STATE)?;
    told
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
    let order: Order = match std::str::from_utf8(&text).map(serde_json::from_str) {
        Ok(Ok(order)) => order,
        _ => bail!("{ORDER:?} is of another form than this program knows"),
    };
    let deadline = Deadline::after(node, Duration::from_secs(order.lifetime));
    let key = Key::new(order.key.as_str().into())?;
    match responder::listen(node, &order.links) {
        Ok(bound) => {
            responder::serve(node, &order.node, key, bound, deadline, |listener| write_state(node, listener))
        }
        Err(error) => {
            let error = Some(format!("{error:#}"));
            write_state(node, &Listener { node: order.node, error, ..Listener::default() })
        }
    }
}

fn state(node: &Node) -> anyhow::Result<Option<Listener>> {
    let text = node.read(STATE)?;
    text.map(|text| serde_json::from_str(&text).with_context(|| format!("{STATE:?} is damaged: remove it")))
        .transpose()
}

fn write_state(node: &Node, listener: &Listener) -> anyhow::Result<()> {
    let text = serde_json::to_vec(listener).context("what was heard can't be written down")?;
    node.write(STATE, &text, FileMode::Private).map(drop)
}
