//! Panics and signals, turned into the one failed JSON object.
//!
//! A signal ends the process at once, unless the module holds it off for a step that must not be torn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};

use crate::emit;

static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);
static STEP: Mutex<()> = Mutex::new(());

/// How long a signal waits for a step that holds it off.
const PATIENCE: Duration = Duration::from_secs(20);

/// A signal asked the run to end. A loop that waits should look at this.
#[must_use]
pub fn is_interrupted() -> bool {
    IS_INTERRUPTED.load(Ordering::SeqCst)
}

/// While this lives, a signal does not end the process (for 20 seconds at most); when it ends, a signal that came
/// meanwhile does. For short steps only, such as a rename and the journal entry that belongs to it. Not to be nested.
#[must_use]
pub fn hold_off() -> HeldOff {
    HeldOff { step: Some(STEP.lock().unwrap_or_else(PoisonError::into_inner)) }
}

/// A step that a signal does not tear.
#[derive(Debug)]
pub struct HeldOff {
    step: Option<MutexGuard<'static, ()>>,
}

impl Drop for HeldOff {
    fn drop(&mut self) {
        self.step.take();
        if is_interrupted() {
            // The next step must not begin: the thread that waited for this one ends the process.
            loop {
                std::thread::park();
            }
        }
    }
}

/// From here on a panic or a signal gives one failed JSON object.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let what = info
            .payload()
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| info.payload().downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panic".to_owned());
        let place = info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        emit::fail(format!("internal error: {what}{place}: please report it"));
    }));
    let signals = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT]);
    if let Ok(mut signals) = signals {
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                end_by(signal);
            }
        });
    }
}

fn end_by(signal: i32) -> ! {
    IS_INTERRUPTED.store(true, Ordering::SeqCst);
    let name = match signal {
        SIGTERM => "SIGTERM",
        SIGHUP => "SIGHUP",
        _ => "SIGINT",
    };
    std::thread::spawn(move || {
        let _step = STEP.lock();
        emit::fail(format!("interrupted by {name} before the end: run the task again"));
    });
    // That thread ends the process as soon as no step is held; this one when the step takes too long.
    let end = Instant::now() + PATIENCE;
    while let Some(rest) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(rest);
    }
    emit::fail(format!(
        "interrupted by {name} in the middle of a step that did not end in {} seconds: run the task again",
        PATIENCE.as_secs()
    ))
}
