//! The eye on corosync: a long-running `corosync-quorumtool -m` says that something happened, `-s` says what is. (A
//! report of `-m` alone is not enough: it may lag one event behind, and a changed vote count gives none.) While
//! corosync is away it tries again as seldom as pmxcfs does.

use std::io::{BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::cfs::Cfs;
use super::cluster_info::{ClusterInfo, QuorumView};
use crate::delays::Step;

/// How often others' changes are looked for when nobody asks.
const TICK: Duration = Duration::from_millis(100);
/// How often corosync is asked shortly after news, and else.
const AFTER_NEWS: Duration = Duration::from_millis(300);
const BETWEEN_NEWS: Duration = Duration::from_millis(900);
const NEWS_LASTS: Duration = Duration::from_secs(4);

/// Watches until the process ends.
pub fn watch(cfs: &Arc<Cfs>) {
    loop {
        if look(cfs) {
            let news = listen();
            follow(cfs, &news);
        }
        cfs.corosync_lost();
        cfs.host.delays.take(Step::CorosyncRetry);
    }
}

/// A message whenever quorumtool prints; the channel closes when it ends.
fn listen() -> Receiver<()> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // stdbuf, else its reports would wait in the pipe's buffer.
        let child = Command::new("stdbuf")
            .args(["-oL", "corosync-quorumtool", "-m"])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else { return };
        if let Some(pipe) = child.stdout.take() {
            let mut pipe = BufReader::new(pipe);
            let mut chunk = [0; 4096];
            while pipe.read(&mut chunk).is_ok_and(|count| count > 0) {
                if sender.send(()).is_err() {
                    break;
                }
            }
        }
        let _ = child.kill();
        let _ = child.wait();
    });
    receiver
}

/// Until corosync is gone.
fn follow(cfs: &Cfs, news: &Receiver<()>) {
    let mut next_look = Instant::now();
    let mut news_until = Instant::now() + NEWS_LASTS;
    let mut conf_seen = Vec::new();
    loop {
        match news.recv_timeout(TICK) {
            Ok(()) => {
                while news.try_recv().is_ok() {}
                news_until = Instant::now() + NEWS_LASTS;
                next_look = Instant::now();
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => cfs.tick(),
        }
        let conf = cfs.host.read("/etc/corosync/corosync.conf").unwrap_or_default();
        if conf != conf_seen {
            conf_seen = conf;
            news_until = Instant::now() + NEWS_LASTS;
        }
        if Instant::now() >= next_look {
            if !look(cfs) {
                return;
            }
            let pause = if Instant::now() < news_until { AFTER_NEWS } else { BETWEEN_NEWS };
            next_look = Instant::now() + pause;
        }
    }
}

/// Takes in what corosync says now; false when it says nothing.
fn look(cfs: &Cfs) -> bool {
    let answer = cfs.host.run(&["corosync-quorumtool", "-s"]);
    let Some(view) = QuorumView::from_quorumtool(&answer.stdout) else { return false };
    let map = cfs.host.run(&["corosync-cmapctl"]);
    if let Some(info) = ClusterInfo::from_cmap(&map.stdout) {
        cfs.cluster_seen(info);
    }
    cfs.quorum_seen(view);
    true
}
