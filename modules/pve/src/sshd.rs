//! Root's way in by ssh while pmxcfs is away: PVE keeps root's authorised keys in /etc/pve, which a join takes
//! away for seconds and then replaces by the cluster's. Keys of this node therefore go into a file of its own
//! that sshd reads too, and never into the cluster's.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::node::FileMode;
use crate::{Cmd, Node, Replaced};

/// Root's file that PVE makes a link into pmxcfs.
pub const AUTHORIZED_KEYS: &str = "/root/.ssh/authorized_keys";
/// Root's second file, in sshd's default list (sshd_config(5), AuthorizedKeysFile).
pub const OWN_KEYS: &str = "/root/.ssh/authorized_keys2";
/// What was root's own file before it became a link; sshd does not read it.
const BEFORE: &str = "/root/.ssh/authorized_keys.before-sddc-pve";
/// Ours, where sshd does not read the second file.
pub const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-sddc-pve.conf";
const SECOND: &str = ".ssh/authorized_keys2";
const TIMEOUT: Duration = Duration::from_secs(10);

/// What sshd does at present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// AuthorizedKeysFile.
    pub key_files: Vec<String>,
    /// PermitRootLogin.
    pub root_login: String,
    /// Whether PubkeyAuthentication is off.
    pub is_without_keys: bool,
    /// AllowUsers, without the hosts that they may come from; all where there is none.
    pub allowed: Vec<String>,
    /// DenyUsers, in the same way.
    pub denied: Vec<String>,
}

/// Asks sshd; `None` where there is no sshd.
pub fn settings(node: &Node) -> anyhow::Result<Option<Settings>> {
    let args = ["-T", "-C", "user=root,host=localhost,addr=127.0.0.1"];
    match node.run(&Cmd::new("sshd", args, TIMEOUT)) {
        Ok(output) if output.is_success() => Ok(Some(parse(&output.stdout))),
        Ok(output) => Err(anyhow::anyhow!(
            "\"sshd -T\" fails, so it can't be told which key files sshd reads: correct sshd_config: {}",
            output.tail()
        )),
        Err(crate::RunError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the output of `sshd -T`: a line a keyword, in lower case.
pub fn parse(text: &str) -> Settings {
    let mut settings = Settings::default();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("authorizedkeysfile", files)) => {
                settings.key_files = files.split_whitespace().map(str::to_owned).collect();
            }
            Some(("permitrootlogin", value)) => value.trim().clone_into(&mut settings.root_login),
            Some(("pubkeyauthentication", value)) => settings.is_without_keys = value.trim() == "no",
            Some(("allowusers", users)) => settings.allowed.extend(users_in(users)),
            Some(("denyusers", users)) => settings.denied.extend(users_in(users)),
            _ => {}
        }
    }
    settings
}

fn users_in(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(|user| user.split('@').next().unwrap_or_default().to_owned())
}

