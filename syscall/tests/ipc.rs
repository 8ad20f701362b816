//! System V IPC and POSIX message queues through the table, on the fake machine.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use super::support::{Machine, NOT_USER};
    use abi::Errno;
    use abi::fs::{O_CREAT, O_NONBLOCK, O_RDWR};
    use abi::ipc::*;
    use zerocopy::{FromBytes, IntoBytes};

    const PRIVATE: u64 = 0;
    const NOWAIT: u64 = IPC_NOWAIT as u64;

    fn attached(m: &Machine, id: u64) -> u64 {
        let at = m.scratch.0 + 0x100;
        m.call("shmctl", &[id, u64::from(IPC_STAT), at]).unwrap();
        ShmidDs::read_from_bytes(&m.get(at, size_of::<ShmidDs>())).unwrap().shm_nattch
    }

    fn segment(m: &Machine, size: u64) -> u64 {
        m.call("shmget", &[PRIVATE, size, 0o600]).unwrap()
    }

    #[test]
    fn a_segment_is_the_same_memory_wherever_it_is_attached() {
        let m = Machine::new();
        let id = segment(&m, 10_000);
        let (a, b) = (m.call("shmat", &[id, 0, 0]).unwrap(), m.call("shmat", &[id, 0, 0]).unwrap());
        assert_ne!(a, b);
        m.put(a.wrapping_sub(m.scratch.0) + 9_000, b"shared");
        assert_eq!(m.get(b + 9_000, 6), b"shared");
        assert_eq!(attached(&m, id), 2);
        m.call("shmdt", &[a]).unwrap();
        assert_eq!(m.call("shmdt", &[a]), Err(Errno::EINVAL));
        assert_eq!(attached(&m, id), 1);
    }

    #[test]
    fn each_part_of_an_attachment_counts_and_all_go_together() {
        let m = Machine::new();
        let id = segment(&m, 4 * 4096);
        let at = m.call("shmat", &[id, 0, 0]).unwrap();
        m.call("mprotect", &[at + 4096, 4096, 1]).unwrap();
        assert_eq!(attached(&m, id), 3);
        m.call("mprotect", &[at + 4096, 4096, 3]).unwrap();
        assert_eq!(attached(&m, id), 3, "what is cut is never joined again");
        m.call("munmap", &[at, 4096]).unwrap();
        assert_eq!(attached(&m, id), 2);
        m.call("shmdt", &[at]).unwrap();
        assert_eq!(attached(&m, id), 0);
    }

    #[test]
    fn a_copied_address_space_has_what_the_first_one_has() {
        let m = Machine::new();
        let id = segment(&m, 4096);
        let first = m.call("shmat", &[id, 0, 0]).unwrap();
        let child = m.process.vm().fork(9).unwrap();
        assert_eq!(attached(&m, id), 2);
        m.call("shmctl", &[id, u64::from(IPC_RMID), 0]).unwrap();
        assert_eq!(attached(&m, id), 2, "removed, but not gone");
        drop(child);
        assert_eq!(attached(&m, id), 1);
        let at = m.call("shmat", &[id, 0, 0]).unwrap();
        m.call("shmdt", &[at]).unwrap();
        assert_eq!(m.system.ipc.shm.total_pages(), 1);
        m.call("munmap", &[first, 4096]).unwrap();
        assert_eq!(m.system.ipc.shm.total_pages(), 0, "the last mapping took it along");
        assert_eq!(m.call("shmat", &[id, 0, 0]), Err(Errno::EINVAL));
    }

    #[test]
    fn errors_come_in_linux_order() {
        let m = Machine::new();
        assert_eq!(m.call("shmget", &[77, 0, 0]), Err(Errno::ENOENT), "the key comes before the size");
        assert_eq!(m.call("shmget", &[77, 0, u64::from(IPC_CREAT)]), Err(Errno::EINVAL));
        assert_eq!(m.call("semop", &[99, NOT_USER, 501]), Err(Errno::E2BIG));
        assert_eq!(m.call("semop", &[99, NOT_USER, 1]), Err(Errno::EFAULT));
        assert_eq!(m.call("semop", &[u64::MAX, NOT_USER, 1]), Err(Errno::EINVAL));
        assert_eq!(m.call("msgsnd", &[u64::MAX, NOT_USER, 1, 0]), Err(Errno::EFAULT));
        assert_eq!(m.call("msgctl", &[99, u64::from(IPC_SET), NOT_USER]), Err(Errno::EFAULT));
        assert_eq!(m.call("mq_timedsend", &[99, NOT_USER, 1, 32_768, 0]), Err(Errno::EINVAL));
        assert_eq!(m.call("mq_timedsend", &[99, NOT_USER, 1, 0, 0]), Err(Errno::EBADF));
        assert_eq!(m.call("mq_getsetattr", &[99, NOT_USER, 0]), Err(Errno::EFAULT));
    }

    fn operate(m: &Machine, id: u64, list: &[(u16, i16, u32)]) -> Result<u64, Errno> {
        let list: Vec<Sembuf> = list
            .iter()
            .map(|&(sem_num, sem_op, flags)| Sembuf {
                sem_num,
                sem_op,
                sem_flg: i16::try_from(flags).unwrap(),
            })
            .collect();
        m.call("semop", &[id, m.put(0x200, list.as_bytes()), list.len() as u64])
    }

    fn value(m: &Machine, id: u64, index: u64) -> u64 {
        m.call("semctl", &[id, index, u64::from(GETVAL), 0]).unwrap()
    }

    #[test]
    fn operations_are_carried_out_whole_or_not_at_all() {
        let m = Machine::new();
        let id = m.call("semget", &[PRIVATE, 2, 0o600]).unwrap();
        let never = [(0, 3, SEM_UNDO), (0, -1, SEM_UNDO), (1, -1, IPC_NOWAIT)];
        assert_eq!(operate(&m, id, &never), Err(Errno::EAGAIN));
        assert_eq!((value(&m, id, 0), value(&m, id, 1)), (0, 0));
        assert_eq!(operate(&m, id, &[(0, 32_767, 0), (0, 1, 0)]), Err(Errno::ERANGE));
        assert_eq!(operate(&m, id, &[(2, 1, 0)]), Err(Errno::EFBIG));
        operate(&m, id, &[(0, 3, 0), (0, -1, 0), (1, 5, 0)]).unwrap();
        assert_eq!((value(&m, id, 0), value(&m, id, 1)), (2, 5));
    }

    #[test]
    fn what_is_to_be_undone_is_undone_once_nobody_shares_it() {
        let m = Machine::new();
        let id = m.call("semget", &[PRIVATE, 2, 0o600]).unwrap();
        operate(&m, id, &[(0, 7, 0), (0, -4, SEM_UNDO), (1, 3, SEM_UNDO)]).unwrap();
        let shared = m.thread.undo_list();
        m.thread.release_undo();
        assert_eq!((value(&m, id, 0), value(&m, id, 1)), (3, 3));
        syscall::ipc::sem::UndoList::release(shared, 5, 1);
        assert_eq!((value(&m, id, 0), value(&m, id, 1)), (7, 0));
        assert_eq!(m.call("semctl", &[id, 0, u64::from(GETPID), 0]), Ok(5));
    }

    #[test]
    fn messages_are_chosen_by_type() {
        let m = Machine::new();
        let id = m.call("msgget", &[PRIVATE, 0o600]).unwrap();
        for kind in [5_i64, 3, 7, 3] {
            let at = m.put(0x300, &[&kind.to_ne_bytes()[..], b"text"].concat());
            m.call("msgsnd", &[id, at, 4, 0]).unwrap();
        }
        let receive = |kind: i64, flags: u32| {
            let at = m.scratch.0 + 0x400;
            let args = [id, at, 10, kind.cast_unsigned(), NOWAIT | u64::from(flags)];
            assert_eq!(m.call("msgrcv", &args)?, 4);
            Ok(i64::from_ne_bytes(m.get(at, 8).try_into().unwrap()))
        };
        assert_eq!(receive(2, MSG_COPY), Ok(7));
        assert_eq!(receive(-6, 0), Ok(3));
        assert_eq!(receive(5, MSG_EXCEPT), Ok(7));
        assert_eq!(receive(4, 0), Err(Errno::ENOMSG));
        assert_eq!(receive(0, 0), Ok(5));
        assert_eq!(receive(3, 0), Ok(3));
        assert_eq!(receive(0, 0), Err(Errno::ENOMSG));
    }

    #[test]
    fn a_queue_gives_the_oldest_message_of_the_highest_priority() {
        let m = Machine::new();
        let name = m.path("queue");
        let fd = m.call("mq_open", &[name, u64::from(O_RDWR | O_CREAT | O_NONBLOCK), 0o600, 0]).unwrap();
        for (priority, text) in [(1, "b"), (9, "a"), (1, "c")] {
            let at = m.put(0x500, text.as_bytes());
            m.call("mq_timedsend", &[fd, at, 1, priority, 0]).unwrap();
        }
        let at = m.scratch.0 + 0x1_0000;
        for expected in [b"a", b"b", b"c"] {
            assert_eq!(m.call("mq_timedreceive", &[fd, at, 8192, 0, 0]), Ok(1));
            assert_eq!(m.get(at, 1), expected);
        }
        assert_eq!(m.call("mq_timedreceive", &[fd, at, 8192, 0, 0]), Err(Errno::EAGAIN));
        assert_eq!(m.call("mq_timedreceive", &[fd, at, 8191, 0, 0]), Err(Errno::EMSGSIZE));
        m.call("mq_unlink", &[name]).unwrap();
        assert_eq!(m.call("mq_unlink", &[name]), Err(Errno::ENOENT));
    }
}
