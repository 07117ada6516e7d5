//! The way in over ssh, under the member's pinned host keys. As root it is `pvecm add --use_ssh` with a key that serves
//! this one join; as the dedicated user it is the one command that sudo lets it run, and goes on as a brokered join.
//! pvecm starts ssh itself, so key and pins reach it by a section of root's ssh configuration that goes with the join.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::finish::Api;
use super::{Request, api, brokered, expose};
use crate::credential::answer::{Action, Question};
use crate::credential::ask::{self, Door, Files, Key};
use crate::credential::token::{Member, Token};
use crate::credential::{answer, issue};
use crate::node::FileMode;
use crate::observe::LinkAddress;
use crate::operation::Run;
use crate::{Cmd, Node, seal};

/// The program as the dedicated user's sudo rule has it: one path for all versions of it.
const PROGRAM: &str = "/usr/local/lib/sddc-pve/admin/pve";
const CONFIG: &str = "/root/.ssh/config";
const BEGIN: &str = "# sddc.pve, for the time of a join: begin";
const END: &str = "# sddc.pve, for the time of a join: end";

/// A join over ssh.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SshJoin {
    /// The member.
    pub peer: IpAddr,
    /// The host keys that it may show, as `<algorithm> <base64>`.
    pub host_keys: Vec<String>,
    /// The dedicated user; root when none is given.
    pub user: Option<String>,
    /// For root what the member issued for one `pvecm add`, for the user the file of its key on this node.
    #[serde(serialize_with = "expose")]
    pub key: SecretString,
    /// Node id; the lowest free one when none is given.
    pub nodeid: Option<u32>,
    /// Votes; 1 when none are given.
    pub votes: Option<u32>,
}

impl SshJoin {
    /// Id of the key that was issued for this join.
    pub fn credential(&self) -> Option<String> {
        self.user.is_none().then(|| Token::parse(&self.key).ok().map(|token| token.id)).flatten()
    }

    /// How the member is asked.
    pub fn door(&self) -> anyhow::Result<Door> {
        let members = vec![Member { address: self.peer.to_string(), keys: self.host_keys.clone() }];
        Ok(match &self.user {
            None => Door { members, ..Door::of(&Token::parse(&self.key)?) },
            Some(name) => Door {
                account: name.clone(),
                members,
                key: Key::File(self.key.expose_secret().to_owned()),
                command: format!("sudo -n {PROGRAM} {}", answer::ADMIT),
            },
        })
    }

    /// What is asked, but for the action. In a run that must not change anything the key for material is only played.
    pub fn question(
        &self,
        node: &Node,
        cluster_name: &str,
        name: &str,
        links: &[LinkAddress],
        is_check: bool,
    ) -> anyhow::Result<Question> {
        let key = seal::lasting_request(node, name, &seal::Asker::User, is_check)?;
        Ok(Question {
            cluster_name: cluster_name.to_owned(),
            node: name.to_owned(),
            public_key: key.public_key,
            links: links.to_vec(),
            nodeid: self.nodeid,
            votes: self.votes,
            ..Question::default()
        })
    }
}

/// Whether the key of a user is there and its secret one; ssh itself says so only in other words.
pub fn user_faults(node: &Node, key: &str) -> anyhow::Result<()> {
    ensure!(
        node.exists(key) && node.is_private(key)?,
        "ssh_key {key:?} is missing, or others than root can read it: run the role cluster_admin on this node"
    );
    Ok(())
}

pub(super) fn run(run: &mut Run<'_>, request: &Request, how: &SshJoin, api: Api) -> anyhow::Result<()> {
    match how.user {
        None => with_pvecm(run, request, how, api),
        Some(_) => by_sudo(run, request, how, api),
    }
}

fn with_pvecm(run: &mut Run<'_>, request: &Request, how: &SshJoin, api: Api) -> anyhow::Result<()> {
    let door = how.door()?;
    run.mark(super::token::ASKED, &how.credential().unwrap_or_default())?;
    api::add(run, request, api, &mut |run| {
        // Both go when pvecm has ended; the snapshot and the next run see to it where this process is killed.
        let files = Files::write(run.node, "ssh", &door)?;
        let section = Section::write(run.node, how.peer, &files.options())?;
        let extra = ["--use_ssh".to_owned(), "1".to_owned()];
        let args = api::command(request, how.peer, &extra, how.nodeid, how.votes);
        let output = run.node.run(&Cmd::new("pvecm", args, run.deadline.left(run.node)));
        section.remove()?;
        Ok(output?)
    })?;
    run.step("forget the key", |run| {
        let ids: Vec<String> = how.credential().into_iter().collect();
        // It serves nobody but this node, which needs it no more, and ends by itself.
        let detail = issue::revoke_in(run, &ids);
        Ok(((), detail.map_or_else(|error| format!("not yet: {error:#}"), |ids| ids.join(", "))))
    })
}

