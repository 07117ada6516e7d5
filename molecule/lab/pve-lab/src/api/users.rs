//! Users, rights and API tokens: user.cfg, priv/shadow.cfg, priv/token.cfg, and what `/access` does with them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::schema::{self, Kind, Param, optional, required, truth};
use super::{Answer, ApiError, Params, Request, lock};
use crate::host::Host;

const USER_CFG: &str = "/etc/pve/user.cfg";
const SHADOW_CFG: &str = "/etc/pve/priv/shadow.cfg";
const TOKEN_CFG: &str = "/etc/pve/priv/token.cfg";

const USER_SCHEMA: [Param; 4] = [
    required("userid", Kind::Text),
    optional("password", Kind::Text),
    optional("comment", Kind::Text),
    optional("enable", Kind::Boolean),
];
const TOKEN_SCHEMA: [Param; 5] = [
    required("userid", Kind::Text),
    required("tokenid", Kind::Text),
    optional("comment", Kind::Text),
    optional("expire", Kind::Integer(0)),
    optional("privsep", Kind::Boolean),
];
const ACL_SCHEMA: [Param; 6] = [
    required("path", Kind::Text),
    required("roles", Kind::Text),
    optional("users", Kind::Text),
    optional("tokens", Kind::Text),
    optional("propagate", Kind::Boolean),
    optional("delete", Kind::Boolean),
];

/// user.cfg, a section a kind of line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    lines: Vec<Vec<String>>,
}

impl Users {
    pub fn load(host: &Host) -> Users {
        let text = host.read_text(USER_CFG).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Users { lines: lines.map(|line| line.split(':').map(str::to_owned).collect()).collect() }
    }

    /// Users and their tokens first, then groups, pools, roles, rights, a blank line between.
    fn save(&self, host: &Host) -> Result<(), ApiError> {
        let of = |kinds: &[&str]| -> String {
            let lines = self.lines.iter().filter(|line| kinds.contains(&line[0].as_str()));
            // A user that is written again has all ten fields, root of a fresh installation has nine.
            let fields =
                |line: &Vec<String>| if line[0] == "user" { 10usize.saturating_sub(line.len()) } else { 0 };
            lines.map(|line| format!("{}{}\n", line.join(":"), ":".repeat(fields(line)))).collect()
        };
        let text =
            [of(&["user", "token"]), of(&["group"]), of(&["pool"]), of(&["role"]), of(&["acl"])].join("\n");
        Ok(host.write(USER_CFG, text.as_bytes(), 0o640)?)
    }

    fn find(&self, kind: &str, id: &str) -> Option<&Vec<String>> {
        self.lines.iter().find(|line| line[0] == kind && line.get(1).map(String::as_str) == Some(id))
    }

    pub fn is_enabled(&self, user: &str) -> bool {
        self.find("user", user).is_some_and(|line| line.get(2).map(String::as_str) == Some("1"))
    }

    /// True when the token may do all that its user may.
    pub fn token_has_full_rights(&self, token: &str) -> Option<bool> {
        self.find("token", token).map(|line| line.get(3).map(String::as_str) == Some("0"))
    }

    /// Roles that a user or token has on a path, by rights on it or above it.
    fn roles(&self, who: &str, path: &str) -> BTreeSet<&str> {
        let above = |acl: &str| acl == "/" || path == acl || path.starts_with(&format!("{acl}/"));
        self.lines
            .iter()
            .filter(|line| line[0] == "acl" && line.len() > 4 && above(&line[2]))
            .filter(|line| line[3].split(',').any(|name| name == who))
            .flat_map(|line| line[4].split(','))
            .collect()
    }

    pub fn may(&self, who: &str, path: &str, privilege: &str) -> bool {
        self.roles(who, path).into_iter().any(|role| match role {
            "Administrator" => true,
            "PVEAdmin" => !matches!(privilege, "Permissions.Modify" | "Sys.PowerMgmt" | "Sys.Modify"),
            "PVEAuditor" => privilege.ends_with(".Audit"),
            "PVESysAdmin" => privilege.starts_with("Sys."),
            _ => false,
        })
    }
}

fn locked(host: &Host, prefix: &str, work: impl FnOnce() -> Answer) -> Answer {
    lock::with_cluster_lock(host, "file-user_cfg", work).map_err(|error| match error.errors.is_empty() {
        true => ApiError { message: format!("{prefix}: {}", error.message), ..error },
        false => error,
    })
}

