//! `udp-relay LISTEN TARGET DELAY JITTER`: passes datagrams on and their answers back, late by so many milliseconds
//! and up to so many more. What the lab has in place of a kernel's delays; nothing of PVE.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any datagram.
const LONGEST: usize = 65_536;

/// Runs until it is killed; returns what is wrong with its arguments or its sockets.
pub fn run(args: &[String]) -> Result<(), String> {
    let [listen, target, delay, jitter] = args else {
        return Err("usage: udp-relay LISTEN TARGET DELAY JITTER".to_owned());
    };
    let address = |word: &String| word.parse::<SocketAddr>().map_err(|error| format!("{word}: {error}"));
    let millis =
        |word: &String| word.parse().map(Duration::from_millis).map_err(|error| format!("{word}: {error}"));
    let lateness = Lateness { delay: millis(delay)?, jitter: millis(jitter)? };
    relay(address(listen)?, address(target)?, lateness).map_err(|error| error.to_string())
}

#[derive(Clone, Copy)]
struct Lateness {
    delay: Duration,
    jitter: Duration,
}

fn relay(listen: SocketAddr, target: SocketAddr, lateness: Lateness) -> io::Result<()> {
    let own = Arc::new(UdpSocket::bind(listen)?);
    let mut ways: BTreeMap<SocketAddr, UdpSocket> = BTreeMap::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let (length, client) = own.recv_from(&mut buffer)?;
        let way = match ways.entry(client) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let any = if target.is_ipv6() { [0; 16].into() } else { [0; 4].into() };
                let way = UdpSocket::bind(SocketAddr::new(any, 0))?;
                way.connect(target)?;
                let (back, to_client) = (way.try_clone()?, own.clone());
                thread::spawn(move || return_late(&back, &to_client, client, lateness));
                place.insert(way)
            }
        };
        // A target that refuses is the client's own affair.
        let _ = way.send(&buffer[..length]);
    }
}

/// Answers in the order in which they came, each at its time.
fn return_late(back: &UdpSocket, own: &UdpSocket, client: SocketAddr, lateness: Lateness) {
    let (sender, receiver) = std::sync::mpsc::channel::<(Instant, Vec<u8>)>();
    let sends = own.try_clone().map(|own| {
        thread::spawn(move || {
            for (due, bytes) in receiver {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let _ = own.send_to(&bytes, client);
            }
        })
    });
    let (mut buffer, mut random) = (vec![0; LONGEST], 1_u64);
    while sends.is_ok() {
        let Ok(length) = back.recv(&mut buffer) else { continue };
        // Marsaglia's xorshift: any spread will do.
        for shift in [13, -7, 17] {
            random ^= if shift > 0 { random << shift } else { random >> -shift };
        }
        let more = lateness.jitter.as_micros() as u64;
        let more = Duration::from_micros(if more == 0 { 0 } else { random % more });
        let _ = sender.send((Instant::now() + lateness.delay + more, buffer[..length].to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_late_and_from_where_they_were_asked() {
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = target.local_addr().unwrap();
        let listen = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let lateness = Lateness { delay: Duration::from_millis(30), jitter: Duration::from_millis(5) };
        thread::spawn(move || relay(listen, to, lateness));
        thread::spawn(move || {
            let mut buffer = [0; 16];
            while let Ok((length, from)) = target.recv_from(&mut buffer) {
                target.send_to(&buffer[..length], from).unwrap();
            }
        });
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(listen).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut buffer = [0; 16];
        // The relay may not listen yet, which the kernel answers at once.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut ask = || {
            let asked = Instant::now();
            client.send(b"ask").ok()?;
            client.recv(&mut buffer).ok().map(|length| (length, asked.elapsed()))
        };
        let tries = std::iter::from_fn(|| (Instant::now() < deadline).then(&mut ask));
        let (length, took) = tries.flatten().next().unwrap();
        assert!(length == 3 && took >= Duration::from_millis(30), "{took:?}");
    }

    #[test]
    fn wrong_arguments_are_told() {
        let run = |line: &str| run(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap_err();
        assert!(run("127.0.0.1:1").starts_with("usage: "));
        assert!(run("here 127.0.0.1:2 1 0").starts_with("here: "));
        assert!(run("127.0.0.1:1 127.0.0.1:2 x 0").starts_with("x: "));
    }
}
