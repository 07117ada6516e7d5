//! A node without a cluster: its commands, files and API (golden 01 and 02).

use crate::session::Session;

pub fn commands(session: &mut Session<'_>) {
    session.fresh(&["pve1"]);
    session.all("01-standalone/*");
}

pub fn api(session: &mut Session<'_>) {
    session.fresh(&["pve1"]);
    let folder = "02-http-standalone";
    session.sequence(folder, "user-admin-pve token-add-privsep0 token-add-privsep1");
    session.sequence(folder, "ticket-good ticket-good-json");
    session.all("02-http-standalone/html*");
    session.all("02-http-standalone/ticket-*");
    session.all("02-http-standalone/token-privsep*");
    session.all("02-http-standalone/*-noauth");
    session.all("02-http-standalone/admin-at-pve-*");
    session.sequence(folder, "bad-ticket token-bad-secret get-access-ticket user-admin-del token-remove");
}
