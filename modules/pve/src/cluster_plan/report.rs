//! The plan as a person reads it.

use super::{Action, Plan, Votes};

/// One line a node, then the quorum, then what else is worth knowing.
pub fn lines(plan: &Plan) -> Vec<String> {
    let width = plan.decisions.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut lines: Vec<String> = plan
        .decisions
        .iter()
        .map(|(name, decision)| format!("{name:width$}  {:6}  {}", word(decision.action), decision.reason))
        .collect();
    let mut waves = 0;
    for step in &plan.forecast {
        let quorum = match (step.action, step.quorate_meanwhile) {
            ("create", _) => String::new(),
            (_, true) => ", quorate all the while".to_owned(),
            (_, false) => format!(", without quorum until {} is up", step.nodes.join(", ")),
        };
        let who = match step.action {
            "create" => format!("{} creates", step.nodes.join(", ")),
            _ => {
                waves += 1;
                let verb = if step.nodes.len() == 1 { "joins" } else { "join together" };
                format!("wave {waves}: {} {verb}", step.nodes.join(", "))
            }
        };
        lines.push(format!("{who}: {} -> {}{quorum}", votes(&step.before), votes(&step.after)));
    }
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn votes(votes: &Votes) -> String {
    let failures = match votes.tolerated_failures {
        1 => "1 failure".to_owned(),
        count => format!("{count} failures"),
    };
    format!(
        "{} of {} votes, quorum {}, survives {failures}",
        votes.online_votes, votes.expected_votes, votes.quorum
    )
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Join => "join",
        Action::None => "none",
        Action::Refuse => "refuse",
    }
}
