//! Sockets: families, options, addresses, messages (`socket(7)`, `ip(7)`, `tcp(7)`, `unix(7)`).

consts! {
    /// Address families (`address_families(7)`).
    u16 {
        AF_UNSPEC = 0, AF_UNIX = 1, AF_LOCAL = 1, AF_INET = 2, AF_AX25 = 3, AF_IPX = 4, AF_APPLETALK = 5,
        AF_X25 = 9, AF_INET6 = 10, AF_KEY = 15, AF_NETLINK = 16, AF_PACKET = 17, AF_RDS = 21, AF_CAN = 29,
        AF_TIPC = 30, AF_BLUETOOTH = 31, AF_ALG = 38, AF_VSOCK = 40, AF_KCM = 41, AF_XDP = 44, AF_MAX = 46,
    }
}

consts! {
    /// Socket types, and the flags beside them (`socket(2)`).
    u32 {
        SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_RDM = 4, SOCK_SEQPACKET = 5, SOCK_DCCP = 6,
        SOCK_PACKET = 0xa, SOCK_NONBLOCK = 0x800, SOCK_CLOEXEC = 0x80000, SOCK_TYPE_MASK = 0xf,
    }
}

consts! {
    /// Protocols of the Internet.
    i32 {
        IPPROTO_IP = 0, IPPROTO_ICMP = 1, IPPROTO_IGMP = 2, IPPROTO_IPIP = 4, IPPROTO_TCP = 6,
        IPPROTO_EGP = 8, IPPROTO_UDP = 17, IPPROTO_IPV6 = 41, IPPROTO_SCTP = 132, IPPROTO_UDPLITE = 136,
        IPPROTO_RAW = 255, IPPROTO_MPTCP = 262, IPPROTO_ICMPV6 = 58, IPPROTO_HOPOPTS = 0,
        IPPROTO_ROUTING = 43, IPPROTO_FRAGMENT = 44, IPPROTO_NONE = 59, IPPROTO_DSTOPTS = 60,
    }
}

consts! {
    /// Levels of socket options.
    i32 {
        SOL_SOCKET = 1, SOL_IP = 0, SOL_TCP = 6, SOL_UDP = 17, SOL_IPV6 = 41, SOL_ICMPV6 = 58,
        SOL_RAW = 255, SOL_PACKET = 263, SOL_NETLINK = 270, SOL_TLS = 282,
    }
}

consts! {
    /// Options of the socket level (`socket(7)`).
    i32 {
        SO_DEBUG = 1, SO_REUSEADDR = 2, SO_TYPE = 3, SO_ERROR = 4, SO_DONTROUTE = 5, SO_BROADCAST = 6,
        SO_SNDBUF = 7, SO_RCVBUF = 8, SO_SNDBUFFORCE = 32, SO_RCVBUFFORCE = 33, SO_KEEPALIVE = 9,
        SO_OOBINLINE = 10, SO_NO_CHECK = 11, SO_PRIORITY = 12, SO_LINGER = 13, SO_BSDCOMPAT = 14,
        SO_REUSEPORT = 15, SO_PASSCRED = 16, SO_PEERCRED = 17, SO_RCVLOWAT = 18, SO_SNDLOWAT = 19,
        SO_RCVTIMEO_OLD = 20, SO_SNDTIMEO_OLD = 21, SO_SECURITY_AUTHENTICATION = 22, SO_BINDTODEVICE = 25,
        SO_ATTACH_FILTER = 26, SO_DETACH_FILTER = 27, SO_PEERNAME = 28, SO_TIMESTAMP_OLD = 29,
        SO_ACCEPTCONN = 30, SO_PEERSEC = 31, SO_PASSSEC = 34, SO_TIMESTAMPNS_OLD = 35, SO_MARK = 36,
        SO_TIMESTAMPING_OLD = 37, SO_PROTOCOL = 38, SO_DOMAIN = 39, SO_RXQ_OVFL = 40, SO_WIFI_STATUS = 41,
        SO_PEEK_OFF = 42, SO_NOFCS = 43, SO_LOCK_FILTER = 44, SO_SELECT_ERR_QUEUE = 45, SO_BUSY_POLL = 46,
        SO_MAX_PACING_RATE = 47, SO_BPF_EXTENSIONS = 48, SO_INCOMING_CPU = 49, SO_ATTACH_BPF = 50,
        SO_ATTACH_REUSEPORT_CBPF = 51, SO_ATTACH_REUSEPORT_EBPF = 52, SO_CNX_ADVICE = 53, SO_MEMINFO = 55,
        SO_INCOMING_NAPI_ID = 56, SO_COOKIE = 57, SO_PEERGROUPS = 59, SO_ZEROCOPY = 60, SO_TXTIME = 61,
        SO_BINDTOIFINDEX = 62, SO_TIMESTAMP_NEW = 63, SO_TIMESTAMPNS_NEW = 64, SO_TIMESTAMPING_NEW = 65,
        SO_RCVTIMEO_NEW = 66, SO_SNDTIMEO_NEW = 67, SO_DETACH_REUSEPORT_BPF = 68, SO_PREFER_BUSY_POLL = 69,
        SO_BUSY_POLL_BUDGET = 70, SO_NETNS_COOKIE = 71, SO_BUF_LOCK = 72, SO_RESERVE_MEM = 73,
        SO_TXREHASH = 74, SO_RCVMARK = 75,
    }
}

