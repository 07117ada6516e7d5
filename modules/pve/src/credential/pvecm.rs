//! What one `pvecm add --use_ssh` asks of a member over ssh (`PVE/CLI/pvecm.pm`): whether the key is there, the version,
//! the admission of its node, two files. Its key may ask for these and nothing else, for one node, while that node is not
//! a member. The admission is ours: `pvecm addnode --force` would overwrite a name that is taken.

use std::net::IpAddr;

use anyhow::{Context, bail, ensure};

use super::answer;
use super::registry::{self, Standing};
use crate::admission::Newcomer;
use crate::gather::{AUTHKEY, SHARED_CONF};
use crate::{Cmd, Node, admission, observe};

/// Where sshd tells what was asked of a key that may do one thing only (sshd(8)).
const ASKED: &str = "SSH_ORIGINAL_COMMAND";
/// What the joiner asks in its own words, on standard input.
const QUESTION: &str = "join";
/// Far more than a look at a version takes.
const TOOL_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// What is done about what was asked.
pub enum Served {
    /// It was done, and this is told.
    Said(String),
    /// This program goes on in place of this one, with its standard input and output.
    Becomes(Cmd),
}

/// One thing that pvecm asks for.
#[derive(Debug, PartialEq, Eq)]
enum Demand {
    Nothing,
    Version,
    Admission(Newcomer),
    Files(String),
}

/// Serves what came in with a key for pvecm; nothing when it is a question, or another key's.
pub fn serve(node: &Node, id: &str) -> Option<anyhow::Result<Served>> {
    let asked = node.variable(ASKED).filter(|asked| asked != QUESTION)?;
    match registry::find(node, id) {
        Ok(Some(token)) if token.for_pvecm => Some(serve_line(node, id, &asked)),
        _ => None,
    }
}

fn serve_line(node: &Node, id: &str, asked: &str) -> anyhow::Result<Served> {
    let token = answer::known(node, id)?;
    answer::ensure_in_time(node, &token)?;
    let bound = token.node.as_deref().context("the key is for no node")?;
    match read(asked)? {
        Demand::Nothing => Ok(Served::Said(String::new())),
        Demand::Version => Ok(Served::Said(node.run_ok(&Cmd::new("pvecm", ["apiver"], TOOL_TIME))?.stdout)),
        Demand::Admission(newcomer) => {
            ensure!(newcomer.name == bound, "this key is for node {bound:?}, not {:?}", newcomer.name);
            let spender = Some((&token, token.public_key.as_str()));
            answer::admit(node, &token.cluster_name, newcomer, &token.public_key, spender)?;
            Ok(Served::Said(String::new()))
        }
        Demand::Files(flags) => {
            ensure!(
                matches!(registry::standing(node, id)?, Standing::Spent(_)),
                "node {bound:?} was not admitted with this key"
            );
            let conf = observe::shared_conf(node)?.context("this node is in no cluster")?;
            let standing = admission::Standing::of(node, &conf)?;
            ensure!(conf.node(bound).is_some(), "node {bound:?} is not listed");
            ensure!(!standing.online.contains(bound), "node {bound:?} is a member already");
            let args = ["--server", "--sender", &flags, ".", AUTHKEY, SHARED_CONF];
            Ok(Served::Becomes(Cmd::new("rsync", args, TOOL_TIME)))
        }
    }
}

/// Reads a line word by word; what is not known is refused.
fn read(asked: &str) -> anyhow::Result<Demand> {
    let words: Vec<&str> = asked.split(' ').collect();
    match words.as_slice() {
        // ssh-copy-id looks whether it gets in.
        ["exit"] => Ok(Demand::Nothing),
        ["pvecm", "apiver"] => Ok(Demand::Version),
        ["pvecm", "addnode", name, options @ ..] => Ok(Demand::Admission(newcomer(name, options)?)),
        ["rsync", "--server", "--sender", flags, ".", AUTHKEY, SHARED_CONF] if is_plain(flags) => {
            Ok(Demand::Files((*flags).to_owned()))
        }
        _ => bail!("this key serves one pvecm add --use_ssh and nothing else: {asked:?} is refused"),
    }
}

