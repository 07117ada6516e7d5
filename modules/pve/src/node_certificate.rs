//! Whether a node's own certificate in /etc/pve is good: its name, its key, its authority, its end. openssl reads it,
//! the one that PVE makes it with.

use std::time::Duration;

use crate::verdict::Finding;
use crate::{Cmd, Node, Output, RunError, SecretString};

/// The certificate of the cluster's authority.
pub const AUTHORITY: &str = "/etc/pve/pve-root-ca.pem";
/// Ahead of its end.
const SOON_DAYS: u32 = 30;

/// What a look at the certificate found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// When it ends, as openssl writes it; empty where it can't be read.
    pub end: String,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// In a sentence.
    pub text: String,
}

/// What kind of fault, as far as the remedy differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is of no use.
    Bad,
    /// Its key is of no use, and PVE goes on with a key that is there.
    BadKey,
    /// It ends soon.
    EndsSoon,
}

/// Looks at the certificate of the node of this name, for a verdict.
pub fn inspect(node: &Node, own: &str, timeout: Duration) -> anyhow::Result<Finding> {
    let hint = "pvecm updatecerts --force, then systemctl reload-or-restart pveproxy pvedaemon";
    let state = look(node, own, SOON_DAYS, timeout)?;
    match state.fault {
        None => Finding::passed(format!("good until {}", state.end)),
        Some(Fault { kind: FaultKind::EndsSoon, text }) => Finding::warned(text, hint),
        Some(fault) => Finding::failed(fault.text, hint),
    }
}

/// Looks at the certificate of the node of this name, which ends soon when it does within so many days.
pub fn look(node: &Node, own: &str, soon_days: u32, timeout: Duration) -> anyhow::Result<State> {
    let path = format!("/etc/pve/nodes/{own}/pve-ssl.pem");
    let mut end = String::new();
    let fault = find_fault(node, own, &path, &mut end, soon_days, timeout)?;
    Ok(State { end, fault: fault.map(|(kind, text)| Fault { kind, text }) })
}

fn find_fault(
    node: &Node,
    own: &str,
    path: &str,
    end: &mut String,
    soon_days: u32,
    timeout: Duration,
) -> anyhow::Result<Option<(FaultKind, String)>> {
    let bad = |text: String| Ok(Some((FaultKind::Bad, text)));
    let look = |args: &[&str], input: &str| openssl(node, args, input, timeout);
    // A key of no use comes first: with it no certificate that is made anew is good.
    let public = match node.read(&format!("/etc/pve/nodes/{own}/pve-ssl.key"))?.map(zeroize::Zeroizing::new) {
        None => None,
        Some(key) => {
            let public = look(&["pkey", "-pubout"], &key)?;
            if !public.is_success() {
                let text = "openssl can't read the certificate's key, pve-ssl.key".to_owned();
                return Ok(Some((FaultKind::BadKey, text)));
            }
            Some(public.stdout)
        }
    };
    let Some(pem) = node.read(path)? else {
        return bad(format!("{path} is missing"));
    };
    let told = look(&["x509", "-noout", "-enddate", "-checkhost", own, "-pubkey"], &pem)?;
    let Some(until) = told.stdout.lines().find_map(|line| line.strip_prefix("notAfter=")) else {
        return bad(format!("openssl can't read {path}: {}", told.tail().replace('\n', " | ")));
    };
    until.clone_into(end);
    if !look(&["x509", "-noout", "-checkend", "0"], &pem)?.is_success() {
        return bad(format!("the certificate ended on {end}"));
    }
    if told.stdout.contains("does NOT match") {
        return bad(format!("the certificate is not one of {own:?}"));
    }
    let authority = node.path(AUTHORITY);
    let verified = look(&["verify", "-CAfile", &authority.to_string_lossy()], &pem)?;
    if !verified.is_success() {
        let said = verified.stderr.lines().find(|line| line.contains("error")).unwrap_or("").trim();
        return bad(format!("the certificate is not of this cluster's authority: {said}"));
    }
    let Some(public) = public else {
        return bad("the certificate's key, pve-ssl.key, is missing".to_owned());
    };
    if !told.stdout.contains(public.trim()) {
        return bad("the certificate is of another key than pve-ssl.key".to_owned());
    }
    let soon = (u64::from(soon_days) * 86400).to_string();
    if !look(&["x509", "-noout", "-checkend", &soon], &pem)?.is_success() {
        return Ok(Some((FaultKind::EndsSoon, format!("the certificate ends on {end}"))));
    }
    Ok(None)
}

/// Why PVE can make no certificate of the cluster's authority, or none that lasts so many days; `None` when it can.
pub fn authority_fault(node: &Node, days: u32, timeout: Duration) -> anyhow::Result<Option<String>> {
    let Some(pem) = node.read(AUTHORITY)? else {
        return Ok(Some(format!("the certificate of the cluster's authority, {AUTHORITY}, is missing")));
    };
    if !node.exists("/etc/pve/priv/pve-root-ca.key") {
        return Ok(Some(
            "the key of the cluster's authority, /etc/pve/priv/pve-root-ca.key, is missing".to_owned(),
        ));
    }
    // A certificate ends two days before its authority, which signs none in its last two weeks (PVE/Cluster/Setup.pm,
    // `gen_pve_ssl_cert`).
    let seconds = (u64::from(days + 3).max(14) * 86400).to_string();
    let said = openssl(node, &["x509", "-noout", "-enddate", "-checkend", &seconds], &pem, timeout)?;
    let Some(until) = said.stdout.lines().find_map(|line| line.strip_prefix("notAfter=")) else {
        return Ok(Some(format!("openssl can't read {AUTHORITY}")));
    };
    Ok((!said.is_success()).then(|| {
        format!("the cluster's authority, {AUTHORITY}, ends on {until}, and PVE makes no certificate that outlives it")
    }))
}

/// What is read goes to standard input: a key never stands in an argument or a file of ours.
fn openssl(node: &Node, args: &[&str], input: &str, timeout: Duration) -> Result<Output, RunError> {
    node.run(&Cmd::new("openssl", args.iter().copied(), timeout).stdin(SecretString::from(input)))
}