consts! {
    /// Ancillary messages of the socket level.
    i32 {
        SCM_RIGHTS = 1, SCM_CREDENTIALS = 2, SCM_SECURITY = 3, SCM_TIMESTAMP_OLD = 29,
        SCM_TIMESTAMPNS_OLD = 35,
    }
}

flags! {
    /// Flags of the send and receive calls.
    MsgFlags: u32 {
        MSG_OOB = 1, MSG_PEEK = 2, MSG_DONTROUTE = 4, MSG_CTRUNC = 8, MSG_PROXY = 0x10, MSG_TRUNC = 0x20,
        MSG_DONTWAIT = 0x40, MSG_EOR = 0x80, MSG_WAITALL = 0x100, MSG_FIN = 0x200, MSG_SYN = 0x400,
        MSG_CONFIRM = 0x800, MSG_RST = 0x1000, MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000,
        MSG_MORE = 0x8000, MSG_WAITFORONE = 0x10000, MSG_ZEROCOPY = 0x4000000, MSG_FASTOPEN = 0x20000000,
        MSG_CMSG_CLOEXEC = 0x40000000,
    }
}

consts! {
    /// Directions of `shutdown(2)`.
    u32 {
        SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2,
    }
}

consts! {
    /// Largest backlog of `listen(2)`.
    i32 {
        SOMAXCONN = 4096,
    }
}

consts! {
    /// Options of TCP (`tcp(7)`).
    i32 {
        TCP_NODELAY = 1, TCP_MAXSEG = 2, TCP_CORK = 3, TCP_KEEPIDLE = 4, TCP_KEEPINTVL = 5, TCP_KEEPCNT = 6,
        TCP_SYNCNT = 7, TCP_LINGER2 = 8, TCP_DEFER_ACCEPT = 9, TCP_WINDOW_CLAMP = 10, TCP_INFO = 11,
        TCP_QUICKACK = 12, TCP_CONGESTION = 13, TCP_MD5SIG = 14, TCP_THIN_LINEAR_TIMEOUTS = 16,
        TCP_THIN_DUPACK = 17, TCP_USER_TIMEOUT = 18, TCP_REPAIR = 19, TCP_REPAIR_QUEUE = 20,
        TCP_QUEUE_SEQ = 21, TCP_REPAIR_OPTIONS = 22, TCP_FASTOPEN = 23, TCP_TIMESTAMP = 24,
        TCP_NOTSENT_LOWAT = 25, TCP_CC_INFO = 26, TCP_SAVE_SYN = 27, TCP_SAVED_SYN = 28,
        TCP_REPAIR_WINDOW = 29, TCP_FASTOPEN_CONNECT = 30, TCP_ULP = 31, TCP_MD5SIG_EXT = 32,
        TCP_FASTOPEN_KEY = 33, TCP_FASTOPEN_NO_COOKIE = 34, TCP_ZEROCOPY_RECEIVE = 35, TCP_INQ = 36,
        TCP_TX_DELAY = 37,
    }
}

