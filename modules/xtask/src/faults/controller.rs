//! What a controller does, without Ansible's start-up: it hands each module its arguments over an ssh connection, as the
//! action plugin does, and takes the steps of the role `cluster` for a brokered join, its rescue included. It can be
//! killed like one.

use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::rows::Operation;
use crate::lab::{LINKS, Lab, Node};

/// The cluster of every group.
pub const CLUSTER: &str = "faults";
/// Where the modules are on a node.
pub const PROGRAM: &str = "/root/pve";

/// A controller at work.
pub struct Controller<'l> {
    lab: &'l Lab<'l>,
    /// Seconds that each module may take.
    timeout: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_dead: bool,
    connection: Option<u32>,
}

/// What came of a call of a module.
enum Answer {
    Said(Value),
    Unreachable(String),
}

/// What came of an operation, as its user sees it.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// All calls succeeded.
    pub is_success: bool,
    /// Messages and warnings, in their order.
    pub told: Vec<String>,
}

impl Attempt {
    /// All on one line.
    pub fn text(&self) -> String {
        self.told.join(" | ").replace('\n', " ")
    }
}

impl<'l> Controller<'l> {
    /// A controller that gives each module so many seconds.
    pub fn new(lab: &'l Lab<'l>, timeout: u64) -> Controller<'l> {
        Controller { lab, timeout, state: Mutex::default() }
    }

    /// kill -9: its connection goes with it.
    pub fn kill(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_dead = true;
        if let Some(process) = state.connection.take() {
            crate::command::Cmd::new("kill").args(["-KILL", &process.to_string()]).read()?;
        }
        Ok(())
    }

    /// The operation in a group of nodes.
    pub fn perform(&self, operation: Operation, nodes: &[Node]) -> Result<Attempt> {
        let mut attempt = Attempt::default();
        attempt.is_success = match operation {
            Operation::Create => {
                let args = json!({ "cluster_name": CLUSTER, "links": links(nodes[0]) });
                self.must(&mut attempt, nodes[0], "pve_cluster_create", args)?.is_some()
            }
            Operation::AdmitSecond | Operation::JoinSecond => self.join(&mut attempt, nodes[0], nodes[1])?,
            Operation::AdmitThird | Operation::JoinThird => self.join(&mut attempt, nodes[0], nodes[2])?,
            Operation::Reset => self.leave(&mut attempt, nodes[2], "leaving")?,
            Operation::Remove => self.remove(&mut attempt, &nodes[..2], nodes[2], false)?,
        };
        Ok(attempt)
    }

    /// Separates a node.
    pub fn leave(&self, attempt: &mut Attempt, node: Node, scope: &str) -> Result<bool> {
        let args = json!({ "confirm": CLUSTER, "scope": scope });
        Ok(self.must(attempt, node, "pve_cluster_reset", args)?.is_some())
    }

    /// Takes a node off the list, and what it leaves off each member; of one that has power its own reset is the proof.
    pub fn remove(
        &self,
        attempt: &mut Attempt,
        members: &[Node],
        gone: Node,
        is_proven: bool,
    ) -> Result<bool> {
        for member in members {
            let nodes = json!([{ "name": gone.name(), "links": links(gone), "proven_stopped": is_proven }]);
            let args = json!({ "cluster_name": CLUSTER, "state": "absent", "nodes": nodes });
            if self.must(attempt, *member, "pve_cluster_member", args)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `playbooks/recover.yml -e pve_recover=apply` for these members.
    pub fn recover(&self, members: &[Node]) -> Result<Attempt> {
        let mut attempt = Attempt::default();
        let mut nodes = Vec::new();
        for member in members {
            let Some(said) = self.must(&mut attempt, *member, "pve_cluster_info", json!({}))? else {
                return Ok(attempt);
            };
            let address = member.address(LINKS[0]);
            nodes.push(json!({ "name": member.name(), "address": address, "links": links(*member), "info": said["info"] }));
        }
        for member in members {
            let args = json!({ "cluster_name": CLUSTER, "apply": true, "nodes": nodes });
            if self.must(&mut attempt, *member, "pve_cluster_recover", args)?.is_none() {
                return Ok(attempt);
            }
        }
        attempt.is_success = true;
        Ok(attempt)
    }

    /// `join_brokered.yml` of the role `cluster`.
    fn join(&self, attempt: &mut Attempt, member: Node, joiner: Node) -> Result<bool> {
        let request = json!({ "cluster_name": CLUSTER, "state": "requested" });
        let Some(request) = self.must(attempt, joiner, "pve_cluster_join", request)? else {
            return Ok(false);
        };
        let newcomer = json!({ "name": joiner.name(), "links": links(joiner),
            "public_key": request["join_request"]["public_key"] });
        let admission = json!({ "cluster_name": CLUSTER, "nodes": [newcomer] });
        let material = match self.call(member, "pve_cluster_member", admission)? {
            Answer::Said(said) => {
                attempt.hear(&said);
                said["join_material"][joiner.name()].clone()
            }
            Answer::Unreachable(why) => return attempt.end(why),
        };
        let mut args = json!({ "cluster_name": CLUSTER, "method": "brokered", "links": links(joiner) });
        if !material.is_null() {
            args["material"] = material;
        }
        let stopped = match self.call(joiner, "pve_cluster_join", args)? {
            Answer::Said(said) if said["failed"] != true => {
                attempt.hear(&said);
                return self.validated(attempt, &[member, joiner]);
            }
            Answer::Said(said) => {
                attempt.hear(&said);
                said["stopped"] == true
            }
            // Ansible's rescue is for who failed, not for who is gone.
            Answer::Unreachable(why) => return attempt.end(why),
        };
        let gone = json!([{ "name": joiner.name(), "proven_stopped": stopped }]);
        let args = json!({ "cluster_name": CLUSTER, "state": "absent", "only_pending": true, "nodes": gone });
        match self.call(member, "pve_cluster_member", args)? {
            Answer::Said(said) => attempt.hear(&said),
            Answer::Unreachable(why) => attempt.told.push(why),
        }
        Ok(false)
    }

    /// `validate.yml` of the role `cluster`, on those who took part.
    fn validated(&self, attempt: &mut Attempt, nodes: &[Node]) -> Result<bool> {
        for node in nodes {
            let args = json!({ "cluster_name": CLUSTER, "timeout": 30 });
            if self.must(attempt, *node, "pve_cluster_validate", args)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A call that must succeed for the next one to make sense.
    fn must(&self, attempt: &mut Attempt, node: Node, module: &str, args: Value) -> Result<Option<Value>> {
        match self.call(node, module, args)? {
            Answer::Said(said) => {
                attempt.hear(&said);
                Ok((said["failed"] != true).then_some(said))
            }
            Answer::Unreachable(why) => attempt.end(why).map(|_| None),
        }
    }

    fn call(&self, node: Node, module: &str, mut args: Value) -> Result<Answer> {
        args["_ansible_module_name"] = json!(module);
        let has_no_timeout = args["state"] == "requested" || module == "pve_cluster_info";
        if !has_no_timeout && args["timeout"].is_null() {
            args["timeout"] = json!(self.timeout);
        }
        let Some(mut child) = self.connect(node)? else {
            return Ok(Answer::Unreachable("the controller is dead".to_owned()));
        };
        // A connection that breaks at once has nobody to tell.
        let _ = child.stdin.take().map(|mut input| input.write_all(args.to_string().as_bytes()));
        let output = child.wait_with_output()?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).connection = None;
        let text = String::from_utf8_lossy(&output.stdout);
        match serde_json::from_str(text.trim()) {
            Ok(said) => Ok(Answer::Said(said)),
            Err(_) => Ok(Answer::Unreachable(format!(
                "{node} is unreachable: {} {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            ))),
        }
    }

    fn connect(&self, node: Node) -> Result<Option<Child>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_dead {
            return Ok(None);
        }
        let mut command = self.lab.ssh(node);
        command.arg(format!("{PROGRAM} -")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.stderr(Stdio::piped()).spawn().context("can't start ssh")?;
        state.connection = Some(child.id());
        Ok(Some(child))
    }
}

impl Attempt {
    fn hear(&mut self, said: &Value) {
        let warnings = said["warnings"].as_array().into_iter().flatten();
        let lines = warnings.chain(std::iter::once(&said["msg"])).filter_map(Value::as_str);
        self.told.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
    }

    fn end(&mut self, why: String) -> Result<bool> {
        self.told.push(why);
        Ok(false)
    }
}

/// The links of a node, as the modules take them.
fn links(node: Node) -> Value {
    json!(LINKS.map(|link| json!({ "number": link.0, "address": node.address(link) })))
}
