//! A member's database of certificates, by the tool that comes with corosync-qdevice. What it holds is asked of NSS'
//! `certutil`, since a killed tool leaves halves behind.

use std::time::Duration;

use anyhow::Context;

use crate::seal::RUNTIME_DIR;
use crate::{Cmd, FileMode, Node, RunError, base64, certificate};

const DB: &str = "/etc/corosync/qdevice/net/nssdb";
const TOOL: &str = "corosync-qdevice-net-certutil";
/// RSA keys are made meanwhile.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The fingerprint of an authority.
pub(super) fn fingerprint(pem: &str) -> anyhow::Result<String> {
    certificate::fingerprint_of_pem(pem).context("ca is not the certificate that state=serving returned")
}

/// What a database says of a certificate; nothing where it has none of that name.
pub(super) fn show(node: &Node, db: &str, name: &str, more: &[&str]) -> anyhow::Result<String> {
    if !node.exists(db) {
        return Ok(String::new());
    }
    let args = [&["-L", "-d", db, "-n", name], more].concat();
    match node.run(&Cmd::new("certutil", args, TIMEOUT)) {
        Ok(output) => Ok(output.stdout),
        Err(RunError::NotFound { .. }) => Ok(String::new()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn authority(node: &Node) -> anyhow::Result<Option<String>> {
    Ok(certificate::fingerprint_of_pem(&show(node, DB, "QNet CA", &["-a"])?).ok())
}

/// "User" is a certificate whose key is here.
pub(super) fn has_certificate(node: &Node, cluster: &str) -> anyhow::Result<bool> {
    let shown = show(node, DB, "Cluster Cert", &[])?;
    Ok(shown.contains(&format!("\"CN={cluster}\"")) && shown.contains("User"))
}

/// Makes it, with a key and a request of its own.
pub(super) fn make(node: &Node, authority: &str, cluster: &str) -> anyhow::Result<String> {
    with_file(node, authority.as_bytes(), |path| tool(node, TOOL, &["-i", "-c", path]))?;
    tool(node, TOOL, &["-r", "-n", cluster])?;
    let path = format!("{DB}/qdevice-net-node.crq");
    let made = node.read_bytes(&path)?.with_context(|| format!("{TOOL} left no {path:?}"))?;
    Ok(base64::encode(&made))
}

/// Takes the certificate. The copy with the key, which the tool makes for other members, is not needed.
pub(super) fn import(node: &Node, certificate: &str) -> anyhow::Result<()> {
    let der = base64::decode(certificate).context("certificate is no base64")?;
    with_file(node, &der, |path| tool(node, TOOL, &["-M", "-c", path]))?;
    for left in ["p12", "crq"] {
        node.remove(&format!("{DB}/qdevice-net-node.{left}"))?;
    }
    Ok(())
}

/// Runs one of the tools, which tell the truth by their exit codes.
pub(super) fn tool(node: &Node, program: &str, args: &[&str]) -> anyhow::Result<()> {
    node.run_ok(&Cmd::new(program, args.iter().copied(), TIMEOUT)).map(drop)
}

/// The tools read files only.
pub(super) fn with_file(
    node: &Node,
    content: &[u8],
    work: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    const PATH: &str = "/run/sddc-pve/qdevice";
    node.create_private_dir(RUNTIME_DIR)?;
    node.write(PATH, content, FileMode::Private)?;
    let outcome = work(PATH);
    node.remove(PATH)?;
    outcome
}
