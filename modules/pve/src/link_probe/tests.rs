//! Nodes on this machine's loopback addresses: a responder and who asks it over real sockets.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::datagram::{Datagram, Key, Kind};
use super::measure::{Request, measure};
use super::*;
use crate::observe::LinkAddress;
use crate::{Cmd, Deadline, Host, Node, Output, RealHost, RunError, Socket};

const LIMITS: Limits = Limits { latency: 10.0, loss: 10.0 };

/// The real machine's sockets and clock, and programs that a test makes up.
#[derive(Default)]
struct Loopback(RealHost);

impl Host for Loopback {
    fn run(&self, cmd: &Cmd) -> Result<Output, RunError> {
        let interface = serde_json::json!([{"ifname": "vmbr0", "mtu": 1500, "addr_info": [
            {"local": own_address(1), "prefixlen": 8}, {"local": "::1", "prefixlen": 128}]}]);
        let stdout = match cmd.line().as_str() {
            "ip -json address" => interface.to_string(),
            "ip -json neighbour" => "[]".to_owned(),
            other => panic!("{other} is not expected"),
        };
        Ok(Output { code: Some(0), stdout, stderr: String::new() })
    }
    fn connect(&self, address: SocketAddr, timeout: Duration) -> std::io::Result<Duration> {
        self.0.connect(address, timeout)
    }
    fn bind(&self, address: SocketAddr) -> std::io::Result<Socket> {
        self.0.bind(address)
    }
    fn now(&self) -> std::time::SystemTime {
        self.0.now()
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
    fn sleep(&self, duration: Duration) {
        self.0.sleep(duration);
    }
}

fn node() -> Node {
    Node::new(Box::<Loopback>::default(), "/nowhere".into())
}

/// An address of this process's own, so that tests beside each other do not meet.
fn own_address(last: u8) -> String {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    format!("127.{high}.{}.{last}", low.max(1))
}

fn key() -> Key {
    Key::new("k".repeat(40).into()).unwrap()
}

fn link(address: &str) -> LinkAddress {
    LinkAddress { number: 0, address: address.to_owned(), priority: None }
}

/// Runs a responder for some time beside a test; returns what it had heard in the end.
fn beside_responder(address: &str, lifetime: Duration, test: impl FnOnce(Listener)) -> Listener {
    let bound = responder::listen(&node(), &[link(address)]).unwrap();
    let first = Listener {
        node: "pve2".into(),
        links: bound.iter().map(|(ear, _)| ear.clone()).collect(),
        ..Listener::default()
    };
    let last = Mutex::new(Listener::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            let node = node();
            let deadline = Deadline::after(&node, lifetime);
            responder::serve(&node, "pve2", key(), bound, deadline, |told| {
                *last.lock().unwrap() = told.clone();
                Ok(())
            })
            .unwrap();
        });
        test(first);
    });
    last.into_inner().unwrap()
}

fn request(own: &str, peer: Listener) -> Request {
    let ear = Ear { number: 0, address: own.to_owned(), port: 5405, is_beside: false };
    let own = Listener { node: "pve1".into(), links: vec![ear], ..Listener::default() };
    Request { own: "pve1".into(), listeners: vec![own, peer], key: key(), count: 10, limits: LIMITS }
}

fn row(own: &str, peer: Listener) -> Row {
    let node = node();
    measure(&node, &request(own, peer), Deadline::after(&node, Duration::from_secs(20))).unwrap()
}

#[test]
fn a_path_is_measured_over_both_families_and_the_responder_ends_by_itself() {
    let families = [(own_address(1), own_address(2)), ("::1".to_owned(), "::1".to_owned())];
    let is_there = |address: &str| UdpSocket::bind((address, 0)).is_ok();
    for (own, peer) in families.into_iter().filter(|(own, _)| is_there(own)) {
        let last = beside_responder(&peer, Duration::from_millis(900), |listener| {
            assert!(!listener.links[0].is_beside && listener.links[0].port == 5405);
            let path = &row(&own, listener).paths[0];
            assert_eq!((path.to.as_str(), path.sent, path.answered, path.loss), ("pve2", 10, 10, 0.0));
            assert_eq!((path.path_mtu, path.interface_mtu, path.silence), (Some(1500), Some(1500), None));
            let trip = path.round_trip.unwrap();
            assert!(trip.fastest > 0.0 && trip.fastest <= trip.median && trip.median <= trip.p99, "{trip:?}");
            thread::park_timeout(Duration::from_millis(100));
        });
        assert_eq!(last.heard, [Heard { node: "pve1".into(), link: 0, count: 10 }]);
    }
}

