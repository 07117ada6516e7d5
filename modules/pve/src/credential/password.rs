//! A password of root for one join: root's entry in /etc/shadow is kept, replaced, and put back when the join is over,
//! when the time is up (a timer), at the next boot (a unit) or when anybody asks. The old entry is on the disk before the
//! new one is in place, and comes back only while ours is still there: an administrator's change wins.

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::time::Duration;

use anyhow::{Context, ensure};
use crypto_box::aead::OsRng;
use crypto_box::aead::rand_core::RngCore;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Kind, seconds, ticket};
use crate::audit::{self, Entry, utc};
use crate::node::FileMode;
use crate::seal::RUNTIME_DIR;
use crate::{Cmd, Deadline, Node, observe, operation};

/// The program's word for putting root's password back.
pub const COMMAND: &str = "__restore-password";
/// What root's entry was, and what it is meanwhile.
pub const STATE: &str = "/var/lib/sddc-pve/temporary-password.json";
const SHADOW: &str = "/etc/shadow";
/// The next /etc/shadow, until it is in place.
const NEW_SHADOW: &str = "/etc/.shadow.sddc";
const UNIT: &str = "sddc-pve-restore-password";
const UNIT_DIR: &str = "/etc/systemd/system";
const LOCK: &str = "/run/sddc-pve/password.lock";
const TIMEOUT: Duration = Duration::from_secs(20);
const LENGTH: usize = 24;

/// What is kept while the password is in place. Not shown: hashes are as good as passwords to who has time.
#[derive(Deserialize, Serialize)]
struct Kept {
    id: String,
    old: Zeroizing<String>,
    ours: Zeroizing<String>,
    expires: u64,
}

impl Kept {
    /// What stands before our own hash where it is still there: the marks of an account that was locked meanwhile, which
    /// `passwd --unlock` takes away again.
    fn lock_before<'a>(&self, now: &'a str) -> Option<&'a str> {
        now.strip_suffix(self.ours.as_str()).filter(|marks| marks.bytes().all(|mark| mark == b'!'))
    }
}

/// A password that is in place.
pub struct Issued {
    /// Its name.
    pub id: String,
    /// The password.
    pub text: SecretString,
    /// Seconds since 1970.
    pub expires: u64,
}

/// What putting back found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// No password of ours was in place.
    Nothing,
    /// Root's entry is as it was.
    PutBack,
    /// Somebody else has changed root's password meanwhile: that one stays.
    Changed,
}

/// What is in place, as it is shown to people.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// When it ends, in UTC.
    pub expires: String,
    /// The same in seconds since 1970.
    #[serde(skip)]
    pub ends: u64,
}

/// What speaks against a temporary password here.
pub fn faults(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    if !ticket::second_factors(node)?.is_empty() {
        faults.push(
            "root@pam has a second factor, so a password alone lets nobody in: use method ticket, which needs none"
                .to_owned(),
        );
    }
    if let Some(kept) = kept(node)?
        && kept.lock_before(&root_hash(node)?).is_some()
    {
        faults.push(format!(
            "temporary password {} is in place until {}, and passwords are not stacked: wait for that join, or revoke it \
             with state=absent",
            kept.id,
            utc(kept.expires)
        ));
    }
    Ok(faults)
}

/// The password that is in place.
pub fn listed(node: &Node) -> anyhow::Result<Option<Listed>> {
    Ok(kept(node)?.map(|kept| Listed { id: kept.id, expires: utc(kept.expires), ends: kept.expires }))
}

/// Gives root a random password for so many seconds.
pub fn issue(node: &Node, ttl: u64) -> anyhow::Result<Issued> {
    let _lock = lock(node)?;
    let faults = faults(node)?;
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    // What a crash left before ours was in place, or after an administrator replaced it.
    restore_locked(node)?;
    let (id, text) = (random(10), Zeroizing::new(random(LENGTH)));
    let cmd = Cmd::new("openssl", ["passwd", "-6", "-stdin"], TIMEOUT);
    let ours = node.run_ok(&cmd.stdin(format!("{}\n", text.as_str()).into()))?;
    let ours = Zeroizing::new(ours.stdout.trim().to_owned());
    ensure!(ours.starts_with("$6$") && !ours.contains(':'), "openssl made no hash of the new password");
    let expires = seconds(node) + ttl;
    let kept = Kept { id: id.clone(), old: root_hash(node)?, ours, expires };
    let bytes = Zeroizing::new(serde_json::to_vec(&kept).context("root's entry can't be written down")?);
    // Who ends it comes first, so that a crash at any point leaves no hash that nobody clears away.
    let placed = install_units(node, expires, ttl).and_then(|()| {
        node.create_private_dir("/var/lib/sddc-pve")?;
        node.write(STATE, &bytes, FileMode::Private)?;
        set_root_hash(node, &kept.old, &kept.ours)
    });
    if let Err(error) = placed {
        restore_locked(node).context("and root's entry in /etc/shadow may not be as it was")?;
        return Err(error);
    }
    Ok(Issued { id, text: SecretString::from(text.as_str()), expires })
}

