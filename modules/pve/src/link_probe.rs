//! The probe of corosync's links, before any corosync runs: what each node measures to each other one on each link,
//! over the very ports that corosync will use, and what all of it says together.
//!
//! A node listens with a responder that ends by itself (`responder`, in a unit of its own: `unit`), asks all others
//! (`asker` what and when, `measure` over the network), and the rows of all are compared (`compare`). Who has not the
//! key of the run gets no answer (`datagram`, `replay`).

pub mod asker;
pub mod compare;
pub mod datagram;
mod figures;
pub mod measure;
mod record;
mod replay;
pub mod responder;
pub mod unit;

use std::net::IpAddr;

use anyhow::Context;

/// corosync's port of link 0; each further link has the next (corosync.conf(5), mcastport; knet adds the number).
pub const FIRST_PORT: u16 = 5405;
/// Where the ports that firewalls let through for corosync end. Beside a corosync that runs the probe counts from here.
const LAST_PORT: u16 = 5412;

/// What a responder has of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ear {
    /// Link number.
    pub number: u8,
    /// Address of the node on it.
    pub address: String,
    /// Where it listens.
    pub port: u16,
    /// Another program, mostly corosync itself, has corosync's port.
    pub is_beside: bool,
}

/// A responder, and what it has heard so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// The node that listens.
    pub node: String,
    /// Where.
    pub links: Vec<Ear>,
    /// Whom it has heard.
    pub heard: Vec<Heard>,
}

/// Questions of a node on a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Who asked.
    pub node: String,
    /// On which link.
    pub link: u8,
    /// How many of its questions came, those about the length apart.
    pub count: u32,
}

/// What a node measured: its row of the mesh.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Who measured.
    pub node: String,
    /// To each other node on each link.
    pub paths: Vec<Path>,
    /// What corosync itself says of its links, where it runs.
    pub corosync: Option<Vec<Corosync>>,
}

/// What corosync says of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corosync {
    /// Its number.
    pub link: u8,
    /// Other nodes that it connects.
    pub connected: u32,
    /// Other nodes that there are.
    pub nodes: u32,
}

/// One way from a node to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path {
    /// Link number.
    pub link: u8,
    /// The other node.
    pub to: String,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// That is not corosync's own.
    pub is_beside: bool,
    /// Questions that left this node.
    pub sent: u32,
    /// Answers that came.
    pub answered: u32,
    /// In percent of the questions.
    pub loss: f64,
    /// Nothing when no answer came.
    pub round_trip: Option<RoundTrip>,
    /// The largest packet that came through whole, in bytes with its headers; nothing where none did.
    pub path_mtu: Option<u32>,
    /// The largest that the interface sends.
    pub interface_mtu: Option<u32>,
    /// Why no answer came, as far as this node can tell.
    pub silence: Option<Silence>,
    /// What PVE's rule says of it.
    pub grade: Grade,
}

/// Times of round trips in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoundTrip {
    /// The shortest.
    pub fastest: f64,
    /// Half of them took no longer.
    pub median: f64,
    /// All but one in a hundred took no longer.
    pub p99: f64,
    /// Mean difference between one and the next.
    pub jitter: f64,
}

/// Why a path is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The node that asks has not the address that the link is to have.
    NotLocal,
    /// It knows no way there.
    NoRoute,
    /// Its own firewall lets the question not out.
    FilteredHere,
    /// Somebody says on the way, or there, that nobody listens: a firewall that rejects does too.
    Refused,
    /// No host answers for the address on its network.
    Absent,
    /// The host answers otherwise, so it is up, and the question or the answer is dropped.
    Dropped,
    /// Nothing comes back of any kind.
    Unknown,
}

/// A path by PVE's rule: below 5 ms wanted, above 10 ms unlikely to work.
/// From the best to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// The median is below 5 ms, and nothing was lost.
    Good,
    /// Something is worth a warning.
    Fair,
    /// It is too slow, or loses too much, for corosync.
    Bad,
    /// No answer came.
    #[default]
    Silent,
}

/// What a path may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Milliseconds of a round trip.
    pub latency: f64,
    /// Percent of lost questions.
    pub loss: f64,
}

/// Below so many milliseconds all is well (pvecm(1), "Network Requirements").
const WELL: f64 = 5.0;

impl Silence {
    const ALL: [Self; 7] = [
        Self::NotLocal,
        Self::NoRoute,
        Self::FilteredHere,
        Self::Refused,
        Self::Absent,
        Self::Dropped,
        Self::Unknown,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::NotLocal => "not_local",
            Self::NoRoute => "no_route",
            Self::FilteredHere => "filtered_here",
            Self::Refused => "refused",
            Self::Absent => "absent",
            Self::Dropped => "dropped",
            Self::Unknown => "unknown",
        }
    }
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Bad => "bad",
            Self::Silent => "silent",
        }
    }
}

impl Path {
    /// What the rule says of it. Only the fastest round trip tells that the network is slow: a machine that has much
    /// to do makes the others slow, too.
    pub fn graded(&self, limits: Limits) -> Grade {
        let Some(trip) = self.round_trip else { return Grade::Silent };
        if trip.fastest >= limits.latency || self.loss >= limits.loss || self.is_narrow() {
            return Grade::Bad;
        }
        match trip.median < WELL.min(limits.latency) && trip.jitter < WELL && self.loss == 0.0 {
            true => Grade::Good,
            false => Grade::Fair,
        }
    }

    /// Whether packets that the interface sends are lost for their length.
    fn is_narrow(&self) -> bool {
        self.path_mtu.zip(self.interface_mtu).is_some_and(|(path, interface)| path < interface)
    }
}

fn parse_address(text: &str) -> anyhow::Result<IpAddr> {
    text.parse().with_context(|| format!("{text:?} is no IP address"))
}

/// Where corosync listens on a link, and where the probe does beside it.
fn ports(link: u8) -> [u16; 2] {
    let link = u16::from(link).min(LAST_PORT - FIRST_PORT);
    [FIRST_PORT + link, LAST_PORT - link]
}

#[cfg(test)]
mod tests;
