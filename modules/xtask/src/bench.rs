//! `cargo xtask bench`: what a task costs, by each way that a module can reach a host, measured in the lab and written
//! to BENCHMARKS.md and the README. Knows what to run and what to time, nothing of what the modules do.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::lab::{Lab, Node};
use crate::measure::insert;
use crate::project::Project;
use crate::{command::Cmd, stage, tree, venv};

const MARKS: [&str; 2] = ["<!-- bench:begin -->\n", "<!-- bench:end -->"];
const FOLDER: &str = "modules/xtask/bench";
/// Measured this often, each round all ways one after the other, so that no way has a busy minute for itself.
const ROUNDS: usize = 5;
/// Hosts of each measurement, and tasks of each round besides the first, which opens the connection.
const SIZES: [(u8, usize); 2] = [(1, 15), (10, 5)];
/// A round begins when this part of the machine is idle, or when it was waited for long enough.
const IDLE: f64 = 0.9;
const PATIENCE: Duration = Duration::from_secs(20);

/// A way to reach a host: the row's text, the task, whether it is pipelined.
struct Way {
    row: &'static str,
    action: &'static str,
    is_pipelined: bool,
}

/// In the order of the table.
const WAYS: [Way; 5] = [
    Way { row: "Python module", action: "small_plan", is_pipelined: false },
    Way { row: "Python module, pipelined", action: "small_plan", is_pipelined: true },
    Way { row: "our module, uploaded by Ansible", action: "pve_cluster_plan", is_pipelined: true },
    Way {
        row: "**our module, through the action plugin**",
        action: "sddc.pve.pve_cluster_plan",
        is_pipelined: true,
    },
    Way { row: "`raw`: Ansible's own floor", action: "ansible.builtin.raw", is_pipelined: true },
];
const PIPELINED_PYTHON: usize = 1;
const PLUGIN: usize = 3;
const RAW: usize = 4;

/// The command.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let (is_write, rounds) = match args {
        [] => (false, ROUNDS),
        [flag] if flag == "--write" => (true, ROUNDS),
        [flag, rounds] if flag == "--write" => (true, rounds.parse().context("ROUNDS is a number")?),
        _ => bail!("usage: cargo xtask bench [--write [ROUNDS]]"),
    };
    stage::run(project, &[])?;
    venv::ensure(project)?;
    let lab = Lab::open(project)?;
    let bench = Bench::prepare(project)?;
    let mut columns = Vec::new();
    let mut idle = Vec::new();
    let load = load()?;
    for (hosts, tasks) in SIZES {
        lab.up(hosts)?;
        let mut times: Vec<Vec<f64>> = WAYS.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            for (way, times) in WAYS.iter().zip(&mut times) {
                idle.push(until_calm()?);
                let taken = bench.play(way, hosts, tasks)?;
                eprintln!("{hosts} hosts, round {}: {}: {:.1} ms", round + 1, way.row, median(&taken)?);
                times.extend(taken);
            }
        }
        columns.push(times.iter().map(|times| median(times)).collect::<Result<Vec<f64>>>()?);
    }
    let table = table(&columns);
    let conditions = conditions(project, rounds, &idle, &load)?;
    let is_busy = idle.iter().filter(|idle| **idle >= IDLE).count() * 2 < idle.len();
    let warning = if is_busy { BUSY } else { "" };
    let verdict = verdict(&columns) + warning;
    print!("{table}\n{verdict}\n{conditions}");
    if is_write {
        let path = project.path("BENCHMARKS.md");
        let text = format!("{INTRODUCTION}\n{table}\n{verdict}\n{conditions}");
        let document = insert(&fs::read_to_string(&path)?, MARKS, &text)?;
        fs::write(&path, document).with_context(|| format!("can't write {}", path.display()))?;
        let path = project.path("README.md");
        let readme = insert(&fs::read_to_string(&path)?, MARKS, &(table + warning))?;
        fs::write(&path, readme).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

const BUSY: &str =
    "\n**The machine had other work most of the time: these numbers say little, measure again.**\n";
const INTRODUCTION: &str = "\
What one task costs, from its start to the start of the next, in milliseconds: the median over all tasks of all rounds.
Written by `cargo xtask bench --write`: nodes of the lab, real ssh, `ControlPersist`, as many forks as hosts. Both
modules do equal work (take a list of nodes, return a plan of it); the Python one is in `modules/xtask/bench`. Trust the
ratios rather than the milliseconds: controller and hosts share the machine.
";

/// What the plays need, below target/bench.
struct Bench<'a> {
    project: &'a Project,
    place: PathBuf,
}

