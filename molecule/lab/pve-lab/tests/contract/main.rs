//! The emulator held against what genuine Proxmox VE answered (`../golden`). Plays scenarios on nodes of its own,
//! runs each recorded command there and compares; every transcript is run by a scenario or listed with a reason in
//! `not_modelled.txt`. `cargo test -p pve-lab --test contract -- NAME` plays the scenarios whose name has NAME.
//! With `PVE_LAB=1` the nodes are the lab's containers, with genuine corosync and systemd: it takes them over.

mod bench;
mod compare;
mod containers;
mod disk;
mod fakes;
mod https;
mod listing;
mod namespaces;
mod normalise;
mod scenarios;
mod session;
mod terminal;
mod transcript;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use listing::{Kind, Listing};
use session::{Session, Verdict};

fn main() -> ExitCode {
    let mut args = std::env::args();
    let called_as = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    if let Some(status) = fakes::play(called_as.rsplit('/').next().unwrap_or_default(), &args) {
        return ExitCode::from(u8::try_from(status).unwrap_or(255));
    }
    transcript::check_parser();
    // A scenario that breaks is a finding, reported as such.
    std::panic::set_hook(Box::new(|_| {}));
    let wanted: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    let chosen: Vec<_> = scenarios::ALL
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part)))
        .collect();
    if args.iter().any(|arg| arg == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let listing = Listing::load();
    let (verdicts, mut findings) = play(&chosen, &listing);
    findings.extend(listing.findings());
    if wanted.is_empty() {
        findings.extend(uncovered(&verdicts, &listing));
    }
    report(&verdicts, &findings, &listing)
}

/// The lab is one; namespaces are as many as this machine has processors.
fn play(chosen: &[&scenarios::Scenario], listing: &Listing) -> (BTreeMap<String, Verdict>, Vec<String>) {
    let in_lab = std::env::var_os("PVE_LAB").is_some();
    let workers = if in_lab { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    let disks = namespaces::Disks::default();
    let queue = Mutex::new(chosen.iter());
    let results = Mutex::new((BTreeMap::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some((name, scenario)) = queue.lock().expect("no worker panics with it").next()
                    else {
                        break;
                    };
                    let begin = Instant::now();
                    let bench: Box<dyn bench::Bench + '_> = match in_lab {
                        true => Box::new(containers::Containers::open()),
                        false => Box::new(namespaces::Namespaces::new(&disks)),
                    };
                    let mut session = Session::new(bench, listing);
                    let ended = catch_unwind(AssertUnwindSafe(|| scenario(&mut session)));
                    let word = if ended.is_ok() { "played" } else { "broke" };
                    let seconds = begin.elapsed().as_secs_f32();
                    println!(
                        "scenario {name} {word}: {} transcripts, {seconds:.1} s",
                        session.verdicts.len()
                    );
                    let mut results = results.lock().expect("no worker panics with it");
                    results.0.extend(session.verdicts.drain(..));
                    if let Err(panic) = ended {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text =
                            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        results.1.push(format!("scenario {name} broke: {}", text.unwrap_or_default()));
                    }
                }
            });
        }
    });
    results.into_inner().expect("no worker panics with it")
}

/// Transcripts that no scenario ran and no line lists.
fn uncovered(verdicts: &BTreeMap<String, Verdict>, listing: &Listing) -> Vec<String> {
    let in_lab = std::env::var_os("PVE_LAB").is_some();
    let is_covered = |path: &String| {
        verdicts.contains_key(path)
            || match listing.kind(path) {
                Some(Kind::Outside) => true,
                Some(Kind::Genuine) => !in_lab,
                Some(Kind::Deviates) | None => false,
            }
    };
    transcript::all()
        .into_iter()
        .filter(|path| !is_covered(path))
        .map(|path| format!("{path} is neither run nor listed"))
        .collect()
}

fn report(verdicts: &BTreeMap<String, Verdict>, findings: &[String], listing: &Listing) -> ExitCode {
    let mut wrong = 0;
    for path in
        verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Wrong(_))).map(|(path, _)| path)
    {
        wrong += 1;
        println!("differs: {path}");
    }
    for finding in findings {
        println!("\n{finding}");
    }
    let same = verdicts.values().filter(|verdict| matches!(verdict, Verdict::Same)).count();
    let known = verdicts.values().filter(|verdict| matches!(verdict, Verdict::KnownToDiffer)).count();
    let total = transcript::all().len();
    let of = |kind| transcript::all().iter().filter(|path| listing.kind(path) == Some(kind)).count();
    println!(
        "\n{total} transcripts: {same} agree, {wrong} differ, {known} known to differ, {} for genuine programs, {} outside",
        of(Kind::Genuine),
        of(Kind::Outside)
    );
    let failed = wrong + findings.len();
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {word}. {same} passed; {failed} failed; {known} ignored; 0 measured; 0 filtered out"
    );
    ExitCode::from(u8::from(failed > 0))
}
