//! What follows from what was found; what it does to a node is shown with the module.

use super::*;
use crate::facts::HostKey;

fn sight() -> Sight {
    let key = HostKey { algorithm: "ssh-rsa".into(), key: "R2".into(), fingerprint: String::new() };
    Sight {
        own: "pve1".into(),
        identities: vec![Identity {
            node: "pve2".into(),
            names: ["pve2".to_owned()].into(),
            keys: vec![key],
        }],
        unverified: Vec::new(),
        files: Vec::new(),
        key_faults: Vec::new(),
        key_notes: Vec::new(),
        certificate: State { end: "some day".into(), fault: None },
        authority_fault: None,
        api: Api::Right,
    }
}

#[test]
fn a_member_that_is_as_it_should_be_gives_no_work() {
    let mut sight = sight();
    sight.key_notes = vec!["a key of root@pve9".into()];
    sight.api = Api::Silent("no answer".into());
    let plan = plan(&sight).unwrap();
    assert!(!plan.has_work());
    assert_eq!(plan.notes, ["a key of root@pve9", "no answer"]);
}

#[test]
fn a_link_to_elsewhere_is_told_and_not_written() {
    let mut sight = sight();
    let wrong = b"pve2 ssh-rsa OLD\n".to_vec();
    sight.files = vec![KnownHosts {
        path: "/root/.ssh/known_hosts".into(),
        content: wrong,
        link: Some("/srv/hosts".into()),
    }];
    let told = plan(&sight).unwrap();
    assert!(!told.has_work());
    assert_eq!(
        told.notes,
        ["/root/.ssh/known_hosts is a link to /srv/hosts, which has another key of pve2: mend it there"]
    );
    sight.files[0].link = None;
    assert_eq!(plan(&sight).unwrap().lines(), ["/root/.ssh/known_hosts line 1: another ssh-rsa key of pve2"]);
}

#[test]
fn without_an_authority_no_certificate_is_made() {
    let mut sight = sight();
    sight.authority_fault = Some("the authority is missing".into());
    assert!(plan(&sight).is_ok(), "a good certificate needs no authority");
    sight.certificate.fault = Some(Fault { kind: FaultKind::Bad, text: "the certificate ended".into() });
    let error = plan(&sight).err().unwrap().to_string();
    assert!(error.starts_with("the certificate ended, and the authority is missing: "), "{error}");
    assert!(error.contains("\"pvecm updatecerts --force\" on every node"), "{error}");
}
