//! What sockets of all families have in common.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use hal::sync::{Lock, rank};

use crate::Ucred;

/// Smallest and largest buffer that `SO_SNDBUF` and `SO_RCVBUF` set, in bytes as the application sees them after
/// doubling (`socket(7)`); the largest is twice `net.core.wmem_max`.
pub const BUFFER_RANGE: (u32, u32) = (2304, 2 * MAX_BUFFER);
/// `net.core.rmem_max` and `wmem_max`, as Linux sets them, in bytes.
pub const MAX_BUFFER: u32 = 212_992;

/// Options of the level `SOL_SOCKET` that are plain values, and the pending error. The socket's family reads them where
/// it needs them.
pub struct Common {
    /// `AF_*`
    pub domain: u16,
    /// `SOCK_*`, without flags.
    pub kind: u32,
    /// Protocol, as `SO_PROTOCOL` tells it.
    pub protocol: i32,
    /// `SO_COOKIE`, and the inode number of the description.
    pub id: u64,
    /// `SO_REUSEADDR`
    pub reuse_address: AtomicBool,
    /// `SO_REUSEPORT`
    pub reuse_port: AtomicBool,
    /// `SO_KEEPALIVE`
    pub keep_alive: AtomicBool,
    /// `SO_BROADCAST`
    pub broadcast: AtomicBool,
    /// `SO_OOBINLINE`
    pub oob_inline: AtomicBool,
    /// `SO_PASSCRED`
    pub pass_credentials: AtomicBool,
    /// `SO_TIMESTAMP`: 0 off, 1 microseconds, 2 nanoseconds.
    pub timestamps: AtomicU32,
    /// `SO_RXQ_OVFL`
    pub count_drops: AtomicBool,
    /// `SO_DONTROUTE`
    pub dont_route: AtomicBool,
    /// `SO_DEBUG`
    pub debug: AtomicBool,
    /// `SO_ZEROCOPY`
    pub zero_copy: AtomicBool,
    /// `SO_NO_CHECK`
    pub no_check: AtomicBool,
    /// `SO_PRIORITY`
    pub priority: AtomicI32,
    /// `SO_MARK`
    pub mark: AtomicU32,
    /// `SO_RCVLOWAT`, at least 1.
    pub receive_low: AtomicU32,
    /// `SO_SNDBUF` and `SO_RCVBUF` as `getsockopt` tells them: twice what was set.
    pub send_buffer: AtomicU32,
    /// See [`Self::send_buffer`].
    pub receive_buffer: AtomicU32,
    /// `SO_BUF_LOCK`: bit 0 says that the send buffer was set by hand, bit 1 the receive buffer.
    pub buffer_lock: AtomicU32,
    /// `SO_SNDTIMEO` in nanoseconds, 0 for none.
    pub send_timeout_ns: AtomicU64,
    /// `SO_RCVTIMEO` in nanoseconds, 0 for none.
    pub receive_timeout_ns: AtomicU64,
    /// `SO_LINGER` in seconds, -1 for off.
    pub linger: AtomicI32,
    /// `SO_PEEK_OFF`, -1 for off.
    pub peek_offset: AtomicI32,
    /// `SO_BINDTODEVICE`: interface index, 0 for none.
    pub interface: AtomicU32,
    /// `SO_BUSY_POLL` in microseconds.
    pub busy_poll: AtomicU32,
    /// `SO_INCOMING_CPU`
    pub incoming_cpu: AtomicI32,
    /// Listens (`SO_ACCEPTCONN`).
    pub listens: AtomicBool,
    /// Receiving and sending was ended.
    pub ended: AtomicU32,
    /// Who made the socket, or the peer (`SO_PEERCRED`).
    pub peer_credentials: Lock<Option<Ucred>, { rank::LEAF }>,
    /// When the last message was received, in nanoseconds since 1970, 0 for never (`SIOCGSTAMP`).
    pub last_time_ns: AtomicU64,
    /// Groups of the socket's own process and of the peer's (`SO_PEERGROUPS`).
    groups: Lock<Groups, { rank::LEAF }>,
    /// The pending error's number, 0 for none.
    error: AtomicI32,
}

/// Supplementary groups, as far as anybody has told them.
#[derive(Clone, Default)]
struct Groups {
    own: Option<Arc<[u32]>>,
    peer: Option<Arc<[u32]>>,
}

