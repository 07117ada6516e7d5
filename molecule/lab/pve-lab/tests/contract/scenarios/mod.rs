//! The scenarios: each makes the state in which transcripts were recorded and runs them there.

mod api;
mod create;
mod filesystem;
mod join;
mod members;
mod removal;
mod standalone;
mod two_links;

use crate::session::Session;

/// A name and what is done under it.
pub type Scenario = (&'static str, fn(&mut Session<'_>));

/// All of them, the longest first so that they end together.
pub const ALL: &[Scenario] = &[
    ("without-quorum", members::without_quorum),
    ("join-refusals", join::refusals),
    ("removal", removal::removal),
    ("removal-online", removal::of_online_node),
    ("separation", removal::separation),
    ("same-name", removal::same_name),
    ("same-name-no-quorum", removal::same_name_without_quorum),
    ("three-nodes", members::three_nodes),
    ("join", join::success),
    ("join-ssh", join::over_ssh),
    ("two-links", two_links::two_links),
    ("two-links-errors", two_links::errors),
    ("two-links-unlucky", two_links::unlucky_joins),
    ("api-join", api::join),
    ("api-create", api::create),
    ("admission", members::admission),
    ("standalone", standalone::commands),
    ("standalone-api", standalone::api),
    ("create-refusals", create::refusals),
    ("create-unusable", create::unusable),
    ("create", create::success),
    ("filesystem", filesystem::filesystem),
];
