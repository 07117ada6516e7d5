//! The rules of the cluster file system: who may change the tree when, where it comes from, and what follows a
//! change (corosync.conf goes to corosync). Knows neither FUSE nor how corosync is watched.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::Flock;
use ring::digest;

use super::cluster_info::{ClusterInfo, QuorumView};
use super::store::{LocalDatabase, SharedStore};
use super::tree::{ROOT, Stamp, Tree};
use crate::corosync_conf::version_of;
use crate::delays::Step;
use crate::host::Host;

pub const DATABASE: &str = "/var/lib/pve-cluster/config.db";
const COROSYNC_CONF: &str = "/etc/corosync/corosync.conf";

/// What the installer leaves in the database.
const INSTALLED: [(&str, &str); 3] = [
    ("storage.cfg", "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl,backup,images,rootdir,import\n"),
    ("user.cfg", "user:root@pam:1:0:::root@oracle.test::\n"),
    ("datacenter.cfg", "keyboard: en-us\n"),
];

/// One member as `.members` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: u32,
    pub is_online: bool,
    pub address: Option<String>,
}

/// What changes while pmxcfs runs.
#[derive(Default)]
pub struct State {
    pub tree: Tree,
    pub is_quorate: bool,
    shared: Option<SharedStore>,
    registration: Option<Flock<File>>,
    pub info: Option<ClusterInfo>,
    corosync_members: std::collections::BTreeSet<u32>,
    pub members: BTreeMap<String, Member>,
    pub members_version: u64,
    pub debug: bool,
    pub log: Vec<String>,
    /// A write of the database failed: from then on every change is refused, until pmxcfs is started anew (pve-cluster
    /// `src/pmxcfs/memdb.c`, `memdb->errors`).
    is_broken: bool,
}

/// The running file system.
pub struct Cfs {
    pub host: Host,
    pub nodename: String,
    pub started: u32,
    address: String,
    database: LocalDatabase,
    /// False standalone and in local mode: there is no quorum to wait for.
    pub in_cluster: bool,
    state: Mutex<State>,
}

pub fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

