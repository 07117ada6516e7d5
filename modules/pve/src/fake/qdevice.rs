//! corosync-qdevice and corosync-qnetd of a fake machine, and the tools of their certificates. A database is a directory
//! with a file a certificate.

use super::programs::printed;
use super::{FakeUnit, Machine};
use crate::corosync_conf::CorosyncConf;
use crate::{Output, RunError};

const MEMBER: &str = "/etc/corosync/qdevice/net/nssdb";
const QNETD: &str = "/etc/corosync/qnetd/nssdb";

impl Machine {
    /// Installs Debian's packages corosync-qdevice and corosync-qnetd, whose services do not run.
    pub fn install_qdevice(&mut self) {
        for unit in ["corosync-qdevice.service", "corosync-qnetd.service"] {
            let state = FakeUnit { active: "inactive".to_owned(), enabled: "disabled".to_owned() };
            self.units.insert(unit.to_owned(), state);
        }
    }

    /// Whether this member casts the device's vote.
    pub(super) fn is_device_voting(&self) -> bool {
        self.is_active("corosync-qdevice.service")
            && self.qnetd_votes
            && self.path(MEMBER).join("Cluster Cert").exists()
            && self.corosync_conf().is_some_and(|conf| conf.qdevice_votes() > 0)
    }

    /// The column `Qdevice` of quorumtool; none where no member has a device registered.
    pub(super) fn device_flags(&self, conf: &CorosyncConf) -> Option<impl Fn(&str) -> &'static str> {
        let is_own = self.is_active("corosync-qdevice.service") && conf.qdevice_votes() > 0;
        (is_own || !self.devices.is_empty()).then(|| {
            let (own, voting, others) =
                (self.hostname.clone(), self.is_device_voting(), self.devices.clone());
            move |name: &str| match (name == own, is_own) {
                (true, true) if voting => "A,V,NMW",
                (true, true) => "A,NV,NMW",
                (false, _) if others.contains(name) => "A,V,NMW",
                _ => "NR",
            }
        })
    }
}

/// As the scripts of corosync-qdevice 3.0.3 do it, as far as anybody can tell from outside.
pub(super) fn run(machine: &mut Machine, program: &str, args: &[&str]) -> Result<Output, RunError> {
    let failed = |text: &str| Ok(Output { code: Some(1), stdout: String::new(), stderr: text.to_owned() });
    let is_installed = machine.units.contains_key("corosync-qdevice.service");
    if !is_installed {
        return Err(RunError::NotFound { program: program.to_owned() });
    }
    let content = |machine: &Machine, path: &str| machine.read(path);
    match (program, args) {
        ("certutil", ["-L", "-d", db, "-n", name, ..]) => match machine.path(db).join(name).exists() {
            true => Ok(printed(content(machine, &format!("{db}/{name}")))),
            false => failed("certutil: Could not find cert\n"),
        },
        ("corosync-qdevice-net-certutil", ["-i", "-c", file]) => {
            if machine.path(MEMBER).join("cert9.db").exists() {
                return failed("Certificate database already exists. Delete it to continue\n");
            }
            let authority = content(machine, file);
            machine.write(&format!("{MEMBER}/cert9.db"), "");
            machine.write(&format!("{MEMBER}/QNet CA"), authority);
            Ok(printed("Importing CA\n".to_owned()))
        }
        ("corosync-qdevice-net-certutil", ["-r", "-n", cluster]) => {
            machine.write(
                &format!("{MEMBER}/qdevice-net-node.crq"),
                format!("\"CN={cluster}\" of {}", machine.hostname),
            );
            Ok(printed("Certificate request stored\n".to_owned()))
        }
        ("corosync-qdevice-net-certutil", ["-M", "-c", file]) => {
            let request = content(machine, &format!("{MEMBER}/qdevice-net-node.crq"));
            let certificate = content(machine, file);
            // The flag is there where the key is.
            let flag = if certificate == format!("signed {request}") { "User" } else { "" };
            machine.write(&format!("{MEMBER}/Cluster Cert"), format!("{certificate}\n{flag}\n"));
            machine.write(&format!("{MEMBER}/qdevice-net-node.p12"), "the key");
            Ok(printed("PKCS12 EXPORT SUCCESSFUL\n".to_owned()))
        }
        ("corosync-qnetd-certutil", ["-i", "-G"]) => {
            if machine.path(QNETD).join("cert9.db").exists() {
                return failed("already exists\n");
            }
            let authority = super::machine::certificate("QNet CA of", &machine.hostname);
            machine.write(&format!("{QNETD}/cert9.db"), "");
            machine
                .write(&format!("{QNETD}/qnetd-cacert.crt"), format!("Certificate:\n    Data:\n{authority}"));
            machine.write(&format!("{QNETD}/QNetd Cert"), "\"CN=Qnetd Server\"");
            Ok(printed("Creating new CA\n".to_owned()))
        }
        ("corosync-qnetd-certutil", ["-s", "-c", file, "-n", cluster]) => {
            let request = content(machine, file);
            machine.write(&format!("{QNETD}/cluster-{cluster}.crt"), format!("signed {request}"));
            Ok(printed("Signing cluster certificate\n".to_owned()))
        }
        _ => failed("usage\n"),
    }
}
