//! `cargo xtask formation [--nodes N,N…] [--write]`: how long it takes to form clusters of so many nodes, one node
//! after the other and in waves; the table of BENCHMARKS.md. Knows what to run and what to time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::command::Cmd;
use crate::demo::playbook;
use crate::lab::{Lab, Node};
use crate::project::Project;
use crate::{oracle, quorum_watch, stage, venv};

const USAGE: &str = "usage: cargo xtask formation [--nodes N,N…] [--write]";
const SIZES: [u8; 5] = [3, 5, 9, 17, 33];
const LINKS: u8 = 2;
/// Seldom enough to cost next to nothing on a machine that carries many nodes.
const WATCH: Duration = Duration::from_secs(1);
const FILE: &str = "BENCHMARKS.md";
const MARKS: [&str; 2] = ["<!-- formation:begin -->\n", "<!-- formation:end -->\n"];
/// What the document says around the table, where there is none yet.
const SECTION: &str = "\n## Formation: one node after the other and in waves\n\n";

/// Clusters of one size.
struct Row {
    nodes: u8,
    serial: Duration,
    waves: Duration,
    /// The machine's load average before each: a machine that is busy otherwise says little.
    loads: [String; 2],
    /// When, as `date +%F`.
    date: String,
}

/// The command.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let (sizes, is_write) = parse(args)?;
    stage::run(project, &[])?;
    venv::ensure(project)?;
    let path = project.path(FILE);
    let document = fs::read_to_string(&path).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
    // Sizes that are not measured now stay as they were.
    let mut lines = lines_of(&document);
    for nodes in sizes {
        let (serial, serial_load) =
            form(project, nodes, &json!({"pve_join_wave": 1, "pve_validate_stable_for": 0}))?;
        let (waves, waves_load) = form(project, nodes, &json!({"pve_validate_stable_for": 0}))?;
        eprintln!("== {nodes} nodes: {} one by one, {} in waves", seconds(serial), seconds(waves));
        let date = Cmd::new("date").arg("+%F").read()?.trim().to_owned();
        lines.insert(nodes, Row { nodes, serial, waves, loads: [serial_load, waves_load], date }.line());
        // A machine that is too small for the next size keeps what was measured.
        let table = table(&lines, &conditions()?);
        if is_write {
            fs::write(&path, insert(&document, &table)?)
                .with_context(|| format!("can't write {}", path.display()))?;
        } else {
            print!("{table}");
        }
    }
    Ok(())
}

fn parse(args: &[String]) -> Result<(Vec<u8>, bool)> {
    let (mut sizes, mut is_write) = (SIZES.to_vec(), false);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.as_slice().first()) {
            ("--write", _) => is_write = true,
            ("--nodes", Some(list)) => {
                sizes = list.split(',').map(|size| size.parse().context(USAGE)).collect::<Result<_>>()?;
                words.next();
            }
            _ => bail!(USAGE),
        }
    }
    ensure!(sizes.iter().all(|size| (2..=89).contains(size)), "a lab has 2 to 89 nodes");
    Ok((sizes, is_write))
}

/// Fresh nodes that lack nothing but the cluster, and the time in which site.yml makes them one.
fn form(project: &Project, count: u8, vars: &serde_json::Value) -> Result<(Duration, String)> {
    let lab = Lab::open(project)?;
    let nodes = Node::first(count);
    lab.down(false)?;
    lab.up(count)?;
    lab.delays(true)?;
    prepare(project, count)?;
    let given = project.lab().join("formation.json");
    put(&given, vars)?;
    let forks = count.to_string();
    quorum_watch::start(&lab, &nodes, WATCH)?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let start = Instant::now();
    playbook(project, "site.yml", &["--forks", &forks, "-e", &format!("@{}", given.display())]).run()?;
    let elapsed = start.elapsed();
    oracle::await_healthy(&lab, &nodes, LINKS, Duration::from_secs(60))?;
    let samples = quorum_watch::proven(&lab, &nodes)?;
    eprintln!("== {count} nodes: {samples} samples of corosync-quorumtool, none tells of a lost quorum");
    Ok((elapsed, load))
}

/// The role `node_prepare` on all nodes of the lab.
pub fn prepare(project: &Project, count: u8) -> Result<()> {
    let path = project.lab().join("prepare.yml");
    let play = json!([{"hosts": "proxmox_nodes", "gather_facts": false, "roles": ["sddc.pve.node_prepare"]}]);
    put(&path, &play)?;
    venv::program(project, "ansible-playbook")
        .args(["--forks", &count.to_string(), "-i"])
        .arg(project.lab_inventory())
        .arg(&path)
        .dir(project.root())
        .run()
}

