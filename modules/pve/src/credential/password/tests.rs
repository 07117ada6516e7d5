//! A temporary password comes, goes, and survives what cuts it off, over a temporary root.

use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::*;
use crate::Output;
use crate::fake::Fake;

const BEFORE: &str = "root:$y$old$hash:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n";

fn fake() -> Fake {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    fake.write(SHADOW, BEFORE);
    fs::set_permissions(fake.path(SHADOW), fs::Permissions::from_mode(0o640)).unwrap();
    fake.on(|machine, cmd| {
        let line = cmd.line();
        (line == "openssl passwd -6 -stdin").then(|| {
            machine.passwords.push(cmd.input().to_owned());
            Ok(Output { code: Some(0), stdout: "$6$salt$new\n".to_owned(), stderr: String::new() })
        })
    });
    for kind in ["service", "timer"] {
        let unit = crate::fake::FakeUnit { active: "inactive".into(), enabled: "disabled".into() };
        fake.machine().units.insert(format!("{UNIT}.{kind}"), unit);
    }
    fake
}

fn clean(fake: &Fake) {
    assert!(!fake.node().exists(STATE) && !fake.node().exists(&unit("service")));
    assert_eq!(fake.node().list("/etc").unwrap().iter().filter(|name| name.contains("shadow")).count(), 1);
}

#[test]
fn a_password_is_in_place_for_its_time_and_the_old_entry_comes_back_whole() {
    let fake = fake();
    let node = fake.node();
    let issued = issue(&node, 900).unwrap();
    assert_eq!(fake.machine().passwords, [format!("{}\n", issued.text.expose_secret())]);
    assert_eq!(fake.machine().read(SHADOW), BEFORE.replace("$y$old$hash", "$6$salt$new"));
    assert_eq!(fs::metadata(fake.path(SHADOW)).unwrap().mode() & 0o7777, 0o640);
    assert!(fake.machine().read(&unit("timer")).contains("OnCalendar=2026-11-22 15:15:00 UTC\n"));
    assert!(fake.machine().read(&unit("timer")).contains("OnActiveSec=900\n"));
    assert!(fake.machine().read(&unit("service")).contains("\nRestart=on-failure\n"));
    assert!(
        fake.calls().iter().all(|line| !line.contains("$6$") && !line.contains(issued.text.expose_secret()))
    );
    assert!(faults(&node).unwrap()[0].contains("not stacked"));
    assert!(issue(&node, 900).is_err());
    assert_eq!(listed(&node).unwrap().unwrap().expires, "2026-11-22T15:15:00Z");
    assert_eq!(restore(&node).unwrap(), Restored::PutBack);
    assert_eq!(fake.machine().read(SHADOW), BEFORE);
    clean(&fake);
    assert_eq!(restore(&node).unwrap(), Restored::Nothing);
}

#[test]
fn of_many_controllers_at_once_one_gets_a_password_and_the_others_are_refused() {
    let fake = fake();
    let node = fake.node();
    let results: Vec<anyhow::Result<Issued>> = std::thread::scope(|threads| {
        let running: Vec<_> = (0..8).map(|_| threads.spawn(|| issue(&node, 900))).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (won, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), refused.len()), (1, 7));
    let issued = won.into_iter().next().unwrap().unwrap();
    for error in refused.into_iter().filter_map(Result::err) {
        assert!(
            error.to_string().contains(&format!("temporary password {} is in place", issued.id)),
            "{error:#}"
        );
    }
    assert_eq!(restore(&node).unwrap(), Restored::PutBack);
    assert_eq!(fake.machine().read(SHADOW), BEFORE);
    clean(&fake);
}

#[test]
fn lines_of_others_stay_byte_by_byte() {
    let fake = fake();
    let before = [BEFORE.as_bytes(), b"j\xf6rg:*:19000:0:99999:7:::\n"].concat();
    fs::write(fake.path(SHADOW), &before).unwrap();
    issue(&fake.node(), 900).unwrap();
    restore(&fake.node()).unwrap();
    assert_eq!(fs::read(fake.path(SHADOW)).unwrap(), before);
}

#[test]
fn an_administrators_change_in_between_stays() {
    let fake = fake();
    issue(&fake.node(), 900).unwrap();
    let changed = BEFORE.replace("$y$old$hash", "$y$chosen");
    fake.write(SHADOW, &changed);
    // Who was cut off while it wrote the new file left it.
    fake.write(NEW_SHADOW, BEFORE);
    assert!(restore_as_unit(&fake.node()).unwrap().contains("the change stays"));
    assert_eq!(fake.machine().read(SHADOW), changed);
    let told = fake.machine().read(audit::LOG);
    assert!(told.contains("end_temporary_password") && told.contains("changed_by_others"), "{told}");
    clean(&fake);
}

