//! The state of a fake node and how it follows from what was done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::corosync_conf::CorosyncConf;
use crate::facts::Address;
use crate::https::{Exchange, HttpsError, Reply};

/// A node's state, files apart.
pub struct Machine {
    root: PathBuf,
    /// Host name.
    pub hostname: String,
    /// Addresses, loopback apart.
    pub addresses: Vec<Address>,
    /// What names resolve to.
    pub names: BTreeMap<String, Vec<String>>,
    /// systemd units; one that is not here is not installed.
    pub units: BTreeMap<String, FakeUnit>,
    /// TCP ports of the world that do not refuse.
    pub ports: BTreeMap<SocketAddr, Port>,
    /// Other nodes whose corosync runs; all listed ones when `None`.
    pub online: Option<BTreeSet<String>>,
    /// Links that are cut: number and the other node's id.
    pub cut: BTreeSet<(u8, u32)>,
    /// Members whose corosync has an older config version than the file, by node id, until all are told to read it again.
    pub behind: BTreeMap<u32, u64>,
    /// How long after its start corosync finds the others.
    pub settles: Duration,
    /// What chronyc and timedatectl say; neither is installed when `None`.
    pub synchronised: Option<bool>,
    /// What pmxcfs shows after config.db was removed and corosync runs: the cluster's /etc/pve.
    pub cluster_files: BTreeMap<String, Vec<u8>>,
    /// What `.members` says, instead of what follows from the rest.
    pub members: Option<String>,
    /// Fingerprint of the certificate that the API shows, instead of the one in /etc/pve.
    pub served: Option<String>,
    /// Fingerprint that a peer's API shows to `pvecm add` at a terminal.
    pub peer_certificate: String,
    /// Monotonic clock.
    pub clock: Duration,
    /// Wall clock at zero of the monotonic one.
    pub booted: SystemTime,
    /// Whether this program was sent SIGTERM.
    pub is_told_to_end: bool,
    /// Whether it heard that, and is told nothing more.
    pub(super) has_heard_end: bool,
    /// Every command line run so far.
    pub calls: Vec<String>,
    /// Votes that were told to be expected in place of the configured ones.
    pub expected: Option<u32>,
    /// This program's own file, where operations are to run apart from who asks for them.
    pub own_program: Option<PathBuf>,
    /// Other members whose corosync-qdevice runs.
    pub devices: BTreeSet<String>,
    /// Whether the QNetd host takes this member's certificate and gives its vote.
    pub qnetd_votes: bool,
    /// What was told to `pvecm add` as root's password.
    pub passwords: Vec<String>,
    pub(super) corosync_started: Option<Duration>,
    databases: u32,
}

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeUnit {
    /// `ActiveState`.
    pub active: String,
    /// `UnitFileState`.
    pub enabled: String,
}

/// A TCP port that does not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// It accepts.
    Open,
    /// Nothing comes back.
    Silent,
}

const UNITS: [&str; 12] = [
    "pve-cluster",
    "pvedaemon",
    "pveproxy",
    "pvestatd",
    "pvescheduler",
    "pve-ha-lrm",
    "pve-ha-crm",
    "spiceproxy",
    "pve-firewall",
    "pve-guests",
    "chrony",
    "ssh",
];
const DATABASE: &str = "/var/lib/pve-cluster/config.db";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnwWTvpRCDIDyFcOq9XbuaFbX3Pt4PTWdDVYKbBk7uQ root@fake\n";

