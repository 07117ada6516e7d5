//! The protocol of sd_notify(3), both ends: a service says that it is ready, `systemctl start` waits for it.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// Says to whoever started this process that it is ready.
pub fn ready() {
    let Some(path) = std::env::var_os(VARIABLE) else { return };
    if let Ok(socket) = UnixDatagram::unbound() {
        // Nobody may listen any more; then nobody cares.
        let _ = socket.send_to(b"READY=1", Path::new(&path));
    }
}

/// Where one start listens.
pub struct Listener {
    socket: UnixDatagram,
    pub path: PathBuf,
}

impl Listener {
    pub fn at(path: &str) -> std::io::Result<Listener> {
        let _ = std::fs::remove_file(path);
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(Listener { socket, path: path.into() })
    }

    /// Until the service is ready or `ended` says how it ended; None: neither within the time.
    pub fn wait<T>(&self, limit: Duration, mut ended: impl FnMut() -> Option<T>) -> Option<Result<(), T>> {
        let begin = Instant::now();
        let mut buffer = [0; 256];
        while begin.elapsed() < limit {
            if let Ok(length) = self.socket.recv(&mut buffer) {
                if buffer[..length].starts_with(b"READY=1")
                    || buffer[..length].windows(8).any(|w| w == b"\nREADY=1")
                {
                    return Some(Ok(()));
                }
            }
            if let Some(how) = ended() {
                return Some(Err(how));
            }
        }
        None
    }
}