#[test]
fn an_account_that_is_locked_in_between_keeps_the_lock_and_the_old_entry() {
    let fake = fake();
    issue(&fake.node(), 900).unwrap();
    // passwd --lock, which passwd --unlock would turn into our own password for ever.
    fake.write(SHADOW, BEFORE.replace("$y$old$hash", "!$6$salt$new"));
    assert!(faults(&fake.node()).unwrap()[0].contains("not stacked"));
    assert_eq!(restore(&fake.node()).unwrap(), Restored::PutBack);
    assert_eq!(fake.machine().read(SHADOW), BEFORE.replace("$y$old$hash", "!$y$old$hash"));
    clean(&fake);
}

#[test]
fn a_copy_of_the_old_entry_that_was_cut_off_goes_too() {
    let fake = fake();
    issue(&fake.node(), 900).unwrap();
    fake.write("/var/lib/sddc-pve/.temporary-password.json.sddc.77", BEFORE);
    restore(&fake.node()).unwrap();
    assert!(fake.node().list("/var/lib/sddc-pve").unwrap().is_empty());
}

#[test]
fn a_locked_or_absent_password_comes_back_as_it_was() {
    for hash in ["*", "!", "", "!$y$locked"] {
        let fake = fake();
        let before = BEFORE.replace("$y$old$hash", hash);
        fake.write(SHADOW, &before);
        issue(&fake.node(), 60).unwrap();
        restore(&fake.node()).unwrap();
        assert_eq!(fake.machine().read(SHADOW), before, "{hash:?}");
    }
}

#[test]
fn cut_off_before_any_program_the_old_entry_is_restored_later() {
    for number in 1..=4 {
        let fake = fake();
        let left = std::sync::atomic::AtomicUsize::new(number);
        fake.on(move |_, cmd| {
            let is_last = left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1;
            assert!(!is_last, "killed before {}", cmd.line());
            None
        });
        let node = fake.node();
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| issue(&node, 60).is_ok()));
        assert!(killed.is_err(), "killed at {number}");
        restore(&fake.node()).unwrap();
        assert_eq!(fake.machine().read(SHADOW), BEFORE);
        clean(&fake);
    }
}

#[test]
fn cut_off_between_its_two_files_either_way_the_old_entry_is_there() {
    let fake = fake();
    issue(&fake.node(), 60).unwrap();
    // Kept, and /etc/shadow not replaced yet; or put back, and what was kept not removed yet.
    fake.write(SHADOW, BEFORE);
    restore(&fake.node()).unwrap();
    assert_eq!(fake.machine().read(SHADOW), BEFORE);
    clean(&fake);
    restore(&fake.node()).unwrap();
    assert_eq!(fake.machine().read(SHADOW), BEFORE);
}

#[test]
fn a_restoration_that_is_cut_off_before_any_program_is_done_by_the_next() {
    for number in 1.. {
        let fake = fake();
        issue(&fake.node(), 60).unwrap();
        let left = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(number));
        let count = left.clone();
        fake.on(move |_, cmd| {
            let before = count.load(std::sync::atomic::Ordering::SeqCst);
            count.store(before.saturating_sub(1), std::sync::atomic::Ordering::SeqCst);
            assert!(before != 1, "killed before {}", cmd.line());
            None
        });
        let node = fake.node();
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| restore(&node).is_ok()));
        restore(&fake.node()).unwrap();
        assert_eq!(fake.machine().read(SHADOW), BEFORE, "killed at {number}");
        clean(&fake);
        if killed.is_ok() {
            assert!(number > 1, "no program was killed");
            break;
        }
    }
}

#[test]
fn what_systemd_refuses_undoes_everything() {
    let fake = fake();
    fake.answer(&format!("systemctl enable --now {UNIT}.timer"), 1, "");
    assert!(issue(&fake.node(), 60).is_err());
    assert_eq!(fake.machine().read(SHADOW), BEFORE);
    clean(&fake);
}

#[test]
fn with_a_second_factor_the_ticket_is_named() {
    let fake = fake();
    fake.write("/etc/pve/priv/tfa.cfg", r#"{"users":{"root@pam":{"totp":[{"id":"x"}]}}}"#);
    let error = issue(&fake.node(), 60).map(drop).unwrap_err().to_string();
    assert!(error.contains("use method ticket"), "{error}");
    assert_eq!(fake.machine().read(SHADOW), BEFORE);
}
