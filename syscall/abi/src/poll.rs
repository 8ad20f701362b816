//! Waiting for descriptors: `poll(2)`, `epoll(7)`, `select(2)`, `eventfd(2)`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

flags! {
    /// Events of `poll(2)`; the same bits as [`EpollEvents`].
    PollEvents: u32 {
        POLLIN = 1, POLLPRI = 2, POLLOUT = 4, POLLERR = 8, POLLHUP = 0x10, POLLNVAL = 0x20,
        POLLRDNORM = 0x40, POLLRDBAND = 0x80, POLLWRNORM = 0x100, POLLWRBAND = 0x200, POLLMSG = 0x400,
        POLLREMOVE = 0x1000, POLLRDHUP = 0x2000,
    }
}

flags! {
    /// Events and options of `epoll(7)`.
    EpollEvents: u32 {
        EPOLLIN = 1, EPOLLPRI = 2, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 0x10, EPOLLNVAL = 0x20,
        EPOLLRDNORM = 0x40, EPOLLRDBAND = 0x80, EPOLLWRNORM = 0x100, EPOLLWRBAND = 0x200, EPOLLMSG = 0x400,
        EPOLLRDHUP = 0x2000, EPOLLEXCLUSIVE = 0x10000000, EPOLLWAKEUP = 0x20000000,
        EPOLLONESHOT = 0x40000000, EPOLLET = 0x80000000,
    }
}

consts! {
    /// Operations of `epoll_ctl(2)`.
    i32 {
        EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3,
    }
}

consts! {
    /// Flags of `epoll_create1(2)`.
    u32 {
        EPOLL_CLOEXEC = 0x80000,
    }
}

flags! {
    /// Flags of `eventfd2(2)`.
    EfdFlags: u32 {
        EFD_SEMAPHORE = 1, EFD_CLOEXEC = 0x80000, EFD_NONBLOCK = 0x800,
    }
}

consts! {
    /// Descriptors in an `fd_set`.
    usize {
        FD_SETSIZE = 1024,
    }
}

structs! {
    /// A descriptor of `poll(2)`.
    Pollfd = "struct pollfd" { fd: i32, events: i16, revents: i16 }

    /// A set of descriptors (`select(2)`).
    FdSet = "libc:fd_set" { _bits: [u64; 16] }
}

/// An event of `epoll_wait(2)`; without a gap on x86_64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, packed)]
pub struct EpollEvent {
    /// Bits of [`EpollEvents`].
    pub events: u32,
    /// What the program gave with the descriptor.
    pub data: u64,
}
