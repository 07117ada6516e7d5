//! The examples of every module's documentation, played on the lab in check mode: by the collection, and by modules
//! that are files in a role's `library/` with no collection installed. Both return the same.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::delivery::{equal, settled};
use super::play::Play;
use super::scene::{PASSWORD, Scene};
use crate::lab::{LINKS, Node};
use crate::{tree, venv};

const COLLECTION: &str = "sddc.pve.";
/// Words with which the argument check refuses: an example that meets one is wrong, whatever the node is like.
const ARGUMENTS: [&str; 12] = [
    "Unsupported parameters",
    "missing required arguments",
    "must be one of",
    "unable to convert",
    "is of type",
    "mutually exclusive",
    "required together",
    "one of the following is required",
    "of the following are missing",
    "missing parameter(s) required by",
    "no module",
    "is undefined",
];
/// Examples that the lab's cluster must refuse, and in what words: it is healthy, and every node is a member.
const REFUSED: [(&str, &str); 2] =
    [("Take a node off the list that never came up", "online"), ("Join with root's password", "fingerprint")];

/// Every module's examples.
pub fn all(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    let before = scene.untouched(&nodes)?;
    let (mut played, mut refused) = (0, Vec::new());
    for (module, text) in examples(scene)? {
        let tasks = tasks(scene, &text, &nodes).with_context(|| format!("examples of {module}"))?;
        ensure!(tasks.iter().any(|task| action(task).is_some()), "{module} has no example of itself");
        let collection = play(scene, &format!("{module}-collection"), &tasks, false)?;
        let library = play(scene, &format!("{module}-library"), &tasks, true)?;
        equal(&collection, &library).with_context(|| format!("{module} in a role's library/ differs"))?;
        for (task, result) in tasks.iter().zip(collection.values()) {
            let Some(name) = action(task) else { continue };
            let title = task["name"].as_str().unwrap_or(name);
            if let Some(reason) = verdict(title, result).with_context(|| format!("{module}: {title}"))? {
                refused.push(format!("  {module}: {title}: {reason}"));
            }
            played += 1;
        }
    }
    println!(
        "  {played} examples of our modules, {} of them refused:\n{}",
        refused.len(),
        refused.join("\n")
    );
    scene.still_but(&before, &["/root/.ansible", "/var/log", "/run"])
}

/// The reason of a refusal that is in order; an error where the example itself is wrong.
fn verdict(title: &str, result: &Value) -> Result<Option<String>> {
    if result["failed"] != true {
        return Ok(None);
    }
    let msg = result["msg"].as_str().unwrap_or_default();
    for words in ARGUMENTS {
        ensure!(!msg.contains(words), "the example is refused for its arguments: {msg}");
    }
    ensure!(result["module_stdout"].is_null(), "the module did not end properly: {result}");
    if let Some((_, words)) = REFUSED.iter().find(|(name, _)| *name == title) {
        ensure!(msg.contains(words), "it is refused, but not in the words {words:?}: {msg}");
    }
    Ok(Some(msg.lines().next().unwrap_or_default().to_owned()))
}

/// The examples as ansible-doc has them, by module.
fn examples(scene: &Scene<'_>) -> Result<BTreeMap<String, String>> {
    let doc = |args: &[&str]| -> Result<Value> {
        let doc = venv::program(scene.project, "ansible-doc").args(["--json"]).args(args);
        let said = doc.env("ANSIBLE_COLLECTIONS_PATH", scene.project.collections()).read()?;
        serde_json::from_str(&said).context("ansible-doc --json")
    };
    let listed = doc(&["--list", COLLECTION.trim_end_matches('.')])?;
    let names: Vec<&str> = listed.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    ensure!(!names.is_empty(), "the collection has no module");
    let shown = doc(&names)?;
    let mut found = BTreeMap::new();
    for name in names {
        let text = shown[name]["examples"].as_str().with_context(|| format!("{name} has no example"))?;
        found.insert(name.trim_start_matches(COLLECTION).to_owned(), text.to_owned());
    }
    Ok(found)
}

/// The tasks of a text, about the lab's nodes in place of those of the documentation.
fn tasks(scene: &Scene<'_>, text: &str, nodes: &[Node]) -> Result<Vec<Value>> {
    // Three nodes are there; the documentation has four.
    let mut text = text.replace(", node4]", "]").replace("count: 4", "count: 3");
    for (index, node) in nodes.iter().enumerate().map(|(index, node)| (index + 1, node)) {
        text = text.replace(&format!("node{index}"), &node.name());
        for link in LINKS {
            text = text.replace(&format!("10.10.{}.2{index}", link.0 + 1), &node.address(link));
        }
    }
    let file = scene.dir().join("example.yml");
    fs::write(&file, text)?;
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let read = venv::program(scene.project, "python").args(["-c", script]).arg(&file).read()?;
    serde_json::from_str(&read).context("not a list of tasks")
}

