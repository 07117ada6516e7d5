//! The node that the emulator plays: a root directory, a way to run programs, delays and faults.
//! Everything above works on it, so that a test can play any node in a temporary directory.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::delays::Delays;
use crate::faults::Faults;
use crate::system::{Output, System};

/// More than a file of pmxcfs usually has, and what one request to it brings.
const ONE_READ: usize = 128 << 10;

/// One node.
#[derive(Clone)]
pub struct Host {
    root: PathBuf,
    pub system: Arc<dyn System>,
    pub delays: Delays,
    pub faults: Faults,
}

impl Host {
    /// The machine the program runs on.
    pub fn real() -> Host {
        Host::new(Path::new("/"), Arc::new(crate::system::RealSystem))
    }

    pub fn new(root: &Path, system: Arc<dyn System>) -> Host {
        Host {
            root: root.to_owned(),
            system,
            delays: Delays::at(&root.join("var/lib/pve-lab/delays")),
            faults: Faults::at(&root.join("var/lib/pve-lab/faults.json")),
        }
    }

    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    pub fn nodename(&self) -> String {
        let full = self.system.hostname();
        full.split('.').next().unwrap_or_default().to_owned()
    }

    /// `/etc/pve/nodes/<own name>/<file>`.
    pub fn node_file(&self, file: &str) -> String {
        format!("/etc/pve/nodes/{}/{file}", self.nodename())
    }

    /// The address that the node's own name resolves to, as pmxcfs and pvecm take it.
    pub fn own_address(&self) -> Option<String> {
        self.system.resolve(&self.nodename()).ok().map(|address| address.to_string())
    }

    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Of /etc/pve by one read, as PVE's tools get it over IPC: a second one may bring the tail of a newer content.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if !path.starts_with("/etc/pve/") {
            return fs::read(self.path(path));
        }
        let mut file = fs::File::open(self.path(path))?;
        let mut bytes = vec![0; ONE_READ];
        let count = file.read(&mut bytes)?;
        bytes.truncate(count);
        if count == ONE_READ {
            file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    pub fn read_text(&self, path: &str) -> io::Result<String> {
        String::from_utf8(self.read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Writes a temporary file beside the target and renames it over: as PVE's file_set_contents does.
    pub fn write(&self, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
        self.faults.check_write(path)?;
        let target = self.path(path);
        let temporary = PathBuf::from(format!("{}.tmp.{}", target.display(), std::process::id()));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        let written = file.write_all(content).and_then(|()| file.flush());
        drop(file);
        // pmxcfs refuses modes that are not its own: the mode given at creation is all there is.
        if !path.starts_with("/etc/pve/") {
            fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))?;
        }
        let done = written
            .and_then(|()| self.faults.check_rename(path))
            .and_then(|()| fs::rename(&temporary, &target));
        if done.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        done
    }

    pub fn create_dir(&self, path: &str, mode: u32) -> io::Result<()> {
        let target = self.path(path);
        if target.is_dir() {
            return Ok(());
        }
        fs::create_dir(&target)?;
        if !path.starts_with("/etc/pve/") {
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    pub fn remove(&self, path: &str) -> io::Result<()> {
        match fs::remove_file(self.path(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    pub fn run(&self, argv: &[&str]) -> Output {
        self.system.run(argv, None)
    }
}
