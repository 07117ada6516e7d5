//! Operations that run apart from who asks for them: how the unit is started and told what to do, how a second
//! run attaches, what a killed unit leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use super::*;
use crate::cluster_lock::ClusterLock;
use crate::fake::Fake;
use crate::join::{How, Request};
use crate::observe::LinkAddress;
use crate::{Output, create};

const PASSWORD: &str = "Very-Secret-9!";

/// A node on which operations run in units: starting one runs `start`, asking for its state tells `state`.
fn with_units(
    start: impl FnMut(&str) + Send + 'static,
    state: &'static str,
) -> (Fake, Arc<Mutex<Vec<String>>>) {
    let fake = Fake::standalone("pve2", "10.88.0.12");
    fake.write("/opt/pve", b"\x7fELF of this program");
    let program = fake.path("/opt/pve");
    fake.machine().own_program = Some(program);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (seen, start) = (lines.clone(), Mutex::new(start));
    fake.on(move |_, cmd| {
        let answer = |stdout: &str| {
            Some(Ok(Output { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() }))
        };
        match cmd.program.as_str() {
            "systemd-run" => {
                seen.lock().unwrap().push(cmd.line());
                start.lock().unwrap()(cmd.args.last().unwrap());
                answer("")
            }
            "systemctl" if cmd.args == ["is-active", unit::NAME] => answer(state),
            _ => None,
        }
    });
    (fake, lines)
}

fn join() -> Work {
    Work::Join(Request {
        cluster_name: "oracle".into(),
        node: "pve2".into(),
        links: vec![LinkAddress { number: 0, address: "10.88.0.12".into(), priority: None }],
        nodes_before: 1,
        wait_for_api: true,
        how: How::Api {
            credential: None,
            secret: crate::join::ApiSecret::Password,
            peer: "10.88.0.11".parse().unwrap(),
            fingerprint: crate::https::Fingerprint([7; 32]),
            password: PASSWORD.into(),
            nodeid: None,
            votes: None,
        },
    })
}

#[test]
fn a_responder_of_the_link_probe_makes_way_for_corosync() {
    let (fake, _) = with_units(|_| {}, "active");
    let responder = "/run/systemd/transient/sddc-pve-link-probe.service";
    fake.write(responder, "");
    fake.on(move |machine, cmd| {
        let is_stop = cmd.args == ["stop", crate::link_probe::unit::NAME];
        is_stop.then(|| fs::remove_file(machine.path(responder)).unwrap())?;
        Some(Ok(Output { code: Some(0), stdout: String::new(), stderr: String::new() }))
    });
    let _ = perform(&fake.node(), join(), Duration::from_secs(60));
    let calls = fake.calls();
    let at = |start: &str| calls.iter().position(|line| line.starts_with(start)).unwrap();
    assert!(at("systemctl stop sddc-pve-link-probe.service") < at("systemd-run"), "{calls:?}");
}

fn unended_join(fake: &Fake) -> Journal {
    let journal = Journal {
        id: "1-join".into(),
        kind: Kind::Join,
        target: "pve2 into \"oracle\"".into(),
        state: State::Running,
        ..Journal::default()
    };
    journal.save(&fake.node()).unwrap();
    journal
}

#[test]
fn the_unit_runs_a_lasting_copy_and_its_secrets_stay_off_the_command_line() {
    let (fake, lines) = with_units(|_| {}, "active");
    let _ = perform(&fake.node(), join(), Duration::from_secs(60));
    let line = lines.lock().unwrap()[0].clone();
    let program = concat!("/usr/local/lib/sddc-pve/", env!("CARGO_PKG_VERSION"), "/pve");
    assert!(line.starts_with("systemd-run --unit=sddc-pve-operation.service"), "{line}");
    assert!(
        line.contains("--property=RuntimeMaxSec=270") && line.contains(&format!("-- {program} __operation ")),
        "{line}"
    );
    assert!(!line.contains(PASSWORD));
    let mode = |path: &str| fs::metadata(fake.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(program), fake.machine().read(program).as_str()), (0o755, "\x7fELF of this program"));
    let id = line.rsplit(' ').next().unwrap();
    assert_eq!(mode(&format!("/run/sddc-pve/{id}.assignment")), 0o600);
    assert!(!fake.machine().read(&format!("/var/lib/sddc-pve/operations/{id}.json")).contains(PASSWORD));
}

