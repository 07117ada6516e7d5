//! The plan as a person reads it.

use super::{Action, Plan};

/// One line a node, then the quorum, then what else is worth knowing.
pub fn lines(plan: &Plan) -> Vec<String> {
    let width = plan.decisions.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut lines: Vec<String> = plan
        .decisions
        .iter()
        .map(|(name, decision)| format!("{name:width$}  {:6}  {}", word(decision.action), decision.reason))
        .collect();
    for step in &plan.forecast {
        let quorum = match (step.action, step.is_quorate_meanwhile) {
            ("create", _) => String::new(),
            (_, true) => ", quorate all the while".to_owned(),
            (_, false) => format!(", without quorum until {} is up", step.node),
        };
        lines.push(format!(
            "{} {}s: {} of {} votes, quorum {} -> {} of {}, quorum {}{quorum}",
            step.node,
            step.action,
            step.online_votes.0,
            step.expected_votes.0,
            step.quorum.0,
            step.online_votes.1,
            step.expected_votes.1,
            step.quorum.1
        ));
    }
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Join => "join",
        Action::None => "none",
        Action::Refuse => "refuse",
    }
}