consts! {
    /// States of a TCP connection (`tcp_info`).
    u8 {
        TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_SYN_RECV = 3, TCP_FIN_WAIT1 = 4, TCP_FIN_WAIT2 = 5,
        TCP_TIME_WAIT = 6, TCP_CLOSE = 7, TCP_CLOSE_WAIT = 8, TCP_LAST_ACK = 9, TCP_LISTEN = 10,
        TCP_CLOSING = 11,
    }
}

consts! {
    /// Options of UDP (`udp(7)`).
    i32 {
        UDP_CORK = 1, UDP_ENCAP = 100, UDP_NO_CHECK6_TX = 101, UDP_NO_CHECK6_RX = 102, UDP_SEGMENT = 103,
        UDP_GRO = 104,
    }
}

consts! {
    /// Options of IPv4 (`ip(7)`).
    i32 {
        IP_TOS = 1, IP_TTL = 2, IP_HDRINCL = 3, IP_OPTIONS = 4, IP_ROUTER_ALERT = 5, IP_RECVOPTS = 6,
        IP_RETOPTS = 7, IP_PKTINFO = 8, IP_PKTOPTIONS = 9, IP_MTU_DISCOVER = 10, IP_RECVERR = 11,
        IP_RECVTTL = 12, IP_RECVTOS = 13, IP_MTU = 14, IP_FREEBIND = 15, IP_IPSEC_POLICY = 16,
        IP_XFRM_POLICY = 17, IP_PASSSEC = 18, IP_TRANSPARENT = 19, IP_MINTTL = 21, IP_NODEFRAG = 22,
        IP_CHECKSUM = 23, IP_BIND_ADDRESS_NO_PORT = 24, IP_RECVFRAGSIZE = 25, IP_RECVERR_RFC4884 = 26,
        IP_MULTICAST_IF = 32, IP_MULTICAST_TTL = 33, IP_MULTICAST_LOOP = 34, IP_ADD_MEMBERSHIP = 35,
        IP_DROP_MEMBERSHIP = 36, IP_UNBLOCK_SOURCE = 37, IP_BLOCK_SOURCE = 38,
        IP_ADD_SOURCE_MEMBERSHIP = 39, IP_DROP_SOURCE_MEMBERSHIP = 40, IP_MSFILTER = 41,
        IP_MULTICAST_ALL = 49, IP_UNICAST_IF = 50, IP_RECVORIGDSTADDR = 20, IP_PMTUDISC_DONT = 0,
        IP_PMTUDISC_WANT = 1, IP_PMTUDISC_DO = 2, IP_PMTUDISC_PROBE = 3, IP_PMTUDISC_INTERFACE = 4,
        IP_PMTUDISC_OMIT = 5,
    }
}

