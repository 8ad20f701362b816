//! Filters of system calls, through dispatch.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use abi::Errno;
    use abi::seccomp::*;
    use zerocopy::IntoBytes;

    use super::support::Machine;

    const GETPPID: u32 = 110;

    const fn op(code: u16, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter { code, jt, jf, k }
    }

    /// Puts a filter in front; `args` of `seccomp(2)` come from its code.
    fn filter(machine: &Machine, code: &[SockFilter]) -> Result<u64, Errno> {
        let at = machine.put(0x2000, code.as_bytes());
        let program = SockFprog { len: code.len().try_into().unwrap(), filter: at, ..SockFprog::default() };
        let at = machine.put(0x1000, program.as_bytes());
        machine.call("seccomp", &[SECCOMP_SET_MODE_FILTER.into(), 0, at])
    }

    /// Answers `answer` for `getppid(2)`.
    fn about_getppid(answer: u32) -> [SockFilter; 4] {
        [
            op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0),
            op(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, GETPPID),
            op(BPF_RET | BPF_K, 0, 0, answer),
            op(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW),
        ]
    }

    #[test]
    fn the_strictest_filter_counts_and_the_newest_of_equals() {
        let machine = Machine::new();
        let errno = |errno: Errno| SECCOMP_RET_ERRNO | errno.number().cast_unsigned();
        filter(&machine, &about_getppid(errno(Errno::EMFILE))).unwrap();
        assert_eq!(machine.call("getppid", &[]), Err(Errno::EMFILE));
        filter(&machine, &about_getppid(errno(Errno::EXDEV))).unwrap();
        filter(&machine, &about_getppid(SECCOMP_RET_ALLOW)).unwrap();
        assert_eq!(machine.call("getppid", &[]), Err(Errno::EXDEV));
        assert!(machine.call("getpid", &[]).is_ok());
        assert_eq!(machine.call("prctl", &[21]), Ok(SECCOMP_MODE_FILTER));
    }

    #[test]
    fn a_chain_has_an_end() {
        let machine = Machine::new();
        let long = vec![op(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW); BPF_MAXINSNS];
        for _ in 0..3 {
            filter(&machine, &long).unwrap();
        }
        assert_eq!(filter(&machine, &long), Err(Errno::ENOMEM));
    }

    #[test]
    fn a_bad_length_is_reported_before_missing_privileges_and_those_before_bad_code() {
        let machine = Machine::new();
        let mut plain = syscall::proc::Credentials::clone(&machine.thread.credentials());
        plain.effective = 0;
        machine.thread.set_credentials(plain);
        assert_eq!(filter(&machine, &[]), Err(Errno::EINVAL));
        assert_eq!(filter(&machine, &[op(0xff, 0, 0, 0)]), Err(Errno::EACCES));
        machine.call("prctl", &[38, 1, 0, 0, 0]).unwrap();
        assert_eq!(filter(&machine, &[op(0xff, 0, 0, 0)]), Err(Errno::EINVAL));
    }
}
