//! Clocks, timers and futexes from the outside.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use abi::Errno;
    use hal::Clock;

    use super::support::Machine;

    fn words(machine: &Machine, offset: u64, words: &[u64]) -> u64 {
        machine.put(offset, &words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())
    }

    fn word(machine: &Machine, at: u64) -> u64 {
        u64::from_le_bytes(machine.get(at, 8).try_into().unwrap())
    }

    #[test]
    fn clocks_are_named_and_refused_as_on_linux() {
        let machine = Machine::new();
        let at = machine.scratch.0;
        for clock in [0, 1, 2, 3, 4, 5, 6, 7, 11] {
            assert_eq!(machine.call("clock_gettime", &[clock, at]), Ok(0), "{clock}");
        }
        for clock in [10, 12, 99] {
            assert_eq!(machine.call("clock_gettime", &[clock, at]), Err(Errno::EINVAL), "{clock}");
        }
        let own_cpu = (!2_i64 << 3 | 2).cast_unsigned();
        assert_eq!(machine.call("clock_gettime", &[own_cpu, at]), Ok(0));
        let nobodys = (!999_i64 << 3 | 2).cast_unsigned();
        assert_eq!(machine.call("clock_gettime", &[nobodys, at]), Err(Errno::EINVAL));
        machine.call("clock_getres", &[5, at]).unwrap();
        assert_eq!(word(&machine, at + 8), 4_000_000);
        assert_eq!(machine.call("clock_settime", &[1, at]), Err(Errno::EINVAL));
        let time = words(&machine, 0x100, &[2_000_000_000, 5]);
        assert_eq!(machine.call("clock_settime", &[0, time]), Ok(0));
        machine.call("clock_gettime", &[0, at]).unwrap();
        assert_eq!(word(&machine, at), 2_000_000_000);
        let bad = words(&machine, 0x100, &[1, 1_000_000_000]);
        assert_eq!(machine.call("nanosleep", &[bad, 0]), Err(Errno::EINVAL));
        assert_eq!(machine.call("clock_nanosleep", &[4, 0, time, 0]), Err(Errno::EOPNOTSUPP));
    }

    #[test]
    fn a_timer_descriptor_counts_expirations() {
        let machine = Machine::new();
        let fd = machine.call("timerfd_create", &[1, 0o4000]).unwrap();
        let at = machine.scratch.0 + 0x200;
        assert_eq!(machine.call("read", &[fd, at, 8]), Err(Errno::EAGAIN));
        let new = words(&machine, 0, &[0, 1_000_000, 1, 0]);
        assert_eq!(machine.call("timerfd_settime", &[fd, 0, new, 0]), Ok(0));
        machine.call("timerfd_gettime", &[fd, at]).unwrap();
        assert_eq!((word(&machine, at), word(&machine, at + 8)), (0, 1_000_000));
        machine.fake.clock.advance(1_000_000_000);
        machine.fake.clock.advance(5_000_000);
        assert_eq!(machine.call("read", &[fd, at, 8]), Ok(8));
        assert!(word(&machine, at) >= 6);
        assert_eq!(machine.call("timerfd_settime", &[77, 0, new, 0]), Err(Errno::EBADF));
    }

    #[test]
    fn a_timer_sends_its_signal_once_and_counts_what_was_missed() {
        let machine = Machine::new();
        let blocked = words(&machine, 0, &[1 << 33]);
        machine.call("rt_sigprocmask", &[0, blocked, 0, 8]).unwrap();
        // sigev_value, sigev_signo (34) with sigev_notify (SIGEV_SIGNAL).
        let event = words(&machine, 0x100, &[0xabc, 34, 0, 0, 0, 0, 0, 0]);
        let id = machine.scratch.0 + 0x200;
        machine.call("timer_create", &[1, event, id]).unwrap();
        let new = words(&machine, 0x300, &[0, 10_000_000, 0, 10_000_000]);
        machine.call("timer_settime", &[0, 0, new, 0]).unwrap();
        machine.fake.clock.advance(10_000_000);
        machine.fake.clock.advance(50_000_000);
        let info = machine.scratch.0 + 0x400;
        assert_eq!(machine.call("rt_sigtimedwait", &[blocked, info, 0, 8]), Ok(34));
        assert_eq!(word(&machine, info + 24), 0xabc);
        let missed = machine.call("timer_getoverrun", &[0]).unwrap();
        assert!(missed >= 5, "{missed}");
        assert_eq!(machine.call("timer_delete", &[0]), Ok(0));
        assert_eq!(machine.call("timer_gettime", &[0, info]), Err(Errno::EINVAL));
    }

    #[test]
    fn alarm_sends_sigalrm() {
        let machine = Machine::new();
        assert_eq!(machine.call("alarm", &[10]), Ok(0));
        assert_eq!(machine.call("alarm", &[1]), Ok(10));
        let blocked = words(&machine, 0, &[1 << 13]);
        machine.call("rt_sigprocmask", &[0, blocked, 0, 8]).unwrap();
        machine.fake.clock.advance(1_000_000_000);
        assert_eq!(machine.call("rt_sigtimedwait", &[blocked, 0, 0, 8]), Ok(14));
    }

    #[test]
    fn a_futex_wait_ends_by_value_by_time_and_by_wake_up() {
        let machine = Machine::new();
        let at = machine.put(0, &7_u32.to_le_bytes());
        assert_eq!(machine.call("futex", &[at, 128, 8, 0]), Err(Errno::EAGAIN));
        let soon = words(&machine, 0x100, &[0, 1000]);
        assert_eq!(machine.call("futex", &[at, 128, 7, soon]), Err(Errno::ETIMEDOUT));
        assert_eq!(machine.call("futex", &[at + 1, 128, 7, soon]), Err(Errno::EINVAL));
        assert_eq!(machine.call("futex", &[at, 129, 1]), Ok(0));
        assert_eq!(machine.call("futex", &[at, 9, 7, soon, 0, 0]), Err(Errno::EINVAL), "no bits");
        assert_eq!(machine.call("futex", &[at, 0x7e]), Err(Errno::ENOSYS));
        assert_eq!(machine.call("futex", &[at, 11, 7]), Err(Errno::ENOSYS), "FUTEX_WAIT_REQUEUE_PI");
        assert_eq!(machine.call("futex", &[at, 12, 7]), Err(Errno::ENOSYS), "FUTEX_CMP_REQUEUE_PI");
        let now = machine.fake.clock.monotonic_ns();
        let past = words(&machine, 0x100, &[now / 1_000_000_000, 0]);
        assert_eq!(machine.call("futex", &[at, 137, 7, past, 0, u64::from(u32::MAX)]), Err(Errno::ETIMEDOUT));
    }

    #[test]
    fn a_priority_inheriting_futex_knows_its_owner() {
        let machine = Machine::new();
        let at = machine.put(0, &[0; 4]);
        assert_eq!(machine.call("futex", &[at, 6 | 128, 0, 0]), Ok(0));
        assert_eq!(machine.get(at, 4), 2_u32.to_le_bytes());
        assert_eq!(machine.call("futex", &[at, 6 | 128, 0, 0]), Err(Errno::EDEADLK));
        assert_eq!(machine.call("futex", &[at, 7 | 128]), Ok(0));
        assert_eq!(machine.get(at, 4), [0; 4]);
        assert_eq!(machine.call("futex", &[at, 7 | 128]), Err(Errno::EPERM));
        machine.put(0, &999_u32.to_le_bytes());
        assert_eq!(machine.call("futex", &[at, 6 | 128, 0, 0]), Err(Errno::ESRCH));
        assert_eq!(machine.call("futex", &[at, 8 | 128]), Err(Errno::EAGAIN), "taken by someone");
    }

    #[test]
    fn the_clock_can_be_stepped_but_not_slewed() {
        let machine = Machine::new();
        let at = machine.put(0, &[0; 208]);
        assert_eq!(machine.call("adjtimex", &[at]), Ok(5), "TIME_ERROR: nobody disciplines it");
        let mut request = [0; 208];
        request[0] = 2;
        machine.put(0, &request);
        assert_eq!(machine.call("adjtimex", &[at]), Err(Errno::EOPNOTSUPP), "ADJ_FREQUENCY");
    }
}
