//! The rows of the matrix: each step of each operation, by its name in the operation's journal.

/// An operation, with its place in the life of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A node makes a cluster.
    Create,
    /// Its only member lists a second node.
    AdmitSecond,
    /// The second node joins.
    JoinSecond,
    /// One of two members lists a third node.
    AdmitThird,
    /// The third node joins.
    JoinThird,
    /// One of three members leaves, by its own connection; the other two go on.
    Reset,
    /// One of them takes it off the list, while nothing is heard of it.
    Remove,
}

const CREATE: &[&str] = &[
    "take a snapshot",
    "keep root's keys on this node",
    "pvecm create",
    "wait for corosync",
    "wait for quorum",
    "wait for the API",
];
const ADMIT: &[&str] = &["take the cluster's lock", "admit NODE"];
const JOIN: &[&str] = &[
    "take a snapshot",
    "keep root's keys on this node",
    "stop pve-cluster",
    "back up and remove the database",
    "place corosync's configuration",
    "start corosync",
    "start pve-cluster",
    "wait for quorum",
    "pvecm updatecerts --force",
    "restart the API",
    "wait for the API",
    "look from this side",
];
const RESET: &[&str] = &[
    "keep root's keys on this node",
    "keep a copy of /etc/pve",
    "separate this node",
    "make certificates of its own",
    "restart the API",
    "look at what is left",
];
const REMOVE: &[&str] = &["keep a copy of its files", "take NODE off the list", "remove what it leaves"];

impl Operation {
    /// All of them, in the order of a cluster's life.
    pub const ALL: [Operation; 7] = [
        Self::Create,
        Self::AdmitSecond,
        Self::JoinSecond,
        Self::AdmitThird,
        Self::JoinThird,
        Self::Reset,
        Self::Remove,
    ];

    /// Its word on the command line and in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::AdmitSecond => "admit-second",
            Self::JoinSecond => "join-second",
            Self::AdmitThird => "admit-third",
            Self::JoinThird => "join-third",
            Self::Reset => "reset",
            Self::Remove => "remove",
        }
    }

    /// What the table says above its rows.
    pub fn title(self) -> &'static str {
        match self {
            Self::Create => "Create: a node makes a cluster of itself",
            Self::AdmitSecond => "Join of the second node: the admission on the only member",
            Self::JoinSecond => "Join of the second node, brokered: on the joiner",
            Self::AdmitThird => "Join of the third node: the admission on one of two members",
            Self::JoinThird => "Join of the third node, brokered: on the joiner",
            Self::Reset => "Reset: one of three members leaves by its own connection",
            Self::Remove => "Remove: a quorate member takes a node off the list that nothing is heard of",
        }
    }

    /// The kind in the journal.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::AdmitSecond | Self::AdmitThird => "admit",
            Self::JoinSecond | Self::JoinThird => "join",
            Self::Reset => "reset",
            Self::Remove => "remove",
        }
    }

    /// Its steps, in their order.
    pub fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Create => CREATE,
            Self::AdmitSecond | Self::AdmitThird => ADMIT,
            Self::JoinSecond | Self::JoinThird => JOIN,
            Self::Reset => RESET,
            Self::Remove => REMOVE,
        }
    }

    /// Members that a group has before it, and after it.
    pub fn members(self) -> (usize, usize) {
        match self {
            Self::Create => (0, 1),
            Self::AdmitSecond | Self::JoinSecond => (1, 2),
            Self::AdmitThird | Self::JoinThird => (2, 3),
            Self::Reset | Self::Remove => (3, 2),
        }
    }

    /// Which of the group's nodes it runs on.
    pub fn runs_on(self) -> usize {
        match self {
            Self::Create | Self::AdmitSecond | Self::AdmitThird | Self::Remove => 0,
            Self::JoinSecond => 1,
            Self::JoinThird | Self::Reset => 2,
        }
    }

    /// Which of them is the other one, that "power loss of the other" is about.
    pub fn other(self) -> Option<usize> {
        match self {
            Self::Create => None,
            Self::AdmitSecond | Self::Remove => Some(1),
            Self::AdmitThird => Some(2),
            Self::JoinSecond | Self::JoinThird | Self::Reset => Some(0),
        }
    }

    /// Members whose quorum must not suffer by the operation itself.
    pub fn bystanders(self) -> &'static [usize] {
        match self {
            // A cluster of one has no quorum from the admission of its second node on until that is up: PVE's way.
            Self::Create | Self::AdmitSecond | Self::JoinSecond => &[],
            Self::AdmitThird | Self::JoinThird | Self::Reset | Self::Remove => &[0, 1],
        }
    }
}

/// A step of an operation, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The operation.
    pub operation: Operation,
    /// The step.
    pub step: usize,
}

impl Row {
    /// Every row.
    pub fn all() -> Vec<Row> {
        let of =
            |operation: Operation| (1..=operation.steps().len()).map(move |step| Row { operation, step });
        Operation::ALL.into_iter().flat_map(of).collect()
    }

    /// Its name, with NODE for the node that it is about.
    pub fn name(self) -> &'static str {
        self.operation.steps()[self.step - 1]
    }

    /// Its name on the command line: `join-second-4`.
    pub fn word(self) -> String {
        format!("{}-{}", self.operation.word(), self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_runs_on_one_node_and_the_other_is_another() {
        for operation in Operation::ALL {
            assert_ne!(Some(operation.runs_on()), operation.other(), "{operation:?}");
            let (before, after) = operation.members();
            assert_eq!(before.abs_diff(after), 1, "{operation:?}");
        }
        assert_eq!(Row::all().len(), 6 + 2 * (2 + 12) + 6 + 3);
    }
}
