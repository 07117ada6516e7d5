//! Asks the members that a token names, one after the other, over the node's own ssh: under the host keys in the
//! token, with the token's key, which lies in a file below /run for as long as it is asked.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::answer::{Question, Reply};
use super::seconds;
use super::token::{Member, Token};
use crate::audit::utc;
use crate::node::FileMode;
use crate::seal::RUNTIME_DIR;
use crate::{Cmd, Deadline, Node, Progress};

/// Refused by ssh itself, rather than by what it ran (ssh(1)).
const SSH_FAILED: i32 = 255;
/// The shell did not find the program.
const NOT_THERE: i32 = 127;
/// How far clocks of two nodes may differ before the members are not even asked.
const CLOCK_LEEWAY: u64 = 300;

/// What speaks against a token before anybody is asked.
pub fn faults(node: &Node, token: &Token, cluster_name: &str, name: &str) -> Vec<String> {
    let context = &token.context;
    let mut faults = Vec::new();
    if context.cluster != cluster_name {
        faults.push(format!("the token is of cluster {:?}, not {cluster_name:?}", context.cluster));
    }
    if context.node.as_ref().is_some_and(|bound| bound != name) {
        faults.push(format!(
            "the token is for node {:?} only, and this is {name:?}",
            context.node.as_deref().unwrap_or_default()
        ));
    }
    if seconds(node) > context.expires + CLOCK_LEEWAY {
        faults.push(format!("the token expired at {}: issue another", utc(context.expires)));
    }
    faults
}

/// Asks until a member answers; the error has each member's reason.
pub fn ask(node: &Node, token: &Token, question: &Question, deadline: Deadline) -> anyhow::Result<Reply> {
    let text = serde_json::to_string(question).context("a question can't be written")?;
    let files = Files::write(node, token)?;
    deadline.wait(node, "a member to answer the token", Duration::from_secs(2), || {
        let mut reasons = Vec::new();
        let mut is_worth_waiting = false;
        for member in &token.context.members {
            match ask_one(node, &files, member, &text, deadline) {
                Ok(reply) if reply.ok => return Ok(Progress::Done(reply)),
                Ok(reply) => {
                    let reason = reply.error.unwrap_or_default();
                    // What one member says of the token all would say.
                    ensure!(reply.is_busy, "{}: {reason}", member.address);
                    is_worth_waiting = true;
                    reasons.push(format!("{}: {reason}", member.address));
                }
                Err(reason) => reasons.push(format!("{}: {reason:#}", member.address)),
            }
        }
        let reasons = reasons.join("; ");
        if is_worth_waiting {
            return Ok(Progress::Pending(reasons));
        }
        bail!("no member answers the token: {reasons}")
    })
}

fn ask_one(
    node: &Node,
    files: &Files<'_>,
    member: &Member,
    question: &str,
    deadline: Deadline,
) -> anyhow::Result<Reply> {
    let options = [
        format!("IdentityFile={}", files.key),
        format!("UserKnownHostsFile={}", files.hosts),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        "UpdateHostKeys=no".to_owned(),
        "IdentitiesOnly=yes".to_owned(),
        "IdentityAgent=none".to_owned(),
        "PreferredAuthentications=publickey".to_owned(),
        "BatchMode=yes".to_owned(),
        "ConnectTimeout=10".to_owned(),
        "ServerAliveInterval=15".to_owned(),
    ];
    let mut args = vec!["-F".to_owned(), "none".to_owned(), "-T".to_owned()];
    args.extend(options.into_iter().flat_map(|option| ["-o".to_owned(), option]));
    args.extend(["--".to_owned(), format!("root@{}", member.address), "join".to_owned()]);
    let limit = deadline.left(node).max(Duration::from_secs(1));
    let output = node.run(&Cmd::new("ssh", args, limit).stdin(question.to_owned().into()))?;
    if let Some(reply) = output.stdout.lines().find_map(|line| serde_json::from_str(line).ok()) {
        return Ok(reply);
    }
    let said = output.tail().replace('\n', " | ");
    match output.code {
        Some(SSH_FAILED) if said.contains("Permission denied") => bail!(
            "its sshd refuses the token's key: the token expired, was used up or revoked, or is of another cluster"
        ),
        Some(SSH_FAILED) if said.contains("Host key verification failed") => {
            bail!("it shows another host key than the one in the token, so nothing was sent to it: {said}")
        }
        Some(NOT_THERE) => {
            bail!("it has never had this program: issue tokens on a member that has, or name it first")
        }
        _ => bail!("{said}"),
    }
}

/// The key and the pins, as ssh takes them; gone when dropped.
struct Files<'a> {
    node: &'a Node,
    key: String,
    hosts: String,
}

impl<'a> Files<'a> {
    fn write(node: &'a Node, token: &Token) -> anyhow::Result<Self> {
        use secrecy::ExposeSecret;
        node.create_private_dir(RUNTIME_DIR)?;
        let path = |what: &str| format!("{RUNTIME_DIR}/token-{}.{what}", std::process::id());
        let files = Self { node, key: path("key"), hosts: path("hosts") };
        let pins = token
            .context
            .members
            .iter()
            .flat_map(|member| member.keys.iter().map(|key| format!("{} {key}\n", member.address)));
        node.write(&files.hosts, pins.collect::<String>().as_bytes(), FileMode::Private)?;
        node.write(&files.key, token.private_key().expose_secret().as_bytes(), FileMode::Private)?;
        Ok(files)
    }
}

impl Drop for Files<'_> {
    fn drop(&mut self) {
        for path in [&self.key, &self.hosts] {
            // Below /run, which the next boot empties.
            let _ = self.node.remove(path);
        }
    }
}
