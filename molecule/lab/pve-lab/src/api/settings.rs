//! What the API tells and sets of a node and the datacenter beside the cluster: DNS, hosts, time, network,
//! services, certificates, datacenter options, storage.

use ring::digest;
use serde_json::{Map, Value, json};

use super::schema::{self, Kind, optional, required};
use super::{Answer, ApiError, Request, lock};
use crate::certificates;
use crate::host::Host;
use crate::tasks::epoch;

pub fn dns(host: &Host) -> Answer {
    let text = host.read_text("/etc/resolv.conf").unwrap_or_default();
    let mut map = Map::new();
    let mut servers = 0;
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["search" | "domain", domain, ..] => {
                map.insert("search".to_owned(), domain.into());
            }
            ["nameserver", server, ..] if servers < 3 => {
                servers += 1;
                map.insert(format!("dns{servers}"), server.into());
            }
            _ => {}
        }
    }
    Ok(Value::Object(map).into())
}

pub fn hosts(host: &Host) -> Answer {
    let text = host.read_text("/etc/hosts")?;
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(json!({"data": text, "digest": hash}).into())
}

/// The lab's nodes live in UTC.
pub fn time(host: &Host) -> Answer {
    let zone = host.read_text("/etc/timezone").unwrap_or_default();
    let zone = Some(zone.trim()).filter(|zone| !zone.is_empty()).unwrap_or("Etc/UTC");
    Ok(json!({"localtime": epoch(), "time": epoch(), "timezone": zone}).into())
}

/// /etc/network/interfaces as the API lists it.
pub fn network(host: &Host) -> Answer {
    let text = host.read_text("/etc/network/interfaces").unwrap_or_default();
    let automatic: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("auto ")).collect();
    let mut list: Vec<Map<String, Value>> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["iface", "lo", ..] => {}
            ["iface", name, "inet", method] => {
                let kind = if name.starts_with("vmbr") { "bridge" } else { "eth" };
                let mut map = Map::new();
                for (key, value) in
                    [("iface", name), ("method", method), ("method6", "manual"), ("type", kind)]
                {
                    map.insert(key.to_owned(), value.into());
                }
                map.insert("active".to_owned(), 1.into());
                map.insert("priority".to_owned(), (list.len() + 3).into());
                map.insert("families".to_owned(), json!(["inet"]));
                if automatic.contains(&name) {
                    map.insert("autostart".to_owned(), 1.into());
                }
                list.push(map);
            }
            [key, value, ..] if line.starts_with([' ', '\t']) => {
                let Some(map) = list.last_mut() else { continue };
                if let ("address", Some((address, mask))) = (key, value.split_once('/')) {
                    map.insert("address".to_owned(), address.into());
                    map.insert("netmask".to_owned(), mask.into());
                    map.insert("cidr".to_owned(), value.into());
                } else {
                    map.insert(key.replace('-', "_"), value.into());
                }
            }
            _ => {}
        }
    }
    Ok(Value::from(list.into_iter().map(Value::Object).collect::<Vec<_>>()).into())
}

const SERVICES: [&str; 18] = [
    "chrony",
    "corosync",
    "cron",
    "ksmtuned",
    "lxcfs",
    "postfix",
    "proxmox-firewall",
    "pve-cluster",
    "pve-firewall",
    "pve-ha-crm",
    "pve-ha-lrm",
    "pvedaemon",
    "pvefw-logger",
    "pveproxy",
    "pvescheduler",
    "pvestatd",
    "spiceproxy",
    "sshd",
];

/// Services as systemd knows them.
pub fn services(host: &Host) -> Answer {
    let list: Vec<Value> = SERVICES
        .iter()
        .map(|name| {
            let unit = format!("{name}.service");
            let shown = host.run(&[
                "systemctl",
                "show",
                &unit,
                "--property=ActiveState,SubState,UnitFileState,LoadState,Description",
            ]);
            let value = |key: &str| {
                let prefix = format!("{key}=");
                shown
                    .stdout
                    .lines()
                    .find_map(|line| line.strip_prefix(&prefix))
                    .unwrap_or_default()
                    .to_owned()
            };
            let file_state = match value("LoadState").as_str() {
                "not-found" => "not-found".to_owned(),
                _ => value("UnitFileState"),
            };
            json!({
                "active-state": value("ActiveState"), "desc": value("Description"), "name": name,
                "service": name, "state": value("SubState"), "unit-state": file_state,
            })
        })
        .collect();
    Ok(Value::from(list).into())
}

