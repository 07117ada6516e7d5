//! `/access/ticket`: logins.

use serde_json::{Value, json};

use super::schema::{self, Kind, Param, optional, required};
use super::{Answer, ApiError, Request};
use crate::{auth, corosync};

const TICKET_SCHEMA: [Param; 6] = [
    required("username", Kind::Text),
    required("password", Kind::Text),
    optional("realm", Kind::Text),
    optional("new-format", Kind::Boolean),
    optional("otp", Kind::Text),
    optional("tfa-challenge", Kind::Text),
];

/// `POST /access/ticket`: user and password, or a ticket in its place.
pub fn login(request: &Request<'_>) -> Answer {
    schema::verify(&TICKET_SCHEMA, &request.params)?;
    let mut user = request.params["username"].clone();
    if let Some(realm) = request.params.get("realm") {
        user = format!("{user}@{realm}");
    }
    let password = &request.params["password"];
    if !auth::check_password(request.host, &user, password) {
        return Err(ApiError::status(401, "authentication failure\n"));
    }
    let failed = |error: String| ApiError::die(format!("{error}\n"));
    if auth::needs_second_factor(request.host, &user, password) {
        // Half a ticket: good for nothing but the second step, which nobody takes here.
        let ticket = auth::issue_ticket(request.host, "!tfa!%7B%22totp%22%3Atrue%7D").map_err(failed)?;
        let csrf = auth::csrf_token(request.host, &user).map_err(failed)?;
        let half = json!({ "username": user, "ticket": ticket, "CSRFPreventionToken": csrf, "NeedTFA": 1 });
        return Ok(half.into());
    }
    let ticket = auth::issue_ticket(request.host, &user).map_err(failed)?;
    let csrf = auth::csrf_token(request.host, &user).map_err(failed)?;
    let mut answer = json!({
        "username": user,
        "ticket": ticket,
        "CSRFPreventionToken": csrf,
        "cap": capabilities(),
    });
    if let Some(state) = corosync::cluster_state(request.host) {
        answer["clustername"] = state.name.into();
    }
    Ok(answer.into())
}

/// What root may do, as the answer to a login lists it.
fn capabilities() -> Value {
    let set = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| ((*name).to_owned(), Value::from(1)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "access": set(&["Group.Allocate", "Permissions.Modify", "User.Modify"]),
        "dc": set(&["SDN.Allocate", "SDN.Audit", "SDN.Use", "Sys.Audit", "Sys.Modify"]),
        "mapping": set(&["Mapping.Audit", "Mapping.Modify", "Mapping.Use", "Permissions.Modify"]),
        "nodes": set(&[
            "Permissions.Modify", "Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Incoming",
            "Sys.Modify", "Sys.PowerMgmt", "Sys.Syslog",
        ]),
        "sdn": set(&["Permissions.Modify", "SDN.Allocate", "SDN.Audit", "SDN.Use"]),
        "storage": set(&[
            "Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit",
            "Permissions.Modify",
        ]),
        "vms": set(&[
            "Permissions.Modify", "VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM",
            "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory",
            "VM.Config.Network", "VM.Config.Options", "VM.Console", "VM.GuestAgent.Audit",
            "VM.GuestAgent.FileRead", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.FileWrite",
            "VM.GuestAgent.Unrestricted", "VM.Migrate", "VM.PowerMgmt", "VM.Replicate", "VM.Snapshot",
            "VM.Snapshot.Rollback",
        ]),
    })
}