/// The module of ours that a task calls.
fn action(task: &Value) -> Option<&str> {
    task.as_object()?.keys().map(String::as_str).find(|key| key.starts_with(COLLECTION))
}

/// Plays the tasks on the first node in check mode; returns their results in order.
fn play(scene: &Scene<'_>, label: &str, tasks: &[Value], is_library: bool) -> Result<Map<String, Value>> {
    let (folder, file) = (scene.dir().join(label), scene.dir().join(format!("{label}.json")));
    let role = folder.join("roles/mine");
    fs::create_dir_all(role.join("tasks"))?;
    let mut all = Vec::new();
    let mut names = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let mut task = task.as_object().cloned().context("a task is no mapping")?;
        if let Some(name) = action(&Value::Object(task.clone())).map(str::to_owned).filter(|_| is_library) {
            let arguments = task.remove(&name).unwrap_or_default();
            task.insert(name.trim_start_matches(COLLECTION).to_owned(), arguments);
        }
        // What a ticket or a key holds is not made in check mode: the one that the play is given stands for it.
        let own =
            task.get("register").and_then(Value::as_str).filter(|name| !["ticket", "key"].contains(name));
        let own = own.map(str::to_owned);
        let name = own.unwrap_or_else(|| format!("result_{index}"));
        task.insert("register".into(), name.as_str().into());
        task.insert("ignore_errors".into(), true.into());
        names.push(name);
        all.push(Value::Object(task));
    }
    let results: Vec<String> =
        names.iter().enumerate().map(|(index, name)| format!("'{index:03}': {name}")).collect();
    all.push(json!({
        "name": "Write down",
        "ansible.builtin.copy": {
            "content": format!("{{{{ {{{}}} | to_json }}}}", results.join(", ")),
            "dest": file.display().to_string(), "mode": "0600",
        },
        "delegate_to": "localhost", "connection": "local", "run_once": true, "check_mode": false, "diff": false,
        "vars": { "ansible_python_interpreter": "{{ ansible_playbook_python }}" },
    }));
    fs::write(role.join("tasks/main.yml"), serde_json::to_string_pretty(&all)?)?;
    if is_library {
        fs::create_dir_all(role.join("library"))?;
        for link in tree::list(&scene.project.staged().join("plugins/modules"))? {
            if link.is_symlink() {
                // As `cp -L` does.
                fs::copy(&link, role.join("library").join(link.file_name().unwrap_or_default()))?;
            }
        }
    }
    let mine = json!([{ "name": "pve1", "address": "{{ pve_link0 }}", "links": [{ "number": 0, "address": "{{ pve_link0 }}" }] }]);
    // What the examples' own text leaves to the reader.
    let variables = json!({
        "my_nodes": mine,
        "pve_join_password": PASSWORD,
        "ticket": { "credential": "c2VhbGVk" },
        "key": { "credential": "c2VhbGVk" },
        "pve_join_token": "proxmox.abcdef.0123456789abcdef",
        "admission": { "join_material": { "pve1": "bWF0ZXJpYWw=", "pve2": "bWF0ZXJpYWw=" } },
        "request": { "join_request": { "public_key": "iwAhlALb33aTXbd6Skzv1rQiOGcC7iKnwY5LpjEZa1c=" } },
    });
    let playbook = folder.join("play.yml");
    let plays = json!([
        { "hosts": "proxmox_nodes", "gather_facts": false, "tasks": [
            { "name": "Facts that examples take from other nodes",
              if is_library { "pve_cluster_info" } else { "sddc.pve.pve_cluster_info" }: {}, "register": "node" }
        ]},
        { "hosts": "pve1", "gather_facts": false, "vars": variables, "roles": ["mine"] },
    ]);
    fs::write(&playbook, serde_json::to_string_pretty(&plays)?)?;
    let mut play = Play::new(scene.project, &playbook, scene.dir().join(format!("{label}.log")));
    play = play.args(["--check", "--diff"]);
    if is_library {
        play = play
            .env("ANSIBLE_COLLECTIONS_PATH", "/nonexistent")
            .env("ANSIBLE_LIBRARY", &role.join("library").display().to_string());
    }
    let run = play.run()?;
    let text =
        fs::read_to_string(&file).with_context(|| format!("the play did not end: {}", run.messages()))?;
    match settled(&serde_json::from_str(&text)?) {
        Value::Object(results) => Ok(results),
        other => anyhow::bail!("{}: {other}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_that_the_argument_check_refuses_is_wrong() {
        let failed = |msg: &str| json!({ "failed": true, "msg": msg });
        assert_eq!(verdict("Any", &json!({ "failed": false, "msg": "done" })).unwrap(), None);
        assert!(verdict("Any", &failed("missing required arguments: name")).is_err());
        assert_eq!(
            verdict("Any", &failed("it is a member already")).unwrap().unwrap(),
            "it is a member already"
        );
        assert!(verdict(REFUSED[0].0, &failed("for some other reason")).is_err());
    }
}
