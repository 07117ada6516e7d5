//! What a list of round trips amounts to.

use std::time::Duration;

use super::RoundTrip;
use crate::order::sort_short_by;

/// From the times in the order of the questions; nothing without any.
pub(super) fn round_trip(times: &[Duration]) -> Option<RoundTrip> {
    let differences = times.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum::<Duration>();
    let mut sorted = times.to_vec();
    sort_short_by(&mut sorted, Ord::cmp);
    // The nearest rank: of twenty the last, so that one slow answer shows.
    let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied();
    Some(RoundTrip {
        fastest: millis(rank(0)?),
        median: millis(rank(50)?),
        p99: millis(rank(99)?),
        jitter: millis(differences / u32::try_from(times.len().max(2) - 1).unwrap_or(u32::MAX)),
    })
}

/// Whole microseconds.
fn millis(time: Duration) -> f64 {
    f64::from(u32::try_from(time.as_micros()).unwrap_or(u32::MAX)) / 1000.0
}

/// Of so many, how many percent are missing, to a tenth.
pub(super) fn loss(sent: u32, came: u32) -> f64 {
    match sent {
        0 => 0.0,
        _ => (f64::from(sent.saturating_sub(came)) * 1000.0 / f64::from(sent)).round() / 10.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: &[u64]) -> Option<RoundTrip> {
        round_trip(&millis.iter().map(|millis| Duration::from_millis(*millis)).collect::<Vec<_>>())
    }

    #[test]
    fn figures_of_a_few_times() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3]), Some(RoundTrip { fastest: 3.0, median: 3.0, p99: 3.0, jitter: 0.0 }));
        assert_eq!(of(&[4, 1, 9, 2]), Some(RoundTrip { fastest: 1.0, median: 2.0, p99: 9.0, jitter: 6.0 }));
        let many: Vec<u64> = (1..=200).collect();
        assert_eq!(of(&many), Some(RoundTrip { fastest: 1.0, median: 100.0, p99: 198.0, jitter: 1.0 }));
    }

    #[test]
    fn loss_is_a_share_of_what_was_sent() {
        assert_eq!(
            (loss(0, 0), loss(20, 20), loss(20, 19), loss(3, 2), loss(4, 5)),
            (0.0, 0.0, 5.0, 33.3, 0.0)
        );
    }
}