#[test]
fn beside_a_program_that_has_the_port_another_one_is_used() {
    let address = own_address(3);
    let corosync = UdpSocket::bind((address.as_str(), 5405)).unwrap();
    corosync.set_nonblocking(true).unwrap();
    beside_responder(&address, Duration::from_millis(500), |listener| {
        assert_eq!((listener.links[0].port, listener.links[0].is_beside), (5412, true));
        let path = &row(&own_address(1), listener).paths[0];
        assert_eq!((path.answered, path.port, path.is_beside), (10, 5412, true));
    });
    assert_eq!(corosync.recv(&mut [0; 64]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let _other = UdpSocket::bind((address.as_str(), 5412)).unwrap();
    let error = responder::listen(&node(), &[link(&address)]).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("UDP 5405 and 5412 of") && error.contains("ss -ulpn"), "{error}");
}

#[test]
fn forged_and_replayed_datagrams_get_no_answer() {
    let address = own_address(4);
    beside_responder(&address, Duration::from_millis(900), |_| {
        let socket = UdpSocket::bind((own_address(1).as_str(), 0)).unwrap();
        socket.connect((address.as_str(), 5405)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        let (from, to) = ("pve1".to_owned(), "pve2".to_owned());
        let ask = Datagram { kind: Kind::Ask, link: 0, session: 1, sequence: 0, from, to };
        let answered = |bytes: &[u8]| {
            socket.send(bytes).unwrap();
            socket.recv(&mut [0; 2000]).ok()
        };
        let forger = Key::new("f".repeat(40).into()).unwrap();
        assert_eq!(answered(&ask.seal(&forger, 500)), None);
        let good = ask.seal(&key(), 500);
        let length = answered(&good).unwrap();
        assert!(length < good.len(), "an answer of {length} bytes to {}", good.len());
        assert_eq!(answered(&good), None);
    });
}

#[test]
fn nobody_who_listens_is_a_refusal_and_no_address_of_its_own_is_said() {
    let silent = |address: &str| {
        let ear = Ear { number: 0, address: address.to_owned(), port: 5405, is_beside: false };
        Listener { node: "pve2".into(), links: vec![ear], ..Listener::default() }
    };
    let refused = &row(&own_address(1), silent(&own_address(5))).paths[0];
    assert_eq!(
        (refused.silence, refused.answered, refused.grade),
        (Some(Silence::Refused), 0, Grade::Silent)
    );
    let elsewhere = &row("192.0.2.1", silent(&own_address(5))).paths[0];
    assert_eq!((elsewhere.silence, elsewhere.sent), (Some(Silence::NotLocal), 0));
    let error = responder::listen(&node(), &[link("192.0.2.1")]).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("192.0.2.1 is no address of this node"), "{error}");
}

#[test]
fn grades_go_by_the_rule() {
    let graded = |fastest: f64, median: f64, loss: f64, path_mtu: u32| {
        let round_trip = Some(RoundTrip { fastest, median, p99: median, jitter: 0.1 });
        let interface_mtu = Some(1500);
        Path { round_trip, loss, path_mtu: Some(path_mtu), interface_mtu, ..Path::default() }.graded(LIMITS)
    };
    assert_eq!(graded(0.1, 0.2, 0.0, 1500), Grade::Good);
    assert_eq!(graded(0.1, 5.0, 0.0, 1500), Grade::Fair);
    assert_eq!(graded(0.1, 40.0, 0.0, 1500), Grade::Fair);
    assert_eq!(graded(0.1, 0.2, 5.0, 1500), Grade::Fair);
    assert_eq!(graded(10.0, 12.0, 0.0, 1500), Grade::Bad);
    assert_eq!(graded(0.1, 0.2, 10.0, 1500), Grade::Bad);
    assert_eq!(graded(0.1, 0.2, 0.0, 1404), Grade::Bad);
    assert_eq!(Path::default().graded(LIMITS), Grade::Silent);
}

#[test]
fn a_link_has_its_port_and_one_beside_it() {
    assert_eq!([ports(0), ports(1), ports(7)], [[5405, 5412], [5406, 5411], [5412, 5405]]);
}