impl<'a> Bench<'a> {
    /// A library with the Python module and ours as one file: without its action plugin, Ansible uploads it.
    fn prepare(project: &'a Project) -> Result<Bench<'a>> {
        let place = project.target().join("bench");
        let library = place.join("library");
        if library.exists() {
            fs::remove_dir_all(&library)?;
        }
        fs::create_dir_all(&library)?;
        for file in tree::list(&project.path(FOLDER).join("library"))? {
            fs::copy(&file, library.join(file.file_name().unwrap_or_default()))?;
        }
        let module = project.staged().join("plugins/modules/pve_cluster_plan");
        fs::copy(&module, library.join("pve_cluster_plan")).context("the staged module")?;
        Ok(Bench { project, place })
    }

    /// Milliseconds of each task of one play.
    fn play(&self, way: &Way, hosts: u8, tasks: usize) -> Result<Vec<f64>> {
        let names: Vec<String> = Node::first(hosts).iter().map(|node| node.name()).collect();
        let arguments = match way.action {
            "ansible.builtin.raw" => json!("true"),
            _ => json!({
                "cluster_name": "bench", "fail_on_refuse": false,
                "nodes": [{ "name": "pve1", "address": "10.10.1.21" }],
            }),
        };
        let task = json!({ "name": "Measured", way.action: arguments });
        let plays = json!([{
            "hosts": names.join(","), "gather_facts": false, "tasks": vec![task; tasks + 1],
        }]);
        let (playbook, times, log) =
            (self.place.join("play.yml"), self.place.join("times.txt"), self.place.join("play.log"));
        fs::write(&playbook, serde_json::to_string(&plays)?)?;
        let log_file = fs::File::create(&log)?;
        let status = venv::program(self.project, "ansible-playbook")
            .args(["--forks", &hosts.to_string(), "-i"])
            .arg(self.project.lab_inventory())
            .arg(&playbook)
            .env("ANSIBLE_LIBRARY", self.place.join("library"))
            .env("ANSIBLE_PIPELINING", if way.is_pipelined { "1" } else { "0" })
            .env("ANSIBLE_CALLBACK_PLUGINS", self.project.path(FOLDER).join("callback"))
            .env("ANSIBLE_CALLBACKS_ENABLED", "task_times")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TASK_TIMES", &times)
            .log(&log_file)?;
        ensure!(status.success(), "{}: the play failed, see {}", way.row, log.display());
        let text = fs::read_to_string(&times).with_context(|| format!("no {}", times.display()))?;
        let all: Vec<f64> = text.lines().map(str::parse).collect::<Result<_, _>>().context("task_times")?;
        ensure!(all.len() == tasks + 1, "{}: {} tasks were timed", way.row, all.len());
        Ok(all[1..].to_vec())
    }
}

/// Waits until the machine is calm, but not for ever; returns how idle it was at last.
fn until_calm() -> Result<f64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = ticks()?;
        thread::sleep(Duration::from_secs(1));
        let after = ticks()?;
        let idle = (after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64;
        if idle >= IDLE || Instant::now() >= deadline {
            return Ok(idle);
        }
    }
}

/// Idle ticks and all ticks since the machine was started (proc(5), /proc/stat).
fn ticks() -> Result<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat")?;
    let fields: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    Ok((fields.get(3).copied().context("/proc/stat has no idle time")?, fields.iter().sum()))
}

fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(load.split_whitespace().next().unwrap_or("?").to_owned())
}