impl Settings {
    /// Why root can't log in with a key, whatever keys there are (sshd_config(5)). A pattern counts as one that is root's.
    pub fn locks_root_out(&self) -> Option<String> {
        let is_root = |user: &String| user == "root" || user.contains(['*', '?', '!']);
        if matches!(self.root_login.as_str(), "no" | "forced-commands-only") {
            return Some(format!("PermitRootLogin {}", self.root_login));
        }
        if self.is_without_keys {
            return Some("PubkeyAuthentication no".to_owned());
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(is_root) {
            return Some(format!("AllowUsers {}", self.allowed.join(" ")));
        }
        self.denied.iter().any(|user| user == "root").then(|| "DenyUsers root".to_owned())
    }
}

/// Copies the keys that let root in now into this node's own file; returns what was done in words.
pub fn keep_own_keys(node: &Node) -> anyhow::Result<String> {
    keep_keys_but(node, "")
}

/// The same but for the keys of these lines, which let in anyway.
pub fn keep_keys_but(node: &Node, others: &str) -> anyhow::Result<String> {
    let Some(settings) = settings(node)? else { return Ok("no sshd on this node".to_owned()) };
    let own = node.read(OWN_KEYS)?.unwrap_or_default();
    let authorised = read_through_link(node, AUTHORIZED_KEYS)?;
    let node_key = node.read("/root/.ssh/id_rsa.pub")?.unwrap_or_default();
    let is_key =
        |word: &str| word.starts_with("AAAA") && others.split_whitespace().any(|other| other == word);
    let missing_in = |own: &str| {
        let mut missing = missing_keys(&authorised, own, &node_key);
        missing.retain(|line| !line.split_whitespace().any(is_key));
        missing
    };
    if missing_in("").is_empty() {
        return Ok("no key is authorised in /root/.ssh/authorized_keys only".to_owned());
    }
    // Before anything is written: keys that lie there since an earlier run are of use only where sshd looks.
    let listed = let_sshd_read(node, &settings)?;
    let missing = missing_in(&own);
    if missing.is_empty() {
        return Ok(format!("every key is in {OWN_KEYS} already{listed}"));
    }
    let mut text = own;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    missing.iter().for_each(|key| text.extend([key.as_str(), "\n"]));
    node.create_private_dir("/root/.ssh")?;
    node.write(OWN_KEYS, text.as_bytes(), FileMode::Private)?;
    Ok(format!("{} authorised in {OWN_KEYS}{listed}", plural(missing.len(), "key")))
}

/// Lines of keys that are in the first text and not in the second; this node's own key, which PVE makes for
/// traffic between nodes, is the cluster's to know.
fn missing_keys(authorised: &str, own: &str, node_key: &str) -> Vec<String> {
    let node_key = node_key.split_whitespace().nth(1).unwrap_or("\0");
    let lines = authorised.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut missing: Vec<String> = Vec::new();
    for line in lines {
        let is_known =
            own.lines().any(|known| known.trim() == line) || missing.iter().any(|known| known == line);
        if !is_known && !line.split_whitespace().any(|word| word == node_key) {
            missing.push(line.to_owned());
        }
    }
    missing
}

fn let_sshd_read(node: &Node, settings: &Settings) -> anyhow::Result<&'static str> {
    let reads_second = |settings: &Settings| {
        settings.key_files.iter().any(|file| file == SECOND || file == "%h/.ssh/authorized_keys2")
    };
    if reads_second(settings) {
        return Ok("");
    }
    let files = settings.key_files.iter().map(String::as_str).filter(|file| *file != "none");
    let files: Vec<&str> = files.chain([SECOND]).collect();
    let text = format!(
        "# Written by sddc.pve: root's own keys stay valid while /etc/pve is away.\nAuthorizedKeysFile {}\n",
        files.join(" ")
    );
    node.create_public_dir("/etc/ssh/sshd_config.d")?;
    let replaced = node.write(DROP_IN, text.as_bytes(), FileMode::Public)?;
    let now = self::settings(node)?.context("sshd is gone")?;
    if !reads_second(&now) {
        node.remove(DROP_IN)?;
        bail!(
            "sshd reads only {} and does not include {DROP_IN}: put \"AuthorizedKeysFile {}\" into sshd_config, \
             or root loses its way in during the join",
            settings.key_files.join(" "),
            files.join(" ")
        );
    }
    if replaced == Replaced::Changed {
        reload(node)?;
    }
    Ok(", which sshd now reads")
}

/// Makes root's file a link to the keys that the cluster shares. Left to PVE, every key of the file would become root on all
/// members: it moves the file away and then merges that one (PVE/Cluster/Setup.pm, `ssh_merge_keys`). So keys of this node
/// alone are kept for it alone first, and the file as it was beside it.
pub fn link_to_shared_keys(node: &Node, shared: &str) -> anyhow::Result<()> {
    keep_keys_but(node, &node.read(shared)?.unwrap_or_default())?;
    if let Some(content) = node.read_bytes(AUTHORIZED_KEYS)? {
        node.write(BEFORE, &content, FileMode::Private)?;
    }
    let link = format!("{AUTHORIZED_KEYS}.sddc-pve.{}", std::process::id());
    node.remove(&link)?;
    std::os::unix::fs::symlink(shared, node.path(&link))
        .and_then(|()| std::fs::rename(node.path(&link), node.path(AUTHORIZED_KEYS)))
        .with_context(|| format!("cannot make {AUTHORIZED_KEYS} a link to {shared}"))
}

