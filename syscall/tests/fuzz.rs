//! Random arguments to every call that does not wait, for as long as `HULL_FUZZ_SECONDS` says: no panic.
//!
//! A failure prints the seed; `HULL_FUZZ_SEED` starts there again.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use super::support::Machine;

    /// Calls that may rightly wait for ever, end the process, or replace it.
    const WAITING: &[&str] = &[
        "pause",
        "rt_sigsuspend",
        "rt_sigtimedwait",
        "wait4",
        "waitid",
        "futex",
        "futex_waitv",
        "nanosleep",
        "clock_nanosleep",
        "poll",
        "ppoll",
        "select",
        "pselect6",
        "epoll_wait",
        "epoll_pwait",
        "epoll_pwait2",
        "exit",
        "exit_group",
        "execve",
        "execveat",
        "fork",
        "vfork",
        "clone",
        "clone3",
        "kill",
        "tkill",
        "tgkill",
        "rt_sigqueueinfo",
        "rt_tgsigqueueinfo",
        "rt_sigreturn",
        "flock",
        "reboot",
        "open",
        "openat",
        "openat2",
        "creat",
        "read",
        "readv",
        "preadv2",
        "write",
        "writev",
        "splice",
        "tee",
        "vmsplice",
        "sendfile",
        "connect",
        "accept",
        "accept4",
        "recvfrom",
        "recvmsg",
        "recvmmsg",
        "sendto",
        "sendmsg",
        "sendmmsg",
        "fcntl",
        "io_getevents",
        "io_pgetevents",
        "io_uring_enter",
        "mq_timedreceive",
        "mq_timedsend",
        "msgrcv",
        "msgsnd",
        "semop",
        "semtimedop",
        "alarm",
        "setitimer",
        "timer_settime",
        "ptrace",
        "pidfd_send_signal",
        "seccomp",
        "syslog",
        "prlimit64",
        "setrlimit",
    ];

    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, end: usize) -> usize {
            usize::try_from(self.next() >> 16).unwrap() % end.max(1)
        }

        /// A number of a kind that calls look at twice.
        fn argument(&mut self, machine: &Machine) -> u64 {
            let scratch = machine.scratch.0;
            let any = self.next();
            let choices = [
                any % 8,
                any % 4096,
                1 << (any % 64),
                (1_u64 << (any % 64)).wrapping_sub(1),
                u64::MAX - any % 300,
                scratch + any % 4096,
                scratch + (1 << 20) - any % 64,
                scratch & !0xfff,
                0x7fff_ffff_f000 - any % 8192,
                0xffff_8000_0000_0000 | (any % 4096),
                i64::MAX as u64 - any % 4,
                any,
                any & 0xffff_ffff,
                (-100_i64).cast_unsigned(),
                4096 * (any % 32),
                0,
            ];
            choices[self.below(choices.len())]
        }
    }

    fn setting(name: &str) -> Option<u64> {
        std::env::var(name).ok()?.parse().ok()
    }

    #[test]
    #[ignore = "takes as long as it is told"]
    fn fuzz_arguments() {
        let end = Instant::now() + Duration::from_secs(setting("HULL_FUZZ_SECONDS").unwrap_or(5));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let start = u64::from(now.subsec_nanos()) << 20 | now.as_secs();
        let mut seed = setting("HULL_FUZZ_SEED").unwrap_or(start);
        let calls: Vec<&str> = syscall::table::TABLE
            .iter()
            .filter(|entry| entry.call.is_some() && !WAITING.contains(&entry.name))
            .map(|entry| entry.name)
            .collect();
        while Instant::now() < end {
            seed = seed.wrapping_add(1);
            println!("HULL_FUZZ_SEED={}", seed.wrapping_sub(1));
            let mut numbers = Numbers(seed | 1);
            let machine = Machine::new();
            // Something for paths, structures and vectors to find.
            let text: Vec<u8> = (0..512).flat_map(|_| numbers.next().to_le_bytes()).collect();
            machine.put(0, &text);
            machine.put(64, b"/a/../b/./c\0");
            machine.put(128, &[machine.scratch.0.to_le_bytes(), 64_u64.to_le_bytes()].concat());
            for _ in 0..400 {
                let name = calls[numbers.below(calls.len())];
                let args: Vec<u64> = (0..6).map(|_| numbers.argument(&machine)).collect();
                if setting("HULL_FUZZ_TRACE").is_some() {
                    println!("{name} {args:x?}");
                }
                let _ = machine.call(name, &args);
            }
            drop(machine);
            assert_eq!(hal::fake::frames_in_use(), 0, "pages that nobody gave back");
        }
    }
}
