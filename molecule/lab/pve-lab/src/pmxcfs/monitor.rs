//! The eye on corosync: one long-running `corosync-quorumtool -m`, whose every report is news, and a look at the
//! configuration map after each. While corosync is away it tries again as seldom as pmxcfs does.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::cfs::Cfs;
use super::cluster_info::{ClusterInfo, QuorumReader, QuorumView};
use crate::delays::Step;

/// How often others' changes are looked for when nobody asks.
const TICK: Duration = Duration::from_millis(100);
/// How often the configuration map is read again after news, and else.
const AFTER_NEWS: Duration = Duration::from_millis(500);
const BETWEEN_NEWS: Duration = Duration::from_secs(5);
const NEWS_LASTS: Duration = Duration::from_secs(6);

enum News {
    Quorum(QuorumView),
    Gone,
}

/// Watches until the process ends.
pub fn watch(cfs: &Arc<Cfs>) {
    loop {
        let news = listen();
        follow(cfs, &news);
        cfs.corosync_lost();
        cfs.host.delays.take(Step::CorosyncRetry);
    }
}

/// Starts quorumtool and turns its output into news. Its pipe is line-buffered by stdbuf, else reports would wait.
fn listen() -> Receiver<News> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let child = Command::new("stdbuf")
            .args(["-oL", "corosync-quorumtool", "-m"])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        if let Ok(mut child) = child {
            let mut reader = QuorumReader::default();
            let lines = child.stdout.take().map(BufReader::new);
            for line in lines.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                if let Some(view) = reader.line(&line) {
                    if sender.send(News::Quorum(view)).is_err() {
                        break;
                    }
                }
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        // The receiver may be gone already: then nobody cares.
        let _ = sender.send(News::Gone);
    });
    receiver
}

fn follow(cfs: &Cfs, news: &Receiver<News>) {
    let mut next_look = Instant::now();
    let mut news_until = Instant::now() + NEWS_LASTS;
    let mut conf_seen = Vec::new();
    let mut connected = false;
    loop {
        match news.recv_timeout(TICK) {
            Ok(News::Quorum(view)) => {
                connected = true;
                look(cfs);
                cfs.quorum_seen(view);
                news_until = Instant::now() + NEWS_LASTS;
            }
            Ok(News::Gone) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => cfs.tick(),
        }
        let conf = cfs.host.read("/etc/corosync/corosync.conf").unwrap_or_default();
        if conf != conf_seen {
            conf_seen = conf;
            news_until = Instant::now() + NEWS_LASTS;
            next_look = Instant::now();
        }
        if connected && Instant::now() >= next_look {
            look(cfs);
            let pause = if Instant::now() < news_until { AFTER_NEWS } else { BETWEEN_NEWS };
            next_look = Instant::now() + pause;
        }
    }
}

fn look(cfs: &Cfs) {
    let map = cfs.host.run(&["corosync-cmapctl"]);
    if let Some(info) = ClusterInfo::from_cmap(&map.stdout) {
        cfs.cluster_seen(info);
    }
}
