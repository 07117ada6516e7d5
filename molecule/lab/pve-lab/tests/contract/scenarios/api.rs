//! Create and join through the API (golden 20 and 21).

use crate::session::Session;

pub fn create(session: &mut Session<'_>) {
    session.fresh(&["pve1"]);
    session.sequence("20-api-create", "POST-cluster-config");
    session.until_quorate("pve1", 1);
    session.until_serving("pve1");
    session.known.forget();
    session.sequence("20-api-create", "task-log task-list");
    session.all("20-api-create/*");
}

pub fn join(session: &mut Session<'_>) {
    session.cluster(&["pve1"]);
    session.fresh(&["pve2"]);
    session.all("21-api-join/err-*");
    session.all("21-api-join/prep-*");
    session.sequence("21-api-join", "POST-join");
    session.until_quorate("pve2", 2);
    session.until("pve2", "test -e /etc/pve/local/pve-ssl.pem");
    session.until_serving("pve2");
    session.case("21-api-join/old-ticket-after");
    session.known.forget();
    session.sequence("21-api-join", "task-status-after-new-login task-log-after");
    session.all("21-api-join/*");
}