#[test]
fn the_unit_takes_its_orders_once_and_closes_its_journal() {
    let (fake, lines) = with_units(|_| {}, "active");
    let node = fake.node();
    let _ = perform(&node, join(), Duration::from_secs(60));
    let id = lines.lock().unwrap()[0].rsplit(' ').next().unwrap().to_owned();
    run_unit(&node, &id).unwrap();
    // There is no cluster to join on this fake, which is no matter here: it ended, and undid what it had done.
    let journal = Journal::load(&node, &id).unwrap().unwrap();
    assert_eq!(journal.state, State::RolledBack, "{journal:?}");
    assert_eq!(fake.machine().passwords, [format!("{PASSWORD}\n")]);
    assert!(!node.exists(&format!("/run/sddc-pve/{id}.assignment")));
    assert!(run_unit(&node, &id).unwrap_err().to_string().contains("waits in"));
}

#[test]
fn where_no_unit_can_be_started_what_was_cut_off_stays_the_next_runs() {
    let fake = Fake::standalone("pve2", "10.88.0.12");
    fake.write("/opt/pve", b"\x7fELF of this program");
    let program = fake.path("/opt/pve");
    fake.machine().own_program = Some(program);
    fake.on(|_, cmd| {
        let output =
            Output { code: Some(1), stdout: String::new(), stderr: "Failed to connect to bus".to_owned() };
        (cmd.program == "systemd-run").then_some(Ok(output))
    });
    let step = Step { name: "stop pve-cluster".into(), status: "running".into(), ..Step::default() };
    let begun = Journal { steps: vec![step], ..unended_join(&fake) };
    begun.save(&fake.node()).unwrap();
    let time = Duration::from_secs(60);
    let error = settle_earlier(&fake.node(), Kind::Join, "pve2 into \"oracle\"", time, false).unwrap_err();
    assert!(format!("{error:#}").contains("Failed to connect to bus"), "{error:#}");
    assert_eq!(unended(&fake.node()).unwrap().unwrap().id, "1-join");
}

#[test]
fn the_same_operation_is_attached_to_and_its_outcome_returned() {
    let (fake, _) = with_units(|_| {}, "active");
    unended_join(&fake);
    let (node, other) = (fake.node(), fake.node());
    let ends = std::thread::spawn(move || {
        let mut journal = Journal::load(&other, "1-join").unwrap().unwrap();
        journal.state = State::Succeeded;
        journal.result = serde_json::json!({"members": ["pve1", "pve2"]});
        journal.save(&other).unwrap();
    });
    let standing =
        settle_earlier(&node, Kind::Join, "pve2 into \"oracle\"", Duration::from_secs(60), false).unwrap();
    ends.join().unwrap();
    let Standing::Attached(report) = standing else { panic!("{standing:?}") };
    assert!(report.attached && report.result["members"][1] == "pve2");
}

#[test]
fn beside_another_operation_that_runs_nothing_is_begun() {
    let (fake, lines) = with_units(|_| {}, "active");
    unended_join(&fake);
    let node = fake.node();
    let error =
        settle_earlier(&node, Kind::Create, "x", Duration::from_secs(60), false).unwrap_err().to_string();
    assert!(error.contains("join of pve2 into \"oracle\" (operation 1-join) is under way"), "{error}");
    assert!(perform(&node, creation(), Duration::from_secs(60)).is_err());
    assert!(lines.lock().unwrap().is_empty());
}

