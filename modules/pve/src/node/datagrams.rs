//! UDP sockets of a node. Each is bound to one address of its own and never shares a port: beside a socket that is
//! bound already it fails, so a program that runs loses nothing to it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use super::Node;

/// Datagrams that wait while a busy machine gets round to reading them: those of a large cluster.
const WAITING: usize = 4 << 20;

/// A UDP socket that does not block.
pub struct Socket {
    inner: UdpSocket,
}

impl Socket {
    /// Binds to an address that this machine has. Neither SO_REUSEADDR nor SO_REUSEPORT is set: either would take
    /// datagrams away from who has the port.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let inner = UdpSocket::bind(address)?;
        inner.set_nonblocking(true)?;
        // More than the limit needs a right that a restricted root lacks: then it is as large as it is.
        let _ = setsockopt(&inner, sockopt::RcvBufForce, &WAITING);
        if address.is_ipv6() {
            // Larger ones than the path takes are refused rather than cut in pieces. IPv4 has no such option here, so
            // nothing is sent that is larger than `path_mtu`: it leaves with DF set (ip(7), IP_PMTUDISC_WANT).
            setsockopt(&inner, sockopt::Ipv6DontFrag, &true)?;
        }
        Ok(Self { inner })
    }

    /// Takes datagrams of one peer only from now on, and hears of its refusals.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.inner.connect(peer)
    }

    /// The largest packet that the kernel knows to fit on the way to the peer; of IPv4 only.
    pub fn path_mtu(&self) -> Option<u32> {
        let mtu = nix::sys::socket::getsockopt(&self.inner, sockopt::IpMtu).ok()?;
        u32::try_from(mtu).ok()
    }

    /// Sends to the peer.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.inner.send(bytes).map(drop)
    }

    /// Sends to an address.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.inner.send_to(bytes, to).map(drop)
    }

    /// The next datagram that has come, if any.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        match self.inner.recv_from(buffer) {
            Ok(received) => Ok(Some(received)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Node {
    /// Binds a UDP socket to an address of this node.
    pub fn bind(&self, address: SocketAddr) -> io::Result<Socket> {
        self.host.bind(address)
    }

    /// Waits until one of the sockets has something, or the time is over. A signal may end it early.
    pub fn await_datagram(&self, sockets: &[Socket], limit: Duration) {
        let mut waiting: Vec<PollFd<'_>> =
            sockets.iter().map(|socket| PollFd::new(socket.inner.as_fd(), PollFlags::POLLIN)).collect();
        // Up to a millisecond late rather than in a hurry for the rest of one.
        let millis = (limit + Duration::from_micros(999)).as_millis().min(60_000) as u16;
        let _ = poll(&mut waiting, PollTimeout::from(millis));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_never_shared() {
        let own = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Socket::bind(own.inner.local_addr().unwrap()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(!nix::sys::socket::getsockopt(&own.inner, sockopt::ReuseAddr).unwrap());
        assert!(!nix::sys::socket::getsockopt(&own.inner, sockopt::ReusePort).unwrap());
    }

    #[test]
    fn a_datagram_is_awaited_and_what_nobody_hears_is_refused() {
        let node = Node::new(Box::new(crate::RealHost::default()), "/".into());
        let [one, two] = [(); 2].map(|()| Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let (at, gone) = (two.inner.local_addr().unwrap(), one.inner.local_addr().unwrap());
        one.connect(at).unwrap();
        assert!(one.path_mtu().unwrap() > 1280);
        one.send(b"ask").unwrap();
        let sockets = [two];
        node.await_datagram(&sockets, Duration::from_secs(5));
        let mut buffer = [0; 16];
        assert_eq!(sockets[0].receive(&mut buffer).unwrap(), Some((3, gone)));
        assert_eq!(sockets[0].receive(&mut buffer).unwrap(), None);
        drop(sockets);
        one.send(b"ask").unwrap();
        let sockets = [one];
        node.await_datagram(&sockets, Duration::from_secs(5));
        assert_eq!(sockets[0].receive(&mut buffer).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
