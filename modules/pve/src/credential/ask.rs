//! Asks members, one after the other, over the node's own ssh: under pinned host keys, with a key that lies in a file
//! below /run for as long as it is asked, or with one that is there already.

use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::SecretString;

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

/// A way to ask members.
pub struct Door {
    /// Account there.
    pub account: String,
    /// The members, the best first, with the host keys that they may show.
    pub members: Vec<Member>,
    /// The key.
    pub key: Key,
    /// What is asked to be run there; a key that may do one thing only does that whatever is asked.
    pub command: String,
}

/// A private key.
pub enum Key {
    /// The text of it.
    Text(SecretString),
    /// A file of this node.
    File(String),
}

impl Door {
    /// With a token, at the members that it names.
    pub fn of(token: &Token) -> Self {
        Self {
            account: "root".to_owned(),
            members: token.context.members.clone(),
            key: Key::Text(token.private_key()),
            command: "join".to_owned(),
        }
    }
}

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
pub fn ask(node: &Node, door: &Door, question: &Question, deadline: Deadline) -> anyhow::Result<Reply> {
    let text = serde_json::to_string(question).context("a question can't be written")?;
    let files = Files::write(node, "token", door)?;
    deadline.wait(node, "a member to answer", Duration::from_secs(2), || {
        let mut reasons = Vec::new();
        let mut is_worth_waiting = false;
        for member in &door.members {
            match ask_one(node, &files, door, member, &text, deadline) {
                Ok(reply) if reply.ok => return Ok(Progress::Done(reply)),
                Ok(reply) => {
                    // What keeps this one from it, such as a full disk, may be its own trouble: the next is asked.
                    is_worth_waiting |= reply.is_busy;
                    reasons.push(format!("{}: {}", member.address, reply.error.unwrap_or_default()));
                }
                Err(reason) => reasons.push(format!("{}: {reason:#}", member.address)),
            }
        }
        let reasons = reasons.join("; ");
        if is_worth_waiting {
            return Ok(Progress::Pending(reasons));
        }
        bail!("no member lets this node in: {reasons}")
    })
}

fn ask_one(
    node: &Node,
    files: &Files<'_>,
    door: &Door,
    member: &Member,
    question: &str,
    deadline: Deadline,
) -> anyhow::Result<Reply> {
    let mut args = vec!["-F".to_owned(), "none".to_owned(), "-T".to_owned()];
    args.extend(files.options().into_iter().flat_map(|option| ["-o".to_owned(), option]));
    args.extend(["--".to_owned(), format!("{}@{}", door.account, member.address), door.command.clone()]);
    let limit = deadline.left(node).max(Duration::from_secs(1));
    let output = node.run(&Cmd::new("ssh", args, limit).stdin(question.to_owned().into()))?;
    if let Some(reply) = output.stdout.lines().find_map(|line| serde_json::from_str(line).ok()) {
        return Ok(reply);
    }
    let said = output.tail().replace('\n', " | ");
    match output.code {
        Some(SSH_FAILED) if said.contains("Permission denied") => {
            bail!("its sshd refuses the key: it expired, was used up or revoked, or is of another cluster")
        }
        Some(SSH_FAILED) if said.contains("Host key verification failed") => {
            bail!("it shows another host key than the pinned one, so nothing was sent to it: {said}")
        }
        Some(NOT_THERE) => {
            bail!("it has never had this program: name a member first that has")
        }
        _ => bail!("{said}"),
    }
}

/// The key and the pins, as ssh takes them; gone when dropped.
pub struct Files<'a> {
    node: &'a Node,
    key: String,
    hosts: String,
    is_key_ours: bool,
}

impl<'a> Files<'a> {
    /// Writes them under a name.
    pub fn write(node: &'a Node, name: &str, door: &Door) -> anyhow::Result<Self> {
        use secrecy::ExposeSecret;
        node.create_private_dir(RUNTIME_DIR)?;
        let path = |what: &str| format!("{RUNTIME_DIR}/{name}-{}.{what}", std::process::id());
        let (key, is_key_ours) = match &door.key {
            Key::Text(_) => (path("key"), true),
            Key::File(file) => (file.clone(), false),
        };
        let files = Self { node, key, hosts: path("hosts"), is_key_ours };
        let pins = door
            .members
            .iter()
            .flat_map(|member| member.keys.iter().map(|key| format!("{} {key}\n", member.address)));
        node.write(&files.hosts, pins.collect::<String>().as_bytes(), FileMode::Private)?;
        if let Key::Text(text) = &door.key {
            node.write(&files.key, text.expose_secret().as_bytes(), FileMode::Private)?;
        }
        Ok(files)
    }

    /// Options of ssh(1), as the command line and ssh_config(5) take them.
    pub fn options(&self) -> Vec<String> {
        let files = [format!("IdentityFile={}", self.key), format!("UserKnownHostsFile={}", self.hosts)];
        let fixed = [
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "BatchMode=yes",
            "ConnectTimeout=10",
            "ServerAliveInterval=15",
        ];
        files.into_iter().chain(fixed.map(str::to_owned)).collect()
    }
}

impl Drop for Files<'_> {
    fn drop(&mut self) {
        // Below /run, which the next boot empties.
        let _ = self.node.remove(&self.hosts);
        if self.is_key_ours {
            let _ = self.node.remove(&self.key);
        }
    }
}