consts! {
    /// Options of IPv6 (`ipv6(7)`).
    i32 {
        IPV6_ADDRFORM = 1, IPV6_2292PKTINFO = 2, IPV6_CHECKSUM = 7, IPV6_UNICAST_HOPS = 16,
        IPV6_MULTICAST_IF = 17, IPV6_MULTICAST_HOPS = 18, IPV6_MULTICAST_LOOP = 19,
        IPV6_ADD_MEMBERSHIP = 20, IPV6_DROP_MEMBERSHIP = 21, IPV6_ROUTER_ALERT = 22, IPV6_MTU_DISCOVER = 23,
        IPV6_MTU = 24, IPV6_RECVERR = 25, IPV6_V6ONLY = 26, IPV6_JOIN_ANYCAST = 27, IPV6_LEAVE_ANYCAST = 28,
        IPV6_MULTICAST_ALL = 29, IPV6_RECVPKTINFO = 49, IPV6_PKTINFO = 50, IPV6_RECVHOPLIMIT = 51,
        IPV6_HOPLIMIT = 52, IPV6_RECVHOPOPTS = 53, IPV6_HOPOPTS = 54, IPV6_RTHDR = 57, IPV6_RECVRTHDR = 56,
        IPV6_DSTOPTS = 59, IPV6_RECVDSTOPTS = 58, IPV6_RECVPATHMTU = 60, IPV6_PATHMTU = 61,
        IPV6_DONTFRAG = 62, IPV6_RECVTCLASS = 66, IPV6_TCLASS = 67, IPV6_AUTOFLOWLABEL = 70,
        IPV6_ADDR_PREFERENCES = 72, IPV6_MINHOPCOUNT = 73, IPV6_RECVORIGDSTADDR = 74, IPV6_TRANSPARENT = 75,
        IPV6_UNICAST_IF = 76, IPV6_RECVFRAGSIZE = 77, IPV6_FREEBIND = 78,
    }
}

consts! {
    /// Special IPv4 addresses, in host byte order.
    u32 {
        INADDR_ANY = 0, INADDR_BROADCAST = 0xffffffff, INADDR_NONE = 0xffffffff,
        INADDR_LOOPBACK = 2130706433,
    }
}

