//! The journal of an operation: a typed file that survives a crash at any line, written atomically, read
//! leniently by a later version of this program. It holds no secret; who runs the operation is not known here.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Node;
use crate::node::FileMode;
use crate::order::sort_short_by;

/// Where journals are.
pub const DIR: &str = "/var/lib/sddc-pve/operations";
/// The mark of an operation that could not be undone.
pub(super) const UNDO: &str = "undo";
/// Its value after the first try.
pub(super) const HALF: &str = "failed";
/// The mark of one of which all is done but to say how it ended.
const CONCLUDED: &str = "concluded";
/// How many ended operations are remembered.
const KEPT: usize = 50;

/// One operation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct Journal {
    /// Form of this file.
    pub version: u32,
    /// Name of this file without its ending.
    pub id: String,
    /// Which one of this node it is: what came last is asked for, and no clock tells that which may be set back.
    pub number: u64,
    /// What is done.
    pub kind: Kind,
    /// To which node or cluster, in words that are the same whenever the same is asked for.
    pub target: String,
    /// Version of the program that runs it.
    pub program: String,
    /// Seconds since 1970.
    pub started: u64,
    /// Seconds since 1970 after which it gives up.
    pub deadline: u64,
    /// How it stands.
    pub state: State,
    /// What was done so far; the last one is under way while the state is running.
    pub steps: Vec<Step>,
    /// What undoing must know, such as the id of the snapshot.
    pub marks: BTreeMap<String, String>,
    /// What came of it.
    pub result: Value,
    /// Why it failed.
    pub error: Option<String>,
    /// What else whoever asked for it should know.
    pub warnings: Vec<String>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Makes a cluster of this node.
    Create,
    /// Lists new nodes in the cluster's configuration.
    Admit,
    /// Takes a node that never came up off the list.
    Withdraw,
    /// Takes a node that was a member off the list, and removes what it leaves.
    Remove,
    /// Makes this node a member.
    Join,
    /// Separates this node from its cluster.
    Reset,
    /// Of another version of this program.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Kind {
    /// Its word in the file and in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Admit => "admit",
            Self::Withdraw => "withdraw",
            Self::Remove => "remove",
            Self::Join => "join",
            Self::Reset => "reset",
            Self::Unknown => "unknown",
        }
    }
}

/// How an operation stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Under way, or its process was killed.
    Running,
    /// Done.
    Succeeded,
    /// Ended with an error and nothing undone.
    Failed,
    /// Ended with an error, and the node is as it was before.
    RolledBack,
    /// Of another version of this program.
    #[default]
    #[serde(other)]
    Unknown,
}

impl State {
    /// Its word in the file and in the audit log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Unknown => "unknown",
        }
    }
}

/// A step of an operation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub struct Step {
    /// What is done, in words.
    pub name: String,
    /// `running`, `ok` or `failed`.
    pub status: String,
    /// Seconds.
    pub elapsed: f64,
    /// What was seen.
    pub detail: String,
}

impl Journal {
    /// Writes it to its file.
    pub fn save(&self, node: &Node) -> anyhow::Result<()> {
        node.create_private_dir(DIR)?;
        let text = serde_json::to_vec(self).context("a journal can't be written as JSON")?;
        node.write(&path(&self.id), &text, FileMode::Private).map(|_| ())
    }

    /// Writes down how it ends before the audit trail has that, and whoever waits for it may know.
    pub(super) fn save_conclusion(&mut self, node: &Node) -> anyhow::Result<()> {
        let ended = std::mem::replace(&mut self.state, State::Running);
        self.marks.insert(CONCLUDED.to_owned(), ended.word().to_owned());
        let saved = self.save(node);
        self.state = ended;
        self.marks.remove(CONCLUDED);
        saved
    }

    /// How it ended, where only that could not be said any more.
    pub(super) fn concluded(&self) -> Option<State> {
        let word = self.marks.get(CONCLUDED)?;
        [State::Succeeded, State::Failed, State::RolledBack].into_iter().find(|state| state.word() == word)
    }

    /// The journal of an id, `None` when there is none or it can't be read.
    pub fn load(node: &Node, id: &str) -> anyhow::Result<Option<Self>> {
        let text = node.read(&path(id))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// The journal of an operation that was begun.
    pub(super) fn of_begun(node: &Node, id: &str) -> anyhow::Result<Self> {
        Self::load(node, id)?.with_context(|| {
            format!(
                "the journal of operation {id} is gone from {DIR}: run again, which looks at what came of it"
            )
        })
    }

    /// All journals, the oldest first.
    pub fn all(node: &Node) -> anyhow::Result<Vec<Self>> {
        let names = node.list(DIR)?;
        let ids = names.iter().filter_map(|name| name.strip_suffix(".json"));
        let mut journals = Vec::new();
        for id in ids.filter(|id| !id.starts_with('.')) {
            journals.extend(Self::load(node, id)?);
        }
        sort_short_by(&mut journals, |a, b| (a.number, a.started, &a.id).cmp(&(b.number, b.started, &b.id)));
        Ok(journals)
    }

    /// Whether it could not be undone when it failed, and this was not tried again yet.
    pub(super) fn is_half_undone(&self) -> bool {
        self.marks.get(UNDO).is_some_and(|tried| tried == HALF)
    }

    /// What an operation is called in messages.
    pub fn title(&self) -> String {
        format!("{} of {} (operation {})", self.kind.word(), self.target, self.id)
    }
}

/// Forgets the oldest ended operations.
pub fn prune(node: &Node) -> anyhow::Result<()> {
    let ended: Vec<Journal> =
        Journal::all(node)?.into_iter().filter(|journal| journal.state != State::Running).collect();
    for journal in &ended[..ended.len().saturating_sub(KEPT)] {
        node.remove(&path(&journal.id))?;
    }
    Ok(())
}

/// Seconds since 1970 on the node's clock.
pub fn unix_seconds(node: &Node) -> u64 {
    node.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn path(id: &str) -> String {
    format!("{DIR}/{id}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn a_journal_of_a_later_version_still_tells_what_is_known() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let text = r#"{"version": 9, "id": "1-merge", "kind": "merge", "state": "paused", "new": [1], "target": "x"}"#;
        fake.write(&path("1-merge"), text);
        let journal = Journal::load(&fake.node(), "1-merge").unwrap().unwrap();
        assert_eq!(
            (journal.kind, journal.state, journal.target.as_str()),
            (Kind::Unknown, State::Unknown, "x")
        );
    }

    #[test]
    fn a_torn_journal_is_none_and_hides_no_other() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        Journal { id: "2-join".into(), ..Journal::default() }.save(&node).unwrap();
        fake.write(&path("1-join"), "{\"id\": \"1-jo");
        let ids: Vec<String> = Journal::all(&node).unwrap().into_iter().map(|journal| journal.id).collect();
        assert_eq!(ids, ["2-join"]);
    }

    #[test]
    fn only_the_oldest_ended_ones_are_forgotten() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        for number in 0..60 {
            let state = if number == 0 { State::Running } else { State::Succeeded };
            // The clock was set back before the last one.
            let started = if number == 59 { 1 } else { 100 + number };
            Journal { id: format!("{number:02}"), number, started, state, ..Journal::default() }
                .save(&node)
                .unwrap();
        }
        prune(&node).unwrap();
        let left: Vec<String> = Journal::all(&node).unwrap().into_iter().map(|journal| journal.id).collect();
        assert_eq!((left.len(), [&*left[0], &*left[1], &*left[50]]), (51, ["00", "10", "59"]));
    }
}
