//! Join material on its way from a member to the joiner: sealed to a key that the joiner made for this one
//! join, so that neither what carries it nor what logs it ever holds corosync's authkey.
//!
//! Owns the files of the keys and the form of the material; what is done with it is the join's business.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use crypto_box::aead::OsRng;
use crypto_box::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::node::FileMode;
use crate::{Node, base64};

/// Where secrets of running operations lie: a file system that is gone after a boot.
pub const RUNTIME_DIR: &str = "/run/sddc-pve";
const KEY_PATH: &str = "/run/sddc-pve/join-key.json";
/// The key of a join that asks a member itself: it outlives a boot, since only its owner may fetch the same material again,
/// or have its admission taken back.
const LASTING_KEY_PATH: &str = "/var/lib/sddc-pve/token-key.json";
/// The same of one that asks as the dedicated user, with no token that would end.
const ASKER_KEY_PATH: &str = "/var/lib/sddc-pve/asker-key.json";
/// How long a key, and what is sealed to it, may be used.
const LIFE: Duration = Duration::from_secs(3600);
/// As long as the longest token: what is sealed to the key has its own, shorter time.
const ASKER_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// How far clocks of two nodes may differ: corosync does not mind, certificates do.
const CLOCK_LEEWAY: u64 = 300;
/// Size of corosync's authkey as corosync-keygen makes it.
const AUTHKEY_LENGTH: std::ops::RangeInclusive<usize> = 128..=4096;

/// What a joiner tells a member to get join material.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct JoinRequest {
    /// The joiner's node name.
    pub name: String,
    /// X25519 public key, base64.
    pub public_key: String,
}

/// Everything a node needs to become the member it was admitted as.
#[derive(Debug, Deserialize, Serialize)]
pub struct Material {
    /// Of this form.
    pub version: u32,
    /// The cluster.
    pub cluster_name: String,
    /// The node that it is for.
    pub node: String,
    /// corosync.conf with that node in it.
    pub corosync_conf: String,
    /// corosync's authkey.
    pub authkey: AuthKey,
    /// Config version of corosync.conf.
    pub config_version: u64,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970; not to be used afterwards.
    pub expires: u64,
}

/// corosync's authkey: never shown, wiped when dropped.
#[derive(Deserialize, Serialize)]
#[serde(try_from = "Zeroizing<String>", into = "String")]
pub struct AuthKey(Zeroizing<Vec<u8>>);

#[derive(Deserialize, Serialize)]
struct KeyFile {
    node: String,
    secret: Zeroizing<String>,
    created: u64,
    /// Seconds since 1970; an hour after `created` where nothing is said.
    #[serde(default)]
    expires: Option<u64>,
    /// What it belongs to, such as the id of a token.
    #[serde(default)]
    of: Option<String>,
}

impl AuthKey {
    /// Takes the content of /etc/corosync/authkey.
    pub fn new(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let bytes = Zeroizing::new(bytes);
        ensure!(
            AUTHKEY_LENGTH.contains(&bytes.len()),
            "corosync's authkey has {} bytes, which corosync would refuse",
            bytes.len()
        );
        Ok(Self(bytes))
    }

    /// Its bytes, to write them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Clone for AuthKey {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKey(..)")
    }
}

impl From<AuthKey> for String {
    fn from(key: AuthKey) -> Self {
        base64::encode(&key.0)
    }
}

impl TryFrom<Zeroizing<String>> for AuthKey {
    type Error = anyhow::Error;

    fn try_from(text: Zeroizing<String>) -> anyhow::Result<Self> {
        Self::new(base64::decode(&text).context("corosync's authkey in the join material is no base64")?)
    }
}

impl Material {
    /// Material made now.
    pub fn new(node: &Node, cluster_name: &str, name: &str, conf: &str, version: u64, key: AuthKey) -> Self {
        let created = seconds(node.now());
        Self {
            version: 1,
            cluster_name: cluster_name.to_owned(),
            node: name.to_owned(),
            corosync_conf: conf.to_owned(),
            authkey: key,
            config_version: version,
            created,
            expires: created + LIFE.as_secs(),
        }
    }

    /// Seals it to the joiner's key; the text is of use to nobody else.
    pub fn seal(&self, public_key: &str) -> anyhow::Result<String> {
        let plain = Zeroizing::new(serde_json::to_vec(self).context("join material can't be written")?);
        seal_bytes(public_key, &plain)
    }

