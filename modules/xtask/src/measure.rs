//! `cargo xtask measure [--write]`: the README's table, measured in the lab with PVE's delays on.
//! Knows what to run and what to time; what is healthy is `oracle`'s.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::command::Cmd;
use crate::demo::playbook;
use crate::lab::{CLUSTER, LINKS, Lab, Node};
use crate::project::Project;
use crate::{build, formation, oracle, stage, venv};

const NODES: u8 = 3;
/// Where the table goes in the README.
const MARKS: [&str; 2] = ["<!-- measured:begin -->\n", "<!-- measured:end -->"];
/// root's on every node of the lab; `brokered` does not ask for it.
const PASSWORD: &str = "Secret123!";
/// Times a quick thing is run for its median.
const RUNS: usize = 51;
/// What all checks together may take, the link probe apart.
const PREFLIGHT: Duration = Duration::from_secs(1);
/// Starts the module so often with nothing but the shell between two looks at the clock, in microseconds. At last
/// a line with the processor's time of all runs, that of the programs they started included, in seconds.
const LOOK: &str = r#"TIMEFORMAT='%3U %3S'
look() { /root/pve "$2" - </root/pve.args >/root/pve.out; }
all() {
  for i in $(seq "$1"); do
    a=$EPOCHREALTIME
    look "$@" || exit 1
    b=$EPOCHREALTIME
    echo $((${b/./} - ${a/./}))
  done
}
{ time all "$@"; } 2>&1
grep -q '"changed"' /root/pve.out"#;

