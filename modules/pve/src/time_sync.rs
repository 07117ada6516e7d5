//! Whether the node's clock follows a reference: chrony's word (`chronyc -c tracking`), else systemd's
//! (`timedatectl show`), which covers timesyncd and any other service that tells the kernel.

use std::time::Duration;

use crate::{Cmd, Node, RunError};

/// How the clock is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeSync {
    /// `chrony`, or `systemd` where chrony does not answer.
    pub source: &'static str,
    /// Whether it follows a reference.
    pub is_synchronised: bool,
    /// Whether the reference is the node's own clock (`local stratum` of chrony).
    pub is_local_reference: bool,
    /// Seconds off the reference, where chrony says so.
    pub offset: Option<f64>,
}

/// Asks chrony, then systemd; `None` when neither answers.
pub fn query(node: &Node, timeout: Duration) -> anyhow::Result<Option<TimeSync>> {
    let chrony = match node.run(&Cmd::new("chronyc", ["-c", "tracking"], timeout)) {
        Ok(output) if output.is_success() => parse_tracking(&output.stdout),
        Ok(_) | Err(RunError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if chrony.as_ref().is_some_and(|chrony| chrony.is_synchronised) {
        return Ok(chrony);
    }
    let systemd = match node.run(&Cmd::new("timedatectl", ["show"], timeout)) {
        Ok(output) if output.is_success() => parse_timedatectl(&output.stdout),
        Ok(_) | Err(RunError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    // A running chrony that is not synchronised has the last word: it steers the clock.
    Ok(chrony.or(systemd))
}

/// Reads `chronyc -c tracking`: 14 fields, the fifth the offset, the last the leap status.
pub fn parse_tracking(text: &str) -> Option<TimeSync> {
    let fields: Vec<&str> = text.trim().split(',').collect();
    let (reference, leap) = (*fields.first()?, *fields.get(13)?);
    Some(TimeSync {
        source: "chrony",
        is_synchronised: leap != "Not synchronised",
        // 127.127.1.1, the reference id of the local clock
        is_local_reference: reference == "7F7F0101",
        offset: fields.get(4)?.parse().ok(),
    })
}

/// Reads `timedatectl show`.
pub fn parse_timedatectl(text: &str) -> Option<TimeSync> {
    let value = text.lines().find_map(|line| line.strip_prefix("NTPSynchronized="))?;
    Some(TimeSync {
        source: "systemd",
        is_synchronised: value.trim() == "yes",
        is_local_reference: false,
        offset: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, golden};

    fn query_of(fake: &Fake) -> Option<TimeSync> {
        query(&fake.node(), Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn chrony_is_asked_first() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let sync = query_of(&fake).unwrap();
        assert_eq!((sync.source, sync.is_synchronised, sync.offset), ("chrony", true, Some(0.000012)));
        assert_eq!(fake.calls(), ["chronyc -c tracking"]);
    }

    #[test]
    fn without_chrony_systemd_knows() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        fake.answer("chronyc -c tracking", 1, "506 Cannot talk to daemon\n");
        assert_eq!(query_of(&fake).unwrap().source, "systemd");
        fake.machine().synchronised = Some(false);
        assert!(!query_of(&fake).unwrap().is_synchronised);
        fake.machine().synchronised = None;
        assert_eq!(query_of(&fake), None);
    }

    #[test]
    fn a_chrony_that_is_not_synchronised_is_not_overruled() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        fake.machine().synchronised = Some(false);
        fake.answer("timedatectl show", 0, "NTPSynchronized=yes\n");
        let sync = query_of(&fake).unwrap();
        assert_eq!((sync.source, sync.is_synchronised), ("chrony", false));
    }

    #[test]
    fn a_local_reference_is_told_apart() {
        let local = parse_tracking("7F7F0101,,8,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,Normal\n").unwrap();
        assert!(local.is_synchronised && local.is_local_reference);
        // systemd 257 on the genuine node, with chrony beside it not synchronised
        let golden = parse_timedatectl(&golden::stdout("01-standalone/timedatectl")).unwrap();
        assert!(!golden.is_synchronised);
    }
}
