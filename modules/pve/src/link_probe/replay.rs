//! Which questions of a session were heard already: the newest one and 127 before it. What is older is taken for
//! heard, so a datagram that is sent again is never answered again.

/// Questions that are told apart from repeated ones though they overtake each other.
const WIDTH: u32 = 128;

/// The window of one session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Number of questions up to the newest: one more than its sequence number.
    next: u64,
    /// Bit 0 is the newest one.
    heard: u128,
}

impl Window {
    /// Whether a question is heard for the first time.
    pub fn admit(&mut self, sequence: u32) -> bool {
        let number = u64::from(sequence) + 1;
        if number > self.next {
            let ahead = u32::try_from(number - self.next).unwrap_or(WIDTH);
            self.heard = self.heard.checked_shl(ahead).unwrap_or(0) | 1;
            self.next = number;
            return true;
        }
        let behind = u32::try_from(self.next - number).unwrap_or(WIDTH);
        let Some(bit) = 1_u128.checked_shl(behind) else { return false };
        let is_new = self.heard & bit == 0;
        self.heard |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_is_admitted_once_and_old_ones_not_at_all() {
        let mut window = Window::default();
        let mut admit = |sequence| window.admit(sequence);
        assert!(admit(0) && !admit(0) && admit(2) && admit(1) && !admit(1) && !admit(2));
        assert!(admit(129));
        assert!(!admit(1) && !admit(2) && admit(3));
        assert!(admit(u32::MAX) && !admit(u32::MAX) && !admit(129) && admit(u32::MAX - 127));
        assert!(!admit(u32::MAX - 128));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(sequences in prop::collection::vec(0_u32..400, 0..300)) {
            let (mut window, mut seen, mut newest) = (Window::default(), BTreeSet::new(), 0);
            for sequence in sequences {
                newest = newest.max(sequence);
                let expected = newest - sequence < WIDTH && seen.insert(sequence);
                prop_assert_eq!(window.admit(sequence), expected, "{}", sequence);
            }
        }
    }
}
