//! The line that Ansible's own modules leave in the system log when they are invoked.
//!
//! Written to the log socket, where journald and every syslog daemon listen. Never an error: a host without a log
//! still does its work. Knows which options are secret, and never writes one.

use std::os::unix::net::UnixDatagram;

use serde_json::{Map, Value};

use crate::invocation::Invocation;
use crate::python::text;
use crate::redact;
use crate::spec::Opt;

const SOCKET: &str = "/dev/log";
/// Longer lines are cut by most syslog daemons.
const MAX_LINE: usize = 8000;

/// Logs the invocation, unless the task is `no_log`. Gives warnings about options that look like passwords and
/// are not said to be secret or not.
pub fn log_invocation(invocation: &Invocation, options: &[Opt], params: &Map<String, Value>) -> Vec<String> {
    if invocation.no_log {
        return Vec::new();
    }
    let (message, warnings) = message(options, params);
    let line = line(invocation, &redact::scrub_text(&message));
    if let Ok(socket) = UnixDatagram::unbound() {
        // A full log must not hold up the module.
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to(line.as_bytes(), SOCKET);
    }
    warnings
}

/// Without a time: the log daemon has a clock, and this program no time zone.
fn line(invocation: &Invocation, message: &str) -> String {
    let mut line = format!(
        "<{}>ansible-{}: {}{message}",
        facility(&invocation.syslog_facility) * 8 + 6,
        invocation.module_name,
        invocation.target_log_info.as_ref().map_or_else(String::new, |info| format!("{info} ")),
    );
    let end = (0..=MAX_LINE.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    line.truncate(end);
    line
}

fn message(options: &[Opt], params: &Map<String, Value>) -> (String, Vec<String>) {
    let mut warnings = Vec::new();
    let mut shown = Vec::new();
    for (name, value) in params {
        let option = options
            .iter()
            .find(|option| option.name == name.as_str() || option.aliases.contains(&name.as_str()));
        let shown_value = match option.and_then(|option| option.no_log) {
            Some(true) => "NOT_LOGGING_PARAMETER".to_owned(),
            None if looks_secret(name) => {
                warnings.push(format!("Module did not set no_log for {name}"));
                "NOT_LOGGING_PASSWORD".to_owned()
            }
            _ => without_credentials(&text(value)),
        };
        shown.push(format!("{name}={shown_value}"));
    }
    let message =
        if shown.is_empty() { "Invoked".to_owned() } else { format!("Invoked with {}", shown.join(" ")) };
    (message, warnings)
}

/// `pass`, `password`, `passphrase`, `passwd` … as a word of the name.
pub(crate) fn looks_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let is_separator = |c: char| matches!(c, '-' | '_') || c.is_whitespace();
    name.match_indices("pass").any(|(at, _)| {
        let starts_word = at == 0 || at > 1 && name[..at].ends_with(is_separator);
        let after = &name[at + 4..];
        let ends = |rest: &str| rest.is_empty() || rest.starts_with(is_separator) && rest.chars().count() > 1;
        let tail = after.strip_prefix(is_separator).unwrap_or(after);
        let words = ["word", "phrase", "wrd", "wd"];
        starts_word
            && (ends(after)
                || ends(tail)
                || words.iter().any(|word| tail.strip_prefix(word).is_some_and(ends)))
    })
}

/// Hides `user:secret@host` in a text: from the last colon before an `@` on.
fn without_credentials(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at);
        let start = before.rfind("://").map_or(0, |scheme| scheme + 3);
        match before[start..].find(':') {
            Some(colon) => {
                out.push_str(&before[..=start + colon]);
                out.push_str(redact::STARS);
            }
            None => out.push_str(before),
        }
        out.push('@');
        rest = &after[1..];
    }
    out.push_str(rest);
    out
}

/// The facility's number; unknown names are `LOG_USER`.
fn facility(name: &str) -> u8 {
    const NAMES: [&str; 12] = [
        "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP",
    ];
    let name = name.strip_prefix("LOG_").unwrap_or(name);
    let local = name.strip_prefix("LOCAL").and_then(|digit| digit.parse::<u8>().ok()).filter(|n| *n < 8);
    let known = NAMES.iter().zip(0..).find_map(|(known, number)| (*known == name).then_some(number));
    local.map(|number| number + 16).or(known).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::Kind;

    #[test]
    fn names_that_look_like_passwords_are_found() {
        for name in
            ["password", "db_pass", "pass", "PassWord", "login-passwd", "pass_phrase", "pass-word_file"]
        {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["passive", "compass", "bypass", "passenger", "token", "_pass"] {
            assert!(!looks_secret(name), "{name}");
        }
    }

    #[test]
    fn credentials_in_addresses_are_hidden() {
        assert_eq!(without_credentials("https://me:s3cret@host/x"), "https://me:********@host/x");
        assert_eq!(without_credentials("me@host and root@host"), "me@host and root@host");
    }

    #[test]
    fn the_line_names_module_and_options_and_no_secret() {
        const OPTIONS: &[Opt] = &[
            Opt::new("name", Kind::Str, &[]),
            Opt::new("token", Kind::Str, &[]).no_log(),
            Opt::new("password", Kind::Str, &[]),
        ];
        let params = json!({"name": "a", "token": "t0p", "password": "hush", "list": [1, null]});
        let (message, warnings) = message(OPTIONS, params.as_object().expect("an object"));
        assert_eq!(
            message,
            "Invoked with name=a token=NOT_LOGGING_PARAMETER password=NOT_LOGGING_PASSWORD list=[1, None]"
        );
        assert_eq!(warnings, ["Module did not set no_log for password"]);
        let call = Invocation {
            module_name: "a.b.c".to_owned(),
            syslog_facility: "LOG_DAEMON".to_owned(),
            ..Invocation::default()
        };
        assert_eq!(line(&call, "Invoked"), "<30>ansible-a.b.c: Invoked");
    }

    #[test]
    fn facilities_have_their_numbers() {
        assert_eq!(facility("LOG_USER"), 1);
        assert_eq!(facility("LOG_AUTHPRIV"), 10);
        assert_eq!(facility("LOG_LOCAL7"), 23);
        assert_eq!(facility("nonsense"), 1);
    }
}
