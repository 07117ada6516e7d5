//! A ticket of root, made by PVE's own library on a member: a login without password, second factor or entry in a
//! file, which PVE ends two hours later (pve-access-control, `PVE::AccessControl::assemble_ticket`).

use std::time::Duration;

use anyhow::{Context, ensure};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::{Cmd, Node};

/// How long PVE takes a ticket; it can't be ended earlier.
pub const LIFE: u64 = 7200;
const CODE: &str = r#"print PVE::AccessControl::assemble_ticket("root\@pam")"#;

/// A ticket and what it is called in records.
pub struct Ticket {
    /// The ticket.
    pub text: SecretString,
    /// Its name.
    pub id: String,
}

/// Makes a ticket of root.
pub fn mint(node: &Node) -> anyhow::Result<Ticket> {
    let cmd = Cmd::new("perl", ["-MPVE::AccessControl", "-e", CODE], Duration::from_secs(20));
    let output = node.run(&cmd)?;
    let text = zeroize::Zeroizing::new(output.stdout);
    ensure!(
        output.code == Some(0) && text.starts_with("PVE:root@pam:") && !text.contains('\n'),
        "PVE made no ticket for root@pam: {}",
        output.stderr.trim()
    );
    // The signature is over these words; its hash names the ticket and opens nothing.
    let digest = Sha256::digest(text.as_bytes());
    let id = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    Ok(Ticket { text: SecretString::from(text.as_str()), id })
}

/// What root's login of this cluster asks for beside the password: what root has (/etc/pve/priv/tfa.cfg), and what its
/// realm wants of everybody (`tfa` in /etc/pve/domains.cfg).
pub fn second_factors(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut factors = own_factors(node)?;
    let realms = node.read("/etc/pve/domains.cfg")?.unwrap_or_default();
    factors.extend(is_wanted_by_pam(&realms).then(|| "realm pam".to_owned()));
    Ok(factors)
}

/// The sections of PVE's files begin with `type: name`, and have one option on each indented line.
fn is_wanted_by_pam(realms: &str) -> bool {
    let mut is_pam = false;
    realms.lines().filter(|line| !line.starts_with('#')).any(|line| {
        if !line.starts_with(char::is_whitespace) {
            is_pam = line.split_once(':').is_some_and(|(_, name)| name.trim() == "pam");
            return false;
        }
        is_pam && line.split_whitespace().next() == Some("tfa")
    })
}

fn own_factors(node: &Node) -> anyhow::Result<Vec<String>> {
    let text = node.read("/etc/pve/priv/tfa.cfg")?.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let config: serde_json::Value =
        serde_json::from_str(&text).context("cannot read \"/etc/pve/priv/tfa.cfg\"")?;
    let kinds = config["users"]["root@pam"].as_object().into_iter().flatten();
    let used = kinds.filter(|(_, of_kind)| of_kind.as_array().is_none_or(|list| !list.is_empty()));
    Ok(used.map(|(kind, _)| kind.clone()).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_factor_that_the_realm_of_root_wants_is_seen() {
        let realms = |option: &str, of: &str| {
            let (pam, pve) = if of == "pam" { (option, "") } else { ("", option) };
            format!("pam: pam\n\tcomment Linux PAM\n#\n{pam}\npve: pve\n\tcomment tfa\n{pve}")
        };
        let is_wanted = super::is_wanted_by_pam;
        assert!(is_wanted(&realms("\ttfa type=oath,digits=6\n", "pam")));
        assert!(!is_wanted(&realms("\ttfa type=oath,digits=6\n", "pve")));
        assert!(!is_wanted(&realms("", "pam")) && !is_wanted(""));
    }
}
