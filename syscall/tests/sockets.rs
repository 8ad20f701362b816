//! Sockets through dispatch.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use abi::Errno;
    use abi::socket::{
        AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, SCM_RIGHTS, SO_SNDBUF, SO_TYPE, SOCK_DGRAM,
        SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET,
    };

    use super::support::{Machine, NOT_USER};

    const UNIX: u64 = AF_UNIX as u64;
    const DATA: u64 = 0x1000;
    const PAIR: u64 = 0x100;

    fn pair(machine: &Machine, kind: u32) -> (u64, u64) {
        let at = machine.put(PAIR, &[0; 8]);
        assert_eq!(machine.call("socketpair", &[UNIX, u64::from(kind), 0, at]), Ok(0));
        let bytes = machine.get(at, 8);
        (u64::from(bytes[0]), u64::from(bytes[4]))
    }

    fn send(machine: &Machine, fd: u64, bytes: &[u8]) -> Result<u64, Errno> {
        let at = machine.put(DATA, bytes);
        machine.call("sendto", &[fd, at, bytes.len() as u64, u64::from(MSG_NOSIGNAL | MSG_DONTWAIT), 0, 0])
    }

    fn receive(machine: &Machine, fd: u64, room: u64, flags: u32) -> Result<Vec<u8>, Errno> {
        let at = machine.put(2 * DATA, &[0; 64]);
        let got = machine.call("recvfrom", &[fd, at, room, u64::from(flags | MSG_DONTWAIT), 0, 0])?;
        Ok(machine.get(at, usize::try_from(got).unwrap()))
    }

    fn address(machine: &Machine, path: &str) -> (u64, u64) {
        let bytes = [&AF_UNIX.to_ne_bytes(), path.as_bytes(), b"\0"].concat();
        (machine.put(0x400, &bytes), bytes.len() as u64)
    }

    /// A message header with one buffer and ancillary data of `control` bytes at its place.
    fn header(machine: &Machine, data_len: u64, control_len: u64) -> u64 {
        let (data, control) = (machine.scratch.offset(2 * DATA).0, machine.scratch.offset(3 * DATA).0);
        let vector = machine.put(0x600, &[data.to_ne_bytes(), data_len.to_ne_bytes()].concat());
        let words = [0, 0, vector, 1, control, control_len, 0];
        machine.put(0x700, &words.map(u64::to_ne_bytes).concat())
    }

    #[test]
    fn the_descriptor_comes_first_and_then_whether_it_is_a_socket() {
        let machine = Machine::new();
        let pipe = machine.put(0, &[0; 8]);
        assert_eq!(machine.call("pipe2", &[pipe, 0]), Ok(0));
        for name in
            ["bind", "listen", "connect", "getsockname", "getpeername", "sendmsg", "recvmsg", "shutdown"]
        {
            assert_eq!(machine.call(name, &[77, NOT_USER, 200]), Err(Errno::EBADF), "{name}");
            // Of all of these, `connect` alone looks at the address first.
            let wrong = if name == "connect" { Errno::EINVAL } else { Errno::ENOTSOCK };
            assert_eq!(machine.call(name, &[0, NOT_USER, 200]), Err(wrong), "{name}");
        }
        assert_eq!(machine.call("accept4", &[0, 0, 0, 1]), Err(Errno::EINVAL));
    }

    #[test]
    fn families_types_and_protocols_are_refused_as_by_linux() {
        let machine = Machine::new();
        let socket = |family, kind, protocol| machine.call("socket", &[family, kind, protocol]);
        assert_eq!(socket(UNIX, 1, 2), Err(Errno::EPROTONOSUPPORT));
        assert_eq!(socket(UNIX, 4, 0), Err(Errno::ESOCKTNOSUPPORT));
        assert_eq!(socket(UNIX, 11, 0), Err(Errno::EINVAL));
        assert_eq!(socket(UNIX, 0x101, 0), Err(Errno::EINVAL));
        assert_eq!(socket(UNIX, 1, 0), Ok(0));
    }

    #[test]
    fn a_stream_has_no_boundaries_and_ends() {
        let machine = Machine::new();
        let (a, b) = pair(&machine, SOCK_STREAM);
        assert_eq!(receive(&machine, b, 10, 0), Err(Errno::EAGAIN));
        assert_eq!(send(&machine, a, b"one"), Ok(3));
        assert_eq!(send(&machine, a, b"two"), Ok(3));
        assert_eq!(receive(&machine, b, 4, MSG_PEEK).as_deref(), Ok(&b"onet"[..]));
        assert_eq!(receive(&machine, b, 10, 0).as_deref(), Ok(&b"onetwo"[..]));
        assert_eq!(machine.call("shutdown", &[a, 1]), Ok(0));
        assert_eq!(receive(&machine, b, 10, 0).as_deref(), Ok(&b""[..]));
        assert_eq!(send(&machine, a, b"x"), Err(Errno::EPIPE));
        assert_eq!(send(&machine, b, b"x"), Ok(1));
        assert_eq!(machine.call("close", &[a]), Ok(0));
        assert_eq!(receive(&machine, b, 1, 0), Err(Errno::ECONNRESET));
        assert_eq!(receive(&machine, b, 1, 0).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn a_stream_that_is_full_says_so_and_takes_more_later() {
        let machine = Machine::new();
        let (a, b) = pair(&machine, SOCK_STREAM | SOCK_NONBLOCK);
        let at = machine.put(DATA, b"");
        let mut sent = 0;
        while let Ok(some) = machine.call("write", &[a, at, 100_000]) {
            sent += some;
        }
        assert!(sent >= 100_000, "{sent}");
        assert_eq!(machine.call("write", &[a, at, 1]), Err(Errno::EAGAIN));
        let mut got = 0;
        while let Ok(some) = machine.call("read", &[b, at, 100_000]) {
            got += some;
        }
        assert_eq!(got, sent);
        assert_eq!(machine.call("write", &[a, at, 1]), Ok(1));
    }

    #[test]
    fn a_path_leads_to_who_is_bound_there() {
        let machine = Machine::new();
        let stream = u64::from(SOCK_STREAM | SOCK_NONBLOCK);
        let listener = machine.call("socket", &[UNIX, stream, 0]).unwrap();
        let client = machine.call("socket", &[UNIX, stream, 0]).unwrap();
        let (at, len) = address(&machine, "/sock");
        assert_eq!(machine.call("connect", &[client, at, len]), Err(Errno::ENOENT));
        assert_eq!(machine.call("bind", &[listener, at, len]), Ok(0));
        assert_eq!(machine.call("bind", &[client, at, len]), Err(Errno::EADDRINUSE));
        assert_eq!(machine.call("connect", &[client, at, len]), Err(Errno::ECONNREFUSED));
        assert_eq!(machine.call("listen", &[listener, 0]), Ok(0));
        assert_eq!(machine.call("accept", &[listener, 0, 0]), Err(Errno::EAGAIN));
        assert_eq!(machine.call("connect", &[client, at, len]), Ok(0));
        assert_eq!(machine.call("connect", &[client, at, len]), Err(Errno::EAGAIN));
        let third = machine.call("socket", &[UNIX, stream, 0]).unwrap();
        assert_eq!(machine.call("connect", &[third, at, len]), Err(Errno::EAGAIN));
        let server = machine.call("accept", &[listener, 0, 0]).unwrap();
        assert_eq!(machine.call("connect", &[client, at, len]), Err(Errno::EISCONN));
        assert_eq!(send(&machine, client, b"hello"), Ok(5));
        assert_eq!(receive(&machine, server, 10, 0).as_deref(), Ok(&b"hello"[..]));
        let path = machine.path("/sock");
        assert_eq!(machine.call("open", &[path, 0, 0]), Err(Errno::ENXIO));
    }

    #[test]
    fn datagrams_keep_their_boundaries() {
        let machine = Machine::new();
        let (a, b) = pair(&machine, SOCK_DGRAM);
        assert_eq!(send(&machine, a, b"first"), Ok(5));
        assert_eq!(send(&machine, a, b""), Ok(0));
        assert_eq!(send(&machine, a, b"last"), Ok(4));
        assert_eq!(receive(&machine, b, 2, 0).as_deref(), Ok(&b"fi"[..]));
        assert_eq!(receive(&machine, b, 10, 0).as_deref(), Ok(&b""[..]));
        assert_eq!(receive(&machine, b, 10, 0).as_deref(), Ok(&b"last"[..]));
        assert_eq!(machine.call("close", &[b]), Ok(0));
        assert_eq!(send(&machine, a, b"x"), Err(Errno::ECONNREFUSED));
        assert_eq!(send(&machine, a, b"x"), Err(Errno::ENOTCONN));
    }

    #[test]
    fn an_open_file_travels() {
        let machine = Machine::new();
        let (a, b) = pair(&machine, SOCK_STREAM);
        let fds = machine.put(0, &[0; 8]);
        assert_eq!(machine.call("pipe2", &[fds, 0]), Ok(0));
        let ends = machine.get(fds, 8);
        let control: Vec<u8> = [
            &20_u64.to_ne_bytes()[..],
            &SOL_SOCKET.to_ne_bytes(),
            &SCM_RIGHTS.to_ne_bytes(),
            &ends[4..8],
            &[0; 4],
        ]
        .concat();
        machine.put(3 * DATA, &control);
        machine.put(2 * DATA, b"f");
        assert_eq!(machine.call("sendmsg", &[a, header(&machine, 1, 24), 0]), Ok(1));
        assert_eq!(machine.call("close", &[u64::from(ends[4])]), Ok(0));
        machine.put(3 * DATA, &[0; 24]);
        assert_eq!(machine.call("recvmsg", &[b, header(&machine, 10, 24), 0]), Ok(1));
        let came = machine.get(machine.scratch.offset(3 * DATA).0, 24);
        assert_eq!(came[..20], [&20_u64.to_ne_bytes()[..], &control[8..16], &ends[4..8]].concat());
        let at = machine.put(DATA, b"through");
        assert_eq!(machine.call("write", &[u64::from(came[16]), at, 7]), Ok(7));
        assert_eq!(machine.call("read", &[u64::from(ends[0]), at, 10]), Ok(7));
    }

    /// Sends `fds` over `over`.
    fn pass(machine: &Machine, over: u64, fds: &[u64]) {
        let list: Vec<u8> = fds.iter().flat_map(|&fd| u32::try_from(fd).unwrap().to_ne_bytes()).collect();
        let len = 16 + list.len() as u64;
        let head = [&len.to_ne_bytes()[..], &SOL_SOCKET.to_ne_bytes(), &SCM_RIGHTS.to_ne_bytes()].concat();
        machine.put(3 * DATA, &[head, list, vec![0; 8]].concat());
        machine.put(2 * DATA, b"f");
        assert_eq!(machine.call("sendmsg", &[over, header(machine, 1, len.next_multiple_of(8)), 0]), Ok(1));
    }

    #[test]
    fn sockets_that_only_hold_each_other_are_found() {
        let machine = Machine::new();
        let (a, b) = pair(&machine, SOCK_STREAM);
        let fds = machine.put(0, &[0; 8]);
        assert_eq!(machine.call("pipe2", &[fds, 0]), Ok(0));
        let ends = machine.get(fds, 8);
        let (reader, writer) = (u64::from(ends[0]), u64::from(ends[4]));
        // Each lies in the other's queue, and the pipe's end with them.
        pass(&machine, a, &[b, writer]);
        pass(&machine, b, &[a]);
        for fd in [a, b, writer] {
            assert_eq!(machine.call("close", &[fd]), Ok(0));
        }
        let flags = abi::fs::O_NONBLOCK;
        assert_eq!(machine.call("fcntl", &[reader, u64::from(abi::fs::F_SETFL), u64::from(flags)]), Ok(0));
        assert_eq!(machine.call("read", &[reader, fds, 1]), Err(Errno::EAGAIN));
        let (c, _) = pair(&machine, SOCK_STREAM);
        assert_eq!(machine.call("close", &[c]), Ok(0));
        assert_eq!(machine.call("read", &[reader, fds, 1]), Ok(0));
    }

    #[test]
    fn options_are_cut_to_the_room_there_is() {
        let machine = Machine::new();
        let (a, _) = pair(&machine, SOCK_DGRAM);
        let level = u64::from(SOL_SOCKET.unsigned_abs());
        let name = |name: i32| u64::from(name.unsigned_abs());
        let (at, len_at) = (machine.put(DATA, &[0x55; 8]), machine.put(0, &[2, 0, 0, 0]));
        assert_eq!(machine.call("getsockopt", &[a, level, name(SO_TYPE), at, len_at]), Ok(0));
        assert_eq!(machine.get(at, 4), [2, 0, 0x55, 0x55]);
        assert_eq!(machine.get(len_at, 4), [2, 0, 0, 0]);
        let value = machine.put(DATA, &10_000_u32.to_ne_bytes());
        assert_eq!(machine.call("setsockopt", &[a, level, name(SO_SNDBUF), value, 3]), Err(Errno::EINVAL));
        assert_eq!(machine.call("setsockopt", &[a, level, name(SO_SNDBUF), value, 4]), Ok(0));
        machine.put(0, &[4, 0, 0, 0]);
        assert_eq!(machine.call("getsockopt", &[a, level, name(SO_SNDBUF), at, len_at]), Ok(0));
        assert_eq!(machine.get(at, 4), 20_000_u32.to_ne_bytes());
    }
}
