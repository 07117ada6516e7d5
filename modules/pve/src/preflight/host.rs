//! Checks of the host below: disks, packages, repositories, subscription, sshd.

use super::Context;
use crate::verdict::Finding;
use crate::{Cmd, packages, sshd};

/// What a cluster writes without asking: the database, journals, the list of tasks.
const WRITTEN: [&str; 3] = ["/", "/var/lib/pve-cluster", "/var/log"];
/// Below the first nothing works for long, below the second it is worth a word. KiB.
const LITTLE: u64 = 100 << 10;
const SCARCE: u64 = 1 << 20;

pub(super) fn disks_writable(context: &Context<'_>) -> anyhow::Result<Finding> {
    let text = context.node.read("/proc/self/mounts")?.unwrap_or_default();
    anyhow::ensure!(!text.is_empty(), "/proc/self/mounts is empty");
    let is_read_only = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, at, _, options, ..] = fields[..] else { return false };
        WRITTEN.contains(&at) && options.split(',').any(|option| option == "ro")
    };
    let read_only: Vec<&str> =
        text.lines().filter(is_read_only).filter_map(|line| line.split_whitespace().nth(1)).collect();
    if read_only.is_empty() {
        return Finding::passed("no file system that is written to is read-only");
    }
    Finding::failed(
        format!("{} mounted read-only", read_only.join(", ")),
        "see \"dmesg\" for the reason, repair the file system, then mount -o remount,rw",
    )
}

pub(super) fn disk_space(context: &Context<'_>) -> anyhow::Result<Finding> {
    let args = ["--portability", "--block-size=1024", "--"].into_iter().chain(WRITTEN);
    let output = context.node.run(&Cmd::new("df", args, context.timeout))?;
    let free: Vec<(&str, u64)> = output
        .stdout
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            Some((*fields.get(5)?, fields.get(3)?.parse().ok()?))
        })
        .collect();
    anyhow::ensure!(!free.is_empty(), "df tells of no file system: {}", output.tail());
    let (at, left) = free.into_iter().min_by_key(|(_, left)| *left).unwrap_or(("/", 0));
    let finding = format!("{} MiB left on {at}", left >> 10);
    match left {
        0..LITTLE => Finding::failed(finding, "make room: pmxcfs can't write its database on a full disk"),
        LITTLE..SCARCE => Finding::warned(finding, "make room soon: du -xh / | sort -h | tail"),
        _ => Finding::passed(finding),
    }
}

pub(super) fn no_pending_upgrade(context: &Context<'_>) -> anyhow::Result<Finding> {
    let unfinished = packages::unfinished(context.node)?;
    if !unfinished.is_empty() {
        return Finding::failed(
            format!("packages are not configured: {}", unfinished.join(", ")),
            "dpkg --configure -a, then apt-get -f install",
        );
    }
    let release = context.node.read("/etc/os-release")?.unwrap_or_default();
    let own = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let Some(own) = own.map(|word| word.trim_matches('"')).and_then(rank) else {
        return Finding::skipped("the release of Debian is not known");
    };
    let newer: Vec<&str> =
        suites(context)?.iter().filter_map(|suite| rank(suite)).filter(|it| *it > own).map(name).collect();
    match newer.first() {
        None => Finding::passed(format!("packages are those of {}", name(own))),
        Some(newer) => Finding::warned(
            format!("the repositories are those of {newer}, the node is {}", name(own)),
            "finish the upgrade of the node first, or take the repositories back",
        ),
    }
}

/// Debian's releases that PVE 7 and later are made of, in their order.
const RELEASES: [&str; 4] = ["bullseye", "bookworm", "trixie", "forky"];

fn rank(suite: &str) -> Option<usize> {
    let base = suite.split(['-', '/']).next().unwrap_or(suite);
    RELEASES.iter().position(|release| *release == base)
}

fn name(rank: usize) -> &'static str {
    RELEASES[rank]
}

/// Suites of all repositories that are in use: one-line files and deb822 (sources.list(5)).
fn suites(context: &Context<'_>) -> anyhow::Result<Vec<String>> {
    Ok(repositories(context)?.into_iter().flat_map(|(_, suites)| suites).collect())
}

