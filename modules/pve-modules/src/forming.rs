//! What the tests of the operating modules share: nodes to form clusters of, a process that is killed, and what
//! a node looks like apart from the records that an operation keeps.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use ansible_module::{Failure, Invocation, Outcome};
use pve::corosync_conf::{ConfNode, CorosyncConf};
use pve::fake::{Fake, golden};
use pve::{Node, base64};
use serde_json::{Map, Value};

use crate::calling::{fields, tree};

const KILLED: &str = "killed before";

/// Key that lets the controller in, authorised on the joiner only.
pub const CONTROLLER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1controller controller";

/// A fresh node, with what PVE makes of root's files.
pub fn fresh(name: &str, address: &str) -> Fake {
    let fake = Fake::standalone(name, address);
    fake.write("/etc/pve/priv/authorized_keys", format!("{CONTROLLER_KEY}\n"));
    fake.write("/etc/ssh/sshd_config", "PermitRootLogin yes\n");
    fake.write("/root/.ssh/id_rsa.pub", format!("ssh-rsa AAAA{name} root@{name}\n"));
    let (keys, link) = ("/etc/pve/priv/authorized_keys", fake.path("/root/.ssh/authorized_keys"));
    std::os::unix::fs::symlink(keys, link).expect("the fake root can be written");
    fake
}

/// corosync.conf of the one-node cluster `oracle` of pve1, with pve2 admitted.
pub fn conf_with_second() -> String {
    let mut conf = CorosyncConf::parse(&golden::file_in("05-single-node/files/corosync-conf-pve")).unwrap();
    conf.put_node(&ConfNode {
        name: "pve2".into(),
        nodeid: 2,
        votes: 1,
        links: BTreeMap::from([(0, "10.88.0.12".to_owned())]),
    });
    conf.increase_version();
    conf.render()
}

/// A fresh pve2, and what /etc/pve will show once it is a member.
pub fn joiner() -> Fake {
    let fake = fresh("pve2", "10.88.0.12");
    let files = [
        ("/etc/pve/corosync.conf", conf_with_second()),
        ("/etc/pve/nodes/pve1/pve-ssl.pem", "of pve1".to_owned()),
        ("/etc/pve/nodes/pve1/ssh_known_hosts", "of pve1".to_owned()),
        ("/etc/pve/priv/authorized_keys", "ssh-ed25519 AAAAcluster cluster\n".to_owned()),
        (
            "/etc/pve/pve-root-ca.pem",
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64::encode(b"ca")),
        ),
    ];
    fake.machine().cluster_files =
        files.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes())).collect();
    fake
}

/// Files of the node, apart from those that record operations and from PVE's own backups.
pub fn state(fake: &Fake) -> BTreeMap<PathBuf, String> {
    let kept = ["/var/lib/sddc-pve", "/run/sddc-pve", "/var/log", "/.pmxcfs", "/etc/pve/.members"];
    let kept = [&kept[..], &["/var/lib/pve-cluster/backup"]].concat();
    let kept: Vec<PathBuf> = kept.into_iter().map(|path| fake.path(path)).collect();
    let mut files = tree(&fake.path("/"));
    files.retain(|path, _| !kept.iter().any(|record| path.starts_with(record)));
    files.into_iter().map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned())).collect()
}

/// Fails with the files that are not as they were.
pub fn assert_unchanged(fake: &Fake, before: &BTreeMap<PathBuf, String>) {
    let after = state(fake);
    let paths = before.keys().chain(after.keys());
    let differing: Vec<_> = paths
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| (path, before.get(path), after.get(path)))
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

/// Everything that is written down about operations, as one text.
pub fn records(fake: &Fake) -> String {
    let kept =
        ["/var/lib/sddc-pve/operations", "/run/sddc-pve", "/var/log"].map(|path| tree(&fake.path(path)));
    kept.iter().flat_map(|files| files.values()).map(|bytes| String::from_utf8_lossy(bytes)).collect()
}

/// Runs a module and kills it when it is about to run its `number`th program; `None` when it got that far not.
pub fn killed_at(
    fake: &Fake,
    number: usize,
    run: impl FnOnce(&Node) -> Result<Outcome, Failure>,
) -> Option<Map<String, Value>> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_kill =
                info.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with(KILLED));
            if !is_kill {
                usual(info);
            }
        }));
    });
    let left = Arc::new(AtomicUsize::new(number));
    let count = left.clone();
    fake.on(move |_, cmd| {
        // Reading programs run side by side and change nothing: only the others are worth a kill.
        let reads =
            ["corosync-quorumtool", "corosync-cfgtool", "corosync-cmapctl", "getent", "ip", "journalctl"];
        let is_reading = reads.contains(&cmd.program.as_str())
            || cmd.args.first().is_some_and(|word| word == "show" || word == "is-active");
        if !is_reading && count.load(Ordering::SeqCst) > 0 && count.fetch_sub(1, Ordering::SeqCst) == 1 {
            panic!("{KILLED} {}", cmd.line());
        }
        None
    });
    let node = fake.node();
    let result = catch_unwind(AssertUnwindSafe(|| fields(run(&node))));
    left.store(0, Ordering::SeqCst);
    result.ok()
}

/// A call in check mode, or not.
pub fn checked(mut call: Invocation, is_check: bool) -> Invocation {
    call.check_mode = is_check;
    call.diff_mode = true;
    call
}
