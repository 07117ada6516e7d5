//! `cargo xtask soak [--rounds N] [--write] [--anew]`: rounds of form, add, rejoin, remove and reset on three nodes by the
//! playbooks, and after each a look for what has piled up. What was done is kept, so a run that was cut off goes on with the
//! next round. Knows what to play and to time; what a leak is, is `figures`'.

mod figures;
mod record;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::command::Cmd;
use crate::lab::{Lab, Node};
use crate::project::Project;
use crate::{oracle, stage, venv};
use figures::All;
use record::{Record, Round};

const USAGE: &str = "usage: cargo xtask soak [--rounds N] [--write] [--anew]";
const ROUNDS: usize = 50;
/// Rounds of the covering selection: enough that nodes which were reset form a cluster again.
const FEW: usize = 2;
const NODES: u8 = 3;
const LINKS: u8 = 2;
/// How long corosync may take to show what a playbook has validated already.
const HEALTHY: Duration = Duration::from_secs(60);
/// Process time of all of a container, in nanoseconds, whichever kind of control groups the machine has.
const PROCESS_TIME: &str = "cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || \
                            awk '$1 == \"usage_usec\" {print $2 \"000\"}' /sys/fs/cgroup/cpu.stat";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    rounds: usize,
    is_write: bool,
    is_anew: bool,
}

/// The command.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let options = parse(args)?;
    soak(project, &options)
}

/// What the test command runs: all rounds, or a few.
pub fn layer(project: &Project, is_full: bool) -> Result<()> {
    soak(project, &Options { rounds: if is_full { ROUNDS } else { FEW }, is_write: false, is_anew: !is_full })
}

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options { rounds: ROUNDS, is_write: false, is_anew: false };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--write" => options.is_write = true,
            "--anew" => options.is_anew = true,
            "--rounds" => options.rounds = words.next().context(USAGE)?.parse().context(USAGE)?,
            _ => bail!(USAGE),
        }
    }
    ensure!(options.rounds > 0, USAGE);
    Ok(options)
}

fn soak(project: &Project, options: &Options) -> Result<()> {
    stage::run(project, &[])?;
    venv::ensure(project)?;
    let lab = Lab::open(project)?;
    let bench = Bench::prepare(project, &lab)?;
    let mut record = Record::open(bench.dir.join("record.json"), &tested(project)?, options.is_anew)?;
    let outcome = match record.rounds.len() < options.rounds {
        true => go_on(project, options, &bench, &mut record),
        false => Ok(()),
    };
    lab.delays(true)?;
    table::write(project, &record, options.is_write)?;
    outcome?;
    let faults = record.faults();
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    println!("{} rounds, nothing has piled up", record.rounds.len());
    Ok(())
}

/// Plays the rounds that are left.
fn go_on(project: &Project, options: &Options, bench: &Bench<'_>, record: &mut Record) -> Result<()> {
    bench.begin()?;
    let identity = bench.identity()?;
    while record.rounds.len() < options.rounds {
        let number = record.rounds.len() + 1;
        let round = bench.round(number, &identity, record).or_else(|error| {
            record.fail(number, &format!("{error:#}"))?;
            Err(error.context(format!("round {number}; logs in {}", bench.dir.display())))
        })?;
        println!("round {number}: {}", round.line());
        record.add(round)?;
        if options.is_write {
            // Whoever is cut off keeps what was measured.
            table::write(project, record, true)?;
        }
    }
    Ok(())
}