impl Machine {
    pub(super) fn new(root: PathBuf, name: &str, address: &str) -> Self {
        let unit = |active: &str| FakeUnit { active: active.to_owned(), enabled: "enabled".to_owned() };
        let mut units: BTreeMap<String, FakeUnit> =
            UNITS.iter().map(|name| (format!("{name}.service"), unit("active"))).collect();
        units.insert("corosync.service".to_owned(), unit("inactive"));
        Self {
            root,
            hostname: name.to_owned(),
            addresses: vec![Address {
                interface: "vmbr0".to_owned(),
                address: address.to_owned(),
                prefix: 24,
                mtu: Some(1500),
            }],
            names: BTreeMap::from([(name.to_owned(), vec![address.to_owned()])]),
            units,
            ports: BTreeMap::new(),
            online: None,
            cut: BTreeSet::new(),
            behind: BTreeMap::new(),
            settles: Duration::ZERO,
            synchronised: Some(true),
            cluster_files: BTreeMap::new(),
            members: None,
            served: None,
            peer_certificate: String::new(),
            clock: Duration::ZERO,
            booted: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_359_600),
            calls: Vec::new(),
            expected: None,
            is_told_to_end: false,
            has_heard_end: false,
            own_program: None,
            devices: BTreeSet::new(),
            qnetd_votes: true,
            passwords: Vec::new(),
            corosync_started: None,
            databases: 0,
        }
    }

    /// Where an absolute path of the node lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("the fake root can be written");
        }
        fs::write(path, content).expect("the fake root can be written");
    }

    /// The content of a file, empty when there is none.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    pub(super) fn install(&mut self) {
        let package = |name: &str, version: &str| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
            )
        };
        let status = [("corosync", "3.1.10-pve3"), ("pve-cluster", "9.1.6"), ("pve-manager", "9.1.10")];
        let status: String = status.iter().map(|(name, version)| package(name, version)).collect();
        self.write("/var/lib/dpkg/status", status);
        self.write("/proc/sys/kernel/hostname", format!("{}\n", self.hostname));
        self.write("/etc/hostname", format!("{}\n", self.hostname));
        self.write("/etc/os-release", "ID=debian\nVERSION_CODENAME=trixie\n");
        self.write("/proc/self/mounts", "/dev/mapper/pve-root / ext4 rw,relatime 0 0\n");
        self.write(
            "/etc/apt/sources.list.d/pve.sources",
            "Types: deb\nURIs: http://download.proxmox.com/debian/pve\nSuites: trixie\nComponents: \
             pve-no-subscription\n",
        );
        self.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        self.write("/etc/ssh/ssh_host_ed25519_key.pub", KEY);
        self.write("/sys/class/net/vmbr0/flags", "0x1003\n");
        self.write("/sys/class/net/vmbr0/operstate", "up\n");
        self.write("/proc/self/status", "Name:\tpve\nUid:\t0\t0\t0\t0\n");
        self.write("/var/lib/pve-cluster/config.db", "sqlite");
        fs::create_dir_all(self.path("/etc/corosync")).expect("the fake root can be written");
        self.fill_pmxcfs();
        self.settle();
    }

    pub(super) fn become_member(&mut self, corosync_conf: &str) {
        self.write("/etc/pve/corosync.conf", corosync_conf);
        self.write("/etc/corosync/corosync.conf", corosync_conf);
        self.write("/etc/corosync/authkey", [7; 256]);
        self.start("corosync.service");
        self.settle();
    }

    /// What pmxcfs and the first `pvecm updatecerts` make of an empty database.
    fn fill_pmxcfs(&mut self) {
        let own = format!("/etc/pve/nodes/{}", self.hostname);
        self.write("/etc/pve/pve-root-ca.pem", certificate("ca of", &self.hostname));
        self.write(&format!("{own}/pve-ssl.pem"), certificate("node", &self.hostname));
        self.write(&format!("{own}/pve-ssl.key"), "key");
        self.write("/etc/pve/priv/pve-root-ca.key", "key");
        self.write(
            &format!("{own}/lrm_status"),
            r#"{"mode":"active","results":{},"state":"wait_for_agent_lock"}"#,
        );
        fs::create_dir_all(self.path("/etc/pve/priv/lock")).expect("the fake root can be written");
    }

    /// Starts a unit as systemd would; tells whether it is then up.
    pub fn start(&mut self, unit: &str) -> bool {
        let is_fit = match unit {
            "corosync.service" if self.path("/etc/corosync/corosync.conf").exists() => {
                let fit = self.corosync_conf().is_some_and(|conf| conf.findings().is_empty());
                self.corosync_started = fit.then_some(self.clock);
                Some(fit)
            }
            // ConditionPathExists: it is skipped, which is no failure.
            "corosync.service" => None,
            "pve-cluster.service" => {
                self.mount_pmxcfs();
                Some(true)
            }
            _ => Some(true),
        };
        let Some(state) = self.units.get_mut(unit) else { return false };
        state.active = match is_fit {
            Some(true) => "active",
            Some(false) => "failed",
            None => "inactive",
        }
        .to_owned();
        self.settle();
        is_fit != Some(false)
    }

    /// Stops a unit.
    pub fn stop(&mut self, unit: &str) {
        if unit == "pve-cluster.service" && self.is_active(unit) {
            self.unmount_pmxcfs();
        }
        if unit == "corosync.service" {
            self.corosync_started = None;
        }
        if let Some(state) = self.units.get_mut(unit) {
            "inactive".clone_into(&mut state.active);
        }
        self.settle();
    }

    /// Whether a unit is active.
    pub fn is_active(&self, unit: &str) -> bool {
        self.units.get(unit).is_some_and(|unit| unit.active == "active")
    }

    /// pveproxy of this node, as far as the certificate it shows.
    pub(super) fn own_api(&self, exchange: &Exchange) -> Result<Reply, HttpsError> {
        let is_own = self.addresses.iter().any(|own| own.address == exchange.address.ip().to_string());
        let served = self.served.clone().unwrap_or_else(|| {
            let pem = self.read(&format!("/etc/pve/nodes/{}/pve-ssl.pem", self.hostname));
            crate::certificate::fingerprint_of_pem(&pem).unwrap_or_default()
        });
        match served.parse() {
            Ok(certificate) if is_own && self.is_active("pveproxy.service") => {
                Ok(Reply { certificate, status: None, body: String::new() })
            }
            _ => Err(HttpsError::Unreachable { address: exchange.address, reason: "refused".to_owned() }),
        }
    }

    /// Mounts /etc/pve as `pmxcfs -l` does.
    pub(super) fn mount_local(&mut self) {
        self.mount_pmxcfs();
        let text = self.members_text(None, None);
        self.write("/etc/pve/.members", text);
    }

    /// Ends a `pmxcfs -l`.
    pub(super) fn stop_local(&mut self) {
        self.unmount_pmxcfs();
    }

    /// What /etc/pve showed belongs to the database that is there.
    fn unmount_pmxcfs(&mut self) {
        let _ = fs::remove_file(self.path("/etc/pve/.members"));
        fs::create_dir_all(self.path("/.pmxcfs")).expect("the fake root can be written");
        fs::rename(self.path("/etc/pve"), self.store()).expect("the fake root can be written");
        fs::create_dir_all(self.path("/etc/pve")).expect("the fake root can be written");
    }

    fn store(&self) -> PathBuf {
        self.path("/.pmxcfs").join(self.read(DATABASE))
    }

    fn mount_pmxcfs(&mut self) {
        if self.path("/etc/pve/.members").exists() {
            return;
        }
        let has_database = self.path(DATABASE).exists();
        if has_database && self.store().exists() {
            fs::remove_dir_all(self.path("/etc/pve")).expect("the fake root can be written");
            fs::rename(self.store(), self.path("/etc/pve")).expect("the fake root can be written");
            return;
        }
        self.databases += 1;
        self.write(DATABASE, format!("sqlite{}", self.databases));
        if self.is_active("corosync.service") || self.path("/etc/corosync/corosync.conf").exists() {
            for (path, content) in self.cluster_files.clone() {
                self.write(&path, content);
            }
            fs::create_dir_all(self.path("/etc/pve/priv/lock")).expect("the fake root can be written");
        } else {
            self.fill_pmxcfs();
        }
    }

    /// The configuration corosync would start with.
    pub fn corosync_conf(&self) -> Option<CorosyncConf> {
        CorosyncConf::parse(&self.read("/etc/corosync/corosync.conf")).ok()
    }

    /// Brings what pmxcfs shows in line with the rest.
    pub(super) fn settle(&mut self) {
        if !self.is_active("pve-cluster.service") {
            return;
        }
        let quorum = self.quorum();
        let shared = self.read("/etc/pve/corosync.conf");
        // A local file that is newer stays (pve-cluster `src/pmxcfs/dcdb.c`).
        let version = |text: &str| CorosyncConf::parse(text).ok().and_then(|conf| conf.config_version());
        let is_newer = version(&self.read("/etc/corosync/corosync.conf")) > version(&shared);
        if !shared.is_empty() && !is_newer && quorum.as_ref().is_none_or(|quorum| quorum.quorate) {
            self.write("/etc/corosync/corosync.conf", &shared);
        }
        let conf = CorosyncConf::parse(&shared).ok().filter(|_| !shared.is_empty());
        let modelled = || self.members_text(conf.as_ref(), quorum.as_ref());
        self.write("/etc/pve/.members", self.members.clone().unwrap_or_else(modelled));
        if !self.path("/etc/pve/.vmlist").exists() {
            self.write("/etc/pve/.vmlist", "{\n\"version\": 0\n\n}\n");
        }
        let local = self.path("/etc/pve/local");
        if fs::symlink_metadata(&local).is_err() {
            let target = Path::new("nodes").join(&self.hostname);
            std::os::unix::fs::symlink(target, local).expect("the fake root can be written");
        }
    }
}

/// Not a certificate, but PEM of bytes of its own, which is all that a fingerprint is taken of.
pub(super) fn certificate(what: &str, name: &str) -> String {
    let body = crate::base64::encode(format!("{what} {name}").as_bytes());
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}
