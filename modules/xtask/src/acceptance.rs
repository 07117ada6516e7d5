//! `cargo xtask acceptance [SCENARIO…]`: what users are promised, proven on the lab one scenario at a time with
//! other tools than our own modules. This file owns the list and its running.

mod access;
mod broken;
mod concurrent;
mod controllers;
mod credentials;
mod delivery;
mod examples;
mod form;
mod health;
mod ipv6;
mod killed;
mod leave;
mod link_probe;
mod middle;
mod networks;
mod operator;
mod passwords;
mod play;
mod qdevice;
mod recover;
mod refusals;
mod registry;
mod report;
mod rivals;
mod scene;
mod secrets;
mod ssh;
mod stuck;
mod trail;
mod trust;
mod undone;
mod waves;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::project::Project;
use crate::test::clock;
use crate::{stage, venv};
use scene::Scene;

/// A controller in a container beside the nodes.
#[derive(Clone)]
struct Container {
    /// Where its Python packages are.
    packages: std::path::PathBuf,
}

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
        name: "delivery",
        what: "the same result by every way a module can come",
        is_long: false,
        run: delivery::both_ways,
    },
    Scenario {
        name: "delivery-every-way",
        what: "the same with and without pipelining",
        is_long: true,
        run: delivery::every_way,
    },
    Scenario {
        name: "delivery-cache",
        what: "the same result from every state of the kept binary",
        is_long: true,
        run: delivery::every_cache,
    },
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
        name: "waves",
        what: "nine nodes in waves cost quorum at the second only, a wave that fails is taken back",
        is_long: true,
        run: waves::nine,
    },
    Scenario {
        name: "links-by-network",
        what: "each node takes its one address in the network of a link",
        is_long: true,
        run: networks::chosen,
    },
    Scenario {
        name: "health",
        what: "check.yml names a stopped node, a cut link, a frozen clock, a foreign certificate, another corosync.conf",
        is_long: true,
        run: health::faults_are_named,
    },
    Scenario {
        name: "report",
        what: "report.yml writes the truth of a healthy, a sick and a hostile cluster, and one without quorum",
        is_long: true,
        run: report::of_every_state,
    },
    Scenario {
        name: "link-probe",
        what: "delay, jitter, loss, blocks and a short MTU are named before any change, a corosync that runs is left alone",
        is_long: true,
        run: link_probe::all,
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
        what: "a join that is told to end undoes, and after kill -9 the next run ends well",
        is_long: true,
        run: access::join_is_killed,
    },
    Scenario {
        name: "ticket",
        what: "tickets join where root has a second factor and no password",
        is_long: true,
        run: credentials::ticket,
    },
    Scenario {
        name: "auto",
        what: "temporary passwords join, and go by themselves",
        is_long: true,
        run: passwords::auto,
    },
    Scenario {
        name: "odd-passwords",
        what: "a password may hold anything, at a terminal too",
        is_long: true,
        run: passwords::odd,
    },
    Scenario {
        name: "token",
        what: "tokens join, also without a controller, and leave nothing",
        is_long: false,
        run: credentials::token,
    },
    Scenario {
        name: "token-attacks",
        what: "a token serves one node, once, in time, for a join only",
        is_long: true,
        run: credentials::token_attacks,
    },
    Scenario {
        name: "ssh",
        what: "pvecm add --use_ssh joins under host pins, its key serves that only",
        is_long: true,
        run: ssh::method,
    },
    Scenario {
        name: "ssh-user",
        what: "a user whose sudo rule admits nodes, and nothing else",
        is_long: true,
        run: ssh::user,
    },
    Scenario {
        name: "sudo-user",
        what: "site.yml by an ordinary user with sudo",
        is_long: true,
        run: ssh::sudo_user,
    },
    Scenario {
        name: "token-registry",
        what: "a token holds when a member is cut off, is down, has another time",
        is_long: true,
        run: registry::holds,
    },
    Scenario {
        name: "man-in-the-middle",
        what: "who is not the member is told no secret; tickets that are over let nobody in",
        is_long: true,
        run: middle::hears_nothing,
    },
    Scenario {
        name: "audit-trail",
        what: "the trail holds over logrotate, and no trail is no join",
        is_long: true,
        run: trail::holds,
    },
    Scenario {
        name: "operator",
        what: "token.yml and audit.yml do what they say, and say why they don't",
        is_long: true,
        run: operator::playbooks,
    },
    Scenario {
        name: "terminated",
        what: "a module that is told to end says so, its operation goes on",
        is_long: true,
        run: access::module_is_terminated,
    },
    Scenario {
        name: "reset",
        what: "a cluster taken apart leaves nodes that form one again",
        is_long: true,
        run: form::reset,
    },
    Scenario {
        name: "remove",
        what: "a node without power is removed, nothing of it is left, and every reason against it is seen",
        is_long: true,
        run: leave::remove,
    },
    Scenario {
        name: "rejoin",
        what: "a node leaves and joins again under its name, the others stay quorate",
        is_long: true,
        run: leave::rejoin,
    },
    Scenario {
        name: "qdevice",
        what: "a quorum device votes for two nodes, is missed when it does not, and goes without a trace",
        is_long: true,
        run: qdevice::all,
    },
    Scenario {
        name: "recover",
        what: "each stuck state is named, what is safe is brought back, nothing else is touched",
        is_long: true,
        run: recover::all,
    },
    Scenario {
        name: "trust",
        what: "wrong host keys, bad certificates and root's keys are mended, nobody else's are touched",
        is_long: true,
        run: trust::all,
    },
    Scenario {
        name: "full-disk",
        what: "a join that finds no room is undone, the next run joins",
        is_long: true,
        run: access::disk_is_full,
    },
    Scenario {
        name: "secrets",
        what: "no secret in output, journal, processes or files",
        is_long: false,
        run: secrets::nowhere,
    },
    Scenario {
        name: "secrets-by-method",
        what: "the same with every other method, and what it makes up by itself",
        is_long: true,
        run: secrets::every_method,
    },
    Scenario {
        name: "examples",
        what: "every example plays, by the collection and from a role's library/",
        is_long: false,
        run: examples::all,
    },
    Scenario {
        name: "installed",
        what: "sddc.pve.site plays from the installed tarball",
        is_long: false,
        run: controllers::installed,
    },
    Scenario {
        name: "runner",
        what: "site.yml plays by ansible-runner: transmit, worker, process",
        is_long: true,
        run: controllers::runner,
    },
    Scenario {
        name: "newer-cores",
        what: "newer versions of ansible-core, Debian 13 as controller",
        is_long: true,
        run: controllers::newer_cores,
    },
];

/// All of them: those of an area of their own are listed there.
fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().chain(killed::SCENARIOS).chain(concurrent::SCENARIOS).chain(broken::SCENARIOS)
}

/// The command.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    play_all(project, choose(args)?)
}

/// What the test command runs: all scenarios, or a covering selection.
pub fn layer(project: &Project, is_full: bool) -> Result<()> {
    play_all(project, scenarios().filter(|scenario| is_full || !scenario.is_long).collect())
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
            Ok(()) => println!("{:24} ok      {elapsed:>8}  {}", scenario.name, scenario.what),
            Err(error) => {
                println!("{:24} FAILED  {elapsed:>8}  {}\n{error:#}", scenario.name, scenario.what);
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
        return Ok(scenarios().collect());
    }
    let find = |name: &String| match scenarios().find(|scenario| scenario.name == name) {
        Some(scenario) => Ok(scenario),
        None => {
            let names: Vec<&str> = scenarios().map(|scenario| scenario.name).collect();
            bail!("no scenario {name:?}: there are {}", names.join(", "))
        }
    };
    args.iter().map(find).collect()
}
