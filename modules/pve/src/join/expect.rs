//! `pvecm add` as a person at a terminal would use it: the password where it is asked for, yes to the fingerprint only
//! where it is the pinned one, and to any other question nothing at all. Pure: what was shown comes in, what is typed
//! goes out.

use anyhow::bail;
use secrecy::{ExposeSecret, SecretString};

use crate::Turn;
use crate::https::Fingerprint;

const FINGERPRINT: &str = "key fingerprint is ";
const YES_OR_NO: &str = "(yes/no)? ";
/// What stands without an end of line and is no question (`PVE::Cluster::Setup`).
const NO_QUESTIONS: [&str; 1] = ["waiting for quorum..."];

/// One join at a terminal.
pub struct Dialogue<'a> {
    peer: &'a str,
    pin: Fingerprint,
    password: &'a SecretString,
    has_typed_password: bool,
    /// Why it was hung up on.
    refusal: Option<String>,
}

impl<'a> Dialogue<'a> {
    /// A join to this peer.
    pub fn new(peer: &'a str, pin: Fingerprint, password: &'a SecretString) -> Self {
        Self { peer, pin, password, has_typed_password: false, refusal: None }
    }

    /// What is done about what was shown since the last answer.
    pub fn turn(&mut self, shown: &str, is_silent: bool) -> Turn {
        let last = shown.rsplit('\n').next().unwrap_or_default();
        let password_prompt = format!("(root) password for '{}': ", self.peer);
        if last.ends_with(&password_prompt) && !self.has_typed_password {
            self.has_typed_password = true;
            return Turn::Say(self.password.expose_secret().into());
        }
        if last.ends_with(YES_OR_NO) {
            return match self.judge(shown) {
                Ok(()) => Turn::Say("yes".into()),
                Err(error) => self.hang_up(format!("{error:#}")),
            };
        }
        let is_question = last.ends_with(": ") || last.ends_with("? ") || !last.trim().is_empty();
        if is_silent && is_question && !NO_QUESTIONS.contains(&last.trim()) {
            let question = last.trim().to_owned();
            return self.hang_up(format!("pvecm add asks {question:?}, which nobody here answers"));
        }
        Turn::Wait
    }

    /// Why it was hung up on.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    fn judge(&self, shown: &str) -> anyhow::Result<()> {
        let Some(text) = shown.lines().rev().find_map(|line| line.split_once(FINGERPRINT)) else {
            bail!("pvecm add asks for a yes without showing a fingerprint");
        };
        match text.1.trim().trim_end_matches('.').parse::<Fingerprint>() {
            Ok(shown) if shown == self.pin => Ok(()),
            Ok(shown) => bail!(
                "{} shows certificate {shown}, not the expected {}: the password was not sent to it",
                self.peer,
                self.pin
            ),
            Err(error) => bail!("pvecm add shows a fingerprint that is none: {error}"),
        }
    }

    fn hang_up(&mut self, why: String) -> Turn {
        self.refusal = Some(why);
        Turn::HangUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "Establishing API connection with host '10.88.0.11'\nThe authenticity of host '10.88.0.11' can't be \
                         established.\nX509 SHA256 key fingerprint is ";
    const ASKED: &str = ".\nAre you sure you want to continue connecting (yes/no)? ";

    fn said(turn: &Turn) -> Option<&str> {
        match turn {
            Turn::Say(text) => Some(text.expose_secret()),
            _ => None,
        }
    }

    #[test]
    fn the_prompts_of_pvecm_add_are_answered_in_their_order() {
        let (pin, password) = (Fingerprint([7; 32]), SecretString::from("geheim"));
        let mut dialogue = Dialogue::new("10.88.0.11", pin, &password);
        assert!(matches!(dialogue.turn("", true), Turn::Wait));
        let prompt = "Please enter superuser (root) password for '10.88.0.11': ";
        assert_eq!(said(&dialogue.turn(prompt, false)), Some("geheim"));
        assert!(matches!(dialogue.turn("******\n", false), Turn::Wait));
        assert_eq!(said(&dialogue.turn(&format!("******\n{SHOWN}{pin}{ASKED}"), false)), Some("yes"));
        assert!(matches!(dialogue.turn("Login succeeded.\nwaiting for quorum...", true), Turn::Wait));
        // Asked once more, as after a mistake: what was wrong once stays wrong.
        assert!(matches!(dialogue.turn(prompt, true), Turn::HangUp));
    }

    #[test]
    fn no_yes_to_another_fingerprint_and_no_answer_to_another_question() {
        let (pin, password) = (Fingerprint([7; 32]), SecretString::from("geheim"));
        for (shown, reason) in [
            (format!("{SHOWN}{}{ASKED}", Fingerprint([8; 32])), "not the expected 07:07"),
            (format!("{SHOWN}nonsense{ASKED}"), "a fingerprint that is none"),
            ("Really (yes/no)? ".to_owned(), "without showing a fingerprint"),
            ("Enter OTP code for user root@pam: ".to_owned(), "asks \"Enter OTP code"),
            ("Please enter superuser (root) password for '10.66.6.6': ".to_owned(), "10.66.6.6"),
        ] {
            let mut dialogue = Dialogue::new("10.88.0.11", pin, &password);
            assert!(matches!(dialogue.turn(&shown, true), Turn::HangUp), "{shown}");
            assert!(dialogue.refusal().unwrap().contains(reason), "{:?}", dialogue.refusal());
        }
    }
}
