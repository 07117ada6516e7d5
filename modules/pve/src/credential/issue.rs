//! Issuing, listing, revoking and pruning tokens, on a member with quorum.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use secrecy::SecretString;
use serde::Serialize;

use super::issuing::{self, Issuing};
use super::registry::{self, Registered, Spender, Standing};
use super::token::{Context, Member, Token};
use super::{authorized_keys, seconds};
use crate::operation::Run;
use crate::pmxcfs::Members;
use crate::{Cmd, Node, observe, operation, ssh_keys, sshd};

/// The first sshd that reads an expiry in UTC (release notes of OpenSSH 9.1).
const OLDEST_SSHD: (u32, u32) = (9, 1);

/// What a new token shall be.
#[derive(Clone, Debug)]
pub struct Order {
    /// Cluster name.
    pub cluster_name: String,
    /// The only node that may use it.
    pub node: Option<String>,
    /// Seconds that it is good for.
    pub ttl: u64,
    /// The only addresses that sshd takes its key from; any where none is given.
    pub from: Vec<String>,
    /// For `pvecm add --use_ssh`.
    pub for_pvecm: bool,
    /// An audit trail that can't be written keeps nobody from using it.
    pub is_audit_optional: bool,
}

/// A token that was issued, and is whoever's it was issued for as soon as that is said.
pub struct Issued<'a> {
    /// Its name.
    pub id: String,
    /// The whole of it.
    pub text: SecretString,
    /// Seconds since 1970.
    pub expires: u64,
    issuing: Issuing<'a>,
}

impl Issued<'_> {
    /// Its text is handed over.
    pub fn hand_over(self) -> anyhow::Result<()> {
        self.issuing.end()
    }

    /// What came after its issue failed: it goes again, since nobody gets its text. Tells whether it went, and the error
    /// with what became of it.
    pub fn take_back(self, node: &Node, error: anyhow::Error) -> (bool, anyhow::Error) {
        taken_back(node, self.issuing, error)
    }
}

/// A token as it is shown to people.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// The only node that may use it.
    pub node: Option<String>,
    /// When it was issued, in UTC.
    pub issued: String,
    /// When it ends, in UTC.
    pub expires: String,
    /// Member that issued it.
    pub issued_on: String,
    /// `unspent`, `spent`, `half_spent` or `expired`.
    pub state: &'static str,
    /// Node that used it.
    pub spent_by: Option<String>,
    /// Its key is among those that let root in.
    pub is_authorised: bool,
}

/// What keeps tokens from working here; empty when nothing does.
pub fn faults(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    match sshd::settings(node)? {
        None => faults.push("there is no sshd on this member, and a token comes in by ssh".to_owned()),
        Some(settings) if settings.root_login == "no" => faults.push(
            "sshd of this member lets root in not at all (PermitRootLogin no), and a token is a key of root: set it to \
             forced-commands-only or prohibit-password"
                .to_owned(),
        ),
        Some(_) => {}
    }
    let said = node.run(&Cmd::new("ssh", ["-V"], Duration::from_secs(10)))?;
    if let Some(version) = sshd_version(&said.stderr)
        && version < OLDEST_SSHD
    {
        faults.push(format!(
            "OpenSSH {}.{} of this member knows no expiry in UTC, which came with 9.1: use method brokered",
            version.0, version.1
        ));
    }
    Ok(faults)
}

/// Issues a token.
pub fn token<'a>(node: &'a Node, order: &Order) -> anyhow::Result<Issued<'a>> {
    let own = observe::own_name(node)?;
    let program = operation::install(node)?;
    let issued = seconds(node);
    let expires = issued + order.ttl;
    let token = Token::new(Context {
        cluster: order.cluster_name.clone(),
        expires,
        node: order.node.clone(),
        members: members(node, &own)?,
    });
    let registered = Registered {
        id: token.id.clone(),
        cluster_name: order.cluster_name.clone(),
        public_key: token.public_key(),
        node: order.node.clone(),
        from: order.from.clone(),
        issued,
        expires,
        issued_on: own,
        for_pvecm: order.for_pvecm,
        is_audit_optional: order.is_audit_optional,
    };
    let text = token.render()?;
    let issuing = Issuing::begin(node, &token.id)?;
    // The key comes last: what it asks for is there.
    let issued = registry::register(node, &registered)
        .and_then(|()| authorized_keys::add(node, &registered, &program));
    match issued {
        Ok(()) => Ok(Issued { id: token.id, text, expires, issuing }),
        Err(error) => Err(taken_back(node, issuing, error).1),
    }
}

fn taken_back(node: &Node, issuing: Issuing<'_>, error: anyhow::Error) -> (bool, anyhow::Error) {
    let id = issuing.id().to_owned();
    match revoke(node, std::slice::from_ref(&id)).and_then(|_| issuing.end()) {
        Ok(()) => (true, error.context(format!("token {id} was taken back, since nobody got it"))),
        Err(kept) => {
            let what = format!(
                "token {id}, which nobody got, could not be taken back ({kept:#}): the next run of pve_join_credential on \
                 this member does, and it ends by itself"
            );
            (false, error.context(what))
        }
    }
}

