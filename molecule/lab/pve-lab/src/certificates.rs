//! Keys and certificates of a node and its cluster, made with the openssl program as PVE makes them.

use std::io;

use base64::Engine as _;
use ring::digest;

use crate::delays::Step;
use crate::host::Host;
use crate::system::Output;

const CA_KEY: &str = "/etc/pve/priv/pve-root-ca.key";
const CA_CERTIFICATE: &str = "/etc/pve/pve-root-ca.pem";
const CA_SERIAL: &str = "/etc/pve/priv/pve-root-ca.srl";
pub const AUTH_KEY: &str = "/etc/pve/priv/authkey.key";
const AUTH_PUBLIC: &str = "/etc/pve/authkey.pub";
pub const WWW_KEY: &str = "/etc/pve/pve-www.key";

fn checked(output: Output, what: &str) -> io::Result<String> {
    if output.succeeded() {
        return Ok(output.stdout);
    }
    Err(io::Error::other(format!("{what}: {}", output.stderr.trim())))
}

fn new_key(host: &Host, bits: &str) -> io::Result<String> {
    checked(host.run(&["openssl", "genrsa", bits]), "openssl genrsa")
}

fn ensure_key(host: &Host, path: &str, bits: &str, mode: u32) -> io::Result<()> {
    if host.exists(path) {
        return Ok(());
    }
    host.write(path, new_key(host, bits)?.as_bytes(), mode)
}

/// Makes what is missing: authentication key, form key, certificate authority, the node's own certificate, and
/// the latter anew when `force` says so. True when the node has a new certificate.
pub fn ensure_all(host: &Host, force: bool) -> io::Result<bool> {
    ensure_auth_key(host)?;
    ensure_key(host, WWW_KEY, "2048", 0o640)?;
    let node_key = host.node_file("pve-ssl.key");
    ensure_key(host, &node_key, "2048", 0o640)?;
    // A new authority makes the node's own certificate anew, and no other node's.
    let force = ensure_authority(host)? || force;
    let certificate = host.node_file("pve-ssl.pem");
    if host.exists(&certificate) && !force || host.faults.now().no_certificate {
        return Ok(false);
    }
    host.delays.take(Step::Certificate);
    sign(host, &node_key, &certificate)?;
    Ok(true)
}

fn ensure_auth_key(host: &Host) -> io::Result<()> {
    if host.exists(AUTH_KEY) && host.exists(AUTH_PUBLIC) {
        return Ok(());
    }
    let key = new_key(host, "2048")?;
    let public = host.system.run(&["openssl", "rsa", "-pubout"], Some(key.as_bytes()));
    host.write(AUTH_KEY, key.as_bytes(), 0o600)?;
    host.write(AUTH_PUBLIC, checked(public, "openssl rsa")?.as_bytes(), 0o640)
}

/// True when the authority has a new certificate.
fn ensure_authority(host: &Host) -> io::Result<bool> {
    if host.exists(CA_KEY) && host.exists(CA_CERTIFICATE) {
        return Ok(false);
    }
    ensure_key(host, CA_KEY, "4096", 0o600)?;
    let uuid = host.read_text("/proc/sys/kernel/random/uuid").unwrap_or_default();
    let subject = format!("/CN=Proxmox Virtual Environment/OU={}/O=PVE Cluster Manager CA", uuid.trim());
    let key_file = host.path(CA_KEY).to_string_lossy().into_owned();
    let made = host.run(&[
        "openssl", "req", "-batch", "-new", "-x509", "-days", "3650", "-nodes", "-sha256", "-key", &key_file,
        "-subj", &subject,
    ]);
    host.write(CA_CERTIFICATE, checked(made, "openssl req")?.as_bytes(), 0o640)?;
    Ok(true)
}

