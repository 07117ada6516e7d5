//! An asker and a responder over a network that is made up: it delays, loses, repeats and cuts off as a test says.

use super::*;
use crate::link_probe::responder::Responder;

fn key() -> Key {
    Key::new("k".repeat(32).into()).unwrap()
}

fn about() -> Datagram {
    let (from, to) = ("pve1".to_owned(), "pve2".to_owned());
    Datagram { kind: Kind::Ask, link: 0, session: 7, sequence: 0, from, to }
}

/// What becomes of the nth datagram of a length: how long it takes there and back; lost when nothing.
type Network<'a> = dyn Fn(usize, usize) -> Option<Duration> + 'a;

/// Measures a path to its end; returns it with the time that it took.
fn measure(most: Option<u32>, count: u32, network: &Network<'_>) -> (Path, Duration) {
    ask(Asker::new(about(), false, most, count, Duration::ZERO), network)
}

fn ask(mut asker: Asker, network: &Network<'_>) -> (Path, Duration) {
    let (key, mut responder) = (key(), Responder::new("pve2", key()));
    let (mut now, mut sent, mut under_way) = (Duration::ZERO, 0, Vec::<(Duration, Vec<u8>)>::new());
    loop {
        while let Some(due) = asker.due(&key, now) {
            if let Some(after) = network(sent, due.bytes.len() + 28) {
                let answer = responder.answer(0, &due.bytes).unwrap();
                under_way.push((now + after, answer));
            }
            sent += 1;
            assert!(sent < 2000, "it asks without end");
        }
        under_way.sort();
        let arrived = under_way.iter().take_while(|(at, _)| *at <= now).count();
        for (_, bytes) in under_way.drain(..arrived) {
            asker.hear(&key, &bytes, now);
            // Once more: it counts once.
            asker.hear(&key, &bytes, now);
        }
        let Some(wake) = asker.wake(now) else { return (asker.path(), now) };
        let next = under_way.first().map_or(wake, |(at, _)| wake.min(*at));
        now = next.max(now + Duration::from_micros(100));
    }
}

fn millis(count: u64) -> Option<Duration> {
    Some(Duration::from_millis(count))
}

#[test]
fn a_good_path_is_measured_in_no_more_than_the_train() {
    let (path, took) = measure(Some(1500), 20, &|_, _| millis(1));
    assert_eq!((path.sent, path.answered, path.loss), (20, 20, 0.0));
    let trip = path.round_trip.unwrap();
    assert_eq!((trip.fastest, trip.median, trip.p99, trip.jitter), (1.0, 1.0, 1.0, 0.0));
    assert_eq!((path.path_mtu, path.interface_mtu), (Some(1500), Some(1500)));
    assert!(took < Duration::from_millis(205), "{took:?}");
}

/// The busy moment of a machine is no slow network, which stays one.
#[test]
fn a_slow_train_is_asked_again_until_one_answer_was_fast() {
    let asker = |count| {
        let asker = Asker::new(about(), false, None, count, Duration::ZERO);
        asker.again_above(Duration::from_millis(10))
    };
    let (path, took) = ask(asker(20), &|nth, _| millis(if nth < 30 { 60 } else { 1 }));
    assert_eq!((path.sent, path.answered, path.round_trip.unwrap().fastest), (40, 40, 1.0));
    assert!(took > REST && took < Duration::from_millis(1200), "{took:?}");
    let (path, took) = ask(asker(20), &|_, _| millis(60));
    assert_eq!((path.sent, path.round_trip.unwrap().fastest), (20 + 20 * MORE_TRAINS, 60.0));
    assert!(took < Duration::from_millis(4500), "{took:?}");
    // Who does not answer at all is not asked again.
    assert_eq!(ask(asker(20), &|_, _| None).0.sent, 20);
}

#[test]
fn a_narrow_path_is_found_to_the_byte() {
    for (limit, most) in [(1400, 1500), (1499, 1500), (1492, 1500), (576, 1500), (1500, 9000), (8999, 9000)] {
        let (path, took) = measure(Some(most), 20, &|_, length| millis(1).filter(|_| length <= limit));
        assert_eq!((path.path_mtu, path.answered), (Some(limit as u32), 20));
        assert!(took < Duration::from_secs(4), "{limit}: {took:?}");
    }
}

#[test]
fn delay_and_jitter_show_in_the_figures() {
    let (path, _) = measure(Some(1500), 20, &|number, _| millis(if number % 2 == 0 { 15 } else { 27 }));
    let trip = path.round_trip.unwrap();
    assert!((15.0..16.0).contains(&trip.fastest) && trip.p99 >= 27.0 && trip.jitter > 8.0, "{trip:?}");
    assert_eq!(path.path_mtu, Some(1500));
}

#[test]
fn what_is_lost_is_waited_for_and_counted() {
    let (path, took) = measure(None, 20, &|number, _| millis(1).filter(|_| number % 5 != 0));
    assert_eq!((path.sent, path.answered, path.loss, path.path_mtu), (20, 16, 20.0, None));
    assert!(took < Duration::from_millis(800), "{took:?}");
    // One long datagram of three comes: the length passes.
    let (path, _) =
        measure(Some(1500), 20, &|number, length| millis(1).filter(|_| length < 1500 || number > 15));
    assert_eq!(path.path_mtu, Some(1500));
}

#[test]
fn a_machine_that_is_late_does_not_make_the_path_narrow() {
    let (path, _) = measure(Some(1500), 20, &|_, length| millis(if length > 1000 { 400 } else { 1 }));
    assert_eq!(path.path_mtu, Some(1500));
    let late = |number: usize, length: usize| match length {
        1500 if number < 24 => None,
        _ => millis(1),
    };
    let (path, _) = measure(Some(1500), 20, &late);
    assert_eq!(path.path_mtu, Some(1500), "what fails is tried once more");
}

#[test]
fn a_silent_path_is_given_up() {
    let (path, took) = measure(Some(1500), 20, &|_, _| None);
    assert_eq!((path.sent, path.answered, path.loss, path.path_mtu), (20, 0, 100.0, None));
    assert!(path.round_trip.is_none() && took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn answers_of_others_are_not_taken() {
    let (key, mut asker) = (key(), Asker::new(about(), false, None, 1, Duration::ZERO));
    asker.due(&key, Duration::ZERO).unwrap();
    let now = Duration::from_millis(1);
    let good = about().answer();
    let others = [
        Datagram { session: 8, ..good.clone() },
        Datagram { sequence: 1, ..good.clone() },
        Datagram { link: 1, ..good.clone() },
        Datagram { from: "pve3".into(), ..good.clone() },
        about(),
    ];
    for other in others {
        asker.hear(&key, &other.seal(&key, 0), now);
    }
    let forger = Key::new("o".repeat(32).into()).unwrap();
    asker.hear(&key, &good.seal(&forger, 0), now);
    assert_eq!(asker.path().answered, 0);
    asker.hear(&key, &good.seal(&key, 0), now);
    assert_eq!(asker.path().answered, 1);
}
