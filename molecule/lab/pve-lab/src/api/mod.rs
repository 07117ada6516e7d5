//! The API tree: one function answers for pvesh, pvecm and the HTTP server. Knows no HTTP and no command line.

mod access;
mod cluster;
mod cluster_config;
mod create;
mod join;
mod join_ssh;
mod lock;
mod membership;
mod nodes;
pub mod schema;
mod settings;
mod tree;
pub mod updatecerts;
pub mod users;
mod worker;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::host::Host;

pub use join::{Terminal, join};
pub use join_ssh::join_over_ssh;
pub use lock::with_local_lock;
pub use tree::{call, children};
pub use worker::run_from_stdin as run_worker;

pub type Params = BTreeMap<String, String>;

pub const ROOT_USER: &str = "root@pam";

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: String,
    /// A token is never root@pam itself, whatever its rights.
    pub is_token: bool,
    /// At a shell tasks run in the foreground and print.
    pub is_interactive: bool,
}

impl Caller {
    pub fn shell() -> Caller {
        Caller { user: ROOT_USER.to_owned(), is_token: false, is_interactive: true }
    }

    /// The right `privilege` on `path`: root has all, others what the rights in user.cfg give them.
    fn require(&self, host: &Host, path: &str, privilege: &str) -> Result<(), ApiError> {
        let users = users::Users::load(host);
        let owner = self.user.split('!').next().unwrap_or_default();
        let may = |who: &str| who == ROOT_USER || users.may(who, path, privilege);
        let allowed = match users.token_has_full_rights(&self.user) {
            Some(true) if self.is_token => may(owner),
            Some(_) if self.is_token => may(owner) && users.may(&self.user, path, privilege),
            _ => may(&self.user),
        };
        if allowed {
            return Ok(());
        }
        Err(ApiError::status(403, format!("Permission check failed ({path}, {privilege})\n")))
    }

    fn require_self_or(&self, host: &Host, user: &str, privilege: &str) -> Result<(), ApiError> {
        if self.user == user && !self.is_token {
            return Ok(());
        }
        self.require(host, "/access/groups", privilege)
    }

    fn require_root(&self) -> Result<(), ApiError> {
        if self.user == ROOT_USER && !self.is_token {
            return Ok(());
        }
        Err(ApiError::status(403, "Permission check failed (user != root@pam)\n"))
    }
}

/// An error as PVE raises it. A message that ends in a newline is a plain `die`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status; None for a plain `die`, which HTTP shows as 500.
    pub status: Option<u16>,
    pub message: String,
    pub errors: BTreeMap<String, String>,
    /// What a shell command exits with: Perl's `die` leaves the last errno there.
    pub exit: u8,
}

impl ApiError {
    pub fn die(message: impl Into<String>) -> ApiError {
        ApiError { message: message.into(), exit: 255, ..ApiError::default() }
    }

    /// A `die` after a system call had failed.
    pub fn errno(message: impl Into<String>, exit: u8) -> ApiError {
        ApiError { exit, ..ApiError::die(message) }
    }

    pub fn status(status: u16, message: impl Into<String>) -> ApiError {
        ApiError { status: Some(status), ..ApiError::die(message) }
    }

    pub fn parameters(errors: BTreeMap<String, String>) -> ApiError {
        ApiError { errors, ..ApiError::status(400, "Parameter verification failed.\n") }
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> ApiError {
        let exit = error.raw_os_error().and_then(|errno| u8::try_from(errno).ok()).unwrap_or(255);
        ApiError::errno(format!("{error}\n"), exit)
    }
}

/// One request.
pub struct Request<'a> {
    pub host: &'a Host,
    pub method: &'a str,
    pub path: &'a str,
    pub params: Params,
    pub caller: Caller,
}

pub type Answer = Result<Reply, ApiError>;

/// A result, with what stands beside it in the JSON.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub data: Value,
    pub total: Option<usize>,
    /// What the call prints at a shell before its result.
    pub printed: String,
}

impl From<Value> for Reply {
    fn from(data: Value) -> Reply {
        Reply { data, ..Reply::default() }
    }
}