fn put(path: &Path, value: &serde_json::Value) -> Result<()> {
    fs::write(path, value.to_string()).with_context(|| format!("can't write {}", path.display()))
}

fn conditions() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    Ok(format!(
        "Measured by `cargo xtask formation --write`: wall clock of `site.yml` on prepared lab nodes with PVE's \
         delays, from the first look to a validated cluster (`pve_validate_stable_for: 0`); all nodes and the controller on {cores} cores. Waves are \
         1, 1, 2, 4, 8 … nodes: what is left of a growth by node is the admission (PVE's own `pvesh`, one call a node) \
         and this one machine's work for all nodes. Machines of their own do that work side by side; here it is one \
         after the other, and the more so the higher the load is."
    ))
}

impl Row {
    fn line(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {:.1} | {} | {} |\n",
            self.nodes,
            seconds(self.serial),
            seconds(self.waves),
            waves(self.nodes),
            self.serial.as_secs_f64() / self.waves.as_secs_f64(),
            self.loads.join(", "),
            self.date
        )
    }
}

/// The rows of the table that a document has, by number of nodes.
fn lines_of(document: &str) -> BTreeMap<u8, String> {
    let section = document.split_once(MARKS[0]).and_then(|(_, rest)| rest.split_once(MARKS[1]));
    let lines = section.map_or("", |(section, _)| section).lines();
    lines
        .filter_map(|line| {
            let nodes = line.strip_prefix("| ")?.split(' ').next()?.parse().ok()?;
            Some((nodes, format!("{line}\n")))
        })
        .collect()
}

fn table(lines: &BTreeMap<u8, String>, conditions: &str) -> String {
    let lines: String = lines.values().map(String::as_str).collect();
    format!(
        "{conditions}\n\n| nodes | one by one | in waves | waves | times as fast | load before each | measured |\n\
         |---|---|---|---|---|---|---|\n{lines}"
    )
}

/// How many waves the nodes after the first make.
fn waves(nodes: u8) -> u32 {
    let (mut members, mut count) = (1_u32, 0);
    while members < u32::from(nodes) {
        members += (members - 1).max(1);
        count += 1;
    }
    count
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// The document with the table in place of the one before, or after everything else.
fn insert(document: &str, table: &str) -> Result<String> {
    let [begin, end] = MARKS;
    let Some((before, rest)) = document.split_once(begin) else {
        return Ok(format!("{}\n{SECTION}{begin}{table}{end}", document.trim_end()));
    };
    let (_, after) = rest.split_once(end).with_context(|| format!("{FILE} has no mark {end:?}"))?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_grow_with_the_logarithm() {
        assert_eq!([2, 3, 5, 9, 17, 33].map(waves), [1, 2, 3, 4, 5, 6]);
        assert_eq!([4, 6].map(waves), [3, 4]);
    }

    #[test]
    fn the_table_replaces_its_own_and_nobody_elses() {
        let first = insert("# Benchmarks\n\nother\n", "one\n").unwrap();
        assert!(first.starts_with("# Benchmarks\n\nother\n\n## Formation"), "{first}");
        let second = insert(&first, "two\n").unwrap();
        assert_eq!(second, first.replace("one\n", "two\n"));
        assert!(insert(MARKS[0], "x").is_err());
    }

    #[test]
    fn sizes_that_were_not_measured_stay() {
        let second = Duration::from_secs(1);
        let row = |nodes, date: &str| Row {
            nodes,
            serial: 2 * second,
            waves: second,
            loads: ["0.10".to_owned(), "0.20".to_owned()],
            date: date.to_owned(),
        };
        let lines: BTreeMap<u8, String> = [3, 17].map(|nodes| (nodes, row(nodes, "then").line())).into();
        let document = insert("", &table(&lines, "as measured")).unwrap();
        let mut known = lines_of(&document);
        assert_eq!(known, lines);
        known.insert(17, row(17, "now").line());
        let text = table(&known, "as measured");
        assert!(text.contains("| 3 | 2.0 s | 1.0 s | 2 | 2.0 | 0.10, 0.20 | then |\n"), "{text}");
        assert!(text.contains("| 17 | 2.0 s | 1.0 s | 5 | 2.0 | 0.10, 0.20 | now |\n"), "{text}");
    }

    #[test]
    fn sizes_are_read() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parse(&words("--nodes 3,17 --write")).unwrap(), (vec![3, 17], true));
        assert!(parse(&words("--nodes 1")).is_err() && parse(&words("more")).is_err());
    }
}
