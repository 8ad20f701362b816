//! KVM or TCG: the choice, and the reason for it.

use crate::problem::Problem;
use anyhow::Result;
use std::fmt;

/// Where the choice is overridden.
pub const VARIABLE: &str = "HULL_ACCEL";

/// How QEMU runs the machine's instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accel {
    /// The processor runs them.
    Kvm,
    /// QEMU translates them.
    Tcg,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// Chooses by the value of `HULL_ACCEL` and by what this machine has; returns the reason too.
///
/// # Errors
/// If the value is unknown.
pub fn choose(wish: Option<&str>) -> Result<(Accel, String)> {
    match wish.unwrap_or("auto") {
        "kvm" => Ok((Accel::Kvm, format!("{VARIABLE}=kvm"))),
        "tcg" => Ok((Accel::Tcg, format!("{VARIABLE}=tcg"))),
        "auto" | "" => {
            let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            // The device is only opened where the processor says that it could work: in containers it may
            // exist without, and opening it then can hang or fail late.
            let open = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").map(drop);
            Ok(decide(&cpuinfo, open))
        }
        other => {
            let message = format!("{VARIABLE}={other:?} is not known");
            Err(Problem::new(message).hint("use auto, tcg or kvm").into())
        }
    }
}

fn decide(cpuinfo: &str, open: impl FnOnce() -> std::io::Result<()>) -> (Accel, String) {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let Some(flag) = flags.split_ascii_whitespace().find(|f| ["vmx", "svm"].contains(f)) else {
        return (Accel::Tcg, "/proc/cpuinfo lists neither vmx nor svm".into());
    };
    match open() {
        Ok(()) => (Accel::Kvm, format!("the processor has {flag} and /dev/kvm opens")),
        Err(e) => (Accel::Tcg, format!("the processor has {flag}, but /dev/kvm does not open: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_needs_the_flag_and_the_device_and_the_device_is_not_touched_without_the_flag() {
        assert_eq!(decide("flags\t\t: fpu vmx sse\n", || Ok(())).0, Accel::Kvm);
        let denied = || Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert_eq!(decide("flags\t\t: fpu svm sse\n", denied).0, Accel::Tcg);
        assert_eq!(decide("flags\t\t: fpu sse\nvmx flags\t: ept\n", || panic!("touched")).0, Accel::Tcg);
        assert!(choose(Some("xen")).is_err());
        assert_eq!(choose(Some("tcg")).unwrap().0, Accel::Tcg);
    }
}