#[test]
fn what_a_killed_unit_left_is_undone_by_a_unit_first_and_in_check_mode_only_said() {
    let (fake, lines) = with_units(|_| {}, "inactive");
    unended_join(&fake);
    let node = fake.node();
    let settle = |is_check| settle_earlier(&node, Kind::Join, "x", Duration::from_secs(60), is_check);
    let Standing::Unsettled(said) = settle(true).unwrap() else { panic!() };
    assert!(said.contains("would first finish or undo it") && lines.lock().unwrap().is_empty(), "{said}");
    // The unit that is to undo it is killed as well.
    let error = settle(false).unwrap_err().to_string();
    assert!(error.contains("had been cut off and can't be undone"), "{error}");
    let id = lines.lock().unwrap()[0].rsplit(' ').next().unwrap().to_owned();
    assert_eq!(id, "1-join");
    run_unit(&node, &id).unwrap();
    assert_eq!(Journal::load(&node, &id).unwrap().unwrap().state, State::RolledBack);
    assert!(matches!(settle(false).unwrap(), Standing::Clear));
}

#[test]
fn a_unit_that_cannot_be_started_leaves_no_orders_and_a_closed_journal() {
    let (fake, _) = with_units(|_| {}, "inactive");
    fake.on(|_, cmd| {
        let output = Output { code: Some(1), stdout: String::new(), stderr: "no bus".into() };
        (cmd.program == "systemd-run").then_some(Ok(output))
    });
    let node = fake.node();
    let error = format!("{:#}", perform(&node, join(), Duration::from_secs(60)).unwrap_err());
    assert!(
        error.contains("cannot start the operation as a transient systemd unit") && error.contains("no bus"),
        "{error}"
    );
    assert!(!node.list("/run/sddc-pve").unwrap().iter().any(|name| name.ends_with(".assignment")));
    assert!(unended(&node).unwrap().is_none());
}

#[test]
fn what_was_undone_half_is_tried_once_more_by_the_next_run_and_no_later_one() {
    let (fake, lines) = with_units(|_| {}, "inactive");
    let node = fake.node();
    let mut half = Journal { state: State::Failed, ..unended_join(&fake) };
    half.marks.insert(journal::UNDO.to_owned(), journal::HALF.to_owned());
    half.save(&node).unwrap();
    // The unit that is to undo it does nothing here; the journal says meanwhile that it is not ended.
    let error = settle_earlier(&node, Kind::Create, "x", Duration::from_secs(60), false).unwrap_err();
    assert!(format!("{error:#}").contains("ended in the middle"), "{error:#}");
    assert_eq!(lines.lock().unwrap().len(), 1);
    run_unit(&node, "1-join").unwrap();
    assert_eq!(Journal::load(&node, "1-join").unwrap().unwrap().state, State::RolledBack);
    assert!(unended(&node).unwrap().is_none(), "what was undone at last keeps all others from beginning");

    half.marks.insert(journal::UNDO.to_owned(), "failed again".to_owned());
    half.save(&node).unwrap();
    assert!(unended(&node).unwrap().is_none());
    half.marks.insert(journal::UNDO.to_owned(), journal::HALF.to_owned());
    half.save(&node).unwrap();
    assert_eq!(unended(&node).unwrap().unwrap().id, "1-join");
    // What came after it stands on what is there.
    Journal { id: "2-join".into(), started: 7, state: State::Succeeded, ..Journal::default() }
        .save(&node)
        .unwrap();
    assert!(unended(&node).unwrap().is_none());
}

fn creation() -> Work {
    Work::Create(create::Request {
        cluster_name: "prod".into(),
        node: "pve2".into(),
        links: Vec::new(),
        nodeid: 1,
        votes: 1,
        token_coefficient: None,
    })
}

