//! Logins: passwords against the system's own check, tickets and CSRF tokens signed with the cluster's keys.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, RsaKeyPair, UnparsedPublicKey};
use ring::{digest, hmac};

use crate::api::users::{self, Users};
use crate::certificates::{AUTH_KEY, WWW_KEY, pem_bytes};
use crate::host::Host;
use crate::tasks::epoch;

/// A ticket is good for two hours, and for a clock that is five minutes behind.
const LIFETIME: u64 = 7200;
const GRACE: u64 = 300;

fn auth_key(host: &Host) -> Result<RsaKeyPair, String> {
    let pem = host.read_text(AUTH_KEY).map_err(|error| format!("{AUTH_KEY}: {error}"))?;
    let der = pem_bytes(&pem).ok_or_else(|| format!("{AUTH_KEY}: not a PEM file"))?;
    RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).map_err(|error| error.to_string())
}

/// `PVE:<user>:<time>::<signature>`.
pub fn issue_ticket(host: &Host, user: &str) -> Result<String, String> {
    let plain = format!("PVE:{user}:{:08X}", epoch());
    let key = auth_key(host)?;
    let mut signed = vec![0; key.public().modulus_len()];
    key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), plain.as_bytes(), &mut signed)
        .map_err(|error| error.to_string())?;
    Ok(format!("{plain}::{}", STANDARD.encode(signed)))
}

/// The user of a valid ticket.
pub fn check_ticket(host: &Host, ticket: &str) -> Option<String> {
    let (plain, signed) = ticket.split_once("::")?;
    let (user, time) = plain.strip_prefix("PVE:")?.rsplit_once(':')?;
    // A ticket that still waits for the second factor is nobody's.
    (is_fresh(time) && !user.starts_with("!tfa!")).then_some(())?;
    let key = auth_key(host).ok()?;
    let public = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key.public().as_ref());
    public.verify(plain.as_bytes(), &STANDARD.decode(signed).ok()?).ok()?;
    Some(user.to_owned())
}

fn is_fresh(time: &str) -> bool {
    let Ok(issued) = u64::from_str_radix(time, 16) else { return false };
    let now = epoch();
    issued <= now + GRACE && now <= issued + LIFETIME
}

fn csrf_key(host: &Host) -> Result<hmac::Key, String> {
    let secret = host.read(WWW_KEY).map_err(|error| format!("{WWW_KEY}: {error}"))?;
    let hashed = digest::digest(&digest::SHA256, &secret);
    Ok(hmac::Key::new(hmac::HMAC_SHA256, hashed.as_ref()))
}

pub fn csrf_token(host: &Host, user: &str) -> Result<String, String> {
    let time = format!("{:08X}", epoch());
    let mac = hmac::sign(&csrf_key(host)?, format!("{time}:{user}").as_bytes());
    Ok(format!("{time}:{}", STANDARD_NO_PAD.encode(mac)))
}

pub fn check_csrf(host: &Host, user: &str, token: &str) -> bool {
    let Some((time, mac)) = token.split_once(':') else { return false };
    let (Ok(key), Ok(mac)) = (csrf_key(host), STANDARD_NO_PAD.decode(mac)) else { return false };
    is_fresh(time) && hmac::verify(&key, format!("{time}:{user}").as_bytes(), &mac).is_ok()
}

/// Whether a login with this password must show a second factor: of who has one in priv/tfa.cfg, and does not come
/// with a ticket in the password's place, which is a whole login already (`PVE::API2::AccessControl`).
pub fn needs_second_factor(host: &Host, user: &str, password: &str) -> bool {
    let text = host.read_text("/etc/pve/priv/tfa.cfg").unwrap_or_default();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let kinds = config["users"][user].as_object();
    let has_one =
        kinds.is_some_and(|kinds| kinds.values().any(|list| list.as_array().is_some_and(|l| !l.is_empty())));
    has_one && check_ticket(host, password).as_deref() != Some(user)
}

/// A password, or a ticket of the same user in its place. Only users that user.cfg lists and enables may log in,
/// and root@pam always.
pub fn check_password(host: &Host, user: &str, password: &str) -> bool {
    if password.starts_with("PVE:") && check_ticket(host, password).as_deref() == Some(user) {
        return true;
    }
    if user != "root@pam" && !Users::load(host).is_enabled(user) || password.is_empty() {
        return false;
    }
    if let Some(name) = user.strip_suffix("@pve") {
        return users::check_pve_password(host, name, password);
    }
    let Some(name) = user.strip_suffix("@pam") else { return false };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return false;
    }
    // pam_unix's own helper: reads the password up to a NUL and compares it with /etc/shadow.
    let mut input = password.as_bytes().to_vec();
    input.push(0);
    host.system.run(&["unix_chkpwd", name, "nonull"], Some(&input)).succeeded()
}