pub fn add_user(request: &Request<'_>) -> Answer {
    let (host, params) = (request.host, &request.params);
    request.caller.require(host, "/access/groups", "User.Modify")?;
    schema::verify(&USER_SCHEMA, params)?;
    locked(host, "create user failed", || {
        let mut users = Users::load(host);
        let user = &params["userid"];
        if users.find("user", user).is_some() {
            return Err(ApiError::die(format!("user '{user}' already exists\n")));
        }
        let enabled = params.get("enable").and_then(|text| truth(text)).unwrap_or(true);
        let comment = params.get("comment").cloned().unwrap_or_default();
        let fields = ["user", user, if enabled { "1" } else { "0" }, "0", "", "", "", &comment, "", ""];
        users.lines.push(fields.map(str::to_owned).to_vec());
        users.save(host)?;
        if let Some(password) = params.get("password") {
            set_password(host, user, password)?;
        }
        Ok(Value::Null.into())
    })
}

pub fn remove_user(request: &Request<'_>, user: &str) -> Answer {
    let host = request.host;
    request.caller.require(host, "/access/groups", "User.Modify")?;
    locked(host, "delete user failed", || {
        let mut users = Users::load(host);
        if users.find("user", user).is_none() {
            return Err(ApiError::die(format!("no such user ('{user}')\n")));
        }
        let tokens = format!("{user}!");
        users.lines.retain(|line| match line[0].as_str() {
            "user" => line[1] != user,
            "token" => !line[1].starts_with(&tokens),
            "acl" => line.get(3).is_none_or(|who| who != user),
            _ => true,
        });
        users.save(host)?;
        edit_lines(host, SHADOW_CFG, |line| !line.starts_with(&format!("{}:", name_of(user))), None)?;
        edit_lines(host, TOKEN_CFG, |line| !line.starts_with(&tokens), None)?;
        Ok(Value::Null.into())
    })
}

pub fn list_users(request: &Request<'_>) -> Answer {
    let users = Users::load(request.host);
    let list: Vec<Value> = users
        .lines
        .iter()
        .filter(|line| line[0] == "user")
        .map(|line| {
            let field = |at: usize| line.get(at).cloned().unwrap_or_default();
            let realm = field(1).rsplit('@').next().unwrap_or_default().to_owned();
            let mut map = Map::new();
            map.insert("userid".to_owned(), field(1).into());
            map.insert("enable".to_owned(), field(2).parse().unwrap_or(0u8).into());
            map.insert("expire".to_owned(), field(3).parse().unwrap_or(0u64).into());
            map.insert("realm-type".to_owned(), realm.into());
            for (at, key) in [(4, "firstname"), (5, "lastname"), (6, "email"), (7, "comment")] {
                if !field(at).is_empty() {
                    map.insert(key.to_owned(), field(at).into());
                }
            }
            Value::Object(map)
        })
        .collect();
    Ok(Value::from(list).into())
}

fn name_of(user: &str) -> &str {
    user.rsplit_once('@').map_or(user, |(name, _)| name)
}

/// `PUT /access/password`: users of the realm `pve` in shadow.cfg, of `pam` on this node alone.
pub fn change_password(request: &Request<'_>) -> Answer {
    let params = &request.params;
    schema::verify(&[required("userid", Kind::Text), required("password", Kind::Text)], params)?;
    request.caller.require_root()?;
    set_password(request.host, &params["userid"], &params["password"])?;
    Ok(Value::Null.into())
}

fn set_password(host: &Host, user: &str, password: &str) -> Result<(), ApiError> {
    let name = name_of(user);
    if user.ends_with("@pam") {
        let set = host.system.run(&["chpasswd"], Some(format!("{name}:{password}\n").as_bytes()));
        return match set.succeeded() {
            true => Ok(()),
            false => Err(ApiError::die(format!("change password failed: {}\n", set.stderr.trim()))),
        };
    }
    let hash = host.system.run(&["openssl", "passwd", "-5", "-stdin"], Some(password.as_bytes()));
    let line = format!("{name}:{}:", hash.stdout.trim());
    edit_lines(host, SHADOW_CFG, |line| !line.starts_with(&format!("{name}:")), Some(&line))
}

/// Compares with shadow.cfg.
pub fn check_pve_password(host: &Host, name: &str, password: &str) -> bool {
    let shadow = host.read_text(SHADOW_CFG).unwrap_or_default();
    let hash = shadow.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))?.split(':').next());
    let Some((hash, salt)) = hash.and_then(|hash| Some((hash, hash.split('$').nth(2)?))) else {
        return false;
    };
    let made =
        host.system.run(&["openssl", "passwd", "-5", "-salt", salt, "-stdin"], Some(password.as_bytes()));
    made.succeeded() && made.stdout.trim() == hash
}

