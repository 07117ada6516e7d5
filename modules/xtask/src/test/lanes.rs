//! The order in which layers run: those on the lab mostly wait for its nodes, so they run beside the others, which keep
//! the processors busy. Each lane keeps the order of its layers; what a layer needs is waited for, in whichever lane it is.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::Verdict;
use super::layers::Layer;

/// How layers ended.
pub type Verdicts = Vec<(&'static str, Verdict)>;

/// What the lanes tell each other.
#[derive(Default)]
struct Board {
    verdicts: Mutex<Verdicts>,
    changed: Condvar,
}

/// Plays all layers; `play` is told the layer and which of its needs was lost. The whole product uses one lane: there
/// layers that belong to no lab in the selection take one as well.
pub fn play(
    layers: &[&'static Layer],
    is_one_lane: bool,
    play: impl Fn(&'static Layer, Option<&'static str>) -> Verdict + Sync,
) -> Verdicts {
    let board = Board::default();
    let chosen: Vec<&str> = layers.iter().map(|layer| layer.name).collect();
    let (on_lab, other): (Vec<&'static Layer>, Vec<&'static Layer>) =
        layers.iter().copied().partition(|layer| layer.uses_lab && !is_one_lane);
    let lane = |lane: &[&'static Layer]| {
        for layer in lane {
            let needs = layer.needs.iter().copied().filter(|need| chosen.contains(need));
            let lost = needs.into_iter().find(|need| board.verdict_of(need) != Verdict::Passed);
            board.settle(layer.name, play(layer, lost));
        }
    };
    thread::scope(|threads| {
        threads.spawn(|| lane(&on_lab));
        lane(&other);
    });
    board.verdicts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// Waits until a layer has ended: each has a deadline.
    fn verdict_of(&self, name: &str) -> Verdict {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some((_, verdict)) = verdicts.iter().find(|(settled, _)| *settled == name) {
                return *verdict;
            }
            verdicts = self.changed.wait(verdicts).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn settle(&self, name: &'static str, verdict: Verdict) {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((name, verdict));
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::test::layers::LAYERS;

    fn named(name: &str) -> &'static Layer {
        LAYERS.iter().find(|layer| layer.name == name).unwrap()
    }

    #[test]
    fn the_lab_is_used_beside_the_others() {
        let (began, begun) = mpsc::channel();
        let begun = Mutex::new(begun);
        let verdicts = play(&[named("clippy"), named("lab")], false, |layer, _| {
            if layer.uses_lab {
                began.send(()).unwrap();
                return Verdict::Passed;
            }
            // Ends only when the other has begun.
            match begun.lock().unwrap().recv_timeout(Duration::from_secs(20)) {
                Ok(()) => Verdict::Passed,
                Err(_) => Verdict::Failed,
            }
        });
        assert_eq!(verdicts.iter().find(|(name, _)| *name == "clippy").unwrap().1, Verdict::Passed);
    }

    #[test]
    fn a_lane_waits_for_what_it_needs_of_the_other_and_hears_that_it_was_lost() {
        let verdicts =
            play(&[named("build"), named("lab"), named("acceptance")], false, |layer, lost| {
                match (layer.name, lost) {
                    ("build", None) => Verdict::Failed,
                    ("lab", Some("build")) | ("acceptance", Some("build" | "lab")) => Verdict::Skipped,
                    _ => Verdict::Passed,
                }
            });
        assert_eq!(
            verdicts,
            [("build", Verdict::Failed), ("lab", Verdict::Skipped), ("acceptance", Verdict::Skipped)]
        );
    }

    #[test]
    fn in_one_lane_the_order_is_that_of_the_list() {
        let layers = [named("lab"), named("fmt")];
        let verdicts = play(&layers, true, |_, _| Verdict::Passed);
        assert_eq!(verdicts.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["lab", "fmt"]);
    }
}