/// Takes away what was being issued by processes that were killed, and calls for each what was there.
pub fn take_back_left_over(node: &Node, mut told: impl FnMut(Registered)) -> anyhow::Result<()> {
    for issuing in issuing::left_over(node)? {
        let id = issuing.id().to_owned();
        let known = registry::find(node, &id)?;
        let revoked = revoke(node, std::slice::from_ref(&id))?;
        issuing.end()?;
        if !revoked.is_empty() {
            told(known.unwrap_or(Registered { id, ..Registered::default() }));
        }
    }
    Ok(())
}

/// All tokens that are registered or authorised.
pub fn list(node: &Node) -> anyhow::Result<Vec<Listed>> {
    let authorised = authorized_keys::listed(node)?;
    let mut ids = registry::ids(node)?;
    ids.extend(authorised.iter().filter(|id| !ids.contains(id)).cloned().collect::<Vec<_>>());
    let now = seconds(node);
    let mut tokens = Vec::new();
    for id in ids {
        let known = registry::find(node, &id)?.unwrap_or_default();
        let (mut state, spender) = match registry::standing(node, &id)? {
            Standing::Unspent => ("unspent", None),
            Standing::HalfSpent => ("half_spent", None),
            Standing::Spent(Spender { node, .. }) => ("spent", Some(node)),
        };
        if known.expires <= now {
            state = "expired";
        }
        tokens.push(Listed {
            is_authorised: authorised.contains(&id),
            id,
            node: known.node,
            issued: crate::audit::utc(known.issued),
            expires: crate::audit::utc(known.expires),
            issued_on: known.issued_on,
            state,
            spent_by: spender,
        });
    }
    Ok(tokens)
}

/// Revokes tokens: sshd refuses their keys first, then they are forgotten. Tells which there were.
pub fn revoke(node: &Node, ids: &[String]) -> anyhow::Result<Vec<String>> {
    let authorised = authorized_keys::listed(node)?;
    authorized_keys::remove(node, ids)?;
    forget(node, ids, &authorised)
}

/// The same in an operation, so that a lock which it is killed with is given back.
pub fn revoke_in(run: &mut Run<'_>, ids: &[String]) -> anyhow::Result<Vec<String>> {
    let authorised = authorized_keys::listed(run.node)?;
    authorized_keys::remove_in(run, ids)?;
    forget(run.node, ids, &authorised)
}

fn forget(node: &Node, ids: &[String], authorised: &[String]) -> anyhow::Result<Vec<String>> {
    let mut revoked = Vec::new();
    for id in ids {
        if registry::forget(node, id)? || authorised.contains(id) {
            revoked.push(id.clone());
        }
    }
    Ok(revoked)
}

/// The members that a token names, this one first, with the host keys that they show.
fn members(node: &Node, own: &str) -> anyhow::Result<Vec<Member>> {
    let keys = ssh_keys::host_keys(node)?;
    let keys: Vec<String> = keys.into_iter().map(|key| format!("{} {}", key.algorithm, key.key)).collect();
    ensure!(!keys.is_empty(), "this node has no public host key in /etc/ssh, so nothing can be pinned");
    let text = node.read("/etc/pve/.members")?.context("/etc/pve is not mounted")?;
    let known = Members::parse(&text)?;
    let address_of = |name: &str| {
        known.nodelist.get(name).and_then(|member| member.ip.clone()).filter(|ip| !ip.is_empty())
    };
    let own_address = match address_of(own) {
        Some(address) => address,
        None => observe::own_address(node)?.to_string(),
    };
    let mut members = vec![Member { address: own_address, keys }];
    for name in known.online().iter().filter(|name| *name != own) {
        // pmxcfs has one host key of each node, as `<name> <algorithm> <key>` (updatecerts).
        let published = node.read(&format!("/etc/pve/nodes/{name}/ssh_known_hosts"))?.unwrap_or_default();
        let key = published.split_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" ");
        if let Some(address) = address_of(name)
            && ssh_keys::parse(&key).is_some()
        {
            members.push(Member { address, keys: vec![key] });
        }
    }
    Ok(members)
}

/// `OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1 1 Jul 2025`.
fn sshd_version(text: &str) -> Option<(u32, u32)> {
    let numbers = text.trim().strip_prefix("OpenSSH_")?;
    let (major, rest) = numbers.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_of_ssh_is_read() {
        let version = super::sshd_version;
        assert_eq!(version("OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1 1 Jul 2025\n"), Some((10, 0)));
        assert_eq!(version("OpenSSH_8.4p1 Debian-5+deb11u3, OpenSSL 1.1.1w"), Some((8, 4)));
        assert_eq!(version("dropbear"), None);
    }
}
