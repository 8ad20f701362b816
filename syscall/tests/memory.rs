//! Memory calls from the outside: errors, and what lies behind addresses.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use abi::Errno;

    use super::support::Machine;

    const ANONYMOUS: u64 = 0x22;
    const NOWHERE: u64 = u64::MAX;

    fn map(machine: &Machine, at: u64, len: u64, prot: u64, flags: u64) -> Result<u64, Errno> {
        machine.call("mmap", &[at, len, prot, flags, NOWHERE, 0])
    }

    #[test]
    fn mmap_refuses_what_linux_refuses() {
        let machine = Machine::new();
        assert_eq!(map(&machine, 0, 0, 3, ANONYMOUS), Err(Errno::EINVAL));
        assert_eq!(map(&machine, 0, u64::MAX, 3, ANONYMOUS), Err(Errno::ENOMEM));
        assert_eq!(map(&machine, 0, 4096, 3, 0x20), Err(Errno::EINVAL), "neither shared nor private");
        assert_eq!(map(&machine, 0, 4096, 3, 2), Err(Errno::EBADF));
        assert_eq!(map(&machine, 0x1_0001, 4096, 3, ANONYMOUS | 0x10), Err(Errno::EINVAL));
        assert_eq!(map(&machine, 0, 4096, 3, ANONYMOUS | 0x4_0000), Err(Errno::ENOMEM), "no huge pages");
        assert_eq!(
            machine.call("mmap", &[0, 4096, 3, ANONYMOUS, NOWHERE, 100]),
            Err(Errno::EINVAL),
            "the offset is checked first"
        );
        let at = map(&machine, 0, 8192, 3, ANONYMOUS).unwrap();
        assert_eq!(map(&machine, at, 4096, 3, ANONYMOUS | 0x10_0000), Err(Errno::EEXIST));
        assert_eq!(map(&machine, at, 4096, 3, ANONYMOUS | 0x10), Ok(at));
    }

    #[test]
    fn mappings_go_down_from_the_top_and_fill_holes() {
        let machine = Machine::new();
        let first = map(&machine, 0, 0x3000, 3, ANONYMOUS).unwrap();
        let second = map(&machine, 0, 0x1000, 1, ANONYMOUS).unwrap();
        assert_eq!(second, first - 0x1000);
        machine.call("munmap", &[first, 0x3000]).unwrap();
        assert_eq!(map(&machine, 0, 0x3000, 3, ANONYMOUS), Ok(first));
        let low = map(&machine, 0, 4096, 3, ANONYMOUS | 0x40).unwrap();
        assert!((0x4000_0000..0x8000_0000).contains(&low));
    }

    #[test]
    fn protection_is_checked_and_holes_are_found_late() {
        let machine = Machine::new();
        let at = map(&machine, 0, 0x3000, 3, ANONYMOUS).unwrap();
        machine.call("munmap", &[at + 0x1000, 0x1000]).unwrap();
        assert_eq!(machine.call("mprotect", &[at, 0x3000, 1]), Err(Errno::ENOMEM));
        let maps = machine.process.vm().maps();
        let prot = |at| maps.iter().find(|l| l.start == at).unwrap().prot;
        assert_eq!(prot(at), hal::Prot::READ, "what is below the hole has changed");
        assert_eq!(prot(at + 0x2000), hal::Prot::READ | hal::Prot::WRITE);
        assert_eq!(machine.call("mprotect", &[at + 1, 0x1000, 1]), Err(Errno::EINVAL));
        assert_eq!(machine.call("mprotect", &[at, 0x1000, 0x40]), Err(Errno::EINVAL));
        // The kernel's copy obeys, too.
        assert_eq!(machine.call("clock_gettime", &[0, at]), Err(Errno::EFAULT));
    }

    #[test]
    fn mremap_grows_moves_and_refuses() {
        let machine = Machine::new();
        let at = map(&machine, 0x4000_0000, 0x2000, 3, ANONYMOUS).unwrap();
        assert_eq!(machine.call("mremap", &[at, 0x2000, 0x4000, 0, 0]), Ok(at));
        map(&machine, at + 0x4000, 0x1000, 3, ANONYMOUS | 0x10).unwrap();
        assert_eq!(machine.call("mremap", &[at, 0x4000, 0x6000, 0, 0]), Err(Errno::ENOMEM));
        let moved = machine.call("mremap", &[at, 0x4000, 0x6000, 1, 0]).unwrap();
        assert_ne!(moved, at);
        assert_eq!(machine.call("mremap", &[at, 0x1000, 0x1000, 1, 0]), Err(Errno::EFAULT));
        assert_eq!(machine.call("mremap", &[moved, 0x1000, 0x1000, 2, 0]), Err(Errno::EINVAL));
        assert_eq!(machine.call("mremap", &[moved, 0, 0x1000, 1, 0]), Err(Errno::EINVAL));
        assert_eq!(machine.call("mremap", &[moved, 0x1000, 0, 1, 0]), Err(Errno::EINVAL));
    }

    #[test]
    fn advice_and_residence() {
        let machine = Machine::new();
        let at = map(&machine, 0, 0x2000, 3, ANONYMOUS).unwrap();
        let vec = machine.scratch.0;
        machine.put(0, &[9; 2]);
        assert_eq!(machine.call("mincore", &[at, 0x2000, vec]), Ok(0));
        assert_eq!(machine.get(vec, 2), [0, 0]);
        assert_eq!(machine.call("madvise", &[at, 0x1000, 23]), Ok(0), "MADV_POPULATE_WRITE");
        machine.call("mincore", &[at, 0x2000, vec]).unwrap();
        assert_eq!(machine.get(vec, 2), [1, 0]);
        assert_eq!(machine.call("madvise", &[at, 0x1000, 4]), Ok(0));
        machine.call("mincore", &[at, 0x2000, vec]).unwrap();
        assert_eq!(machine.get(vec, 2), [0, 0]);
        assert_eq!(machine.call("madvise", &[at, 0x1000, 99]), Err(Errno::EINVAL));
        assert_eq!(machine.call("madvise", &[at, 0x10_0000_0000, 4]), Err(Errno::ENOMEM));
        assert_eq!(machine.call("madvise", &[at, 0x1000, 9]), Err(Errno::EINVAL), "MADV_REMOVE of no file");
        machine.call("mlock", &[at, 0x1000]).unwrap();
        assert_eq!(machine.call("madvise", &[at, 0x1000, 4]), Err(Errno::EINVAL), "locked");
        assert_eq!(machine.call("munlock", &[at + 5, 1]), Ok(0));
        assert_eq!(machine.call("madvise", &[at, 0x1000, 4]), Ok(0));
    }

    #[test]
    fn the_missing_parts_of_partial_calls_answer_as_the_table_says() {
        let machine = Machine::new();
        let at = map(&machine, 0, 0x1000, 3, ANONYMOUS).unwrap();
        assert_eq!(machine.call("madvise", &[at, 0x1000, 25]), Err(Errno::EINVAL), "MADV_COLLAPSE");
        let mode = machine.put(0, &[9; 4]);
        machine.call("set_mempolicy", &[4, 0, 0]).unwrap();
        machine.call("get_mempolicy", &[mode, 0, 0, 0, 0]).unwrap();
        assert_eq!(machine.get(mode, 4), [0; 4], "policies are not kept");
        assert_eq!(machine.call("mbind", &[at, 0x1000, 2, 0, 0, 0]), Err(Errno::EINVAL));
        assert_eq!(machine.call("set_mempolicy_home_node", &[at, 0x1000, 0, 0]), Err(Errno::ENOENT));
        assert_eq!(machine.call("membarrier", &[128, 0, 0]), Err(Errno::EINVAL));
        assert_eq!(machine.call("membarrier", &[8, 0, 0]), Err(Errno::EPERM));
        assert_eq!(machine.call("membarrier", &[16, 0, 0]), Ok(0));
        assert_eq!(machine.call("membarrier", &[8, 0, 0]), Ok(0));
    }
}
