//! What is asked of one node on one link, and when: a train of short questions for times and loss, beside it some as
//! long as the interface lets out, and when only those are lost, ever better guesses at what passes. Knows no socket.

use std::time::Duration;

use super::datagram::{Datagram, Key, Kind};
use super::responder::LONGEST;
use super::{Path, figures};

/// Between one question of the train and the next.
pub const INTERVAL: Duration = Duration::from_millis(10);
/// How long an answer may take: one that comes later counts as lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// The same for a guess at the length, at least.
const GUESS: Duration = Duration::from_millis(150);
/// Trains that follow one that was slow altogether, and the rest before each.
const MORE_TRAINS: u32 = 5;
const REST: Duration = Duration::from_millis(400);
/// Questions of one length: one or two of them may be lost for another reason.
const TRIES: u32 = 3;

/// What IPv4 and IPv6 put before a datagram, UDP's own header included.
const HEADERS: [u32; 2] = [28, 48];

/// One path while it is measured.
pub struct Asker {
    about: Datagram,
    headers: u32,
    count: u32,
    asked: Vec<Asked>,
    lengths: Lengths,
    /// When the next question of the train is due.
    next: Duration,
    /// When its last one was sent.
    train_end: Option<Duration>,
    /// A train of which every answer took longer than this is followed by so many more of so many questions.
    slow: Duration,
    trains_left: u32,
    questions: u32,
}

struct Asked {
    at: Duration,
    kind: Kind,
    /// Of the packet.
    length: u32,
    answered: Option<Duration>,
}

/// The search for the longest packet that passes.
#[derive(Default)]
struct Lengths {
    /// The longest that the interface sends.
    most: Option<u32>,
    /// The longest that is known to pass.
    passes: u32,
    /// The shortest that is thought not to.
    fails: Option<u32>,
    /// That it does not was made sure of: it means a refusal, and the machine may just have been busy.
    is_confirmed: bool,
    trial: Option<Trial>,
}

/// A length that is asked for now.
struct Trial {
    length: u32,
    sent: u32,
    last: Duration,
    patience: Duration,
}

/// What is to be sent now.
pub struct Due {
    /// The datagram.
    pub bytes: Vec<u8>,
    /// The packet's length with its headers, where that is what is asked.
    pub length: Option<u32>,
}

impl Asker {
    /// A path to be measured from now on. `about` names the link, both nodes and the session; `most` is what the
    /// interface sends in one packet.
    pub fn new(about: Datagram, is_ipv6: bool, most: Option<u32>, count: u32, now: Duration) -> Self {
        let headers = HEADERS[usize::from(is_ipv6)];
        let most = most.map(|most| most.min(LONGEST as u32 + headers));
        let lengths = Lengths { most, ..Lengths::default() };
        Self {
            about,
            headers,
            count,
            asked: Vec::new(),
            lengths,
            train_end: None,
            next: now,
            slow: Duration::MAX,
            trains_left: 0,
            questions: count,
        }
    }

    /// Has it ask again for a while where even the fastest answer takes longer than this: it means a refusal, and one of the
    /// machines may just have been busy.
    pub fn again_above(self, slow: Duration) -> Self {
        Self { slow, trains_left: MORE_TRAINS, ..self }
    }

    /// The question that is due, if any.
    pub fn due(&mut self, key: &Key, now: Duration) -> Option<Due> {
        if self.is_to_ask_again(now) {
            self.trains_left -= 1;
            self.count += self.questions;
            (self.train_end, self.next) = (None, now + REST);
        }
        let sent = self.train().count() as u32;
        if sent < self.count && now >= self.next {
            // A machine that was busy goes on at the pace, rather than catch up all at once.
            self.next = now.max(self.next + INTERVAL / 2) + INTERVAL / 2;
            if sent + 1 == self.count {
                self.train_end = Some(now);
            }
            return Some(Due { bytes: self.ask(key, Kind::Ask, 0, now), length: None });
        }
        let length = self.length_due(sent, now)?;
        let payload = length.saturating_sub(self.headers) as usize;
        Some(Due { bytes: self.ask(key, Kind::Sized, payload, now), length: Some(length) })
    }

    /// Takes an answer.
    pub fn hear(&mut self, key: &Key, bytes: &[u8], now: Duration) {
        let Some(answer) = Datagram::open(key, bytes) else { return };
        let sequence = answer.sequence;
        let is_expected = answer == Datagram { sequence, ..self.about.answer() };
        let Some(asked) = self.asked.get_mut(sequence as usize).filter(|_| is_expected) else { return };
        if asked.answered.is_some() {
            return;
        }
        asked.answered = Some(now);
        let lengths = &mut self.lengths;
        lengths.passes = lengths.passes.max(asked.length);
        // Later than it was waited for.
        lengths.fails = lengths.fails.filter(|fails| *fails > lengths.passes);
        if lengths.trial.as_ref().is_some_and(|trial| trial.length <= lengths.passes) {
            lengths.trial = None;
        }
    }

