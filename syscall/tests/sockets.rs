//! What the socket calls answer while there are no sockets.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use abi::Errno;

    use super::support::Machine;

    #[test]
    fn no_family_is_there_and_nothing_is_a_socket() {
        let machine = Machine::new();
        assert_eq!(machine.call("socket", &[1, 1, 0]), Err(Errno::EAFNOSUPPORT));
        assert_eq!(machine.call("socket", &[2, 0o2000001, 0]), Err(Errno::EAFNOSUPPORT));
        assert_eq!(machine.call("socket", &[2, 9, 0]), Err(Errno::EINVAL));
        assert_eq!(machine.call("bind", &[7, 0, 0]), Err(Errno::EBADF));
        let pair = machine.put(0, &[0; 8]);
        assert_eq!(machine.call("pipe2", &[pair, 0]), Ok(0));
        assert_eq!(machine.call("getsockname", &[0, 0, 0]), Err(Errno::ENOTSOCK));
    }
}