impl Cfs {
    /// Opens the database, or makes one that takes an existing corosync.conf in, as a joining node's does.
    pub fn start(host: Host, address: &str, force_local: bool) -> io::Result<Cfs> {
        let database = LocalDatabase::at(&host.path(DATABASE));
        let nodename = host.nodename();
        let tree = match database.load()? {
            Some(tree) => tree,
            None => {
                let mut tree = Tree::default();
                let mut put = |name: &str, content: &[u8]| {
                    let stamp = Stamp { writer: 0, time: now() };
                    let inode = tree.create(ROOT, name, stamp)?;
                    tree.write(inode, 0, content, stamp)
                };
                match host.read(COROSYNC_CONF) {
                    Ok(conf) => put("corosync.conf", &conf)?,
                    Err(_) => {
                        for (name, content) in INSTALLED {
                            put(name, content.as_bytes())?;
                        }
                    }
                }
                database.save(&tree)?;
                tree
            }
        };
        let in_cluster = !force_local && tree.content("corosync.conf").is_some_and(|conf| !conf.is_empty());
        let cfs = Cfs {
            in_cluster,
            started: now(),
            address: address.to_owned(),
            database,
            state: Mutex::new(State { tree, ..State::default() }),
            host,
            nodename,
        };
        if in_cluster {
            cfs.spread_conf(false);
        }
        cfs.note("cluster", "root", "starting cluster log");
        Ok(cfs)
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds a line to the cluster log.
    pub fn note(&self, tag: &str, user: &str, message: &str) {
        let mut state = self.lock();
        let line = format!(
            "{{\"uid\": {}, \"time\": {}, \"pri\": 6, \"tag\": \"{tag}\", \"pid\": {}, \"node\": \"{}\", \"user\": \"{user}\", \"msg\": \"{message}\"}}",
            state.log.len() + 1,
            now(),
            std::process::id(),
            self.nodename
        );
        state.log.insert(0, line);
        state.log.truncate(50);
    }

    fn stamp(&self, state: &State) -> Stamp {
        let writer = state.info.as_ref().and_then(|info| info.nodes.get(&self.nodename)).copied();
        Stamp { writer: writer.unwrap_or(0), time: now() }
    }

    pub fn is_writable(&self, state: &State) -> bool {
        !self.in_cluster || (state.is_quorate && state.shared.is_some())
    }

    /// The state with the newest tree that this node may see.
    pub fn view(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if self.refresh(&mut state) {
            drop(state);
            self.spread_conf(false);
            state = self.lock();
        }
        state
    }

    /// Takes over what other members wrote; true when corosync.conf changed by it.
    fn refresh(&self, state: &mut State) -> bool {
        if !state.is_quorate {
            return false;
        }
        let Some(shared) = &state.shared else { return false };
        if !matches!(shared.version(), Ok(Some(version)) if version != state.tree.version) {
            return false;
        }
        let Ok(Some(tree)) = shared.load() else { return false };
        let changed = tree.content("corosync.conf") != state.tree.content("corosync.conf");
        self.take_over(state, tree);
        changed
    }

    /// What the cluster has, here too; the database may be left behind.
    fn take_over(&self, state: &mut State, tree: Tree) {
        let _ = self.save(state, &tree);
        state.tree = tree;
    }

    fn save(&self, state: &mut State, tree: &Tree) -> Result<(), Errno> {
        self.database.save(tree).map_err(|error| {
            eprintln!("[database] crit: {DATABASE}: {error}");
            state.is_broken = true;
            Errno::EIO
        })
    }

    /// Changes the tree here and for every member; returns when all of them see it.
    pub fn change<T>(&self, edit: impl FnOnce(&mut Tree, Stamp) -> Result<T, Errno>) -> Result<T, Errno> {
        if let Some(errno) = self.host.faults.pmxcfs_refusal() {
            return Err(errno);
        }
        let mut state = self.lock();
        if !self.is_writable(&state) {
            return Err(Errno::EACCES);
        }
        if state.is_broken {
            return Err(Errno::EIO);
        }
        let lock = match &state.shared {
            Some(shared) if self.in_cluster => Some(shared.lock().map_err(|_| Errno::EIO)?),
            _ => None,
        };
        self.refresh(&mut state);
        let stamp = self.stamp(&state);
        let mut tree = state.tree.clone();
        let result = edit(&mut tree, stamp)?;
        let conf_changed = tree.content("corosync.conf") != state.tree.content("corosync.conf");
        self.save(&mut state, &tree)?;
        if let (Some(shared), true) = (&state.shared, self.in_cluster) {
            shared.save(&tree).map_err(|_| Errno::EIO)?;
        }
        state.tree = tree;
        drop(lock);
        drop(state);
        if conf_changed {
            self.spread_conf(true);
        }
        Ok(result)
    }

    /// Copies corosync.conf to where corosync reads it, unless that one is newer; the node that made the change
    /// lets it spread and then makes corosync read it (all nodes at once), which is why the write takes a second.
    fn spread_conf(&self, notify: bool) {
        let Some(conf) = self.lock().tree.content("corosync.conf").map(<[u8]>::to_vec) else { return };
        let version = version_of(&conf);
        if version == 0 {
            eprintln!("[dcdb] crit: unable to parse cluster config_version");
            return;
        }
        let old = self.host.read(COROSYNC_CONF).unwrap_or_default();
        let old_version = version_of(&old);
        if old == conf {
            return;
        }
        if version < old_version {
            eprintln!("[dcdb] crit: local corosync.conf is newer");
            return;
        }
        if let Err(error) = self.host.write(COROSYNC_CONF, &conf, 0o644) {
            eprintln!("[dcdb] crit: {COROSYNC_CONF}: {error}");
            return;
        }
        eprintln!("[dcdb] notice: wrote new corosync config '{COROSYNC_CONF}' (version = {version})");
        if notify && old_version > 0 {
            self.host.delays.take(Step::ConfigSpread);
            self.host.run(&["corosync-cfgtool", "-R"]);
        }
    }

    /// corosync can't be reached (any more).
    pub fn corosync_lost(&self) {
        let mut state = self.lock();
        if state.is_quorate {
            eprintln!("[status] notice: node lost quorum");
        }
        state.is_quorate = false;
        state.registration = None;
    }

    /// corosync's configuration, as read last.
    pub fn cluster_seen(&self, info: ClusterInfo) {
        let mut state = self.lock();
        if state.info.as_ref() != Some(&info) {
            eprintln!(
                "[status] notice: update cluster info (cluster name  {}, version = {})",
                info.name, info.version
            );
            state.info = Some(info);
            state.members_version += 1;
        }
        self.update_members(&mut state);
    }

    /// corosync's membership, as read last. Becoming quorate means to agree with the cluster on the tree first.
    pub fn quorum_seen(&self, view: QuorumView) {
        let mut state = self.lock();
        state.corosync_members = view.members;
        if view.is_quorate != state.is_quorate {
            eprintln!("[status] notice: node {} quorum", if view.is_quorate { "has" } else { "lost" });
            state.members_version += 1;
        }
        let mut conf_changed = false;
        if view.is_quorate && !state.is_quorate {
            match self.synchronise(&mut state) {
                Ok(changed) => conf_changed = changed,
                Err(error) => eprintln!("[dcdb] crit: shared store: {error}"),
            }
        }
        state.is_quorate = view.is_quorate;
        self.update_members(&mut state);
        drop(state);
        if conf_changed {
            self.spread_conf(false);
        }
    }

    fn shared_store(&self) -> io::Result<SharedStore> {
        let key = self.host.read("/etc/corosync/authkey")?;
        let hash = digest::digest(&digest::SHA256, &key);
        let name: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        SharedStore::open(&self.host.path("/var/lib/pve-lab/shared").join(name))
    }

    /// The higher version wins, as among genuine members: an empty node takes the cluster's tree.
    fn synchronise(&self, state: &mut State) -> io::Result<bool> {
        let shared = self.shared_store()?;
        let lock = shared.lock()?;
        let mut changed = false;
        match shared.load()? {
            Some(tree) if tree.version >= state.tree.version => {
                changed = tree.content("corosync.conf") != state.tree.content("corosync.conf");
                self.take_over(state, tree);
            }
            _ => shared.save(&state.tree)?,
        }
        drop(lock);
        eprintln!("[dcdb] notice: all data is up to date");
        state.shared = Some(shared);
        Ok(changed)
    }

    /// Runs every so often: takes over others' changes and looks who is there.
    pub fn tick(&self) {
        let mut state = self.view();
        self.update_members(&mut state);
    }

    fn update_members(&self, state: &mut State) {
        let Some(info) = state.info.clone() else { return };
        if state.shared.is_none() {
            state.shared = self.shared_store().ok().filter(|_| state.is_quorate);
        }
        if state.registration.is_none() && !state.corosync_members.is_empty() {
            // Another member may be looking at the very file: then the next tick does it.
            state.registration =
                self.shared_store().ok().and_then(|store| store.register(&self.nodename, &self.address).ok());
        }
        let mut members = BTreeMap::new();
        for (name, id) in &info.nodes {
            let known = state.members.get(name).and_then(|member| member.address.clone());
            let in_corosync = state.corosync_members.contains(id);
            let running = match (in_corosync, name == &self.nodename) {
                (false, _) => None,
                (true, true) => Some(self.address.clone()),
                (true, false) => self.shared_store().ok().and_then(|store| store.running(name)),
            };
            let member = Member { id: *id, is_online: running.is_some(), address: running.or(known) };
            members.insert(name.clone(), member);
        }
        if members != state.members {
            state.members = members;
            state.members_version += 1;
        }
    }
}
