//! Descriptors, pipes, locks and terminals through the table, on the fake machine.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::support::{Machine, NOT_USER};
    use abi::Errno;
    use abi::fs::{
        F_ADD_SEALS, F_GETFL, F_OFD_GETLK, F_OFD_SETLK, F_SEAL_WRITE, F_SETLK, F_UNLCK, F_WRLCK, Flock,
        LOCK_EX, LOCK_NB, MFD_ALLOW_SEALING, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NONBLOCK, O_RDONLY,
        O_RDWR, S_IFCHR, SEEK_CUR, SEEK_SET,
    };
    use abi::ioctl::{FIONREAD, TCGETS, TIOCGPTN, TIOCGPTPEER, TIOCSPTLCK};
    use abi::signal::SIGPIPE;
    use hal::{ConsoleInput, Readiness, Source};
    use syscall::decode::Fd;
    use syscall::proc::Object;
    use zerocopy::IntoBytes;

    fn open(m: &Machine, path: &str, flags: u32) -> Result<u64, Errno> {
        m.call("open", &[m.path(path), u64::from(flags), 0o644])
    }

    fn write(m: &Machine, fd: u64, bytes: &[u8]) -> Result<u64, Errno> {
        m.call("write", &[fd, m.put(0x1000, bytes), bytes.len() as u64])
    }

    fn read(m: &Machine, fd: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let at = m.scratch.0 + 0x2_0000;
        let got = m.call("read", &[fd, at, len as u64])?;
        Ok(m.get(at, usize::try_from(got).unwrap()))
    }

    fn pipe(m: &Machine, flags: u32) -> (u64, u64) {
        let at = m.scratch.0 + 0x100;
        m.call("pipe2", &[at, u64::from(flags)]).unwrap();
        let bytes = m.get(at, 8);
        let number = |i: usize| u64::from(u32::from_ne_bytes(bytes[i..i + 4].try_into().unwrap()));
        (number(0), number(4))
    }

    #[test]
    fn descriptors_come_before_buffers() {
        let m = Machine::new();
        assert_eq!(m.call("read", &[99, NOT_USER, 8]), Err(Errno::EBADF));
        assert_eq!(m.call("write", &[99, NOT_USER, 8]), Err(Errno::EBADF));
        let fd = open(&m, "/f", O_RDONLY | O_CREAT).unwrap();
        assert_eq!(m.call("write", &[fd, NOT_USER, 8]), Err(Errno::EBADF), "not open for writing");
        assert_eq!(m.call("read", &[fd, NOT_USER, 8]), Err(Errno::EFAULT));
        assert_eq!(m.call("read", &[fd, 0, 8]), Ok(0), "an empty file touches no buffer");
        assert_eq!(m.call("pread64", &[99, 0, 0, u64::MAX]), Err(Errno::EINVAL), "the offset comes first");
    }

    #[test]
    fn files_are_written_and_read_at_offsets() {
        let m = Machine::new();
        let fd = open(&m, "/f", O_RDWR | O_CREAT | O_EXCL).unwrap();
        assert_eq!(open(&m, "/f", O_RDWR | O_CREAT | O_EXCL), Err(Errno::EEXIST));
        assert_eq!(write(&m, fd, b"hello world"), Ok(11));
        assert_eq!(m.call("lseek", &[fd, 6, u64::from(SEEK_SET)]), Ok(6));
        assert_eq!(read(&m, fd, 64).unwrap(), b"world");
        assert_eq!(m.call("lseek", &[fd, 0, u64::from(SEEK_CUR)]), Ok(11));
        assert_eq!(m.call("lseek", &[fd, (-1_i64).cast_unsigned(), u64::from(SEEK_SET)]), Err(Errno::EINVAL));
        let at = m.scratch.0 + 0x3_0000;
        assert_eq!(m.call("pread64", &[fd, at, 5, 0]), Ok(5));
        assert_eq!(m.get(at, 5), b"hello");
        assert_eq!(m.call("ftruncate", &[fd, 5]), Ok(0));
        assert_eq!(m.call("lseek", &[fd, 0, 2]), Ok(5));
        let copy = m.call("dup", &[fd]).unwrap();
        m.call("lseek", &[copy, 1, 0]).unwrap();
        assert_eq!(read(&m, fd, 64).unwrap(), b"ello", "a duplicate shares the offset");
        assert_eq!(m.call("close", &[fd]), Ok(0));
        assert_eq!(m.call("close", &[fd]), Err(Errno::EBADF));
        assert_eq!(open(&m, "/f", O_RDONLY).unwrap(), fd, "the lowest free number");
    }

    #[test]
    fn a_listing_that_could_not_be_delivered_comes_again() {
        let m = Machine::new();
        for name in ["/d", "/d/a", "/d/b"] {
            m.call("mkdir", &[m.path(name), 0o755]).unwrap();
        }
        let fd = open(&m, "/d", O_RDONLY | O_DIRECTORY).unwrap();
        assert_eq!(m.call("getdents64", &[fd, NOT_USER, 4096]), Err(Errno::EFAULT));
        assert_eq!(m.call("getdents64", &[fd, m.scratch.0, 10]), Err(Errno::EINVAL));
        let len = m.call("getdents64", &[fd, m.scratch.0, 4096]).unwrap();
        assert_eq!(len, 24 * 4, "four entries of 24 bytes");
        assert_eq!(m.call("getdents64", &[fd, m.scratch.0, 4096]), Ok(0));
    }

    #[test]
    fn pipes_say_what_they_are_ready_for() {
        let m = Machine::new();
        let (r, w) = pipe(&m, O_NONBLOCK | O_CLOEXEC);
        assert_eq!(read(&m, r, 8), Err(Errno::EAGAIN));
        assert_eq!(m.call("read", &[w, m.scratch.0, 1]), Err(Errno::EBADF));
        assert_eq!(write(&m, w, b"abc"), Ok(3));
        let at = m.scratch.0 + 0x200;
        m.call("ioctl", &[r, u64::from(FIONREAD), at]).unwrap();
        assert_eq!(m.get(at, 4), 3_u32.to_ne_bytes());
        // pollfd: descriptor, POLLIN | POLLOUT, result.
        let poll = |fd: u64| {
            let fd = u32::try_from(fd).unwrap();
            let at = m.put(0x300, &[&fd.to_ne_bytes()[..], &[5, 0, 0, 0]].concat());
            let ready = m.call("poll", &[at, 1, 0]).unwrap();
            (ready, u16::from_ne_bytes(m.get(at + 6, 2).try_into().unwrap()))
        };
        assert_eq!(poll(r), (1, 1));
        assert_eq!(poll(w), (1, 4));
        assert_eq!(read(&m, r, 8).unwrap(), b"abc");
        assert_eq!(poll(r), (0, 0));
        m.call("close", &[w]).unwrap();
        assert_eq!(poll(r), (1, 0x10));
        assert_eq!(read(&m, r, 8).unwrap(), b"", "the end");
        assert_eq!(poll(77), (1, 0x20));
    }

    #[test]
    fn writing_where_nobody_reads_raises_sigpipe() {
        let m = Machine::new();
        let (r, w) = pipe(&m, 0);
        let blocked = 1_u64 << (SIGPIPE - 1);
        let at = m.put(0x400, &blocked.to_ne_bytes());
        m.call("rt_sigprocmask", &[0, at, 0, 8]).unwrap();
        m.call("close", &[r]).unwrap();
        assert_eq!(write(&m, w, b"x"), Err(Errno::EPIPE));
        assert_eq!(syscall::signal::pending(&m.thread).0 & blocked, blocked);
    }

    #[test]
    fn a_blocked_read_wakes_when_bytes_come() {
        let m = Machine::new();
        let (r, w) = pipe(&m, 0);
        let writer = m.thread.files().get(Fd(i32::try_from(w).unwrap())).unwrap();
        for round in 0..50_u8 {
            let writer = Arc::clone(&writer);
            let other = std::thread::spawn(move || {
                if round % 2 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let Object::Pipe(pipe) = writer.object() else { panic!("a pipe") };
                pipe.end.write(&mut Source::kernel(&[round]), writer.write_mode()).unwrap();
            });
            assert_eq!(read(&m, r, 8).unwrap(), [round]);
            other.join().unwrap();
        }
    }

    fn epoll_ctl(
        m: &Machine,
        epoll: u64,
        operation: u64,
        fd: u64,
        events: u32,
        data: u64,
    ) -> Result<u64, Errno> {
        let at = m.put(0x500, &[&events.to_ne_bytes()[..], &data.to_ne_bytes()[..]].concat());
        m.call("epoll_ctl", &[epoll, operation, fd, at])
    }

    /// Collects events without waiting: events and data of each.
    fn epoll_wait(m: &Machine, epoll: u64) -> Vec<(u32, u64)> {
        let at = m.scratch.0 + 0x600;
        let count = m.call("epoll_wait", &[epoll, at, 16, 0]).unwrap();
        m.get(at, usize::try_from(count).unwrap() * 12)
            .chunks(12)
            .map(|e| {
                (
                    u32::from_ne_bytes(e[..4].try_into().unwrap()),
                    u64::from_ne_bytes(e[4..].try_into().unwrap()),
                )
            })
            .collect()
    }

    const ADD: u64 = 1;
    const DEL: u64 = 2;
    const MOD: u64 = 3;
    const IN: u32 = 1;
    const OUT: u32 = 4;
    const ET: u32 = 1 << 31;
    const ONESHOT: u32 = 1 << 30;

    #[test]
    fn epoll_reports_levels_edges_and_single_shots() {
        let m = Machine::new();
        let epoll = m.call("epoll_create1", &[0]).unwrap();
        let (r, w) = pipe(&m, O_NONBLOCK);
        epoll_ctl(&m, epoll, ADD, r, IN, 1).unwrap();
        assert_eq!(epoll_ctl(&m, epoll, ADD, r, IN, 1), Err(Errno::EEXIST));
        assert_eq!(epoll_ctl(&m, epoll, MOD, w, OUT, 1), Err(Errno::ENOENT));
        assert_eq!(epoll_wait(&m, epoll), []);
        write(&m, w, b"a").unwrap();
        assert_eq!(epoll_wait(&m, epoll), [(IN, 1)]);
        assert_eq!(epoll_wait(&m, epoll), [(IN, 1)], "level-triggered: again");
        epoll_ctl(&m, epoll, MOD, r, IN | ET, 2).unwrap();
        assert_eq!(epoll_wait(&m, epoll), [(IN, 2)]);
        assert_eq!(epoll_wait(&m, epoll), [], "edge-triggered: not again");
        write(&m, w, b"b").unwrap();
        assert_eq!(epoll_wait(&m, epoll), [(IN, 2)]);
        epoll_ctl(&m, epoll, MOD, r, IN | ONESHOT, 3).unwrap();
        assert_eq!(epoll_wait(&m, epoll), [(IN, 3)]);
        write(&m, w, b"c").unwrap();
        assert_eq!(epoll_wait(&m, epoll), [], "a single shot is over");
        epoll_ctl(&m, epoll, MOD, r, IN, 4).unwrap();
        assert_eq!(epoll_wait(&m, epoll), [(IN, 4)]);
        epoll_ctl(&m, epoll, DEL, r, 0, 0).unwrap();
        assert_eq!(epoll_wait(&m, epoll), []);
        assert_eq!(epoll_ctl(&m, epoll, DEL, r, 0, 0), Err(Errno::ENOENT));
    }

    #[test]
    fn epoll_forgets_what_is_closed_and_refuses_loops() {
        let m = Machine::new();
        let epoll = m.call("epoll_create1", &[0]).unwrap();
        let (r, w) = pipe(&m, O_NONBLOCK);
        epoll_ctl(&m, epoll, ADD, r, IN, 1).unwrap();
        write(&m, w, b"a").unwrap();
        let copy = m.call("dup", &[r]).unwrap();
        m.call("close", &[r]).unwrap();
        assert_eq!(epoll_wait(&m, epoll), [(IN, 1)], "a duplicate keeps the description");
        m.call("close", &[copy]).unwrap();
        assert_eq!(epoll_wait(&m, epoll), []);
        let file = open(&m, "/f", O_RDWR | O_CREAT).unwrap();
        assert_eq!(epoll_ctl(&m, epoll, ADD, file, IN, 1), Err(Errno::EPERM));
        assert_eq!(epoll_ctl(&m, epoll, ADD, epoll, IN, 1), Err(Errno::EINVAL));
        let outer = m.call("epoll_create1", &[0]).unwrap();
        epoll_ctl(&m, outer, ADD, epoll, IN, 7).unwrap();
        assert_eq!(epoll_ctl(&m, epoll, ADD, outer, IN, 1), Err(Errno::ELOOP));
        let counter = m.call("eventfd2", &[0, 0]).unwrap();
        epoll_ctl(&m, epoll, ADD, counter, IN, 1).unwrap();
        assert_eq!(epoll_wait(&m, outer), []);
        write(&m, counter, &1_u64.to_ne_bytes()).unwrap();
        assert_eq!(epoll_wait(&m, outer), [(IN, 7)], "an instance is ready when it has events");
        assert_eq!(epoll_wait(&m, epoll), [(IN, 1)]);
    }

    #[test]
    fn event_counters_add_up() {
        let m = Machine::new();
        let fd = m.call("eventfd2", &[3, u64::from(O_NONBLOCK)]).unwrap();
        assert_eq!(read(&m, fd, 4), Err(Errno::EINVAL));
        assert_eq!(read(&m, fd, 8).unwrap(), 3_u64.to_ne_bytes());
        assert_eq!(read(&m, fd, 8), Err(Errno::EAGAIN));
        assert_eq!(write(&m, fd, &u64::MAX.to_ne_bytes()), Err(Errno::EINVAL));
        assert_eq!(write(&m, fd, &(u64::MAX - 1).to_ne_bytes()), Ok(8));
        assert_eq!(write(&m, fd, &1_u64.to_ne_bytes()), Err(Errno::EAGAIN));
        assert_eq!(m.call("lseek", &[fd, 5, 0]), Ok(0));
        assert_eq!(m.call("pread64", &[fd, m.scratch.0, 8, 0]), Err(Errno::ESPIPE));
    }

    #[test]
    fn locks_of_descriptions_and_processes_conflict() {
        let m = Machine::new();
        let a = open(&m, "/f", O_RDWR | O_CREAT).unwrap();
        let b = open(&m, "/f", O_RDWR).unwrap();
        let lock = |kind: i16| {
            let flock = Flock { l_type: kind, l_start: 10, l_len: 5, ..Flock::default() };
            m.put(0x700, flock.as_bytes())
        };
        m.call("fcntl", &[a, u64::from(F_OFD_SETLK), lock(F_WRLCK)]).unwrap();
        assert_eq!(m.call("fcntl", &[b, u64::from(F_OFD_SETLK), lock(F_WRLCK)]), Err(Errno::EAGAIN));
        assert_eq!(m.call("fcntl", &[b, u64::from(F_SETLK), lock(F_WRLCK)]), Err(Errno::EAGAIN));
        let at = lock(F_WRLCK);
        m.call("fcntl", &[b, u64::from(F_OFD_GETLK), at]).unwrap();
        assert_eq!(m.get(at + 24, 4), (-1_i32).to_ne_bytes(), "a description's lock shows no process");
        m.call("close", &[a]).unwrap();
        m.call("fcntl", &[b, u64::from(F_SETLK), lock(F_WRLCK)]).unwrap();
        let c = open(&m, "/f", O_RDWR).unwrap();
        m.call("close", &[c]).unwrap();
        let d = open(&m, "/f", O_RDWR).unwrap();
        m.call("fcntl", &[d, u64::from(F_OFD_SETLK), lock(F_WRLCK)])
            .expect("closing any descriptor released the lock");
        m.call("fcntl", &[d, u64::from(F_OFD_SETLK), lock(F_UNLCK)]).unwrap();
        m.call("flock", &[b, u64::from(LOCK_EX)]).unwrap();
        assert_eq!(m.call("flock", &[d, u64::from(LOCK_EX | LOCK_NB)]), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_sealed_memory_file_cannot_be_written() {
        let m = Machine::new();
        let name = m.path("x");
        let fd = m.call("memfd_create", &[name, u64::from(MFD_ALLOW_SEALING)]).unwrap();
        assert_eq!(write(&m, fd, b"abc"), Ok(3));
        m.call("fcntl", &[fd, u64::from(F_ADD_SEALS), u64::from(F_SEAL_WRITE)]).unwrap();
        assert_eq!(write(&m, fd, b"d"), Err(Errno::EPERM));
        assert_eq!(m.call("memfd_create", &[name, 1 << 30]), Err(Errno::EINVAL));
    }

    #[test]
    fn status_flags_are_those_of_the_opening() {
        let m = Machine::new();
        let fd = open(&m, "/f", O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC).unwrap();
        assert_eq!(m.call("fcntl", &[fd, u64::from(F_GETFL)]), Ok(0x8000 | u64::from(O_RDWR | O_NONBLOCK)));
        assert_eq!(m.call("fcntl", &[fd, 1]), Ok(1), "close-on-exec is the descriptor's");
        assert_eq!(m.call("dup2", &[fd, 9]), Ok(9));
        assert_eq!(m.call("fcntl", &[9, 1]), Ok(0));
        assert_eq!(m.call("dup3", &[fd, fd, 0]), Err(Errno::EINVAL));
        assert_eq!(m.call("dup2", &[99, 99]), Err(Errno::EBADF));
    }

    #[test]
    fn a_pseudo_terminal_has_lines_echo_and_an_end() {
        let m = Machine::new();
        m.call("mknod", &[m.path("/ptmx"), u64::from(S_IFCHR | 0o666), vfs::fs::dev::PTMX]).unwrap();
        let master = open(&m, "/ptmx", O_RDWR).unwrap();
        let at = m.scratch.0 + 0x800;
        m.call("ioctl", &[master, u64::from(TIOCGPTN), at]).unwrap();
        assert_eq!(m.get(at, 4), 0_u32.to_ne_bytes());
        let unlock = m.put(0x810, &0_u32.to_ne_bytes());
        m.call("ioctl", &[master, u64::from(TIOCSPTLCK), unlock]).unwrap();
        let slave = m.call("ioctl", &[master, u64::from(TIOCGPTPEER), u64::from(O_RDWR)]).unwrap();
        m.call("ioctl", &[slave, u64::from(TCGETS), at]).unwrap();
        assert_eq!(write(&m, master, b"ab\x7fc\r"), Ok(5));
        assert_eq!(read(&m, slave, 64).unwrap(), b"ac\n");
        assert_eq!(read(&m, master, 64).unwrap(), b"ab\x08 \x08c\r\n", "what was typed is shown");
        assert_eq!(write(&m, slave, b"x\n"), Ok(2));
        assert_eq!(read(&m, master, 64).unwrap(), b"x\r\n");
        write(&m, master, b"\x04").unwrap();
        assert_eq!(read(&m, slave, 64).unwrap(), b"");
        m.call("close", &[slave]).unwrap();
        assert_eq!(read(&m, master, 64), Err(Errno::EIO));
        m.call("mknod", &[m.path("/none"), u64::from(S_IFCHR | 0o666), vfs::fs::dev::number(99, 9)]).unwrap();
        assert_eq!(open(&m, "/none", O_RDWR), Err(Errno::ENXIO));
    }

    #[test]
    fn input_is_asked_for_before_it_comes() {
        let m = Machine::new();
        let [input, output, _] = syscall::console::stdio(&m.system, false, None);
        let console: Arc<dyn ConsoleInput> = m.fake.console.input().unwrap();
        assert_eq!(m.fake.console.credit_given(), 0, "nobody has asked for input yet");
        assert_eq!(input.readiness(&m.thread), Readiness::empty());
        assert_eq!(m.fake.console.credit_given(), 65536);
        console.bytes(b"hello");
        assert_eq!(input.readiness(&m.thread), Readiness::READ);
        let files = m.thread.files();
        let fd = files.add(input, syscall::proc::CloseOnExec::No, 0, 1024).unwrap();
        let out = files.add(output, syscall::proc::CloseOnExec::No, 0, 1024).unwrap();
        let (fd, out) = (u64::try_from(fd.0).unwrap(), u64::try_from(out.0).unwrap());
        assert_eq!(m.call("read", &[fd, NOT_USER, 8]), Err(Errno::EFAULT));
        assert_eq!(read(&m, fd, 3).unwrap(), b"hel");
        assert_eq!(read(&m, fd, 8).unwrap(), b"lo");
        console.end();
        assert_eq!(read(&m, fd, 8).unwrap(), b"");
        assert_eq!(m.call("lseek", &[fd, 0, 0]), Err(Errno::ESPIPE));
        assert_eq!(m.call("ioctl", &[fd, u64::from(TCGETS), m.scratch.0]), Err(Errno::ENOTTY));
        m.fake.console.take_output();
        assert_eq!(write(&m, out, b"shown"), Ok(5));
        assert_eq!(m.fake.console.take_output(), b"shown");
    }
}