    /// Opens what was sealed to this node's key, and checks that it is for this node and not stale.
    pub fn open(node: &Node, name: &str, sealed: &str) -> anyhow::Result<Self> {
        let remedy = "ask pve_cluster_member for material again, with a new join request of this node";
        let plain = open_bytes(node, "join material", sealed)
            .map_err(|error| anyhow::anyhow!("{error:#}: {remedy}"))?;
        let material: Option<Self> =
            std::str::from_utf8(&plain).ok().and_then(|text| serde_json::from_str(text).ok());
        let material = material.ok_or_else(|| {
            anyhow::anyhow!("join material is of another form than this program knows: {remedy}")
        })?;
        ensure!(material.version == 1, "join material has version {}, not 1: {remedy}", material.version);
        ensure!(
            material.node == name,
            "join material is for node {:?} and this is {name:?}: {remedy}",
            material.node
        );
        ensure!(
            is_fresh(node, material.created, material.expires),
            "join material expired, or the clocks of the nodes differ: {remedy}, and see that time is synchronised"
        );
        Ok(material)
    }
}

/// Whether this node's clock is between two times, as far as clocks of nodes agree.
pub fn is_fresh(node: &Node, created: u64, expires: u64) -> bool {
    let now = seconds(node.now());
    now <= expires + CLOCK_LEEWAY && created <= now + CLOCK_LEEWAY
}

/// Seals bytes to a public key.
pub fn seal_bytes(public_key: &str, plain: &[u8]) -> anyhow::Result<String> {
    let sealed = parse_public_key(public_key)?.seal(&mut OsRng, plain);
    Ok(base64::encode(&sealed.map_err(|_| anyhow::anyhow!("it can't be sealed to this key"))?))
}

/// Opens what was sealed to a key of this node; `what` names it in errors.
pub fn open_bytes(node: &Node, what: &str, sealed: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let keys = read_keys(node)?;
    ensure!(
        !keys.is_empty(),
        "this node has no join key in {KEY_PATH:?} (used, expired or lost by a boot) to open {what}"
    );
    let bytes = base64::decode(sealed).with_context(|| format!("{what} is no base64"))?;
    for key in &keys {
        if let Ok(plain) = secret_key(key)?.unseal(&bytes) {
            return Ok(Zeroizing::new(plain));
        }
    }
    bail!("{what} is not sealed to this node's join key")
}

/// Makes this node's key for one join, or takes the one that still waits for its material.
pub fn request(node: &Node, name: &str) -> anyhow::Result<JoinRequest> {
    if let Some(key) = read_key(node, KEY_PATH)?
        && key.node == name
        && seconds(node.now()).saturating_sub(key.created) < LIFE.as_secs() / 2
    {
        return Ok(public_half(name, &secret_key(&key)?));
    }
    node.create_private_dir(RUNTIME_DIR)?;
    make_key(node, KEY_PATH, name, None, None)
}

/// What a node asks a member itself with.
pub enum Asker<'a> {
    /// One token, by its id, and when it ends, in seconds since 1970.
    Token(&'a str, u64),
    /// The key of the dedicated user.
    User,
}

/// The key that this node made to ask with, or a new one. In a run that must not change anything, a key that was not made
/// yet is only played.
pub fn lasting_request(
    node: &Node,
    name: &str,
    asker: &Asker<'_>,
    is_check: bool,
) -> anyhow::Result<JoinRequest> {
    let (path, of, expires) = match *asker {
        Asker::Token(id, expires) => (LASTING_KEY_PATH, Some(id), expires),
        Asker::User => (ASKER_KEY_PATH, None, seconds(node.now()) + ASKER_LIFE.as_secs()),
    };
    let key = read_key(node, path)?;
    match key.filter(|key| key.node == name && key.of.as_deref() == of) {
        Some(key) => Ok(public_half(name, &secret_key(&key)?)),
        None if is_check => Ok(public_half(name, &SecretKey::generate(&mut OsRng))),
        None => {
            node.create_private_dir("/var/lib/sddc-pve")?;
            make_key(node, path, name, of, Some(expires + CLOCK_LEEWAY))
        }
    }
}

fn make_key(
    node: &Node,
    path: &str,
    name: &str,
    of: Option<&str>,
    expires: Option<u64>,
) -> anyhow::Result<JoinRequest> {
    let secret = SecretKey::generate(&mut OsRng);
    let file = KeyFile {
        node: name.to_owned(),
        secret: Zeroizing::new(base64::encode(Zeroizing::new(secret.to_bytes()).as_slice())),
        created: seconds(node.now()),
        expires,
        of: of.map(str::to_owned),
    };
    let text = Zeroizing::new(serde_json::to_vec(&file).context("the join key can't be written")?);
    node.write(path, &text, FileMode::Private)?;
    Ok(public_half(name, &secret))
}

/// A request as a real one looks, with a key that is kept nowhere: for a run that must not change anything.
pub fn sample_request(name: &str) -> JoinRequest {
    public_half(name, &SecretKey::generate(&mut OsRng))
}

