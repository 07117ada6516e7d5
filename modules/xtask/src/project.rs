//! Where things are: every path that two commands must agree on.
//! Knows nothing about what is done with them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::lab::layout;

/// The checked-out project.
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// The project that this very binary was built from.
    pub fn locate() -> Result<Project> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = manifest.join("../..");
        let root = root.canonicalize().with_context(|| format!("no project at {}", root.display()))?;
        Ok(Project { root })
    }

    /// The top of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the top of the checkout.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// What the commands make that is not cargo's: always below the checkout, so that playbooks find it.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Cargo's own target directory.
    pub fn cargo_target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => self.root.join(dir),
            None => self.target(),
        }
    }

    /// The root of a collections path: contains `ansible_collections`.
    pub fn collections(&self) -> PathBuf {
        self.target().join("collections")
    }

    /// The staged collection.
    pub fn staged(&self) -> PathBuf {
        self.collections().join("ansible_collections/sddc/pve")
    }

    /// The virtual environment.
    pub fn venv(&self) -> PathBuf {
        self.target().join("venv")
    }

    /// A program of the virtual environment.
    pub fn venv_program(&self, name: &str) -> PathBuf {
        self.venv().join("bin").join(name)
    }

    /// The lab's state on this machine: key, inventory, known hosts. Each numbered lab has its own, so that two may work
    /// side by side.
    pub fn lab(&self) -> PathBuf {
        self.target().join(format!("lab{}", layout::number_word()))
    }

    /// The inventory of the running lab.
    pub fn lab_inventory(&self) -> PathBuf {
        self.lab().join("inventory.ini")
    }
}
