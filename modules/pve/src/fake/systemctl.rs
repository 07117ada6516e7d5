//! `systemctl` of a fake node.

use super::Machine;
use super::programs::printed;
use crate::Output;

pub(super) fn run(machine: &mut Machine, args: &[&str]) -> Output {
    let verb = args.iter().find(|arg| !arg.starts_with('-')).copied().unwrap_or_default();
    let units: Vec<String> = args
        .iter()
        .filter(|arg| !arg.starts_with('-') && **arg != verb)
        .map(|arg| if arg.contains('.') { (*arg).to_owned() } else { format!("{arg}.service") })
        .collect();
    match verb {
        "show" => return show(machine, &units),
        "is-active" => return is_active(machine, &units),
        "daemon-reload" | "reset-failed" => return printed(String::new()),
        _ => {}
    }
    let mut failed = String::new();
    for unit in &units {
        if !machine.units.contains_key(unit) {
            failed.push_str(&format!("Failed to {verb} {unit}: Unit {unit} not found.\n"));
            continue;
        }
        let started = match verb {
            "start" | "restart" | "reload-or-restart" | "try-restart" | "try-reload-or-restart" => {
                if verb == "restart" {
                    machine.stop(unit);
                }
                machine.start(unit)
            }
            "stop" => {
                machine.stop(unit);
                true
            }
            "enable" | "disable" => {
                let state = machine.units.get_mut(unit).expect("looked up above");
                state.enabled = format!("{verb}d");
                match (verb, args.contains(&"--now")) {
                    ("enable", true) => machine.start(unit),
                    ("disable", true) => {
                        machine.stop(unit);
                        true
                    }
                    _ => true,
                }
            }
            _ => true,
        };
        if !started {
            failed.push_str(&format!("Job for {unit} failed.\n"));
        }
    }
    let code = i32::from(!failed.is_empty());
    Output { code: Some(code), stdout: String::new(), stderr: failed }
}

/// One block a unit, in the order asked, with an empty line between.
fn show(machine: &Machine, units: &[String]) -> Output {
    let blocks: Vec<String> = units
        .iter()
        .map(|unit| match machine.units.get(unit) {
            Some(state) => format!(
                "Id={unit}\nLoadState=loaded\nActiveState={}\nUnitFileState={}\n",
                state.active, state.enabled
            ),
            None => format!("Id={unit}\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n"),
        })
        .collect();
    printed(blocks.join("\n"))
}

fn is_active(machine: &Machine, units: &[String]) -> Output {
    let states: Vec<&str> = units
        .iter()
        .map(|unit| machine.units.get(unit).map_or("inactive", |state| state.active.as_str()))
        .collect();
    let code = if states.contains(&"active") { 0 } else { 3 };
    Output { code: Some(code), stdout: format!("{}\n", states.join("\n")), stderr: String::new() }
}