/// Days that the authority still lasts.
fn authority_days(host: &Host) -> io::Result<i64> {
    let file = host.path(CA_CERTIFICATE).to_string_lossy().into_owned();
    let end = checked(host.run(&["openssl", "x509", "-noout", "-enddate", "-in", &file]), "openssl x509")?;
    let end = end.trim().trim_start_matches("notAfter=");
    let end = checked(host.run(&["date", "-d", end, "+%s"]), "date")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Ok((end.trim().parse::<i64>().map_err(io::Error::other)? - now) / 86400)
}

/// The node's certificate: its names and its address, signed by the cluster's authority for two years at most.
fn sign(host: &Host, key: &str, certificate: &str) -> io::Result<()> {
    let node = host.nodename();
    let fqdn = host.run(&["hostname", "-f"]).stdout.trim().to_owned();
    let fqdn = if fqdn.is_empty() { node.clone() } else { fqdn };
    let address = host.own_address().map_or(String::new(), |address| format!(",IP:{address}"));
    let fqdn_name = if fqdn == node { String::new() } else { format!(",DNS:{fqdn}") };
    let names = format!("IP:127.0.0.1,IP:::1,DNS:localhost{address},DNS:{node}{fqdn_name}");
    let subject = format!("/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={fqdn}");
    let path = |file: &str| host.path(file).to_string_lossy().into_owned();
    let request = checked(
        host.run(&["openssl", "req", "-batch", "-new", "-key", &path(key), "-subj", &subject]),
        "unable to generate pve certificate request:\nopenssl req",
    )?;
    let left = authority_days(host)?;
    if left < 14 {
        return Err(io::Error::other("CA expires in less than 2 weeks, unable to generate certificate."));
    }
    let days = (left - 2).min(730).to_string();
    let extensions = format!(
        "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid,issuer\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={names}\n"
    );
    let extension_file = format!("/tmp/pve-ssl.{}.cnf", std::process::id());
    host.write(&extension_file, extensions.as_bytes(), 0o600)?;
    let last = host.read_text(CA_SERIAL).unwrap_or_default();
    let serial = u64::from_str_radix(last.trim(), 16).unwrap_or(0) + 1;
    host.write(CA_SERIAL, format!("{serial:02X}\n").as_bytes(), 0o600)?;
    let made = host.system.run(
        &[
            "openssl",
            "x509",
            "-req",
            "-sha256",
            "-days",
            &days,
            "-CA",
            &path(CA_CERTIFICATE),
            "-CAkey",
            &path(CA_KEY),
            "-set_serial",
            &serial.to_string(),
            "-extfile",
            &path(&extension_file),
        ],
        Some(request.as_bytes()),
    );
    host.remove(&extension_file)?;
    host.write(certificate, checked(made, "openssl x509")?.as_bytes(), 0o640)
}

/// The bytes between the first pair of PEM lines.
pub fn pem_bytes(pem: &str) -> Option<Vec<u8>> {
    let body: String = pem
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .collect();
    base64::engine::general_purpose::STANDARD.decode(body.trim()).ok().filter(|bytes| !bytes.is_empty())
}

/// SHA-256 of a certificate as PVE prints it.
pub fn fingerprint(certificate: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, certificate);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// The certificate that pveproxy of a node is to serve: its own one, else the cluster's.
pub fn served_files(host: &Host, node: &str) -> (String, String) {
    let file = |name: &str| format!("/etc/pve/nodes/{node}/{name}");
    if host.exists(&file("pveproxy-ssl.pem")) && host.exists(&file("pveproxy-ssl.key")) {
        return (file("pveproxy-ssl.pem"), file("pveproxy-ssl.key"));
    }
    (file("pve-ssl.pem"), file("pve-ssl.key"))
}

/// Fingerprint that the API names for a node; the error is PVE's sentence.
pub fn node_fingerprint(host: &Host, node: &str) -> Result<String, String> {
    let (certificate, _) = served_files(host, node);
    let pem = host.read_text(&certificate).map_err(|_| format!("'{certificate}' does not exist!\n"))?;
    pem_bytes(&pem)
        .map(|bytes| fingerprint(&bytes))
        .ok_or_else(|| format!("unable to read certificate '{certificate}'\n"))
}
