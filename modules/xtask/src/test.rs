//! `cargo xtask test`: every layer, one line each as it ends; and the closing count.
//! Each layer runs as a process of its own (`cargo xtask layer NAME`) with a deadline and its log; this file
//! knows nothing about what a layer does.

mod collection;
mod lanes;
mod layers;
mod record;
pub(crate) mod report;
mod roles;
mod sanity;
mod tally;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::Cmd;
use crate::lab::layout;
use crate::project::Project;
use crate::tool;
use layers::{LAYERS, Layer};
use record::Record;
use tally::Tally;

/// Seconds that a layer has after its deadline to put its things away.
const GRACE: &str = "60";

/// How much longer the long form of a layer may take.
const LONGER: u32 = 5;

/// How a layer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// What the user asked for.
struct Choice {
    is_full: bool,
    layers: Vec<&'static Layer>,
}

/// The command: `test [--full] [LAYER…]`.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let choice = parse(args)?;
    tool::need("git", "git")?;
    tool::need("timeout", "coreutils")?;
    tool::need("setpriv", "util-linux")?;
    let logs = project.target().join("test-logs");
    fs::create_dir_all(&logs).with_context(|| format!("can't make {}", logs.display()))?;
    let start = Instant::now();
    println!("running {} layers, logs in {}", choice.layers.len(), logs.display());
    if choice.layers.iter().any(|layer| layer.uses_lab) {
        println!("the lab's nodes are made anew, and removed at the end");
    }
    // Only the whole product is long enough to be worth resuming, and only over the same sources.
    let record = Mutex::new(if choice.is_full { Some(Record::open(project)?) } else { None });
    let mut verdicts = lanes::play(&choice.layers, choice.is_full, |layer, lost| {
        play(project, layer, lost, &choice, &logs, &record).unwrap_or_else(|error| {
            report(layer, Verdict::Failed, None, &format!("{error:#}"));
            Verdict::Failed
        })
    });
    if choice.layers.iter().any(|layer| layer.uses_lab) {
        if let Err(error) = crate::lab::run(project, &["down".to_owned()]) {
            println!("the lab could not be taken down: {error:#}");
            verdicts.push(("lab down", Verdict::Failed));
        }
    }
    for layer in choice.layers.iter().filter(|layer| layer.has_own_lab) {
        let down = Cmd::new(myself()).args(["lab", "down"]).envs(environment(project, layer)).run();
        if let Err(error) = down {
            println!("the lab of {} could not be taken down: {error:#}", layer.name);
            verdicts.push(("lab down", Verdict::Failed));
        }
    }
    let count = |wanted| verdicts.iter().filter(|(_, verdict)| *verdict == wanted).count();
    let (passed, failed, skipped) = (count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Skipped));
    println!("in {}", clock(start.elapsed()));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed + skipped > 0 { bail!("not everything passed: see {}", logs.display()) } else { Ok(()) }
}

/// The command: `layer [--full] NAME`, one layer in sight of the user.
pub fn run_one(project: &Project, args: &[String]) -> Result<()> {
    let choice = parse(args)?;
    match choice.layers.as_slice() {
        [layer] => (layer.run)(project, choice.is_full),
        _ => bail!("usage: cargo xtask layer [--full] NAME\n\n{}", names()),
    }
}

/// One layer, unless it is known how it ends.
fn play(
    project: &Project,
    layer: &Layer,
    lost: Option<&str>,
    choice: &Choice,
    logs: &Path,
    record: &Mutex<Option<Record>>,
) -> Result<Verdict> {
    let locked = || record.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(need) = lost {
        report(layer, Verdict::Skipped, None, &format!("needs {need}"));
        return Ok(Verdict::Skipped);
    }
    if let Some(earlier) = locked().as_ref().and_then(|record| record.passed(layer.name)) {
        report(layer, Verdict::Passed, None, &format!("{earlier}, same sources"));
        return Ok(Verdict::Passed);
    }
    let verdict = run_layer(project, layer, choice, logs)?;
    if let (Verdict::Passed, Some(record)) = (verdict, locked().as_mut()) {
        record.add(layer.name)?;
    }
    Ok(verdict)
}