/// [`Common::ended`]: nothing more is received.
pub const ENDED_READ: u32 = 1;
/// [`Common::ended`]: nothing more is sent.
pub const ENDED_WRITE: u32 = 2;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Common {
    /// Makes the options of a new socket, with Linux's defaults.
    pub fn new(domain: u16, kind: u32, protocol: i32) -> Self {
        Self {
            domain,
            kind,
            protocol,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            reuse_address: AtomicBool::new(false),
            reuse_port: AtomicBool::new(false),
            keep_alive: AtomicBool::new(false),
            broadcast: AtomicBool::new(false),
            oob_inline: AtomicBool::new(false),
            pass_credentials: AtomicBool::new(false),
            timestamps: AtomicU32::new(0),
            count_drops: AtomicBool::new(false),
            dont_route: AtomicBool::new(false),
            debug: AtomicBool::new(false),
            zero_copy: AtomicBool::new(false),
            no_check: AtomicBool::new(false),
            priority: AtomicI32::new(0),
            mark: AtomicU32::new(0),
            receive_low: AtomicU32::new(1),
            send_buffer: AtomicU32::new(MAX_BUFFER),
            receive_buffer: AtomicU32::new(MAX_BUFFER),
            buffer_lock: AtomicU32::new(0),
            send_timeout_ns: AtomicU64::new(0),
            receive_timeout_ns: AtomicU64::new(0),
            linger: AtomicI32::new(-1),
            peek_offset: AtomicI32::new(-1),
            interface: AtomicU32::new(0),
            busy_poll: AtomicU32::new(0),
            incoming_cpu: AtomicI32::new(-1),
            listens: AtomicBool::new(false),
            ended: AtomicU32::new(0),
            peer_credentials: Lock::new(None),
            last_time_ns: AtomicU64::new(0),
            groups: Lock::new(Groups::default()),
            error: AtomicI32::new(0),
        }
    }

    /// Hands the options on to the socket of an accepted connection.
    pub(crate) fn pass_on(&self, to: &Self) {
        macro_rules! copy {
            ($($field:ident),*) => {
                $( to.$field.store(self.$field.load(Ordering::Relaxed), Ordering::Relaxed); )*
            };
        }
        copy!(
            reuse_address,
            reuse_port,
            keep_alive,
            broadcast,
            oob_inline,
            pass_credentials,
            timestamps,
            count_drops,
            dont_route,
            debug,
            zero_copy,
            no_check,
            priority,
            mark,
            receive_low,
            send_buffer,
            receive_buffer,
            buffer_lock,
            send_timeout_ns,
            receive_timeout_ns,
            linger,
            interface,
            busy_poll,
            incoming_cpu
        );
    }

    /// Notes the groups of whoever uses the socket, for the peer to ask for.
    pub fn set_groups(&self, groups: &Arc<[u32]>) {
        self.groups.lock().own = Some(Arc::clone(groups));
    }

    /// Returns the groups of whoever uses the socket.
    pub fn groups(&self) -> Option<Arc<[u32]>> {
        self.groups.lock().own.clone()
    }

    /// Notes the groups of the peer.
    pub fn set_peer_groups(&self, groups: Option<Arc<[u32]>>) {
        self.groups.lock().peer = groups;
    }

    /// Returns the groups of the peer (`SO_PEERGROUPS`).
    pub fn peer_groups(&self) -> Option<Arc<[u32]>> {
        self.groups.lock().peer.clone()
    }

    /// Notes an error that the next call reports.
    pub fn set_error(&self, errno: Errno) {
        self.error.store(errno.number(), Ordering::SeqCst);
    }

    /// Takes the pending error (`SO_ERROR`).
    pub fn take_error(&self) -> Option<Errno> {
        if !self.has_error() {
            return None;
        }
        let number = self.error.swap(0, Ordering::SeqCst);
        Errno::ALL.iter().copied().find(|e| e.number() == number)
    }

    /// Says whether an error is pending.
    pub fn has_error(&self) -> bool {
        self.error.load(Ordering::SeqCst) != 0
    }

    /// Reports the pending error, if there is one.
    ///
    /// # Errors
    /// The pending error.
    pub fn check_error(&self) -> Result<(), Errno> {
        self.take_error().map_or(Ok(()), Err)
    }

    /// Notes that directions are closed.
    pub fn end(&self, bits: u32) {
        self.ended.fetch_or(bits, Ordering::SeqCst);
    }

    /// Says whether nothing more is received.
    pub fn read_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst) & ENDED_READ != 0
    }

    /// Says whether nothing more is sent.
    pub fn write_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst) & ENDED_WRITE != 0
    }

    /// Reads a switch.
    pub fn is(&self, switch: &AtomicBool) -> bool {
        switch.load(Ordering::Relaxed)
    }
}
