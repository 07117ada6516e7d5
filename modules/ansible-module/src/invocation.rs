//! What a module is, and what it is handed.
//!
//! Knows Ansible's `_ansible_*` internals by name. Knows neither how arguments are checked nor where results go.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::manual::Spec;
use crate::outcome::{Failure, Outcome};
use crate::validate::boolean;

/// One module of a multi-call binary.
#[derive(Debug)]
pub struct Module {
    /// Its table.
    pub spec: &'static Spec,
    /// What it does, given checked arguments.
    pub run: fn(&Invocation) -> Result<Outcome, Failure>,
}

/// One call of a module.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The name it was called by, with its collection where Ansible gave it.
    pub module_name: String,
    /// The checked and converted arguments: every option is there, `null` where not given.
    pub params: Map<String, Value>,
    /// Say what would change, and change nothing.
    pub check_mode: bool,
    /// The user asked for a diff.
    pub diff_mode: bool,
    /// The number of `-v`.
    pub verbosity: u8,
    /// The directory Ansible made for this task and removes; none on the fast path.
    pub tmpdir: Option<PathBuf>,
    /// Where Ansible keeps its temporary directories on this host, unexpanded.
    pub remote_tmp: Option<String>,
    /// The version of ansible-core.
    pub ansible_version: String,
    /// The task is `no_log`: nothing is logged on this host.
    pub no_log: bool,
    /// Keep temporary files for inspection.
    pub keep_remote_files: bool,
    pub(crate) ignore_unknown_opts: bool,
    pub(crate) inject_invocation: bool,
    pub(crate) syslog_facility: String,
    pub(crate) target_log_info: Option<String>,
}

impl Invocation {
    /// The arguments as a type of the module's own. An unknown field is not an error, so that a struct may hold
    /// fewer options than the table.
    ///
    /// # Errors
    /// The type and the table disagree: a defect of the module, said as one.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        // By way of a text, as everything else is read that has a type: a second reader of each type, for values,
        // would stand in the binary only for this.
        let read = || -> serde_json::Result<T> {
            let text = zeroize::Zeroizing::new(serde_json::to_string(&self.params)?);
            serde_json::from_str(&text)
        };
        read().map_err(|error| {
            Failure::new(format!(
                "internal error in {}: checked arguments do not fit the module's type: {error}: please report it",
                self.module_name
            ))
        })
    }

    /// Takes `_ansible_*` out of the arguments.
    pub(crate) fn from_raw(raw: &mut Map<String, Value>) -> Result<Invocation, Failure> {
        let mut internal = Map::new();
        for (key, value) in std::mem::take(raw) {
            match key.strip_prefix("_ansible_") {
                Some(name) => internal.insert(name.to_owned(), value),
                None => raw.insert(key, value),
            };
        }
        let flag = |name: &str, default: bool| match internal.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => {
                boolean(value).map_err(|why| Failure::new(format!("argument _ansible_{name}: {why}")))
            }
        };
        let text = |name: &str| internal.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Invocation {
            module_name: text("module_name").unwrap_or_default(),
            params: Map::new(),
            check_mode: flag("check_mode", false)?,
            diff_mode: flag("diff", false)?,
            verbosity: internal
                .get("verbosity")
                .and_then(Value::as_u64)
                .map_or(0, |level| u8::try_from(level).unwrap_or(u8::MAX)),
            tmpdir: text("tmpdir").map(PathBuf::from),
            remote_tmp: text("remote_tmp"),
            ansible_version: text("version").unwrap_or_else(|| "0.0".to_owned()),
            no_log: flag("no_log", false)?,
            keep_remote_files: flag("keep_remote_files", false)?,
            ignore_unknown_opts: flag("ignore_unknown_opts", false)?,
            inject_invocation: flag("inject_invocation", true)?,
            syslog_facility: text("syslog_facility").unwrap_or_else(|| "LOG_USER".to_owned()),
            target_log_info: text("target_log_info"),
        })
    }
}
