//! Whether a node's own certificate in /etc/pve is good: its name, its key, its authority, its end. openssl reads it,
//! the one that PVE makes it with.

use std::time::Duration;

use crate::verdict::Finding;
use crate::{Cmd, Node, SecretString};

/// Ahead of its end.
const SOON_DAYS: u32 = 30;

/// Looks at the certificate of the node of this name.
pub fn inspect(node: &Node, own: &str, timeout: Duration) -> anyhow::Result<Finding> {
    let path = format!("/etc/pve/nodes/{own}/pve-ssl.pem");
    let hint = "pvecm updatecerts --force, then systemctl reload-or-restart pveproxy pvedaemon";
    let Some(pem) = node.read(&path)? else {
        return Finding::failed(format!("{path} is missing"), hint);
    };
    let soon = (SOON_DAYS * 86400).to_string();
    let look = |args: &[&str], input: &str| {
        let cmd = Cmd::new("openssl", args.iter().copied(), timeout).stdin(SecretString::from(input));
        node.run(&cmd)
    };
    let told = look(&["x509", "-noout", "-enddate", "-checkhost", own, "-pubkey"], &pem)?;
    anyhow::ensure!(told.stdout.contains("notAfter="), "openssl can't read {path}: {}", told.tail());
    let end = told.stdout.lines().find_map(|line| line.strip_prefix("notAfter=")).unwrap_or_default();
    if !look(&["x509", "-noout", "-checkend", "0"], &pem)?.is_success() {
        return Finding::failed(format!("the certificate ended on {end}"), hint);
    }
    if told.stdout.contains("does NOT match") {
        return Finding::failed(format!("the certificate is not one of {own:?}"), hint);
    }
    let authority = node.path("/etc/pve/pve-root-ca.pem");
    let verified = look(&["verify", "-CAfile", &authority.to_string_lossy()], &pem)?;
    if !verified.is_success() {
        let said = verified.stderr.lines().find(|line| line.contains("error")).unwrap_or("").trim();
        return Finding::failed(format!("the certificate is not of this cluster's authority: {said}"), hint);
    }
    if let Some(key) = node.read(&format!("/etc/pve/nodes/{own}/pve-ssl.key"))? {
        let key = zeroize::Zeroizing::new(key);
        let public = look(&["pkey", "-pubout"], &key)?.stdout;
        if !public.is_empty() && !told.stdout.contains(public.trim()) {
            return Finding::failed("the certificate is of another key than pve-ssl.key", hint);
        }
    }
    if !look(&["x509", "-noout", "-checkend", &soon], &pem)?.is_success() {
        return Finding::warned(format!("the certificate ends on {end}"), hint);
    }
    Finding::passed(format!("good until {end}"))
}