fn median(values: &[f64]) -> Result<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("nothing was timed")
}

/// A row a way, a column a size and its ratio to the floor.
fn table(columns: &[Vec<f64>]) -> String {
    let mut table = String::from("| what reaches the host |");
    for (hosts, _) in SIZES {
        let _ = write!(table, " {hosts} host{} | × `raw` |", if hosts == 1 { "" } else { "s at once" });
    }
    table.push_str(&format!("\n|---|{}\n", "---|---|".repeat(SIZES.len())));
    for (index, way) in WAYS.iter().enumerate() {
        let _ = write!(table, "| {} |", way.row);
        for column in columns {
            let _ = write!(table, " {:.0} ms | {:.2} |", column[index], column[index] / column[RAW]);
        }
        table.push('\n');
    }
    table
}

/// Whether the goals are met, in words.
fn verdict(columns: &[Vec<f64>]) -> String {
    let mut text = String::from(
        "Goals: at most 1.2 × `raw`, and at least 4 × faster than the pipelined Python module.\n\n",
    );
    for ((hosts, _), column) in SIZES.iter().zip(columns) {
        let (floor, python) = (column[PLUGIN] / column[RAW], column[PIPELINED_PYTHON] / column[PLUGIN]);
        let word = |is_met: bool| if is_met { "met" } else { "**missed**" };
        let _ = writeln!(
            text,
            "- {hosts} host{}: {floor:.2} × `raw` ({}), {python:.1} × faster than pipelined Python ({}).",
            if *hosts == 1 { "" } else { "s" },
            word(floor <= 1.2),
            word(python >= 4.0),
        );
    }
    text
}

fn conditions(project: &Project, rounds: usize, idle: &[f64], load_before: &str) -> Result<String> {
    let first_line = |text: String| text.lines().next().unwrap_or_default().trim().to_owned();
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unnamed processor");
    let ssh = Cmd::new("ssh").arg("-V").output()?;
    let core = venv::program(project, "ansible-playbook").arg("--version").read()?;
    let versions: Value = json!({
        "date": first_line(Cmd::new("date").arg("+%F").read()?),
        "machine": format!("{} × {}", thread::available_parallelism()?, model.trim_start_matches(['\t', ' ', ':'])),
        "kernel": first_line(Cmd::new("uname").arg("-r").read()?),
        "ansible": first_line(core),
        "python": first_line(venv::program(project, "python").arg("--version").read()?),
        "ssh": first_line(String::from_utf8_lossy(&ssh.stderr).into_owned()),
    });
    let calm = idle.iter().filter(|idle| **idle >= IDLE).count();
    let mut text = String::from("| | |\n|---|---|\n");
    for (name, value) in versions.as_object().into_iter().flatten() {
        let _ = writeln!(text, "| {name} | {} |", value.as_str().unwrap_or_default());
    }
    let _ = writeln!(text, "| rounds | {rounds}, all ways in turn |");
    let _ = writeln!(text, "| load average | {load_before} before, {} after |", load()?);
    let _ = writeln!(
        text,
        "| other work | {calm} of {} plays began on a machine that was at least {:.0} % idle; the median one on {:.0} % |",
        idle.len(),
        IDLE * 100.0,
        median(idle)? * 100.0
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_a_way_and_the_goals_are_judged() {
        let columns = [vec![400.0, 330.0, 160.0, 60.0, 55.0], vec![2400.0, 1900.0, 1000.0, 600.0, 300.0]];
        let table = table(&columns);
        assert_eq!(table.lines().count(), 2 + WAYS.len());
        assert!(
            table.contains("| **our module, through the action plugin** | 60 ms | 1.09 | 600 ms | 2.00 |"),
            "{table}"
        );
        let verdict = verdict(&columns);
        assert!(
            verdict.contains("- 1 host: 1.09 × `raw` (met), 5.5 × faster than pipelined Python (met)."),
            "{verdict}"
        );
        assert!(verdict.contains("- 10 hosts: 2.00 × `raw` (**missed**), 3.2 × faster"), "{verdict}");
    }
}