/// Whether anything of a temporary password is there, in place or left by a crash.
pub fn has_traces(node: &Node) -> bool {
    node.exists(STATE) || node.exists(&unit("service"))
}

/// Puts root's entry back, and removes timer, unit and what was kept.
pub fn restore(node: &Node) -> anyhow::Result<Restored> {
    if !has_traces(node) {
        return Ok(Restored::Nothing);
    }
    let _lock = lock(node)?;
    restore_locked(node)
}

fn restore_locked(node: &Node) -> anyhow::Result<Restored> {
    let restored = match kept(node)? {
        None => Restored::Nothing,
        Some(kept) => {
            let now = root_hash(node)?;
            if let Some(marks) = kept.lock_before(&now) {
                let old = Zeroizing::new(format!("{marks}{}", kept.old.as_str()));
                set_root_hash(node, &now, &old)?;
                Restored::PutBack
            } else if now == kept.old {
                Restored::Nothing
            } else {
                Restored::Changed
            }
        }
    };
    // Whoever was cut off in between has left a copy of every hash.
    node.remove(NEW_SHADOW)?;
    node.remove_wholly(STATE)?;
    remove_units(node)?;
    Ok(restored)
}

/// Once the time is up or the node boots: what the unit runs.
pub fn restore_as_unit(node: &Node) -> anyhow::Result<String> {
    let there = listed(node).ok().flatten();
    let restored = restore(node)?;
    if let Some(there) = there {
        record_end(node, there.id, restored);
    }
    Ok(match restored {
        Restored::Nothing => "no temporary password was in place".to_owned(),
        Restored::PutBack => "root's password is the one from before".to_owned(),
        Restored::Changed => {
            "root's password was changed while a temporary one was in place: the change stays".to_owned()
        }
    })
}

/// Nobody asked for it, so nobody is told where no line can be written.
fn record_end(node: &Node, id: String, restored: Restored) {
    let result = if restored == Restored::Changed { "changed_by_others" } else { "succeeded" };
    let entry = Entry {
        node: observe::own_name(node).unwrap_or_default(),
        operation: "end_temporary_password".to_owned(),
        method: Some(Kind::TemporaryPassword.word().to_owned()),
        credential: Some(id),
        result: result.to_owned(),
        ..Entry::default()
    };
    let _ = audit::append(node, entry);
}

fn kept(node: &Node) -> anyhow::Result<Option<Kept>> {
    let Some(bytes) = node.read_bytes(STATE)?.map(Zeroizing::new) else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    // The message of serde would quote what it read.
    let kept = serde_json::from_str(text).ok();
    Ok(Some(kept.with_context(|| {
        format!(
            "{STATE:?} is damaged: compare root's entries in /etc/shadow and /etc/shadow-, then remove it"
        )
    })?))
}

fn lock(node: &Node) -> anyhow::Result<(crate::node::Lock, crate::node::PasswordLock)> {
    node.create_private_dir(RUNTIME_DIR)?;
    let deadline = Deadline::after(node, Duration::from_secs(10));
    // Ours against a second controller, the system's against passwd, chpasswd and useradd (lckpwdf(3)).
    Ok((node.lock(LOCK, deadline)?, node.lock_passwords(deadline)?))
}

fn root_hash(node: &Node) -> anyhow::Result<Zeroizing<String>> {
    let text = Zeroizing::new(node.read(SHADOW)?.unwrap_or_default());
    let line = text.lines().find(|line| line.starts_with("root:"));
    let hash = line.and_then(|line| line.split(':').nth(1));
    Ok(Zeroizing::new(hash.with_context(|| format!("{SHADOW:?} has no entry of root"))?.to_owned()))
}