    /// Until when there is nothing to do but to wait for answers; nothing when it is over.
    pub fn wake(&self, now: Duration) -> Option<Duration> {
        let Some(end) = self.train_end else { return Some(self.next) };
        if let Some(trial) = &self.lengths.trial {
            return Some(if trial.sent < TRIES { now } else { trial.last + trial.patience });
        }
        if self.next_length().is_some() {
            return Some(now);
        }
        if self.is_to_ask_again(now) {
            return Some(now);
        }
        Some(end + PATIENCE).filter(|patience| !self.is_complete() && now < *patience)
    }

    fn is_complete(&self) -> bool {
        self.train().all(|asked| asked.answered.is_some())
    }

    /// The train is over, its lengths are known, and all that was answered was slow.
    fn is_to_ask_again(&self, now: Duration) -> bool {
        let is_over = self.train_end.is_some_and(|end| self.is_complete() || now >= end + PATIENCE);
        let fastest = self.train().filter_map(|asked| asked.answered?.checked_sub(asked.at)).min();
        self.trains_left > 0
            && is_over
            && self.lengths.trial.is_none()
            && self.next_length().is_none()
            && fastest.is_some_and(|fastest| fastest > self.slow)
    }

    /// What came of it.
    pub fn path(&self) -> Path {
        let answers = self.train().filter_map(|asked| Some(asked.answered?.saturating_sub(asked.at)));
        let times: Vec<Duration> = answers.collect();
        let (sent, answered) = (self.train().count() as u32, times.len() as u32);
        Path {
            link: self.about.link,
            to: self.about.to.clone(),
            sent,
            answered,
            loss: figures::loss(sent, answered),
            round_trip: figures::round_trip(&times),
            path_mtu: self.lengths.most.map(|_| self.lengths.passes).filter(|passes| *passes > 0),
            interface_mtu: self.lengths.most,
            ..Path::default()
        }
    }

    fn train(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|asked| asked.kind == Kind::Ask)
    }

    fn ask(&mut self, key: &Key, kind: Kind, payload: usize, now: Duration) -> Vec<u8> {
        let sequence = self.asked.len() as u32;
        let bytes = Datagram { kind, sequence, ..self.about.clone() }.seal(key, payload);
        let length = bytes.len() as u32 + self.headers;
        self.asked.push(Asked { at: now, kind, length, answered: None });
        bytes
    }

    /// The length that is to be asked for now. The longest goes out spread over the train, so that it costs no time.
    fn length_due(&mut self, train: u32, now: Duration) -> Option<u32> {
        let most = self.lengths.most?;
        if let Some(trial) = &mut self.lengths.trial {
            let is_due = trial.length != most || train >= (trial.sent + 1) * self.count / (TRIES + 1);
            if trial.sent < TRIES && is_due {
                trial.sent += 1;
                trial.last = now;
                return Some(trial.length);
            }
            if trial.sent < TRIES || now < trial.last + trial.patience {
                return None;
            }
            self.lengths.fails = Some(trial.length);
            self.lengths.trial = None;
        }
        let length = self.next_length()?;
        let is_sure = self.lengths.fails.is_none_or(|fails| fails == length);
        self.lengths.is_confirmed |= self.lengths.fails == Some(length);
        let slowest = self.asked.iter().filter_map(|asked| asked.answered?.checked_sub(asked.at)).max();
        let guess = GUESS.max(slowest.unwrap_or_default() * 2);
        let patience = if is_sure { PATIENCE } else { guess };
        self.lengths.trial = Some(Trial { length, sent: 0, last: now, patience });
        self.length_due(train, now)
    }

    /// First the most; then, once the answers of the train say that anything passes at all, half way between what
    /// passes and what does not; at last what does not once more.
    fn next_length(&self) -> Option<u32> {
        let Lengths { most, passes, fails, is_confirmed, .. } = self.lengths;
        let most = most.filter(|most| passes < *most)?;
        let Some(fails) = fails else { return Some(most) };
        if self.train_end.is_none() || passes == 0 {
            return None;
        }
        match passes + 1 < fails {
            true => Some(passes + (fails - passes) / 2),
            false => Some(fails).filter(|_| !is_confirmed),
        }
    }
}

#[cfg(test)]
mod tests;