#[test]
fn what_can_no_longer_be_written_down_is_undone_all_the_same() {
    let fake = Fake::standalone("pve2", "10.88.0.12");
    fake.write("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA controller\n");
    fake.write("/etc/ssh/sshd_config", "PermitRootLogin yes\n");
    fake.on(|machine, cmd| {
        (cmd.program == "pvecm").then(|| {
            // As on a disk without room: nothing can be written there any more.
            fs::remove_dir_all(machine.path(journal::DIR)).unwrap();
            machine.write(journal::DIR, "");
            Ok(Output { code: Some(0), ..Output::default() })
        })
    });
    assert!(perform(&fake.node(), creation(), Duration::from_secs(60)).is_err());
    assert!(fake.calls().iter().any(|line| line.starts_with("pvecm create")));
    assert!(!fake.node().exists("/root/.ssh/authorized_keys2"), "the keys are not as they were");
    assert!(fake.node().list(crate::snapshot::DIR).unwrap().is_empty(), "the snapshot is left");
}

#[test]
fn a_unit_that_systemd_still_has_is_waited_for() {
    let (fake, lines) = with_units(|_| (), "inactive");
    fake.write("/run/systemd/transient/sddc-pve-operation.service", "[Unit]");
    let error = format!("{:#}", perform(&fake.node(), join(), Duration::from_secs(60)).unwrap_err());
    assert!(error.contains("systemd still has sddc-pve-operation.service"), "{error}");
    assert!(lines.lock().unwrap().is_empty(), "a second unit of the name was asked for");
    assert!(unended(&fake.node()).unwrap().is_none());
}

#[test]
fn no_lock_is_taken_that_the_journal_can_not_tell_of() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    let node = fake.node();
    let soon = || Deadline::after(&node, Duration::from_secs(2));
    // Whoever comes to the lock itself waits for it in vain.
    let _held = ClusterLock::take(&node, "sddc-pve", soon()).unwrap();
    let ill = Journal { id: "no-such-directory/1-admit".into(), ..Journal::default() };
    let mut run = Run::new(&node, ill, Duration::from_secs(60));
    let error = format!("{:#}", ClusterLock::take_for(&mut run, "sddc-pve", soon()).err().unwrap());
    assert!(error.contains("no-such-directory"), "{error}");
}

#[test]
fn a_journal_that_is_gone_is_no_failure_of_its_operation() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    let error = wait_for_end(&fake.node(), "7-join", Duration::from_secs(2)).unwrap_err();
    assert!(error.downcast_ref::<Failed>().is_none(), "{error:#}");
    assert!(format!("{error:#}").contains("the journal of operation 7-join is gone"), "{error:#}");
}

#[test]
fn what_came_last_is_known_on_a_clock_that_was_set_back() {
    let fake = Fake::standalone("pve2", "10.88.0.12");
    fake.on(|_, cmd| (cmd.program == "pvecm").then(|| Ok(Output { code: Some(0), ..Output::default() })));
    let node = fake.node();
    assert!(perform(&node, creation(), Duration::from_secs(60)).is_err());
    fake.machine().booted -= Duration::from_secs(86400);
    assert!(perform(&node, creation(), Duration::from_secs(60)).is_err());
    let journals = Journal::all(&node).unwrap();
    assert_eq!(journals.iter().map(|journal| journal.number).collect::<Vec<_>>(), [1, 2]);
    assert!(journals[1].started < journals[0].started);
}

#[test]
fn the_note_of_a_lock_stays_until_another_is_held() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    let node = fake.node();
    let soon = || Deadline::after(&node, Duration::from_secs(2));
    let held = ClusterLock::take(&node, "sddc-pve", soon()).unwrap();
    let mut journal = Journal { id: "1-remove".into(), ..Journal::default() };
    journal.marks.insert(crate::cluster_lock::MARK.to_owned(), "sddc-pve 7".to_owned());
    let mut run = Run::new(&node, journal, Duration::from_secs(60));
    let noted =
        || Journal::load(&node, "1-remove").unwrap().unwrap().marks[crate::cluster_lock::MARK].clone();
    assert!(ClusterLock::take_for(&mut run, "sddc-pve", soon()).is_err());
    assert_eq!(noted(), "sddc-pve 7");
    drop(held);
    let _own = ClusterLock::take_for(&mut run, "sddc-pve", soon()).unwrap();
    assert_ne!(noted(), "sddc-pve 7");
}
