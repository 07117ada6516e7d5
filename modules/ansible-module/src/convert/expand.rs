//! `$VARIABLE`, `${VARIABLE}`, `~` and `~user` in paths, as Python's `os.path` does it.
//!
//! Reads `/etc/passwd` itself: a static binary has no name service.

use std::os::unix::fs::MetadataExt;

/// Variables first, then the home directory, as `check_type_path` does.
#[must_use]
pub fn expand(path: &str) -> String {
    expand_home(&expand_variables(path))
}

fn expand_variables(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let body = &rest[1..];
        let (name, length) = match body.strip_prefix('{') {
            Some(braced) => match braced.find('}') {
                Some(end) => (&braced[..end], end + 3),
                None => ("", 1),
            },
            None => {
                let end = body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(body.len());
                (&body[..end], end + 1)
            }
        };
        match variable(name) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// The environment panics nowhere here: a name with `=` or NUL is no variable, and text that is not UTF-8 stays
/// unexpanded.
fn variable(name: &str) -> Option<String> {
    if name.is_empty() || name.contains(['=', '\0']) { None } else { std::env::var(name).ok() }
}

fn expand_home(path: &str) -> String {
    let Some(after) = path.strip_prefix('~') else {
        return path.to_owned();
    };
    let (user, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
    let home = if user.is_empty() {
        variable("HOME").or_else(|| own_uid().and_then(|uid| home_of(|_, entry_uid| entry_uid == uid)))
    } else {
        home_of(|name, _| name == user)
    };
    match home {
        None => path.to_owned(),
        Some(home) => {
            let full = format!("{}{rest}", home.trim_end_matches('/'));
            if full.is_empty() { "/".to_owned() } else { full }
        }
    }
}

fn own_uid() -> Option<String> {
    std::fs::metadata("/proc/self").ok().map(|data| data.uid().to_string())
}

fn home_of(is_wanted: impl Fn(&str, &str) -> bool) -> Option<String> {
    let users = String::from_utf8_lossy(&std::fs::read("/etc/passwd").ok()?).into_owned();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        let home = fields.nth(2)?;
        is_wanted(name, uid).then(|| home.to_owned())
    })
}