/// `-logpqe.LsfxCIvu` and its like: attributes of the files, then what rsync's protocol can do (rsync: `options.c`).
fn is_plain(flags: &str) -> bool {
    let Some((kept, protocol)) = flags.strip_prefix('-').and_then(|rest| rest.split_once("e.")) else {
        return false;
    };
    kept.bytes().all(|letter| b"lpgoq".contains(&letter))
        && protocol.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'.')
}

fn newcomer(name: &str, options: &[&str]) -> anyhow::Result<Newcomer> {
    let mut newcomer = Newcomer { name: name.to_owned(), ..Newcomer::default() };
    let mut fallback = None;
    let number = |value: &str| -> anyhow::Result<u32> {
        value.parse().with_context(|| format!("{value:?} is no number"))
    };
    let address = |value: &str| -> anyhow::Result<String> {
        let address = value.split(',').next().unwrap_or_default();
        let address = address.strip_prefix("address=").unwrap_or(address);
        let address: IpAddr = address.parse().with_context(|| format!("{value:?} is no address"))?;
        Ok(address.to_string())
    };
    for pair in options.chunks(2) {
        let [option, value] = pair else { bail!("{:?} has no value", pair[0]) };
        match *option {
            // Ours never overwrites a name.
            "--force" | "--apiversion" => {}
            "--nodeid" => newcomer.nodeid = Some(number(value)?),
            "--votes" => newcomer.votes = Some(number(value)?),
            "--new_node_ip" => fallback = Some(address(value)?),
            other => {
                let link = other.strip_prefix("--link").and_then(|number| number.parse().ok());
                let link = link.with_context(|| format!("option {other:?} is refused"))?;
                newcomer.links.insert(link, address(value)?);
            }
        }
    }
    if newcomer.links.is_empty() {
        newcomer.links.extend(fallback.map(|address| (0, address)));
    }
    Ok(newcomer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pvecm_add_asks_for_is_read() {
        // As OpenSSH's ssh-copy-id, PVE 9.1 and rsync 3.4 send it.
        assert_eq!(read("exit").unwrap(), Demand::Nothing);
        assert_eq!(read("pvecm apiver").unwrap(), Demand::Version);
        let line = "pvecm addnode pve2 --force 1 --nodeid 7 --votes 2 --link1 10.89.0.12 --link0 10.88.0.12,priority=20";
        let wanted = Newcomer {
            name: "pve2".into(),
            links: [(0, "10.88.0.12".into()), (1, "10.89.0.12".into())].into(),
            nodeid: Some(7),
            votes: Some(2),
        };
        assert_eq!(read(line).unwrap(), Demand::Admission(wanted));
        let Demand::Admission(found) = read("pvecm addnode pve2 --force 1 --new_node_ip 10.88.0.12").unwrap()
        else {
            panic!()
        };
        assert_eq!(found.links[&0], "10.88.0.12");
        let line = "rsync --server --sender -logpqe.LsfxCIvu . /etc/corosync/authkey /etc/pve/corosync.conf";
        assert_eq!(read(line).unwrap(), Demand::Files("-logpqe.LsfxCIvu".into()));
    }

    #[test]
    fn whatever_else_is_asked_for_is_refused() {
        let files = "/etc/corosync/authkey /etc/pve/corosync.conf";
        for line in [
            "",
            "sh",
            "exit; id",
            "pvecm",
            "pvecm delnode pve1",
            "pvecm apiver; id",
            "pvecm addnode pve2 --force",
            "pvecm addnode pve2 --link0 `id`",
            "pvecm addnode pve2 --link0 localhost",
            "pvecm addnode pve2 --nodeid 1;id",
            "pvecm addnode pve2 --target /etc/shadow",
            "rsync --server --sender -logpqe.LsfxCIvu . /etc/shadow",
            &format!("rsync --server -logpqe.LsfxCIvu . {files}"),
            &format!("rsync --server --sender -logpqe.LsfxCIvu --rsh=sh . {files}"),
            &format!("rsync --server --sender --remove-source-files . {files}"),
            &format!("rsync --server --sender -logpqe.;id . {files}"),
            &format!("rsync --server --sender -fe._/etc/shadow . {files}"),
            &format!("rsync --server --sender -logpqe.LsfxCIvu . {files} /etc/shadow"),
            &format!("rsync --server --sender -logpqe.LsfxCIvu .  {files}"),
        ] {
            assert!(read(line).is_err(), "{line:?} is let through");
        }
    }
}
