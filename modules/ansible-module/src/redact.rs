//! Secrets of this run, and their removal from whatever leaves it, as `remove_values` of ansible-core does.
//!
//! Holds secrets for the life of the process. Knows nothing of specs.

use std::sync::Mutex;

use serde_json::Value;
use zeroize::Zeroizing;

/// What stands where a whole value was secret.
pub const MASK: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";
/// What stands where a part of a text was secret.
pub const STARS: &str = "********";

static SECRETS: Mutex<Vec<Zeroizing<String>>> = Mutex::new(Vec::new());

/// A further secret that must not appear in the result or the log: a password made or received at run time.
/// Empty text is no secret.
pub fn add(secret: &str) {
    if secret.is_empty() {
        return;
    }
    let mut secrets = lock();
    if secrets.iter().any(|known| known.as_str() == secret) {
        return;
    }
    // Longest first, so that a secret which contains another is replaced as a whole.
    let place = secrets.partition_point(|known| known.len() >= secret.len());
    secrets.insert(place, Zeroizing::new(secret.to_owned()));
}

/// Removes the secrets of this run from a text.
#[must_use]
pub fn scrub_text(text: &str) -> String {
    let secrets = lock();
    text_without(text, &secrets)
}

/// Removes the secrets of this run from a structure. Keys stay, and so do booleans and nulls, as with Ansible.
pub fn scrub(value: &mut Value) {
    let secrets = lock();
    if !secrets.is_empty() {
        remove_values(value, &secrets);
    }
}

fn lock() -> std::sync::MutexGuard<'static, Vec<Zeroizing<String>>> {
    SECRETS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The same over any set of secrets, longest first.
pub fn remove_values<S: AsRef<str>>(value: &mut Value, secrets: &[S]) {
    match value {
        Value::String(text) => {
            let scrubbed = text_without(text, secrets);
            *text = scrubbed;
        }
        Value::Number(number) => {
            let text = crate::python::number_text(number);
            if secrets.iter().any(|secret| text.contains(secret.as_ref())) {
                *value = Value::String(MASK.to_owned());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove_values(item, secrets)),
        Value::Object(map) => map.values_mut().for_each(|item| remove_values(item, secrets)),
        Value::Bool(_) | Value::Null => {}
    }
}

fn text_without<S: AsRef<str>>(text: &str, secrets: &[S]) -> String {
    if secrets.iter().any(|secret| secret.as_ref() == text) {
        return MASK.to_owned();
    }
    let mut scrubbed = text.to_owned();
    for secret in secrets {
        if scrubbed.contains(secret.as_ref()) {
            scrubbed = scrubbed.replace(secret.as_ref(), STARS);
        }
    }
    scrubbed
}