fn run_layer(project: &Project, layer: &Layer, choice: &Choice, logs: &Path) -> Result<Verdict> {
    let path = logs.join(format!("{}.log", layer.name));
    let log = File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
    let start = Instant::now();
    let deadline = if choice.is_full { layer.deadline * LONGER } else { layer.deadline };
    // timeout leads a process group of its own: when we are interrupted, setpriv has it end with us.
    let status = Cmd::new("setpriv")
        .args(["--pdeathsig", "TERM", "timeout", "--kill-after", GRACE, &deadline.as_secs().to_string()])
        .arg(myself())
        .arg("layer")
        .args(choice.is_full.then_some("--full"))
        .arg(layer.name)
        .env("CARGO_TERM_COLOR", "never")
        .env("NO_COLOR", "1")
        .env("TERM", "dumb")
        .envs(environment(project, layer))
        .dir(project.root())
        .log(&log)?;
    let said = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    let elapsed = start.elapsed();
    let detail = match status.code() {
        Some(124 | 137) => format!("not done after {}", clock(deadline)),
        Some(0) => tally::summary(&said),
        _ => Tally::read(&said).to_string(),
    };
    let verdict = if status.success() { Verdict::Passed } else { Verdict::Failed };
    report(layer, verdict, Some(elapsed), &detail);
    if verdict == Verdict::Failed {
        println!("--- {} ---\n{}\n---", path.display(), tally::excerpt(&said));
    }
    Ok(verdict)
}

/// Our own executable by way of our process: cargo may replace the file while the layers run.
fn myself() -> String {
    format!("/proc/{}/exe", std::process::id())
}

fn environment(project: &Project, layer: &Layer) -> Vec<(&'static str, OsString)> {
    let lab = layer.has_own_lab.then(|| (layout::NUMBER, layout::number_beside().into()));
    let manifest = project.path("modules/xtask").into_os_string();
    lab.into_iter().chain([("CARGO_MANIFEST_DIR", manifest)]).collect()
}

fn report(layer: &Layer, verdict: Verdict, elapsed: Option<Duration>, detail: &str) {
    let word = match verdict {
        Verdict::Passed => "ok",
        Verdict::Failed => "FAILED",
        Verdict::Skipped => "skipped",
    };
    let elapsed = elapsed.map(clock).unwrap_or_default();
    let line = format!("{:14} {word:7} {elapsed:>7}  {}", layer.name, layer.what);
    println!("{line}{}{detail}", if detail.is_empty() { "" } else { ": " });
}

fn parse(args: &[String]) -> Result<Choice> {
    let mut choice = Choice { is_full: false, layers: Vec::new() };
    for arg in args {
        match LAYERS.iter().find(|layer| layer.name == arg) {
            Some(layer) => choice.layers.push(layer),
            None if arg == "--full" => choice.is_full = true,
            None => bail!("no layer {arg:?}\n\n{}", names()),
        }
    }
    if choice.layers.is_empty() {
        choice.layers = LAYERS.iter().filter(|layer| choice.is_full || !layer.is_long).collect();
    }
    Ok(choice)
}

fn names() -> String {
    let lines: Vec<String> =
        LAYERS.iter().map(|layer| format!("  {:14} {}", layer.name, layer.what)).collect();
    format!("layers:\n{}", lines.join("\n"))
}

/// A duration as people write it.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{}:{:02} min", duration.as_secs() / 60, duration.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(clock(Duration::from_millis(1240)), "1.2 s");
        assert_eq!(clock(Duration::from_secs(125)), "2:05 min");
    }

    #[test]
    fn an_unknown_layer_is_refused_with_the_list() {
        let error = parse(&["unti".to_owned()]).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("no layer \"unti\"\n\nlayers:\n"), "{error}");
    }

    #[test]
    fn what_is_long_is_played_in_full_or_by_its_name() {
        let layers = |args: &[&str]| -> Vec<&str> {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            parse(&args).unwrap().layers.iter().map(|layer| layer.name).collect()
        };
        assert!(!layers(&[]).contains(&"soak") && layers(&["--full"]).contains(&"soak"));
        assert_eq!(layers(&["soak"]), ["soak"]);
    }

    #[test]
    fn a_layer_needs_only_layers_before_it() {
        for (index, layer) in LAYERS.iter().enumerate() {
            for need in layer.needs {
                assert!(
                    LAYERS[..index].iter().any(|earlier| earlier.name == *need),
                    "{} needs {need}",
                    layer.name
                );
            }
        }
    }

    #[test]
    fn the_deadlines_leave_no_layer_without_end() {
        assert!(LAYERS.iter().all(|layer| layer.deadline > Duration::ZERO));
    }
}
