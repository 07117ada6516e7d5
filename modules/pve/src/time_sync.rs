//! Whether the node's clock follows a reference: chrony's word (`chronyc -c tracking`), else systemd's
//! (`timedatectl show`), which covers timesyncd and any other service that tells the kernel.

use std::time::Duration;

use crate::{Cmd, Node, RunError};

/// chronyc answers within milliseconds, on a machine that is very busy within seconds.
const ANSWER: Duration = Duration::from_secs(5);

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
    // A chrony that is stopped, or hangs, keeps chronyc waiting: that it does not answer must not be taken for none.
    let chrony = match node.run(&Cmd::new("chronyc", ["-c", "tracking"], timeout.min(ANSWER))) {
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

/// A time source of chrony.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name or address.
    pub name: String,
    /// It is the one that is followed.
    pub is_selected: bool,
    /// It has answered lately.
    pub is_reachable: bool,
}

/// chrony's sources; `None` where chrony does not answer.
pub fn sources(node: &Node, timeout: Duration) -> anyhow::Result<Option<Vec<Source>>> {
    match node.run(&Cmd::new("chronyc", ["-c", "sources"], timeout.min(ANSWER))) {
        Ok(output) if output.is_success() => Ok(Some(parse_sources(&output.stdout))),
        Ok(_) | Err(RunError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads `chronyc -c sources`: mode, state, name, stratum, poll, reach (an octal register of answers) and more.
pub fn parse_sources(text: &str) -> Vec<Source> {
    let lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    lines
        .filter(|fields| fields.len() >= 6)
        .map(|fields| Source {
            name: fields[2].to_owned(),
            is_selected: fields[1] == "*",
            is_reachable: fields[5] != "0",
        })
        .collect()
}

/// Seconds since 1970 of a date as HTTP writes it: `Sun, 22 Nov 2026 15:07:12 GMT` (RFC 9110).
pub fn seconds_of_http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<i64> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = clock[..] else { return None };
    // Days since 1970, the year taken to begin in March, so that the leap day is its last.
    let shifted = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468;
    Some(days * 86400 + hours * 3600 + minutes * 60 + seconds)
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
    fn sources_are_read_with_their_state() {
        // chrony 4.6
        let text = "^,*,10.88.0.1,3,6,377,21,0.000012,0.000012,0.0003\n^,?,ntp.example.org,0,6,0,4294967295,0.0,0.0,0.0\n";
        let source =
            |name: &str, is_selected, is_reachable| Source { name: name.into(), is_selected, is_reachable };
        assert_eq!(
            parse_sources(text),
            [source("10.88.0.1", true, true), source("ntp.example.org", false, false)]
        );
    }

    #[test]
    fn dates_of_http_are_seconds() {
        assert_eq!(seconds_of_http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds_of_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds_of_http_date("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        assert_eq!(seconds_of_http_date("Sunday, 06-Nov-94 08:49:37 GMT"), None);
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