/// Makes sshd read its configuration anew.
pub fn reload(node: &Node) -> anyhow::Result<()> {
    node.run_ok(&Cmd::new("systemctl", ["try-reload-or-restart", "ssh"], TIMEOUT)).map(|_| ())
}

/// Reads a file whose link may lead into /etc/pve, which lies below the node's root like everything else.
fn read_through_link(node: &Node, path: &str) -> anyhow::Result<String> {
    let target = std::fs::read_link(node.path(path)).ok();
    let target =
        target.and_then(|target| target.to_str().filter(|text| text.starts_with('/')).map(str::to_owned));
    Ok(node.read(target.as_deref().unwrap_or(path))?.unwrap_or_default())
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::Output;
    use crate::fake::Fake;

    const CONTROLLER: &str = "from=\"10.88.0.1\" ssh-ed25519 AAAAC3controller controller";

    fn joiner(key_files: &'static str) -> Fake {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        fake.write(
            "/etc/pve/priv/authorized_keys",
            format!("# comment\n{CONTROLLER}\nssh-rsa AAAAnode root@pve2\n"),
        );
        fake.write("/root/.ssh/id_rsa.pub", "ssh-rsa AAAAnode root@pve2\n");
        symlink("/etc/pve/priv/authorized_keys", fake.path(AUTHORIZED_KEYS)).unwrap();
        fake.on(move |machine, cmd| {
            let listed = machine.read(DROP_IN);
            let files =
                listed.lines().find_map(|line| line.strip_prefix("AuthorizedKeysFile ")).unwrap_or(key_files);
            let stdout = format!("port 22\npermitrootlogin yes\nauthorizedkeysfile {files}\n");
            (cmd.program == "sshd").then_some(Ok(Output { code: Some(0), stdout, stderr: String::new() }))
        });
        fake
    }

    #[test]
    fn keys_of_this_node_are_copied_once_with_their_options() {
        let fake = joiner(".ssh/authorized_keys .ssh/authorized_keys2");
        let node = fake.node();
        assert_eq!(keep_own_keys(&node).unwrap(), "1 key authorised in /root/.ssh/authorized_keys2");
        assert_eq!(node.read(OWN_KEYS).unwrap().unwrap(), format!("{CONTROLLER}\n"));
        let mode = std::fs::metadata(fake.path(OWN_KEYS)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        keep_own_keys(&node).unwrap();
        assert_eq!(node.read(OWN_KEYS).unwrap().unwrap(), format!("{CONTROLLER}\n"));
        assert!(!node.exists(DROP_IN));
    }

    #[test]
    fn an_sshd_that_does_not_read_the_second_file_is_told_to() {
        let fake = joiner(".ssh/authorized_keys");
        let node = fake.node();
        keep_own_keys(&node).unwrap();
        let text = node.read(DROP_IN).unwrap().unwrap();
        assert!(text.ends_with("AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2\n"), "{text}");
        assert!(fake.calls().contains(&"systemctl try-reload-or-restart ssh".to_owned()));
    }

    #[test]
    fn a_join_does_not_begin_where_sshd_ignores_the_drop_in() {
        let fake = joiner(".ssh/authorized_keys");
        let stdout = "authorizedkeysfile .ssh/authorized_keys\n";
        fake.answer("sshd -T -C user=root,host=localhost,addr=127.0.0.1", 0, stdout);
        let node = fake.node();
        // The second time as the first: keys that lay in a file that sshd ignores would be no way in.
        for _ in 0..2 {
            let error = keep_own_keys(&node).unwrap_err().to_string();
            assert!(error.contains("root loses its way in"), "{error}");
            assert!(!node.exists(DROP_IN));
        }
        node.write(OWN_KEYS, format!("{CONTROLLER}\n").as_bytes(), FileMode::Private).unwrap();
        assert!(keep_own_keys(&node).is_err());
    }
}
