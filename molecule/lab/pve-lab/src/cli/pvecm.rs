//! `pvecm`: the cluster manager's command line, with its true and its lying exit codes.

use super::options::{self, Command};
use super::output::{print, print_error};
use super::{Status, pmxcfs_refusal, pvecm_add};
use crate::api::schema::{Kind, Param, optional, required};
use crate::api::{self, Caller, Params, updatecerts};
use crate::corosync::{self, CLUSTER_CONF};
use crate::delays::Step;
use crate::host::Host;
use crate::ssh_keys;

const HELP: &str = include_str!("help_pvecm.txt");
const USAGE: &str = include_str!("usage_pvecm.txt");

const NODE_SCHEMA: [Param; 7] = [
    required("node", Kind::NodeName),
    optional("apiversion", Kind::Text),
    optional("force", Kind::Boolean),
    optional("link[n]", Kind::Links),
    optional("new_node_ip", Kind::Address),
    optional("nodeid", Kind::Integer(1)),
    optional("votes", Kind::Integer(0)),
];

const CREATE: Command = Command {
    positional: &["clustername"],
    schema: &[
        required("clustername", Kind::ClusterName),
        optional("link[n]", Kind::Links),
        optional("nodeid", Kind::Integer(1)),
        optional("token-coefficient", Kind::Integer(0)),
        optional("votes", Kind::Integer(1)),
    ],
    usage: "pvecm create <clustername> [OPTIONS]",
};
const ADDNODE: Command =
    Command { positional: &["node"], schema: &NODE_SCHEMA, usage: "pvecm addnode <node> [OPTIONS]" };
const DELNODE: Command = Command {
    positional: &["node"],
    schema: &[required("node", Kind::NodeName)],
    usage: "pvecm delnode <node>",
};
const EXPECTED: Command = Command {
    positional: &["expected"],
    schema: &[required("expected", Kind::Integer(1))],
    usage: "pvecm expected <expected>",
};
const UPDATECERTS: Command = Command {
    positional: &[],
    schema: &[
        optional("force", Kind::Boolean),
        optional("silent", Kind::Boolean),
        optional("unmerge-known-hosts", Kind::Boolean),
    ],
    usage: "pvecm updatecerts  [OPTIONS]",
};
const PLAIN: Command = Command { positional: &[], schema: &[], usage: "pvecm <COMMAND>" };

pub fn run(host: &Host, args: &[String]) -> Status {
    host.delays.take(Step::PvecmStart);
    let Some((name, rest)) = args.split_first() else {
        eprint!("ERROR: no command specified\n{USAGE}");
        return 255;
    };
    match name.as_str() {
        "help" => help(rest),
        "updatecerts" => with(&UPDATECERTS, rest, |params| update_certificates(host, params)),
        "add" | "addnode" | "apiver" | "create" | "delnode" | "expected" | "nodes" | "status" | "qdevice" => {
            if let Some(exit) = pmxcfs_refusal(host) {
                return exit;
            }
            cluster_command(host, name, rest)
        }
        other => {
            eprint!("ERROR: unknown command 'pvecm {other}'\n{USAGE}");
            255
        }
    }
}

fn with(command: &Command, args: &[String], work: impl FnOnce(&Params) -> Status) -> Status {
    match options::parse(command, args) {
        Ok(params) => work(&params),
        Err(text) => {
            eprint!("{text}");
            255
        }
    }
}

fn cluster_command(host: &Host, name: &str, rest: &[String]) -> Status {
    match name {
        "add" => with(&pvecm_add::COMMAND, rest, |params| pvecm_add::run(host, params)),
        "create" => with(&CREATE, rest, |params| {
            api_call(host, "POST", "/cluster/config", params.clone(), CREATE.usage)
        }),
        "addnode" => with(&ADDNODE, rest, |params| {
            let mut params = params.clone();
            let path = format!("/cluster/config/nodes/{}", params.remove("node").unwrap_or_default());
            api_call(host, "POST", &path, params, ADDNODE.usage)
        }),
        "delnode" => with(&DELNODE, rest, |params| {
            let path = format!("/cluster/config/nodes/{}", params["node"]);
            api_call(host, "DELETE", &path, Params::new(), DELNODE.usage)
        }),
        "apiver" => {
            print("1\n");
            0
        }
        _ if !host.exists(CLUSTER_CONF) => {
            eprintln!(
                "Error: Corosync config '{CLUSTER_CONF}' does not exist - is this node part of a cluster?"
            );
            2
        }
        "status" => with(&PLAIN, rest, |_| status(host)),
        "nodes" => with(&PLAIN, rest, |_| nodes(host)),
        "expected" => {
            with(&EXPECTED, rest, |params| pass_on(&corosync::quorumtool(host, &["-e", &params["expected"]])))
        }
        _ => {
            eprintln!("No QDevice configured!");
            255
        }
    }
}

