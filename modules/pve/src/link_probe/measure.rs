//! Asks every other node on every link at the same time, and finds out why who does not answer is silent.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use crypto_box::aead::OsRng;
use crypto_box::aead::rand_core::RngCore;
use serde_json::Value;

use super::asker::{Asker, Due};
use super::datagram::{Datagram, Key, Kind};
use super::responder::LONGEST;
use super::{Corosync, Ear, Limits, Listener, Path, Row, Silence, parse_address};
use crate::facts::{Address, Link};
use crate::network::{self, is_same};
use crate::{Cmd, Deadline, Node, Socket, cfgtool};

/// How long each small program may take.
const TOOL_LIMIT: Duration = Duration::from_secs(10);
/// sshd, which every node runs: whoever takes or refuses a connection there is up.
const SSH: u16 = 22;
/// How long that may take.
const HANDSHAKE: Duration = Duration::from_millis(700);

/// What is to be measured.
pub struct Request {
    /// This node's name.
    pub own: String,
    /// Where each node listens, this one too.
    pub listeners: Vec<Listener>,
    /// The key of the run.
    pub key: Key,
    /// Questions to each node on each link.
    pub count: u32,
    /// What a path may cost.
    pub limits: Limits,
}

/// A path while it is measured; `asker` is nothing where no question can leave.
struct Way {
    asker: Option<Asker>,
    ear: Ear,
    to: String,
    address: IpAddr,
    silence: Option<Silence>,
}

/// Measures this node's row.
pub fn measure(node: &Node, request: &Request, deadline: Deadline) -> anyhow::Result<Row> {
    let own = request.listeners.iter().find(|listener| listener.node == request.own);
    let Some(own) = own else {
        anyhow::bail!("there is no listener of {:?}: run state=listening on every node first", request.own);
    };
    let addresses = network::addresses(node, TOOL_LIMIT)?;
    let (mut ways, mut sockets) = (Vec::new(), Vec::new());
    for listener in request.listeners.iter().filter(|listener| listener.node != request.own) {
        for ear in &listener.links {
            let Some(local) = own.links.iter().find(|local| local.number == ear.number) else { continue };
            let address = parse_address(&ear.address)?;
            let mut way =
                Way { asker: None, ear: ear.clone(), to: listener.node.clone(), address, silence: None };
            match connected(node, parse_address(&local.address)?, SocketAddr::new(address, ear.port)) {
                Ok(socket) => {
                    way.asker = Some(way.asker(node, request, local, &addresses));
                    sockets.push(socket);
                }
                Err(error) => way.silence = silence(&error).or(Some(Silence::NoRoute)),
            }
            ways.push(way);
        }
    }
    ask(node, &request.key, &mut ways, &sockets, deadline);
    explain(node, &mut ways);
    let is_beside = own.links.iter().any(|ear| ear.is_beside);
    let corosync = if is_beside { cfgtool::query(node, TOOL_LIMIT)? } else { None };
    Ok(Row {
        node: request.own.clone(),
        paths: ways.into_iter().map(|way| way.path(request.limits)).collect(),
        corosync: corosync.map(|status| status.links.iter().map(of_corosync).collect()),
    })
}

fn of_corosync(link: &Link) -> Corosync {
    let connected = link.peers.iter().filter(|peer| peer.connected).count();
    Corosync { link: link.number, connected: connected as u32, nodes: link.peers.len() as u32 }
}

/// From this node's address on the link, at a port of its own.
fn connected(node: &Node, local: IpAddr, peer: SocketAddr) -> Result<Socket, Error> {
    let socket = node.bind(SocketAddr::new(local, 0))?;
    socket.connect(peer)?;
    Ok(socket)
}

/// Asks and listens until every path is done or the time is over.
fn ask(node: &Node, key: &Key, ways: &mut [Way], sockets: &[Socket], deadline: Deadline) {
    let mut buffer = vec![0; LONGEST];
    while !deadline.is_over(node) {
        let mut wake: Option<Duration> = None;
        for (way, socket) in ways.iter_mut().filter(|way| way.asker.is_some()).zip(sockets) {
            let Some(asker) = &mut way.asker else { continue };
            while let Some(due) = asker.due(key, node.monotonic()) {
                way.silence = send(socket, &due).or(way.silence);
            }
            loop {
                match socket.receive(&mut buffer) {
                    Ok(Some((length, _))) => asker.hear(key, &buffer[..length], node.monotonic()),
                    Ok(None) => break,
                    Err(error) => way.silence = silence(&error).or(way.silence),
                }
            }
            let next = asker.wake(node.monotonic());
            wake = wake.into_iter().chain(next).min();
        }
        let Some(wake) = wake else { return };
        let rest = wake.saturating_sub(node.monotonic()).min(deadline.left(node));
        node.await_datagram(sockets, rest);
    }
}

