//! Deadlines and waits. A wait names what it waits for, ends at its deadline, and then says what it saw last.

use std::time::Duration;

use crate::Node;

/// A point on the node's monotonic clock after which an operation gives up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Duration,
}

/// What one look at an awaited condition found.
pub enum Progress<T> {
    /// The condition holds.
    Done(T),
    /// Not yet; the text is the state seen, for the error if the deadline passes.
    Pending(String),
}

/// The deadline passed before the condition held.
#[derive(Debug, thiserror::Error)]
#[error("gave up waiting for {what} after {} s; last state seen: {last}", waited.as_secs())]
pub struct Expired {
    /// The condition in words.
    pub what: String,
    /// The last state seen.
    pub last: String,
    /// How long the wait lasted.
    pub waited: Duration,
}

impl Deadline {
    /// The deadline that is `after` from now.
    pub fn after(node: &Node, after: Duration) -> Self {
        Self { at: node.monotonic().saturating_add(after) }
    }

    /// The earlier of this deadline and `after` from now.
    pub fn within(self, node: &Node, after: Duration) -> Self {
        Self { at: self.at.min(Self::after(node, after).at) }
    }

    /// Time left; zero when it has passed, or when this process was told to end.
    pub fn left(self, node: &Node) -> Duration {
        if node.is_told_to_end() {
            return Duration::ZERO;
        }
        self.at.saturating_sub(node.monotonic())
    }

    /// Whether it has passed.
    pub fn is_over(self, node: &Node) -> bool {
        self.left(node).is_zero()
    }

    /// Looks at a condition every `interval` until it holds, fails, or the deadline passes.
    ///
    /// The condition is looked at once more when the deadline is reached, so that a slow look is not a failure.
    pub fn wait<T>(
        self,
        node: &Node,
        what: &str,
        interval: Duration,
        mut look: impl FnMut() -> anyhow::Result<Progress<T>>,
    ) -> anyhow::Result<T> {
        let started = node.monotonic();
        loop {
            let over = self.is_over(node);
            match look()? {
                Progress::Done(value) => return Ok(value),
                Progress::Pending(last) if over => return Err(expired(node, what, last, started)),
                Progress::Pending(_) => node.sleep(interval.min(self.left(node))),
            }
        }
    }
}

#[inline(never)]
fn expired(node: &Node, what: &str, last: String, started: Duration) -> anyhow::Error {
    let waited = node.monotonic().saturating_sub(started);
    Expired { what: what.to_owned(), last, waited }.into()
}
