//! The record of an operation's steps, as every module returns it.

use std::time::Duration;

use pve::Node;
use serde::Serialize;

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What it is.
    pub name: &'static str,
    /// `ok`, `failed` or `skipped`.
    pub status: &'static str,
    /// Seconds it took.
    pub elapsed: f64,
    /// What it found.
    pub detail: String,
}

/// Steps of one run, in order.
#[derive(Clone, Debug)]
pub struct Steps {
    started: Duration,
    done: Vec<Step>,
    warnings: Vec<String>,
}

impl Steps {
    /// Starts the clock.
    pub fn start(node: &Node) -> Self {
        Self { started: node.monotonic(), done: Vec::new(), warnings: Vec::new() }
    }

    /// Runs a step that cannot fail as a whole.
    pub fn run<T>(&mut self, node: &Node, name: &'static str, step: impl FnOnce() -> T) -> T {
        let started = node.monotonic();
        let value = step();
        self.push(node, name, "ok", started, String::new());
        value
    }

    /// Runs a step and notes whether it failed.
    pub fn attempt<T>(
        &mut self,
        node: &Node,
        name: &'static str,
        step: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let started = node.monotonic();
        let result = step();
        match &result {
            Ok(_) => self.push(node, name, "ok", started, String::new()),
            Err(error) => self.push(node, name, "failed", started, format!("{error:#}")),
        }
        result
    }

    /// Seconds since the start, in milliseconds' precision.
    pub fn elapsed(&self, node: &Node) -> f64 {
        seconds(node.monotonic().saturating_sub(self.started))
    }

    /// Notes what is to be said with the result, whatever that is.
    pub fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    /// What is to be said with the result.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The steps so far.
    pub fn done(&self) -> &[Step] {
        &self.done
    }

    fn push(
        &mut self,
        node: &Node,
        name: &'static str,
        status: &'static str,
        started: Duration,
        detail: String,
    ) {
        let elapsed = seconds(node.monotonic().saturating_sub(started));
        self.done.push(Step { name, status, elapsed, detail });
    }
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