/// A line of the table: what, its value, how it was measured.
struct Row(&'static str, String, String);

/// The command.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let is_write = match args {
        [] => false,
        [flag] if flag == "--write" => true,
        _ => bail!("usage: cargo xtask measure [--write]"),
    };
    stage::run(project, &[])?;
    venv::ensure(project)?;
    let binary = build::build(project, None)?;
    let lab = Lab::open(project)?;
    let nodes = Node::first(NODES);
    lab.up(NODES)?;
    lab.delays(true)?;

    let mut rows = vec![Row(
        "size of the binary",
        format!("{:.2} MB", binary.size as f64 / 1e6),
        "one file, static".into(),
    )];
    eprintln!("== before: prepared nodes in no cluster");
    lab.reset(&nodes)?;
    formation::prepare(project, NODES)?;
    place(&binary.path, &nodes)?;
    let args = preflight_args(&lab, &nodes)?;
    let names = ["`pve_preflight` before a join, process time", "`pve_preflight` before a join, wall clock"];
    rows.extend(looks(&lab, nodes[2], "pve_preflight", "a prepared node", names, &args, Some(PREFLIGHT))?);
    for method in ["brokered", "api"] {
        eprintln!("== {method}: fresh nodes");
        lab.reset(&nodes)?;
        let fresh = time(|| site(project, method))?;
        oracle::await_healthy(&lab, &nodes, LINKS.len() as u8, Duration::from_secs(15))?;
        let joins = joins(&lab, &nodes, method)?;
        let (what, join) = match method {
            "brokered" => {
                ("`site.yml`, three fresh nodes to a validated cluster", "join of one node, `brokered`")
            }
            _ => ("the same with `pve_join_method: api`", "join of one node, `api`"),
        };
        rows.push(Row(what, seconds(fresh), "wall clock of `ansible-playbook`".into()));
        let each: Vec<String> = joins.iter().map(|join| seconds(*join)).collect();
        let how = match method {
            "brokered" => {
                "the audit log's duration on each joiner; its API restarts while the next wave joins"
            }
            _ => "the audit log's duration on each joiner, the API's restart included",
        };
        rows.push(Row(join, each.join(", "), how.into()));
        if method == "brokered" {
            let again = time(|| site(project, method))?;
            rows.push(Row(
                "`site.yml` again, nothing to do",
                seconds(again),
                "wall clock of `ansible-playbook`".into(),
            ));
        }
    }
    place(&binary.path, &nodes)?;
    let preflight = preflight_args(&lab, &nodes)?;
    for (module, names, args, limit) in [
        (
            "pve_cluster_info",
            ["`pve_cluster_info`, process time", "`pve_cluster_info`, wall clock"],
            json!({}),
            None,
        ),
        (
            "pve_preflight",
            ["`pve_preflight`, process time", "`pve_preflight`, wall clock"],
            preflight,
            Some(PREFLIGHT),
        ),
    ] {
        rows.extend(looks(&lab, nodes[0], module, "a member of three", names, &args, limit)?);
    }

    let table = table(&rows, &conditions()?);
    print!("{table}");
    if is_write {
        let path = project.path("README.md");
        let readme = insert(&fs::read_to_string(&path)?, MARKS, &table)?;
        fs::write(&path, readme).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

fn site(project: &Project, method: &str) -> Result<()> {
    // A file, since a command line is for all to read.
    let vars = project.lab().join("measure.json");
    let content = json!({"pve_join_method": method, "pve_join_password": PASSWORD});
    fs::write(&vars, content.to_string()).with_context(|| format!("can't write {}", vars.display()))?;
    playbook(project, "site.yml", &["-e", &format!("@{}", vars.display())]).run()
}

fn time(what: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    what()?;
    Ok(start.elapsed())
}

fn place(binary: &Path, nodes: &[Node]) -> Result<()> {
    nodes.iter().try_for_each(|node| {
        let to = format!("{}:/root/pve", node.container());
        Cmd::new("docker").arg("cp").arg(binary).arg(to).read().map(drop)
    })
}

/// The two rows of a module; fails where its wall clock is beyond the limit.
fn looks(
    lab: &Lab<'_>,
    node: Node,
    module: &str,
    on: &str,
    names: [&'static str; 2],
    args: &Value,
    limit: Option<Duration>,
) -> Result<[Row; 2]> {
    let (process, wall) = look(lab, node, module, args)?;
    if let Some(limit) = limit {
        ensure!(wall <= limit, "{module} took {wall:?} on {on}, more than {limit:?}");
    }
    let how = format!("user and system, with the programs it asks; mean of {RUNS} runs on {on}");
    let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    Ok([
        Row(names[0], milliseconds(process), how),
        Row(names[1], milliseconds(wall), format!("median of the same {RUNS} runs")),
    ])
}

/// Process time and wall clock of a module, without Ansible and without ssh.
fn look(lab: &Lab<'_>, node: Node, module: &str, args: &Value) -> Result<(Duration, Duration)> {
    lab.write(node, "/root/pve.args", &json!({ "ANSIBLE_MODULE_ARGS": args }).to_string())?;
    let said = lab.succeed(node, &["bash", "-c", LOOK, "look", &RUNS.to_string(), module])?;
    let (runs, total) = said.trim_end().rsplit_once('\n').context("no run was timed")?;
    let wall = runs.lines().map(|line| Ok(Duration::from_micros(line.trim().parse()?)));
    let wall = median(wall.collect::<Result<_>>()?).context("no run was timed")?;
    let process = total.split(' ').map(|seconds| Ok(seconds.parse::<f64>()?)).sum::<Result<f64>>()?;
    Ok((Duration::from_secs_f64(process / RUNS as f64), wall))
}

/// All checks, with what a play knows of the other nodes.
fn preflight_args(lab: &Lab<'_>, nodes: &[Node]) -> Result<Value> {
    let mut known = Vec::new();
    for node in nodes {
        let look = "echo '{}' | /root/pve pve_cluster_info -";
        let said: Value = serde_json::from_str(&lab.succeed(*node, &["sh", "-c", look])?)?;
        let links: Vec<Value> =
            LINKS.iter().map(|link| json!({ "number": link.0, "address": node.address(*link) })).collect();
        let address = node.address(LINKS[0]);
        known.push(json!({ "name": node.name(), "address": address, "links": links, "info": said["info"] }));
    }
    // The lab's nodes have no repository of Proxmox VE, which is told and is no fault.
    Ok(json!({ "cluster_name": CLUSTER, "nodes": known, "bridges": [LINKS[0].card()], "report_only": true }))
}

/// How long each join took by the node's own record.
fn joins(lab: &Lab<'_>, nodes: &[Node], method: &str) -> Result<Vec<Duration>> {
    let mut found = Vec::new();
    for node in nodes {
        let log = lab.exec(*node, &["cat", "/var/log/pve-cluster-audit.jsonl"])?;
        for line in String::from_utf8_lossy(&log.stdout).lines() {
            found.extend(join_in(line, method)?);
        }
    }
    ensure!(
        found.len() + 1 == nodes.len(),
        "{} {method} joins recorded on {} nodes",
        found.len(),
        nodes.len()
    );
    Ok(found)
}

fn join_in(line: &str, method: &str) -> Result<Option<Duration>> {
    let entry: Value = serde_json::from_str(line).with_context(|| format!("audit line {line:?}"))?;
    let is_it = entry["operation"] == "join" && entry["method"] == method && entry["result"] == "succeeded";
    let duration = entry["duration"].as_f64().filter(|_| is_it);
    Ok(duration.map(Duration::from_secs_f64))
}

fn median(mut values: Vec<Duration>) -> Option<Duration> {
    values.sort();
    values.get(values.len() / 2).copied()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn conditions() -> Result<String> {
    let date = Cmd::new("date").arg("+%F").read()?;
    let cores = std::thread::available_parallelism()?;
    Ok(format!(
        "Measured on {} by `cargo xtask measure --write`: three lab nodes with PVE's delays, all on {cores} cores.",
        date.trim()
    ))
}

fn table(rows: &[Row], conditions: &str) -> String {
    let mut table = format!("{conditions}\n\n| what | measured | how |\n|---|---|---|\n");
    for Row(what, value, how) in rows {
        let _ = writeln!(table, "| {what} | {value} | {how} |");
    }
    table
}

/// The document with the table in place of the one before.
pub fn insert(document: &str, marks: [&str; 2], table: &str) -> Result<String> {
    let [begin, end] = marks;
    let before = document.split_once(begin).with_context(|| format!("the document has no mark {begin:?}"))?;
    let after = before.1.split_once(end).with_context(|| format!("the document has no mark {end:?}"))?;
    Ok(format!("{}{begin}{table}{end}{}", before.0, after.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_replaces_the_one_before() {
        let document = "a\n<!-- measured:begin -->\nold\n<!-- measured:end -->\nb\n";
        let new = "a\n<!-- measured:begin -->\nnew\n<!-- measured:end -->\nb\n";
        assert_eq!(insert(document, MARKS, "new\n").unwrap(), new);
        assert!(insert("no marks", MARKS, "new\n").is_err());
    }

    #[test]
    fn only_a_join_that_succeeded_by_the_method_counts() {
        let line = |operation: &str, method: &str, result: &str| {
            format!(r#"{{"operation":"{operation}","method":"{method}","result":"{result}","duration":1.5}}"#)
        };
        let counted = |line: &str| join_in(line, "api").unwrap();
        assert_eq!(counted(&line("join", "api", "succeeded")), Some(Duration::from_millis(1500)));
        for other in [
            line("admit", "api", "succeeded"),
            line("join", "ssh", "succeeded"),
            line("join", "api", "failed"),
        ] {
            assert_eq!(counted(&other), None);
        }
        assert!(join_in("half a li", "api").is_err());
    }

    #[test]
    fn the_median_is_the_middle() {
        let milliseconds = |values: &[u64]| values.iter().copied().map(Duration::from_millis).collect();
        assert_eq!(median(milliseconds(&[9, 1, 2])), Some(Duration::from_millis(2)));
        assert_eq!(median(Vec::new()), None);
    }
}