structs! {
    /// An IPv4 address and port, both in network byte order (`ip(7)`).
    SockaddrIn = "struct sockaddr_in" { sin_family: u16, sin_port: [u8; 2], sin_addr: [u8; 4], _zero: [u8; 8] }

    /// An IPv6 address and port, both in network byte order (`ipv6(7)`).
    SockaddrIn6 = "struct sockaddr_in6" {
        sin6_family: u16, sin6_port: [u8; 2], sin6_flowinfo: [u8; 4], sin6_addr: [u8; 16], sin6_scope_id: u32,
    }

    /// A UNIX address (`unix(7)`).
    SockaddrUn = "struct sockaddr_un" { sun_family: u16, sun_path: [u8; 108] }

    /// A netlink address (`netlink(7)`).
    SockaddrNl = "struct sockaddr_nl" { nl_family: u16, nl_pad: u16, nl_pid: u32, nl_groups: u32 }

    /// An address on the host-guest channel (`vsock(7)`).
    SockaddrVm = "libc:struct sockaddr_vm" {
        svm_family: u16, svm_reserved1: u16, svm_port: u32, svm_cid: u32, svm_flags: u8, _zero: [u8; 3],
    }

    /// A link-layer address (`packet(7)`); the protocol is in network byte order.
    SockaddrLl = "struct sockaddr_ll" {
        sll_family: u16, sll_protocol: [u8; 2], sll_ifindex: i32, sll_hatype: u16, sll_pkttype: u8, sll_halen: u8,
        sll_addr: [u8; 8],
    }

    /// A report of the error queue (`ip(7)`, `IP_RECVERR`).
    SockExtendedErr = "struct sock_extended_err" {
        ee_errno: u32, ee_origin: u8, ee_type: u8, ee_code: u8, ee_pad: u8, ee_info: u32, ee_data: u32,
    }

    /// Room for every address.
    SockaddrStorage = "struct __kernel_sockaddr_storage" { ss_family: u16, _data: [u8; 126] }

    /// A message (`sendmsg(2)`).
    Msghdr = "libc:struct msghdr" {
        msg_name: u64, msg_namelen: u32, _pad: u32, msg_iov: u64, msg_iovlen: u64, msg_control: u64, msg_controllen: u64,
        msg_flags: u32, _pad2: u32,
    }

    /// One of several messages (`sendmmsg(2)`).
    Mmsghdr = "libc:struct mmsghdr" { msg_hdr: Msghdr, msg_len: u32, _pad: u32 }

    /// The header of an ancillary message (`cmsg(3)`).
    Cmsghdr = "libc:struct cmsghdr" { cmsg_len: u64, cmsg_level: i32, cmsg_type: i32 }

    /// A peer's identity (`SO_PEERCRED`).
    Ucred = "libc:struct ucred" { pid: i32, uid: u32, gid: u32 }

    /// How long closing waits for what was not sent (`SO_LINGER`), in seconds.
    Linger = "libc:struct linger" { l_onoff: i32, l_linger: i32 }

    /// A multicast group and interface (`IP_ADD_MEMBERSHIP`).
    IpMreqn = "struct ip_mreqn" { imr_multiaddr: [u8; 4], imr_address: [u8; 4], imr_ifindex: i32 }

    /// A multicast group and interface (`IPV6_ADD_MEMBERSHIP`).
    Ipv6Mreq = "struct ipv6_mreq" { ipv6mr_multiaddr: [u8; 16], ipv6mr_ifindex: i32 }

    /// Where a datagram came in (`IP_PKTINFO`).
    InPktinfo = "struct in_pktinfo" { ipi_ifindex: i32, ipi_spec_dst: [u8; 4], ipi_addr: [u8; 4] }

    /// Where a datagram came in (`IPV6_PKTINFO`).
    In6Pktinfo = "libc:struct in6_pktinfo" { ipi6_addr: [u8; 16], ipi6_ifindex: i32 }

    /// The state of a TCP connection (`TCP_INFO`), as Linux 6.1 has it.
    TcpInfo = "struct tcp_info" {
        tcpi_state: u8, tcpi_ca_state: u8, tcpi_retransmits: u8, tcpi_probes: u8, tcpi_backoff: u8, tcpi_options: u8,
        /// Send scale in the low four bits, receive scale in the high four.
        _wscale: u8,
        /// Bit 0: the application limits the delivery rate. Bits 1 and 2: why Fast Open failed.
        _limited: u8,
        tcpi_rto: u32, tcpi_ato: u32, tcpi_snd_mss: u32, tcpi_rcv_mss: u32, tcpi_unacked: u32, tcpi_sacked: u32,
        tcpi_lost: u32, tcpi_retrans: u32, tcpi_fackets: u32, tcpi_last_data_sent: u32, tcpi_last_ack_sent: u32,
        tcpi_last_data_recv: u32, tcpi_last_ack_recv: u32, tcpi_pmtu: u32, tcpi_rcv_ssthresh: u32, tcpi_rtt: u32,
        tcpi_rttvar: u32, tcpi_snd_ssthresh: u32, tcpi_snd_cwnd: u32, tcpi_advmss: u32, tcpi_reordering: u32,
        tcpi_rcv_rtt: u32, tcpi_rcv_space: u32, tcpi_total_retrans: u32, tcpi_pacing_rate: u64, tcpi_max_pacing_rate: u64,
        tcpi_bytes_acked: u64, tcpi_bytes_received: u64, tcpi_segs_out: u32, tcpi_segs_in: u32, tcpi_notsent_bytes: u32,
        tcpi_min_rtt: u32, tcpi_data_segs_in: u32, tcpi_data_segs_out: u32, tcpi_delivery_rate: u64, tcpi_busy_time: u64,
        tcpi_rwnd_limited: u64, tcpi_sndbuf_limited: u64, tcpi_delivered: u32, tcpi_delivered_ce: u32,
        tcpi_bytes_sent: u64, tcpi_bytes_retrans: u64, tcpi_dsack_dups: u32, tcpi_reord_seen: u32, tcpi_rcv_ooopack: u32,
        tcpi_snd_wnd: u32,
    }
}