/// Replaces the hash, and nothing else: the ages that chage keeps stay. Owner and mode stay too.
fn set_root_hash(node: &Node, from: &str, to: &str) -> anyhow::Result<()> {
    let text = Zeroizing::new(node.read_bytes(SHADOW)?.with_context(|| format!("{SHADOW:?} is missing"))?);
    let mut is_done = false;
    let mut changed = Zeroizing::new(Vec::with_capacity(text.len() + 200));
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"root:").and_then(|rest| rest.strip_prefix(from.as_bytes())) {
            Some(ages) if !is_done && ages.starts_with(b":") => {
                changed.extend_from_slice(b"root:");
                changed.extend_from_slice(to.as_bytes());
                changed.extend_from_slice(ages);
                is_done = true;
            }
            _ => changed.extend_from_slice(line),
        }
    }
    ensure!(is_done, "root's password was changed by somebody else at this moment: nothing was done");
    let target = node.path(SHADOW);
    let meta = fs::metadata(&target).with_context(|| format!("cannot look at {SHADOW:?}"))?;
    let temporary = node.path(NEW_SHADOW);
    let written = || -> std::io::Result<()> {
        use std::io::Write;
        let _ = fs::remove_file(&temporary);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&changed)?;
        chown(&temporary, Some(meta.uid()), Some(meta.gid()))?;
        file.set_permissions(meta.permissions())?;
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        target.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    };
    if let Err(error) = written() {
        let _ = fs::remove_file(&temporary);
        return Err(error).with_context(|| format!("cannot write {SHADOW:?}"));
    }
    ensure!(root_hash(node)?.as_str() == to, "{SHADOW:?} does not show what was written to it");
    Ok(())
}

fn unit(kind: &str) -> String {
    format!("{UNIT_DIR}/{UNIT}.{kind}")
}

fn install_units(node: &Node, expires: u64, ttl: u64) -> anyhow::Result<()> {
    let program = operation::install(node)?;
    // Tried again, since the lock of passwords may be somebody's at this moment (vipw holds it while one edits).
    let service = format!(
        "[Unit]\nDescription=Put root's password back (sddc.pve)\nBefore=ssh.service \
         pvedaemon.service pveproxy.service\nStartLimitIntervalSec=0\n\n[Service]\nType=oneshot\nExecStart={program} \
         {COMMAND}\nRestart=on-failure\nRestartSec=15\n\n[Install]\nWantedBy=multi-user.target\n"
    );
    let time = utc(expires).replace('T', " ").replace('Z', " UTC");
    // Whichever comes first: a clock that is set back does not make it last longer.
    let timer = format!(
        "[Unit]\nDescription=End of root's temporary password (sddc.pve)\n\n[Timer]\nOnCalendar={time}\n\
         OnActiveSec={ttl}\nPersistent=true\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n"
    );
    node.create_public_dir(UNIT_DIR)?;
    node.write(&unit("service"), service.as_bytes(), FileMode::Public)?;
    node.write(&unit("timer"), timer.as_bytes(), FileMode::Public)?;
    observe::systemctl(node, &["daemon-reload"], TIMEOUT)?;
    observe::systemctl(node, &["enable", &format!("{UNIT}.service")], TIMEOUT)?;
    observe::systemctl(node, &["enable", "--now", &format!("{UNIT}.timer")], TIMEOUT)
}

fn remove_units(node: &Node) -> anyhow::Result<()> {
    if !node.exists(&unit("service")) && !node.exists(&unit("timer")) {
        return Ok(());
    }
    // Where the timer runs this, it is only told not to come again; the service is this very process.
    let _ = observe::systemctl(node, &["disable", "--now", &format!("{UNIT}.timer")], TIMEOUT);
    let _ = observe::systemctl(node, &["disable", &format!("{UNIT}.service")], TIMEOUT);
    node.remove(&unit("timer"))?;
    // What systemd notes of a persistent timer.
    node.remove(&format!("/var/lib/systemd/timers/stamp-{UNIT}.timer"))?;
    // Last, since this is what shows that something is left.
    node.remove(&unit("service"))?;
    observe::systemctl(node, &["daemon-reload"], TIMEOUT)
}

/// So many letters and digits.
fn random(length: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = Zeroizing::new(vec![0; length]);
    OsRng.fill_bytes(&mut bytes);
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect()
}

#[cfg(test)]
mod tests;