fn edit_lines(
    host: &Host,
    path: &str,
    keep: impl Fn(&str) -> bool,
    added: Option<&str>,
) -> Result<(), ApiError> {
    let text = host.read_text(path).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && keep(line)).collect();
    lines.extend(added);
    let joined: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if joined == text {
        return Ok(());
    }
    Ok(host.write(path, joined.as_bytes(), 0o600)?)
}

pub fn add_token(request: &Request<'_>, user: &str, token: &str) -> Answer {
    let host = request.host;
    request.caller.require_self_or(host, user, "User.Modify")?;
    let mut params: Params = request.params.clone();
    params.insert("userid".to_owned(), user.to_owned());
    params.insert("tokenid".to_owned(), token.to_owned());
    schema::verify(&TOKEN_SCHEMA, &params)?;
    let id = format!("{user}!{token}");
    locked(host, "generating token failed", || {
        let mut users = Users::load(host);
        if users.find("user", user).is_none() {
            return Err(ApiError::die(format!("no such user ('{user}')\n")));
        }
        if users.find("token", &id).is_some() {
            return Err(ApiError::die("Token already exists.\n"));
        }
        let separated = params.get("privsep").and_then(|text| truth(text)).unwrap_or(true);
        let separated = if separated { "1" } else { "0" };
        let expire = params.get("expire").map_or("0", String::as_str);
        let comment = params.get("comment").cloned().unwrap_or_default();
        let line = ["token", &id, expire, separated, &comment, ""].map(str::to_owned).to_vec();
        users.lines.push(line);
        users.save(host)?;
        let secret = host.read_text("/proc/sys/kernel/random/uuid")?.trim().to_owned();
        edit_lines(host, TOKEN_CFG, |_| true, Some(&format!("{id} {secret}")))?;
        Ok(json!({"full-tokenid": id, "info": {"privsep": separated}, "value": secret}).into())
    })
}

pub fn remove_token(request: &Request<'_>, user: &str, token: &str) -> Answer {
    let host = request.host;
    request.caller.require_self_or(host, user, "User.Modify")?;
    let id = format!("{user}!{token}");
    locked(host, "deleting token failed", || {
        let mut users = Users::load(host);
        if users.find("token", &id).is_none() {
            return Err(ApiError::die(format!("no such token '{token}' for user '{user}'\n")));
        }
        users.lines.retain(|line| !(line[0] == "token" && line[1] == id));
        users.save(host)?;
        edit_lines(host, TOKEN_CFG, |line| !line.starts_with(&format!("{id} ")), None)?;
        Ok(Value::Null.into())
    })
}

/// `user!token=secret` of an Authorization header: the token's name when the secret is right.
pub fn check_token(host: &Host, text: &str) -> Option<String> {
    let (id, secret) = text.split_once('=')?;
    let tokens = host.read_text(TOKEN_CFG).ok()?;
    let line = format!("{id} {secret}");
    (!secret.is_empty() && tokens.lines().any(|known| known == line)).then(|| id.to_owned())
}

pub fn change_acl(request: &Request<'_>) -> Answer {
    let (host, params) = (request.host, &request.params);
    request.caller.require(host, "/access", "Permissions.Modify")?;
    schema::verify(&ACL_SCHEMA, params)?;
    locked(host, "ACL update failed", || {
        let mut users = Users::load(host);
        let flag =
            |name: &str, default: bool| params.get(name).and_then(|text| truth(text)).unwrap_or(default);
        let propagate = if flag("propagate", true) { "1" } else { "0" };
        let who: Vec<&str> = ["users", "tokens"]
            .iter()
            .filter_map(|name| params.get(*name))
            .flat_map(|list| list.split(','))
            .collect();
        for (one, role) in who.iter().flat_map(|one| params["roles"].split(',').map(move |role| (*one, role)))
        {
            if users.find("user", one).is_none() && users.find("token", one).is_none() {
                return Err(ApiError::die(format!("user '{one}' does not exist\n")));
            }
            let line = ["acl", propagate, &params["path"], one, role, ""].map(str::to_owned).to_vec();
            users.lines.retain(|old| !(old[0] == "acl" && old[2..5] == line[2..5]));
            if !flag("delete", false) {
                users.lines.push(line);
            }
        }
        users.save(host)?;
        Ok(Value::Null.into())
    })
}
