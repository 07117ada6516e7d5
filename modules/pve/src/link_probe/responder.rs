//! The responder: answers who has the key of the run, each question once, with nothing that is longer than the
//! question, and counts whom it hears. Everything else it leaves unanswered. Ends when its time is over.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use super::datagram::{Datagram, Key, Kind};
use super::replay::Window;
use super::{Ear, Heard, Listener, parse_address, ports};
use crate::observe::LinkAddress;
use crate::{Deadline, Node, Socket};

/// Sessions that are remembered. They are never forgotten, or their questions could be asked again; beyond it nobody
/// new is answered.
const SESSIONS: usize = 4096;
/// The longest datagram that is read: jumbo frames are shorter.
pub(super) const LONGEST: usize = 9216;
/// How often what was heard is written down.
const NOTE: Duration = Duration::from_millis(50);

/// Who has been heard, and what of it.
pub struct Responder {
    own: String,
    key: Key,
    sessions: Vec<Session>,
    heard: Vec<Heard>,
}

struct Session {
    from: String,
    link: u8,
    id: u64,
    window: Window,
}

impl Responder {
    /// A responder that has heard nobody.
    pub fn new(own: &str, key: Key) -> Self {
        Self { own: own.to_owned(), key, sessions: Vec::new(), heard: Vec::new() }
    }

    /// The answer to a datagram that came on a link, if it is owed one.
    pub fn answer(&mut self, link: u8, bytes: &[u8]) -> Option<Vec<u8>> {
        let ask = Datagram::open(&self.key, bytes)?;
        if ask.kind == Kind::Answer || ask.to != self.own || ask.link != link {
            return None;
        }
        if !self.session(&ask)?.window.admit(ask.sequence) {
            return None;
        }
        if ask.kind == Kind::Ask {
            self.count(&ask);
        }
        let answer = ask.answer().seal(&self.key, 0);
        (answer.len() <= bytes.len()).then_some(answer)
    }

    /// Whom it has heard.
    pub fn heard(&self) -> &[Heard] {
        &self.heard
    }

    fn session(&mut self, ask: &Datagram) -> Option<&mut Session> {
        let is_it =
            |known: &Session| known.id == ask.session && known.link == ask.link && known.from == ask.from;
        let at = match self.sessions.iter().position(is_it) {
            Some(at) => at,
            None if self.sessions.len() >= SESSIONS => return None,
            None => {
                let (from, window) = (ask.from.clone(), Window::default());
                self.sessions.push(Session { from, link: ask.link, id: ask.session, window });
                self.sessions.len() - 1
            }
        };
        self.sessions.get_mut(at)
    }

    fn count(&mut self, ask: &Datagram) {
        let known = self.heard.iter_mut().find(|heard| heard.node == ask.from && heard.link == ask.link);
        match known {
            Some(heard) => heard.count += 1,
            None => self.heard.push(Heard { node: ask.from.clone(), link: ask.link, count: 1 }),
        }
    }
}

/// Binds to each link: to corosync's port, or beside who has it.
pub(super) fn listen(node: &Node, links: &[LinkAddress]) -> anyhow::Result<Vec<(Ear, Socket)>> {
    let mut bound = Vec::new();
    for link in links {
        let address = parse_address(&link.address)?;
        let bind = |port: u16| node.bind(SocketAddr::new(address, port));
        let [own, beside] = ports(link.number);
        let (port, socket) = match bind(own) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => (beside, bind(beside)),
            socket => (own, socket),
        };
        let socket = socket.map_err(|error| refusal(link, own, port, &error))?;
        let ear = Ear { number: link.number, address: link.address.clone(), port, is_beside: port != own };
        bound.push((ear, socket));
    }
    Ok(bound)
}

fn refusal(link: &LinkAddress, own: u16, port: u16, error: &Error) -> anyhow::Error {
    let (number, address) = (link.number, &link.address);
    match error.kind() {
        ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "link {number}: {address} is no address of this node: correct the inventory, or see \"ip address\""
        ),
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "link {number}: UDP {own} and {port} of {address} are both taken: see \"ss -ulpn\", and stop what has them"
        ),
        _ => anyhow::anyhow!("link {number}: cannot listen on UDP {port} of {address}: {error}"),
    }
}

