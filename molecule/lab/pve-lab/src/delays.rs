//! The time that genuine nodes were measured to take, and the one switch over it: `/var/lib/pve-lab/delays`
//! holds `off` or a factor (`0.2`); without the file every step takes what PVE takes.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// A step of PVE that takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Perl start-up of `pvecm`.
    PvecmStart,
    /// Perl start-up of `pvesh`.
    PveshStart,
    /// Perl start-up of the lesser tools (`pveum`, `qm`, `pveversion`).
    ToolStart,
    /// Answer to a failed login, as of the API's brute-force brake.
    FailedLogin,
    /// pmxcfs lets a changed corosync.conf spread before it makes corosync read it.
    ConfigSpread,
    /// pmxcfs tries again to reach a corosync that was not up.
    CorosyncRetry,
    /// Login of a joining node, key generation of a cluster.
    JoinLogin,
    CreateCluster,
    /// pmxcfs between the signal to end and its end.
    StopCluster,
    /// Making a certificate.
    Certificate,
    /// `pvedaemon restart` and `pveproxy restart`, which systemd runs to reload the two.
    ReloadDaemon,
    ReloadProxy,
    /// A reloading API server between the signal and its new workers.
    ServerRestart,
    /// Time for which workers of before a reload go on serving.
    OldWorkers,
    /// A lock that no quorum lets anybody take.
    LockAttempt,
    /// Between two looks at the membership.
    MembershipLook,
    /// One try of `pvecm updatecerts` to see a quorate file system.
    UpdatecertsWait,
}

impl Step {
    fn measured(self) -> Duration {
        Duration::from_millis(match self {
            Step::PvecmStart => 650,
            Step::PveshStart => 1400,
            Step::ToolStart => 700,
            Step::FailedLogin => 3000,
            Step::ConfigSpread => 1000,
            Step::CorosyncRetry => 5000,
            Step::JoinLogin => 300,
            Step::StopCluster => 1200,
            Step::CreateCluster => 2000,
            Step::Certificate => 150,
            Step::ReloadDaemon => 1500,
            Step::ReloadProxy => 3000,
            Step::ServerRestart => 2000,
            Step::OldWorkers => 6000,
            Step::LockAttempt => 1000,
            Step::MembershipLook => 200,
            Step::UpdatecertsWait => 80_000,
        })
    }

    /// What must stay even with delays off, for the machinery itself needs it.
    fn least(self) -> Duration {
        Duration::from_millis(match self {
            Step::ConfigSpread => 300,
            Step::CorosyncRetry => 250,
            Step::LockAttempt | Step::MembershipLook => 20,
            Step::UpdatecertsWait => 2000,
            _ => 0,
        })
    }
}

/// Where the factor stands; read anew at each use, so that a test can change it while the node runs.
#[derive(Clone, Debug)]
pub struct Delays {
    file: PathBuf,
}

impl Delays {
    pub fn at(file: &Path) -> Delays {
        Delays { file: file.to_owned() }
    }

    fn factor(&self) -> f64 {
        match std::fs::read_to_string(&self.file).unwrap_or_default().trim() {
            "off" => 0.0,
            other => other.parse::<f64>().unwrap_or(1.0).max(0.0),
        }
    }

    pub fn length(&self, step: Step) -> Duration {
        step.measured().mul_f64(self.factor()).max(step.least())
    }

    /// Takes the time of `step`: the one place where the emulator sleeps on purpose.
    pub fn take(&self, step: Step) {
        let length = self.length(step);
        if !length.is_zero() {
            std::thread::sleep(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_scales_and_off_leaves_only_what_the_machinery_needs() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("delays");
        let delays = Delays::at(&file);
        assert_eq!(delays.length(Step::FailedLogin), Duration::from_secs(3));
        std::fs::write(&file, "0.5\n").unwrap();
        assert_eq!(delays.length(Step::FailedLogin), Duration::from_millis(1500));
        std::fs::write(&file, "off\n").unwrap();
        assert_eq!(delays.length(Step::FailedLogin), Duration::ZERO);
        assert_eq!(delays.length(Step::ConfigSpread), Duration::from_millis(300));
    }
}