/// Every repository in use: its address and suites.
fn repositories(context: &Context<'_>) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    const DIR: &str = "/etc/apt/sources.list.d";
    let mut found = Vec::new();
    let listed = context.node.list(DIR)?.into_iter().map(|file| format!("{DIR}/{file}"));
    for path in ["/etc/apt/sources.list".to_owned()].into_iter().chain(listed) {
        let text = context.node.read(&path)?.unwrap_or_default();
        if path.ends_with(".sources") {
            for stanza in text.split("\n\n") {
                let field = |key: &str| {
                    let lines = stanza.lines().filter(|line| !line.starts_with('#'));
                    lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
                        name.eq_ignore_ascii_case(key).then(|| value.trim().to_owned())
                    })
                };
                let is_off = field("enabled").is_some_and(|value| value == "no" || value == "false");
                if let (Some(address), Some(suites), false) = (field("uris"), field("suites"), is_off) {
                    found.push((address, suites.split_whitespace().map(str::to_owned).collect()));
                }
            }
        } else if path.ends_with(".list") {
            for line in text.lines().filter(|line| line.starts_with("deb ")) {
                let words = line
                    .split_whitespace()
                    .skip(1)
                    .skip_while(|word| word.starts_with('[') || word.contains('=') || word.ends_with(']'));
                let words: Vec<&str> = words.collect();
                if let [address, suite, ..] = words[..] {
                    found.push((address.to_owned(), vec![suite.to_owned()]));
                }
            }
        }
    }
    Ok(found)
}

pub(super) fn subscription(context: &Context<'_>) -> anyhow::Result<Finding> {
    // PVE keeps key and answer in one file (PVE/API2/Subscription.pm); what is in it is not told.
    let text = context.node.read("/etc/subscription")?.unwrap_or_default();
    let has_one = text.lines().next().is_some_and(|key| !key.trim().is_empty());
    let enterprise =
        repositories(context)?.iter().any(|(address, _)| address.contains("enterprise.proxmox.com"));
    match (has_one, enterprise) {
        (true, _) => Finding::passed("the node has a subscription"),
        (false, true) => Finding::failed(
            "the enterprise repository is in use without a subscription: apt can't read it",
            "enter the subscription key, or use the no-subscription repository",
        ),
        (false, false) => Finding::passed("no subscription, and no repository that needs one"),
    }
}

pub(super) fn repositories_set(context: &Context<'_>) -> anyhow::Result<Finding> {
    let all = repositories(context)?;
    let of_pve: Vec<&str> = all
        .iter()
        .map(|(address, _)| address.as_str())
        .filter(|address| address.contains("proxmox.com") && address.contains("/pve"))
        .collect();
    match of_pve.first() {
        Some(first) => Finding::passed(format!("{} repositories, Proxmox VE from {first}", all.len())),
        None => Finding::failed(
            format!("none of {} repositories is Proxmox VE's: it gets no updates", all.len()),
            "add the enterprise or the no-subscription repository, the same on all nodes",
        ),
    }
}

pub(super) fn sshd_lets_root_in(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(settings) = sshd::settings(context.node)? else {
        return Finding::skipped("there is no sshd on this node");
    };
    let by_ssh = matches!(context.wanted.method.as_deref(), Some("ssh" | "token"));
    let hint = "let root in with keys (PermitRootLogin prohibit-password, PubkeyAuthentication yes, root among AllowUsers if there are \
         any) and leave AuthorizedKeysFile as it comes: migrations log in as root";
    let tell = |finding: String| match by_ssh {
        true => Finding::failed(finding, hint),
        false => Finding::warned(finding, hint),
    };
    if let Some(setting) = settings.locks_root_out() {
        return tell(format!("sshd has {setting}"));
    }
    let is_first = |file: &String| file.ends_with(".ssh/authorized_keys");
    if !settings.key_files.is_empty() && !settings.key_files.iter().any(is_first) {
        return tell(format!(
            "sshd reads root's keys from {} only, not from .ssh/authorized_keys",
            settings.key_files.join(" ")
        ));
    }
    Finding::passed("root can log in with a key")
}