/// Sends a question; tells why it could not. One that is longer than the kernel would send in one piece stays here:
/// in pieces it would pass.
fn send(socket: &Socket, due: &Due) -> Option<Silence> {
    if due.length.zip(socket.path_mtu()).is_some_and(|(length, mtu)| length > mtu) {
        return None;
    }
    // What an earlier datagram met is told at the next, which is then not sent.
    match socket.send(&due.bytes) {
        Ok(()) => None,
        Err(first) => match socket.send(&due.bytes) {
            Ok(()) => silence(&first),
            Err(error) => silence(&error),
        },
    }
}

fn silence(error: &Error) -> Option<Silence> {
    Some(match error.kind() {
        ErrorKind::AddrNotAvailable => Silence::NotLocal,
        ErrorKind::NetworkUnreachable => Silence::NoRoute,
        ErrorKind::PermissionDenied => Silence::FilteredHere,
        ErrorKind::ConnectionRefused => Silence::Refused,
        ErrorKind::HostUnreachable => Silence::Absent,
        _ => return None,
    })
}

/// Looks whether the hosts that do not answer are there at all.
fn explain(node: &Node, ways: &mut [Way]) {
    let is_open = |silence: Option<Silence>| matches!(silence, None | Some(Silence::Absent));
    let silent: Vec<&mut Way> =
        ways.iter_mut().filter(|way| way.is_silent() && is_open(way.silence)).collect();
    if silent.is_empty() {
        return;
    }
    thread::scope(|scope| {
        let looks: Vec<_> = silent
            .into_iter()
            .map(|way| {
                scope.spawn(move || {
                    // A rejection says "unreachable", too: of a host that is there.
                    let is_rejected = way.silence == Some(Silence::Absent);
                    way.silence = match node.connect(SocketAddr::new(way.address, SSH), HANDSHAKE) {
                        Ok(_) => Some(if is_rejected { Silence::Refused } else { Silence::Dropped }),
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Some(Silence::Dropped),
                        Err(error) => silence(&error).or(way.silence),
                    };
                    way
                })
            })
            .collect();
        let waiting: Vec<&mut Way> = looks.into_iter().filter_map(|look| look.join().ok()).collect();
        let unknown: Vec<&mut Way> = waiting.into_iter().filter(|way| way.silence.is_none()).collect();
        if unknown.is_empty() {
            return;
        }
        let missing = missing_neighbours(node);
        for way in unknown {
            let is_missing = missing.iter().any(|address| is_same(address, &way.ear.address));
            way.silence = Some(if is_missing { Silence::Absent } else { Silence::Unknown });
        }
    });
}

/// Addresses on this node's networks for which no host has answered (ip-neighbour(8)).
fn missing_neighbours(node: &Node) -> Vec<String> {
    let said = node.run(&Cmd::new("ip", ["-json", "neighbour"], TOOL_LIMIT));
    let text = said.map(|output| output.stdout).unwrap_or_default();
    let all: Value = serde_json::from_str(&text).unwrap_or_default();
    let is_missing = |neighbour: &&Value| {
        let mut states = neighbour["state"].as_array().into_iter().flatten();
        states.any(|state| state == "FAILED" || state == "INCOMPLETE")
    };
    let missing = all.as_array().into_iter().flatten().filter(is_missing);
    missing.filter_map(|neighbour| neighbour["dst"].as_str().map(str::to_owned)).collect()
}

impl Way {
    fn asker(&self, node: &Node, request: &Request, local: &Ear, addresses: &[Address]) -> Asker {
        let own = addresses.iter().find(|own| is_same(&own.address, &local.address));
        let about = Datagram {
            kind: Kind::Ask,
            link: local.number,
            session: OsRng.next_u64(),
            sequence: 0,
            from: request.own.clone(),
            to: self.to.clone(),
        };
        let most = own.and_then(|own| own.mtu);
        let slow = Duration::from_secs_f64(request.limits.latency / 1000.0);
        Asker::new(about, self.address.is_ipv6(), most, request.count, node.monotonic()).again_above(slow)
    }

    fn is_silent(&self) -> bool {
        self.asker.as_ref().is_none_or(|asker| asker.path().answered == 0)
    }

    fn path(self, limits: Limits) -> Path {
        let measured = self.asker.as_ref().map(Asker::path).unwrap_or_default();
        let silence = self.silence.filter(|_| measured.answered == 0);
        let path = Path {
            link: self.ear.number,
            to: self.to,
            address: self.ear.address,
            port: self.ear.port,
            is_beside: self.ear.is_beside,
            silence,
            ..measured
        };
        Path { grade: path.graded(limits), ..path }
    }
}