fn by_sudo(run: &mut Run<'_>, request: &Request, how: &SshJoin, api: Api) -> anyhow::Result<()> {
    let material = run.step("ask a member over ssh", |run| {
        // With a key of its own, which no join uses up.
        run.mark(super::token::ASKED, "")?;
        let asked = how.question(run.node, &request.cluster_name, &request.node, &request.links, false)?;
        let question = Question { action: Action::Join, ..asked };
        let reply = ask::ask(run.node, &how.door()?, &question, run.deadline)?;
        run.mark("nodes_before", &reply.nodes.to_string())?;
        reply.warnings.into_iter().for_each(|warning| run.warn(warning));
        let material = reply.material.context("the member gave no join material")?;
        Ok((material, format!("admitted beside {} nodes", reply.nodes)))
    })?;
    brokered::run(run, request, &material, api)
}

/// Our section of root's ssh configuration.
struct Section<'a> {
    node: &'a Node,
}

impl<'a> Section<'a> {
    /// Puts it first, since the first value counts (ssh_config(5)).
    fn write(node: &'a Node, peer: IpAddr, options: &[String]) -> anyhow::Result<Self> {
        forget(node)?;
        let before = node.read(CONFIG)?;
        let mut text = format!("{BEGIN}\nHost {peer}\n");
        options.iter().for_each(|option| text.extend([option.as_str(), "\n"]));
        // What follows was for every host before.
        text.extend(["Host *\n", END, "\n", before.as_deref().unwrap_or_default()]);
        node.create_private_dir("/root/.ssh")?;
        rewrite(node, &text)?;
        Ok(Self { node })
    }

    fn remove(self) -> anyhow::Result<()> {
        forget(self.node)
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        // Said where it is removed on purpose; here something else has failed already.
        let _ = forget(self.node);
    }
}

/// Removes what a process that was killed has left of a key.
pub(super) fn forget_files(node: &Node) -> anyhow::Result<()> {
    let names = node.list(seal::RUNTIME_DIR)?;
    // Also what was cut off before it had its name.
    let is_key = |name: &str| name.starts_with("ssh-") || name.starts_with("token-");
    for name in names.iter().filter(|name| is_key(name.trim_start_matches('.'))) {
        node.remove(&format!("{}/{name}", seal::RUNTIME_DIR))?;
    }
    Ok(())
}

/// Removes our section where there is one.
pub(super) fn forget(node: &Node) -> anyhow::Result<()> {
    let text = node.read(CONFIG)?.unwrap_or_default();
    let Some((head, rest)) = text.split_once(&format!("{BEGIN}\n")) else { return Ok(()) };
    let tail = rest.split_once(&format!("{END}\n")).map_or("", |(_, tail)| tail);
    match format!("{head}{tail}") {
        text if text.is_empty() => node.remove(CONFIG).map(drop),
        text => rewrite(node, &text),
    }
}

/// Writes it with the mode that it had.
fn rewrite(node: &Node, text: &str) -> anyhow::Result<()> {
    let path = node.path(CONFIG);
    let mode = std::fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o777).ok();
    node.write(CONFIG, text.as_bytes(), FileMode::Private)?;
    if let Some(mode) = mode {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the mode of {CONFIG:?}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn the_section_comes_first_and_leaves_the_file_as_it_was() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let node = fake.node();
        fake.write(CONFIG, "Ciphers aes128-ctr\n");
        std::fs::set_permissions(fake.path(CONFIG), std::fs::Permissions::from_mode(0o640)).unwrap();
        let peer = "10.88.0.11".parse().unwrap();
        let section = Section::write(&node, peer, &["IdentityFile=/run/x".to_owned()]).unwrap();
        let text = node.read(CONFIG).unwrap().unwrap();
        let wanted =
            format!("{BEGIN}\nHost 10.88.0.11\nIdentityFile=/run/x\nHost *\n{END}\nCiphers aes128-ctr\n");
        assert_eq!(text, wanted);
        // Killed in between, the next one makes it anew rather than twice.
        std::mem::forget(section);
        let section = Section::write(&node, peer, &["IdentityFile=/run/x".to_owned()]).unwrap();
        assert_eq!(node.read(CONFIG).unwrap().unwrap(), wanted);
        section.remove().unwrap();
        assert_eq!(node.read(CONFIG).unwrap().unwrap(), "Ciphers aes128-ctr\n");
        assert_eq!(std::fs::metadata(fake.path(CONFIG)).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_file_that_was_not_there_goes_again() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let node = fake.node();
        let peer = "10.88.0.11".parse().unwrap();
        Section::write(&node, peer, &[]).unwrap().remove().unwrap();
        assert!(!node.exists(CONFIG));
    }

    #[test]
    fn no_key_of_a_process_that_was_killed_stays() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        for name in ["token-7.key", "ssh-7.hosts", ".token-7.key.sddc.7", "operation.lock"] {
            fake.write(&format!("{}/{name}", seal::RUNTIME_DIR), "");
        }
        forget_files(&fake.node()).unwrap();
        assert_eq!(fake.node().list(seal::RUNTIME_DIR).unwrap(), ["operation.lock"]);
    }
}