/// The certificates of a node, as openssl reads them.
pub fn certificates(host: &Host, node: &str) -> Answer {
    let own = format!("/etc/pve/nodes/{node}/");
    let files = [
        ("pve-root-ca.pem", "/etc/pve/".to_owned()),
        ("pve-ssl.pem", own.clone()),
        ("pveproxy-ssl.pem", own),
    ];
    let list: Vec<Value> = files
        .iter()
        .filter_map(|(name, folder)| certificate(host, name, &format!("{folder}{name}")))
        .collect();
    Ok(Value::from(list).into())
}

fn certificate(host: &Host, name: &str, path: &str) -> Option<Value> {
    let pem = host.read_text(path).ok()?;
    let der = certificates::pem_bytes(&pem)?;
    let show = |args: &[&str]| {
        let argv: Vec<&str> = ["openssl", "x509", "-noout"].iter().chain(args).copied().collect();
        host.system.run(&argv, Some(pem.as_bytes())).stdout
    };
    let field = |args: &[&str]| {
        show(args).trim().split_once('=').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let seconds = |date: String| {
        let argv = ["date", "-u", "-d", &date, "+%s"];
        host.run(&argv).stdout.trim().parse::<u64>().unwrap_or(0)
    };
    let text = show(&["-text"]);
    let bits = text.split("Public-Key: (").nth(1)?.split(' ').next()?.parse::<u32>().ok()?;
    let names: Vec<String> = show(&["-ext", "subjectAltName"])
        .lines()
        .skip(1)
        .flat_map(|line| line.split(", "))
        .filter_map(|name| Some(full_address(name.trim().split_once(':')?.1)))
        .collect();
    Some(json!({
        "filename": name,
        "fingerprint": certificates::fingerprint(&der),
        "issuer": field(&["-issuer", "-nameopt", "compat"]).trim_start_matches("issuer="),
        "notafter": seconds(field(&["-enddate"])),
        "notbefore": seconds(field(&["-startdate"])),
        "pem": pem,
        "public-key-bits": bits,
        "public-key-type": "rsaEncryption",
        "san": names,
        "subject": field(&["-subject", "-nameopt", "compat"]),
    }))
}

/// PVE writes IPv6 addresses out in full.
fn full_address(text: &str) -> String {
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(address) => address.segments().map(|part| format!("{part:04x}")).to_vec().join(":"),
        Err(_) => text.to_owned(),
    }
}

/// `PUT /cluster/options`.
pub fn change_options(request: &Request<'_>) -> Answer {
    let host = request.host;
    request.caller.require(host, "/", "Sys.Modify")?;
    lock::with_cluster_lock(host, "file-datacenter_cfg", || {
        let path = "/etc/pve/datacenter.cfg";
        let text = host.read_text(path).unwrap_or_default();
        let kept = text
            .lines()
            .filter(|line| line.split_once(": ").is_some_and(|(key, _)| !request.params.contains_key(key)));
        let set = request.params.iter().map(|(key, value)| format!("{key}: {value}"));
        let lines: Vec<String> = kept.map(str::to_owned).chain(set).collect();
        host.write(path, format!("{}\n", lines.join("\n")).as_bytes(), 0o640)?;
        Ok(Value::Null.into())
    })
}

/// `POST /storage`: directory storages only.
pub fn add_storage(request: &Request<'_>) -> Answer {
    let (host, params) = (request.host, &request.params);
    request.caller.require(host, "/storage", "Datastore.Allocate")?;
    let schema = [
        required("type", Kind::Text),
        required("storage", Kind::Text),
        optional("path", Kind::Text),
        optional("content", Kind::Text),
    ];
    schema::verify(&schema, params)?;
    let added = lock::with_cluster_lock(host, "file-storage_cfg", || {
        let path = "/etc/pve/storage.cfg";
        let mut text = host.read_text(path).unwrap_or_default();
        let head = format!("{}: {}\n", params["type"], params["storage"]);
        if text.contains(&format!(": {}\n", params["storage"])) {
            return Err(ApiError::die(format!("storage ID '{}' already defined\n", params["storage"])));
        }
        text.push_str(&format!("\n{head}"));
        for (key, value) in params.iter().filter(|(key, _)| !matches!(key.as_str(), "type" | "storage")) {
            text.push_str(&format!("\t{key} {value}\n"));
        }
        host.write(path, text.as_bytes(), 0o640)?;
        Ok(Value::Null.into())
    });
    added.map_err(|error| ApiError { message: format!("create storage failed: {}", error.message), ..error })
}
