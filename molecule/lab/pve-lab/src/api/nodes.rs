//! `/nodes` and what is below a node: status, tasks, version.

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Reply, Request, cluster, settings};
use crate::certificates;
use crate::host::Host;
use crate::tasks::{self, Upid};

pub fn list(host: &Host) -> Answer {
    let list: Vec<Value> = cluster::nodes(host)
        .into_iter()
        .map(|(node, status)| {
            let mut map = Map::new();
            map.insert("id".to_owned(), format!("node/{node}").into());
            map.insert("node".to_owned(), node.as_str().into());
            if let Ok(fingerprint) = certificates::node_fingerprint(host, &node) {
                map.insert("ssl_fingerprint".to_owned(), fingerprint.into());
            }
            map.insert("status".to_owned(), status.into());
            map.insert("type".to_owned(), "node".into());
            Value::Object(map)
        })
        .collect();
    Ok(Value::from(list).into())
}

/// What is below `/nodes/X`.
pub fn call(request: &Request<'_>, method: &str, node: &str, rest: &[&str]) -> Answer {
    let host = request.host;
    let audit = || request.caller.require(host, &format!("/nodes/{node}"), "Sys.Audit");
    match (method, rest) {
        ("GET", ["status"]) => audit().and_then(|()| status(host)),
        ("GET", ["version"]) => cluster::version(),
        ("GET", ["tasks"]) => task_list(request),
        ("GET", ["tasks", upid, "status"]) => task_status(host, upid),
        ("GET", ["tasks", upid, "log"]) => task_log(request, upid),
        ("GET", ["certificates", "info"]) => settings::certificates(host, node),
        ("GET", ["dns"]) => audit().and_then(|()| settings::dns(host)),
        ("GET", ["hosts"]) => audit().and_then(|()| settings::hosts(host)),
        ("GET", ["time"]) => audit().and_then(|()| settings::time(host)),
        ("GET", ["network"]) => settings::network(host),
        ("GET", ["services"]) => audit().and_then(|()| settings::services(host)),
        _ => Err(super::tree::not_implemented(request)),
    }
}

/// Load, memory and versions of this node.
fn status(host: &Host) -> Answer {
    let read = |path: &str| host.read_text(path).unwrap_or_default();
    let first_word = |text: String| text.split([' ', '.']).next().and_then(|word| word.parse::<u64>().ok());
    let meminfo = read("/proc/meminfo");
    let memory = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    };
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = |key: &str| {
        let line = cpuinfo.lines().find(|line| line.split('\t').next().is_some_and(|k| k.trim() == key));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
    };
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let release = read("/proc/sys/kernel/osrelease").trim().to_owned();
    let version = read("/proc/sys/kernel/version").trim().to_owned();
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let used = memory("MemTotal").saturating_sub(memory("MemAvailable"));
    Ok(json!({
        "boot-info": {"mode": "legacy-bios"},
        "cpu": 0,
        "cpuinfo": {
            "cores": cpus, "cpus": cpus, "family": cpu("cpu family"), "flags": cpu("flags"), "hvm": "",
            "mhz": cpu("cpu MHz"), "model": cpu("model name"), "sockets": 1, "user_hz": 100,
            "vendor": cpu("vendor_id"),
        },
        "current-kernel": {
            "machine": "x86_64", "release": release, "sysname": "Linux", "version": version,
        },
        "idle": 0,
        "ksm": {"shared": 0},
        "kversion": format!("Linux {release} {version}"),
        "loadavg": load,
        "memory": {
            "available": memory("MemAvailable"), "free": memory("MemFree"), "total": memory("MemTotal"),
            "used": used,
        },
        "pveversion": format!("pve-manager/{}/{}", cluster::VERSION, cluster::REPOSITORY_ID),
        "rootfs": {
            "avail": 74_989_117_440u64, "free": 247_969_542_144u64, "total": 270_553_174_016u64,
            "used": 22_583_631_872u64,
        },
        "swap": {"free": memory("SwapFree"), "total": memory("SwapTotal"), "used": 0},
        "uptime": first_word(read("/proc/uptime")).unwrap_or(0),
        "wait": 0,
    })
    .into())
}

/// Finished tasks, newest first, with PVE's filters.
fn task_list(request: &Request<'_>) -> Answer {
    let param = |name: &str| request.params.get(name);
    let errors_only = param("errors").is_some_and(|text| text == "1");
    let list: Vec<Value> = tasks::finished(request.host)
        .into_iter()
        .filter(|task| param("typefilter").is_none_or(|kind| task["type"] == kind.as_str()))
        .filter(|task| !errors_only || task["status"] != "OK")
        .map(Value::Object)
        .collect();
    let start = param("start").and_then(|text| text.parse().ok()).unwrap_or(0);
    let limit = param("limit").and_then(|text| text.parse().ok()).unwrap_or(50);
    let total = list.len();
    let page: Vec<Value> = list.into_iter().skip(start).take(limit).collect();
    Ok(Reply { data: page.into(), total: Some(total), ..Reply::default() })
}

fn upid(text: &str) -> Result<Upid, ApiError> {
    Upid::parse(text).ok_or_else(|| {
        let wrong = ("upid".to_owned(), format!("unable to parse worker upid '{text}'\n"));
        ApiError::parameters([wrong].into())
    })
}

fn task_status(host: &Host, text: &str) -> Answer {
    Ok(Value::Object(tasks::status(host, &upid(text)?)).into())
}

fn task_log(request: &Request<'_>, text: &str) -> Answer {
    let upid = upid(text)?;
    let log = request.host.read_text(&upid.log_file()).map_err(|_| ApiError::die("no such task\n"))?;
    let number = |name: &str, default: usize| {
        request.params.get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let lines: Vec<&str> = log.lines().collect();
    let page: Vec<Value> = lines
        .iter()
        .enumerate()
        .skip(number("start", 0))
        .take(number("limit", 50))
        .map(|(index, line)| json!({"n": index + 1, "t": line}))
        .collect();
    Ok(Reply { data: page.into(), total: Some(lines.len()), ..Reply::default() })
}
