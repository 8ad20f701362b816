//! The table from the outside: numbers, order of checks, identity.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use abi::Errno;

    use super::support::{Machine, NOT_USER};

    #[test]
    fn numbers_that_do_not_exist_answer_enosys() {
        let machine = Machine::new();
        for number in [335, 423, 451, 999, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(machine.call_number(number, &[]), Err(Errno::ENOSYS), "{number}");
        }
    }

    #[test]
    fn a_bad_descriptor_is_reported_before_a_bad_buffer() {
        let machine = Machine::new();
        assert_eq!(machine.call("read", &[99, NOT_USER, 8]), Err(Errno::EBADF));
        assert_eq!(machine.call("write", &[99, NOT_USER, 8]), Err(Errno::EBADF));
    }

    #[test]
    fn the_first_process_has_number_two_and_the_kernel_for_a_parent() {
        let machine = Machine::new();
        assert_eq!(machine.call("getpid", &[]), Ok(2));
        assert_eq!(machine.call("gettid", &[]), Ok(2));
        assert_eq!(machine.call("getppid", &[]), Ok(1));
    }

    #[test]
    fn giving_up_root_drops_capabilities_and_cannot_be_undone() {
        let machine = Machine::new();
        assert_eq!(machine.call("setresuid", &[1000, 1000, 1000]), Ok(0));
        assert_eq!(machine.thread.credentials().effective, 0);
        assert_eq!(machine.call("setuid", &[0]), Err(Errno::EPERM));
        assert_eq!(machine.call("setgroups", &[0, 0]), Err(Errno::EPERM));
    }

    #[test]
    fn every_absent_call_answers_enosys() {
        let machine = Machine::new();
        for entry in syscall::table::TABLE {
            if entry.call.is_none() {
                assert_eq!(machine.call(entry.name, &[]), Err(Errno::ENOSYS), "{}", entry.name);
            }
        }
    }
}