/// One checksum over the staged collection: rounds over another one say nothing of this one.
fn tested(project: &Project) -> Result<String> {
    let script = "find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum";
    let sum = Cmd::new("sh").args(["-c", script]).dir(project.staged()).read()?;
    Ok(sum.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Where a round is played.
struct Bench<'a> {
    project: &'a Project,
    lab: &'a Lab<'a>,
    nodes: Vec<Node>,
    dir: PathBuf,
    /// The inventory without its last node.
    two: PathBuf,
}

impl<'a> Bench<'a> {
    fn prepare(project: &'a Project, lab: &'a Lab<'a>) -> Result<Bench<'a>> {
        let dir = project.target().join("soak");
        fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        let two = dir.join("two.ini");
        Ok(Bench { project, lab, nodes: Node::first(NODES), dir, two })
    }

    /// Brings the nodes to where a round begins: up and in no cluster. A round that was cut off left them anywhere.
    fn begin(&self) -> Result<()> {
        if Lab::nodes()?.len() > self.nodes.len() {
            self.lab.down(false)?;
        }
        self.lab.up(NODES)?;
        self.lab.delays(false)?;
        let inventory = fs::read_to_string(self.project.lab_inventory())?;
        let last = format!("{} ", self.nodes[2]);
        let two: Vec<&str> = inventory.lines().filter(|line| !line.starts_with(&last)).collect();
        fs::write(&self.two, two.join("\n") + "\n")?;
        if self.play("begin", "reset.yml", 3, &[CONFIRM]).is_err() {
            println!("the nodes can't be brought into no cluster: they are made anew");
            self.lab.reset(&self.nodes)?;
        }
        Ok(())
    }

    /// What tells these nodes from others of the same names: figures of others are no measure for theirs.
    fn identity(&self) -> Result<String> {
        let ids = self.nodes.iter().map(|node| self.lab.succeed(*node, &["cat", "/etc/machine-id"]));
        Ok(ids.collect::<Result<Vec<_>>>()?.concat().split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// One round, from nodes in no cluster to nodes in no cluster.
    fn round(&self, number: usize, identity: &str, record: &Record) -> Result<Round> {
        let nodes = &self.nodes;
        let before = self.process_time()?;
        let mut round =
            Round { number, nodes: identity.to_owned(), load_before: load()?, ..Round::default() };
        let start = Instant::now();
        let mut timed = |label: &str, playbook: &str, hosts: u8, vars: &[&str]| -> Result<()> {
            let start = Instant::now();
            self.play(label, playbook, hosts, vars)?;
            round.plays.push((label.to_owned(), start.elapsed().as_secs_f64()));
            Ok(())
        };
        timed("form", "site.yml", 2, &[])?;
        oracle::await_healthy(self.lab, &nodes[..2], LINKS, HEALTHY)?;
        timed("add", "site.yml", 3, &[])?;
        oracle::await_healthy(self.lab, nodes, LINKS, HEALTHY)?;
        timed("rejoin", "rejoin.yml", 3, &["pve_rejoin=pve3"])?;
        oracle::await_healthy(self.lab, nodes, LINKS, HEALTHY)?;
        let together = self.look(record, identity, |round| &round.together)?;
        timed("remove", "remove.yml", 3, &["pve_remove=pve3"])?;
        oracle::await_healthy(self.lab, &nodes[..2], LINKS, HEALTHY)?;
        timed("reset", "reset.yml", 3, &[CONFIRM])?;
        self.apart()?;
        let apart = self.look(record, identity, |round| &round.apart)?;
        round.seconds = start.elapsed().as_secs_f64();
        round.process_seconds = self.process_time()? - before;
        round.load_after = load()?;
        let told = |when: &'static str, leaks: Vec<String>| {
            leaks.into_iter().map(move |leak| format!("{when}: {leak}"))
        };
        round.leaks = told("as a cluster", together.1).chain(told("in no cluster", apart.1)).collect();
        (round.together, round.apart) = (together.0, apart.0);
        Ok(round)
    }

    /// Figures of now beside those of the earlier rounds of the same nodes. No connection of ours is among them.
    fn look(
        &self,
        record: &Record,
        identity: &str,
        of: impl Fn(&Round) -> &All,
    ) -> Result<(All, Vec<String>)> {
        for node in &self.nodes {
            self.lab.hang_up(*node)?;
        }
        let earlier: Vec<&All> =
            record.rounds.iter().filter(|round| round.nodes == identity).map(of).collect();
        figures::take(self.lab, &self.nodes, &earlier)
    }

    /// No node has anything of a cluster, say its files and corosync.
    fn apart(&self) -> Result<()> {
        for node in &self.nodes {
            let line = format!("{}; ls /etc/pve/nodes; pgrep -x corosync", oracle::OF_A_CLUSTER);
            let said = self.lab.exec(*node, &["sh", "-c", &line])?;
            let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            ensure!(said == node.name(), "{node} was reset and has {said:?}");
        }
        Ok(())
    }

    /// A playbook over the first nodes of the lab, which must succeed.
    fn play(&self, label: &str, playbook: &str, hosts: u8, vars: &[&str]) -> Result<()> {
        let path = self.dir.join(format!("{label}.log"));
        let log = fs::File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
        let inventory = if hosts == 2 { self.two.clone() } else { self.project.lab_inventory() };
        let vars = vars.iter().flat_map(|var| ["-e", var]);
        let status = venv::program(self.project, "ansible-playbook")
            .arg("-i")
            .arg(inventory)
            .arg(format!("playbooks/{playbook}"))
            .args(vars)
            .env("ANSIBLE_NOCOLOR", "1")
            .log(&log)?;
        ensure!(
            status.success(),
            "{label} ({playbook}): {status}\n{}",
            crate::command::tail(&fs::read_to_string(&path)?)
        );
        Ok(())
    }

    /// Seconds that processors have worked for the nodes and for what we started.
    fn process_time(&self) -> Result<f64> {
        let mut seconds = own_process_time()?;
        for node in &self.nodes {
            let said = self.lab.succeed(*node, &["sh", "-c", PROCESS_TIME])?;
            seconds += said.trim().parse::<f64>().context("process time of a node")? / 1e9;
        }
        Ok(seconds)
    }
}

const CONFIRM: &str = "pve_reset_confirm=sddc-cluster";

/// Of the programs that we started and that have ended, which proc(5) counts in hundredths.
fn own_process_time() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    // cutime and cstime; the state is the first field after the name.
    Ok((ticks(13).context("cutime")? + ticks(14).context("cstime")?) / 100.0)
}

fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
    text.split(' ').next().unwrap_or_default().parse().context("/proc/loadavg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let wanted = Options { rounds: 7, is_write: true, is_anew: false };
        assert_eq!(parse(&words("--rounds 7 --write")).unwrap(), wanted);
        assert_eq!(parse(&[]).unwrap().rounds, ROUNDS);
        for wrong in ["--rounds", "--rounds x", "--rounds 0", "more"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_process_time_of_programs_that_ended_counts() {
        let before = own_process_time().unwrap();
        let busy = Cmd::new("sh").args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"]);
        busy.read().unwrap();
        assert!(own_process_time().unwrap() > before);
    }
}
