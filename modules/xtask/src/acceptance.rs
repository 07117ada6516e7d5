//! `cargo xtask acceptance [SCENARIO…]`: what users are promised, proven on the lab one scenario at a time with
//! other tools than our own modules. This file owns the list and its running.

mod access;
mod form;
mod play;
mod refusals;
mod scene;
mod secrets;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::project::Project;
use crate::test::clock;
use crate::{stage, venv};
use scene::Scene;

/// A promise and its proof.
struct Scenario {
    name: &'static str,
    what: &'static str,
    /// Left to the full test: others cover most of it.
    is_long: bool,
    run: fn(&Scene<'_>) -> Result<()>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "check-mode",
        what: "--check --diff shows the plan and touches nothing",
        is_long: false,
        run: form::check_mode,
    },
    Scenario {
        name: "fresh",
        what: "fresh nodes become one cluster, the second run changes nothing",
        is_long: true,
        run: form::fresh,
    },
    Scenario {
        name: "fourth",
        what: "a node added to the inventory joins, nobody else changes",
        is_long: true,
        run: form::fourth,
    },
    Scenario {
        name: "never-two",
        what: "no second cluster with --limit or a host down",
        is_long: true,
        run: form::never_two,
    },
    Scenario {
        name: "refused-api",
        what: "what must be refused is, over the API",
        is_long: false,
        run: refusals::api_joins,
    },
    Scenario {
        name: "refused-brokered",
        what: "what must be refused is, brokered",
        is_long: false,
        run: refusals::brokered_joins,
    },
    Scenario {
        name: "keys-survive",
        what: "the joiner's own ssh keys work throughout, and only there",
        is_long: false,
        run: access::keys_survive,
    },
    Scenario {
        name: "controller-dies",
        what: "a join outlives its controller, the next run attaches",
        is_long: false,
        run: access::controller_dies,
    },
    Scenario {
        name: "join-killed",
        what: "after kill -9 of a join the next run ends well",
        is_long: true,
        run: access::join_is_killed,
    },
    Scenario {
        name: "secrets",
        what: "no secret in output, journal, processes or files",
        is_long: false,
        run: secrets::nowhere,
    },
];

/// The command.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    play_all(project, choose(args)?)
}

/// What the test command runs: all scenarios, or a covering selection.
pub fn layer(project: &Project, is_full: bool) -> Result<()> {
    play_all(project, SCENARIOS.iter().filter(|scenario| is_full || !scenario.is_long).collect())
}

fn play_all(project: &Project, chosen: Vec<&Scenario>) -> Result<()> {
    stage::run(project, &[])?;
    venv::ensure(project)?;
    let mut failed = Vec::new();
    for scenario in chosen {
        let start = Instant::now();
        let outcome = Scene::open(project, scenario.name).and_then(|scene| (scenario.run)(&scene));
        let elapsed = clock(start.elapsed());
        match outcome {
            Ok(()) => println!("{:18} ok      {elapsed:>8}  {}", scenario.name, scenario.what),
            Err(error) => {
                println!("{:18} FAILED  {elapsed:>8}  {}\n{error:#}", scenario.name, scenario.what);
                failed.push(scenario.name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}; logs in {}", failed.join(", "), project.target().join("acceptance").display());
    }
    Ok(())
}

fn choose(args: &[String]) -> Result<Vec<&'static Scenario>> {
    if args.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    let find = |name: &String| match SCENARIOS.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => Ok(scenario),
        None => {
            let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            bail!("no scenario {name:?}: there are {}", names.join(", "))
        }
    };
    args.iter().map(find).collect()
}
