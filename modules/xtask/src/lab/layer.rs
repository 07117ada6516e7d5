//! Steers PVE's layer of a node, which the emulator plays: its slowness and its faults, by the files that the
//! emulator reads at each use.

use std::fs;

use anyhow::{Context, Result, bail};

use super::layout::{DELAYS_FILE, FAULTS_FILE, Node};
use super::nodes::Lab;

impl Lab<'_> {
    /// PVE's slowness on a node as a multiple of what was measured; `off` or nothing: as measured.
    pub fn slow(&self, node: Node, factor: Option<&str>) -> Result<()> {
        match factor.filter(|factor| *factor != "off") {
            Some(factor) => {
                if !factor.parse::<f64>().is_ok_and(|factor| (0.0..=1000.0).contains(&factor)) {
                    bail!("{factor:?} is no factor: give a number from 0 to 1000, or off");
                }
                self.write(node, DELAYS_FILE, factor)
            }
            None => self.succeed(node, &["rm", "-f", DELAYS_FILE]).map(drop),
        }
    }

    /// Faults that PVE's layer of a node shows from now on, as JSON, or none.
    pub fn fault(&self, node: Node, faults: Option<&str>) -> Result<()> {
        match faults {
            Some(faults) => {
                serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(faults)
                    .with_context(|| format!("{faults:?} names no faults: give a JSON object, or off"))?;
                self.write(node, FAULTS_FILE, faults)
            }
            None => self.succeed(node, &["rm", "-f", FAULTS_FILE]).map(drop),
        }
    }

    /// Whether all nodes take the time that PVE takes; nodes made later too.
    pub fn delays(&self, is_on: bool) -> Result<()> {
        fs::write(self.delays_choice(), if is_on { "" } else { "off\n" })?;
        for node in Lab::nodes()? {
            match is_on {
                true => self.slow(node, None)?,
                false => self.write(node, DELAYS_FILE, "off")?,
            }
        }
        Ok(())
    }
}