/// Answers until the time is over, and has it written down whenever more was heard.
pub(super) fn serve(
    node: &Node,
    own: &str,
    key: Key,
    bound: Vec<(Ear, Socket)>,
    deadline: Deadline,
    mut note: impl FnMut(&Listener) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (ears, sockets): (Vec<Ear>, Vec<Socket>) = bound.into_iter().unzip();
    let mut responder = Responder::new(own, key);
    let mut told = Listener { node: own.to_owned(), links: ears, ..Listener::default() };
    note(&told)?;
    let mut buffer = vec![0; LONGEST];
    let mut noted = node.monotonic();
    while !deadline.is_over(node) {
        for (socket, ear) in sockets.iter().zip(&told.links) {
            // A refusal of an earlier answer comes as an error: that asker is gone.
            while let Ok(Some((length, from))) = socket.receive(&mut buffer) {
                if let Some(answer) = responder.answer(ear.number, &buffer[..length]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        }
        let is_news = responder.heard() != told.heard;
        let due = noted.saturating_add(NOTE).saturating_sub(node.monotonic());
        if is_news && due.is_zero() {
            told.heard = responder.heard().to_vec();
            note(&told)?;
            noted = node.monotonic();
            continue;
        }
        let rest = deadline.left(node).min(Duration::from_secs(60));
        node.await_datagram(&sockets, if is_news { due.min(rest) } else { rest });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("k".repeat(32).into()).unwrap()
    }

    fn ask(sequence: u32) -> Datagram {
        let (from, to) = ("pve2".to_owned(), "pve1".to_owned());
        Datagram { kind: Kind::Ask, link: 0, session: 7, sequence, from, to }
    }

    #[test]
    fn each_question_is_answered_once_and_counted() {
        let mut responder = Responder::new("pve1", key());
        let bytes = ask(0).seal(&key(), 200);
        let answer = responder.answer(0, &bytes).unwrap();
        assert_eq!(Datagram::open(&key(), &answer), Some(ask(0).answer()));
        assert!(answer.len() < bytes.len());
        assert_eq!(responder.answer(0, &bytes), None);
        assert!(responder.answer(0, &ask(1).seal(&key(), 0)).is_some());
        let sized = Datagram { kind: Kind::Sized, ..ask(2) };
        assert!(responder.answer(0, &sized.seal(&key(), 1400)).is_some());
        assert_eq!(responder.heard(), [Heard { node: "pve2".into(), link: 0, count: 2 }]);
    }

    #[test]
    fn what_is_not_its_own_business_gets_no_answer_and_is_not_counted() {
        let mut responder = Responder::new("pve1", key());
        let other = Key::new("o".repeat(32).into()).unwrap();
        let cases = [
            ("forged", ask(0).seal(&other, 0)),
            ("for another node", Datagram { to: "pve3".into(), ..ask(0) }.seal(&key(), 0)),
            ("for another link", Datagram { link: 1, ..ask(0) }.seal(&key(), 0)),
            ("an answer", ask(0).answer().seal(&key(), 0)),
            (
                "an answer of its own, sent back",
                Datagram { to: "pve1".into(), ..ask(0).answer() }.seal(&key(), 0),
            ),
            ("nothing", Vec::new()),
            ("cut short", ask(0).seal(&key(), 0)[..40].to_vec()),
        ];
        for (what, bytes) in cases {
            assert_eq!(responder.answer(0, &bytes), None, "{what}");
        }
        assert!(responder.heard().is_empty());
        assert!(responder.answer(0, &ask(0).seal(&key(), 0)).is_some());
    }

    #[test]
    fn who_comes_when_all_places_are_taken_is_not_answered() {
        let mut responder = Responder::new("pve1", key());
        let of = |session: usize| Datagram { session: session as u64, ..ask(0) }.seal(&key(), 0);
        assert!((0..SESSIONS).all(|session| responder.answer(0, &of(session)).is_some()));
        assert_eq!(responder.answer(0, &of(SESSIONS)), None);
        assert_eq!(responder.answer(0, &of(0)), None);
        assert!(responder.answer(0, &Datagram { session: 0, ..ask(1) }.seal(&key(), 0)).is_some());
    }
}