/// Calls the API tree; what the call printed on the way is shown, its result is not.
fn api_call(host: &Host, method: &str, path: &str, params: Params, usage: &str) -> Status {
    let request = api::Request { host, method, path, params, caller: Caller::shell() };
    match api::call(&request) {
        Ok(reply) => {
            print(&reply.printed);
            0
        }
        Err(error) => print_error(&error, usage),
    }
}

fn pass_on(output: &crate::system::Output) -> Status {
    print(&output.stdout);
    eprint!("{}", output.stderr);
    Status::try_from(output.status).unwrap_or(255)
}

fn status(host: &Host) -> Status {
    let conf = match corosync::config(host) {
        Ok(conf) if conf.totem().is_some() => conf,
        Ok(_) => {
            eprintln!(
                "Can't use an undefined value as a HASH reference at /usr/share/perl5/PVE/CLI/pvecm.pm line 550, <DATA> line 960."
            );
            return 255;
        }
        Err(error) => {
            eprintln!("{error}");
            eprintln!(
                "Can't use an undefined value as a HASH reference at /usr/share/perl5/PVE/CLI/pvecm.pm line 550, <DATA> line 960."
            );
            return 255;
        }
    };
    let totem = |key: &str, default: &str| {
        conf.totem().and_then(|totem| totem.get(key)).unwrap_or(default).to_owned()
    };
    print(&format!(
        "Cluster information\n-------------------\nName:             {}\nConfig Version:   {}\nTransport:        {}\nSecure auth:      {}\n\n",
        totem("cluster_name", "UNKNOWN"),
        totem("config_version", "-1"),
        totem("transport", "knet"),
        totem("secauth", "off")
    ));
    pass_on(&corosync::quorumtool(host, &["-siH"]))
}

/// Exits 0 without quorum, unlike `corosync-quorumtool -l` with its own exit code.
fn nodes(host: &Host) -> Status {
    let output = corosync::quorumtool(host, &["-l"]);
    let exit = pass_on(&output);
    if output.stdout.is_empty() { exit } else { 0 }
}

fn update_certificates(host: &Host, params: &Params) -> Status {
    let flag = |name: &str| params.get(name).is_some_and(|text| text == "1");
    let (force, silent) = (flag("force"), flag("silent"));
    if !updatecerts::wait_for_quorum(host) {
        if silent {
            return 0;
        }
        eprintln!(
            "got timeout when trying to ensure cluster certificates and base file hierarchy is set up - no quorum (yet) or hung pmxcfs?"
        );
        return 4;
    }
    let say = |line: &str| {
        if force && !silent {
            print(&format!("{line}\n"));
        }
    };
    let unmerge = || match flag("unmerge-known-hosts") {
        true => ssh_keys::unmerge_known_hosts(host),
        false => Ok(()),
    };
    match updatecerts::run(host, force, &say).and_then(|_| unmerge()).and_then(|()| updatecerts::finish(host))
    {
        Ok(()) => 0,
        Err(_) if silent => 0,
        Err(error) => {
            eprintln!("{error}");
            255
        }
    }
}

/// `pvecm help [<command>] [-v]`: the paragraphs of the captured help text.
fn help(args: &[String]) -> Status {
    let wanted: Vec<&str> = args.iter().filter(|arg| !arg.starts_with('-')).map(String::as_str).collect();
    if wanted.is_empty() {
        print(HELP);
        return 0;
    }
    let start = format!("USAGE: pvecm {} ", wanted.join(" "));
    let sections = HELP
        .split("\nUSAGE: ")
        .map(|section| format!("USAGE: {}\n", section.trim_start_matches("USAGE: ").trim_end_matches('\n')));
    for section in sections {
        if section.starts_with(&start) {
            print(&format!("{section}\n\n"));
            return 0;
        }
    }
    eprintln!("ERROR: unknown command 'pvecm {}'", wanted.join(" "));
    255
}