/// Whether a text is a public key.
pub fn parse_public_key(text: &str) -> anyhow::Result<PublicKey> {
    let bytes = base64::decode(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.with_context(|| {
        format!("public key {text:?} is not 32 bytes of base64: take it from the join_request of the joiner")
    })?;
    Ok(PublicKey::from(bytes))
}

/// Destroys this node's join keys.
pub fn forget_key(node: &Node) -> anyhow::Result<()> {
    node.remove_wholly(LASTING_KEY_PATH)?;
    node.remove_wholly(ASKER_KEY_PATH)?;
    node.remove_wholly(KEY_PATH).map(|_| ())
}

fn read_keys(node: &Node) -> anyhow::Result<Vec<KeyFile>> {
    let keys = [KEY_PATH, LASTING_KEY_PATH, ASKER_KEY_PATH].into_iter();
    keys.filter_map(|path| read_key(node, path).transpose()).collect()
}

fn read_key(node: &Node, path: &str) -> anyhow::Result<Option<KeyFile>> {
    let bytes = node.read_bytes(path)?.map(Zeroizing::new);
    let key: Option<KeyFile> =
        bytes.and_then(|bytes| serde_json::from_str(std::str::from_utf8(&bytes).ok()?).ok());
    let now = seconds(node.now());
    Ok(key.filter(|key| now <= key.expires.unwrap_or(key.created + LIFE.as_secs())))
}

fn secret_key(file: &KeyFile) -> anyhow::Result<SecretKey> {
    let bytes = base64::decode(&file.secret).map(Zeroizing::new);
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new));
    Ok(SecretKey::from(*bytes.with_context(|| {
        format!(
            "the join key in {KEY_PATH:?}, {LASTING_KEY_PATH:?} or {ASKER_KEY_PATH:?} is damaged: remove it"
        )
    })?))
}

fn public_half(name: &str, secret: &SecretKey) -> JoinRequest {
    JoinRequest { name: name.to_owned(), public_key: base64::encode(secret.public_key().as_bytes()) }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::fake::Fake;

    fn material(node: &Node, name: &str) -> Material {
        let key = AuthKey::new((0..=255).collect()).unwrap();
        Material::new(node, "oracle", name, "totem {\n}\n", 2, key)
    }

    #[test]
    fn material_opens_on_the_node_that_asked_for_it_and_nowhere_else() {
        let (joiner, other) =
            (Fake::standalone("pve2", "10.88.0.12"), Fake::standalone("pve3", "10.88.0.13"));
        let (joiner_node, other_node) = (joiner.node(), other.node());
        let asked = request(&joiner_node, "pve2").unwrap();
        let sealed = material(&joiner_node, "pve2").seal(&asked.public_key).unwrap();
        let opened = Material::open(&joiner_node, "pve2", &sealed).unwrap();
        assert_eq!(opened.authkey.expose(), (0..=255).collect::<Vec<u8>>());
        assert_eq!((opened.cluster_name.as_str(), opened.config_version), ("oracle", 2));
        request(&other_node, "pve3").unwrap();
        let error = Material::open(&other_node, "pve3", &sealed).unwrap_err().to_string();
        assert!(error.contains("not sealed to this node's join key"), "{error}");
    }

    #[test]
    fn material_for_another_name_is_refused_even_with_the_right_key() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let node = fake.node();
        let asked = request(&node, "pve2").unwrap();
        let sealed = material(&node, "pve9").seal(&asked.public_key).unwrap();
        let error = Material::open(&node, "pve2", &sealed).unwrap_err().to_string();
        assert!(error.contains("is for node \"pve9\" and this is \"pve2\""), "{error}");
    }

    #[test]
    fn a_key_is_root_only_asked_for_twice_the_same_and_gone_when_forgotten() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let node = fake.node();
        let first = request(&node, "pve2").unwrap();
        assert_eq!(request(&node, "pve2").unwrap(), first);
        let mode = std::fs::metadata(fake.path(KEY_PATH)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let sealed = material(&node, "pve2").seal(&first.public_key).unwrap();
        forget_key(&node).unwrap();
        assert!(Material::open(&node, "pve2", &sealed).unwrap_err().to_string().contains("no join key"));
        assert_ne!(request(&node, "pve2").unwrap(), first);
    }

    #[test]
    fn expired_material_is_refused() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let node = fake.node();
        let asked = request(&node, "pve2").unwrap();
        let mut stale = material(&node, "pve2");
        stale.expires = stale.created - 301;
        let error =
            Material::open(&node, "pve2", &stale.seal(&asked.public_key).unwrap()).unwrap_err().to_string();
        assert!(error.contains("expired"), "{error}");
    }

    #[test]
    fn nothing_shows_the_authkey() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        assert!(format!("{:?}", material(&fake.node(), "pve2")).contains("authkey: AuthKey(..)"));
    }

    #[test]
    fn a_wrong_public_key_is_named() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let error = material(&fake.node(), "pve2").seal("AAAA").unwrap_err().to_string();
        assert!(error.contains("is not 32 bytes of base64"), "{error}");
    }
}
