//! The first process of a node: starts its services, buries its dead, and ends with whoever holds its standard
//! input. All other processes of the node end with it.

use std::io::{Read, Write};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, waitpid};

use super::systemctl;

pub fn run() -> i32 {
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        // The end of the input is the end of the node, however it comes.
        let _ = std::io::stdin().read_to_end(&mut rest);
        std::process::exit(0);
    });
    systemctl::boot();
    println!("booted");
    if std::io::stdout().flush().is_err() {
        return 1;
    }
    loop {
        // Without children there is nothing to wait for yet.
        if !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some()) {
            sleep(Duration::from_millis(20));
        }
    }
}
